import errno
import hashlib
import json
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import clips
import crafted
import numpy as np
import pytest
import torch
from children import (
    LIMIT_SECONDS,
    PAUSE_AFTER_SEGMENT,
    await_line,
    ended_by,
    run_interp,
    running_interp,
)

from interp_cli.errors import EncodeError
from interp_cli.inference.interpolator import Interpolator
from interp_cli.models.registry import create_model
from interp_cli.models.weights import save_weights
from interp_cli.options import DoubleOptions, EncodeOptions, InferenceOptions
from interp_cli.pipeline.double import double_video
from interp_cli.video.encoding.commands import VideoCommands
from interp_cli.video.writers import frame_store
from interp_cli.video.writers.frame_store import FrameStore, StoredFrames, usable_frames
from interp_cli.video.writers.journal import (
    SegmentJournal,
    check_completed,
    completed_frames,
    journal_folder,
)

FILM = Fraction(24000, 1001)
EVERY = 8
OPTIONS = DoubleOptions(segment_frames=EVERY, encode=EncodeOptions(preset="ultrafast"))
LOSSLESS = DoubleOptions(segment_frames=EVERY, encode=EncodeOptions(encoder="ffv1"))
COUNTS = (
    "frames_in",
    "frames_out",
    "synthesized",
    "cuts",
    "duplicates",
    "retimed",
    "video_seconds",
)


@dataclass(frozen=True)
class Settings:
    """As much of a description as a journal asks for."""

    crf: int = 17

    def to_data(self) -> dict[str, Any]:
        return {"crf": self.crf}

    def differences(self, earlier: Mapping[str, Any]) -> list[str]:
        if set(earlier) != {"crf"}:
            raise ValueError("no such settings")
        return [] if earlier["crf"] == self.crf else [f"`crf`: {earlier['crf']}, now {self.crf}"]


def kept(target: Path, crf: int = 17, *, batch: int = 2, resume: bool = True) -> SegmentJournal:
    return SegmentJournal(target, EVERY, batch, Settings(crf), resume=resume)


def finish(work: SegmentJournal, number: int, content: bytes = b"segment") -> None:
    part = work.folder / f"{number}.part.mkv"
    part.write_bytes(content)
    work.add_file(part, f"{number}.mkv", EVERY)


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """A target of which two segments are kept."""
    target = tmp_path / "out.mkv"
    with pytest.raises(KeyboardInterrupt), kept(target) as work:
        finish(work, 0)
        finish(work, 1)
        (work.folder / "000002.part.mkv").write_bytes(b"")
        raise KeyboardInterrupt
    return target


def test_finished_segments_stay_and_the_error_says_so(tmp_path: Path):
    target = tmp_path / "out.mkv"
    with pytest.raises(KeyboardInterrupt) as caught, kept(target) as work:
        finish(work, 0)
        raise KeyboardInterrupt
    note = "8 finished frames are kept: the same job with `resume` goes on."
    assert caught.value.__notes__ == [note]
    assert completed_frames(target) == 8


def test_a_job_goes_on_where_it_was_stopped(stopped: Path):
    with kept(stopped) as work:
        assert [path.name for path in work.paths] == ["0.mkv", "1.mkv"]
        assert work.completed == 16
        assert {path.name for path in work.folder.iterdir()} == {
            "0.mkv", "1.mkv", "journal.json", "lock",
        }  # fmt: skip
    assert list(stopped.parent.iterdir()) == []  # complete: nothing is kept any more


def test_the_batch_is_that_of_the_first_run(stopped: Path):
    with kept(stopped, batch=7) as work:
        assert work.batch == 2


def test_nothing_finished_leaves_nothing(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt) as caught, kept(tmp_path / "out.mkv"):
        raise KeyboardInterrupt
    assert not hasattr(caught.value, "__notes__")
    assert list(tmp_path.iterdir()) == []


def test_another_job_is_refused_and_nothing_is_lost(stopped: Path):
    with pytest.raises(EncodeError, match=r"made in another way \(`crf`: 17, now 20\)"):
        kept(stopped, 20).__enter__()
    assert completed_frames(stopped) == 16


def test_without_resume_it_begins_anew(stopped: Path):
    with kept(stopped, 20, resume=False) as work:
        assert work.completed == 0
        assert not (work.folder / "0.mkv").exists()


