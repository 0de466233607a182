"""New frames of a segment that is not finished yet, uncompressed, so that they are made only once.

Where a segment ends must not depend on the time that the work takes: each segment has an encoder
of its own and begins with a key frame, so a resumed output would not equal an uninterrupted one.
Instead, frames that took long are stored as they were handed to the encoder, and a resumed job
hands the same frames to a new one. Originals are not stored, since they can be decoded again.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from interp_cli.video.writers.journal_file import StoredFrames, is_unchanged, new_digest

# The command line looks into journals before anything heavy is loaded.
if TYPE_CHECKING:
    from interp_cli.video.pixel_format import Planes

# Space on the disk that stored frames may take, beyond which a block grows no further.
_MAX_BYTES = 2 << 30
# Time after which the pace of a block is known.
_PACE_SECONDS = 2.0


class _Block:
    """The frames of a segment, as they are stored."""

    def __init__(self, folder: Path, known: StoredFrames) -> None:
        """Go on with what is known, which is whole; without frames it is a new block."""
        self.path = folder / known.name
        self.first, self.frames, self.size_bytes = known.first, known.frames, known.size_bytes
        self.safe = known
        self.begun = time.monotonic()
        self.is_loaded = known.frames > 0
        self._digest = new_digest()
        if not known.frames:
            self.path.unlink(missing_ok=True)
        self._file = self.path.open("r+b" if known.frames else "x+b")
        self._file.truncate(self.size_bytes)
        while piece := self._file.read(1 << 20):
            self._digest.update(piece)

    def add(self, planes: Planes | None) -> None:
        for plane in planes or ():
            content = plane.tobytes()
            self.size_bytes += self._file.write(content)
            self._digest.update(content)
        self.frames += 1

    def mark(self) -> None:
        """Count all frames so far as safe."""
        self._file.flush()
        digest = self._digest.hexdigest()
        self.safe = StoredFrames(self.path.name, self.first, self.frames, self.size_bytes, digest)

    def flush(self) -> None:
        os.fsync(self._file.fileno())

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()

    def remove(self) -> None:
        self.close()
        self.path.unlink(missing_ok=True)


class FrameStore:
    """Stores new frames in blocks as long as segments."""

    def __init__(
        self, folder: Path, segment_frames: int, expected_frames: int | None, slow_seconds: float
    ) -> None:
        """Prepare the store; nothing is written yet.

        Args:
            folder: The journal's folder.
            segment_frames: Frames of a block.
            expected_frames: Frames of the output; `None`: unknown.
            slow_seconds: A block that takes less time than this is not worth storing.
        """
        self._folder = folder
        self._segment_frames = segment_frames
        self._expected_frames = expected_frames
        self._slow_seconds = slow_seconds
        self._blocks: list[_Block] = []
        self._unread: list[StoredFrames] = []
        self._offset = 0  # in the first of these

    @property
    def safe(self) -> list[StoredFrames]:
        """What can be resumed from, as of the last mark."""
        return [block.safe for block in self._blocks if block.safe.frames]

    def load(self, stored: Iterable[StoredFrames], first: int) -> int:
        """Take over what an earlier run stored.

        Args:
            stored: What the journal says.
            first: Number of the first frame that no finished segment holds.

        Returns:
            Number of frames that are there from `first` on.
        """
        loaded = usable_frames(self._folder, stored, first, verify=True)
        self._blocks = [_Block(self._folder, known) for known in loaded]
        self._unread = loaded
        return sum(known.frames for known in loaded)

    def read(self, like: Planes) -> Planes:
        """The planes of the next stored frame of an earlier run.

        Args:
            like: Planes of another frame of the same format.
        """
        import numpy as np

        size_bytes = sum(plane.nbytes for plane in like)
        while self._offset + size_bytes > self._unread[0].size_bytes:
            del self._unread[0]
            self._offset = 0
        path = self._folder / self._unread[0].name
        content = np.fromfile(path, np.uint8, size_bytes, offset=self._offset)
        self._offset += size_bytes
        ends = np.cumsum([plane.nbytes for plane in like])[:-1]
        parts = zip(np.split(content, ends), like, strict=True)
        return tuple(part.view(plane.dtype).reshape(plane.shape) for part, plane in parts)

    def add(self, number: int, planes: Planes | None) -> None:
        """Store the next frame.

        Args:
            number: Its number in the output.
            planes: Its planes; `None`: it is an original.

        Raises:
            OSError: The disk is full.
        """
        if number % self._segment_frames == 0:
            name = f"frames-{number:09d}"
            self._blocks.append(_Block(self._folder, StoredFrames(name, number, 0, 0, "")))
        block = self._blocks[-1] if self._blocks else None
        if block is None or block.first + block.frames != number:
            return  # the block was given up
        if sum(each.size_bytes for each in self._blocks) < _MAX_BYTES:
            block.add(planes)

    def mark(self) -> None:
        """Say that a resumed job can begin after the frames that are stored so far."""
        for block in self._blocks:
            block.mark()
        if self._blocks and self._is_fast(self._blocks[-1]):
            self._blocks.pop().remove()

    def flush(self) -> None:
        """Wait until all stored frames are on the disk."""
        for block in self._blocks:
            block.flush()

    def drop(self, finished: int) -> None:
        """Remove the frames that finished segments hold.

        Args:
            finished: Number of frames in finished segments.
        """
        while self._blocks and self._blocks[0].first < finished:
            self._blocks.pop(0).remove()

    def close(self) -> None:
        """Close the files, which stay."""
        for block in self._blocks:
            block.close()

    def remove(self) -> None:
        """Close and delete all."""
        while self._blocks:
            self._blocks.pop().remove()

    def _is_fast(self, block: _Block) -> bool:
        """Whether a block will be finished so soon that it is not worth storing."""
        elapsed = time.monotonic() - block.begun
        if block.is_loaded or not _PACE_SECONDS <= elapsed < self._slow_seconds:
            return False
        length = self._segment_frames
        if self._expected_frames is not None:
            length = min(length, self._expected_frames - block.first)
        return block.frames / elapsed * self._slow_seconds >= length


def usable_frames(
    folder: Path, stored: Iterable[StoredFrames], first: int, *, verify: bool = False
) -> list[StoredFrames]:
    """The stored frames that follow `first` without a gap and are all there.

    Args:
        folder: The journal's folder.
        stored: What the journal says.
        first: Number of the first frame that no finished segment holds.
        verify: Whether their content is checked too.
    """
    usable: list[StoredFrames] = []
    for known in stored:
        path = folder / known.name
        if known.end <= first:
            continue
        if known.first != first or not path.is_file() or path.stat().st_size < known.size_bytes:
            break
        if verify and not is_unchanged(path, known.size_bytes, known.digest):
            break
        usable.append(known)
        first = known.end
    return usable
