"""A writer in a thread of its own, so that encoding does not wait for what comes next."""

from __future__ import annotations

import queue
import threading
from types import TracebackType

import av

from interp_cli.video.writers.base import FrameWriter


class QueuedWriter:
    """Feeds a `FrameWriter` from a bounded queue in a thread of its own.

    Leaving its block without an error completes the output, as for the writer itself.

    Attributes:
        encoder: See `FrameWriter`.
        warnings: See `FrameWriter`.
        output_bytes: Size of the output, once it is complete.
    """

    def __init__(self, writer: FrameWriter, waiting_frames: int) -> None:
        """Wrap a writer, which is closed or aborted with this one.

        Args:
            writer: Nobody else may use it from now on.
            waiting_frames: How many may wait for it.
        """
        self._writer = writer
        self.encoder = writer.encoder
        self.warnings = writer.warnings
        self.output_bytes = 0
        self._queue: queue.Queue[tuple[av.VideoFrame, int] | None] = queue.Queue(waiting_frames)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._feed, name="interp-encode")

    def __enter__(self) -> QueuedWriter:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._writer.kill()  # a feed that waits for the encoder then fails and drains
        self._queue.put(None)
        self._thread.join()
        if error is None and self._error is None:
            self._writer.close()
            self.output_bytes = self._writer.output_bytes
            return
        self._writer.abort()
        if error is None and self._error is not None:
            raise self._error

    def write(self, image: av.VideoFrame, pts: int) -> None:
        """Queue a frame.

        Raises:
            EncodeError: The encoder has stopped.
        """
        if self._error is not None:
            raise self._error
        self._queue.put((image, pts))

    def skip(self, image: av.VideoFrame | None, pts: int) -> None:
        """Pass over a frame that was written before; only ahead of all that are to be written."""
        self._writer.skip(image, pts)

    def _feed(self) -> None:
        while (item := self._queue.get()) is not None:
            if self._error is None:
                try:
                    self._writer.write(*item)
                except BaseException as error:  # noqa: BLE001 - raised again in the other thread
                    self._error = error
