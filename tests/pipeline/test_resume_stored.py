"""Frames of an unfinished segment are not made again."""

import errno
from dataclasses import replace
from fractions import Fraction

import clips
import pytest
from resuming import (
    AT_ONCE,
    COUNTS,
    EVERY,
    LOSSLESS,
    OPTIONS,
    shown,
    stopped_after,
)

from interp_cli.inference.interpolator import Interpolator
from interp_cli.models.registry import create_model
from interp_cli.options import DoubleOptions
from interp_cli.pipeline.double import double_video
from interp_cli.video.writers.frame_store import FrameStore
from interp_cli.video.writers.kept_frames import completed_frames

STORED = {
    "a short video": ("source", "mp4", OPTIONS, 1000),
    "a short part in a variable rate": ("vfr_source", "mov", replace(
        OPTIONS, start_seconds=0.1, factor=3, at_cut="blend"), 1000),
    "a segment after others": ("source", "mp4", OPTIONS, EVERY),
    "segments in another rate": ("vfr_source", "mkv", replace(
        LOSSLESS, frame_rate=Fraction(60000, 1001)), EVERY),
    "retimed frames": ("source", "mkv", replace(LOSSLESS, duplicates="retime", factor=3), 1000),
    "film": ("telecined_source", "mp4", replace(OPTIONS, fields="detelecine"), 2 * EVERY),
}  # fmt: skip


@pytest.mark.parametrize("case", STORED)
def test_stored_frames_are_not_made_again(case, request, tmp_path, counting):
    name, ending, options, every = STORED[case]
    options = replace(options, segment_frames=every, checkpoint_seconds=AT_ONCE)
    clip = request.getfixturevalue(name)
    whole, target = tmp_path / f"whole.{ending}", tmp_path / f"out.{ending}"
    once = double_video(clip, whole, options, interpolator=counting)
    asked = counting.net.asked
    kept = []
    for frames in (17, 31):  # the second time it had gone on
        kept.append(stopped_after(frames, clip, target, options, counting))
        options = replace(options, resume=True)
    assert 8 <= kept[0] < kept[1]
    counting.net.asked = 0
    again = double_video(clip, target, options, interpolator=counting)
    assert shown(target) == shown(whole)
    assert [getattr(again, name) for name in COUNTS] == [getattr(once, name) for name in COUNTS]
    assert again.frames_resumed == kept[1]
    assert counting.net.asked < asked
    if ending in ("mp4", "mov"):
        assert target.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [target.name, whole.name]


@pytest.mark.parametrize(
    ("pix_fmt", "ending"),
    [("yuva444p10le", "mkv"), ("gray16le", "mkv"), ("gbrp12le", "mkv"), ("nv12", "mkv")],
)
def test_stored_frames_have_the_samples_of_every_format(tmp_path, counting, pix_fmt, ending):
    codec = "rawvideo" if pix_fmt == "nv12" else "ffv1"
    size = (65, 49) if pix_fmt != "nv12" else (64, 48)
    clip = clips.moving_clip(tmp_path / "in.mkv", 12, codec=codec, pix_fmt=pix_fmt, size=size)
    options = replace(LOSSLESS, segment_frames=1000, checkpoint_seconds=AT_ONCE)
    double_video(clip, tmp_path / f"whole.{ending}", options, interpolator=counting)
    target = tmp_path / f"out.{ending}"
    assert stopped_after(19, clip, target, options, counting) >= 8
    double_video(clip, target, replace(options, resume=True), interpolator=counting)
    assert shown(target) == shown(tmp_path / f"whole.{ending}")


@pytest.mark.parametrize("every", [EVERY, 1000])
def test_pictures_go_on_from_stored_frames(tmp_path, counting, every):
    pictures = tmp_path / "in"
    pictures.mkdir()
    clips.moving_clip(pictures / "shot_%03d.png", 24, codec="png", pix_fmt="rgb24", size=(64, 48))
    options = DoubleOptions(segment_frames=every, checkpoint_seconds=AT_ONCE)
    double_video(pictures, tmp_path / "whole", options, interpolator=counting)
    stopped_after(31, pictures, tmp_path / "out", options, counting)
    again = replace(options, resume=True)
    result = double_video(pictures, tmp_path / "out", again, interpolator=counting)
    assert result.frames_resumed > 16
    made = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
            for name in ("out", "whole")]  # fmt: skip
    assert made[0] == made[1]


def test_flow_goes_on_with_stored_frames(source, tmp_path):
    flow = Interpolator(create_model("flow").eval(), device="cpu")
    options = replace(OPTIONS, segment_frames=1000, checkpoint_seconds=AT_ONCE)
    whole = replace(options, save_flow=tmp_path / "whole_flow")
    double_video(source, tmp_path / "whole.mp4", whole, interpolator=flow)
    options = replace(options, save_flow=tmp_path / "flow")
    assert stopped_after(19, source, tmp_path / "out.mp4", options, flow) >= 8
    double_video(source, tmp_path / "out.mp4", replace(options, resume=True), interpolator=flow)
    made = [
        {path.name: path.read_bytes().replace(b"whole.mp4", b"out.mp4") for path in f.iterdir()}
        for f in (tmp_path / "flow", tmp_path / "whole_flow")
    ]
    assert made[0] == made[1]
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_a_short_job_that_took_no_time_leaves_nothing(source, tmp_path, counting):
    def stop(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        double_video(source, tmp_path / "o.mkv", interpolator=counting, progress=stop)
    assert not hasattr(caught.value, "__notes__")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_ends_the_store_and_not_the_job(source, tmp_path, counting, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(FrameStore, "add", full)
    options = replace(OPTIONS, checkpoint_seconds=AT_ONCE)
    result = double_video(source, tmp_path / "out.mkv", options, interpolator=counting)
    assert result.frames_out == 48


def test_stored_frames_are_durable_before_the_process_ends(source, tmp_path, counting):
    target, seen = tmp_path / "out.mkv", []
    options = replace(OPTIONS, segment_frames=1000, checkpoint_seconds=AT_ONCE)
    double_video(
        source,
        target,
        options,
        interpolator=counting,
        progress=lambda done, total: seen.append(completed_frames(target)),
    )
    assert seen[-1] >= 40  # of 48, from the journal alone
