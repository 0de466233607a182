"""Segments of a target that are kept, and what is said of them."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from interp_cli.errors import EncodeError
from interp_cli.options import DoubleOptions
from interp_cli.video.writers.journal import SegmentJournal
from interp_cli.video.writers.kept_frames import check_completed, completed_frames, journal_folder

EVERY = 8


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
