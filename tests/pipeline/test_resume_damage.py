"""What was kept and is not whole any more is made again; what is said of it is true."""

import errno
import os
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import clips
import pytest
from children import LIMIT_SECONDS

from interp_cli.errors import EncodeError, InterpError
from interp_cli.inference.interpolator import Interpolator
from interp_cli.models.registry import create_model
from interp_cli.options import DoubleOptions, EncodeOptions
from interp_cli.pipeline.description import JobDescription
from interp_cli.pipeline.double import double_video
from interp_cli.video.writers.kept_frames import completed_frames, journal_folder

EVERY = 8
OPTIONS = DoubleOptions(segment_frames=EVERY, encode=EncodeOptions(encoder="ffv1"))
AT_ONCE = 1e-9


@pytest.fixture(scope="module")
def source(clip_folder: Path) -> Path:
    return clips.moving_clip(clip_folder / "damage.mkv", 16, codec="ffv1", size=(64, 48))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    clips.moving_clip(folder / "shot_%03d.png", 16, codec="png", pix_fmt="rgb24", size=(64, 48))
    return folder


def stop_at_the_end(source, target, options, interpolator, monkeypatch) -> str:
    """Do all of a job but its last step; the note that says what is kept."""
    with monkeypatch.context() as patch:

        def full(*_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        name = "segmented.SegmentedWriter._joined"
        if "%" in target.name or not target.suffix:
            name = "sequence.rename_new"
        patch.setattr(f"interp_cli.video.writers.{name}", full)
        if name.startswith("seq"):
            patch.setattr("interp_cli.video.writers.sequence.move_aside", lambda *_: None)
        else:
            patch.setattr("interp_cli.video.writers.segmented.SegmentedWriter._try", lambda *_: 0)
        with pytest.raises(EncodeError, match="No space left on device") as caught:
            double_video(source, target, options, interpolator=interpolator)
    return caught.value.__notes__[0]


def flip(path: Path, place: float = 0.5) -> None:
    """Change one bit of a file and neither its size nor its time."""
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[int(len(content) * place)] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def shown(path: Path) -> list[tuple[Fraction, bytes]]:
    return [
        (frame.pts * frame.time_base, b"".join(plane.tobytes() for plane in clips.planes(frame)))
        for frame in clips.decoded(path)
    ]


@pytest.mark.parametrize("damaged", [0, 2])
def test_a_damaged_segment_is_made_again(source, tmp_path, interpolator, monkeypatch, damaged):
    target, whole = tmp_path / "out.mkv", tmp_path / "whole.mkv"
    double_video(source, whole, OPTIONS, interpolator=interpolator)
    stop_at_the_end(source, target, OPTIONS, interpolator, monkeypatch)
    segment = journal_folder(target) / f"{damaged:06d}.mkv"
    flip(segment)
    assert completed_frames(target, verify=True) == damaged * EVERY
    result = double_video(source, target, replace(OPTIONS, resume=True), interpolator=interpolator)
    assert shown(target) == shown(whole)
    assert result.frames_resumed == damaged * EVERY
    assert [text for text in result.warnings if "made again" in text] == [
        f"{segment}: was changed or removed since it was finished, so {32 - damaged * EVERY} "
        "frames that had been kept were made again."
    ]


@pytest.mark.parametrize("name", ["shot_011.png", "list"])
def test_a_damaged_picture_is_made_again(pictures, tmp_path, interpolator, monkeypatch, name):
    target, whole = tmp_path / "out", tmp_path / "whole"
    options = DoubleOptions(segment_frames=EVERY)
    double_video(pictures, whole, options, interpolator=interpolator)
    stop_at_the_end(pictures, target, options, interpolator, monkeypatch)
    work = journal_folder(target)
    flip(work / "000001.files" if name == "list" else work / "pictures" / name)
    again = replace(options, resume=True)
    result = double_video(pictures, target, again, interpolator=interpolator)
    assert result.frames_resumed == EVERY
    assert "000001.files: was changed or removed" in result.warnings[0]
    made = [{p.name: p.read_bytes() for p in folder.iterdir()} for folder in (target, whole)]
    assert made[0] == made[1]


def test_damaged_stored_frames_are_made_again(source, tmp_path, interpolator):
    options = replace(OPTIONS, segment_frames=1000, checkpoint_seconds=AT_ONCE)
    target, whole = tmp_path / "out.mkv", tmp_path / "whole.mkv"
    double_video(source, whole, options, interpolator=interpolator)

    def stop(done: int, total: int | None) -> None:
        if done >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        double_video(source, target, options, interpolator=interpolator, progress=stop)
    kept = completed_frames(target)
    assert kept >= EVERY
    flip(journal_folder(target) / "frames-000000000", 0.1)
    result = double_video(source, target, replace(options, resume=True), interpolator=interpolator)
    assert (result.frames_resumed, result.frames_out) == (0, 32)
    assert f"so {kept} frames that had been kept were made again" in result.warnings[0]
    assert shown(target) == shown(whole)


def test_damaged_flow_is_not_gone_on_from(source, tmp_path):
    flow = Interpolator(create_model("flow").eval(), device="cpu")
    options = replace(
        OPTIONS, segment_frames=1000, checkpoint_seconds=AT_ONCE, save_flow=tmp_path / "flow"
    )

    def stop(done: int, total: int | None) -> None:
        if done >= 20:
            raise KeyboardInterrupt

    target = tmp_path / "out.mkv"
    with pytest.raises(KeyboardInterrupt):
        double_video(source, target, options, interpolator=flow, progress=stop)
    part = tmp_path / ".flow.interp-flow" / "flow"
    (part / "000001_flow_t0.flo").write_bytes(b"")  # as after a power cut
    with pytest.raises(InterpError, match=r"flow that was kept is damaged; start over with `over"):
        double_video(source, target, replace(options, resume=True), interpolator=flow)
    (part / "frames.jsonl").write_bytes(b"\xff\xfe\n")
    with pytest.raises(InterpError, match=r"flow that was kept is damaged; start over with `over"):
        double_video(source, target, replace(options, resume=True), interpolator=flow)
    double_video(source, target, replace(options, overwrite=True), interpolator=flow)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flow", "out.mkv"]


@pytest.mark.parametrize("gone", ["frames", "output folder"])
def test_frames_that_are_gone_are_not_said_to_be_kept(source, tmp_path, interpolator, gone):
    target = tmp_path / "folder" / "out.mkv"
    target.parent.mkdir()

    def remove(done: int, total: int | None) -> None:
        if done == 20:
            begun = time.monotonic()
            while completed_frames(target) < EVERY:  # of which 20 frames were handed over
                assert time.monotonic() - begun < LIMIT_SECONDS
                time.sleep(0.01)
            # Renaming is one step, whatever the other threads do.
            path = journal_folder(target) if gone == "frames" else target.parent
            path.rename(tmp_path / "elsewhere")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        double_video(source, target, OPTIONS, interpolator=interpolator, progress=remove)
    assert caught.value.__notes__ == [
        f"No finished frames are kept in {journal_folder(target)}, which was removed, renamed or "
        "damaged meanwhile."
    ]
    assert not journal_folder(target).exists()


def test_an_output_folder_that_was_removed_is_named(source, tmp_path, interpolator):
    target = tmp_path / "folder" / "out.mkv"
    target.parent.mkdir()

    def remove(done: int, total: int | None) -> None:
        if target.parent.exists():
            target.parent.rename(tmp_path / "elsewhere")

    with pytest.raises(EncodeError, match=r"the folder .*folder was removed or renamed meanwhile"):
        double_video(source, target, interpolator=interpolator, progress=remove)
    assert [path.name for path in tmp_path.iterdir()] == ["elsewhere"]


def test_resuming_is_not_advised_where_it_is_not_possible(
    source, tmp_path, interpolator, monkeypatch
):
    target = tmp_path / "out.mkv"
    note = stop_at_the_end(source, target, OPTIONS, interpolator, monkeypatch)
    assert note == "32 finished frames are kept: the same job with `resume` goes on."
    with pytest.raises(EncodeError, match=r"are kept; use `overwrite` to start over\.$"):
        double_video("-", target, OPTIONS, interpolator=interpolator)
    with pytest.raises(EncodeError, match=r"are kept; use `resume` to go on, or `overwrite` to"):
        double_video(source, target, OPTIONS, interpolator=interpolator)


@pytest.mark.parametrize("place", [0.0, 0.5, 0.999])
def test_another_input_of_the_same_size_and_time_is_another(
    tmp_path, interpolator, monkeypatch, place
):
    source = clips.moving_clip(tmp_path / "in.mkv", 16, codec="ffv1", size=(64, 48))
    target = tmp_path / "out.mkv"
    stop_at_the_end(source, target, OPTIONS, interpolator, monkeypatch)
    options = replace(OPTIONS, resume=True)

    def description() -> JobDescription:
        return JobDescription.of(source, target, [source], options)

    before = description()
    flip(source, place)
    (difference,) = description().differences(before.to_data())
    assert difference.startswith("input: ")
    if place == 0.5:  # the others are no video any more
        with pytest.raises(EncodeError, match=r"made in another way \(input: \w+, now \w+\)"):
            double_video(source, target, options, interpolator=interpolator)


def test_little_of_a_long_input_is_read(tmp_path):
    source = tmp_path / "long.mkv"
    with source.open("wb") as file:
        file.truncate(1 << 40)  # sparse
    before = JobDescription.of(source, tmp_path / "o.mkv", [source], DoubleOptions()).input_hash
    for place in (0, 1 << 39, (1 << 40) - 1):
        status = source.stat()
        with source.open("r+b") as file:
            file.seek(place)
            file.write(b"x")
        os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
        after = JobDescription.of(source, tmp_path / "o.mkv", [source], DoubleOptions()).input_hash
        assert after != before
        before = after
