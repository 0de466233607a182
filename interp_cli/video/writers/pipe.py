"""Frames to the standard output as raw video: YUV4MPEG2 or NUT.

NUT carries exact time stamps and every pixel format. YUV4MPEG2 has one frame rate. Neither carries
the other streams of the input.
"""

from __future__ import annotations

import contextlib
import io
import os
from fractions import Fraction
from typing import Any

import av
import av.error

from interp_cli.errors import EncodeError, PipeClosedError
from interp_cli.options import OutputFormat
from interp_cli.video.encoding.frame_tags import FrameTags
from interp_cli.video.pixel_format import UNTAGGED
from interp_cli.video.readers.pipe import _BUFFER_BYTES
from interp_cli.video.writers.base import FrameWriter

_MUXERS = {"y4m": "yuv4mpegpipe", "nut": "nut"}


class PipeWriter(FrameWriter):
    """Writes raw frames to a pipe, nothing else.

    Attributes:
        frames_written: Number of frames handed over so far.
        warnings: What the stream cannot hold.
        encoder: Name of the format.
    """

    def __init__(
        self,
        pipe: int,
        output_format: OutputFormat,
        tags: FrameTags,
        time_base: Fraction,
        frame_rate: Fraction,
        name: str = "standard output",
    ) -> None:
        """Write the header.

        Args:
            pipe: File descriptor, which stays open.
            output_format: `y4m` or `nut`.
            tags: Description of the frames.
            time_base: Unit of the time stamps, in seconds.
            frame_rate: The nominal rate; YUV4MPEG2 has it for all frames.
            name: Name of the pipe in messages.

        Raises:
            EncodeError: The format does not hold such frames.
        """
        if os.isatty(pipe):
            raise EncodeError(f"{name}: is a terminal; pipe it into a program, or name a file.")
        self.frames_written = 0
        self._output_bytes = 0
        self.encoder = f"rawvideo in {output_format}"
        self.warnings = (*tags.warnings, *_dropped(output_format, tags))
        self._name = name
        self._rate = frame_rate if output_format == "y4m" else None
        self._time_base = 1 / frame_rate if self._rate else time_base
        self._input_time_base = time_base
        self._first_pts: int | None = None
        pixel_format = tags.pixel_format
        self._muxer = av.open(
            _Outlet(pipe, tags.sample_aspect),
            "w",
            format=_MUXERS[output_format],
            # Formats of more than 8 bits are FFmpeg's own addition to YUV4MPEG2.
            options={"strict": "-1"},
            buffer_size=_BUFFER_BYTES,
        )
        siting = {"chroma_sample_location": tags.chroma_location or "unspecified"}
        self._stream = self._muxer.add_stream("rawvideo", rate=frame_rate, options=siting)
        self._stream.width, self._stream.height = pixel_format.width, pixel_format.height
        self._stream.pix_fmt = pixel_format.name
        context = self._stream.codec_context
        self._stream.time_base = context.time_base = self._time_base
        if tags.colour.full_range is not None:
            context.color_range = 2 if tags.colour.full_range else 1
        try:
            self._muxer.start_encoding()
        except (av.error.FFmpegError, OSError) as error:
            if isinstance(error, BrokenPipeError) or not isinstance(error, av.error.FFmpegError):
                raise self._failure(error) from error  # of the pipe, not of FFmpeg
            raise EncodeError(
                f"{name}: {output_format} holds no {pixel_format.name} frames; use "
                '`output_format="nut"`.'
            ) from error

    @property
    def output_bytes(self) -> int:
        """See `FrameWriter`."""
        return self._output_bytes

    def write(self, image: av.VideoFrame, pts: int) -> None:
        """Write one frame.

        Raises:
            PipeClosedError: The reader of the pipe has ended.
            EncodeError: The format cannot store the time of the frame.
        """
        image.pts = pts if self._rate is None else self._number(pts, self._rate)
        image.time_base = self._time_base
        self._mux(image)
        self.frames_written += 1

    def close(self) -> None:
        """Write the remaining data."""
        self._mux(None)
        try:
            self._muxer.close()
        except (av.error.FFmpegError, OSError) as error:
            raise self._failure(error) from error

    def kill(self) -> None:
        """Do nothing: there is no other process."""

    def abort(self) -> None:
        """Release the pipe; its reader sees the end of the stream."""
        with contextlib.suppress(av.error.FFmpegError, OSError):
            self._muxer.close()

    def _number(self, pts: int, rate: Fraction) -> int:
        """Number of the frame, which is its only time in YUV4MPEG2."""
        if self._first_pts is None:
            self._first_pts = pts
        place = (pts - self._first_pts) * self._input_time_base * rate
        if abs(place - self.frames_written) > Fraction(1, 2):
            raise EncodeError(
                f"{self._name}: frame {self.frames_written} stands {float(place / rate):.3f} s "
                f"after the first, but y4m has one rate ({float(rate):.6g}/s) and no time stamps; "
                'use `output_format="nut"`.'
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
    """A pipe whose YUV4MPEG2 header gets the pixel aspect, which PyAV cannot set."""

    def __init__(self, pipe: int, sample_aspect: Fraction) -> None:
        self._pipe = pipe
        self._aspect = f" A{sample_aspect.numerator}:{sample_aspect.denominator} ".encode()
        self._begun = False

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        left = content = memoryview(data)
        if not self._begun and bytes(content[:9]) == b"YUV4MPEG2":
            left = memoryview(bytes(content).replace(b" A0:0 ", self._aspect, 1))
        self._begun = True
        while left:
            left = left[os.write(self._pipe, left) :]
        return len(content)


def _dropped(output_format: OutputFormat, tags: FrameTags) -> tuple[str, ...]:
    """A warning that names what the stream does not carry; empty: nothing."""
    colour = tags.colour
    known = {
        "matrix": colour.matrix != UNTAGGED and tags.pixel_format.kind == "yuv",
        "primaries": colour.primaries != UNTAGGED,
        "transfer": colour.transfer != UNTAGGED,
        "range": bool(colour.full_range)
        and tags.pixel_format.kind == "yuv"
        and output_format == "nut",
        "pixel aspect": tags.sample_aspect != 1 and output_format == "nut",
        "rotation": tags.rotation != 0 or tags.mirrored,
        "HDR10 data": bool(tags.mastering_display or tags.light_level),
    }
    lost = [name for name, there in known.items() if there]
    if not lost:
        return ()
    return (
        f"{output_format} does not carry the picture's {', '.join(lost)}: set it in the program "
        "that reads it.",
    )
