"""A job as durable segments. Finished ones stay in a hidden folder next to the target.

A journal in that folder describes the job that the segments belong to. New frames of a segment that
takes long are stored there too (`FrameStore`). Segments and journal are written under another name,
flushed to the disk and renamed, so a power cut leaves a segment whole or not at all. Nothing here
knows what a segment holds.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from interp_cli import forced_exit
from interp_cli.atomic import AtomicPath, flush, hidden, write_whole
from interp_cli.errors import EncodeError
from interp_cli.options import DoubleOptions
from interp_cli.video.writers.frame_store import FrameStore, StoredFrames, usable_frames

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from interp_cli.video.pixel_format import Planes

_JOURNAL, _LOCK = "journal.json", "lock"


class Description(Protocol):
    """What a journal holds of the job that its segments belong to."""

    def to_data(self) -> dict[str, Any]:
        """The description as JSON has it."""

    def differences(self, earlier: Mapping[str, Any]) -> list[str]:
        """What makes an earlier job's segments unusable, in words; `ValueError`: all of them."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A finished part of the output.

    Attributes:
        name: Name of its file or folder in the hidden folder.
        frames: Number of frames that it holds.
        size_bytes: Size of the file; 0 for a folder.
    """

    name: str
    frames: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Journal:
    """The content of the journal's file: see `SegmentJournal`."""

    description: dict[str, Any]
    batch: int
    segments: list[Segment]
    stored: list[StoredFrames]


def journal_folder(target: Path) -> Path:
    """Where the work on a target is kept while it is unfinished."""
    home = target.parent
    if "%" in target.name and not home.is_dir():
        home = home.parent  # the folder of a picture sequence appears with its pictures
    return hidden(home / target.name, ".interp")


def completed_frames(target: Path) -> int:
    """Number of finished frames that an earlier, unfinished run has left.

    Raises:
        EncodeError: Another version of interp left them.
    """
    folder = journal_folder(target)
    journal = _read_journal(folder)
    if journal is None:
        return 0
    finished = sum(segment.frames for segment in _whole_segments(folder, journal))
    stored = usable_frames(folder, journal.stored, finished)
    return finished + sum(frames.frames for frames in stored)


def earlier_description(target: Path) -> dict[str, Any]:
    """Description of the job that an earlier, unfinished run did; empty where there is none.

    Raises:
        EncodeError: Another version of interp left it.
    """
    journal = _read_journal(journal_folder(target))
    return journal.description if journal else {}


def check_completed(target: Path, options: DoubleOptions) -> None:
    """Refuse to lose what an earlier run has left, unless that was asked for.

    Raises:
        EncodeError: There is something, and neither `resume` nor `overwrite` is set, or another
            version of interp left it.
    """
    frames = 0 if options.resume or options.overwrite else completed_frames(target)
    if frames:
        raise EncodeError(
            f"{target}: {frames} finished frames of an earlier run are kept; use `resume` to go "
            "on, or `overwrite` to start over."
        )