def test_hours_of_work_are_not_lost_unasked(stopped: Path):
    with pytest.raises(EncodeError, match="16 finished frames of an earlier run are kept; use `r"):
        check_completed(stopped, DoubleOptions())
    check_completed(stopped, DoubleOptions(resume=True))
    check_completed(stopped, DoubleOptions(overwrite=True))
    assert completed_frames(stopped) == 16


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"")])
def test_only_whole_segments_count(stopped: Path, damage: Callable[[Path], object]):
    damage(journal_folder(stopped) / "1.mkv")
    assert completed_frames(stopped) == 8


def add_a_field(journal: dict) -> None:
    journal["segments"][1]["seconds"] = 2.5


@pytest.mark.parametrize(
    "alter",
    [
        add_a_field,
        lambda journal: journal["segments"][0].pop("frames"),
        lambda journal: journal.update(facts=journal.pop("description")),  # as in 0.1.0.dev
        lambda journal: journal.pop("batch"),
        lambda journal: journal.update(order="by name"),
        lambda journal: journal.update(segments=[["0.mkv", 8, 7]]),
        lambda journal: journal.update(segments=None),
    ],
)
def test_a_journal_of_another_version_costs_one_line_and_no_frame(stopped: Path, alter):
    path = journal_folder(stopped) / "journal.json"
    journal = json.loads(path.read_text())
    alter(journal)
    path.write_text(json.dumps(journal))
    told = r"journal.json: is damaged, or another version .* start over with `overwrite`"
    with pytest.raises(EncodeError, match=told):
        kept(stopped).__enter__()
    with pytest.raises(EncodeError, match=told):
        check_completed(stopped, DoubleOptions())
    assert (journal_folder(stopped) / "1.mkv").exists()
    check_completed(stopped, DoubleOptions(overwrite=True))
    with kept(stopped, resume=False) as work:
        assert work.completed == 0


@pytest.mark.parametrize("text", ["", "{", "[]", "7"])
def test_a_damaged_journal_costs_one_line_too(stopped: Path, text: str):
    (journal_folder(stopped) / "journal.json").write_text(text)
    with pytest.raises(EncodeError, match=r"journal.json: is damaged, or"):
        completed_frames(stopped)


@pytest.mark.skipif(sys.platform == "win32", reason="no lock there")
def test_two_runs_do_not_share_a_target(tmp_path: Path):
    with kept(tmp_path / "out.mkv") as work:
        finish(work, 0)
        with pytest.raises(EncodeError, match="another run is making it"):
            kept(tmp_path / "out.mkv").__enter__()
        assert work.folder.is_dir()


def test_a_description_that_cannot_be_read_is_of_another_version(stopped: Path):
    path = journal_folder(stopped) / "journal.json"
    journal = json.loads(path.read_text())
    path.write_text(json.dumps(journal | {"description": {"crf": 17, "colour": "red"}}))
    with pytest.raises(EncodeError, match="or another version of interp wrote it"):
        kept(stopped).__enter__()
    assert completed_frames(stopped) == 16


class Counting(torch.nn.Module):
    """The mean of two frames, and how many were asked for."""

    supports_timestep = True
    asked = 0

    def size_multiple(self, height: int, width: int) -> int:
        return 1

    def forward(self, frame0, frame1, timestep):
        self.asked += len(frame0)
        return (1 - timestep) * frame0 + timestep * frame1


@pytest.fixture
def interpolator() -> Interpolator:
    return Interpolator(Counting().eval(), device="cpu")


@pytest.fixture(scope="module")
def source(clip_folder: Path) -> Path:
    """24 frames with sound, a cut and repeats."""
    return clips.moving_clip(
        clip_folder / "resume.mp4", 24, cuts=(13,), duplicates=(5, 17), audio="aac", size=(64, 48)
    )


@pytest.fixture(scope="module")
def vfr_source(clip_folder: Path) -> Path:
    """24 frames at times that are no multiples of anything, from 0.3 s on."""
    pts = [27_000 + 3000 * i + 7 * i * i + 11 * (i % 3) for i in range(24)]
    return clips.moving_clip(
        clip_folder / "resume_vfr.mp4", 24, pts=pts, time_base=Fraction(1, 90_000), size=(64, 48)
    )


@pytest.fixture(scope="module")
def film(clip_folder: Path) -> Path:
    """48 frames at the rate of film, with sound."""
    path = clip_folder / "resume_film.mkv"
    return clips.moving_clip(path, 48, rate=FILM, codec="ffv1", audio="aac", size=(64, 48))


