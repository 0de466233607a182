"""Frames out of a video, in order, with their exact times and untouched planes."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from interp_cli.errors import OpenError
from interp_cli.video.pixel_format import cropped, native_format
from interp_cli.video.probe import VideoInfo, decode, open_video, probe
from interp_cli.video.readers.base import Frame, ThreadedReader

# From this long before the first picture everything is decoded: decoding times precede shown ones.
_BEFORE_ALL_SECONDS = 10


class VideoReader(ThreadedReader):
    """Reads the frames of a video file."""

    has_side_streams = True

    def __init__(
        self,
        path: str | Path,
        start_seconds: float | None = None,
        end_seconds: float | None = None,
        *,
        keep_going: bool = False,
        depth: int = 8,
        info: VideoInfo | None = None,
    ) -> None:
        """Open `path`.

        Args:
            path: The video.
            start_seconds: Start of the part to read, counted from the first frame; `None`: the
                first frame.
            end_seconds: End of the part to read (not included); `None`: the end of the file.
            keep_going: Whether damage ends the frames instead of raising.
            depth: Number of decoded frames that may wait, which bounds the memory.
            info: Description from `probe`, if the caller has it.

        Raises:
            OpenError: The file cannot be read as a video.
        """
        super().__init__(info or probe(path), keep_going=keep_going, depth=depth)
        origin = self.info.video_start_seconds
        self._start = None if start_seconds is None else origin + Fraction(str(start_seconds))
        self._end = None if end_seconds is None else origin + Fraction(str(end_seconds))

    def _frames(self) -> Generator[Frame]:
        container, stream = self._open()
        with container:
            if self.info.missing_bytes and not self._keep_going:
                raise self._damaged(sum(1 for _ in self._images(container, stream)))
            count = 0
            for frame in self._wanted(container, stream):
                yield frame
                count += 1
            if self.damage and not self._keep_going:
                raise self._damaged(count)

    def _open(self) -> tuple[InputContainer, VideoStream]:
        container, stream = open_video(self.info.path)
        stream.thread_type = "AUTO"
        return container, stream

    def _decoded(self, container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
        """All pictures from shortly before the start."""
        if self._start is None or not stream.time_base:
            return decode(container, stream)
        # In MPEG-TS and others FFmpeg finds a position but no keyframe. The decoder then begins at
        # the next keyframe, which may be after the start, so the search goes further back.
        back = Fraction(0)
        while True:
            is_all = self._start - back < self.info.video_start_seconds
            place = self._start - back - (_BEFORE_ALL_SECONDS if is_all else 0)
            container.seek(int(place / stream.time_base), stream=stream, backward=not is_all)
            images = decode(container, stream)
            first = next(images, None)
            if first is None and is_all:
                return images
            if first is not None and (is_all or self._begins_well(first)):
                return chain((first,), images)
            back = 2 * back or Fraction(1)

    def _begins_well(self, first: av.VideoFrame) -> bool:
        """Whether decoding from this picture on gives all pictures from the start."""
        if first.pts is None or first.time_base is None or self._start is None:
            return True
        return first.key_frame and first.pts * first.time_base <= self._start

    def _wanted(self, container: InputContainer, stream: VideoStream) -> Iterator[Frame]:
        """Frames between start and end, in a native format, with strictly growing times."""
        last: int | None = None
        for image in self._images(container, stream):
            time_base = image.time_base or self.info.time_base
            pts = image.pts
            if pts is None:  # streams without time stamps run at their nominal rate
                pts = 0 if last is None else last + (image.duration or self._step(time_base))
            if last is not None and pts <= last:
                pts = last + 1
                self.repaired_times += 1
            last = pts
            if self._end is not None and pts * time_base >= self._end:
                return
            if self._start is None or pts * time_base >= self._start:
                picture = cropped(native_format(image), self.info.cropping)
                yield Frame(picture, pts, image.duration or 0, time_base)

    def _images(self, container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
        """Decode up to the first damage, and set `damage` there."""
        left, right, top, bottom = self.info.cropping
        width, height = self.info.width + left + right, self.info.height + top + bottom
        size = (width, height, self.info.pixel_format)
        if self.info.missing_bytes:
            self.damage = f"the file is {self.info.missing_bytes:,} bytes shorter than it says"
        try:
            for image in self._decoded(container, stream):
                found = (image.width, image.height, image.format.name)
                if image.is_corrupt:
                    self.damage = self.damage or "the next one is damaged"
                    return
                if found != size:
                    self.damage = "then the picture changes from {}x{} {} to {}x{} {}".format(
                        *size, *found
                    )
                    return
                yield image
        except av.error.FFmpegError as error:
            self.damage = self.damage or error.strerror

    def _step(self, time_base: Fraction) -> int:
        if not self.info.frame_rate:
            raise OpenError(f"{self.info.path}: has neither time stamps nor a frame rate.")
        return max(1, round(1 / (self.info.frame_rate * time_base)))