class SegmentJournal:
    """The finished segments of one target; a context manager that owns its hidden folder.

    Leaving its block without an error removes the folder. After an error it stays if a segment is
    finished or the work took long, and the error gets a note that says so.

    Attributes:
        folder: Folder of the segments, finished or not.
        segment_frames: Frames of a segment; the last one may have fewer.
        batch: Batch size in frame pairs, as settled by the first run.
        segments: The finished segments, in order.
        resumed: Number of frames that an earlier run made, in segments or stored.
    """

    def __init__(
        self,
        target: Path,
        segment_frames: int,
        batch: int,
        description: Description,
        *,
        resume: bool,
        checkpoint_seconds: float | None = None,
        expected_frames: int | None = None,
    ) -> None:
        """Say what is to be made.

        Args:
            target: The output.
            segment_frames: Frames of a segment.
            batch: Batch size in frame pairs, unless an earlier run settled another.
            description: The job that the segments belong to.
            resume: Whether to go on from what an earlier run has left; otherwise that is removed.
            checkpoint_seconds: Seconds of work after which new frames of an unfinished segment are
                safe too; `None`: only finished segments are.
            expected_frames: Number of frames of the output; `None`: unknown.
        """
        self.folder = journal_folder(target)
        self.segment_frames = segment_frames
        self.batch = batch
        self.segments: list[Segment] = []
        self._target = target
        self._description = description
        self._resume = resume
        self._lock: int | None = None
        self.resumed = 0
        self._mutex = threading.Lock()  # segments are finished in a thread of their own
        self._ending = threading.Lock()
        self._kept: str | None = None  # what the end of the block said
        self._checkpoint_seconds = checkpoint_seconds
        self._last_checkpoint = self._begun = time.monotonic()
        self._store: FrameStore | None = None
        self._has_loaded = False  # stored frames of an earlier run
        if checkpoint_seconds is not None:
            self._store = FrameStore(
                self.folder, segment_frames, expected_frames, checkpoint_seconds
            )

    @property
    def completed(self) -> int:
        """Number of frames in finished segments."""
        return sum(segment.frames for segment in self.segments)

    @property
    def resumable(self) -> int:
        """Number of frames that would be kept if the job stopped now."""
        return self.completed + sum(stored.frames for stored in self._safe_frames())

    @property
    def paths(self) -> list[Path]:
        """Paths of the finished segments, in order."""
        return [self.folder / segment.name for segment in self.segments]

    def __enter__(self) -> SegmentJournal:
        """Take the folder for this process.

        Raises:
            EncodeError: Another process has it, or its segments belong to another job or were
                made by another version of interp.
            OSError: It cannot be written.
        """
        self.folder.mkdir(exist_ok=True)
        self._lock = self._locked()
        try:
            if self._resume:
                self._load(_read_journal(self.folder))
            self.resumed = self.resumable
            self._remove_unfinished()
            if not self.resumed:
                (self.folder / _JOURNAL).unlink(missing_ok=True)
        except BaseException:
            self._unlock()
            raise
        forced_exit.register(self._end_at_once)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._ending:
            if self._store is not None and error is not None:
                with contextlib.suppress(OSError):
                    self._checkpoint()
                self._store.close()
            if error is not None and self.resumable:
                with contextlib.suppress(OSError):  # room for those who look for it
                    self._remove_unfinished()
                self._kept = self._note_of_kept()
                error.add_note(self._kept)
            else:
                if self._store is not None:
                    self._store.remove()
                shutil.rmtree(self.folder, ignore_errors=True)
            self._unlock()

    def _note_of_kept(self) -> str:
        return f"{self.resumable} finished frames are kept: the same job with `resume` goes on."

    def _end_at_once(self) -> str:
        """Do what the end of the block does, in another thread and while the work goes on.

        Returns:
            What is kept. The locks stay taken, so that nothing is added any more.
        """
        self._ending.acquire()
        if self._lock is not None:
            with contextlib.suppress(OSError):
                self._checkpoint()
            self._mutex.acquire()
            if self.resumable:
                with contextlib.suppress(OSError):
                    self._remove_unfinished()
                self._kept = self._note_of_kept()
            else:
                shutil.rmtree(self.folder, ignore_errors=True)
            self._unlock()
        return f"{self._target}: {self._kept or 'stopped; no frames are kept.'}"

    def add_file(self, part: Path, name: str, frames: int) -> None:
        """Make a finished segment durable.

        Args:
            part: Its file in the folder.
            name: New name of that file.
            frames: Number of frames that it holds.

        Raises:
            OSError: The disk is full.
        """
        size_bytes = part.stat().st_size
        AtomicPath(self.folder / name, part, durable=True).commit()
        self._note(Segment(name, frames, size_bytes))

    def add_files(self, files: Sequence[Path], folder: Path) -> None:
        """Make a segment durable that is some files, a frame each, in a folder for all segments.

        Raises:
            OSError: The disk is full.
        """
        for path in (*files, folder):
            flush(path)
        self._note(Segment(folder.name, len(files), 0))

    def store(self, number: int, planes: Planes | None) -> None:
        """Keep a frame of an unfinished segment, as far as it is worth the space.

        Args:
            number: Number of the frame in the output.
            planes: Its planes; `None`: it is an original, which is decoded again.
        """
        if self._store is None:
            return
        try:
            with self._mutex:
                self._store.add(number, planes)
        except OSError:  # segments may still fit
            self._store.remove()
            self._store = None

    def mark(self) -> None:
        """Say that a batch ends after the frames stored so far, so that a job can go on there."""
        if self._store is None or self._checkpoint_seconds is None:
            return
        with self._mutex:
            self._store.mark()
        if time.monotonic() - self._last_checkpoint >= self._checkpoint_seconds:
            with contextlib.suppress(OSError):  # it is tried again
                self._checkpoint()

    def read_stored(self, like: Planes) -> Planes:
        """The planes of the next new frame that an earlier run stored.

        Args:
            like: Planes of another frame of the same format.
        """
        assert self._store is not None  # something was stored
        return self._store.read(like)

    def _checkpoint(self) -> None:
        """Make the stored frames durable."""
        self._last_checkpoint = time.monotonic()
        with self._mutex:
            if self._store is not None and self._safe_frames():
                self._store.flush()
                self._write_journal()

    def _safe_frames(self) -> list[StoredFrames]:
        """Stored frames to go on from; none before the work was worth it."""
        if self._store is None or self._checkpoint_seconds is None:
            return []
        is_long = time.monotonic() - self._begun >= self._checkpoint_seconds
        if not (is_long or self._has_loaded):
            return []
        return usable_frames(self.folder, self._store.safe, self.completed)

    def _load(self, journal: _Journal | None) -> None:
        if journal is None:
            return
        segments = _whole_segments(self.folder, journal)
        finished = sum(segment.frames for segment in segments)
        if not segments and not usable_frames(self.folder, journal.stored, finished):
            return
        try:
            differences = self._description.differences(journal.description)
        except ValueError as error:
            raise _other_version(self.folder / _JOURNAL) from error
        if differences:
            raise EncodeError(
                f"{self._target}: the finished frames that are kept were made in another way "
                f"({'; '.join(differences)}); make it the same again, or use `overwrite` in place "
                "of `resume` to start over."
            )
        self.segments, self.batch = segments, journal.batch
        if self._store is not None:
            self._has_loaded = self._store.load(journal.stored, finished) > 0

    def _remove_unfinished(self) -> None:
        """Delete everything in the folder that is not finished."""
        known = {_LOCK, _JOURNAL, *(segment.name for segment in self.segments)}
        known |= {stored.name for stored in self._safe_frames()}
        for path in self.folder.iterdir():
            if path.name not in known:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _note(self, segment: Segment) -> None:
        with self._mutex:
            self.segments.append(segment)
            if self._store is not None:
                self._store.drop(self.completed)
            self._write_journal()

    def _write_journal(self) -> None:
        stored = self._safe_frames()
        content = asdict(_Journal(self._description.to_data(), self.batch, self.segments, stored))
        write_whole(self.folder / _JOURNAL, json.dumps(content, indent=1) + "\n", durable=True)

    def _locked(self) -> int:
        """Take a lock that ends with the process, however that ends."""
        lock = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if sys.platform != "win32":
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            raise EncodeError(
                f"{self._target}: another run is making it; wait for that, or choose another name."
            ) from error
        except OSError:
            pass  # some network drives know no locks
        return lock

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _read_journal(folder: Path) -> _Journal | None:
    path = folder / _JOURNAL
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return None
    try:
        content = json.loads(text)
        segments = [Segment(**item) for item in content.pop("segments")]
        stored = [StoredFrames(**item) for item in content.pop("stored")]
        return _Journal(**content, segments=segments, stored=stored)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise _other_version(path) from error


def _other_version(path: Path) -> EncodeError:
    return EncodeError(
        f"{path}: another version of interp wrote it, or it is damaged, so that the finished "
        "frames there cannot be used; go on with that version, or start over with `overwrite` and "
        "without `resume`."
    )


def _whole_segments(folder: Path, journal: _Journal | None) -> list[Segment]:
    """The finished segments up to the first that is not there as the journal has it."""
    found: list[Segment] = []
    for segment in journal.segments if journal else ():
        path = folder / segment.name
        if not path.exists() or (path.is_file() and path.stat().st_size != segment.size_bytes):
            break
        found.append(segment)
    return found
