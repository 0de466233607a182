"""A job as durable segments. Finished ones stay in a hidden folder next to the target.

A journal in that folder describes the job that the segments belong to, with a digest of each. New
frames of a segment that takes long are stored there too (`FrameStore`). Segments and journal are
written under another name, flushed to the disk and renamed, so a power cut leaves a segment whole
or not at all. What is damaged all the same is made again. Nothing here knows what a segment holds.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from interp_cli import forced_exit
from interp_cli.atomic import AtomicPath, flush, write_whole
from interp_cli.errors import EncodeError
from interp_cli.video.writers.frame_store import FrameStore, usable_frames
from interp_cli.video.writers.journal_file import (
    JOURNAL,
    LIST_ENDING,
    PICTURES,
    Journal,
    Segment,
    StoredFrames,
    new_digest,
    read_journal,
    unusable,
)
from interp_cli.video.writers.kept_frames import (
    completed_frames,
    listed_pictures,
    whole_segments,
    work_folder,
)

if TYPE_CHECKING:
    from interp_cli.video.pixel_format import Planes


class Description(Protocol):
    """What a journal holds of the job that its segments belong to."""

    def to_data(self) -> dict[str, Any]:
        """The description as JSON has it."""

    def differences(self, earlier: Mapping[str, Any]) -> list[str]:
        """What makes an earlier job's segments unusable, in words; `ValueError`: all of them."""


class SegmentJournal:
    """The finished segments of one target; a context manager that owns its hidden folder.

    Leaving its block without an error removes the folder. After an error it stays if a segment is
    finished or the work took long, and the error gets a note that says so.

    Attributes:
        folder: Folder of the segments, finished or not, and of whatever else is unfinished.
        segment_frames: Frames of a segment; the last one may have fewer.
        batch: Batch size in frame pairs, as settled by the first run.
        segments: The finished segments, in order.
        resumed: Number of frames that an earlier run made, in segments or stored.
        warnings: What was kept and cannot be used.
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
        self._work = work_folder(target)
        self.folder = self._work.path
        self.warnings: list[str] = []
        self.segment_frames = segment_frames
        self.batch = batch
        self.segments: list[Segment] = []
        self._target = target
        self._description = description
        self._resume = resume
        self.resumed = 0
        self._is_superseded = False
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
    def pictures_folder(self) -> Path:
        """Folder of the pictures of all segments, where those are pictures."""
        return self.folder / PICTURES

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
        self._work.__enter__()
        try:
            if self._resume:
                self._load(read_journal(self.folder))
            self.resumed = self.resumable
            self._remove_unfinished()
            if not self.resumed:
                (self.folder / JOURNAL).unlink(missing_ok=True)
        except BaseException:
            self._work.unlock()
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
            if self._store is not None:
                if error is not None and not self._is_superseded:
                    with contextlib.suppress(OSError):
                        self._checkpoint()
                self._store.close()
            if error is not None and self.resumable and not self._is_superseded:
                self._kept = self._keep()
                error.add_note(self._kept)
            self._work.close()

    def supersede(self) -> None:
        """Keep nothing when the block ends: the whole output is kept elsewhere."""
        self._is_superseded = True

    def _keep(self) -> str:
        """Leave the folder as it is; what a user should know of it."""
        with contextlib.suppress(OSError):  # room for those who look for it
            self._remove_unfinished()
        try:
            frames = completed_frames(self._target)  # what is there, not what we remember
        except EncodeError:
            frames = 0
        if not frames:
            return (
                f"No finished frames are kept in {self.folder}, which was removed, renamed or "
                "damaged meanwhile."
            )
        self._work.is_kept = True
        return f"{frames} finished frames are kept: the same job with `resume` goes on."

    def _end_at_once(self) -> str:
        """Do what the end of the block does, in another thread and while the work goes on.

        Returns:
            What is kept. The locks stay taken, so that nothing is added any more.
        """
        self._ending.acquire()
        if self._work.is_open:
            if not self._is_superseded:
                with contextlib.suppress(OSError):
                    self._checkpoint()
            self._mutex.acquire()
            if self.resumable and not self._is_superseded:
                self._kept = self._keep()
            self._work.close()
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
        found, size_bytes = new_digest(), 0
        with part.open("rb") as file:  # which the system still has in memory
            while piece := file.read(1 << 20):
                found.update(piece)
                size_bytes += len(piece)
        AtomicPath(self.folder / name, part, durable=True).commit()
        self._note(Segment(name, frames, size_bytes, found.hexdigest()))

    def add_pictures(self, files: Sequence[Path]) -> None:
        """Make a segment durable that is some files, a frame each, in `pictures_folder`.

        Raises:
            OSError: The disk is full.
        """
        for path in (*files, self.pictures_folder):
            flush(path)
        digests = {path.name: new_digest(path.read_bytes()).hexdigest() for path in files}
        part = self.folder / f"{len(self.segments):06d}.part{LIST_ENDING}"
        part.write_text(json.dumps(digests, indent=1) + "\n")
        self.add_file(part, f"{len(self.segments):06d}{LIST_ENDING}", len(files))

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

    def _load(self, journal: Journal | None) -> None:
        if journal is None:
            return
        segments = whole_segments(self.folder, journal, verify=True)
        finished = sum(segment.frames for segment in segments)
        stored = usable_frames(self.folder, journal.stored, finished, verify=True)
        self._warn_of_damage(journal, segments, stored)
        if not segments and not stored:
            return
        try:
            differences = self._description.differences(journal.description)
        except ValueError as error:
            raise unusable(self.folder / JOURNAL, str(error)) from error
        if differences:
            raise EncodeError(
                f"{self._target}: the finished frames that are kept were made in another way "
                f"({'; '.join(differences)}); make it the same again, or use `overwrite` in place "
                "of `resume` to start over."
            )
        self.segments, self.batch = segments, journal.batch
        if self._store is not None:
            self._has_loaded = self._store.load(journal.stored, finished) > 0

    def _warn_of_damage(
        self, journal: Journal, segments: list[Segment], stored: list[StoredFrames]
    ) -> None:
        """Note frames that the journal has and that cannot be used."""
        announced = sum(segment.frames for segment in journal.segments)
        known: list[Segment | StoredFrames] = [*journal.segments]
        known += [frames for frames in journal.stored if frames.end > announced]
        lost = known[len(segments) + len(stored) :]
        if lost:
            frames = sum(each.frames for each in lost)
            self.warnings.append(
                f"{self.folder / lost[0].name}: was changed or removed since it was finished, so "
                f"{frames} frames that had been kept were made again."
            )

    def _remove_unfinished(self) -> None:
        """Delete our files that are not finished."""
        names = [segment.name for segment in self.segments]
        for path in self.paths:
            if path.suffix == LIST_ENDING:
                names += [f"{PICTURES}/{name}" for name in listed_pictures(path)]
        names += [stored.name for stored in self._safe_frames()]
        self._work.clear(keep=frozenset((JOURNAL, *names)))

    def _note(self, segment: Segment) -> None:
        with self._mutex:
            self.segments.append(segment)
            self._write_journal()
            if self._store is not None:
                self._store.drop(self.completed)

    def _write_journal(self) -> None:
        journal = Journal(
            self._description.to_data(), self.batch, self.segments, self._safe_frames()
        )
        write_whole(self.folder / JOURNAL, journal.to_json(), durable=True)
