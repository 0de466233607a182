"""Standard input and output as raw video: YUV4MPEG2 and NUT, and whatever else FFmpeg reads.

A pipe is read once, from its beginning: nothing is known of its end, and what stands beside the
video is left out. NUT carries exact time stamps and every pixel format; YUV4MPEG2 has one rate.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import select
import sys
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from interp_cli.errors import EncodeError, OpenError, PipeClosedError
from interp_cli.options import OutputFormat
from interp_cli.video.picture import PictureDescription
from interp_cli.video.planes import UNTAGGED
from interp_cli.video.probe import (
    Y4M_HEAD_BYTES,
    decode,
    describe,
    first_picture,
    y4m_missing_bytes,
)
from interp_cli.video.reader import VideoReader
from interp_cli.video.writer import FrameWriter

_MUXERS = {"y4m": "yuv4mpegpipe", "nut": "nut"}
# FFmpeg asks for this much at once; a callback for each 32 KiB would cost more than the copying.
_BUFFER_BYTES = 1 << 20
# How often a reader that waits for input looks whether it is to stop.
_PAUSE_SECONDS = 0.1


class PipeReader(VideoReader):
    """Reads the frames of a video from a pipe."""

    has_side_streams = False

    def __init__(
        self,
        pipe: int,
        start_seconds: float | None = None,
        end_seconds: float | None = None,
        *,
        name: str = "standard input",
        keep_going: bool = False,
        depth: int = 8,
    ) -> None:
        """Wait for the header and the first picture.

        Args:
            pipe: Descriptor of the pipe; stays open.
            start_seconds: As for `VideoReader`; what comes before is decoded and dropped.
            end_seconds: As for `VideoReader`.
            name: What messages call it.
            keep_going: As for `VideoReader`.
            depth: As for `VideoReader`.

        Raises:
            OpenError: No video comes.
        """
        if os.isatty(pipe):
            raise OpenError(f"{name}: is a terminal; pipe a video in, or name a file.")
        self._input = _Interruptible(pipe)
        try:
            self._container = av.open(
                self._input, "r", metadata_errors="replace", buffer_size=_BUFFER_BYTES
            )
        except av.error.FFmpegError as error:
            raise OpenError(
                f"{name}: is no video that FFmpeg can read from a pipe ({error.strerror}); "
                "YUV4MPEG2, NUT, Matroska or MPEG-TS is expected."
            ) from error
        try:
            if not self._container.streams.video:
                raise OpenError(f"{name}: has no video stream.")
            self._stream = self._container.streams.video[0]
            self._stream.thread_type = "AUTO"
            pictures = decode(self._container, self._stream)
            first = first_picture(pictures, Path(name))
        except BaseException:
            self._container.close()
            raise
        self._pictures = itertools.chain((first,), pictures)
        info = describe(self._container, self._stream, first, Path(name))
        super().__init__(
            name, start_seconds, end_seconds, keep_going=keep_going, depth=depth, info=info
        )
        lost = ", ".join(f"{s.kind} ({s.codec or 'unknown'})" for s in info.streams)
        if lost:
            self.warnings = (f"a pipe is read once, so its {lost} is left out.",)

    def close(self) -> None:
        """Stop reading, whether or not more would come."""
        self._input.stop()
        super().close()
        self._container.close()

    def _open(self) -> tuple[InputContainer, VideoStream]:
        return self._container, self._stream

    def _decoded(self, container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
        for image in self._pictures:
            yield image
        if self._input.is_cut_off(image):
            self.damage = "the stream ends within the next one"


class PipeWriter(FrameWriter):
    """Writes raw frames to a pipe, nothing else.

    Attributes:
        frames_written: Frames handed over so far.
        warnings: What the stream cannot hold.
        encoder: What the pipe carries.
    """

    def __init__(
        self,
        pipe: int,
        output_format: OutputFormat,
        picture: PictureDescription,
        time_base: Fraction,
        frame_rate: Fraction,
        name: str = "standard output",
    ) -> None:
        """Write the header.

        Args:
            pipe: Descriptor of the pipe; stays open.
            output_format: `y4m` or `nut`.
            picture: What the frames are.
            time_base: Unit of the time stamps, in seconds.
            frame_rate: Nominal rate; in YUV4MPEG2 that of all frames.
            name: What messages call it.

        Raises:
            EncodeError: The format does not hold such frames.
        """
        if os.isatty(pipe):
            raise EncodeError(f"{name}: is a terminal; pipe it into a program, or name a file.")
        self.frames_written = 0
        self._output_bytes = 0
        self.encoder = f"rawvideo in {output_format}"
        self.warnings = (*picture.warnings, *_untold(output_format, picture))
        self._name = name
        self._rate = frame_rate if output_format == "y4m" else None
        self._time_base = 1 / frame_rate if self._rate else time_base
        self._input_time_base = time_base
        self._first_pts: int | None = None
        layout = picture.layout
        self._muxer = av.open(
            _Outlet(pipe, picture.sample_aspect),
            "w",
            format=_MUXERS[output_format],
            # Formats of more than 8 bits are FFmpeg's own addition to YUV4MPEG2.
            options={"strict": "-1"},
            buffer_size=_BUFFER_BYTES,
        )
        siting = {"chroma_sample_location": picture.chroma_location or "unspecified"}
        self._stream = self._muxer.add_stream("rawvideo", rate=frame_rate, options=siting)
        self._stream.width, self._stream.height = layout.width, layout.height
        self._stream.pix_fmt = layout.name
        context = self._stream.codec_context
        self._stream.time_base = context.time_base = self._time_base
        if picture.colour.full_range is not None:
            context.color_range = 2 if picture.colour.full_range else 1
        try:
            self._muxer.start_encoding()
        except (av.error.FFmpegError, OSError) as error:
            if isinstance(error, BrokenPipeError):
                raise self._failure(error) from error
            raise EncodeError(
                f"{name}: {output_format} holds no {layout.name} frames; use --output-format nut."
            ) from error

    @property
    def output_bytes(self) -> int:
        """See `FrameWriter`."""
        return self._output_bytes

    def write(self, image: av.VideoFrame, pts: int) -> None:
        """Write one frame.

        Raises:
            PipeClosedError: Nobody reads any more.
            EncodeError: The format cannot say when the frame stands.
        """
        image.pts = pts if self._rate is None else self._number(pts, self._rate)
        image.time_base = self._time_base
        self._mux(image)
        self.frames_written += 1

    def close(self) -> None:
        """Write what is left."""
        self._mux(None)
        try:
            self._muxer.close()
        except (av.error.FFmpegError, OSError) as error:
            raise self._failure(error) from error

    def kill(self) -> None:
        """Nothing runs beside this."""

    def abort(self) -> None:
        """Let go of the pipe: its reader sees that the stream ends."""
        with contextlib.suppress(av.error.FFmpegError, OSError):
            self._muxer.close()

    def _number(self, pts: int, rate: Fraction) -> int:
        """The frame's number, by which alone YUV4MPEG2 knows its time."""
        if self._first_pts is None:
            self._first_pts = pts
        place = (pts - self._first_pts) * self._input_time_base * rate
        if abs(place - self.frames_written) > Fraction(1, 2):
            raise EncodeError(
                f"{self._name}: frame {self.frames_written} stands {float(place / rate):.3f} s "
                f"after the first, but y4m has one rate ({float(rate):.6g}/s) and no time stamps; "
                "use --output-format nut."
            )
        return self.frames_written

    def _mux(self, image: av.VideoFrame | None) -> None:
        try:
            self._muxer.mux(self._stream.encode(image))
        except (av.error.FFmpegError, OSError) as error:
            raise self._failure(error) from error

    def _failure(self, error: OSError | av.error.FFmpegError) -> EncodeError:
        if isinstance(error, BrokenPipeError):
            return PipeClosedError(f"{self._name}: was closed by its reader.")
        return EncodeError(f"{self._name}: cannot be written ({error.strerror}).")


