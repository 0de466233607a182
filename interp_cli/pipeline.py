"""A video in, the same video at twice its rate out.

Three things happen at once, joined by bounded queues: the reader decodes, this thread makes the
middle frames, and a third thread hands finished frames to the encoder.
"""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from types import TracebackType

import av
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp_cli.errors import DecodeError, EncodeError
from interp_cli.interpolator import Interpolator
from interp_cli.options import DoubleOptions
from interp_cli.scenes import change, is_repeat, luma_thumbnail
from interp_cli.video.colour import (
    PictureFormat,
    from_rgb,
    image_of,
    picture_format,
    planes_of,
    to_rgb,
)
from interp_cli.video.containers import container_of
from interp_cli.video.probe import VideoInfo, refuse_interlaced
from interp_cli.video.reader import Frame, VideoReader
from interp_cli.video.writer import PictureDescription, SideStreams, VideoWriter

Progress = Callable[[int, int | None], None]

# Finished frames that may wait for the encoder; with the reader's own queue, the batch and the
# encoder's look-ahead, all that is held in memory.
_WAITING_FRAMES = 8


@dataclass(frozen=True, slots=True)
class DoubleResult:
    """What `double_video` did.

    Attributes:
        source: The input.
        target: The output.
        frames_in: Frames read.
        frames_out: Frames written: twice as many.
        synthesized: Middle frames that the network made.
        cuts: Pairs with a cut between them; their middle is the earlier frame.
        repeats: Pairs of equal frames, passed through.
        frame_rate: Nominal rate of the output.
        video_seconds: Duration of the output's video.
        seconds: Time it took.
        output_bytes: Size of the output.
        model: Name of the model.
        device: Where it ran.
        precision: In which arithmetic.
        encoder: ffmpeg's name of the encoder.
        warnings: What could not be kept as it was.
    """

    source: Path
    target: Path
    frames_in: int
    frames_out: int
    synthesized: int
    cuts: int
    repeats: int
    frame_rate: Fraction
    video_seconds: float
    seconds: float
    output_bytes: int
    model: str
    device: str
    precision: str
    encoder: str
    warnings: tuple[str, ...]


