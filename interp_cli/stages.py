"""Each stage of the pipeline with nothing else at work, on frames of a real clip.

What a stage does is called on the pipeline's own pieces, so that what is timed is what runs.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from interp_cli.devices import DTYPES
from interp_cli.interpolator import Interpolator
from interp_cli.options import DoubleOptions, Precision
from interp_cli.pipeline import DoubleResult, _input_times, _longest_gap
from interp_cli.plan import Neighbour, PairJudge, Planner
from interp_cli.timeline import timeline_of
from interp_cli.video.colour import PictureFormat, from_rgb, image_of, picture_format, planes_of
from interp_cli.video.picture import PictureDescription
from interp_cli.video.reader import Frame, VideoReader
from interp_cli.video.writer import VideoWriter

__all__ = ["NETWORK", "Stages", "core_seconds", "matrix_teraflops", "synchronize", "time_stage"]

NETWORK = "network"

# A round of a stage lasts at least this long, so that the clock's grain does not show.
_ROUND_SECONDS = 0.3
# Frames of a clip that are kept to try stages on, at each end of the pipeline.
_KEPT_BYTES = 1 << 29
# Sides of the matrices whose product shows what a device can do.
_MATRIX_SIDE = {"cpu": 2048, "cuda": 8192}


@dataclass(frozen=True, slots=True)
class Stage:
    """Something that can be done by itself.

    Attributes:
        name: How tables call it.
        units_a_frame: How often it is done for each frame out.
        run: Do it a few times; returns how often.
    """

    name: str
    units_a_frame: float
    run: Callable[[], int]


class Stages:
    """A clip that was doubled, taken apart.

    Attributes:
        stages: In the order of a frame's way.
        batch: Pairs that a run of the network takes.
        gmac_per_pair: See `NetworkSpeed`.
        copies: See `ClipSpeed`.
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
            interpolator: Ready and warm.
            source: The clip.
            target: What it was doubled to.
            options: How.
            result: What doubling it said.
        """
        self._interpolator = interpolator
        self._options = options
        self._source, self._scrap = source, target.with_name(f"again-{target.name}")
        self._frames = _kept(source)
        self._doubled = _kept(target)
        with VideoReader(source) as reader:
            self._info = reader.info
        self._layout = picture_format(self._frames[0].image, self._info.colour)
        self._frame_rate = result.frame_rate
        decoded = result.frames_in / result.frames_out
        made = result.synthesized / result.frames_out
        self.stages = [
            Stage("decode", decoded, self._decode),
            Stage("look for cuts", decoded, self._plan),
            *self._inner_stages(decoded, made),
            Stage("encode", 1, self._encode),
        ]
        self.copies = _copies(
            self._frames[0], self._layout, decoded, made, on_host=interpolator.device.type == "cpu"
        )

    def _neighbours(self) -> list[Neighbour]:
        """The frames, of which nothing is worked out yet."""
        device = self._interpolator.device
        return [Neighbour(f.image, f.pts, self._layout, device) for f in self._frames]

    def _decode(self) -> int:
        with VideoReader(self._source, info=self._info) as reader:
            return sum(1 for _ in itertools.islice(reader, len(self._frames)))

    def _plan(self) -> int:
        times = _input_times(self._info, self._options, self._frames[0], 0)
        judge = PairJudge(self._options.scene_threshold, _longest_gap(times, self._options))
        planner = Planner(timeline_of(times, self._options.frames_for_each), judge)
        for _ in planner.plan(self._neighbours()):
            pass
        return planner.frames_in

    def _encode(self) -> int:
        first = self._doubled[0]
        writer = VideoWriter(
            self._scrap,
            PictureDescription.of(self._info, self._layout),
            first.time_base,
            self._frame_rate,
            self._options.encode,
        )
        with writer:
            for frame in self._doubled:
                writer.write(frame.image, frame.pts)
        return writer.frames_written

    def _inner_stages(self, decoded: float, made: float) -> list[Stage]:
        """From planes to planes, on one step's pairs."""
        interpolator, layout = self._interpolator, self._layout
        self.batch = interpolator.batch_size(layout.height, layout.width)
        some = list(itertools.islice(itertools.cycle(self._neighbours()), self.batch + 1))
        pictures = [each.pictures[:1] for each in some]
        frames0, frames1 = torch.cat(pictures[:-1]), torch.cat(pictures[1:])
        del pictures
        with FlopCounterMode(display=False) as counter:
            middles = interpolator.middle(frames0, frames1)
        self.gmac_per_pair = counter.get_total_flops() / 2e9 / self.batch

        def to_pictures() -> int:
            for frame in some:
                _ = Neighbour(frame.image, 0, layout, interpolator.device).pictures
            return len(some)

        def run_network() -> int:
            interpolator.middle(frames0, frames1)
            return self.batch

        def to_planes() -> int:
            planes = [plane.cpu().numpy() for plane in from_rgb(middles, None, layout)]
            for number in range(self.batch):
                image_of(tuple(p[number].astype(layout.dtype, copy=False) for p in planes), layout)
            return self.batch

        def transfer() -> int:
            for frame in some:
                for plane in planes_of(frame.image):
                    torch.from_numpy(plane).to(interpolator.device).cpu()
            return len(some)

        stages = [
            Stage("planes to RGB", decoded, to_pictures),
            Stage(NETWORK, made, run_network),
            Stage("RGB to planes", made, to_planes),
        ]
        if interpolator.device.type != "cpu":
            stages.append(Stage("transfers", max(decoded, made), transfer))
        return stages


def time_stage(stage: Stage, device: torch.device) -> tuple[float, float]:
    """Frames out a second that a stage alone would allow, and core-seconds that each costs."""
    done, seconds = 0, 0.0
    used = core_seconds()
    begun = time.perf_counter()
    while seconds < _ROUND_SECONDS:
        done += stage.run()
        synchronize(device)
        seconds = time.perf_counter() - begun
    frames = done / stage.units_a_frame
    return frames / seconds, (core_seconds() - used) / frames


def matrix_teraflops(device: torch.device, precision: Precision) -> float:
    """What the product of two large square matrices reaches: the most that a network could."""
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
    """Processor time of this process and of those children that have ended, over all cores."""
    return sum(os.times()[:4])


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _kept(path: Path) -> list[Frame]:
    """The first frames of a video, as many as fit."""
    frames: list[Frame] = []
    with VideoReader(path) as reader:
        for frame in reader:
            frames.append(frame)
            if (len(frames) + 1) * _plane_bytes(frame) > _KEPT_BYTES:
                break
    return frames


def _plane_bytes(frame: Frame) -> int:
    return sum(plane.nbytes for plane in planes_of(frame.image))


def _copies(
    frame: Frame, layout: PictureFormat, decoded: float, made: float, *, on_host: bool
) -> dict[str, float]:
    """Bytes that a frame out costs in the host's memory, each time that frames are written there.

    What a stage writes and reads again within itself does not count.
    """
    planes = _plane_bytes(frame)
    pictures = 4 * 3 * layout.width * layout.height * (1 + layout.has_alpha)
    copies = {"decoded planes": decoded * planes}
    if on_host:
        # Each picture once, and again for each of its two pairs, which are put side by side.
        copies |= {"pictures": decoded * pictures + made * 2 * pictures, "middles": made * pictures}
    return copies | {
        "planes of middles": made * 2 * planes,  # as they come from the device, and as a frame
        "pipe": 3.0 * planes,  # the muxer's packet, into the pipe, out of it
    }
