"""A job that was stopped goes on to the result of one that was not."""

import errno
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import clips
import pytest
from resuming import (
    COUNTS,
    EVERY,
    LOSSLESS,
    OPTIONS,
    interrupted,
    shown,
)

from interp_cli.errors import EncodeError
from interp_cli.inference.interpolator import Interpolator
from interp_cli.models.registry import create_model
from interp_cli.options import DoubleOptions, EncodeOptions
from interp_cli.pipeline.double import double_video
from interp_cli.video.encoding.commands import VideoCommands
from interp_cli.video.writers.journal import SegmentJournal
from interp_cli.video.writers.kept_frames import completed_frames

CASES = {
    "doubled": ("source", "mp4", OPTIONS),
    "in a variable rate": ("vfr_source", "mp4", OPTIONS),
    "in another rate": ("vfr_source", "mkv", replace(LOSSLESS, frame_rate=Fraction(60000, 1001))),
    "slowed": ("source", "mov", replace(OPTIONS, slow_motion=3)),
    "retimed": ("source", "mkv", replace(LOSSLESS, duplicates="retime", factor=3)),
    "of a part": ("source", "webm", DoubleOptions(
        segment_frames=EVERY, start_seconds=0.1, end_seconds=0.9, at_cut="blend")),
    "deinterlaced": ("interlaced_source", "mp4", replace(OPTIONS, fields="deinterlace")),
    "out of a telecine": ("telecined_source", "mp4", replace(OPTIONS, fields="detelecine")),
    "in another rate out of a telecine": ("telecined_source", "mkv", replace(
        LOSSLESS, fields="detelecine", frame_rate=Fraction(50))),
    "out of a soft telecine": ("soft_source", "mkv", replace(LOSSLESS, fields="detelecine")),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_resumed_video_equals_an_uninterrupted_one(case, request, tmp_path, counting):
    name, ending, options = CASES[case]
    clip = request.getfixturevalue(name)
    whole, target = tmp_path / f"whole.{ending}", tmp_path / f"out.{ending}"
    once = double_video(clip, whole, options, interpolator=counting)
    asked = counting.net.asked
    interrupted(clip, target, options, counting)
    frames = completed_frames(target)
    counting.net.asked = 0
    again = double_video(clip, target, replace(options, resume=True), interpolator=counting)
    assert shown(target) == shown(whole)
    assert [getattr(again, name) for name in COUNTS] == [getattr(once, name) for name in COUNTS]
    assert (once.frames_resumed, again.frames_resumed) == (0, frames)
    assert 0 < counting.net.asked < asked  # what is kept is not made again
    for kind in ("audio", "video"):
        assert clips.packets(target, kind) == clips.packets(whole, kind)
    if ending in ("mp4", "mov"):  # Matroska has random numbers in it
        assert target.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [target.name, whole.name]


def test_progress_begins_with_what_was_done_before(source, tmp_path, counting):
    target, calls = tmp_path / "out.mkv", []
    interrupted(source, target, OPTIONS, counting)
    frames = completed_frames(target)
    double_video(
        source,
        target,
        replace(OPTIONS, resume=True),
        interpolator=counting,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(done, 48) for done in range(frames, 49)]


@pytest.mark.parametrize("ending", ["mkv", "mov"])
def test_segments_are_joined_to_the_frame_and_the_tick(vfr_source, tmp_path, counting, ending):
    made = []
    for every in (EVERY, 1000):
        target = tmp_path / f"{every}.{ending}"
        options = replace(LOSSLESS, segment_frames=every)
        double_video(vfr_source, target, options, interpolator=counting)
        made.append(shown(target))
    assert made[0] == made[1]
    assert len(made[0]) == 48


def test_frames_that_get_lost_when_segments_are_joined_are_noticed(
    source, tmp_path, counting, monkeypatch
):
    real = VideoCommands.joining
    monkeypatch.setattr(VideoCommands, "joining", lambda *args: [*real(*args), "-frames:v", "40"])
    target = tmp_path / "out.mkv"
    with pytest.raises(EncodeError, match=r"it joined 40 of 48 frames") as caught:
        double_video(source, target, LOSSLESS, interpolator=counting)
    assert caught.value.__notes__[0].startswith("48 finished frames are kept")
    assert not target.exists()


@pytest.mark.parametrize("ending", ["mkv", "webm"])
def test_joined_segments_last_as_long_as_a_video_made_in_one_go(film, tmp_path, counting, ending):
    said = []
    for every in (EVERY, 1000):
        target = tmp_path / f"{every}.{ending}"
        options = DoubleOptions(segment_frames=every, audio=False)
        double_video(film, target, options, interpolator=counting)
        with av.open(str(target)) as container:
            stream = container.streams.video[0]
            said.append((container.duration, stream.metadata["DURATION"]))
            packets = [packet for packet in container.demux(stream) if packet.size]
            said[-1] += tuple(sorted((packet.pts, packet.duration) for packet in packets))
    assert said[0] == said[1]
    assert said[0][:2] == (2_002_000, "00:00:02.002000000")  # 48 frames, 24000/1001 a second


def test_what_is_wrong_in_the_end_is_said_at_once(source, tmp_path, counting):
    options = replace(OPTIONS, encode=EncodeOptions(ffmpeg_output=("-c:a", "nope")))
    with pytest.raises(EncodeError, match=r"unknown encoder 'nope'"):
        double_video(source, tmp_path / "out.mkv", options, interpolator=counting)
    assert counting.net.asked <= 3 * EVERY
    assert list(tmp_path.iterdir()) == []


def test_wishes_for_the_encoder_do_not_trouble_the_join(source, tmp_path, counting):
    words = ("-profile:v", "high", "-tune", "film", "-bsf:v", "dump_extra", "-b:a", "64k")
    words += ("-metadata:s:v:0", "title=whole")
    options = replace(OPTIONS, encode=EncodeOptions(ffmpeg_output=words))
    target = tmp_path / "out.mp4"
    double_video(source, target, options, interpolator=counting)
    assert len(shown(target)) == 48


def test_a_full_disk_loses_nothing_that_is_finished(source, tmp_path, counting, monkeypatch):
    target = tmp_path / "out.mkv"
    keep = SegmentJournal.add_file

    def full(work: SegmentJournal, part: Path, name: str, frames: int) -> None:
        if len(work.segments) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        keep(work, part, name, frames)

    monkeypatch.setattr(SegmentJournal, "add_file", full)
    with pytest.raises(EncodeError, match=r"out.mkv: ffv1 failed \(No space left") as caught:
        double_video(source, target, LOSSLESS, interpolator=counting)
    assert caught.value.__notes__[0].startswith("16 finished frames are kept")
    monkeypatch.undo()
    double_video(source, target, replace(LOSSLESS, resume=True), interpolator=counting)
    assert len(shown(target)) == 48


def test_a_join_that_fails_is_all_that_is_done_again(source, tmp_path, counting, monkeypatch):
    target = tmp_path / "out.mkv"
    joining = VideoCommands.joining

    def broken(self: VideoCommands, segments: list[Path], playlist: Path) -> list[str]:
        arguments = joining(self, segments, playlist)
        return [*arguments, "-f", "nope"] if len(segments) > 1 else arguments

    monkeypatch.setattr(VideoCommands, "joining", broken)
    with pytest.raises(EncodeError, match="nope") as caught:
        double_video(source, target, LOSSLESS, interpolator=counting)
    assert caught.value.__notes__[0].startswith("48 finished frames are kept")
    monkeypatch.undo()
    counting.net.asked = 0
    options = replace(LOSSLESS, resume=True, audio=False)  # which no frame depends on
    result = double_video(source, target, options, interpolator=counting)
    assert (counting.net.asked, result.frames_out) == (0, 48)
    assert clips.packets(target) == []


def test_a_finished_video_that_cannot_take_its_name_has_another(source, tmp_path, counting):
    target = tmp_path / "out.mkv"

    def block(done: int, total: int | None) -> None:
        target.mkdir(exist_ok=True)

    with pytest.raises(EncodeError, match=r"exists by now .* kept as .*finished.mkv\.") as caught:
        double_video(source, target, LOSSLESS, interpolator=counting, progress=block)
    assert not hasattr(caught.value, "__notes__")
    assert len(shown(tmp_path / "out.finished.mkv")) == 48
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.finished.mkv", "out.mkv"]


def test_other_settings_are_refused(source, tmp_path, counting):
    target = tmp_path / "out.mkv"
    interrupted(source, target, OPTIONS, counting)
    with pytest.raises(EncodeError, match="an earlier run are kept; use `resume` to go on"):
        double_video(source, target, OPTIONS, interpolator=counting)
    other = replace(OPTIONS, encode=EncodeOptions(crf=20), resume=True)
    with pytest.raises(
        EncodeError, match="`crf`: not given, now 20; `preset`: ultrafast, now not given"
    ):
        double_video(source, target, other, interpolator=counting)
    assert completed_frames(target) == 2 * EVERY
    anew = replace(OPTIONS, overwrite=True)
    double_video(source, target, anew, interpolator=counting)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mkv"]


@pytest.mark.parametrize("name", ["out.gif", "out.webp", "-"])
def test_what_is_made_in_one_go_cannot_be_resumed(source, tmp_path, counting, name):
    target = Path(name) if name == "-" else tmp_path / name
    with pytest.raises(EncodeError, match="`resume` goes on with a video or with pictures"):
        double_video(source, target, DoubleOptions(resume=True), interpolator=counting)


def test_pictures_go_on(tmp_path, counting):
    pictures = tmp_path / "in"
    pictures.mkdir()
    clips.moving_clip(pictures / "shot_%03d.png", 24, codec="png", pix_fmt="rgb24", size=(64, 48))
    options = DoubleOptions(segment_frames=EVERY)
    once = double_video(pictures, tmp_path / "whole", options, interpolator=counting)
    interrupted(pictures, tmp_path / "out", options, counting)
    again = double_video(
        pictures, tmp_path / "out", replace(options, resume=True), interpolator=counting
    )
    made = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
            for name in ("out", "whole")]  # fmt: skip
    assert made[0] == made[1]
    assert len(made[0]) == 48
    assert again.output_bytes == once.output_bytes
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out", "whole"]


