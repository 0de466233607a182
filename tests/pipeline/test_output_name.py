"""How a finished output takes its name: never another's, unless that was asked for."""

import os
import socket
import sys
from pathlib import Path

import clips
import pytest

from interp_cli import atomic
from interp_cli.atomic import AtomicPath, move_aside, rename_new
from interp_cli.errors import EncodeError, InterpError
from interp_cli.inference.interpolator import Interpolator
from interp_cli.models.registry import create_model
from interp_cli.options import DoubleOptions
from interp_cli.pipeline.double import double_video


@pytest.fixture(scope="module")
def source(clip_folder: Path) -> Path:
    return clips.moving_clip(clip_folder / "named.mkv", 4, codec="ffv1", size=(64, 48))


def appearing(target: Path):
    """Progress that writes the target while the job runs, once."""

    def write(done: int, total: int | None) -> None:
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            target.write_text("somebody else's")

    return write


def pictures(path: Path) -> list[bytes]:
    """The planes of each frame of a video or an animation; the file itself of a WebP."""
    if path.suffix == ".webp":
        return [path.read_bytes()]
    return [b"".join(p.tobytes() for p in clips.planes(frame)) for frame in clips.decoded(path)]


@pytest.mark.parametrize(
    ("name", "segment_frames"),
    [("out.mkv", 500), ("out.mp4", 4), ("out.gif", 500), ("out.apng", 500), ("out.webp", 500)],
)
def test_a_file_that_appears_meanwhile_stays(source, tmp_path, interpolator, name, segment_frames):
    target = tmp_path / name
    kept = tmp_path / f"out.finished{target.suffix}"
    options = DoubleOptions(segment_frames=segment_frames)
    with pytest.raises(EncodeError) as caught:
        double_video(source, target, options, interpolator=interpolator, progress=appearing(target))
    assert str(caught.value) == (
        f"{target}: exists by now and was not replaced. The finished output is kept as {kept}."
    )
    assert not hasattr(caught.value, "__notes__")
    assert target.read_text() == "somebody else's"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([kept.name, name])
    # What is kept is whole: the same as with `overwrite`.
    again = DoubleOptions(segment_frames=segment_frames, overwrite=True)
    double_video(source, target, again, interpolator=interpolator, progress=appearing(target))
    assert pictures(target) == pictures(kept)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([kept.name, name])


@pytest.mark.parametrize("has_folder", [False, True])
def test_pictures_that_appear_meanwhile_stay(source, tmp_path, interpolator, has_folder):
    folder = tmp_path / "out"
    if has_folder:
        folder.mkdir()
    theirs = folder / "f_3.png"
    with pytest.raises(EncodeError) as caught:
        double_video(
            source, folder / "f_%d.png", interpolator=interpolator, progress=appearing(theirs)
        )
    kept = tmp_path / "out.finished"
    assert str(caught.value) == (
        f"{folder}: {theirs} exists by now and was not replaced. The finished output is kept as "
        f"{kept}."
    )
    assert theirs.read_text() == "somebody else's"
    assert sorted(path.name for path in kept.iterdir()) == [f"f_{n}.png" for n in range(1, 9)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out.finished"]


def test_flow_that_appears_meanwhile_stays(source, tmp_path):
    flow = Interpolator(create_model("flow").eval(), device="cpu")
    theirs = tmp_path / "flow" / "flow.json"
    options = DoubleOptions(save_flow=theirs.parent)
    with pytest.raises(InterpError, match=r"flow: holds flow already; .* kept as .*flow\.finished"):
        double_video(
            source, tmp_path / "o.mkv", options, interpolator=flow, progress=appearing(theirs)
        )
    assert theirs.read_text() == "somebody else's"
    assert len(list((tmp_path / "flow.finished").glob("*_flow_t0.flo"))) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flow", "flow.finished", "o.mkv"]


def test_an_output_that_is_a_link_writes_what_it_names(source, tmp_path, interpolator):
    (tmp_path / "disk").mkdir()
    real, link = tmp_path / "disk" / "film.mkv", tmp_path / "out.mkv"
    link.symlink_to(real)
    result = double_video(source, link, interpolator=interpolator)  # it names nothing yet
    assert link.is_symlink()
    assert result.output_bytes == real.stat().st_size > 0
    with pytest.raises(EncodeError, match=r"out.mkv: exists; use `overwrite`"):
        double_video(source, link, interpolator=interpolator)
    real.write_text("old")
    double_video(source, link, DoubleOptions(overwrite=True), interpolator=interpolator)
    assert link.is_symlink()
    assert len(clips.decoded(real)) == 8
    assert [path.name for path in real.parent.iterdir()] == ["film.mkv"]


def test_a_link_in_a_circle_costs_one_line(source, tmp_path, interpolator):
    (tmp_path / "out.mkv").symlink_to(tmp_path / "out.mkv")
    with pytest.raises(EncodeError, match=r"out.mkv: is a link that leads back to itself"):
        double_video(source, tmp_path / "out.mkv", interpolator=interpolator)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mkv"]


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes there")
@pytest.mark.parametrize("name", ["out.mkv", "out.gif"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_named_pipe_is_no_output(source, tmp_path, interpolator, name, overwrite):
    os.mkfifo(tmp_path / name)
    with pytest.raises(EncodeError, match=r"is a named pipe or a device, not a file; write to - "):
        options = DoubleOptions(overwrite=overwrite)
        double_video(source, tmp_path / name, options, interpolator=interpolator)
    assert (tmp_path / name).is_fifo()


@pytest.mark.skipif(sys.platform == "win32", reason="no such files there")
def test_what_is_no_file_is_not_replaced_even_if_files_are(tmp_path):
    target, part = tmp_path / "out", tmp_path / "part"
    part.write_text("ours")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(target))
        with pytest.raises(FileExistsError):
            AtomicPath(target, part).commit()
    assert target.is_socket()


@pytest.mark.parametrize("has_links", [True, False], ids=["links", "no links"])
def test_a_new_name_is_never_another_files(tmp_path, monkeypatch, has_links):
    if not has_links:  # as on FAT

        def refused(*_: object, **__: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(atomic.os, "link", refused)
    part, target = tmp_path / "part", tmp_path / "out"
    part.write_text("ours")
    target.write_text("theirs")
    with pytest.raises(FileExistsError):
        rename_new(part, target)
    assert (part.read_text(), target.read_text()) == ("ours", "theirs")
    target.unlink()
    rename_new(part, target)
    assert target.read_text() == "ours"
    assert not part.exists()


def test_names_that_are_taken_are_passed_over(tmp_path):
    part, target = tmp_path / "part", tmp_path / "film.mkv"
    part.write_text("ours")
    (tmp_path / "film.finished.mkv").write_text("earlier")
    (tmp_path / "film.finished2.mkv").symlink_to("nothing")
    assert move_aside(part, target, "finished") == tmp_path / "film.finished3.mkv"
    long = tmp_path / f"{'ä' * 120}.mkv"
    (tmp_path / "more").write_text("ours")
    moved = move_aside(tmp_path / "more", long, "finished")
    assert moved is not None
    assert moved.name.endswith(".finished.mkv")


def test_a_hidden_name_that_is_a_link_is_not_written_through(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("the only copy")
    output = AtomicPath(tmp_path / "out.txt")
    output.part.symlink_to(precious)
    with output as part:
        part.write_text("new")
    output.part.symlink_to(precious)
    output.create()
    output.discard()
    assert precious.read_text() == "the only copy"
    assert (tmp_path / "out.txt").read_text() == "new"
