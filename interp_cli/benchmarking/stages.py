"""The stages of the pipeline, each run alone on frames of a real clip.

What a stage does is called on the pipeline's own pieces, so that what is timed is what runs.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from interp_cli.devices import DTYPES
from interp_cli.inference.frame_cache import FrameCache
from interp_cli.inference.interpolator import Interpolator
from interp_cli.inference.pair_inference import FramePair, TensorFrame
from interp_cli.inference.process import worker_pool
from interp_cli.inference.transfers import Download, upload
from interp_cli.options import DoubleOptions, Precision
from interp_cli.pipeline.frames import SourceFrame
from interp_cli.pipeline.job import Job
from interp_cli.pipeline.planner import PlannedFrame
from interp_cli.pipeline.result import DoubleResult
from interp_cli.pipeline.synthesizer import Synthesizer
from interp_cli.scenes.letterbox import Region
from interp_cli.video.colour import from_rgb
from interp_cli.video.pixel_format import PixelFormat, planes_of
from interp_cli.video.readers.base import Frame
from interp_cli.video.readers.file import VideoReader

__all__ = ["NETWORK", "Stages", "core_seconds", "matrix_teraflops", "synchronize", "time_stage"]

NETWORK = "network"

# A round of a stage lasts at least this long, so that the clock's grain does not show.
_ROUND_SECONDS = 0.3
# Frames of a clip that are kept to try stages on, at each end of the pipeline.
_KEPT_BYTES = 1 << 29
# Sides of the matrices whose product shows what a device can do.
_MATRIX_SIDE = {"cpu": 2048, "cuda": 8192}
_MIDDLE = Fraction(1, 2)


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the pipeline that can run alone.

    Attributes:
        name: Name in tables.
        units_a_frame: Units of work per output frame.
        run: Function that does a few units and returns their number.
        workers: Number of threads that run the stage at the same time.
    """

    name: str
    units_a_frame: float
    run: Callable[[], int]
    workers: int = 1


class Stages:
    """A clip that was doubled, taken apart.

    Attributes:
        stages: Stages in the order in which a frame passes them.
        batch: Batch size in frame pairs.
        gmac_per_pair: See `NetworkSpeed`.
    """

    def __init__(
        self,
        interpolator: Interpolator,
        source: Path,
        target: Path,
        options: DoubleOptions,
        result: DoubleResult,
    ) -> None:
        """Read the frames that the stages work on.

        Args:
            interpolator: Interpolator that has been warmed up.
            source: Clip.
            target: Doubled clip.
            options: Options with which the clip was doubled.
            result: Result of `double_video`.
        """
        self._interpolator = interpolator
        self._source = source
        self._frames = _first_frames(source)
        self._doubled = _first_frames(target)
        self._folder = target.parent
        options = replace(options, overwrite=True)  # the stage runs more than once
        with Job.open(source, target.with_name(f"again-{target.name}"), options) as job:
            self._job = job
        self._layout = job.pixel_format
        decoded = result.frames_in / result.frames_out
        made = result.synthesized / result.frames_out
        self.stages = [
            Stage("decode", decoded, self._decode),
            Stage("look for cuts", decoded, self._plan),
            *self._inner_stages(decoded, made),
            Stage("encode", 1, self._encode),
        ]

    def _neighbours(self) -> list[SourceFrame]:
        """The frames, as the planner gets them."""
        return [SourceFrame(index, f.pts, f.image) for index, f in enumerate(self._frames)]

    def _decode(self) -> int:
        with VideoReader(self._source, info=self._job.info) as reader:
            return sum(1 for _ in itertools.islice(reader, len(self._frames)))

    def _plan(self) -> int:
        planner = self._job.create_planner()
        for _ in planner.plan(self._neighbours()):
            pass
        return planner.frames_in

    def _encode(self) -> int:
        unit = self._job.clock.timeline.time_base
        with self._job.open_writer(self._folder, with_side_streams=False) as writer:
            for frame in self._doubled:
                writer.write(frame.image, round(frame.seconds / unit))
        return len(self._doubled)

    def _inner_stages(self, decoded: float, made: float) -> list[Stage]:
        """From planes to planes, on one batch, with as many batches in parallel as in use."""
        interpolator = self._interpolator
        step = _Step(interpolator, self._layout, self._neighbours())
        self.batch = step.batch
        # A replay multiplies what nobody counts.
        with interpolator.runner.cuda_graphs.paused(), FlopCounterMode(display=False) as counter:
            step.run_network()
        self.gmac_per_pair = counter.get_total_flops() / 2e9 / step.batch
        workers = interpolator.workers(self._layout.height, self._layout.width)
        stages = [
            Stage("planes to RGB", decoded, step.make_pictures, workers),
            Stage(NETWORK, made, step.run_network, workers),
            Stage("middles to planes", made, step.make_images, workers),
        ]
        if interpolator.device.type != "cpu":
            stages.append(Stage("transfers", max(decoded, made), step.transfer))
        return stages


