import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from interp_cli.cli.app import app
from interp_cli.interpolator import Interpolator


@pytest.fixture(autouse=True)
def averaging_model(monkeypatch: pytest.MonkeyPatch, averaging) -> None:
    interpolator = Interpolator(averaging, device="cpu")
    monkeypatch.setattr(Interpolator, "from_options", lambda options: interpolator)
    monkeypatch.setattr("interp_cli.benchmark._ROUND_SECONDS", 0.02)


def test_json_has_every_measurement(h264_clip: Path) -> None:
    arguments = ["--input", str(h264_clip), "--against", "minterpolate", "--repeats", "1"]
    done = CliRunner().invoke(app, ["bench", *arguments, "--json"])
    assert done.exit_code == 0
    read = json.loads(done.stdout)
    assert [row["name"] for row in read["clips"][0]["rows"]] == ["interp", "minterpolate"]
    assert read["clips"][0]["rows"][0]["frames_out"] == 24
    assert read["repeats"] == 1
    assert "cores" in read["machine"]


def test_the_tables_name_sizes_and_encoder() -> None:
    done = CliRunner().invoke(
        app, ["bench", "--size", "64x48", "--size", "96x64", "--repeats", "1", "--frames", "2"]
    )
    assert done.exit_code == 0
    for words in ("64x48", "96x64", "libx264 preset medium crf 17", "medians of 1"):
        assert words in done.stdout


def test_a_size_that_is_none_is_a_usage_error() -> None:
    done = CliRunner().invoke(app, ["bench", "--size", "720p"])
    assert done.exit_code == 2
    assert "'720p' is not WIDTHxHEIGHT" in done.stderr
