"""Frames into a file: raw video through a pipe into one ffmpeg process.

The pipe carries NUT, the one stream format that holds every pixel format and any time stamp.
ffmpeg encodes it and copies the other streams from the source in the same pass. The file is
written beside the target and takes its name only when it is complete.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import av.error

from interp_cli.errors import EncodeError
from interp_cli.ffmpeg_options import split_video_filter
from interp_cli.options import EncodeOptions
from interp_cli.video.containers import attach_covers, container_of, plan_streams
from interp_cli.video.encoders import choose_encoder
from interp_cli.video.ffmpeg import ffmpeg_path
from interp_cli.video.hardware import AUTO_HARDWARE, hardware_encoder
from interp_cli.video.picture import PictureDescription
from interp_cli.video.probe import VideoInfo
from interp_cli.video.stretch import chapters_url


@dataclass(frozen=True, slots=True)
class SideStreams:
    """Where sound, subtitles and the rest come from.

    Attributes:
        source: The file that has them.
        shift_seconds: Taken away from all its time stamps.
        start_seconds: First time wanted, on the source's clock; `None`: all.
        end_seconds: End of what is wanted, likewise.
        tail_seconds: How long the video may go on after that, with its last frame.
        stretch: Seconds that a second lasts in the target, after the shift: slow motion.
        audio: Whether sound is wanted.
    """

    source: VideoInfo
    shift_seconds: Fraction = Fraction(0)
    start_seconds: Fraction | None = None
    end_seconds: Fraction | None = None
    tail_seconds: Fraction = Fraction(0)
    stretch: int = 1
    audio: bool = True

    @property
    def length_seconds(self) -> Fraction | None:
        """Where what is wanted ends, after the shift."""
        return None if self.end_seconds is None else self.end_seconds - self.shift_seconds


@contextlib.contextmanager
def reserving(target: Path, home: Path) -> Iterator[None]:
    """Say in one line why a hidden part of `target` cannot be begun in the folder `home`."""
    try:
        yield
    except FileNotFoundError as error:
        raise EncodeError(
            f"{target}: the folder {home} does not exist; create it first."
        ) from error
    except OSError as error:
        raise EncodeError(f"{target}: cannot be written ({error.strerror}).") from error


class FrameWriter(ABC):
    """What every writer is; each kind of output has its class.

    Leaving its block without an error completes the output; with an error, nothing is left.

    Attributes:
        encoder: Name of what is at work.
        warnings: What could not be kept as it was.
    """

    encoder: str
    warnings: tuple[str, ...]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abort()

    @property
    @abstractmethod
    def output_bytes(self) -> int:
        """Size of what was written, once it is complete; 0 for a pipe."""

    @abstractmethod
    def write(self, image: av.VideoFrame, pts: int) -> None:
        """Hand over one frame; time stamps must grow."""

    @abstractmethod
    def close(self) -> None:
        """Complete the output and give it its name."""

    @abstractmethod
    def kill(self) -> None:
        """End at once; a `write` under way in another thread then fails or ends."""

    @abstractmethod
    def abort(self) -> None:
        """Leave nothing behind; safe to call twice."""


class VideoWriter(FrameWriter):
    """Encodes frames, in order, with exact time stamps, all or nothing.

        with VideoWriter("out.mp4", picture, time_base, frame_rate) as writer:
            writer.write(image, pts)

    Leaving the block without an error completes the file; with an error, nothing is left.

    Attributes:
        frames_written: Frames handed over so far.
        warnings: What could not be kept as it was.
        encoder: ffmpeg's name of the encoder at work.
    """

    def __init__(
        self,
        target: str | Path,
        picture: PictureDescription,
        time_base: Fraction,
        frame_rate: Fraction,
        options: EncodeOptions | None = None,
        side: SideStreams | None = None,
    ) -> None:
        """Start the encoder.

        Args:
            target: The file to make; its ending chooses the container.
            picture: What the frames are.
            time_base: Unit of the time stamps, in seconds.
            frame_rate: The nominal rate; its inverse is how long the last frame stands.
            options: Encoder settings.
            side: Where the other streams come from; `None`: video alone.

        Raises:
            EncodeError: The target cannot be written, or the encoder has no such setting.
        """
        self.target = Path(target)
        self.frames_written = 0
        options = options or EncodeOptions()
        container = container_of(self.target)
        layout = picture.layout
        usual = container.encoder if layout.depth <= 8 else container.deep_encoder
        name, notes = options.encoder or usual, tuple[str, ...]()
        if name == AUTO_HARDWARE:
            name, notes = hardware_encoder(usual, layout, options)
        choice = choose_encoder(name, layout, options)
        if not (container.says_range or choice.says_range or picture.says_usual_range(choice)):
            notes += (
                f"{container.ending} cannot say the range of {name}'s frames, so players will "
                "show them too dark or too pale: choose .mkv or another --encoder.",
            )
        plan = None
        if side:
            plan = plan_streams(
                side.source,
                container,
                frame_rate,
                audio=side.audio,
                stretch=side.stretch,
                end_seconds=side.length_seconds,
            )
        self.encoder = choice.name
        self.warnings = (
            *picture.warnings,
            *notes,
            *choice.warnings,
            *(plan.warnings if plan else ()),
        )
        self._part = self.target.with_name(
            f".{self.target.stem}.{os.getpid()}.part{self.target.suffix}"
        )
        self._folder = tempfile.TemporaryDirectory()
        command = [ffmpeg_path(), "-y", "-v", "error", "-nostdin", "-copyts"]
        command += ["-progress", "pipe:1", "-stats_period", "60"]
        command += [*choice.global_arguments, *picture.input_arguments()]
        command += ["-f", "nut", "-i", "pipe:0"]
        if side:
            command += _side_input(side)
        chapters: list[str] = []
        if side and side.stretch > 1:
            url = chapters_url(
                side.source.path, side.shift_seconds, side.stretch, side.length_seconds
            )
            command += ["-f", "ffmetadata", "-i", url] if url else []
            chapters = ["-map_chapters", "2" if url else "-1"]
        command += ["-map", "0:v"]
        if side and plan:
            command += [*plan.arguments, *chapters, *_side_limits(side)]
            command += attach_covers(plan, side.source.path, Path(self._folder.name))
        command += ["-fps_mode:v:0", "passthrough", "-enc_time_base:v:0", "demux"]
        # Sound may wait for a slow network; without this, ffmpeg gives up after 128 packets.
        command += ["-max_muxing_queue_size", "65536"]
        wished_filter, wishes = split_video_filter(options.ffmpeg_output)
        command += picture.output_arguments(choice, wished_filter)
        command += ["-c:v:0", choice.name, *choice.arguments, *container.arguments, *wishes]
        self._reserve()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in _end
        self._progress = tempfile.TemporaryFile()  # noqa: SIM115 - closed in _end
        self._process = subprocess.Popen(
            [*command, str(self._part)],
            stdin=subprocess.PIPE,
            stdout=self._progress,
            stderr=self._log,
            start_new_session=True,  # Ctrl-C is for us: we end ffmpeg ourselves
            env={**os.environ, "SVT_LOG": "1"},  # SVT-AV1 logs past ffmpeg: errors alone
        )
        assert self._process.stdin is not None  # for the type checker: PIPE was asked for
        self._pipe = self._process.stdin
        self._muxer = av.open(f"pipe:{self._pipe.fileno()}", "w", format="nut")
        self._stream = self._muxer.add_stream("rawvideo", rate=frame_rate)
        self._stream.width, self._stream.height = layout.width, layout.height
        self._stream.pix_fmt = layout.name
        self._stream.time_base = self._stream.codec_context.time_base = time_base
        self._time_base = time_base

    @property
    def output_bytes(self) -> int:
        """Size of the file, once it is complete."""
        return self.target.stat().st_size

    def write(self, image: av.VideoFrame, pts: int) -> None:
        """Hand over one frame.

        Args:
            image: Planes in the layout given at the start.
            pts: Its time stamp in units of the time base; must grow.

        Raises:
            EncodeError: The encoder has stopped.
        """
        image.pts = pts
        image.time_base = self._time_base
        try:
            self._muxer.mux(self._stream.encode(image))
        except (av.error.FFmpegError, OSError) as error:
            self.abort()
            raise self._failure() from error
        self.frames_written += 1

    def close(self) -> None:
        """Wait for the encoder and give the file its name.

        Raises:
            EncodeError: The encoder failed or wrote another number of frames.
        """
        try:
            self._muxer.mux(self._stream.encode(None))
            self._muxer.close()
            self._pipe.close()
            code = self._process.wait()
        except (av.error.FFmpegError, OSError) as error:
            self.abort()
            raise self._failure() from error
        except BaseException:
            self.abort()
            raise
        self._end()
        if code or self._encoded != self.frames_written:
            self._part.unlink(missing_ok=True)
            raise self._failure()
        self._part.replace(self.target)

    def kill(self) -> None:
        """End the encoder at once; a `write` under way in another thread then fails."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def abort(self) -> None:
        """Stop the encoder and leave nothing behind; safe to call twice."""
        self.kill()
        with contextlib.suppress(av.error.FFmpegError, OSError):
            self._muxer.close()
        with contextlib.suppress(OSError):
            self._pipe.close()
        self._end()
        self._part.unlink(missing_ok=True)

    def _reserve(self) -> None:
        """Learn now, not after hours, that the target cannot be written."""
        with reserving(self.target, self.target.parent):
            self._part.open("wb").close()

    def _end(self) -> None:
        """Read what ffmpeg said and let go of it."""
        if self._log.closed:
            return
        for file in (self._log, self._progress):
            file.seek(0)
        lines = self._log.read().decode(errors="replace").splitlines()
        # That it could not open the encoder is said by us, why by the encoder.
        causes = [
            line for line in lines if not line.startswith(("[vost#", "[enc:", "[vf#", "[out#"))
        ]
        # "[libx264 @ 0x55d0] text": the address says nothing to a reader.
        said = re.compile(r"^\[([^\]@]*?) ?@ [^\]]*\]")
        self._said = [said.sub(r"\1:", line) for line in causes or lines]
        counts = re.findall(rb"^frame=(\d+)", self._progress.read(), re.MULTILINE)
        self._encoded = int(counts[-1]) if counts else 0
        self._folder.cleanup()
        self._log.close()
        self._progress.close()

    def _failure(self) -> EncodeError:
        said = "; ".join(line.strip() for line in self._said[:2])
        reason = said or f"it wrote {self._encoded} of {self.frames_written} frames"
        return EncodeError(f"{self.target}: {self.encoder} failed ({reason}). No output was kept.")


def _side_input(side: SideStreams) -> list[str]:
    arguments = []
    if side.start_seconds is not None:  # ffmpeg counts from the file's own start
        arguments += ["-ss", _seconds(side.start_seconds - side.source.start_seconds)]
        # Otherwise what is decoded is cut at the unshifted start, which loses as much again.
        arguments += ["-noaccurate_seek"]
    if side.shift_seconds:
        arguments += ["-itsoffset", _seconds(-side.shift_seconds)]
    return [*arguments, "-i", f"file:{side.source.path}"]


def _side_limits(side: SideStreams) -> list[str]:
    """Cut the other streams to the part of the video that is wanted."""
    # Seeking lands early; copied packets from before the part would move everything.
    arguments = ["-ss", "0"] if side.start_seconds is not None else []
    if side.length_seconds is not None:
        # The limit holds for the video too, whose last frame may stand beyond the end.
        span = (side.length_seconds + side.tail_seconds) * side.stretch
        arguments += ["-t", _seconds(span)]
    return arguments


def _seconds(value: Fraction) -> str:
    """A time for ffmpeg, which counts in microseconds."""
    return f"{float(value):.6f}"
