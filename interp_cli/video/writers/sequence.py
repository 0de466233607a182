"""Frames into a picture sequence.

Where input and output are of one kind, the input's files are copied byte for byte. A frame carries
the path of its file in `opaque`, by which the writer recognizes an original.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from fractions import Fraction
from pathlib import Path

import av

from interp_cli.atomic import move_aside, real_path, rename_new
from interp_cli.errors import EncodeError
from interp_cli.video.encoding.frame_tags import FrameTags
from interp_cli.video.images.codecs import ImageCodec
from interp_cli.video.images.sequence_names import NumberedNames
from interp_cli.video.images.write import ImageEncoder, with_colours_of
from interp_cli.video.readers.sequence import SequenceReader
from interp_cli.video.writers.base import KEPT_WORD, FrameWriter, kept_as, reserving
from interp_cli.video.writers.journal import SegmentJournal
from interp_cli.video.writers.journal_file import PICTURES, REPLACED


class SequenceWriter(FrameWriter):
    """Writes a picture file for each frame, all or nothing.

    The files go to a hidden folder and are moved to their places when all are complete. A file
    that is there is replaced only if that was asked for, also if it appeared meanwhile.

    Attributes:
        frames_written: Number of frames handed over so far.
        warnings: What the files cannot hold.
        encoder: FFmpeg's name of the encoder at work.
    """

    def __init__(
        self,
        names: NumberedNames,
        kind: ImageCodec,
        tags: FrameTags,
        time_base: Fraction,
        frame_rate: Fraction,
        scratch: Path,
        source: SequenceReader | None = None,
        journal: SegmentJournal | None = None,
        *,
        overwrite: bool = False,
    ) -> None:
        """Make the hidden folder.

        Args:
            names: Folder and names of the files.
            kind: Kind of the files.
            tags: Description of the frames.
            time_base: Unit of the time stamps, in seconds.
            frame_rate: Rate of the output, whose frames the numbers in the names count.
            scratch: Folder for what is unfinished; it belongs to the caller.
            source: Reader of the input, if that is a sequence too.
            journal: Journal that keeps finished pictures; `None`: nothing is kept.
            overwrite: Whether files of the same kind of name are replaced.

        Raises:
            EncodeError: The folder cannot be written, or the kind cannot hold such frames.
        """
        self.names = names
        self.frames_written = 0
        self._output_bytes = 0
        self.encoder = kind.encoder
        own_format = source.info.pixel_format if source else ""
        self._encoder = ImageEncoder(
            kind, tags.pixel_format, own_format, source.curve if source else None
        )
        self.warnings = (*tags.warnings, *self._encoder.warnings)
        self._copies = source is not None and source.pictures.kind is kind
        # Numbers of an input sequence are times, and so are those of its output; others count.
        self._first_number = source.pictures.first_number if source else 1
        self._step = time_base * frame_rate if source else None
        self._first_pts: int | None = None
        self._is_float = tags.pixel_format.is_float
        self._last_original: Path | None = None
        self._overwrite = overwrite
        self._journal = journal
        self._unrecorded: list[Path] = []  # not yet in the journal
        self._scratch = scratch
        self._part = scratch / PICTURES
        with reserving(names.folder, scratch):
            self._part.mkdir(exist_ok=journal is not None)

    @property
    def output_bytes(self) -> int:
        """See `FrameWriter`."""
        return self._output_bytes

    def write(self, image: av.VideoFrame, pts: int) -> None:
        """Write the file of one frame.

        Raises:
            EncodeError: The disk is full, or the picture could not be encoded.
        """
        target = self._part / self.names.name(self._number(pts))
        original = image.opaque if isinstance(image.opaque, Path) else None
        try:
            if original and self._copies:
                shutil.copyfile(original, target)
                self._last_original = original
            elif original and self._is_float:
                target.write_bytes(self._encoder.encode_file(original))
            else:
                target.write_bytes(self._like_the_originals(self._encoder.encode(image)))
            self._unrecorded.append(target)
            if self._journal is not None and len(self._unrecorded) == self._journal.segment_frames:
                self._journal.add_pictures(self._unrecorded)
                self._unrecorded = []
        except OSError as error:
            raise EncodeError(
                f"{self.names.folder}: cannot be written ({error.strerror})."
                + ("" if self._journal and self._journal.segments else " No output was kept.")
            ) from error
        self.frames_written += 1

    def skip(self, image: av.VideoFrame | None, pts: int) -> None:
        """See `FrameWriter`."""
        self._number(pts)
        if image is not None and isinstance(image.opaque, Path) and self._copies:
            self._last_original = image.opaque
        self.frames_written += 1

    def close(self) -> None:
        """Move the files to their places.

        Raises:
            EncodeError: That is not possible. The finished pictures are kept in another folder,
                and those that they were to replace stay.
        """
        folder = self.names.folder
        try:
            if self._journal is not None and self._unrecorded:
                self._journal.add_pictures(self._unrecorded)
            files = sorted(self._part.iterdir())
            self._output_bytes = sum(path.stat().st_size for path in files)
        except OSError as error:
            raise EncodeError(
                f"{folder}: the finished pictures cannot be read ({error.strerror}): {self._part} "
                "was changed meanwhile."
            ) from error
        if len(files) != self.frames_written:
            raise EncodeError(
                f"{folder}: {len(files)} of {self.frames_written} pictures are there; use "
                "`overwrite` instead of `resume` to start again."
            )
        try:
            if folder.is_dir():
                self._move(files)
            else:
                rename_new(self._part, real_path(folder))
        except OSError as error:
            kept = move_aside(self._part, folder, KEPT_WORD)
            if kept is not None and self._journal is not None:
                self._journal.supersede()
            raise EncodeError(f"{folder}: {_not_placed(error)}{kept_as(kept)}") from error

    def kill(self) -> None:
        """Do nothing: there is no other process, and a `write` under way ends by itself."""

    def abort(self) -> None:
        """Do nothing: the hidden folder belongs to the caller."""

    def _move(self, files: list[Path]) -> None:
        """Put the files into a folder that exists, all or none of them."""
        folder = self.names.folder
        replaced = self._scratch / REPLACED
        existing = list(self.names.existing().values())
        if existing and not self._overwrite:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(existing[0]))
        replaced.mkdir(exist_ok=True)
        moves = [(path, replaced / path.name) for path in existing]
        moves += [(path, folder / path.name) for path in files]
        moved = []
        try:
            for source, target in moves:
                rename_new(source, target)
                moved.append((source, target))
        except BaseException:
            for source, target in reversed(moved):
                target.replace(source)
            raise
        with contextlib.suppress(OSError):  # they were to go, and the folder goes in any case
            for _, target in moves[: len(existing)]:
                target.unlink()

    def _number(self, pts: int) -> int:
        if self._step is None:
            return self._first_number + self.frames_written
        if self._first_pts is None:
            self._first_pts = pts
        return self._first_number + round((pts - self._first_pts) * self._step)

    def _like_the_originals(self, made: bytes) -> bytes:
        """Add the colour profile and the orientation of the preceding original."""
        if self._last_original is None:
            return made
        return with_colours_of(self._last_original.read_bytes(), made, self._encoder.kind)


def _not_placed(error: OSError) -> str:
    """Why the finished pictures could not be put where they belong, as a sentence."""
    if isinstance(error, FileExistsError):
        return f"{error.filename} exists by now and was not replaced."
    return f"the finished pictures cannot be put there ({error.strerror})."
