"""What is shown at each moment of the output: an original, or a frame made between two.

`Planner` asks the timeline which moments lie between two neighbours and `PairJudge` whether there
is motion between them to follow. It sees the frames one after the other and hands on what is to
be shown in order, so a rule that must look further ahead may hold frames back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from functools import cached_property

import av
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp_cli.scenes import change, is_repeat, luma_thumbnail
from interp_cli.timeline import Timeline
from interp_cli.video.colour import PictureFormat, planes_of, to_rgb


class Neighbour:
    """A frame and what is worked out about it once, for both pairs that it belongs to."""

    def __init__(
        self, image: av.VideoFrame, pts: int, layout: PictureFormat, device: torch.device
    ) -> None:
        """Keep a frame.

        Args:
            image: Its planes as they were decoded.
            pts: Its time stamp in units of the input, counted from the output's zero.
            layout: What the planes are.
            device: Where its pictures are wanted.
        """
        self.image = image
        self.pts = pts
        self._layout = layout
        self._device = device

    @cached_property
    def thumbnail(self) -> NDArray[np.float32]:
        """A small grey picture, for `scenes`."""
        return luma_thumbnail(self.image)

    @cached_property
    def pictures(self) -> Tensor:
        """RGB and, where there is one, opacity as a grey picture: (1 or 2, 3, H, W).

        The planes travel to the device as they are.
        """
        planes = (torch.from_numpy(plane)[None].to(self._device) for plane in planes_of(self.image))
        rgb, alpha = to_rgb(tuple(planes), self._layout)
        return rgb if alpha is None else torch.cat((rgb, alpha.expand_as(rgb)))


@dataclass(frozen=True, slots=True)
class Shown:
    """A frame of the output, before it is made.

    Attributes:
        pts: Its time stamp, in units of the timeline.
        before: The original that is shown, or the earlier one of the two it is made from.
        after: The later one; `None`: `before` itself is shown.
        timestep: Between `before` (0) and `after` (1).
        frames_done: Frames of the input that are dealt with once this one is written.
    """

    pts: int
    before: Neighbour
    after: Neighbour | None
    timestep: Fraction
    frames_done: int


class Between(Enum):
    """What lies between two neighbours."""

    MOTION = "motion"
    CUT = "cut"
    REPEAT = "repeat"
    GAP = "gap"


class PairJudge:
    """Decides what lies between two neighbours."""

    def __init__(self, scene_threshold: float | None, longest_gap: int) -> None:
        """Keep the limits.

        Args:
            scene_threshold: Change above which there is a cut; `None` looks for no cuts.
            longest_gap: In units of the input; after a longer one nothing is known of the motion.
        """
        self.scene_threshold = scene_threshold
        self.longest_gap = longest_gap

    def judge(self, before: Neighbour, after: Neighbour) -> Between:
        """What lies between `before` and `after`."""
        if after.pts - before.pts > self.longest_gap:
            return Between.GAP
        if is_repeat(before.image, after.image):
            return Between.REPEAT
        threshold = self.scene_threshold
        if threshold is not None and change(before.thumbnail, after.thumbnail) > threshold:
            return Between.CUT
        return Between.MOTION


class Planner:
    """Goes through the input and says what is shown at each moment of the output.

    Attributes:
        counts: How often each thing lay between two neighbours.
        frames_in: Frames of the input so far.
    """

    def __init__(self, timeline: Timeline, judge: PairJudge) -> None:
        """Keep the timeline and the judge."""
        self.timeline = timeline
        self.judge = judge
        self.counts: Counter[Between] = Counter()
        self.frames_in = 0

    def plan(self, frames: Iterable[Neighbour]) -> Iterator[Shown]:
        """Yield the frames of the output in order."""
        last: Neighbour | None = None
        for frame in frames:
            if last is not None:
                yield from self._pair(last, frame)
            self.frames_in += 1
            last = frame
        if last is None:
            return
        stamps = self.timeline.after_last(last.pts)
        for number, pts in enumerate(stamps, 1):
            done = self.frames_in - (number < len(stamps))
            yield Shown(pts, last, None, Fraction(0), done)

    def _pair(self, before: Neighbour, after: Neighbour) -> Iterator[Shown]:
        """What is shown from `before` on until `after`."""
        moments = self.timeline.between(before.pts, after.pts)
        between = Between.MOTION
        if any(0 < moment.timestep < 1 for moment in moments):
            between = self.judge.judge(before, after)
            self.counts[between] += 1
        for number, moment in enumerate(moments, 1):
            done = self.frames_in - (number < len(moments))
            if between is Between.MOTION and 0 < moment.timestep < 1:
                yield Shown(moment.pts, before, after, moment.timestep, done)
            else:
                original = after if self._is_later(moment.timestep, between) else before
                yield Shown(moment.pts, original, None, Fraction(0), done)

    @staticmethod
    def _is_later(timestep: Fraction, between: Between) -> bool:
        """Whether the later original is shown where nothing is made: at a cut, the nearer one."""
        return timestep == 1 or (between is Between.CUT and timestep > Fraction(1, 2))
