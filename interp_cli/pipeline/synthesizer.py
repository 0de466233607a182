"""What a plan asks for, made: middles in the video's own planes.

A model that has motion sees the frames as RGB, smaller where that is enough; what it finds moves
the planes themselves, each at its own size. So a middle never passes through RGB, and planes that
are equal in both frames stay equal. Other models make RGB, which becomes planes again.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from fractions import Fraction
from weakref import ref

import av
import numpy as np
import torch
from torch import Tensor

from interp_cli.devices import is_out_of_memory, worker_pool
from interp_cli.errors import ResourceError
from interp_cli.inference.conversion import flow_of
from interp_cli.inference.frame_cache import FrameCache
from interp_cli.inference.interpolator import Interpolator
from interp_cli.inference.motion import OpticalFlow
from interp_cli.inference.runner import EncodedFrames
from interp_cli.inference.trajectory import AdjacentMotion
from interp_cli.inference.transfers import Download, upload
from interp_cli.models.pytree import joined
from interp_cli.models.render import SynthesisParams, render
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

# Frames that may wait, for the network as for the encoder; with the reader's own queue and the
# encoder's look-ahead, all that is held in memory.
WAITING_FRAMES = 8

_Pairs = dict[tuple[SourceFrame, SourceFrame], list[PlannedFrame]]

# Makes a frame of planes that may still be on their way from the device.
Arriving = Callable[[], av.VideoFrame]
Made = tuple[Arriving, OpticalFlow | None]


class Synthesizer:
    """Makes what the plan asks for, in batches, on a CPU several at once.

    Attributes:
        synthesized: Frames made so far, or being made.
    """

    def __init__(
        self,
        interpolator: Interpolator,
        layout: PixelFormat,
        *,
        with_motion: bool,
        batch: int | None = None,
        every: int | None = None,
    ) -> None:
        """Keep what makes the frames, and what they are.

        Args:
            interpolator: Makes the frames.
            layout: What they are.
            with_motion: Whether the motion is wanted, too.
            batch: Pairs at once; `None`: as many as the interpolator says.
            every: After so many frames of the plan a new batch begins, so that what is made does
                not depend on where a job was stopped; `None`: never.
        """
        self.synthesized = 0
        self._batch = batch
        self._every = every
        self._with_motion = with_motion
        self._interpolator = interpolator
        self._layout = layout
        self._cache = FrameCache()
        # Opacity is a picture of its own, at the same timesteps.
        self._pictures = 1 + layout.has_alpha

    def images(
        self, plan: Iterable[PlannedFrame], skipped: int = 0
    ) -> Iterator[tuple[av.VideoFrame | None, PlannedFrame, OpticalFlow | None]]:
        """Yield each frame of the plan with its picture and, if wanted, its motion, in order.

        Args:
            plan: What is to be shown.
            skipped: Its first frames, up to where a batch begins: they were made before, so they
                have no picture.
        """
        cubic = self._interpolator.trajectory == "cubic"
        plan = with_adjacent_pairs(plan) if cubic else iter(plan)
        for shown in itertools.islice(plan, skipped):
            self.synthesized += shown.is_synthesized
            yield None, shown, None
        yield from self.synthesize(plan)

    def synthesize(
        self, plan: Iterable[PlannedFrame]
    ) -> Iterator[tuple[av.VideoFrame, PlannedFrame, OpticalFlow | None]]:
        """Yield each frame of a plan, or of any part of it, with its picture and its motion.

        Args:
            plan: Planned frames that name their adjacent pairs (`with_adjacent_pairs`).
        """
        workers = self._interpolator.workers(self._layout.height, self._layout.width)
        with worker_pool(workers) as pool:
            running: deque[Future[list[tuple[Arriving, PlannedFrame, OpticalFlow | None]]]] = (
                deque()
            )
            for batch in self._batches(plan):
                self.synthesized += sum(shown.is_synthesized for shown in batch)
                running.append(pool.submit(self._made, batch))
                if len(running) > workers:
                    yield from _arrived(running.popleft())
            while running:
                yield from _arrived(running.popleft())

    def _batches(self, plan: Iterable[PlannedFrame]) -> Iterator[list[PlannedFrame]]:
        """Frames of the plan with as many pairs among them as the network takes at once."""
        planned = self._batch or self._interpolator.batch_size(
            self._layout.height, self._layout.width
        )
        waiting: list[PlannedFrame] = []
        originals = 0
        for number, shown in enumerate(plan):
            originals += not waiting or waiting[-1].before is not shown.before
            full = originals > planned or len(waiting) >= max(WAITING_FRAMES, 4 * planned)
            if full or (self._every and number % self._every == 0 and waiting):
                yield waiting
                waiting, originals = [], 1
            waiting.append(shown)
        if waiting:
            yield waiting

    def _made(
        self, batch: list[PlannedFrame]
    ) -> list[tuple[Arriving, PlannedFrame, OpticalFlow | None]]:
        regions = dict.fromkeys(shown.region for shown in batch if shown.is_synthesized)
        made: dict[int, Made] = {}
        for region in regions:  # pictures between black bars are smaller: another batch
            if region is not None:
                its = [s for s in batch if s.is_synthesized and s.region == region]
                made.update(zip(map(id, its), self._synthesize(its, region), strict=True))
        shown_images = []
        for shown in batch:
            if shown.is_synthesized:
                arriving, motion = made[id(shown)]
                shown_images.append((arriving, shown, motion))
                continue
            image = shown.before.image
            if shown.after is not None:
                weight = float(shown.timestep)
                image = _blend(image, shown.after.image, weight, self._layout)
            shown_images.append((_here(image), shown, None))
        return shown_images

    @torch.inference_mode()
    def _synthesize(self, batch: list[PlannedFrame], region: Region) -> list[Made]:
        pairs: _Pairs = {}
        for shown in batch:
            if shown.after is not None:
                pairs.setdefault((shown.before, shown.after), []).append(shown)
        make = self._by_motion if self._interpolator.has_flow else self._by_pictures
        try:
            return make(batch, pairs, region)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            # The network makes do with less by itself; whole frames are moved at once.
            raise ResourceError(
                f"{self._interpolator.device}: its memory does not suffice for frames of"
                f" {self._layout.width}x{self._layout.height}; use --device cpu."
            ) from error

    def _by_motion(self, batch: list[PlannedFrame], pairs: _Pairs, region: Region) -> list[Made]:
        befores, afters = zip(*pairs, strict=True)
        motion = joined([row for pair in pairs for row in self._motions(*pair, region)])
        rows = self._interpolator.runner.synthesis_params(
            EncodedFrames.joined([self._seen(frame, region) for frame in befores]),
            EncodedFrames.joined([self._seen(frame, region) for frame in afters]),
            motion,
            self._timesteps(pairs),
            self._beside(pairs, motion, region),
        )
        made: list[Made] = []
        for number, its in enumerate(pairs.values()):
            of_pair = rows[number * self._pictures : (number + 1) * self._pictures]
            for i in range(len(its)):
                # Of the picture and, where there is one, of its opacity.
                synthesis_params = [
                    SynthesisParams(*(part[i : i + 1] for part in row)) for row in of_pair
                ]
                image = self.moved_image(batch[len(made)], region, synthesis_params)
                made.append((image, self._motion(synthesis_params[0], region)))
        return made

    def _timesteps(self, pairs: _Pairs) -> list[list[Fraction]]:
        """Of each picture of each pair."""
        times = ([shown.timestep for shown in its] for its in pairs.values())
        return [row for row in times for _ in range(self._pictures)]

    def _beside(
        self, pairs: _Pairs, motion: Tensor | None, region: Region
    ) -> AdjacentMotion | None:
        """What is known of the pairs beside some; nothing is asked for where ways are straight."""
        if motion is None or self._interpolator.trajectory == "linear":
            return None
        earlier: list[Tensor | None] = []
        later: list[Tensor | None] = []
        intervals: list[tuple[float, float]] = []
        for shown, *_ in pairs.values():
            earlier += self._motions(shown.earlier, shown.before, region)
            later += self._motions(shown.after, shown.later, region)
            intervals += [shown.intervals] * self._pictures
        return AdjacentMotion.of(motion, earlier, later, intervals)

    def _motions(
        self, before: SourceFrame | None, after: SourceFrame | None, region: Region
    ) -> list[Tensor | None]:
        """Between two frames: of the picture, of its opacity. Found once, for three pairs."""
        nothing: list[Tensor | None] = [None] * self._pictures
        if before is None or after is None:
            return nothing
        found = self._cache.get(
            after,
            ("flow", region, ref(before)),
            lambda: self._interpolator.runner.motion(
                self._seen(before, region), self._seen(after, region)
            ),
        )
        return nothing if found is None else [found[i : i + 1] for i in range(len(found))]

    def _seen(self, frame: SourceFrame, region: Region) -> EncodedFrames:
        """What the network has worked out about a part of a frame, once."""
        return self._cache.get(
            frame,
            ("encoded", region),
            lambda: self._interpolator.runner.encode(self.small_pictures(frame, region)),
        )

    def pictures(self, frame: SourceFrame) -> Tensor:
        """RGB, then opacity as a grey picture if the format has it: (1 or 2, 3, H, W)."""
        return self._cache.get(
            frame, "pictures", lambda: stacked(*to_rgb(self._planes(frame), self._layout))
        )

    def channels(self, frame: SourceFrame) -> dict[str, Tensor]:
        """Channels of a frame by name, (1, H, W) in codes."""
        return self._cache.get(
            frame, "channels", lambda: channels_of(self._planes(frame), self._layout)
        )

    def _planes(self, frame: SourceFrame) -> tuple[Tensor, ...]:
        """The decoded planes on the device."""
        planes = (torch.from_numpy(plane)[None] for plane in planes_of(frame.image))
        return upload(planes, self._interpolator.device)

    def small_pictures(self, frame: SourceFrame, region: Region) -> Tensor:
        """What a network that has motion is to see of a part of a frame."""
        layout = region.layout(self._layout)
        factor = self._interpolator.reduction(layout.height, layout.width)
        multiple = self._interpolator.net.size_multiple(layout.height, layout.width)
        channels = {c: region.crop(x, layout.steps(c)) for c, x in self.channels(frame).items()}
        return stacked(*to_small_rgb(channels, layout, factor, multiple))

    def moved_image(
        self, shown: PlannedFrame, region: Region, synthesis_params: list[SynthesisParams]
    ) -> Arriving:
        """As `image`, what the recipes of the picture and, if there is any, its opacity make."""
        return self.image(self._moved(shown, region, synthesis_params), region, shown)

    def _moved(
        self, shown: PlannedFrame, region: Region, synthesis_params: list[SynthesisParams]
    ) -> tuple[Tensor, ...]:
        """Planes of the area at the time that is to be shown."""
        if shown.after is None:
            raise ValueError("a frame that is made lies between two")
        layout = region.layout(self._layout)
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
                for n in (shown.before, shown.after)
            ]
            residual = torch.stack([changes[c] for c in names], 1)
            at_size = self._enlarged(
                synthesis_params[is_opacity]._replace(residual=residual), layout, steps
            ).cropped(*frames[0].shape[-2:])
            picture = render(frames[0], frames[1], at_size, float(shown.timestep), sampling)
            made.update(zip(names, picture.unbind(1), strict=True))
        return planes_from(made, layout)

    def _enlarged(
        self, params: SynthesisParams, layout: PixelFormat, steps: tuple[int, int] = (1, 1)
    ) -> SynthesisParams:
        """For channels of which a sample covers so many rows and columns."""
        factor = self._interpolator.reduction(layout.height, layout.width)
        sides = zip(params.blend_mask.shape[-2:], steps, strict=True)
        return params.enlarged(*(side * factor // step for side, step in sides))

    def _motion(self, params: SynthesisParams, region: Region) -> OpticalFlow | None:
        if not self._with_motion:
            return None
        layout = region.layout(self._layout)
        full = self._enlarged(params, layout).cropped(layout.height, layout.width)
        (motion,) = flow_of(full)
        return motion.placed(region.top, region.left, self._layout.height, self._layout.width)

    def _by_pictures(self, batch: list[PlannedFrame], pairs: _Pairs, region: Region) -> list[Made]:
        layout = self._layout
        befores, afters = zip(*pairs, strict=True)
        frames = [
            torch.cat([region.crop(self.pictures(n)) for n in side]) for side in (befores, afters)
        ]
        rows = self._interpolator.between(frames[0], frames[1], self._timesteps(pairs))
        rgb, alpha = torch.cat(rows), None
        if layout.has_alpha:
            rgb, alpha = torch.cat(rows[::2]), torch.cat(rows[1::2]).mean(1, keepdim=True)
        planes = from_rgb(rgb, alpha, region.layout(layout))
        return [
            (self.image(tuple(p[i : i + 1] for p in planes), region, shown), None)
            for i, shown in enumerate(batch)
        ]

    def image(self, planes: tuple[Tensor, ...], region: Region, shown: PlannedFrame) -> Arriving:
        """A frame of (1, h, w[, channels]) and, around the area, of what the frame before shows.

        On a CPU it is made at once. A GPU is waited for when the frame is asked for, so that it
        has other work meanwhile.
        """
        layout = self._layout
        download = Download(planes)

        def make() -> av.VideoFrame:
            samples: Planes = tuple(
                np.asarray(plane[0], layout.dtype)  # type: ignore[misc]
                for plane in download.wait()
            )
            if region != Region.whole(layout):
                samples = paste(samples, region, shown.before.image, layout)
            return image_of(samples, layout)

        return _here(make()) if download.is_done else make


def stacked(rgb: Tensor, alpha: Tensor | None) -> Tensor:
    """Opacity as a grey picture after the RGB picture, if there is one: (1 or 2, 3, H, W)."""
    return rgb if alpha is None else torch.cat((rgb, alpha.expand_as(rgb)))


def _here(image: av.VideoFrame) -> Arriving:
    return lambda: image


def _arrived(
    batch: Future[list[tuple[Arriving, PlannedFrame, OpticalFlow | None]]],
) -> Iterator[tuple[av.VideoFrame, PlannedFrame, OpticalFlow | None]]:
    """Each frame of a batch as soon as it is there."""
    for arriving, shown, motion in batch.result():
        yield arriving(), shown, motion


def _blend(
    image0: av.VideoFrame, image1: av.VideoFrame, timestep: float, layout: PixelFormat
) -> av.VideoFrame:
    """The mean of two frames, weighted by the time between them, sample by sample."""
    image = image_of(planes_of(image0), layout)
    for plane, other in zip(planes_of(image), planes_of(image1), strict=True):
        mean = plane * (1 - timestep) + other * timestep
        plane[...] = mean if layout.is_float else np.rint(mean)
    return image
