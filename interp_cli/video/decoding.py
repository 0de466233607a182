"""The pictures of a video stream, and what their decoder says of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from fractions import Fraction
from itertools import chain, pairwise
from typing import cast

import av
import av.error
from av.codec.context import Flags
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from interp_cli.video.continuity import WITHOUT_INDEX
from interp_cli.video.ffmpeg import all_packets
from interp_cli.video.health import Health, announced_frames, is_harmless, missing_at_end
from interp_cli.video.libav_log import ErrorLog
from interp_cli.video.timestamps import PictureClock

_OPACITY_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
_UNSPECIFIED = 2  # of matrix, primaries and transfer (ITU-T H.273)
# Number of packets without a key frame after which decoding begins without one.
_MAX_BEFORE_KEY = 300
# Number of packets before the end that are looked at: more than a picture is moved in decoding.
_TAIL = 16
# Formats in which a packet is marked as incomplete that comes before the one that is.
_PARSED = ("mpegts", "mpeg")
# Codecs whose key packets hold a whole picture each, that is shown.
_WHOLE_KEYS = ("mpeg1video", "mpeg2video")


class PictureDecoder:
    """Decodes a video stream from where its file stands, over damage.

    Decoding begins at the first key frame, since no picture before it can be decoded. A packet
    without content stands for the picture before it, shown again. A picture that is damaged or
    concealed is left out and counted in `health`.

    A decoder with several threads does not say which picture an error belongs to. With one
    thread, `exact`, every bad picture is found. Otherwise those that the decoder does not mark are
    handed out, and `health` says that something was found.
    """

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        health: Health | None = None,
        *,
        clock: PictureClock | None = None,
        exact: bool = False,
        from_start: bool = True,
    ) -> None:
        """Prepare the decoder.

        Args:
            container: The open file.
            stream: Its video.
            health: Where findings are noted.
            clock: Corrects the times; `None`: a new one that knows nothing of the file.
            exact: Whether each error is assigned to its picture; takes one thread.
            from_start: Whether the file is read from its start; only then is what it announces
                compared.
        """
        self.health = health or Health()
        self._container, self._stream = container, stream
        self._clock = clock or PictureClock(container, stream)
        self._context = _context_of(stream)
        self._exact, self._from_start = exact, from_start
        # Without a picture yet; kept in order, as pictures come late from several threads.
        self._repeats: list[int] = []  # times of packets that show the picture before them again
        self._bad: dict[int, str] = {}  # what is wrong with packets that gave no picture yet
        self._keys: dict[int, Fraction | None] = {}  # key packets without a picture yet
        self._has_whole_keys = self._context.codec.canonical_name in _WHOLE_KEYS
        self._last_image: av.VideoFrame | None = None
        if not self._context.is_open:
            self._context.copy_opaque = True
            if exact:
                self._context.thread_count = 1
        self._first_key: Fraction | None = None
        self._packets = self._discarded = 0
        self._tail: deque[int] = deque(maxlen=_TAIL)  # times of the last packets
        self._last: int | None = None  # decoding time of the last packet
        self._step: int | None = None  # shortest step between two
        self._end: Fraction | None = None

    def pictures(self) -> Generator[av.VideoFrame]:
        """Yield the good pictures in order."""
        # With one thread, what other threads log is of other inputs.
        with ErrorLog(None if self._exact else self._context.codec.name) as log:
            try:
                for number, (packet, is_cut) in enumerate(self._from_key(log)):
                    if is_cut:
                        self._bad[number] = "data is missing"
                    if packet.size:
                        yield from self._with_repeats(self._decoded(packet, number, log))
                    elif packet.pts is not None and not self._context.has_b_frames:
                        self._repeats.append(packet.pts)
                yield from self._with_repeats(self._decoded(None, -1, log))
                yield from self._repeated(None)
                self._finish()
            finally:
                # A thread that logs waits for Python, which must not wait for it.
                self._context.flush_buffers()

    def _with_repeats(self, images: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        for image in images:
            yield from self._repeated(image.pts)
            self._last_image = image
            yield image

    def _repeated(self, until: int | None) -> Iterator[av.VideoFrame]:
        """The last picture once more for each repeat before a time; `None`: for each."""
        while self._repeats and (until is None or self._repeats[0] < until):
            pts = self._repeats.pop(0)
            if self._last_image is not None:
                self._last_image.pts = pts
                yield self._last_image

    def _from_key(self, log: ErrorLog) -> Iterator[tuple[Packet[Stream], bool]]:
        """Packets from the first key frame on, each with whether its data is incomplete."""
        packets = self._demuxed(log)
        before: list[tuple[Packet[Stream], bool]] = []
        for packet, is_cut in packets:
            if packet.is_keyframe or len(before) == _MAX_BEFORE_KEY:
                if packet.is_keyframe:
                    self._first_key = _seconds(packet)
                    if self._from_start:
                        self.health.at_start = sum(p.size > 0 for p, _ in before)
                        self.health.has_gap |= bool(before)
                    before = []
                yield from chain(before, ((packet, is_cut),))
                break
            before.append((packet, is_cut))
        else:
            yield from before
        yield from packets

    def _demuxed(self, log: ErrorLog) -> Iterator[tuple[Packet[Stream], bool]]:
        """All packets of the stream, each with whether its data is incomplete."""
        packets = all_packets(self._container)
        waiting: Packet[Stream] | None = None
        is_cut = False
        # FFmpeg's parser of these finds the end of a picture with the next one, and marks that.
        is_early = self._container.format.name in _PARSED
        while True:
            try:
                packet = log.observe(lambda: next(packets, None))
            except av.error.FFmpegError as error:
                self.health.note(error.strerror or "the file cannot be read")
                packet = None
            for message in log.take():
                if not is_harmless(message):
                    self.health.note(message, None if waiting is None else _seconds(waiting))
            if packet is None:
                break
            if packet.stream_index == self._stream.index:
                self._clock.correct(packet)
            self._note_end(packet)
            if packet.stream_index != self._stream.index or _is_flush(packet):
                continue
            self._packets += packet.size > 0
            self._discarded += packet.is_discard
            if packet.pts is not None:
                self._tail.append(packet.pts)
            if self._container.format.name in WITHOUT_INDEX:
                self._look_for_gap(packet)
            if waiting is not None:
                # Before a key frame is where recordings were joined, and all data is there.
                yield waiting, is_cut and not packet.is_keyframe
                is_cut = waiting.is_corrupt if is_early else packet.is_corrupt
            else:
                is_cut = packet.is_corrupt and not is_early
            waiting = packet
        if waiting is not None:
            yield waiting, is_cut

    def _look_for_gap(self, packet: Packet[Stream]) -> None:
        if packet.dts is None:
            return
        if self._last is not None and packet.dts > self._last:
            step = packet.dts - self._last
            self._step = step if self._step is None else min(step, self._step)
            if step >= 2 * self._step:
                self.health.has_gap = True
        self._last = packet.dts

    def _look_at_end(self) -> None:
        """Note whether a picture before the last one is missing, as where a file is cut off."""
        if self._container.format.name in WITHOUT_INDEX:
            steps = [end - begin for begin, end in pairwise(sorted(self._tail))]
            if steps and max(steps) >= 2 * min(steps):
                self.health.has_gap = True

    def _note_end(self, packet: Packet[Stream]) -> None:
        if packet.pts is not None and packet.time_base:
            end = (packet.pts + (packet.duration or 0)) * packet.time_base
            self._end = end if self._end is None else max(self._end, end)

    def _decoded(
        self, packet: Packet[Stream] | None, number: int, log: ErrorLog
    ) -> Iterator[av.VideoFrame]:
        """Decode one packet; `None`: what the decoder still holds."""
        if packet is not None:
            packet.opaque = number
            if packet.is_keyframe and self._has_whole_keys and not packet.is_discard:
                self._keys[number] = _seconds(packet)
        images: list[av.VideoFrame] = []
        seconds = None if packet is None else _seconds(packet)
        try:
            images = log.observe(lambda: self._context.decode(packet))
        except av.error.EOFError:
            pass
        except av.error.FFmpegError as error:
            self._found_bad(number, error.strerror or "a picture is damaged", seconds)
        for message in log.take():
            if not is_harmless(message):
                self._found_bad(number, message, seconds)
        for image in images:
            if image.time_base is None and self._stream.time_base:
                image.time_base = self._stream.time_base
            if self._context is not self._stream.codec_context:
                _add_tags(image, self._stream.codec_context)
            image.pts = self._clock.time(image)
            if self._is_good(image, number):
                yield image

    def _found_bad(self, number: int, reason: str, seconds: Fraction | None) -> None:
        if self._is_leading(seconds):
            reason = ""
        if self._exact and number >= 0:
            # The first message about a picture says more than what follows from it.
            self._bad.setdefault(number, reason)
        else:
            self.health.note(reason, seconds)

    def _is_good(self, image: av.VideoFrame, number: int) -> bool:
        seconds = None if image.pts is None or not image.time_base else image.pts * image.time_base
        origin = image.opaque if isinstance(image.opaque, int) else number
        self._keys.pop(origin, None)
        reason = self._bad.pop(origin, None) if self._exact else None
        if reason is None and not image.is_corrupt:
            return True
        if self._is_leading(seconds):
            self.health.at_start += self._from_start
        else:
            self.health.leave_out(reason or "a picture is damaged", seconds)
        return False

    def _is_leading(self, seconds: Fraction | None) -> bool:
        """Whether a picture may refer to some before the beginning of what is read."""
        if seconds is None or self._first_key is None:
            return False
        return seconds < self._first_key

    def _finish(self) -> None:
        """Count what gave no picture, and compare with what the file announces."""
        for number, reason in self._bad.items():
            self._keys.pop(number, None)
            if reason:
                self.health.leave_out(reason)
            else:
                self.health.at_start += self._from_start
        for seconds in self._keys.values():
            self.health.leave_out("a key frame cannot be decoded", seconds)
        if self._from_start and self.health.end_seconds is None:
            announced = announced_frames(self._container, self._stream)
            if announced is not None:
                self.health.announced = announced - self._discarded
            missing = missing_at_end(self._container, self._stream, self._packets, self._end)
            if missing:
                self.health.note(missing)
            self._look_at_end()


def _context_of(stream: VideoStream) -> av.VideoCodecContext:
    """The decoder of a stream. FFmpeg's own ones of VP8 and VP9 would drop their opacity."""
    name = _OPACITY_DECODERS.get(stream.codec_context.name)
    tags = {key.lower(): value for key, value in stream.metadata.items()}
    if name is None or tags.get("alpha_mode") != "1":
        # Cropping within the stream must be exact, not rounded to what suits the processor.
        stream.codec_context.flags |= Flags.unaligned
        return stream.codec_context
    context = cast(av.VideoCodecContext, av.CodecContext.create(name, "r"))
    context.options = stream.codec_context.options
    return context


def _add_tags(image: av.VideoFrame, stated: av.VideoCodecContext) -> None:
    """Let the container's colour tags hold where the coded stream says nothing."""
    if image.colorspace == _UNSPECIFIED:
        # The libraries' range stands for nothing either: without a matrix it is a default.
        image.colorspace = stated.colorspace
        image.color_range = stated.color_range or image.color_range
    if image.color_primaries == _UNSPECIFIED:
        image.color_primaries = stated.color_primaries
    if image.color_trc == _UNSPECIFIED:
        image.color_trc = stated.color_trc


def _is_flush(packet: Packet[Stream]) -> bool:
    """Whether it is none of the file's: PyAV ends each stream with an empty packet."""
    return not packet.size and packet.pts is None and packet.dts is None


def _seconds(packet: Packet[Stream]) -> Fraction | None:
    return None if packet.pts is None or not packet.time_base else packet.pts * packet.time_base
