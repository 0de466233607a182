import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from interp_cli.cli.app import app
from interp_cli.cli.info import _dynamic_range
from interp_cli.models.registry import create_model
from interp_cli.models.weights import save_weights
from interp_cli.options import DoubleOptions
from interp_cli.pipeline.double import double_video
from interp_cli.video.probe import probe


def metadata_of(file: Path) -> dict:
    done = CliRunner().invoke(app, ["info", str(file), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_video_is_described(h264_clip: Path) -> None:
    found = metadata_of(h264_clip)
    assert (found["kind"], found["codec"], found["width"], found["height"]) == (
        "video",
        "h264",
        128,
        96,
    )
    assert (found["frame_rate"], found["frame_count"]) == ("25", 12)
    assert found["variable_frame_rate"] is False
    assert [stream["kind"] for stream in found["streams"]] == ["audio"]
    assert found["size_bytes"] == h264_clip.stat().st_size


def test_pictures_and_animations_are_described(tmp_path: Path) -> None:
    for number in (1, 2, 4):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((8, 16), np.uint16))
    found = metadata_of(tmp_path)
    assert (found["container"], found["pixel_format"]) == ("PNG sequence", "gray16be")
    assert (found["frame_count"], found["duration_seconds"], found["plays"]) == (3, 0.16, None)
    assert found["size_bytes"] == sum(path.stat().st_size for path in tmp_path.iterdir())
    assert found["warnings"][0].startswith("1 of the numbers is missing (3)")

    double_video(tmp_path, tmp_path / "a.apng", DoubleOptions(end_seconds=0.08))
    found = metadata_of(tmp_path / "a.apng")
    assert (found["codec"], found["frame_count"], found["plays"]) == ("apng", 4, 0)
    assert (found["frame_rate"], found["variable_frame_rate"]) == ("50", False)


def test_a_variable_rate_is_told_from_a_constant_one(vfr_clip: Path, ten_bit_clip: Path) -> None:
    variable = metadata_of(vfr_clip)
    assert variable["variable_frame_rate"] is True
    assert variable["shortest_step_seconds"] == pytest.approx(0.02)
    assert variable["longest_step_seconds"] == pytest.approx(0.1)
    # 24000/1001 in milliseconds: steps of 41 and 42, and still constant.
    constant = metadata_of(ten_bit_clip)
    assert constant["variable_frame_rate"] is False
    assert constant["shortest_step_seconds"] < constant["longest_step_seconds"]


def test_a_file_that_breaks_off_is_described_up_to_there(tmp_path: Path) -> None:
    path = tmp_path / "broken.y4m"
    frame = b"FRAME\n" + bytes(8 * 8 * 3 // 2)
    path.write_bytes(b"YUV4MPEG2 W8 H8 F25:1 C420jpeg\n" + 3 * frame + b"noise\n" + 2 * frame)
    described = metadata_of(path)
    assert described["shortest_step_seconds"] == described["longest_step_seconds"] == 0.04


def test_people_read_words_not_code_points(vfr_clip: Path) -> None:
    done = CliRunner().invoke(app, ["info", str(vfr_clip)])
    assert done.exit_code == 0
    assert "matrix BT.709, limited range" in done.stdout
    assert "variable, 20 to 100 ms between frames" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("transfer", "primaries", "pixel_format", "words"),
    [
        (16, 9, "yuv420p10le", "HDR10 (PQ)"),
        (16, 9, "yuv420p12le", "HDR (PQ)"),
        (16, 12, "yuv420p10le", "HDR (PQ)"),
        (18, 9, "yuv420p10le", "HDR (HLG)"),
        (1, 1, "yuv420p", "SDR"),
        (2, 2, "yuv420p", "SDR"),
    ],
)
def test_hdr_is_named(h264_clip: Path, transfer, primaries, pixel_format, words) -> None:
    video = probe(h264_clip)
    colour = replace(video.colour, transfer=transfer, primaries=primaries)
    assert _dynamic_range(replace(video, colour=colour, pixel_format=pixel_format)) == words


def test_quiet_prints_nothing(h264_clip: Path) -> None:
    done = CliRunner().invoke(app, ["info", str(h264_clip), "--quiet"])
    assert (done.exit_code, done.stdout) == (0, "")


def test_weights_are_described(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    net = create_model("fusion")
    save_weights(path, net, "fusion")
    found = metadata_of(path)
    assert (found["kind"], found["name"], found["architecture"]) == ("weights", "mine", "fusion")
    assert found["parameters"] == sum(p.numel() for p in net.parameters())
    assert found["stored_dtypes"] == ["F16"]
    assert found["bundled"] is False
    done = CliRunner().invoke(app, ["info", str(path)])
    assert f"{found['parameters']:,} in F16" in done.stdout


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.mp4", "no such file"),
        ("none.safetensors", "missing"),
        ("no_such_model", "no model of that name"),
    ],
)
def test_what_is_not_there_is_one_line(tmp_path: Path, name: str, message: str) -> None:
    file = name if name == "no_such_model" else str(tmp_path / name)
    done = CliRunner().invoke(app, ["info", file])
    assert done.exit_code == 1
    assert message in str(done.exception)
