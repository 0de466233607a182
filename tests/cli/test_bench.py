import json
from pathlib import Path

import cv2
import pytest
from typer.testing import CliRunner

from interp_cli.benchmarking import stages
from interp_cli.benchmarking.report import BenchReport, GraphUse, three_digits
from interp_cli.cli.app import app
from interp_cli.cli.bench import _graphs_text
from interp_cli.errors import InterpError
from interp_cli.inference.interpolator import Interpolator


@pytest.fixture(autouse=True)
def averaging_model(monkeypatch: pytest.MonkeyPatch, interpolator) -> None:
    monkeypatch.setattr(Interpolator, "from_options", lambda options: interpolator)
    monkeypatch.setattr(stages, "_ROUND_SECONDS", 0.02)
    monkeypatch.setattr(stages, "_MATRIX_SIDE", {"cpu": 256})


def test_json_has_every_measurement(h264_clip: Path) -> None:
    arguments = ["--input", str(h264_clip), "--compare", "minterpolate, blend", "--rounds", "1"]
    done = CliRunner().invoke(app, ["bench", *arguments, "--preset", "ultrafast", "--json"])
    assert done.exit_code == 0
    read = json.loads(done.stdout)
    (clip,) = read["clips"]
    assert [row["name"] for row in clip["contenders"]] == ["interp", "minterpolate", "blend"]
    assert clip["contenders"][0]["frames_out"] == 24
    assert clip["bottleneck"] in [stage["name"] for stage in clip["stages"]]
    assert clip["fraction_of_bottleneck"] > 0
    assert clip["encoder"] == "libx264 preset ultrafast crf 17"
    assert read["rounds"] == 1
    assert read["cuda_graphs"] is None  # on a CPU
    assert " core" in read["machine"]


def test_the_tables_and_the_chart_name_what_was_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interp_cli.benchmarking.benchmark.available_cores", lambda: 1)
    sizes = ["--size", "128x96", "--size", "96x64"]
    chart = tmp_path / "bench.png"
    arguments = [*sizes, "--rounds", "1", "--frames", "3", "--plot", str(chart)]
    done = CliRunner().invoke(app, ["bench", *arguments], env={"COLUMNS": "120"})
    assert done.exit_code == 0
    assert "3 of 4 runs done, now drawn 96x64: each stage alone" in done.stderr
    for words in (
        "drawn 128x96, libx264 preset medium crf 17",
        "drawn 96x64",
        "look for cuts",
        "bottleneck",
        "interp, the whole",
        "alone (3 frames in, 6 out)",
        "frames/s that 1 core would allow if never idle",
        "0.0 GMAC a pair",
        "Peak memory: interp ",
        "medians of 1",
    ):
        assert words in done.stdout
    assert cv2.imread(str(chart)).shape[1] == 1360  # two panels


def test_brackets_in_names_are_no_markup(
    h264_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = tmp_path / "clip [final].mp4"
    clip.write_bytes(h264_clip.read_bytes())
    monkeypatch.setattr(Interpolator.from_options(None), "name", "runs/[raw]x/best")
    done = CliRunner().invoke(
        app, ["bench", "--input", str(clip), "--rounds", "1"], env={"COLUMNS": "120"}
    )
    assert done.exit_code == 0
    assert "clip [final].mp4 128x96, libx264" in done.stdout
    assert "runs/[raw]x/best (0.00 M parameters)" in done.stdout


def test_a_chart_that_cannot_be_made_costs_no_measuring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(*_: object, **__: object) -> BenchReport:
        raise AssertionError("measured before the chart was checked")

    monkeypatch.setattr("interp_cli.benchmarking.benchmark.benchmark", measured)
    done = CliRunner().invoke(app, ["bench", "--plot", str(tmp_path / "no" / "bench.png")])
    assert done.exit_code == 1
    assert isinstance(done.exception, InterpError)
    assert "a folder that exists" in str(done.exception)


def test_quiet_has_results_and_no_progress(h264_clip: Path) -> None:
    done = CliRunner().invoke(app, ["bench", "--input", str(h264_clip), "--rounds", "1", "-q"])
    assert done.exit_code == 0
    assert done.stderr == ""
    assert "h264.mp4 128x96" in done.stdout


def test_a_size_that_is_none_is_a_usage_error() -> None:
    done = CliRunner().invoke(app, ["bench", "--size", "720p"])
    assert done.exit_code == 2
    assert "'720p' is not WIDTHxHEIGHT" in done.stderr


def test_a_program_that_fails_is_said(h264_clip: Path) -> None:
    command = ["--compare-command", "no-such-program {input} {output}"]
    done = CliRunner().invoke(app, ["bench", "--input", str(h264_clip), *command])
    assert done.exit_code == 1
    assert done.stdout == ""
    assert isinstance(done.exception, InterpError)
    assert str(done.exception).startswith("no-such-program {input} {output}: cannot be started")


@pytest.mark.parametrize(
    ("value", "figure"),
    [(0.012345, "0.0123"), (1.5, "1.5"), (123.4, "123"), (12345, "12,300"), (0, "0")],
)
def test_figures_have_three_digits(value: float, figure: str) -> None:
    assert three_digits(value) == figure


def test_what_was_recorded_on_a_gpu_is_told():
    assert _graphs_text(GraphUse(3, 0.4567, ())) == "CUDA graphs: 3, recorded in 0.457 s."
    off = GraphUse(0, 0.0, ("cuda: CUDA graphs are off, for …",))
    assert _graphs_text(off) == "CUDA graphs: none. cuda: CUDA graphs are off, for …"
