"""The finished file is compared with what was to be written, whatever ffmpeg was told."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import clips
import pytest

from interp_cli.errors import EncodeError
from interp_cli.inference.interpolator import Interpolator
from interp_cli.options import DoubleOptions, EncodeOptions
from interp_cli.pipeline.double import double_video
from interp_cli.video.encoding.commands import VideoCommands
from interp_cli.video.encoding.finished import Expected, finished_fault

LOSSLESS = EncodeOptions(encoder="ffv1")
RIGHT = Expected(64, 48, 100, Fraction(0), Fraction(99, 25))


@pytest.fixture(scope="module", params=["mp4", "mkv"])
def long_clip(request, tmp_path_factory) -> Path:
    """Frames of which the first packets are only a part."""
    path = tmp_path_factory.mktemp("finished") / f"long.{request.param}"
    return clips.moving_clip(path, frames=100, size=(64, 48), codec="libx264")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({}, None),
        ({"width": 32}, "the finished file holds 64x48 pixels instead of 32x48"),
        ({"first_seconds": Fraction(-1)}, "the first frame of the finished file is at 0 s instead"),
        ({"last_seconds": Fraction(4)}, "the last frame of the finished file is at 3.96 s instead"),
        ({"last_seconds": Fraction(3)}, "the last frame of the finished file is at 3.96 s instead"),
    ],
)
def test_a_long_file_is_compared(long_clip: Path, change, fault):
    found = finished_fault(long_clip, replace(RIGHT, **change))
    assert (found or "").startswith(fault or "") and bool(found) == bool(fault)


def test_frames_are_counted(tmp_path: Path):
    short = clips.moving_clip(tmp_path / "short.mkv", frames=3, size=(64, 48), codec="ffv1")
    expected = replace(RIGHT, last_seconds=Fraction(2, 25))
    assert finished_fault(short, replace(expected, frames=3)) is None
    fault = finished_fault(short, replace(expected, frames=4))
    assert fault == "the finished file holds 3 frames instead of 4"
    (tmp_path / "none.mkv").write_bytes(b"")
    assert (finished_fault(tmp_path / "none.mkv", expected) or "").startswith(
        "the finished file cannot be read"
    )


@pytest.mark.parametrize("method", ["whole", "joining"])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-bsf:v", "setts=pts=PTS*2:dts=DTS*2"), "the last frame of the finished file is at"),
        (("-output_ts_offset", "1"), "the first frame of the finished file is at 1 s instead of 0"),
    ],
)
def test_a_file_with_other_times_is_an_error(
    tmp_path: Path, averaging, monkeypatch, method, words, message
):
    source = clips.moving_clip(tmp_path / "in.mkv", frames=8, size=(64, 48), codec="ffv1")
    usual = getattr(VideoCommands, method)
    monkeypatch.setattr(VideoCommands, method, lambda *given: [*usual(*given), *words])
    segments = {"segment_frames": 8} if method == "joining" else {"checkpoint_seconds": None}
    options = DoubleOptions(encode=LOSSLESS, **segments)
    target = tmp_path / "out.mkv"
    with pytest.raises(EncodeError, match=message) as caught:
        double_video(source, target, options, interpolator=Interpolator(averaging))
    assert "\n" not in str(caught.value)
    assert not target.exists()
