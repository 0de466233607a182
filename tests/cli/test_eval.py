import json
from pathlib import Path

import clips
import pytest
from typer.testing import CliRunner

from interp_cli.cli.app import app
from interp_cli.inference.interpolator import Interpolator


@pytest.fixture(autouse=True)
def averaging_model(monkeypatch: pytest.MonkeyPatch, interpolator) -> None:
    monkeypatch.setattr(Interpolator, "from_options", lambda options: interpolator)


@pytest.fixture
def triplets(tmp_path: Path) -> Path:
    for name in ("first", "second"):
        clips.write_triplet(tmp_path / "drawn" / name, *map(clips.true_frame, (0, 0.5, 1)))
    return tmp_path / "drawn"


def test_the_table_has_a_row_for_each_predictor(triplets: Path) -> None:
    done = CliRunner().invoke(app, ["eval", str(triplets), "--progress", "plain"])
    assert done.exit_code == 0
    lines = [line for line in done.stdout.partition("Worst")[0].splitlines() if "│" in line]
    assert [line.split("│")[2].strip() for line in lines] == [
        "Averaging",
        "blend",
        "minterpolate",
    ]
    assert "drawn (2)" in lines[0]
    assert "6 of 6 frames" in done.stderr
    assert "torch" in done.stdout.splitlines()[-1]


def test_json_has_every_score_and_nothing_else_on_stdout(triplets: Path, h264_clip: Path) -> None:
    done = CliRunner().invoke(
        app, ["eval", str(triplets), str(h264_clip), "--json", "--compare", "blend,dis"]
    )
    assert done.exit_code == 0
    read = json.loads(done.stdout)
    assert [each["kind"] for each in read["sets"]] == ["triplets", "video"]
    assert [row["name"] for row in read["sets"][0]["predictors"]] == ["Averaging", "blend", "dis"]
    assert len(read["sets"][1]["predictors"][0]["items"]) == 5
    assert " core" in read["machine"]


def test_the_worst_pictures_are_listed_and_kept(triplets: Path, tmp_path: Path) -> None:
    arguments = ["--compare", "blend", "--worst", "1", "--limit", "1"]
    done = CliRunner().invoke(
        app, ["eval", str(triplets), *arguments, "--output-dir", str(tmp_path / "kept")]
    )
    assert done.exit_code == 0
    table = done.stdout.partition("Worst pictures")[2]
    (line,) = (line for line in table.splitlines() if "│" in line)
    cells = [cell.strip() for cell in line.strip("│ ").split("│")]
    assert cells[:4] == ["drawn", "first", "0.5", "Averaging"]
    assert cells[5] == "blend"
    assert abs(float(cells[6])) < 0.1
    assert "drawn: triplets, the middle of three hidden." in done.stdout
    assert sorted(path.name for path in (tmp_path / "kept" / "drawn").iterdir()) == [
        "Averaging",
        "blend",
    ]


def test_a_video_gets_vmaf_and_each_timestep_its_mean(h264_clip: Path) -> None:
    arguments = ["--compare", "blend", "--skip", "3", "--worst", "0", "--tta"]
    done = CliRunner().invoke(app, ["eval", str(h264_clip), *arguments])
    assert done.exit_code == 0
    assert "VMAF" in done.stdout
    lines = done.stdout.partition("PSNR dB at each timestep")[2].splitlines()
    assert [cell.strip() for cell in lines[2].strip("┃ ").split("┃")][2:] == ["0.25", "0.5", "0.75"]
    assert "Averaging-tta" in lines[4]
    assert "video, 3 of 4 frames hidden." in done.stdout
    assert "Worst" not in done.stdout
    done = CliRunner().invoke(
        app, ["eval", str(h264_clip), *arguments, "--no-vmaf", "--json", "--worst", "1"]
    )
    read = json.loads(done.stdout)["sets"][0]
    assert read["predictors"][0]["vmaf"] is None
    assert list(read["predictors"][0]["psnr_db_by_timestep"]) == ["0.25", "0.5", "0.75"]
    assert read["worst"][0]["best_other"] == "blend"


def test_quiet_has_results_and_no_progress(triplets: Path) -> None:
    done = CliRunner().invoke(app, ["eval", str(triplets), "--compare", "blend", "--quiet"])
    assert done.exit_code == 0
    assert done.stderr == ""
    assert "drawn (2)" in done.stdout


def test_a_note_names_flags(h264_clip: Path) -> None:
    arguments = ["--compare", "blend", "--tta", "--no-vmaf", "--worst", "0"]
    done = CliRunner().invoke(app, ["eval", str(h264_clip), *arguments])
    assert done.exit_code == 0
    assert "without --tta the frames that it writes are scored" in done.stdout