def double_video(
    source: str | Path,
    target: str | Path,
    options: DoubleOptions | None = None,
    *,
    interpolator: Interpolator | None = None,
    progress: Progress | None = None,
) -> DoubleResult:
    """Double the frame rate of a video; every original frame stays, at its own time.

    Args:
        source: The video to read.
        target: The file to make; its ending chooses the container.
        options: See `DoubleOptions`.
        interpolator: One that is already loaded; otherwise `options.inference` describes it.
        progress: Called with the frames done and their expected number (`None`: unknown).

    Raises:
        InterpError: The input, the output or the model is no good; then no output is left.
    """
    options = options or DoubleOptions()
    source, target = Path(source), Path(target)
    begun = time.monotonic()
    _check_target(source, target, overwrite=options.overwrite)
    with VideoReader(
        source, options.start_seconds, options.end_seconds, keep_going=options.keep_going
    ) as reader:
        info = reader.info
        refuse_interlaced(info)
        interpolator = interpolator or Interpolator.from_options(options.inference)
        doubler = _Doubler(interpolator, options.scene_threshold)
        frames = iter(reader)
        first = next(frames, None)
        if first is None:
            raise DecodeError(f"{source}: no frame lies between the start and end asked for.")
        layout = picture_format(first.image, info.colour)
        timing = _Timing.of(info, options, first)
        with _EncoderThread(
            VideoWriter(
                target,
                PictureDescription(layout, info.colour, info.sample_aspect, info.rotation),
                timing.time_base,
                timing.frame_rate,
                options.encode,
                timing.side_streams(info, options),
            )
        ) as writer:
            total = _expected_frames(info, options)
            last_pts, done = 0, 0
            for image, pts in doubler.double(itertools.chain((first,), frames), layout, timing):
                writer.write(image, pts)
                last_pts, done = pts, done + 1
                if progress and done % 2 == 0:
                    progress(done // 2, total)
        warnings = list(writer.warnings)
        if reader.damage:
            warnings.append(f"the input is damaged after {done // 2} frames ({reader.damage}).")
        if reader.repaired_times:
            warnings.append(f"{reader.repaired_times} time stamps did not grow and were moved.")
    duration = last_pts * timing.time_base + 1 / timing.frame_rate
    return DoubleResult(
        source=source,
        target=target,
        frames_in=done // 2,
        frames_out=done,
        synthesized=doubler.synthesized,
        cuts=doubler.cuts,
        repeats=doubler.repeats,
        frame_rate=timing.frame_rate,
        video_seconds=float(duration - timing.start_seconds),
        seconds=time.monotonic() - begun,
        output_bytes=target.stat().st_size,
        model=interpolator.name,
        device=str(interpolator.device),
        precision=interpolator.precision,
        encoder=writer.encoder,
        warnings=tuple(warnings),
    )


@dataclass(frozen=True, slots=True)
class _Timing:
    """From the input's time stamps to the output's.

    Half a unit of the input's time base is the output's unit, so that the middle of any two
    time stamps is a whole number.
    """

    input_time_base: Fraction
    shift: int  # in units of the input
    shift_seconds: Fraction
    start_seconds: Fraction
    frame_rate: Fraction
    last_duration: int  # in units of the input

    @classmethod
    def of(cls, info: VideoInfo, options: DoubleOptions, first: Frame) -> _Timing:
        time_base = first.time_base
        shift_seconds = Fraction(0)
        if options.start_seconds:
            shift_seconds = info.video_start_seconds + Fraction(str(options.start_seconds))
        elif info.clock_is_arbitrary:
            shift_seconds = info.start_seconds
        shift = round(shift_seconds / time_base)
        nominal = info.frame_rate or Fraction(25)
        # An end that the user chose is followed by another frame a nominal step later.
        last = None if options.end_seconds else info.last_duration
        last = last or first.duration or max(1, round(1 / (nominal * time_base)))
        # A muxer learns how long the last frame stands from the nominal rate alone. Where the
        # two disagree by more than rounding, the length of the whole wins.
        agrees = abs(last * time_base - 1 / nominal) <= 2 * time_base
        return cls(
            input_time_base=time_base,
            shift=shift,
            shift_seconds=shift_seconds,
            start_seconds=(first.pts - shift) * time_base,
            frame_rate=2 * nominal if agrees else 2 / (last * time_base),
            last_duration=last,
        )

    @property
    def time_base(self) -> Fraction:
        return self.input_time_base / 2

    def pts(self, frame: Frame) -> int:
        return 2 * (frame.pts - self.shift)

    def side_streams(self, info: VideoInfo, options: DoubleOptions) -> SideStreams:
        origin = info.video_start_seconds
        start, end = options.start_seconds, options.end_seconds
        return SideStreams(
            source=info,
            shift_seconds=self.shift_seconds,
            start_seconds=origin + Fraction(str(start)) if start else None,
            end_seconds=origin + Fraction(str(end)) if end else None,
            audio=options.audio,
        )


class _Neighbour:
    """A frame and what is worked out about it once, for both pairs that it belongs to."""

    def __init__(self, frame: Frame, pts: int, layout: PictureFormat, device: torch.device) -> None:
        self.image = frame.image
        self.pts = pts  # of the output
        self._layout = layout
        self._device = device

    @cached_property
    def thumbnail(self) -> NDArray[np.float32]:
        return luma_thumbnail(self.image)

    @cached_property
    def pictures(self) -> Tensor:
        """RGB and, where there is one, opacity as a grey picture: (1 or 2, 3, H, W).

        The planes travel to the device as they are.
        """
        planes = (torch.from_numpy(plane)[None].to(self._device) for plane in planes_of(self.image))
        rgb, alpha = to_rgb(tuple(planes), self._layout)
        return rgb if alpha is None else torch.cat((rgb, alpha.expand_as(rgb)))


class _Doubler:
    """Puts a middle after each frame; counts what it did."""

    def __init__(self, interpolator: Interpolator, scene_threshold: float | None) -> None:
        self.interpolator = interpolator
        self.scene_threshold = scene_threshold
        self.synthesized = 0
        self.cuts = 0
        self.repeats = 0

    def double(
        self, frames: Iterable[Frame], layout: PictureFormat, timing: _Timing
    ) -> Iterator[tuple[av.VideoFrame, int]]:
        """Yield originals and middles in order, each with its time stamp."""
        size = self.interpolator.batch_size(layout.height, layout.width)
        chunk: list[_Neighbour] = []
        for frame in frames:
            chunk.append(_Neighbour(frame, timing.pts(frame), layout, self.interpolator.device))
            if len(chunk) == size + 1:
                yield from self._middles(chunk, layout)
                chunk = chunk[-1:]
        yield from self._middles(chunk, layout)
        last = chunk[-1]
        yield last.image, last.pts
        # The last frame has no successor: repeated, it keeps the duration and the exact rate.
        yield last.image, last.pts + timing.last_duration

    def _middles(
        self, chunk: list[_Neighbour], layout: PictureFormat
    ) -> Iterator[tuple[av.VideoFrame, int]]:
        """All frames of a chunk but the last, each followed by its middle."""
        pairs = list(itertools.pairwise(chunk))
        wanted = [i for i, (a, b) in enumerate(pairs) if self._is_motion(a, b)]
        made = dict(zip(wanted, self._synthesize([pairs[i] for i in wanted], layout), strict=True))
        for i, (a, b) in enumerate(pairs):
            yield a.image, a.pts
            yield made.get(i, a.image), (a.pts + b.pts) // 2

    def _is_motion(self, a: _Neighbour, b: _Neighbour) -> bool:
        """Whether there is anything to synthesize: no repeat and no cut."""
        if is_repeat(a.image, b.image):
            self.repeats += 1
            return False
        threshold = self.scene_threshold
        if threshold is not None and change(a.thumbnail, b.thumbnail) > threshold:
            self.cuts += 1
            return False
        return True

    @torch.inference_mode()
    def _synthesize(
        self, pairs: list[tuple[_Neighbour, _Neighbour]], layout: PictureFormat
    ) -> list[av.VideoFrame]:
        if not pairs:
            return []
        befores, afters = zip(*pairs, strict=True)
        made = self.interpolator.middle(
            torch.cat([n.pictures for n in befores]), torch.cat([n.pictures for n in afters])
        )
        made = torch.unflatten(made, 0, (len(pairs), -1))
        alpha = made[:, 1].mean(1, keepdim=True) if layout.has_alpha else None
        self.synthesized += len(pairs)
        planes = [plane.cpu().numpy() for plane in from_rgb(made[:, 0], alpha, layout)]
        return [
            image_of(tuple(plane[i].astype(layout.dtype, copy=False) for plane in planes), layout)
            for i in range(len(pairs))
        ]


class _EncoderThread:
    """Feeds a `VideoWriter` from a bounded queue in a thread of its own."""

    def __init__(self, writer: VideoWriter) -> None:
        self._writer = writer
        self.encoder = writer.encoder
        self.warnings = writer.warnings
        self._queue: queue.Queue[tuple[av.VideoFrame, int] | None] = queue.Queue(_WAITING_FRAMES)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._feed, name="interp-encode")

    def __enter__(self) -> _EncoderThread:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._writer.kill()  # a feed that waits for the encoder then fails and drains
        self._queue.put(None)
        self._thread.join()
        if error is None and self._error is None:
            self._writer.close()
            return
        self._writer.abort()
        if error is None and self._error is not None:
            raise self._error

    def write(self, image: av.VideoFrame, pts: int) -> None:
        """Queue a frame.

        Raises:
            EncodeError: The encoder has stopped.
        """
        if self._error is not None:
            raise self._error
        self._queue.put((image, pts))

    def _feed(self) -> None:
        while (item := self._queue.get()) is not None:
            if self._error is None:
                try:
                    self._writer.write(*item)
                except BaseException as error:  # noqa: BLE001 - raised again in the other thread
                    self._error = error


def _check_target(source: Path, target: Path, *, overwrite: bool) -> None:
    container_of(target)  # an ending that cannot be written is known before any work
    if not target.exists():
        return
    if target.is_dir():
        raise EncodeError(f"{target}: is a folder; a file name is expected.")
    if source.exists() and target.samefile(source):
        raise EncodeError(f"{target}: is the input itself; choose another name.")
    if not overwrite:
        raise EncodeError(f"{target}: exists; use --overwrite to replace it.")


def _expected_frames(info: VideoInfo, options: DoubleOptions) -> int | None:
    """Frames that will be read, as far as the file says; for progress only."""
    whole = info.frame_count
    if whole is None and info.duration_seconds and info.frame_rate:
        whole = round(info.duration_seconds * float(info.frame_rate))
    if whole is None or not info.duration_seconds:
        return whole
    start = options.start_seconds or 0.0
    end = min(options.end_seconds or info.duration_seconds, info.duration_seconds)
    return max(1, round(whole * (end - start) / info.duration_seconds))