@pytest.fixture(scope="module")
def interlaced_source(clip_folder: Path, film: Path) -> Path:
    return crafted.interlaced(film, clip_folder / "resume_interlaced.mkv")


@pytest.fixture(scope="module")
def telecined_source(clip_folder: Path, film: Path) -> Path:
    return crafted.telecined(film, clip_folder / "resume_telecined.mov")


@pytest.fixture(scope="module")
def soft_source(clip_folder: Path, film: Path) -> Path:
    return crafted.soft_telecined(film, clip_folder / "resume_soft.mkv")


def interrupted(
    source: Path, target: Path, options: DoubleOptions, interpolator: Interpolator
) -> None:
    """Begin a job and stop it once two segments are safe."""

    def stop(done: int, total: int | None) -> None:
        if done < 2 * (EVERY + 4):  # not all frames of two segments are handed over
            return
        deadline = time.monotonic() + LIMIT_SECONDS  # of which it needs a hundredth
        while completed_frames(target) < 2 * EVERY:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        double_video(source, target, options, interpolator=interpolator, progress=stop)
    assert completed_frames(target) >= 2 * EVERY
    assert not target.exists()


def shown(path: Path) -> list[tuple[Fraction, bytes]]:
    """When each frame is shown, and its planes."""
    return [
        (frame.pts * frame.time_base, b"".join(plane.tobytes() for plane in clips.planes(frame)))
        for frame in clips.decoded(path)
    ]


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
def test_a_resumed_video_equals_an_uninterrupted_one(case, request, tmp_path, interpolator):
    name, ending, options = CASES[case]
    clip = request.getfixturevalue(name)
    whole, target = tmp_path / f"whole.{ending}", tmp_path / f"out.{ending}"
    once = double_video(clip, whole, options, interpolator=interpolator)
    asked = interpolator.net.asked
    interrupted(clip, target, options, interpolator)
    frames = completed_frames(target)
    interpolator.net.asked = 0
    again = double_video(clip, target, replace(options, resume=True), interpolator=interpolator)
    assert shown(target) == shown(whole)
    assert [getattr(again, name) for name in COUNTS] == [getattr(once, name) for name in COUNTS]
    assert (once.frames_resumed, again.frames_resumed) == (0, frames)
    assert 0 < interpolator.net.asked < asked  # what is kept is not made again
    for kind in ("audio", "video"):
        assert clips.packets(target, kind) == clips.packets(whole, kind)
    if ending in ("mp4", "mov"):  # Matroska has random numbers in it
        assert target.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [target.name, whole.name]


def test_progress_begins_with_what_was_done_before(source, tmp_path, interpolator):
    target, calls = tmp_path / "out.mkv", []
    interrupted(source, target, OPTIONS, interpolator)
    frames = completed_frames(target)
    double_video(
        source,
        target,
        replace(OPTIONS, resume=True),
        interpolator=interpolator,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(done, 48) for done in range(frames, 49)]


@pytest.mark.parametrize("ending", ["mkv", "mov"])
def test_segments_are_joined_to_the_frame_and_the_tick(vfr_source, tmp_path, interpolator, ending):
    made = []
    for every in (EVERY, 1000):
        target = tmp_path / f"{every}.{ending}"
        options = replace(LOSSLESS, segment_frames=every)
        double_video(vfr_source, target, options, interpolator=interpolator)
        made.append(shown(target))
    assert made[0] == made[1]
    assert len(made[0]) == 48


def test_frames_that_get_lost_when_segments_are_joined_are_noticed(
    source, tmp_path, interpolator, monkeypatch
):
    real = VideoCommands.joining
    monkeypatch.setattr(VideoCommands, "joining", lambda *args: [*real(*args), "-frames:v", "40"])
    target = tmp_path / "out.mkv"
    with pytest.raises(EncodeError, match=r"it joined 40 of 48 frames") as caught:
        double_video(source, target, LOSSLESS, interpolator=interpolator)
    assert caught.value.__notes__[0].startswith("48 finished frames are kept")
    assert not target.exists()


