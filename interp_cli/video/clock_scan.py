"""Where the clock of a file starts anew, from its packets alone, and what that means for its sound.

The picture decides where a part begins (`PictureClock`). A side stream comes to the next part some
packets earlier or later; from there on it is moved by the same amount.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from interp_cli.video.ffmpeg import all_packets
from interp_cli.video.timestamps import (
    LEAP_SECONDS,
    ONE_CLOCK,
    STEP_BACK_SECONDS,
    PictureClock,
    is_arbitrary,
)

# Formats in which a clock that starts anew shows at the end, where it is looked for, if at all.
_INDEXED = (*ONE_CLOCK, "matroska,webm", "mxf", "yuv4mpegpipe", "gif", "apng", "webp_pipe")
# Packets of the end whose steps are compared with the nominal rate.
_TAIL_PACKETS = 600
# Packets of a part among which those are sought that overlap the part before.
_OVERLAP_PACKETS = 256


@dataclass(frozen=True, slots=True)
class StreamClock:
    """Corrections of a side stream's clock.

    Attributes:
        index: The stream's number in its file.
        offsets: Number of a packet, and what is added to the time stamps from it on, in seconds.
        overlapping: First and last numbers of packets that lie before the end of the part before.
    """

    index: int
    offsets: tuple[tuple[int, Fraction], ...]
    overlapping: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class ClockScan:
    """What the packets of a whole file say about its clock.

    Attributes:
        discontinuities: Number of times that the clock starts anew.
        side_clocks: Corrections of the side streams; empty if there is no discontinuity.
        pauses: Decoding times to which the clock leaps while sound goes on, in units of the video.
        tail: Time stamps and durations of the last pictures, corrected, in units of the video.
    """

    discontinuities: int
    side_clocks: tuple[StreamClock, ...]
    pauses: tuple[int, ...]
    tail: tuple[tuple[int, int], ...]


def may_start_anew(container: InputContainer) -> bool:
    """Whether a file of this format has to be read as a whole to know its clock.

    An index has one clock. FFmpeg's parser of a raw stream counts the frames.
    """
    name = container.format.name
    return is_arbitrary(container) or (name not in _INDEXED and len(container.streams) > 1)


class _SideClock:
    """Finds where a side stream comes to the next part, from which on it moves as the picture."""

    def __init__(self, stream: av.stream.Stream) -> None:
        self.index = stream.index
        self.seams: list[_Seam] = []
        self._time_base = stream.time_base or Fraction(1)
        self._leap = round(LEAP_SECONDS / self._time_base)
        self._back = round(STEP_BACK_SECONDS / self._time_base)
        self._count = 0
        self._last: int | None = None
        self._end = 0

    def see(self, packet: av.Packet[Any], picture: PictureClock, unit: Fraction) -> None:
        """Look at the next packet.

        Args:
            packet: The packet, as the file has it.
            picture: The picture's clock, which has seen all packets before this one.
            unit: The picture's time base.
        """
        number = self._count
        self._count += 1
        stamp = packet.dts if packet.dts is not None else packet.pts
        if stamp is None:
            return
        last, length = self._last, packet.duration or 0
        if last is None or stamp + self._back < last or stamp - last > self._leap:
            shown = None if picture.dts is None else picture.dts * unit
            is_back = last is not None and stamp < last
            time, end = stamp * self._time_base, self._end * self._time_base
            self.seams.append(_Seam(number, time, end, picture.discontinuities, shown, is_back, []))
        if len(self.seams[-1].first) < _OVERLAP_PACKETS:
            self.seams[-1].first.append((number, 2 * stamp + length))
        self._last, self._end = stamp, stamp + length

    def goes_on(self, begin: Fraction, end: Fraction) -> bool:
        """Whether the stream went on from one time to the other, as the file has them."""
        if self._last is None or not self.seams:
            return False
        is_near = self._last * self._time_base >= end - LEAP_SECONDS
        return is_near and self.seams[-1].time <= begin

    def clock(self, offsets: Sequence[Fraction]) -> StreamClock:
        """The stream's corrections.

        Args:
            offsets: What each part of the picture is moved by, in seconds.
        """
        part, moved, overlapping = 0, list[tuple[int, Fraction]](), list[tuple[int, int]]()
        for seam in self.seams:
            # The stream may reach the next part before the picture does.
            ahead = min(seam.part + 1, len(offsets) - 1)
            reachable = range(min(part + seam.is_back, ahead), ahead + 1)
            shown = seam.time if seam.shown is None else seam.shown
            begin = part
            part = min(reachable, key=lambda n: abs(seam.time + offsets[n] - shown))
            end = seam.end + offsets[begin]
            if part == begin:
                continue
            moved.append((seam.number, offsets[part]))
            latest = 2 * (end - offsets[part]) / self._time_base
            early = [number for number, twice in seam.first if twice < latest]
            if early and seam.number:
                overlapping.append((early[0], early[-1]))
        return StreamClock(self.index, tuple(moved), tuple(overlapping))


@dataclass(frozen=True, slots=True)
class _Seam:
    """Where a side stream's clock starts anew.

    Attributes:
        number: Number of the first packet behind it.
        time: Its time, in seconds, as the file has it.
        end: End of the packet before, as the file has it.
        part: Number of the picture's part that was reached.
        shown: Corrected time of the picture's last packet; `None`: there was none.
        is_back: Whether the clock went back.
        first: Numbers of the packets behind it, and twice their middles, in units of the stream.
    """

    number: int
    time: Fraction
    end: Fraction
    part: int
    shown: Fraction | None
    is_back: bool
    first: list[tuple[int, int]]


def scan_clock(container: InputContainer, stream: VideoStream) -> ClockScan:
    """Read the packets of a whole file, without decoding, and find where its clock starts anew.

    Args:
        container: The file, at its start.
        stream: Its video.
    """
    unit = stream.time_base or Fraction(1)
    picture = PictureClock(container, stream)
    sides = {s.index: _SideClock(s) for s in container.streams if s.index != stream.index}
    sounds = [sides[s.index] for s in container.streams.audio]
    tail = deque[tuple[int, int]](maxlen=_TAIL_PACKETS)
    for packet in _packets(container):
        if packet.stream.index == stream.index:
            if packet.dts is not None and picture.leaps_to(packet.dts) and picture.dts is not None:
                begin = (picture.dts - picture.offsets[-1]) * unit
                if any(side.goes_on(begin, packet.dts * unit) for side in sounds):
                    picture.pauses.add(packet.dts)
            picture.correct(packet)
            if packet.pts is not None:
                tail.append((packet.pts, packet.duration or 0))
        elif packet.stream.index in sides:  # a stream may also appear within the file
            sides[packet.stream.index].see(packet, picture, unit)
    offsets = [offset * unit for offset in picture.offsets]
    clocks = tuple(side.clock(offsets) for side in sides.values()) if offsets[1:] else ()
    return ClockScan(len(offsets) - 1, clocks, tuple(sorted(picture.pauses)), tuple(tail))


def _packets(container: InputContainer) -> Iterator[av.Packet[Any]]:
    """The packets up to the first damage, which is said by whoever decodes."""
    with contextlib.suppress(av.error.FFmpegError, OSError):
        yield from all_packets(container)