class _Step:
    """What the pipeline does with one batch between decoder and encoder, in parts.

    Attributes:
        batch: Batch size in frame pairs.
        pictures: What the network sees of each frame.
    """

    def __init__(
        self, interpolator: Interpolator, pixel_format: PixelFormat, frames: list[SourceFrame]
    ) -> None:
        self._interpolator, self._pixel_format = interpolator, pixel_format
        self._synthesizer = Synthesizer(interpolator, pixel_format, with_flow=False)
        self._region = Region.whole(pixel_format)
        self.batch = interpolator.batch_size(pixel_format.height, pixel_format.width)
        self._frames = list(itertools.islice(itertools.cycle(frames), self.batch + 1))
        self.pictures = [self._picture_of(frame) for frame in self._frames]
        self._found = self._find()

    def make_pictures(self) -> int:
        """The first part, for frames that are not in the cache; returns their number."""
        for frame in self._frames:
            self._picture_of(SourceFrame(frame.index, 0, frame.image))
        return len(self._frames)

    def run_network(self) -> int:
        """The second part; returns the number of pairs."""
        self._find()
        return self.batch

    @torch.inference_mode()
    def make_images(self) -> int:
        """The third part; returns the number of middles."""
        pixel_format, parts = self._pixel_format, 1 + self._pixel_format.has_alpha
        images = []
        for number, (before, after) in enumerate(pairwise(self._frames)):
            planned = PlannedFrame(0, before, after, _MIDDLE, self._region)
            found = self._found[parts * number : parts * (number + 1)]
            if self._interpolator.has_flow:
                images.append(self._synthesizer.moved_image(planned, self._region, found))
            else:
                alpha = found[-1].mean(1, keepdim=True) if pixel_format.has_alpha else None
                planes = from_rgb(found[0], alpha, pixel_format)
                images.append(self._synthesizer.image(planes, self._region, planned))
        for arriving in images:
            arriving()
        return self.batch

    def transfer(self) -> int:
        """Planes to the device and back; returns the number of frames."""
        for frame in self._frames:
            planes = (torch.from_numpy(plane) for plane in planes_of(frame.image))
            Download(upload(planes, self._interpolator.device)).wait()
        return len(self._frames)

    @torch.inference_mode()
    def _picture_of(self, frame: SourceFrame) -> Tensor:
        if self._interpolator.has_flow:
            return self._synthesizer.small_pictures(frame, self._region)
        return self._synthesizer.pictures(frame)

    def _find(self) -> list[Any]:
        """Results of the network, one for each picture of each pair."""
        interpolator = self._interpolator
        if not interpolator.has_flow:
            before, after = torch.cat(self.pictures[:-1]), torch.cat(self.pictures[1:])
            return interpolator.between(before, after, [(_MIDDLE,)] * len(before))
        # A frame is encoded once for both of its pairs, so in a long video one frame for each pair:
        # here the pairs go around in a circle.
        frames = [TensorFrame(pictures) for pictures in self.pictures[1:]]
        inference = interpolator.pair_inference(attrgetter("picture"), FrameCache())
        return inference.synthesis_params(
            [
                FramePair(
                    frames[number - 1],
                    frame,
                    [(_MIDDLE,)] * len(frame.picture),
                    frames[number - 2 if len(frames) > 1 else 0],
                    frames[(number + 1) % len(frames)],
                )
                for number, frame in enumerate(frames)
            ]
        )


def time_stage(stage: Stage, device: torch.device) -> tuple[float, float]:
    """Output frames a second that a stage alone allows, and core-seconds per output frame."""
    done, seconds = 0, 0.0
    with worker_pool(stage.workers) as pool:
        used, begun = core_seconds(), time.perf_counter()
        while seconds < _ROUND_SECONDS:
            running = [pool.submit(stage.run) for _ in range(stage.workers)]
            done += sum(each.result() for each in running)
            synchronize(device)
            seconds = time.perf_counter() - begun
    frames = done / stage.units_a_frame
    return frames / seconds, (core_seconds() - used) / frames


def matrix_teraflops(device: torch.device, precision: Precision) -> float:
    """Speed of the product of two large square matrices, the upper limit of a network."""
    side = _MATRIX_SIDE.get(device.type, 4096)
    matrix = torch.rand((side, side), dtype=DTYPES[precision], device=device)

    def multiply() -> int:
        torch.mm(matrix, matrix)
        return 1

    stage = Stage("matrix product", 1, multiply)
    multiply()
    best = max(time_stage(stage, device)[0] for _ in range(3))
    return best * 2 * side**3 / 1e12


def core_seconds() -> float:
    """Processor time of this process and of its ended child processes, over all cores."""
    return sum(os.times()[:4])


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _first_frames(path: Path) -> list[Frame]:
    """The first frames of a video, as many as fit into `_KEPT_BYTES`."""
    frames: list[Frame] = []
    with VideoReader(path) as reader:
        for frame in reader:
            frames.append(frame)
            if (len(frames) + 1) * _plane_bytes(frame) > _KEPT_BYTES:
                break
    return frames


def _plane_bytes(frame: Frame) -> int:
    return sum(plane.nbytes for plane in planes_of(frame.image))
