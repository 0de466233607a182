"""Frames into GIF, APNG and animated WebP, with a delay for each frame and a number of plays.

Delays are written so that their sum stays exact: each frame begins at its own time, rounded to the
unit of the file.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from pathlib import Path
from typing import cast

import av
import av.error
import numpy as np
from av.filter import Graph
from av.video.stream import VideoStream

from interp_cli.atomic import AtomicPath
from interp_cli.errors import EncodeError
from interp_cli.options import EncodeOptions
from interp_cli.video.encoding.frame_tags import FrameTags
from interp_cli.video.ffmpeg import file_url
from interp_cli.video.images.animation_timing import riff_chunks
from interp_cli.video.images.codecs import PNG, WEBP, ImageCodec
from interp_cli.video.images.write import FrameStorage
from interp_cli.video.pixel_format import Samples, planes_of
from interp_cli.video.writers.base import FrameWriter, publish, reserving

# Colours of a GIF's palette, of which one more is transparent and shown below this opacity.
_COLOURS = 255
_MIN_OPACITY = 128
# Most browsers show a shorter delay, in hundredths of a second, as a tenth of a second.
_MIN_GIF_DELAY = 2


@dataclass(frozen=True, slots=True)
class _Animation:
    """A kind of animation file.

    Attributes:
        name: Name in messages.
        muxer: FFmpeg's name of the format.
        encoder: FFmpeg's name of the encoder.
        unit: Unit of its delays, in seconds; `None`: any fraction.
        storage: Codec of its pictures.
        arguments: Options of the encoder.
    """

    name: str
    muxer: str
    encoder: str
    unit: Fraction | None
    storage: ImageCodec
    arguments: dict[str, str]


_GIF_PICTURE = ImageCodec("GIF", (".gif",), "gif", "gif", ("bgra",), (b"GIF8",))
# Whole frames: FFmpeg's encoder takes pixels for unchanged whose index, not colour, is the same.
_GIF = _Animation("GIF", "gif", "gif", Fraction(1, 100), _GIF_PICTURE, {"gifflags": "0"})
_APNG = _Animation("APNG", "apng", "apng", None, PNG, {})
_WEBP = _Animation("WebP", "webp", "libwebp_anim", Fraction(1, 1000), WEBP, {})
_BY_ENDING = {".gif": _GIF, ".apng": _APNG, ".webp": _WEBP}


def is_animation(target: Path) -> bool:
    """Whether a file of this name is an animation."""
    return target.suffix.lower() in _BY_ENDING


def animation_encoder(target: Path) -> str:
    """The encoder that writes an animation of this name."""
    return _BY_ENDING[target.suffix.lower()].encoder


class AnimationWriter(FrameWriter):
    """Writes a GIF, an APNG or an animated WebP, all or nothing.

    Attributes:
        frames_written: Number of frames handed over so far.
        warnings: What the file cannot hold.
        encoder: FFmpeg's name of the encoder at work.
    """

    def __init__(
        self,
        target: Path,
        tags: FrameTags,
        time_base: Fraction,
        frame_rate: Fraction,
        last_seconds: Fraction,
        options: EncodeOptions,
        plays: int,
        source_format: str = "",
        output: AtomicPath | None = None,
    ) -> None:
        """Start the file.

        Args:
            target: The file to write; its suffix chooses the kind.
            tags: Description of the frames.
            time_base: Unit of the time stamps, in seconds.
            frame_rate: The nominal rate.
            last_seconds: Duration of the last frame.
            options: Encoder settings, of which only `options` are used.
            plays: Number of times that the animation is shown; 0: without end.
            source_format: Pixel format of the input's files, if they are pictures.
            output: Where the file is until it is complete, and how it then takes its name;
                `None`: next to the target, and no other file is replaced.

        Raises:
            EncodeError: The target cannot be written, or the kind cannot hold such frames.
        """
        self.target = target
        self.frames_written = 0
        self._kind = kind = _BY_ENDING[target.suffix.lower()]
        self.encoder = kind.encoder
        self._storage = FrameStorage(kind.storage, tags.pixel_format, source_format)
        self._unit = kind.unit or time_base
        self._time_base = time_base
        self._first_pts: int | None = None
        self._last_pts = -1
        self._last_seconds = last_seconds
        self._graph: Graph | None = None
        self._dithered = 0
        self._waiting: tuple[av.Packet[VideoStream], bool] | None = None
        warnings = _timing_warnings(kind, frame_rate)
        self.warnings = (*tags.warnings, *self._storage.warnings, *warnings)
        self._output = output or AtomicPath(target, overwrite=False)
        self._part = self._output.part
        with reserving(target, target.parent):
            self._output.create()
        stored_format = "pal8" if kind is _GIF else self._storage.pixel_format
        arguments = {**kind.arguments, **dict(options.options)}
        if kind is _WEBP:
            arguments.setdefault("lossless", "1")
        try:
            self._muxer = av.open(
                file_url(self._part), "w", format=kind.muxer, options=self._muxer_options(plays)
            )
            self._stream = cast(
                VideoStream, self._muxer.add_stream(kind.encoder, options=arguments)
            )
            self._stream.width, self._stream.height = (
                tags.pixel_format.width,
                tags.pixel_format.height,
            )
            self._stream.pix_fmt = stored_format
            self._stream.time_base = self._stream.codec_context.time_base = self._unit
            self._muxer.start_encoding()
        except av.error.FFmpegError as error:
            self.abort()
            raise self._failure(error) from error

    @property
    def output_bytes(self) -> int:
        """Size of the file, once it is complete."""
        return self.target.stat().st_size

    def write(self, image: av.VideoFrame, pts: int) -> None:
        """Write one frame.

        Raises:
            EncodeError: The disk is full, or two frames would begin at once.
        """
        if self._first_pts is None:
            self._first_pts = pts
        begin = (pts - self._first_pts) * self._time_base / self._unit
        rounded = floor(begin + Fraction(1, 2))
        if rounded <= self._last_pts:
            raise EncodeError(
                f"{self.target}: frame {self.frames_written} would stand for less than "
                f"{self._unit} s, the shortest that {self._kind.name} can say; write .apng or a "
                "video instead. No output was kept."
            )
        stored = self._storage.stored(image)
        stored.pts, stored.time_base = rounded, self._unit
        self._last_pts = rounded
        try:
            if self._kind is _GIF:
                stored = self._with_palette(stored)
            self._mux(self._stream.encode(stored), is_clear=_is_clear(stored))
        except (av.error.FFmpegError, OSError) as error:
            raise self._failure(error) from error
        self.frames_written += 1

    def close(self) -> None:
        """Complete the file and give it its name.

        Raises:
            EncodeError: The disk is full, or the file cannot be renamed; then it is kept under
                another name.
        """
        try:
            self._mux(self._stream.encode(None), is_clear=False)
            if self._waiting is not None:
                self._muxer.mux(self._waiting[0])
            self._muxer.close()
            if self._kind is _WEBP:
                self._set_last_webp_delay()
        except (av.error.FFmpegError, OSError) as error:
            self.abort()
            raise self._failure(error) from error
        if self._dithered:
            self.warnings += (
                f"a GIF holds {_COLOURS} colours a frame: {self._dithered} of "
                f"{self.frames_written} frames have more and are dithered; .webp and .apng keep "
                "all colours.",
            )
        publish(self._output, self.target)

    def kill(self) -> None:
        """Do nothing: there is no other process, and a `write` under way ends by itself."""

    def abort(self) -> None:
        """Leave nothing behind; safe to call twice."""
        with contextlib.suppress(av.error.FFmpegError, OSError, AttributeError):
            self._muxer.close()
        self._output.discard()

    def _muxer_options(self, plays: int) -> dict[str, str]:
        """Number of plays and duration of the last frame, as options of the muxer."""
        last = self._last_seconds
        if self._kind is _APNG:
            short = last.limit_denominator(65535)
            return {"plays": str(plays), "final_delay": f"{short.numerator}/{short.denominator}"}
        if self._kind is _GIF:  # which counts repetitions
            # Rounded down in the middle, as the time stamp before it was rounded up.
            delay = ceil(last / self._unit - Fraction(1, 2))
            loop = {0: 0, 1: -1}.get(plays, plays - 1)
            return {"loop": str(loop), "final_delay": str(delay)}
        return {"loop": str(plays)}

    def _mux(self, packets: list[av.Packet[VideoStream]], *, is_clear: bool) -> None:
        """Write packets; those of a GIF one frame later, when it is known what follows.

        FFmpeg's encoder lets an opaque frame stand under the next one, where that is clear too.

        Args:
            packets: Packets of a frame.
            is_clear: Whether that frame has clear pixels.
        """
        if self._kind is not _GIF:
            self._muxer.mux(packets)
            return
        for packet in packets:
            if self._waiting is not None:
                waiting, was_clear = self._waiting
                self._muxer.mux(_cleared_afterwards(waiting) if is_clear > was_clear else waiting)
            self._waiting = packet, is_clear

    def _with_palette(self, image: av.VideoFrame) -> av.VideoFrame:
        """The frame in at most 256 colours: its own where they suffice."""
        made = _own_colours(planes_of(image)[0])
        if made is None:
            self._graph = self._graph or self._palette_graph()
            self._dithered += 1
            self._graph.push(image)
            dithered = cast(av.VideoFrame, self._graph.pull())
            # FFmpeg's encoder has room for rows as long as those of the first frame, and a filter
            # pads them: its frame would be written beyond that.
            made = av.VideoFrame(image.width, image.height, "pal8")
            planes_of(made)[0][...] = planes_of(dithered)[0]
            memoryview(made.planes[1])[:] = memoryview(dithered.planes[1])
        made.pts, made.time_base = image.pts, image.time_base
        return made

    def _palette_graph(self) -> Graph:
        """Filters that give each frame a palette of its own, and dither."""
        layout = self._storage.layout
        graph = Graph()
        source = graph.add_buffer(
            width=layout.width,
            height=layout.height,
            format=av.VideoFormat("bgra"),
            time_base=self._unit,
        )
        split = graph.add("split")
        make = graph.add("palettegen", "stats_mode=single")
        use = graph.add("paletteuse", "new=1:dither=sierra2_4a")
        sink = graph.add("buffersink")
        source.link_to(split)
        split.link_to(make, 0, 0)
        split.link_to(use, 1, 0)
        make.link_to(use, 0, 1)
        use.link_to(sink)
        graph.configure()
        return graph

    def _set_last_webp_delay(self) -> None:
        """Correct the delay of the last frame, for which libwebp writes the mean of the others."""
        end = (self._last_pts * self._unit + self._last_seconds) / self._unit
        with self._part.open("r+b") as file:
            places = [place + 12 for name, place, _ in riff_chunks(file) if name == b"ANMF"]
            before = 0
            for place in places[:-1]:
                file.seek(place)
                before += int.from_bytes(file.read(3), "little")
            if places:
                file.seek(places[-1])
                file.write((floor(end + Fraction(1, 2)) - before).to_bytes(3, "little"))

    def _failure(self, error: OSError | av.error.FFmpegError) -> EncodeError:
        return EncodeError(
            f"{self.target}: {self.encoder} failed ({error.strerror}). No output was kept."
        )


def _own_colours(samples: Samples) -> av.VideoFrame | None:
    """The frame with a palette of its own colours; `None`: it has too many.

    Args:
        samples: BGRA, (H, W, 4).
    """
    codes = np.ascontiguousarray(samples).view("<u4")[..., 0]
    clear = codes >> 24 < _MIN_OPACITY
    codes = codes | 0xFF000000
    if len(np.unique(codes[::4, ::4])) > _COLOURS:  # settles it for most pictures
        return None
    colours, indices = np.unique(codes, return_inverse=True)
    if len(colours) > _COLOURS:
        return None
    made = av.VideoFrame(codes.shape[1], codes.shape[0], "pal8")
    # FFmpeg takes the place of the clear colour from the first frame for all of them.
    planes_of(made)[0][...] = np.where(clear, _COLOURS, indices.reshape(codes.shape))
    palette = np.frombuffer(memoryview(made.planes[1]), np.uint32)
    palette[:] = 0xFF000000
    palette[: len(colours)] = colours
    palette[_COLOURS] = 0
    return made


def _is_clear(image: av.VideoFrame) -> bool:
    """Whether a frame with a palette has clear pixels."""
    return image.format.name == "pal8" and bool((planes_of(image)[0] == _COLOURS).any())


def _cleared_afterwards(packet: av.Packet[VideoStream]) -> av.Packet[VideoStream]:
    """An opaque frame of a GIF that is removed before the next one: "restore to background".

    The background is clear only where the frame names a clear colour, so it gets one that no pixel
    has.

    Raises:
        EncodeError: FFmpeg's encoder wrote another sequence of blocks than it does.
    """
    content = bytearray(bytes(packet))
    control = 0
    if content.startswith(b"GIF8"):  # the first frame: header and palette come before it
        control = 13 + (3 << content[10] % 8 + 1 if content[10] & 0x80 else 0)
    flags = control + 8 + 9  # of the image descriptor, which follows the control extension
    if content[control : control + 3] != b"!\xf9\x04" or content[control + 8] != ord(","):
        raise EncodeError("FFmpeg's GIF encoder wrote blocks in an unknown order.")
    if content[flags] & 0x80 and content[flags] % 8 < 7:  # a palette of its own: double it
        size = 3 << content[flags] % 8 + 1
        content[flags + 1 + size : flags + 1 + size] = bytes(size)
        content[flags] += 1
    colours = 2 << content[flags] % 8 if content[flags] & 0x80 else 256
    content[control + 3] = 2 << 2 | 1
    content[control + 6] = colours - 1
    cleared = cast("av.Packet[VideoStream]", av.Packet(bytes(content)))
    cleared.pts, cleared.dts, cleared.time_base = packet.pts, packet.dts, packet.time_base
    cleared.duration, cleared.stream = packet.duration, packet.stream
    cleared.is_keyframe = packet.is_keyframe
    return cleared


def _timing_warnings(kind: _Animation, frame_rate: Fraction) -> list[str]:
    if kind is _GIF and 1 / frame_rate < _MIN_GIF_DELAY * Fraction(1, 100):
        return [
            "most browsers show GIF delays below 2 hundredths of a second as 10; .webp and .apng "
            "keep them."
        ]
    return []
