"""Frames into a file: raw video through a pipe into one ffmpeg process.

The pipe carries NUT, the one stream format that holds every pixel format and any time stamp.
ffmpeg encodes it and copies the other streams from the source in the same pass. The file is
written under a hidden name and renamed when it is complete.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import av.error

from interp_cli.atomic import AtomicPath
from interp_cli.errors import EncodeError, SideStreamsError
from interp_cli.options import EncodeOptions
from interp_cli.video.encoding.commands import SideStreams, VideoCommands
from interp_cli.video.encoding.finished import FinishedCheck
from interp_cli.video.encoding.frame_tags import FrameTags
from interp_cli.video.ffmpeg import FfmpegRun
from interp_cli.video.pixel_format import PixelFormat
from interp_cli.video.writers.base import FrameWriter, explaining, publish, reserving


class Encoding:
    """An ffmpeg process that is fed with frames and writes one file.

    Attributes:
        frames_written: Number of frames handed over so far.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        output: Path,
        pixel_format: PixelFormat,
        time_base: Fraction,
        frame_rate: Fraction,
    ) -> None:
        """Start the process.

        Args:
            arguments: Command line of ffmpeg, whose input 0 is raw video in NUT from its pipe.
            output: The file to write.
            pixel_format: Layout of the frames.
            time_base: Unit of the time stamps, in seconds.
            frame_rate: The nominal rate; its inverse is the duration of the last frame.
        """
        self.frames_written = 0
        self._time_base = time_base
        self._run = FfmpegRun(arguments, output)
        try:
            self._muxer = av.open(f"pipe:{self._run.pipe.fileno()}", "w", format="nut")
            self._stream = self._muxer.add_stream("rawvideo", rate=frame_rate)
            self._stream.width, self._stream.height = pixel_format.width, pixel_format.height
            self._stream.pix_fmt = pixel_format.name
            self._stream.time_base = self._stream.codec_context.time_base = time_base
        except BaseException:
            self._run.abort()
            raise

    def write(self, image: av.VideoFrame, pts: int) -> None:
        """Hand over one frame.

        Raises:
            EncodeError: The encoder has stopped. The message is the reason, without the file.
        """
        image.pts = pts
        image.time_base = self._time_base
        try:
            self._muxer.mux(self._stream.encode(image))
        except (av.error.FFmpegError, OSError) as error:
            self.abort()
            raise EncodeError(self._reason()) from error
        self.frames_written += 1

    def finish(self) -> None:
        """Wait for the encoder to complete the file.

        Raises:
            EncodeError: The encoder failed or did not write every frame. The message is the
                reason, without the file.
        """
        try:
            self._muxer.mux(self._stream.encode(None))
            self._muxer.close()
            self._run.pipe.close()
            done = self._run.wait()
        except (av.error.FFmpegError, OSError) as error:
            self.abort()
            raise EncodeError(self._reason()) from error
        except BaseException:
            self.abort()
            raise
        if not done or self._run.frames != self.frames_written:
            raise EncodeError(self._reason())

    @property
    def log(self) -> list[str]:
        """What the encoder said; known after its end."""
        return self._run.log

    @property
    def was_refused_by_system(self) -> bool:
        """Whether it failed because of the disk; known after its end."""
        return self._run.was_refused_by_system

    def kill(self) -> None:
        """Stop the encoder at once; a `write` under way in another thread fails."""
        self._run.kill()

    def abort(self) -> None:
        """Stop the encoder and release it; safe to call twice."""
        self._run.kill()
        with contextlib.suppress(av.error.FFmpegError, OSError):
            self._muxer.close()
        self._run.abort()

    def _reason(self) -> str:
        return self._run.reason or f"it wrote {self._run.frames} of {self.frames_written} frames"


class VideoWriter(FrameWriter):
    """Encodes frames, in order, with exact time stamps, all or nothing.

        with VideoWriter("out.mp4", tags, time_base, frame_rate) as writer:
            writer.write(image, pts)

    Leaving the block without an error completes the file; with an error, nothing is left.

    Attributes:
        warnings: What could not be kept as it was.
        encoder: ffmpeg's name of the encoder at work.
    """

    def __init__(
        self,
        target: str | Path,
        tags: FrameTags,
        time_base: Fraction,
        frame_rate: Fraction,
        options: EncodeOptions | None = None,
        side: SideStreams | None = None,
        output: AtomicPath | None = None,
    ) -> None:
        """Start the encoder.

        Args:
            target: The file to write; its suffix chooses the container.
            tags: Description of the frames.
            time_base: Unit of the time stamps, in seconds.
            frame_rate: The nominal rate; its inverse is the duration of the last frame.
            options: Encoder settings.
            side: Source of the other streams; `None`: video only.
            output: Where the file is until it is complete, and how it then takes its name;
                `None`: next to the target, and no other file is replaced.

        Raises:
            EncodeError: The target cannot be written, or the encoder has no such setting.
        """
        self.target = Path(target)
        self._output = output or AtomicPath(self.target, overwrite=False)
        scratch = output.part.parent if output else None
        self._commands = VideoCommands(
            self.target, tags, frame_rate, options or EncodeOptions(), side, scratch
        )
        self.encoder, self.warnings = self._commands.encoder, self._commands.warnings
        self._is_killed = False
        self._check = FinishedCheck(tags.pixel_format, time_base)
        # Find out now, not after hours, that the target cannot be written.
        with reserving(self.target, self.target.parent):
            self._output.create()
        with explaining(self, self.target):
            self._encoding = Encoding(
                self._commands.whole(), self._output.part, tags.pixel_format, time_base, frame_rate
            )

    @property
    def frames_written(self) -> int:
        """Frames handed over so far."""
        return self._encoding.frames_written

    @property
    def output_bytes(self) -> int:
        """Size of the file, once it is complete."""
        return self.target.stat().st_size

    def write(self, image: av.VideoFrame, pts: int) -> None:
        """Hand over one frame.

        Args:
            image: The frame, in the pixel format given at the start.
            pts: Time stamp in units of the time base; must grow.

        Raises:
            SideStreamsError: Another stream has stopped the encoder.
            EncodeError: The encoder has stopped.
        """
        with explaining(self, self.target), self._naming_side_streams():
            self._encoding.write(image, pts)
        self._check.note(pts)

    def close(self) -> None:
        """Wait for the encoder and give the file its name.

        Raises:
            SideStreamsError: Another stream has stopped the encoder; nothing is kept.
            EncodeError: The encoder failed, or the file does not hold every frame at its size and
                time; nothing is kept. Or the file cannot be renamed; then it is kept under another
                name.
        """
        with explaining(self, self.target), self._naming_side_streams():
            self._encoding.finish()
            self._check.check(self._output.part)
        self._commands.close()
        publish(self._output, self.target)

    def kill(self) -> None:
        """Stop the encoder at once; a `write` under way in another thread fails."""
        self._is_killed = True
        self._encoding.kill()

    def abort(self) -> None:
        """Stop the encoder and leave nothing behind; safe to call twice."""
        if hasattr(self, "_encoding"):  # otherwise it did not start
            self._encoding.abort()
        self._commands.close()
        self._output.discard()

    @contextlib.contextmanager
    def _naming_side_streams(self) -> Iterator[None]:
        """After a failure, find out whether it is that of another stream."""
        try:
            yield
        except EncodeError as error:
            self._encoding.abort()
            if self._is_killed or self._encoding.was_refused_by_system:
                raise
            if reason := self._commands.side_fault(self._encoding.log):
                raise SideStreamsError(reason) from error
            raise