class _Outlet(io.RawIOBase):
    """A pipe to write to, with the pixel aspect in a YUV4MPEG2 header, which PyAV cannot set."""

    def __init__(self, pipe: int, sample_aspect: Fraction) -> None:
        self._pipe = pipe
        self._aspect = f" A{sample_aspect.numerator}:{sample_aspect.denominator} ".encode()
        self._begun = False

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        rest = content = memoryview(data)
        if not self._begun and bytes(content[:9]) == b"YUV4MPEG2":
            rest = memoryview(bytes(content).replace(b" A0:0 ", self._aspect, 1))
        self._begun = True
        while rest:
            rest = rest[os.write(self._pipe, rest) :]
        return len(content)


class _Interruptible(io.RawIOBase):
    """A pipe whose reader can be told to stop while it waits."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._stopped = threading.Event()
        self._head = b""
        self._bytes_read = 0

    def stop(self) -> None:
        """From now on the pipe seems to have ended."""
        self._stopped.set()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while not self._stopped.is_set():
            # Windows cannot wait for pipes; there a reader waits for its writer.
            if sys.platform == "win32" or select.select([self._pipe], [], [], _PAUSE_SECONDS)[0]:
                content = os.read(self._pipe, max(size, 0))
                if len(self._head) < Y4M_HEAD_BYTES:
                    self._head += content[:Y4M_HEAD_BYTES]
                self._bytes_read += len(content)
                return content
        return b""

    def is_cut_off(self, image: av.VideoFrame) -> bool:
        """Whether a YUV4MPEG2 stream ended within a frame, of which FFmpeg says nothing."""
        ended = not self._stopped.is_set()
        return ended and y4m_missing_bytes(self._head, self._bytes_read, image) > 0


def _untold(output_format: OutputFormat, picture: PictureDescription) -> tuple[str, ...]:
    """What the stream says nothing of, in words."""
    colour = picture.colour
    known = {
        "matrix": colour.matrix != UNTAGGED and picture.layout.kind == "yuv",
        "primaries": colour.primaries != UNTAGGED,
        "transfer": colour.transfer != UNTAGGED,
        "range": bool(colour.full_range)
        and picture.layout.kind == "yuv"
        and output_format == "nut",
        "pixel aspect": picture.sample_aspect != 1 and output_format == "nut",
        "rotation": picture.rotation != 0 or picture.mirrored,
        "HDR10 data": bool(picture.mastering_display or picture.light_level),
    }
    lost = [fact for fact, there in known.items() if there]
    if not lost:
        return ()
    return (
        f"{output_format} does not carry the picture's {', '.join(lost)}: tell the program that "
        "reads it.",
    )