@pytest.mark.parametrize("ending", ["mkv", "webm"])
def test_joined_segments_last_as_long_as_a_video_made_in_one_go(
    film, tmp_path, interpolator, ending
):
    said = []
    for every in (EVERY, 1000):
        target = tmp_path / f"{every}.{ending}"
        options = DoubleOptions(segment_frames=every, audio=False)
        double_video(film, target, options, interpolator=interpolator)
        with av.open(str(target)) as container:
            stream = container.streams.video[0]
            said.append((container.duration, stream.metadata["DURATION"]))
            packets = [packet for packet in container.demux(stream) if packet.size]
            said[-1] += tuple(sorted((packet.pts, packet.duration) for packet in packets))
    assert said[0] == said[1]
    assert said[0][:2] == (2_002_000, "00:00:02.002000000")  # 48 frames, 24000/1001 a second


def test_what_is_wrong_in_the_end_is_said_at_once(source, tmp_path, interpolator):
    options = replace(OPTIONS, encode=EncodeOptions(ffmpeg_output=("-c:a", "nope")))
    with pytest.raises(EncodeError, match=r"unknown encoder 'nope'"):
        double_video(source, tmp_path / "out.mkv", options, interpolator=interpolator)
    assert interpolator.net.asked <= 3 * EVERY
    assert list(tmp_path.iterdir()) == []


def test_wishes_for_the_encoder_do_not_trouble_the_join(source, tmp_path, interpolator):
    words = ("-profile:v", "high", "-tune", "film", "-bsf:v", "dump_extra", "-b:a", "64k")
    words += ("-metadata:s:v:0", "title=whole")
    options = replace(OPTIONS, encode=EncodeOptions(ffmpeg_output=words))
    target = tmp_path / "out.mp4"
    double_video(source, target, options, interpolator=interpolator)
    assert len(shown(target)) == 48


def test_a_full_disk_loses_nothing_that_is_finished(source, tmp_path, interpolator, monkeypatch):
    target = tmp_path / "out.mkv"
    keep = SegmentJournal.add_file

    def full(work: SegmentJournal, part: Path, name: str, frames: int) -> None:
        if len(work.segments) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        keep(work, part, name, frames)

    monkeypatch.setattr(SegmentJournal, "add_file", full)
    with pytest.raises(EncodeError, match=r"out.mkv: ffv1 failed \(No space left") as caught:
        double_video(source, target, LOSSLESS, interpolator=interpolator)
    assert caught.value.__notes__[0].startswith("16 finished frames are kept")
    monkeypatch.undo()
    double_video(source, target, replace(LOSSLESS, resume=True), interpolator=interpolator)
    assert len(shown(target)) == 48


def test_a_join_that_fails_is_all_that_is_done_again(source, tmp_path, interpolator, monkeypatch):
    target = tmp_path / "out.mkv"
    joining = VideoCommands.joining

    def broken(self: VideoCommands, segments: list[Path], playlist: Path) -> list[str]:
        arguments = joining(self, segments, playlist)
        return [*arguments, "-f", "nope"] if len(segments) > 1 else arguments

    monkeypatch.setattr(VideoCommands, "joining", broken)
    with pytest.raises(EncodeError, match="nope") as caught:
        double_video(source, target, LOSSLESS, interpolator=interpolator)
    assert caught.value.__notes__[0].startswith("48 finished frames are kept")
    monkeypatch.undo()
    interpolator.net.asked = 0
    options = replace(LOSSLESS, resume=True, audio=False)  # which no frame depends on
    result = double_video(source, target, options, interpolator=interpolator)
    assert (interpolator.net.asked, result.frames_out) == (0, 48)
    assert clips.packets(target) == []


def test_a_finished_video_that_cannot_take_its_name_has_another(source, tmp_path, interpolator):
    target = tmp_path / "out.mkv"

    def block(done: int, total: int | None) -> None:
        target.mkdir(exist_ok=True)

    with pytest.raises(EncodeError, match=r"exists by now .* kept as .*finished.mkv\.") as caught:
        double_video(source, target, LOSSLESS, interpolator=interpolator, progress=block)
    assert not hasattr(caught.value, "__notes__")
    assert len(shown(tmp_path / "out.finished.mkv")) == 48
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.finished.mkv", "out.mkv"]


def test_other_settings_are_refused(source, tmp_path, interpolator):
    target = tmp_path / "out.mkv"
    interrupted(source, target, OPTIONS, interpolator)
    with pytest.raises(EncodeError, match="an earlier run are kept; use `resume` to go on"):
        double_video(source, target, OPTIONS, interpolator=interpolator)
    other = replace(OPTIONS, encode=EncodeOptions(crf=20), resume=True)
    with pytest.raises(
        EncodeError, match="`crf`: not given, now 20; `preset`: ultrafast, now not given"
    ):
        double_video(source, target, other, interpolator=interpolator)
    assert completed_frames(target) == 2 * EVERY
    anew = replace(OPTIONS, overwrite=True)
    double_video(source, target, anew, interpolator=interpolator)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mkv"]


