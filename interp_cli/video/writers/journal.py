"""A long job as durable segments: what is finished stays, in a hidden folder beside the target.

A journal in that folder says what the segments were made from and how. Both are written aside,
flushed to the disk and renamed, so a power cut leaves a segment whole or not at all. Nothing here
knows what a segment holds.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from interp_cli.atomic import AtomicPath, flush, write_whole
from interp_cli.errors import EncodeError
from interp_cli.options import DoubleOptions

if sys.platform != "win32":
    import fcntl

_JOURNAL, _LOCK = "journal.json", "lock"
# What may be another when a job goes on: the finished frames do not depend on it.
_FREE_OPTIONS = ("overwrite", "resume", "audio", "keep_going", "inference")
_UNITS = ("_seconds", "_px")


@dataclass(frozen=True, slots=True)
class Segment:
    """A finished part of the output.

    Attributes:
        name: Of its file or folder in the hidden folder.
        frames: How many it holds.
        size_bytes: Of the file; 0 for a folder.
    """

    name: str
    frames: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Journal:
    """What is noted of a job: see `SegmentJournal`."""

    facts: dict[str, str]
    batch: int
    segments: list[Segment]


def journal_folder(target: Path) -> Path:
    """Where the work on a target is kept while it is unfinished."""
    home = target.parent
    if "%" in target.name and not home.is_dir():
        home = home.parent  # the folder of a picture sequence appears with its pictures
    return home / f".{target.name}.interp"


def completed_frames(target: Path) -> int:
    """How many finished frames an earlier, unfinished run has left.

    Raises:
        EncodeError: Another version left them, and in another way.
    """
    journal = _read_journal(journal_folder(target))
    return sum(segment.frames for segment in _whole_segments(journal_folder(target), journal))


def check_completed(target: Path, options: DoubleOptions) -> None:
    """Refuse to lose what an earlier run has left, unless that was asked for.

    Raises:
        EncodeError: There is something, and neither `resume` nor `overwrite`, or it is of another
            version.
    """
    frames = 0 if options.resume or options.overwrite else completed_frames(target)
    if frames:
        raise EncodeError(
            f"{target}: {frames} finished frames of an earlier run are kept; use --resume to go "
            "on, or --overwrite to begin anew."
        )


def job_facts(
    files: Iterable[Path], options: DoubleOptions, made_with: Mapping[str, object]
) -> dict[str, str]:
    """Everything that a finished frame depends on, each with a name for people.

    Args:
        files: The input.
        options: Of the job; those of the inference as they were settled, in `made_with`.
        made_with: What else it depends on.
    """
    digest = hashlib.sha256()
    for path in files:
        facts = path.stat()
        digest.update(f"{path.name} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    requested = asdict(options)
    encode = requested.pop("encode")
    requested = {name: value for name, value in requested.items() if name not in _FREE_OPTIONS}
    found = {"input": digest.hexdigest()[:12]}
    for name, value in (*requested.items(), *encode.items(), *made_with.items()):
        for unit in _UNITS:
            name = name.removesuffix(unit)
        found[name.replace("_", " ")] = str(value)
    return found


class SegmentJournal:
    """The finished segments of one target; a context manager that owns its hidden folder.

    Leaving its block without an error removes the folder. After an error it stays if a segment is
    finished, and the error gets a note that says so.

    Attributes:
        folder: Where segments lie; also for what is not finished yet.
        every: Frames of a segment; the last may have fewer.
        batch: Pairs that the network is given at once, as settled by the first run.
        segments: The finished ones, in order.
    """

    def __init__(
        self, target: Path, every: int, batch: int, facts: Mapping[str, str], *, resume: bool
    ) -> None:
        """Say what is to be made.

        Args:
            target: What is to be made.
            every: Frames of a segment.
            batch: Pairs at once, unless an earlier run says otherwise.
            facts: What the frames depend on, from `job_facts`.
            resume: Whether to go on from what an earlier run has left; otherwise that is removed.
        """
        self.folder = journal_folder(target)
        self.every = every
        self.batch = batch
        self.segments: list[Segment] = []
        self._target = target
        self._facts = dict(facts)
        self._resume = resume
        self._lock: int | None = None

    @property
    def frames(self) -> int:
        """Finished frames."""
        return sum(segment.frames for segment in self.segments)

    @property
    def paths(self) -> list[Path]:
        """Of the finished segments, in order."""
        return [self.folder / segment.name for segment in self.segments]

    def __enter__(self) -> SegmentJournal:
        """Take the folder for this process.

        Raises:
            EncodeError: Another process has it, or it is of a job with other facts or of another
                version.
            OSError: It cannot be written.
        """
        self.folder.mkdir(exist_ok=True)
        self._lock = self._locked()
        try:
            if self._resume:
                self._load(_read_journal(self.folder))
            self._remove_the_rest()
            self._write_journal()
        except BaseException:
            self._unlock()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None and self.segments:
            with contextlib.suppress(OSError):  # room for those who look for it
                self._remove_the_rest()
            error.add_note(
                f"{self.frames} finished frames are kept: the same command with --resume goes on."
            )
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
        self._unlock()

    def keep(self, part: Path, name: str, frames: int) -> None:
        """Make a finished segment durable.

        Args:
            part: Its file in the folder.
            name: What that is to be called from now on.
            frames: How many it holds.

        Raises:
            OSError: The disk is full.
        """
        size_bytes = part.stat().st_size
        AtomicPath(self.folder / name, part, durable=True).commit()
        self._note(Segment(name, frames, size_bytes))

    def keep_files(self, files: Sequence[Path], folder: Path) -> None:
        """Make a segment durable that is some files, a frame each, in a folder for all segments.

        Raises:
            OSError: The disk is full.
        """
        for path in (*files, folder):
            flush(path)
        self._note(Segment(folder.name, len(files), 0))

    def _load(self, journal: _Journal | None) -> None:
        segments = _whole_segments(self.folder, journal)
        if journal is None or not segments:
            return
        before = journal.facts
        names = sorted(before.keys() | self._facts.keys())
        other = [
            f"{name}: {_said(before.get(name))}, now {_said(self._facts.get(name))}"
            for name in names
            if before.get(name) != self._facts.get(name)
        ]
        if other:
            raise EncodeError(
                f"{self._target}: the finished frames that are kept were made otherwise "
                f"({'; '.join(other)}); make it the same again, or use --overwrite in place of "
                "--resume to begin anew."
            )
        self.segments, self.batch = segments, journal.batch

    def _remove_the_rest(self) -> None:
        """Everything in the folder that is not finished."""
        known = {_LOCK, _JOURNAL, *(segment.name for segment in self.segments)}
        for path in self.folder.iterdir():
            if path.name not in known:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _note(self, segment: Segment) -> None:
        self.segments.append(segment)
        self._write_journal()

    def _write_journal(self) -> None:
        content = asdict(_Journal(self._facts, self.batch, self.segments))
        write_whole(self.folder / _JOURNAL, json.dumps(content, indent=1) + "\n", durable=True)

    def _locked(self) -> int:
        """A lock that ends with the process, however that ends."""
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


def _said(fact: str | None) -> str:
    return "not given" if fact in (None, "None") else str(fact)


def _read_journal(folder: Path) -> _Journal | None:
    path = folder / _JOURNAL
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return None
    try:
        content = json.loads(text)
        segments = [Segment(**item) for item in content.pop("segments")]
        return _Journal(**content, segments=segments)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise EncodeError(
            f"{path}: another version of interp wrote it, or it is damaged, so that the finished "
            "frames there cannot be used; go on with that version, or begin anew with --overwrite "
            "and without --resume."
        ) from error


def _whole_segments(folder: Path, journal: _Journal | None) -> list[Segment]:
    """The finished segments up to the first that is not there as the journal has it."""
    found: list[Segment] = []
    for segment in journal.segments if journal else ():
        path = folder / segment.name
        if not path.exists() or (path.is_file() and path.stat().st_size != segment.size_bytes):
            break
        found.append(segment)
    return found
