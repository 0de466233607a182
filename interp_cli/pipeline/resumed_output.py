"""Frames for the writer, made by this run or by an earlier one."""

from __future__ import annotations

import av

from interp_cli.pipeline.planner import PlannedFrame
from interp_cli.video.pixel_format import PixelFormat, image_of, planes_of
from interp_cli.video.writers.journal import SegmentJournal
from interp_cli.video.writers.queued import QueuedWriter


class ResumedOutput:
    """Hands frames to a writer; those that an earlier run made come from the journal."""

    def __init__(
        self, writer: QueuedWriter, journal: SegmentJournal | None, pixel_format: PixelFormat
    ) -> None:
        """Note what an earlier run has left.

        Args:
            writer: The writer.
            journal: The journal; `None`: nothing is kept.
            pixel_format: What the frames are.
        """
        self._writer, self._journal, self._pixel_format = writer, journal, pixel_format
        self._completed = journal.completed if journal else 0
        self._resumed = journal.resumed if journal else 0

    def write(
        self, number: int, image: av.VideoFrame | None, planned: PlannedFrame, delivered: int
    ) -> None:
        """Write the next frame.

        Args:
            number: Number of the frame in the output.
            image: Its picture; `None`: an earlier run made it.
            planned: What it shows.
            delivered: Number of frames in finished batches of this run.
        """
        is_original = planned.after is None
        original = planned.before.image
        if number < self._completed:
            self._writer.skip(original if is_original else None, planned.pts)
            return
        if image is None and self._journal is not None:
            image = original
            if not is_original:
                planes = self._journal.read_stored(planes_of(original))
                image = image_of(planes, self._pixel_format)
        elif image is not None and self._journal is not None:
            if number == self._resumed + delivered:
                self._journal.mark()
            self._journal.store(number, None if is_original else planes_of(image))
        if image is not None:
            self._writer.write(image, planned.pts)