@pytest.mark.parametrize("name", ["out.gif", "out.webp", "-"])
def test_what_is_made_in_one_go_cannot_be_resumed(source, tmp_path, interpolator, name):
    target = Path(name) if name == "-" else tmp_path / name
    with pytest.raises(EncodeError, match="`resume` goes on with a video or with pictures"):
        double_video(source, target, DoubleOptions(resume=True), interpolator=interpolator)


def test_pictures_go_on(tmp_path, interpolator):
    pictures = tmp_path / "in"
    pictures.mkdir()
    clips.moving_clip(pictures / "shot_%03d.png", 24, codec="png", pix_fmt="rgb24", size=(64, 48))
    options = DoubleOptions(segment_frames=EVERY)
    once = double_video(pictures, tmp_path / "whole", options, interpolator=interpolator)
    interrupted(pictures, tmp_path / "out", options, interpolator)
    again = double_video(
        pictures, tmp_path / "out", replace(options, resume=True), interpolator=interpolator
    )
    made = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
            for name in ("out", "whole")]  # fmt: skip
    assert made[0] == made[1]
    assert len(made[0]) == 48
    assert again.output_bytes == once.output_bytes
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out", "whole"]


def test_pictures_that_cannot_take_their_places_are_made_once(tmp_path, interpolator):
    pictures, target = tmp_path / "in", tmp_path / "out"
    pictures.mkdir()
    clips.moving_clip(pictures / "shot_%03d.png", 6, codec="png", pix_fmt="rgb24", size=(64, 48))
    (target / "shot_003.png").mkdir(parents=True)
    options = DoubleOptions(segment_frames=8)
    with pytest.raises(EncodeError, match=r"shot_003.png exists by now .* kept as") as caught:
        double_video(pictures, target, options, interpolator=interpolator)
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


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    save_weights(path, create_model("flow"), "flow", {})
    return path


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_command_goes_on(tmp_path: Path, weights: Path, number: signal.Signals):
    source = clips.moving_clip(tmp_path / "in.mp4", 40, audio="aac", cuts=(20,))
    target, whole = tmp_path / "out.mp4", tmp_path / "whole.mp4"
    asked = (
        "--model",
        weights,
        "--segment-frames",
        "16",
        "--preset",
        "ultrafast",
        "-q",
        "--precision",
        "fp32",
    )
    with running_interp("double", source, target, *asked, before=PAUSE_AFTER_SEGMENT) as process:
        await_line(process, "paused")
        code, said = ended_by(process, number)
    frames = completed_frames(target)
    assert 16 <= frames < 80
    assert not target.exists()
    options = replace(
        OPTIONS, segment_frames=16, inference=InferenceOptions(str(weights), precision="fp32")
    )
    if number is signal.SIGINT:
        assert code == 130
        assert f"out.mp4: {frames} finished frames are kept: the same " in said
        double_video(source, target, replace(options, resume=True))
    else:
        again = run_interp("double", source, target, *asked, "--resume")
        said = again.stderr
        assert again.returncode == 0, said
        assert f"out.mp4: continues after {frames} finished frames" in said
    double_video(source, whole, options)
    assert target.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4", "whole.mp4"]


def test_weights_may_lie_elsewhere_when_a_job_goes_on(source, tmp_path, weights):
    other = tmp_path / weights.name
    other.write_bytes(weights.read_bytes())
    target = tmp_path / "out.mp4"
    interrupted(source, target, OPTIONS, Interpolator(weights, device="cpu", quality="fast"))
    moved = Interpolator(other, device="cpu", quality="fast")
    result = double_video(source, target, replace(OPTIONS, resume=True), interpolator=moved)
    assert result.frames_resumed >= 2 * EVERY
    assert result.model == str(other.with_suffix(""))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_automatic_precision_is_that_of_the_first_run(source, tmp_path, weights, precision):
    inference = InferenceOptions(str(weights), device="cpu")
    first = Interpolator.from_options(replace(inference, precision=precision))
    interrupted(source, tmp_path / "out.mp4", OPTIONS, first)
    again = replace(OPTIONS, resume=True, inference=inference)
    assert double_video(source, tmp_path / "out.mp4", again).precision == precision