def test_pictures_that_cannot_take_their_places_are_made_once(tmp_path, counting):
    pictures, target = tmp_path / "in", tmp_path / "out"
    pictures.mkdir()
    clips.moving_clip(pictures / "shot_%03d.png", 6, codec="png", pix_fmt="rgb24", size=(64, 48))
    (target / "shot_003.png").mkdir(parents=True)
    options = DoubleOptions(segment_frames=8)
    with pytest.raises(EncodeError, match=r"shot_003.png exists by now .* kept as") as caught:
        double_video(pictures, target, options, interpolator=counting)
    assert not hasattr(caught.value, "__notes__")
    assert len(list((tmp_path / "out.finished").iterdir())) == 12
    assert [path.name for path in target.iterdir()] == ["shot_003.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out", "out.finished"]


def test_motion_goes_on(source, tmp_path):
    flow = Interpolator(create_model("flow").eval(), device="cpu")
    options = replace(OPTIONS, save_flow=tmp_path / "motion")
    whole = replace(OPTIONS, save_flow=tmp_path / "whole_motion")
    double_video(source, tmp_path / "whole.mp4", whole, interpolator=flow)
    interrupted(source, tmp_path / "out.mp4", options, flow)
    assert not (tmp_path / "motion").exists()
    double_video(source, tmp_path / "out.mp4", replace(options, resume=True), interpolator=flow)
    made = [
        {path.name: path.read_bytes().replace(b"whole.mp4", b"out.mp4") for path in f.iterdir()}
        for f in (tmp_path / "motion", tmp_path / "whole_motion")
    ]
    assert made[0] == made[1]
    assert len(made[0]) > 100
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()
