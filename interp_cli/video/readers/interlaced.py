"""Whole frames out of fields: deinterlacing, and inverse telecine for film.

FFmpeg's filters make the pictures. Time stamps are computed here, because the filters round or
count them: a deinterlaced frame keeps its own, and film is spread evenly over each cycle. Soft
telecine, as on DVDs, stores whole frames of film that a player shows for three and two fields in
turn; it only needs even times.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import chain, islice, pairwise

import av
import av.error
from av.filter import Graph

from interp_cli.errors import DecodeError
from interp_cli.options import Fields
from interp_cli.video.probe import VideoInfo
from interp_cli.video.readers.base import Frame, FrameReader

# Television shows four frames of film in five of its own (3:2 pulldown).
_CYCLE = 5
_FILM = 4
_FIELD_SECONDS = Fraction(1001, 60_000)
# Number of frames by whose times soft telecine is recognized.
LOOKED_AT = 24


class FieldReader(FrameReader):
    """Makes whole frames of the fields that another reader hands out."""

    def __init__(self, reader: FrameReader, fields: Fields) -> None:
        """Wrap an opened reader.

        Args:
            reader: Reader of the fields, which is closed with this one.
            fields: `deinterlace` or `detelecine`.

        Raises:
            DecodeError: Film cannot be recovered from a video of this rate.
        """
        self._reader = reader
        self._source = reader.info
        self._film = fields == "detelecine"
        self._frames: Iterator[Frame] = iter(reader)
        self._is_soft = False
        self.has_side_streams = reader.has_side_streams
        self.plays = reader.plays
        self.info = replace(reader.info, interlaced=False)
        if self._film:
            first = list(islice(self._frames, LOOKED_AT))
            self._frames = chain(first, self._frames)
            self._is_soft = is_soft_telecine([frame.pts for frame in first], self.info.time_base)
            self.info = _film_info(self.info, is_soft=self._is_soft)

    def close(self) -> None:
        """See `FrameReader`."""
        self._reader.close()

    @property
    def damage(self) -> str | None:
        """See `FrameReader`."""
        return self._reader.damage

    @property
    def warnings(self) -> tuple[str, ...]:
        """See `FrameReader`."""
        return self._reader.warnings

    @property
    def repaired_times(self) -> int:
        """See `FrameReader`."""
        return self._reader.repaired_times

    def __iter__(self) -> Iterator[Frame]:
        """See `FrameReader`."""
        if self._is_soft:
            return _evened(self._whole_frames("interlaced"), self.info.time_base)
        if self._film:
            return self._film_frames()
        # A file that marks its fields may also have whole frames; otherwise all frames are fields.
        return self._whole_frames("interlaced" if self._source.interlaced else "all")

    def _whole_frames(self, which: str) -> Iterator[Frame]:
        frames: deque[Frame] = deque()

        def observed() -> Iterator[Frame]:
            for frame in self._frames:
                frames.append(frame)
                yield frame

        for image in _filtered(observed(), self._source, f"bwdif=mode=send_frame:deint={which}"):
            yield replace(frames.popleft(), image=image)

    def _film_frames(self) -> Iterator[Frame]:
        stamps: list[int] = []  # time of each cycle's first frame

        def observed() -> Iterator[Frame]:
            for count, frame in enumerate(self._frames):
                if count % _CYCLE == 0:
                    stamps.append(frame.pts)
                yield frame

        # Fields without a partner, as at edits, are deinterlaced.
        filters = f"fieldmatch,bwdif=mode=send_frame:deint=interlaced,decimate=cycle={_CYCLE}"
        waiting: deque[av.VideoFrame] = deque()
        shown = 0
        for image in _filtered(observed(), self._source, filters):
            waiting.append(image)
            # The end of a cycle is known once the next one has begun.
            while waiting and len(stamps) > shown // _FILM + 1:
                yield self._film_frame(waiting.popleft(), shown, stamps)
                shown += 1
        for image in waiting:
            yield self._film_frame(image, shown, stamps)
            shown += 1

    def _film_frame(self, image: av.VideoFrame, number: int, stamps: list[int]) -> Frame:
        """A frame of film with its time: the frames of a cycle are spread evenly over it."""
        cycle, place = divmod(number, _FILM)
        usual = round(_CYCLE / (self._source.frame_rate or Fraction(30)) / self._source.time_base)
        begin = stamps[cycle] if cycle < len(stamps) else stamps[-1] + usual
        length = stamps[cycle + 1] - begin if cycle + 1 < len(stamps) else usual
        return Frame(image, _FILM * begin + place * length, length, self.info.time_base)


def is_soft_telecine(stamps: Sequence[int], time_base: Fraction) -> bool:
    """Whether most frames last three and two fields of television in turn.

    Args:
        stamps: Time stamps of the first `LOOKED_AT` frames.
        time_base: Their unit, in seconds.
    """
    counts = [_fields(end - begin, time_base) for begin, end in pairwise(stamps)]
    in_turn = sum({*pair} == {2, 3} for pair in pairwise(counts))
    return len(counts) > _CYCLE and 2 * in_turn > len(counts)


def _fields(length: int, time_base: Fraction) -> int:
    """Number of fields that last that long; 0: not a whole number."""
    count = round(length * time_base / _FIELD_SECONDS)
    # Both time stamps may be rounded.
    return count if abs(length * time_base - count * _FIELD_SECONDS) <= time_base else 0


def _evened(frames: Iterable[Frame], time_base: Fraction) -> Iterator[Frame]:
    """Split the five fields of two frames evenly between them; other frames keep their times.

    Args:
        frames: Frames that mostly last three and two fields in turn.
        time_base: Unit of the new times: half of the frames' own unit, or a fraction of that.
    """
    waiting: deque[Frame] = deque()

    def halfway(end: int) -> int | None:
        """Twice the time of the second of two waiting frames, if they last five fields together."""
        first, second = waiting
        lengths = (second.pts - first.pts, end - second.pts)
        is_pair = {_fields(length, first.time_base) for length in lengths} == {2, 3}
        return first.pts + end if is_pair else None

    def shown(twice_pts: int) -> Frame:
        frame = waiting.popleft()
        parts = int(frame.time_base / time_base)
        return replace(frame, pts=twice_pts * parts // 2, duration=0, time_base=time_base)

    for frame in frames:
        if len(waiting) == 2:
            second = halfway(frame.pts)
            yield shown(2 * waiting[0].pts)
            if second is not None:
                yield shown(second)
        waiting.append(frame)
    last = halfway(waiting[1].pts + waiting[1].duration) if len(waiting) == 2 else None
    if waiting:
        yield shown(2 * waiting[0].pts)
    if waiting:
        yield shown(2 * waiting[0].pts if last is None else last)


def _film_info(info: VideoInfo, *, is_soft: bool) -> VideoInfo:
    if is_soft:
        film_rate = _FILM / (2 * _CYCLE * _FIELD_SECONDS)
        time_base = info.time_base / _FILM
        last = round(1 / film_rate / time_base)
        return replace(info, frame_rate=film_rate, time_base=time_base, last_duration=last)
    rate = info.frame_rate
    if rate is None or abs(rate - 30) > Fraction(1, 10):
        found = "no constant rate" if rate is None else f"{float(rate):.6g} frames a second"
        raise DecodeError(
            f"{info.path}: has {found}, but film can only be recovered from 30 (or 30000/1001). "
            'Use `fields="deinterlace"`.'
        )
    time_base, film_rate = info.time_base / _FILM, rate * _FILM / _CYCLE
    return replace(
        info,
        frame_rate=film_rate,
        time_base=time_base,
        last_duration=round(1 / film_rate / time_base),
        frame_count=info.frame_count and info.frame_count * _FILM // _CYCLE,
    )


def _filtered(frames: Iterable[Frame], info: VideoInfo, filters: str) -> Iterator[av.VideoFrame]:
    """Push every frame through a chain of filters and yield the results."""
    graph: Graph | None = None
    for frame in frames:
        if graph is None:
            graph = _graph(frame, info, filters)
        frame.image.pts, frame.image.time_base = frame.pts, frame.time_base
        graph.push(frame.image)
        yield from _pulled(graph)
    if graph is not None:
        graph.push(None)
        yield from _pulled(graph)


def _graph(frame: Frame, info: VideoInfo, filters: str) -> Graph:
    graph = Graph()
    image, name = frame.image, frame.image.format.name
    rate = info.frame_rate or Fraction(25)
    last = graph.add(
        "buffer",
        f"video_size={image.width}x{image.height}:pix_fmt={name}:time_base={frame.time_base}"
        f":frame_rate={rate}",
    )
    for part in (*filters.split(","), f"format=pix_fmts={name}", "buffersink"):
        kind, _, arguments = part.partition("=")
        link = graph.add(kind, arguments)
        last.link_to(link)
        last = link
    graph.configure()
    return graph


def _pulled(graph: Graph) -> Iterator[av.VideoFrame]:
    while True:
        try:
            image = graph.pull()
        except (BlockingIOError, EOFError, av.error.EOFError):
            return
        if isinstance(image, av.VideoFrame):
            yield image