def test_many_videos_go_on(source: Path, tmp_path: Path, weights: Path):
    clip = clips.moving_clip(tmp_path / "b.mp4", 6, size=(64, 48))
    done = tmp_path / "out" / "resume_2x.mp4"
    done.parent.mkdir()
    done.write_bytes(b"done")
    run = run_interp(
        "double", source, clip, "--output-dir", done.parent, "--model", weights, "--resume"
    )
    said = run.stderr
    assert run.returncode == 0, said
    assert "resume_2x.mp4: already finished" in said
    assert "b_2x.mp4: no finished frames to continue from: starts" in said
    assert "2 of 2 videos done" in said
    assert done.read_bytes() == b"done"
    assert len(shown(done.parent / "b_2x.mp4")) == 12


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"quality": "best"}, "`quality`: fast, now best"),
        ({"precision": "bf16"}, "`precision`: fp32, now bf16"),
        ({"seed": 1}, "`model`: "),
    ],
)
def test_frames_of_another_network_are_not_gone_on_with(source, tmp_path, changed, named):
    def made(seed=0, **how):
        torch.manual_seed(seed)
        save_weights(tmp_path / "w.safetensors", create_model("flow"), "flow", {})
        how = {"quality": "fast", "precision": "fp32", **how}
        return Interpolator(tmp_path / "w.safetensors", "cpu", **how)

    interrupted(source, tmp_path / "o.mp4", OPTIONS, made())
    with pytest.raises(EncodeError, match=named):
        options = replace(OPTIONS, resume=True)
        double_video(source, tmp_path / "o.mp4", options, interpolator=made(**changed))


# Every frame is worth keeping.
AT_ONCE = 1e-9
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


def stopped_after(
    frames: int, source: Path, target: Path, options: DoubleOptions, interpolator: Interpolator
) -> int:
    """Stop a job after so many frames of the output; the number of frames that are kept."""

    def stop(done: int, total: int | None) -> None:
        if done >= frames:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        double_video(source, target, options, interpolator=interpolator, progress=stop)
    kept = completed_frames(target)
    assert caught.value.__notes__ == [
        f"{kept} finished frames are kept: the same job with `resume` goes on."
    ]
    return kept


@pytest.mark.parametrize("case", STORED)
def test_stored_frames_are_not_made_again(case, request, tmp_path, interpolator):
    name, ending, options, every = STORED[case]
    options = replace(options, segment_frames=every, checkpoint_seconds=AT_ONCE)
    clip = request.getfixturevalue(name)
    whole, target = tmp_path / f"whole.{ending}", tmp_path / f"out.{ending}"
    once = double_video(clip, whole, options, interpolator=interpolator)
    asked = interpolator.net.asked
    kept = []
    for frames in (17, 31):  # the second time it had gone on
        kept.append(stopped_after(frames, clip, target, options, interpolator))
        options = replace(options, resume=True)
    assert 8 <= kept[0] < kept[1]
    interpolator.net.asked = 0
    again = double_video(clip, target, options, interpolator=interpolator)
    assert shown(target) == shown(whole)
    assert [getattr(again, name) for name in COUNTS] == [getattr(once, name) for name in COUNTS]
    assert again.frames_resumed == kept[1]
    assert interpolator.net.asked < asked
    if ending in ("mp4", "mov"):
        assert target.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [target.name, whole.name]


@pytest.mark.parametrize(
    ("pix_fmt", "ending"),
    [("yuva444p10le", "mkv"), ("gray16le", "mkv"), ("gbrp12le", "mkv"), ("nv12", "mkv")],
)
def test_stored_frames_have_the_samples_of_every_format(tmp_path, interpolator, pix_fmt, ending):
    codec = "rawvideo" if pix_fmt == "nv12" else "ffv1"
    size = (65, 49) if pix_fmt != "nv12" else (64, 48)
    clip = clips.moving_clip(tmp_path / "in.mkv", 12, codec=codec, pix_fmt=pix_fmt, size=size)
    options = replace(LOSSLESS, segment_frames=1000, checkpoint_seconds=AT_ONCE)
    double_video(clip, tmp_path / f"whole.{ending}", options, interpolator=interpolator)
    target = tmp_path / f"out.{ending}"
    assert stopped_after(19, clip, target, options, interpolator) >= 8
    double_video(clip, target, replace(options, resume=True), interpolator=interpolator)
    assert shown(target) == shown(tmp_path / f"whole.{ending}")


