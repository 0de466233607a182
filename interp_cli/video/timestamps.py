"""The clock of a file: from what demuxer and decoder say to times that grow.

====================================  ========================  ==================================
What the file says                    Where it occurs           What is made of it
====================================  ========================  ==================================
The clock starts anew, or leaps by    Joined MPEG-TS and VOB    The part follows the picture
over 10 s, and the format's clock is  files, playlists          before it, and side streams move
arbitrary                                                       by the same amount.
A leap forward in other formats, or   Screen recordings, radio  A pause: it stays.
while sound goes on                   with still pictures
The clock wraps after 33 bits         Over 26.5 hours           FFmpeg counts on. What it does
                                                                not correct is a discontinuity.
Decoding times alone, although        H.264 in AVI, VFW in      The n-th picture shown has the
pictures are reordered                Matroska                  n-th decoding time.
Equal times, small steps back         Broken muxers             Frames are spread evenly up to the
                                                                next good time.
No time                               Raw streams               It follows the frame before.
A last frame that lasts nothing or    Phones, screen recorders  It lasts the usual step.
a tick
A nominal rate that no step comes     Clocks in milliseconds    The rate of the usual step.
near                                  ("1k fps")
====================================  ========================  ==================================

The first row is what ffmpeg's own command does when it copies (`dts_delta_threshold`), with one
difference: only the picture decides where a part begins, and the other streams follow. There,
whichever stream comes first decides, which tears sound and picture apart by up to a frame a part.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import islice, pairwise
from typing import Any, Generic, TypeVar

import av
from av.container import InputContainer
from av.format import Flags
from av.video.stream import VideoStream

# ffmpeg's thresholds for a discontinuity: a leap, and a step back.
LEAP_SECONDS = 10
STEP_BACK_SECONDS = Fraction(1, 10)
# In formats whose clock is not arbitrary, decoding times of reordered pictures are estimated.
_FAR_BACK_SECONDS = Fraction(1, 2)
# Formats with an index, or with one clock that cannot start anew.
ONE_CLOCK = ("mov,mp4,m4a,3gp,3g2,mj2", "avi")
# Packets by which reordering is recognized; a stream with B-frames shows it after three or so.
_LOOKED_AT = 48
# Pictures that may wait for a good time; that many are held in memory.
_WAITING_PICTURES = 8

T = TypeVar("T")


def is_arbitrary(container: InputContainer) -> bool:
    """Whether the clock of this format starts anywhere, so that only differences mean anything."""
    return Flags.ts_discont in Flags(container.format.flags)


class PictureClock:
    """Gives the packets and pictures of a video their times, on the clock of its first part.

    Attributes:
        offsets: What each part is moved by, in units of the stream; the first is 0.
        dts: Decoding time of the last packet, corrected; `None` before the first.
        seam: Decoding time at which the clock last started anew, corrected.
        pauses: Decoding times to which a leap is a pause, as the file has them.
    """

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        *,
        in_decoding_order: bool = False,
        pauses: Iterable[int] = (),
    ) -> None:
        """Begin at the start of the file, or where it was sought to.

        Args:
            container: The file.
            stream: Its video.
            in_decoding_order: Whether the file has no other times than those of decoding.
            pauses: Decoding times to which a leap is a pause, as the file has them.
        """
        self.pauses = set(pauses)
        self.offsets = [0]
        self.dts: int | None = None
        self.seam = 0
        self._step = 0
        self._order = DecodingOrder() if in_decoding_order else None
        unit = stream.time_base or Fraction(1)
        self._leap = round(LEAP_SECONDS / unit) if is_arbitrary(container) else None
        back = STEP_BACK_SECONDS if is_arbitrary(container) else _FAR_BACK_SECONDS
        self._back = None if container.format.name in ONE_CLOCK else round(back / unit)

    @property
    def discontinuities(self) -> int:
        """Number of times that the clock started anew so far."""
        return len(self.offsets) - 1

    def correct(self, packet: av.Packet[Any]) -> None:
        """Move a packet's time stamps to the clock of the first part."""
        if packet.dts is not None:
            dts = packet.dts + self.offsets[-1]
            if self.dts is not None:
                expected = self.dts + self._step
                if self._is_back(dts) or self.leaps_to(packet.dts):
                    self.offsets.append(self.offsets[-1] + expected - dts)
                    self.seam = dts = expected
                self._step = packet.duration or max(dts - self.dts, 0)
            else:
                self._step = packet.duration or 0
            self.dts = packet.dts = dts
            if self._order:
                self._order.see(dts)
        if packet.pts is not None:
            packet.pts += self.offsets[-1]

    def _is_back(self, dts: int) -> bool:
        return self.dts is not None and self._back is not None and dts + self._back < self.dts

    def leaps_to(self, dts: int) -> bool:
        """Whether a packet of this decoding time, as the file has it, leaves too large a gap."""
        if self.dts is None or self._leap is None or dts in self.pauses:
            return False
        return dts + self.offsets[-1] - self.dts - self._step > self._leap

    def corrected(self, packets: Iterable[av.Packet[Any]]) -> Iterator[av.Packet[Any]]:
        """The packets, corrected."""
        for packet in packets:
            self.correct(packet)
            yield packet

    def time(self, image: av.VideoFrame) -> int | None:
        """The time of the next picture of the decoder; `None`: unknown."""
        return self._order.time(image.dts) if self._order else image.pts


