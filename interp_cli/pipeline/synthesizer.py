"""Makes the frames of a plan, in the video's own planes.

A model with flow sees the frames as RGB, smaller where that is enough, and its parameters warp the
planes themselves, each at its own size. So a synthesized frame never passes through RGB, and planes
that are equal in both frames stay equal. Other models make RGB, which is converted to planes.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future

import av
import numpy as np
import torch
from torch import Tensor

from interp_cli.devices import is_out_of_memory
from interp_cli.errors import ResourceError
from interp_cli.inference.conversion import flow_of
from interp_cli.inference.flow import OpticalFlow
from interp_cli.inference.frame_cache import FrameCache
from interp_cli.inference.interpolator import Interpolator
from interp_cli.inference.pair_inference import FramePair, PairInference
from interp_cli.inference.process import worker_pool
from interp_cli.inference.transfers import Download, upload
from interp_cli.models.base import SynthesisParams
from interp_cli.models.render import render
from interp_cli.pipeline.frames import SourceFrame
from interp_cli.pipeline.planner import PlannedFrame, with_adjacent_pairs
from interp_cli.scenes.letterbox import Region, paste
from interp_cli.video.colour import (
    channels_of,
    from_rgb,
    planes_from,
    to_changes,
    to_rgb,
    to_small_rgb,
)
from interp_cli.video.pixel_format import PixelFormat, Planes, image_of, planes_of

# Frames that may wait, for the network as for the encoder. With the reader's own queue and the
# encoder's look-ahead, no more frames are in memory.
WAITING_FRAMES = 8

# The frames to synthesize, by their pair.
_Pairs = dict[tuple[SourceFrame, SourceFrame], list[PlannedFrame]]

# Returns a frame whose planes may still be on their way from the device.
Arriving = Callable[[], av.VideoFrame]
Made = tuple[Arriving, OpticalFlow | None]
_Finished = tuple[Arriving, PlannedFrame, OpticalFlow | None]


class Synthesizer:
    """Makes the frames of a plan in batches, on a CPU several batches in parallel.

    Attributes:
        synthesized: Frames made by the network so far, or in progress.
        delivered: Frames in those batches all of whose frames were yielded.
    """

    def __init__(
        self,
        interpolator: Interpolator,
        pixel_format: PixelFormat,
        *,
        with_flow: bool,
        batch: int | None = None,
        every: int | None = None,
    ) -> None:
        """Start without any frames.

        Args:
            interpolator: The model.
            pixel_format: Format of the video's frames.
            with_flow: Whether to return the optical flow, too.
            batch: Batch size in frame pairs; `None`: as the interpolator proposes.
            every: Number of planned frames after which a new batch begins, so that the result does
                not depend on where a job was stopped; `None`: never.
        """
        self.synthesized = 0
        self.delivered = 0
        self._batch = batch
        self._every = every
        self._with_flow = with_flow
        self._interpolator = interpolator
        self._pixel_format = pixel_format
        self._cache = FrameCache()
        # Opacity is a picture of its own, at the same timesteps.
        self._pictures = 1 + pixel_format.has_alpha

    def images(
        self, plan: Iterable[PlannedFrame], skipped: int = 0
    ) -> Iterator[tuple[av.VideoFrame | None, PlannedFrame, OpticalFlow | None]]:
        """Yield each planned frame with its image and, if requested, its flow, in order.

        Args:
            plan: The frames of the output.
            skipped: Number of frames at the front that an earlier run has made, up to where a
                batch begins. They get no image.
        """
        is_cubic = self._interpolator.trajectory == "cubic"
        plan = with_adjacent_pairs(plan) if is_cubic else iter(plan)
        for planned in itertools.islice(plan, skipped):
            self.synthesized += planned.is_synthesized
            yield None, planned, None
        yield from self.synthesize(plan, skipped)

    def synthesize(
        self, plan: Iterable[PlannedFrame], first: int = 0
    ) -> Iterator[tuple[av.VideoFrame, PlannedFrame, OpticalFlow | None]]:
        """Yield each frame of a plan, or of any part of it, with its image and its flow.

        Args:
            plan: Planned frames that name their adjacent pairs (`with_adjacent_pairs`).
            first: Number of the first one in the output.
        """
        workers = self._interpolator.workers(self._pixel_format.height, self._pixel_format.width)
        with worker_pool(workers) as pool:
            running: deque[Future[list[_Finished]]] = deque()
            for batch in self._batches(plan, first):
                self.synthesized += sum(planned.is_synthesized for planned in batch)
                running.append(pool.submit(self._make, batch))
                if len(running) > workers:
                    yield from self._deliver(running.popleft())
            while running:
                yield from self._deliver(running.popleft())

    def _deliver(
        self, batch: Future[list[_Finished]]
    ) -> Iterator[tuple[av.VideoFrame, PlannedFrame, OpticalFlow | None]]:
        """Yield each frame of a batch as soon as its image is there."""
        finished = batch.result()
        for arriving, planned, flow in finished:
            yield arriving(), planned, flow
        self.delivered += len(finished)

    def _batches(self, plan: Iterable[PlannedFrame], first: int) -> Iterator[list[PlannedFrame]]:
        """Consecutive planned frames with as many pairs as the network takes at once."""
        size = self._batch or self._interpolator.batch_size(
            self._pixel_format.height, self._pixel_format.width
        )
        waiting: list[PlannedFrame] = []
        originals = 0
        for number, planned in enumerate(plan, first):
            originals += not waiting or waiting[-1].before is not planned.before
            is_full = originals > size or len(waiting) >= max(WAITING_FRAMES, 4 * size)
            if is_full or (self._every and number % self._every == 0 and waiting):
                yield waiting
                waiting, originals = [], 1
            waiting.append(planned)
        if waiting:
            yield waiting

    def _make(self, batch: list[PlannedFrame]) -> list[_Finished]:
        regions = dict.fromkeys(planned.region for planned in batch if planned.is_synthesized)
        made: dict[int, Made] = {}
        for region in regions:  # pictures between black bars are smaller: another batch
            if region is not None:
                its = [p for p in batch if p.is_synthesized and p.region == region]
                made.update(zip(map(id, its), self._synthesize(its, region), strict=True))
        finished: list[_Finished] = []
        for planned in batch:
            if planned.is_synthesized:
                arriving, flow = made[id(planned)]
                finished.append((arriving, planned, flow))
                continue
            image = planned.before.image
            if planned.after is not None:
                weight = float(planned.timestep)
                image = _blend(image, planned.after.image, weight, self._pixel_format)
            finished.append((_here(image), planned, None))
        return finished

    @torch.inference_mode()
    def _synthesize(self, batch: list[PlannedFrame], region: Region) -> list[Made]:
        pairs: _Pairs = {}
        for planned in batch:
            if planned.after is not None:
                pairs.setdefault((planned.before, planned.after), []).append(planned)
        make = self._by_flow if self._interpolator.has_flow else self._by_pictures
        try:
            return make(batch, pairs, region)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            # The network reduces its batches and tiles itself. Whole frames are warped at once.
            raise ResourceError(
                f"{self._interpolator.device}: its memory does not suffice for frames of"
                f' {self._pixel_format.width}x{self._pixel_format.height}; use `device="cpu"`.'
            ) from error

    def _by_flow(self, batch: list[PlannedFrame], pairs: _Pairs, region: Region) -> list[Made]:
        inference: PairInference[SourceFrame] = self._interpolator.pair_inference(
            lambda frame: self.small_pictures(frame, region), self._cache, region
        )
        rows = inference.synthesis_params([self._frame_pair(its) for its in pairs.values()])
        made: list[Made] = []
        for number, its in enumerate(pairs.values()):
            of_pair = rows[number * self._pictures : (number + 1) * self._pictures]
            for i in range(len(its)):
                # One set of parameters for the picture and, if there is any, one for its opacity.
                synthesis_params = [
                    SynthesisParams(*(part[i : i + 1] for part in row)) for row in of_pair
                ]
                image = self.moved_image(batch[len(made)], region, synthesis_params)
                made.append((image, self._flow(synthesis_params[0], region)))
        return made

    def _frame_pair(self, its: list[PlannedFrame]) -> FramePair[SourceFrame]:
        """The pair of some planned frames, at their timesteps."""
        first = its[0]
        if first.after is None:
            raise ValueError("a frame to synthesize needs two frames")
        timesteps = [[planned.timestep for planned in its]] * self._pictures
        return FramePair(
            first.before, first.after, timesteps, first.earlier, first.later, first.intervals
        )

    def _by_pictures(self, batch: list[PlannedFrame], pairs: _Pairs, region: Region) -> list[Made]:
        befores, afters = zip(*pairs, strict=True)
        frames = [
            torch.cat([region.crop(self.pictures(frame)) for frame in side])
            for side in (befores, afters)
        ]
        times = ([planned.timestep for planned in its] for its in pairs.values())
        timesteps = [row for row in times for _ in range(self._pictures)]
        rows = self._interpolator.between(frames[0], frames[1], timesteps)
        rgb, alpha = torch.cat(rows), None
        if self._pixel_format.has_alpha:
            rgb, alpha = torch.cat(rows[::2]), torch.cat(rows[1::2]).mean(1, keepdim=True)
        planes = from_rgb(rgb, alpha, region.layout(self._pixel_format))
        return [
            (self.image(tuple(p[i : i + 1] for p in planes), region, planned), None)
            for i, planned in enumerate(batch)
        ]

    def pictures(self, frame: SourceFrame) -> Tensor:
        """RGB, then opacity as a grey picture if the format has it: (1 or 2, 3, H, W)."""
        return self._cache.get(
            frame, "pictures", lambda: _stacked(*to_rgb(self._planes(frame), self._pixel_format))
        )

    def channels(self, frame: SourceFrame) -> dict[str, Tensor]:
        """Channels of a frame by name, (1, H, W) in codes."""
        return self._cache.get(
            frame, "channels", lambda: channels_of(self._planes(frame), self._pixel_format)
        )

    def _planes(self, frame: SourceFrame) -> tuple[Tensor, ...]:
        """The decoded planes on the device."""
        planes = (torch.from_numpy(plane)[None] for plane in planes_of(frame.image))
        return upload(planes, self._interpolator.device)

    def small_pictures(self, frame: SourceFrame, region: Region) -> Tensor:
        """What a network with flow sees of a part of a frame: (1 or 2, 3, h, w)."""
        layout = region.layout(self._pixel_format)
        factor = self._interpolator.reduction(layout.height, layout.width)
        multiple = self._interpolator.net.size_multiple(layout.height, layout.width)
        channels = {c: region.crop(x, layout.steps(c)) for c, x in self.channels(frame).items()}
        return _stacked(*to_small_rgb(channels, layout, factor, multiple))

    def moved_image(
        self, planned: PlannedFrame, region: Region, synthesis_params: list[SynthesisParams]
    ) -> Arriving:
        """Warp the planes of a pair.

        Args:
            planned: The frame to make.
            region: The part to make.
            synthesis_params: Parameters of the picture and, if there is any, of its opacity.
        """
        return self.image(self._moved(planned, region, synthesis_params), region, planned)

    def _moved(
        self, planned: PlannedFrame, region: Region, synthesis_params: list[SynthesisParams]
    ) -> tuple[Tensor, ...]:
        """Planes of the region at the frame's timestep."""
        if planned.after is None:
            raise ValueError("a frame to synthesize needs two frames")
        layout = region.layout(self._pixel_format)
        changes = to_changes(synthesis_params[0].residual, layout)
        if layout.has_alpha:
            changes["A"] = synthesis_params[1].residual.mean(1) * layout.peak
        groups: dict[tuple[tuple[int, int], bool], list[str]] = {}
        for name in changes:
            groups.setdefault((layout.steps(name), name == "A"), []).append(name)
        sampling = self._interpolator.sampling(layout.height, layout.width)
        made: dict[str, Tensor] = {}
        for (steps, is_opacity), names in groups.items():
            frames = [
                torch.stack([region.crop(self.channels(n)[c], steps).float() for c in names], 1)
                for n in (planned.before, planned.after)
            ]
            residual = torch.stack([changes[c] for c in names], 1)
            at_size = self._enlarged(
                synthesis_params[is_opacity]._replace(residual=residual), layout, steps
            ).cropped(*frames[0].shape[-2:])
            picture = render(frames[0], frames[1], at_size, float(planned.timestep), sampling)
            made.update(zip(names, picture.unbind(1), strict=True))
        return planes_from(made, layout)

    def _enlarged(
        self, params: SynthesisParams, layout: PixelFormat, steps: tuple[int, int] = (1, 1)
    ) -> SynthesisParams:
        """Parameters at the size of channels whose samples cover `steps` rows and columns."""
        factor = self._interpolator.reduction(layout.height, layout.width)
        sides = zip(params.blend_mask.shape[-2:], steps, strict=True)
        return params.enlarged(*(side * factor // step for side, step in sides))

    def _flow(self, params: SynthesisParams, region: Region) -> OpticalFlow | None:
        if not self._with_flow:
            return None
        layout = region.layout(self._pixel_format)
        full = self._enlarged(params, layout).cropped(layout.height, layout.width)
        (flow,) = flow_of(full)
        whole = self._pixel_format
        return flow.placed(region.top, region.left, whole.height, whole.width)

    def image(self, planes: tuple[Tensor, ...], region: Region, planned: PlannedFrame) -> Arriving:
        """A frame with new planes in the region and those of the frame before around it.

        On a CPU the frame is made at once. On a GPU its planes are awaited when the frame is
        needed, so that the GPU has other work meanwhile.

        Args:
            planes: New planes, (1, h, w[, channels]).
            region: The part that they cover.
            planned: The frame to make.
        """
        layout = self._pixel_format
        download = Download(planes)

        def make() -> av.VideoFrame:
            samples: Planes = tuple(
                np.asarray(plane[0], layout.dtype)  # type: ignore[misc]
                for plane in download.wait()
            )
            if region != Region.whole(layout):
                samples = paste(samples, region, planned.before.image, layout)
            return image_of(samples, layout)

        return _here(make()) if download.is_done else make


def _stacked(rgb: Tensor, alpha: Tensor | None) -> Tensor:
    """Opacity as a grey picture after the RGB picture, if there is one: (1 or 2, 3, H, W)."""
    return rgb if alpha is None else torch.cat((rgb, alpha.expand_as(rgb)))


def _here(image: av.VideoFrame) -> Arriving:
    return lambda: image


def _blend(
    image0: av.VideoFrame, image1: av.VideoFrame, timestep: float, pixel_format: PixelFormat
) -> av.VideoFrame:
    """The mean of two frames, weighted by the time between them, sample by sample."""
    image = image_of(planes_of(image0), pixel_format)
    for plane, other in zip(planes_of(image), planes_of(image1), strict=True):
        mean = plane * (1 - timestep) + other * timestep
        plane[...] = mean if pixel_format.is_float else np.rint(mean)
    return image
