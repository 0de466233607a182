"""Nothing that is not ours is removed, replaced or written to where unfinished work lies."""

import os
import re
import sys
from pathlib import Path

import clips
import pytest

from interp_cli.errors import EncodeError, InterpError
from interp_cli.options import DoubleOptions
from interp_cli.pipeline.double import double_video
from interp_cli.pipeline.flow_export import FlowWriter
from interp_cli.video.writers.kept_frames import journal_folder, work_folder
from interp_cli.video.writers.work_folder import WorkFolder


@pytest.fixture(scope="module")
def source(clip_folder: Path) -> Path:
    return clips.moving_clip(clip_folder / "work.mkv", 3, codec="ffv1", size=(64, 48))


def content(folder: Path) -> dict[str, str]:
    """Everything below a folder, links not followed."""
    found = {}
    for path in sorted(folder.rglob("*")):
        kind = "link" if path.is_symlink() else "folder" if path.is_dir() else path.read_text()
        found[str(path.relative_to(folder))] = kind
    return found


def link_to_a_folder(place: Path, other: Path) -> None:
    place.symlink_to(other)


def link_to_nothing(place: Path, other: Path) -> None:
    place.symlink_to(other / "none")


def a_file(place: Path, other: Path) -> None:
    place.write_text("mine")


def with_a_file(place: Path, other: Path) -> None:
    place.mkdir()
    (place / "lock").touch()
    (place / "thesis.tex").write_text("years of work")


def with_a_folder(place: Path, other: Path) -> None:
    (place / "photos").mkdir(parents=True)
    (place / "lock").touch()
    (place / "photos" / "000001.png").write_text("mine")


def with_a_file_among_pictures(place: Path, other: Path) -> None:
    (place / "pictures").mkdir(parents=True)
    (place / "lock").touch()
    (place / "pictures" / "notes.txt").write_text("mine")


def with_a_link_by_our_name(place: Path, other: Path) -> None:
    place.mkdir()
    (place / "lock").touch()
    (place / "000000.mkv").symlink_to(other / "precious")


def with_a_linked_folder_by_our_name(place: Path, other: Path) -> None:
    place.mkdir()
    (place / "lock").touch()
    (place / "pictures").symlink_to(other)


def with_a_linked_lock(place: Path, other: Path) -> None:
    place.mkdir()
    (place / "lock").symlink_to(other / "precious")


def with_numbered_videos(place: Path, other: Path) -> None:
    place.mkdir()  # they look like segments, but we would have left a lock
    (place / "000001.mkv").write_text("mine")


@pytest.mark.parametrize("options", [{}, {"overwrite": True}, {"resume": True}], ids=str)
@pytest.mark.parametrize(
    "make",
    [
        link_to_a_folder,
        link_to_nothing,
        a_file,
        with_a_file,
        with_a_folder,
        with_a_file_among_pictures,
        with_a_link_by_our_name,
        with_a_linked_folder_by_our_name,
        with_a_linked_lock,
        with_numbered_videos,
    ],
)
def test_what_is_not_ours_is_refused_and_stays(source, tmp_path, interpolator, make, options):
    other = tmp_path / "other"
    other.mkdir()
    (other / "precious").write_text("the only copy")
    target = tmp_path / "out.mkv"
    make(journal_folder(target), other)
    before = content(tmp_path)
    with pytest.raises(EncodeError) as caught:
        double_video(source, target, DoubleOptions(**options), interpolator=interpolator)
    assert re.match(r"[^\n]*\.out\.mkv\.interp: (is a|holds )[^\n]*move that away[^\n]*$",
                    str(caught.value))  # fmt: skip
    assert content(tmp_path) == before


@pytest.mark.parametrize("name", ["out.gif", "out.mkv", "out/%03d.png"])
def test_every_kind_of_output_refuses_a_foreign_folder(source, tmp_path, interpolator, name):
    target = tmp_path / name
    with_a_file(journal_folder(target), tmp_path)
    with pytest.raises(EncodeError, match=r"holds thesis\.tex, which interp did not write"):
        double_video(source, target, interpolator=interpolator)
    assert (journal_folder(target) / "thesis.tex").read_text() == "years of work"


def test_unfinished_flow_refuses_a_foreign_folder(tmp_path):
    hidden = tmp_path / ".m.interp-flow"
    with_a_file(hidden, tmp_path)
    with pytest.raises(InterpError, match=r"holds thesis\.tex"):
        FlowWriter(tmp_path / "m", (7, 5), {}).__enter__()
    assert (hidden / "thesis.tex").exists()


def test_old_flow_is_not_removed_through_a_folder_or_a_link(tmp_path):
    folder = tmp_path / "m"
    (folder / "000001_flow_t0.png").mkdir(parents=True)
    (folder / "000001_flow_t0.png" / "mine").write_text("mine")
    with pytest.raises(InterpError, match=r"other files than flow, such as 000001_flow_t0\.png"):
        FlowWriter(folder, (7, 5), {}, overwrite=True)
    assert content(folder) == {"000001_flow_t0.png": "folder", "000001_flow_t0.png/mine": "mine"}


def test_what_is_put_there_meanwhile_stays(tmp_path):
    target = tmp_path / "out.mkv"
    with work_folder(target) as work:
        (work.path / "whole.mkv").write_text("ours")
        (work.path / "thesis.tex").write_text("years of work")
    assert content(tmp_path) == {
        ".out.mkv.interp": "folder",
        ".out.mkv.interp/thesis.tex": "years of work",
    }


@pytest.mark.parametrize("name", ["out.gif", "out.mkv"])
def test_what_a_killed_run_left_goes_with_the_next(source, tmp_path, interpolator, name):
    target = tmp_path / name
    work = journal_folder(target)
    (work / "covers-abc").mkdir(parents=True)
    for left in ("lock", f"whole{target.suffix}", "000000.part.mkv", "covers-abc/cover.png"):
        (work / left).write_text("left")
    double_video(source, target, interpolator=interpolator)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.skipif(sys.platform == "win32", reason="no lock there")
@pytest.mark.parametrize("name", ["out.gif", "out.mkv", "out_%d.png"])
def test_two_runs_do_not_make_one_output(source, tmp_path, interpolator, name):
    target = tmp_path / name
    with (
        work_folder(target),
        pytest.raises(EncodeError, match=r": another run is making it; wait for that"),
    ):
        double_video(source, target, DoubleOptions(overwrite=True), interpolator=interpolator)
    double_video(source, target, interpolator=interpolator)


def test_a_folder_that_its_owner_just_removed_is_not_taken_for_locked(tmp_path, monkeypatch):
    work = WorkFolder(tmp_path / "work", tmp_path / "out", re.compile("x"), None)
    opened = []
    real = os.open

    def removing(path, *arguments):
        lock = real(path, *arguments)
        if not opened:
            Path(path).unlink()  # by the run that had it
        opened.append(path)
        return lock

    monkeypatch.setattr(os, "open", removing)
    with work:
        assert len(opened) == 2
        assert (tmp_path / "work" / "lock").exists()
