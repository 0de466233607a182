"""A finished file compared with what was to be written: size, number and times of its frames."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from interp_cli.errors import EncodeError
from interp_cli.video.ffmpeg import open_input
from interp_cli.video.pixel_format import PixelFormat

# Matroska and WebM round to whole milliseconds.
_ROUNDING_SECONDS = Fraction(1, 1000)
# Encoders hold back fewer packets than that, so the first frame is among so many.
_FIRST_PACKETS = 64


@dataclass(frozen=True, slots=True)
class Expected:
    """What a file's first video stream should hold.

    Attributes:
        width: Width, in pixels.
        height: Height, in pixels.
        frames: Number of frames.
        first_seconds: Time of the first frame.
        last_seconds: Time of the last frame.
    """

    width: int
    height: int
    frames: int
    first_seconds: Fraction
    last_seconds: Fraction


class FinishedCheck:
    """Notes which frames a writer gets, and compares the finished file with them."""

    def __init__(self, pixel_format: PixelFormat, time_base: Fraction) -> None:
        """Begin with no frames.

        Args:
            pixel_format: Layout of the frames.
            time_base: Unit of the time stamps, in seconds.
        """
        self._pixel_format = pixel_format
        self._time_base = time_base
        self._frames = self._first_pts = self._last_pts = 0

    def note(self, pts: int) -> None:
        """Note a frame; time stamps must grow."""
        if self._frames == 0:
            self._first_pts = pts
        self._frames, self._last_pts = self._frames + 1, pts

    def check(self, path: Path) -> None:
        """Look at the finished file.

        Raises:
            EncodeError: It does not hold the frames. The message is the reason, without the file.
        """
        expected = Expected(
            self._pixel_format.width,
            self._pixel_format.height,
            self._frames,
            self._first_pts * self._time_base,
            self._last_pts * self._time_base,
        )
        if self._frames and (fault := finished_fault(path, expected)):
            raise EncodeError(f"{fault}; choose another `encoder` or other options of ffmpeg")


def finished_fault(path: Path, expected: Expected) -> str | None:
    """What is wrong with a finished file, as part of a sentence; `None`: nothing.

    Nothing is decoded. Of a long file, the first packets and those after the last keyframe are
    read.
    """
    try:
        with open_input(path) as container:
            return _fault(container, container.streams.video[0], expected)
    except (av.error.FFmpegError, IndexError) as error:
        return f"the finished file cannot be read: {error}"


def _fault(container: InputContainer, stream: VideoStream, expected: Expected) -> str | None:
    if (stream.width, stream.height) != (expected.width, expected.height):
        return (
            f"the finished file holds {stream.width}x{stream.height} pixels instead of "
            f"{expected.width}x{expected.height}"
        )
    times = _times(container, stream, _FIRST_PACKETS)
    is_whole = len(times) < _FIRST_PACKETS
    frames = len(times) if is_whole else stream.frames  # 0: the container does not count them
    if frames and frames != expected.frames:
        return f"the finished file holds {frames} frames instead of {expected.frames}"
    if not times:
        return "the finished file holds no frames with times"
    first, last = min(times), max(times)
    if not is_whole:
        last = _last_time(container, stream, expected.last_seconds)
    # A stream that begins before zero moves all streams where the container cannot say so.
    moved = first - expected.first_seconds if len(container.streams) > 1 else Fraction(0)
    for name, found, wanted in (
        ("first", first, expected.first_seconds),
        ("last", last, expected.last_seconds),
    ):
        if abs(found - wanted - moved) > _ROUNDING_SECONDS:
            return (
                f"the {name} frame of the finished file is at {float(found):.6g} s instead of "
                f"{float(wanted + moved):.6g} s"
            )
    return None


def _last_time(container: InputContainer, stream: VideoStream, wanted: Fraction) -> Fraction:
    """The last time of a stream; one seek, if the last frame is where it should be."""
    assert stream.time_base is not None  # every stream that was opened has one
    container.seek(int(wanted / stream.time_base), stream=stream)
    last = max(_times(container, stream), default=Fraction(-1))
    if abs(last - wanted) <= _ROUNDING_SECONDS:
        return last
    container.seek(0, stream=stream)  # there may be no index: all of it
    return max([last, *_times(container, stream)])


def _times(
    container: InputContainer, stream: VideoStream, most: int | None = None
) -> list[Fraction]:
    """Times of the next packets, in the order of the file."""
    assert stream.time_base is not None
    packets = (packet for packet in container.demux(stream) if packet.size)
    return [p.pts * stream.time_base for p in islice(packets, most) if p.pts is not None]
