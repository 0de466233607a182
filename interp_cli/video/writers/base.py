"""What every writer has in common: the interface, and how a file gets its name."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import av
import av.error

from interp_cli.atomic import AtomicPath, move_aside
from interp_cli.errors import EncodeError, SideStreamsError

if TYPE_CHECKING:
    from interp_cli.video.writers.journal import SegmentJournal


@contextlib.contextmanager
def reserving(target: Path, home: Path) -> Iterator[None]:
    """Say in one line why a hidden part of `target` cannot be created in the folder `home`."""
    try:
        yield
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not home.is_dir():
            raise EncodeError(
                f"{target}: the folder {home} does not exist; create it first."
            ) from error
        raise EncodeError(f"{target}: cannot be written ({error.strerror}).") from error


def publish(output: AtomicPath, target: Path, journal: SegmentJournal | None = None) -> None:
    """Give a finished file its name.

    Args:
        output: The file.
        target: Its name, as the user gave it.
        journal: Journal of its frames, which need not be kept if the file is.

    Raises:
        EncodeError: That is not possible: a file appeared there meanwhile which must not be
            replaced, a folder has the name, or a player holds the file. The finished file is kept
            under another name.
    """
    try:
        output.commit()
    except OSError as error:
        kept = move_aside(output.part, output.target, KEPT_WORD)
        if kept is not None and journal is not None:
            journal.supersede()
        raise EncodeError(f"{target}: {name_taken(error)}{kept_as(kept)}") from error


# Added to the name of what is finished and could not have its own.
KEPT_WORD = "finished"


def name_taken(error: OSError) -> str:
    """Why what is finished cannot have its name, as a sentence."""
    if isinstance(error, FileExistsError):
        return "exists by now and was not replaced."
    return f"the finished output cannot take this name ({error.strerror})."


def kept_as(kept: Path | None) -> str:
    """Where what is finished is now, as a sentence with a space before it."""
    return f" The finished output is kept as {kept}." if kept is not None else ""


class FrameWriter(ABC):
    """Takes frames in order; each kind of output has a class.

    Leaving the block without an error completes the output. After an error nothing unfinished is
    left.

    Attributes:
        encoder: Name of the encoder.
        warnings: What could not be kept as it was.
    """

    encoder: str
    warnings: tuple[str, ...]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abort()

    @property
    @abstractmethod
    def output_bytes(self) -> int:
        """Size of the complete output; 0 for a pipe."""

    @abstractmethod
    def write(self, image: av.VideoFrame, pts: int) -> None:
        """Hand over one frame; time stamps must grow."""

    def skip(self, image: av.VideoFrame | None, pts: int) -> None:
        """Pass over a frame that an earlier run has written; `None`: it was synthesized."""
        raise NotImplementedError(f"{type(self).__name__} keeps nothing to go on from")

    @abstractmethod
    def close(self) -> None:
        """Complete the output and give it its name."""

    @abstractmethod
    def kill(self) -> None:
        """Stop at once; a `write` under way in another thread fails or ends."""

    @abstractmethod
    def abort(self) -> None:
        """Leave nothing unfinished behind; safe to call twice."""


@contextlib.contextmanager
def explaining(
    writer: FrameWriter, target: Path, segments: Sequence[object] = ()
) -> Iterator[None]:
    """Abort a writer after a failure, and say what failed.

    Args:
        writer: The writer of the target.
        target: The output, for the message.
        segments: Finished segments, which stay; read after the failure.
    """
    try:
        yield
    except (EncodeError, OSError) as error:
        writer.abort()
        reason = error.strerror if isinstance(error, OSError) else error
        if not target.absolute().parent.is_dir():
            reason = f"the folder {target.absolute().parent} was removed or renamed meanwhile"
        lost = "" if segments else " No output was kept."
        kind = SideStreamsError if isinstance(error, SideStreamsError) else EncodeError
        raise kind(f"{target}: {writer.encoder} failed ({reason}).{lost}") from error
    except BaseException:
        writer.abort()
        raise