class DecodingOrder:
    """Times of pictures in a file that has decoding times alone, such as H.264 in AVI.

    A decoder hands out the first picture when it has seen some packets more. Each picture carries
    the decoding time of the packet that released it, which is late by that number of packets.
    """

    def __init__(self) -> None:
        """Begin at the start of the stream."""
        self._times: list[int] = []
        self._numbers: dict[int, int] = {}
        self._late: int | None = None
        self._next = 0

    def see(self, dts: int) -> None:
        """Keep the decoding time of the next packet."""
        if dts not in self._numbers:
            self._numbers[dts] = len(self._times)
            self._times.append(dts)

    def time(self, dts: int | None) -> int | None:
        """The time of the next picture that is shown; `None`: unknown.

        Args:
            dts: The decoding time that it carries; `None` for the pictures that the decoder hands
                out at the end.
        """
        number = None if dts is None else self._numbers.get(dts)
        if number is not None:
            if self._late is None:
                self._late = number
            self._next = max(number - self._late, self._next)
        if self._next >= len(self._times):
            return None
        self._next += 1
        return self._times[self._next - 1]


def has_only_decoding_times(container: InputContainer, stream: VideoStream) -> bool:
    """Whether pictures are reordered by the decoder, and time stamps are not.

    Args:
        container: The file, at its start.
        stream: Its video.
    """
    if not stream.codec_context.has_b_frames:
        return False
    packets = list(islice(container.demux(stream), _LOOKED_AT))
    delays = {p.pts - p.dts for p in packets if p.pts is not None and p.dts is not None}
    if len(delays) != 1:
        return False
    pictures = [picture for packet in packets for picture in packet.decode()]
    stamps = [picture.pts for picture in pictures if picture.pts is not None]
    return any(after < before for before, after in pairwise(stamps))


class GrowingTimes(Generic[T]):
    """Gives pictures times that grow strictly, in the order in which they are shown.

    Pictures whose time does not grow wait for the next good time, up to which they are spread.

    Attributes:
        repaired: Number of pictures that were moved.
    """

    def __init__(self, step: int) -> None:
        """Begin before the first picture.

        Args:
            step: The usual step, in units of the time stamps.
        """
        self.repaired = 0
        self._step = self._next_step = step
        self._last: int | None = None
        self._waiting: list[T] = []

    def add(self, item: T, pts: int | None, duration: int) -> Iterator[tuple[T, int]]:
        """Take the next picture.

        Args:
            item: The picture.
            pts: Its time; `None`: the file does not say.
            duration: Its duration; 0: the file does not say.

        Yields:
            Pictures and their times, as soon as they are known.
        """
        if pts is None:
            yield from self.finish()
            pts = 0 if self._last is None else self._last + self._next_step
        self._next_step = duration or self._step
        if self._last is not None and pts <= self._last + len(self._waiting):
            self._waiting.append(item)
            self.repaired += 1
            if len(self._waiting) >= _WAITING_PICTURES:
                yield from self.finish()
            return
        if self._waiting and self._last is not None:
            begin, parts = self._last, len(self._waiting) + 1
            for number, waiting in enumerate(self._waiting, 1):
                yield waiting, begin + (pts - begin) * number // parts
            self._waiting.clear()
        self._last = pts
        yield item, pts

    def finish(self) -> Iterator[tuple[T, int]]:
        """The pictures that no good time follows: they go on at the usual step."""
        for item in self._waiting:
            self._last = (self._last or 0) + self._step
            yield item, self._last
        self._waiting.clear()
