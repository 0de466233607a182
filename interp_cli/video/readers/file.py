"""Frames out of a video, in order, with their exact times and untouched planes."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from interp_cli.errors import DecodeError, OpenError
from interp_cli.options import DEFAULT_LIMITS, InputLimits
from interp_cli.video.continuity import lost_data
from interp_cli.video.decoding import PictureDecoder
from interp_cli.video.health import Health, is_harmless
from interp_cli.video.libav_log import ErrorLog
from interp_cli.video.opening import open_video
from interp_cli.video.pixel_format import cropped, native_format
from interp_cli.video.probe import VideoInfo, probe
from interp_cli.video.readers.base import Frame, ThreadedReader
from interp_cli.video.timestamps import GrowingTimes, PictureClock

# From this long before the first picture everything is decoded: decoding times precede shown ones.
_BEFORE_ALL_SECONDS = 10


def discontinuity_warning(count: int) -> str:
    """What a user should know of a clock that starts anew."""
    times = "once" if count == 1 else f"{count} times"
    return f"the input's clock starts anew {times}: its parts follow one another without a gap."


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
        limits: InputLimits = DEFAULT_LIMITS,
    ) -> None:
        """Open `path`.

        Args:
            path: The video.
            start_seconds: Start of the part to read, counted from the first frame; `None`: the
                first frame.
            end_seconds: End of the part to read (not included); `None`: the end of the file.
            keep_going: Whether bad frames are left out instead of raising.
            depth: Number of decoded frames that may wait, which bounds the memory.
            info: Description from `probe`, if the caller has it.
            limits: What is accepted.

        Raises:
            OpenError: The file cannot be read as a video.
        """
        super().__init__(info or probe(path, limits), keep_going=keep_going, depth=depth)
        self._is_checked = self._has_lost = False
        # A playlist was checked when it was described.
        self._limits = replace(limits, allow_playlist_files=True)
        self._clock: PictureClock | None = None
        if self.info.discontinuities:
            self.warnings = (discontinuity_warning(self.info.discontinuities),)
        origin = self.info.video_start_seconds
        self._start = None if start_seconds is None else origin + Fraction(str(start_seconds))
        self._end = None if end_seconds is None else origin + Fraction(str(end_seconds))

    @property
    def damage(self) -> str | None:
        """See `FrameReader`."""
        return self.health.damage if self._keep_going else None

    def _frames(self) -> Generator[Frame]:
        self.health = self._new_health()
        container, stream = self._open()
        with container, contextlib.closing(self._wanted(container, stream)) as frames:
            self._is_checked = self._has_lost = False
            if self.info.missing_bytes:
                self._raise_if_damaged()
            for frame in frames:
                self._look_at_health()
                self.health.good += 1
                yield frame
            self._look_at_health()
        if self.health.at_start:
            self.warnings += (
                f"{self.health.at_start} frames at its start need others from before it, and are "
                "left out.",
            )

    def _new_health(self) -> Health:
        is_part = self._start is not None or self._end is not None
        origin = self.info.video_start_seconds
        # The decoder knows it for AVI, whose header counts steps of the clock.
        announced = None if is_part or self.info.container == "avi" else self.info.frame_count
        return Health(self._start, self._end, origin, announced)

    def _look_at_health(self) -> None:
        """Raise `DecodeError` if damage was found and confirmed, each looked for once."""
        if self.health.has_gap and not self._has_lost:
            self._has_lost = True
            for reason, seconds in self._lost_data():
                self.health.note(reason, seconds)
        if self.health.is_damaged:
            self._raise_if_damaged()

    def _lost_data(self) -> Iterable[tuple[str, Fraction | None]]:
        return lost_data(self.info.path, self.info.video_index)

    def _raise_if_damaged(self) -> None:
        """Read the input a second time, and count the good frames and the bad ones.

        The decoder's threads do not say which picture an error belongs to, or whether one is
        affected at all. The second reading does.

        Raises:
            DecodeError: The input is damaged.
        """
        if self._keep_going or self._is_checked:
            return
        self._is_checked = True
        again = self._again()
        if again is not None:
            with contextlib.closing(again._frames()) as frames:
                for _ in frames:
                    if self._stop.is_set():
                        return
        health = self.health if again is None else again.health
        if health.is_damaged:
            self.health = health
            raise self._damaged()

    def _again(self) -> VideoReader | None:
        """A reader of the same frames that leaves bad ones out; `None`: a second is impossible."""
        again = copy.copy(self)
        again._keep_going = True
        return again

    def _open(self) -> tuple[InputContainer, VideoStream]:
        with ErrorLog(None) as log:
            container, stream = log.observe(lambda: open_video(self.info.path, self._limits))
            for message in log.take(container.format.name):
                if not is_harmless(message):
                    self.health.note(message)
        stream.thread_type = "AUTO"
        return container, stream

    def _decoded(self, container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
        """All pictures from shortly before the start."""
        if self._start is None or not stream.time_base or not self.info.can_seek:
            return self._pictures(container, stream)
        # In MPEG-TS and others FFmpeg finds a position but no keyframe. The decoder then begins at
        # the next keyframe, which may be after the start, so the search goes further back.
        back = Fraction(0)
        while True:
            is_all = self._start - back < self.info.video_start_seconds
            place = self._start - back - (_BEFORE_ALL_SECONDS if is_all else 0)
            container.seek(int(place / stream.time_base), stream=stream, backward=not is_all)
            images = self._pictures(container, stream, from_start=False)
            first = next(images, None)
            if first is None and is_all:
                return images
            if first is not None and (is_all or self._begins_well(first)):
                return chain((first,), images)
            images.close()
            self.health = self._new_health()
            back = 2 * back or Fraction(1)

    def _pictures(
        self, container: InputContainer, stream: VideoStream, *, from_start: bool = True
    ) -> Generator[av.VideoFrame]:
        exact, health = self._keep_going, self.health
        in_decoding_order = self.info.has_only_decoding_times
        self._clock = PictureClock(
            container, stream, in_decoding_order=in_decoding_order, pauses=self.info.pauses
        )
        decoder = PictureDecoder(
            container, stream, health, clock=self._clock, exact=exact, from_start=from_start
        )
        return decoder.pictures()

    def _begins_well(self, first: av.VideoFrame) -> bool:
        """Whether decoding from this picture on gives all pictures from the start."""
        if first.pts is None or first.time_base is None or self._start is None:
            return True
        return first.key_frame and first.pts * first.time_base <= self._start

    def _wanted(self, container: InputContainer, stream: VideoStream) -> Generator[Frame]:
        """Frames between start and end, in a native format, with strictly growing times."""
        for image, pts in self._timed(self._images(container, stream)):
            time_base = image.time_base or self.info.time_base
            if self._end is not None and pts * time_base >= self._end:
                return
            if self._start is None or pts * time_base >= self._start:
                picture = cropped(native_format(image), self.info.cropping)
                yield Frame(picture, pts, image.duration or 0, time_base)

    def _timed(self, images: Iterator[av.VideoFrame]) -> Iterator[tuple[av.VideoFrame, int]]:
        """The pictures with times that grow."""
        times: GrowingTimes[av.VideoFrame] | None = None
        for image in images:
            if times is None:
                times = GrowingTimes(self._step(image))
            for timed in times.add(image, image.pts, image.duration or 0):
                self.repaired_times = times.repaired
                yield timed
        if times is not None:
            yield from times.finish()
            self.repaired_times = times.repaired

    def _images(self, container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
        """The good pictures of the size and format of the first one."""
        left, right, top, bottom = self.info.cropping
        width, height = self.info.width + left + right, self.info.height + top + bottom
        size = (width, height, self.info.pixel_format)
        if self.info.missing_bytes:
            self.health.note(f"the file is {self.info.missing_bytes:,} bytes shorter than it says")
        for image in self._decoded(container, stream):
            self._check_clock(image)
            found = (image.width, image.height, image.format.name)
            if found == size:
                yield image
                continue
            seconds = (image.pts or 0) * (image.time_base or self.info.time_base)
            if self._keep_going:
                words = "the picture has another {}".format(
                    "size" if found[:2] != size[:2] else "pixel format"
                )
                self.health.leave_out(words, seconds)
            elif not self.health.is_damaged and self.health.covers(seconds):
                raise self._changed(size, found, seconds - self.info.video_start_seconds)

    def _check_clock(self, image: av.VideoFrame) -> None:
        """Raise `DecodeError` if the clock starts anew where `probe` did not look."""
        clock, info = self._clock, self.info
        if clock is None or self._keep_going or not (self.has_side_streams and info.streams):
            return
        if clock.discontinuities <= info.discontinuities:
            return
        if image.pts is None or image.pts < clock.seam:  # threads of the decoder read ahead
            return
        if self._end is not None and clock.seam * info.time_base >= self._end:
            return
        seconds = float(clock.seam * info.time_base - info.video_start_seconds)
        raise DecodeError(
            f"{info.path}: its clock starts anew after {seconds:.2f} s, and its other "
            "streams cannot follow. Double the part before with "
            f"`end_seconds={seconds:.2f}`, or the picture alone, first: "
            f"ffmpeg -i {info.path.name} -map 0:v:0 -c copy picture.mkv"
        )

    def _changed(
        self, size: tuple[int, int, str], found: tuple[int, int, str], seconds: Fraction
    ) -> DecodeError:
        if size[:2] != found[:2]:
            change = "size from {}x{} to {}x{}".format(*size[:2], *found[:2])
        else:
            change = f"pixel format from {size[2]} to {found[2]}"
        return DecodeError(
            f"{self.info.path}: changes its {change} at {float(seconds):.2f} s. An output has one: "
            f"double the part before with `end_seconds={float(seconds):.2f}`, or first: "
            f"ffmpeg -i {self.info.path.name} -vf scale={size[0]}:{size[1]},format={size[2]} "
            "-c:v ffv1 out.mkv"
        )

    def _step(self, image: av.VideoFrame) -> int:
        """The usual step between pictures, in units of their time stamps."""
        if not self.info.frame_rate:
            if image.pts is None:
                raise OpenError(f"{self.info.path}: has neither time stamps nor a frame rate.")
            return image.duration or 1
        time_base = image.time_base or self.info.time_base
        return max(1, round(1 / (self.info.frame_rate * time_base)))
