"""Frames out of GIF, APNG and animated WebP."""

from __future__ import annotations

import subprocess
from collections.abc import Generator, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate
from math import lcm
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from interp_cli.errors import OpenError
from interp_cli.options import DEFAULT_LIMITS, InputLimits
from interp_cli.video.ffmpeg import input_arguments, start_ffmpeg
from interp_cli.video.images.animation_timing import AnimationTiming, missing_bytes, strange_bytes
from interp_cli.video.opening import check_size
from interp_cli.video.probe import VideoInfo, probe
from interp_cli.video.readers.file import VideoReader
from interp_cli.video.readers.pipe import PipeReader


class AnimationReader(VideoReader):
    """Reads the frames of a GIF or an APNG."""

    def __init__(
        self,
        path: Path,
        timing: AnimationTiming,
        start_seconds: float | None = None,
        end_seconds: float | None = None,
        *,
        keep_going: bool = False,
        limits: InputLimits = DEFAULT_LIMITS,
    ) -> None:
        """Open `path`; see `VideoReader`, and `read_animation_timing` for `timing`."""
        self.plays = timing.plays
        self._delays = timing.delays
        info = animation_info(path, timing, limits)
        super().__init__(
            path, start_seconds, end_seconds, keep_going=keep_going, info=info, limits=limits
        )

    def _decoded(self, container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
        found = _words(self.info.path)
        if found is not None:
            self.health.note(found)
        images: Iterator[av.VideoFrame]
        if self._delays:
            images = _retimed(self._pictures(container, stream), self._delays)
        else:
            images = super()._decoded(container, stream)
        return self._without_partial(images) if self.info.missing_bytes else images

    def _without_partial(self, images: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        """All but the last one, unless the decoder said itself that one is not whole."""
        last = None
        for image in images:
            if last is not None:
                yield last
            last = image
        if last is not None and self.health.left_out:
            yield last
        elif last is not None:
            self.health.leave_out("the last frame is not whole")


class WebpReader(PipeReader):
    """Reads the frames of an animated WebP, which the ffmpeg program decodes and PyAV cannot.

    Pillow reads them too, but hands out RGB. The frames of a lossy file are 4:2:0, and would no
    longer be the decoded planes.
    """

    def __init__(
        self,
        path: Path,
        timing: AnimationTiming,
        start_seconds: float | None = None,
        end_seconds: float | None = None,
        *,
        keep_going: bool = False,
        limits: InputLimits = DEFAULT_LIMITS,
    ) -> None:
        """Open `path`; see `VideoReader`, and `read_animation_timing` for `timing`."""
        self.plays = timing.plays
        self._delays = timing.delays
        self._process = start_ffmpeg(
            *("-v", "error", "-nostdin", *input_arguments(path)),
            *("-fps_mode", "passthrough", "-c:v", "rawvideo", "-f", "nut", "-"),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for this process, which ends ffmpeg itself
        )
        assert self._process.stdout is not None  # for the type checker: PIPE was asked for
        try:
            self._found = _words(path)
            check_size(path, *_canvas_of_webp(path), limits)
            super().__init__(
                self._process.stdout.fileno(),
                start_seconds,
                end_seconds,
                name=str(path),
                keep_going=keep_going,
                limits=limits,
            )
        except OpenError as error:
            self._end_decoder()
            if self._found is None:
                raise
            raise OpenError(f"{path}: no frame can be decoded ({self._found}).") from error
        except BaseException:
            self._end_decoder()
            raise
        self.info = replace(_timed(self.info, timing), container="webp", codec="webp")

    def close(self) -> None:
        """Stop reading and end the decoder."""
        super().close()
        self._end_decoder()

    def _decoded(self, container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
        count = 0
        for image in _retimed(super()._decoded(container, stream), self._delays):
            count += 1
            yield image
        if self._found is not None:
            self.health.note(self._found)
        elif count < len(self._delays):
            self.health.note("the rest is damaged or missing")

    def _end_decoder(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()


def _canvas_of_webp(path: Path) -> tuple[int, int]:
    """Width and height of an animated WebP, which its extended header holds."""
    with path.open("rb") as file:
        head = file.read(30)
    return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1


def animation_info(
    path: Path, timing: AnimationTiming, limits: InputLimits = DEFAULT_LIMITS
) -> VideoInfo:
    """Description of a GIF or an APNG, as from `probe`, with its exact delays."""
    info = replace(probe(path, limits), missing_bytes=missing_bytes(path))
    return _timed(info, timing) if timing.delays else info


def _words(path: Path) -> str | None:
    """What is wrong with the blocks of an animation; `None`: nothing."""
    missing, strange = missing_bytes(path), strange_bytes(path)
    if missing:
        return f"the file is {missing:,} bytes shorter than it says"
    return f"its last {strange:,} bytes are no part of an animation" if strange else None


def _timed(info: VideoInfo, timing: AnimationTiming) -> VideoInfo:
    """The description with the delays of the file itself."""
    total, count = sum(timing.delays, Fraction(0)), len(timing.delays)
    unit = _unit_of(timing.delays)
    return replace(
        info,
        frame_rate=count / total,
        time_base=unit,
        frame_count=count,
        duration_seconds=float(total),
        start_seconds=Fraction(0),
        video_start_seconds=Fraction(0),
        last_duration=int(timing.delays[-1] / unit),
    )


def _retimed(
    images: Iterator[av.VideoFrame], delays: tuple[Fraction, ...]
) -> Generator[av.VideoFrame]:
    """The pictures, each at the sum of the delays before it.

    Those of a `PictureDecoder` carry the number of their packet, so that one may be missing.
    """
    unit = _unit_of(delays)
    starts = list(accumulate(delays, initial=Fraction(0)))
    for count, image in enumerate(images):
        index = image.opaque if isinstance(image.opaque, int) else count
        if index >= len(delays):
            return
        image.pts, image.time_base = int(starts[index] / unit), unit
        image.duration = int(delays[index] / unit)
        yield image


def _unit_of(delays: tuple[Fraction, ...]) -> Fraction:
    """The largest unit that all delays are whole numbers of."""
    return Fraction(1, lcm(*(delay.denominator for delay in delays)))