@pytest.mark.parametrize("every", [EVERY, 1000])
def test_pictures_go_on_from_stored_frames(tmp_path, interpolator, every):
    pictures = tmp_path / "in"
    pictures.mkdir()
    clips.moving_clip(pictures / "shot_%03d.png", 24, codec="png", pix_fmt="rgb24", size=(64, 48))
    options = DoubleOptions(segment_frames=every, checkpoint_seconds=AT_ONCE)
    double_video(pictures, tmp_path / "whole", options, interpolator=interpolator)
    stopped_after(31, pictures, tmp_path / "out", options, interpolator)
    again = replace(options, resume=True)
    result = double_video(pictures, tmp_path / "out", again, interpolator=interpolator)
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


def test_a_short_job_that_took_no_time_leaves_nothing(source, tmp_path, interpolator):
    def stop(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        double_video(source, tmp_path / "o.mkv", interpolator=interpolator, progress=stop)
    assert not hasattr(caught.value, "__notes__")
    assert list(tmp_path.iterdir()) == []


def test_a_fast_segment_is_not_stored(tmp_path, monkeypatch):
    now = 0.0
    monkeypatch.setattr(frame_store.time, "monotonic", lambda: now)
    store = FrameStore(tmp_path, 100, 250, 30.0)
    planes = (np.zeros((4, 4), np.uint8),)
    for number in range(20):  # 4 frames a second: 100 frames in 25 s
        store.add(number, planes)
        now += 0.25
        store.mark()
    assert store.safe == []
    assert list(tmp_path.iterdir()) == []
    for number in range(100, 110):  # 2 a second: not within 30 s
        store.add(number, planes)
        now += 0.5
        store.mark()
    digest = hashlib.blake2b(bytes(160), digest_size=16).hexdigest()
    assert store.safe == [StoredFrames("frames-000000100", 100, 10, 160, digest)]
    store.close()


def test_stored_frames_take_only_so_much_space(tmp_path, monkeypatch):
    monkeypatch.setattr(frame_store, "_MAX_BYTES", 40)
    store = FrameStore(tmp_path, 100, None, AT_ONCE)
    for number in range(6):
        store.add(number, (np.full((4, 4), number, np.uint8),))
    store.mark()
    (safe,) = store.safe
    assert (safe.name, safe.first, safe.frames, safe.size_bytes) == ("frames-000000000", 0, 3, 48)
    store.close()
    again = FrameStore(tmp_path, 100, None, AT_ONCE)
    assert again.load(store.safe, 0) == 3
    like = (np.zeros((4, 4), np.uint8),)
    assert [int(again.read(like)[0].mean()) for _ in range(3)] == [0, 1, 2]
    again.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("stored", "first", "usable"),
    [
        ([(0, 10), (10, 5)], 0, 2),
        ([(0, 10), (10, 5)], 10, 1),  # a segment has the rest
        ([(10, 5)], 0, 0),  # frames before are missing
        ([(0, 10), (11, 5)], 0, 1),
    ],
)
def test_stored_frames_are_used_without_a_gap(tmp_path, stored, first, usable):
    known = [StoredFrames(f"{begin}", begin, frames, 4, "") for begin, frames in stored]
    for frames in known:
        (tmp_path / frames.name).write_bytes(b"1234")
    assert len(usable_frames(tmp_path, known, first)) == usable
    known[0] = replace(known[0], size_bytes=5)
    assert usable_frames(tmp_path, known[:1], stored[0][0]) == []  # cut off


def test_a_full_disk_ends_the_store_and_not_the_job(source, tmp_path, interpolator, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(FrameStore, "add", full)
    options = replace(OPTIONS, checkpoint_seconds=AT_ONCE)
    result = double_video(source, tmp_path / "out.mkv", options, interpolator=interpolator)
    assert result.frames_out == 48


def test_stored_frames_are_durable_before_the_process_ends(source, tmp_path, interpolator):
    target, seen = tmp_path / "out.mkv", []
    options = replace(OPTIONS, segment_frames=1000, checkpoint_seconds=AT_ONCE)
    double_video(
        source,
        target,
        options,
        interpolator=interpolator,
        progress=lambda done, total: seen.append(completed_frames(target)),
    )
    assert seen[-1] >= 40  # of 48, from the journal alone
