"""A writer in a thread of its own, so that encoding does not wait for what comes next."""

from __future__ import annotations

import queue
import threading
from typing import Self

import av

from interp_cli.video.writers.base import FrameWriter


class QueuedWriter(FrameWriter):
    """Feeds another writer from a bounded queue, in a thread that runs within the block."""

    def __init__(self, writer: FrameWriter, waiting_frames: int) -> None:
        """Wrap a writer, which is closed or aborted with this one.

        Args:
            writer: The writer, which nothing else may use from now on.
            waiting_frames: Number of frames that may wait for it.
        """
        self._writer = writer
        self.encoder = writer.encoder
        self.warnings = writer.warnings
        self._output_bytes = 0
        self._queue: queue.Queue[tuple[av.VideoFrame, int] | None] = queue.Queue(waiting_frames)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._feed, name="interp-encode")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    @property
    def output_bytes(self) -> int:
        """See `FrameWriter`; 0 until the output is complete."""
        return self._output_bytes

    def write(self, image: av.VideoFrame, pts: int) -> None:
        """Queue a frame.

        Raises:
            EncodeError: The encoder has stopped.
        """
        if self._error is not None:
            raise self._error
        self._queue.put((image, pts))

    def skip(self, image: av.VideoFrame | None, pts: int) -> None:
        """See `FrameWriter`; only before the first frame that is written."""
        self._writer.skip(image, pts)

    def close(self) -> None:
        """Write the waiting frames and complete the output.

        Raises:
            EncodeError: The encoder has stopped; nothing unfinished is left.
        """
        self._join()
        if self._error is not None:
            self._writer.abort()
            raise self._error
        self._writer.close()
        self.warnings = self._writer.warnings  # some are known at the end only
        self._output_bytes = self._writer.output_bytes

    def kill(self) -> None:
        """See `FrameWriter`."""
        self._writer.kill()

    def abort(self) -> None:
        """See `FrameWriter`."""
        self._writer.kill()  # a thread that waits for the encoder then fails and empties the queue
        self._join()
        self._writer.abort()

    def _join(self) -> None:
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _feed(self) -> None:
        while (item := self._queue.get()) is not None:
            if self._error is None:
                try:
                    self._writer.write(*item)
                except BaseException as error:  # noqa: BLE001 - raised again in the other thread
                    self._error = error
