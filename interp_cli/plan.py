"""What is shown at each moment of the output: an original, or a frame made between two.

`Planner` asks the timeline which moments lie between two neighbours and `PairJudge` whether there
is motion between them to follow. It sees the frames one after the other and hands on what is to
be shown in order, so a rule that must look further ahead may hold frames back.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, reduce
from itertools import pairwise
from typing import Any

import av
import torch
from torch import Tensor

from interp_cli.bars import Area, picture_area
from interp_cli.options import LONGEST_RUN, AtCut, Repeats
from interp_cli.scenes import (
    MOST_AHEAD,
    RECENT_PAIRS,
    Between,
    SceneJudge,
    Thumbnail,
    is_near_repeat,
    is_repeat,
    luma_difference,
    luma_thumbnail,
)
from interp_cli.timeline import Timeline
from interp_cli.transfers import upload
from interp_cli.video.colour import channels_of, to_rgb
from interp_cli.video.planes import PictureFormat, planes_of

# Of pairs beside each other, how many times longer one may last for its motion to tell anything.
_MOST_UNEQUAL = 3


class Neighbour:
    """A frame and what is worked out about it once, for both pairs that it belongs to.

    Attributes:
        image: Its planes as they were decoded.
        pts: Its time stamp in units of the input, counted from the output's zero.
        seen: What a network has seen of parts of it; whoever adds to it holds `being_seen`.
        motion: What a network has found of the motion to it from the frame before, by parts;
            `None` where memory does not suffice. Whoever adds to it holds `being_matched`.
    """

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
        self.seen: dict[Area, Any] = {}
        self.being_seen = threading.Lock()
        self.motion: dict[Area, Tensor | None] = {}
        self.being_matched = threading.Lock()
        self._layout = layout
        self._device = device

    @cached_property
    def thumbnail(self) -> Thumbnail:
        """A small grey picture, for `scenes`."""
        return luma_thumbnail(self.image)

    @cached_property
    def area(self) -> Area | None:
        """Where the picture lies between black bars; `None` where all is black."""
        return picture_area(self.image, self._layout)

    @property
    def whole(self) -> Area:
        """All of the frame."""
        return Area.whole(self._layout)

    @cached_property
    def pictures(self) -> Tensor:
        """RGB and, where there is one, opacity as a grey picture: (1 or 2, 3, H, W)."""
        return stacked(*to_rgb(self._planes, self._layout))

    @cached_property
    def channels(self) -> dict[str, Tensor]:
        """Its channels by name, (1, H, W) in codes."""
        return channels_of(self._planes, self._layout)

    @cached_property
    def _planes(self) -> tuple[Tensor, ...]:
        """On the device, as they were decoded."""
        planes = (torch.from_numpy(plane)[None] for plane in planes_of(self.image))
        return upload(planes, self._device)


def stacked(rgb: Tensor, alpha: Tensor | None) -> Tensor:
    """Opacity, where there is one, as a grey picture behind the picture: (1 or 2, 3, H, W)."""
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
        area: What is made of it; around it are the black bars of `before`. `None`: nothing, the
            two are blended.
        earlier: The frame before `before`, if motion leads from there to here in the same area.
        later: The frame after `after`, likewise.
    """

    pts: int
    before: Neighbour
    after: Neighbour | None
    timestep: Fraction
    frames_done: int
    area: Area | None = None
    earlier: Neighbour | None = None
    later: Neighbour | None = None

    @property
    def is_synthesized(self) -> bool:
        """Whether the network makes it."""
        return self.after is not None and self.area is not None

    @property
    def intervals(self) -> tuple[float, float]:
        """How long the pairs beside its own last, in units of that; 1 where there are none."""
        if self.after is None:
            return 1.0, 1.0
        length = self.after.pts - self.before.pts
        return (
            1.0 if self.earlier is None else _ratio(self.before.pts - self.earlier.pts, length),
            1.0 if self.later is None else _ratio(self.later.pts - self.after.pts, length),
        )


def _ratio(interval: int, length: int) -> float:
    """An interval in units of another, both between time stamps; equal but for rounding is 1."""
    rounded = abs(interval - length) <= max(length / 10, min(1, length / 4))
    return 1.0 if rounded else interval / length


class PairJudge:
    """Decides what lies between two neighbours."""

    def __init__(self, scene_threshold: float | None, longest_gap: int) -> None:
        """Keep the limits.

        Args:
            scene_threshold: How likely a cut must be to count as one; `None` looks for no cuts.
            longest_gap: In units of the input; after a longer one nothing is known of the motion.
        """
        self._looks_for_cuts = scene_threshold is not None
        self._scenes = SceneJudge(scene_threshold)
        self._longest_gap = longest_gap
        self._last: Neighbour | None = None
        self._recent: deque[float] = deque(maxlen=RECENT_PAIRS)  # how much the last pairs differed

    def add(self, frame: Neighbour) -> Between | None:
        """Take the next frame; what lies before it, where the two alone tell that."""
        last, self._last = self._last, frame
        if self._looks_for_cuts:
            self._scenes.add(frame.thumbnail)
        if last is None:
            return None
        if self.is_gap(last, frame):
            return Between.GAP
        pair = (last.image, frame.image)
        recent_motion = max(self._recent, default=0.0)
        self._recent.append(luma_difference(*pair))
        is_same = is_repeat(*pair) or is_near_repeat(*pair, recent_motion)
        return Between.REPEAT if is_same else None

    def is_gap(self, before: Neighbour, after: Neighbour) -> bool:
        """Whether too much time lies between two frames."""
        return after.pts - before.pts > self._longest_gap

    def is_ready(self, number: int) -> bool:
        """Whether enough frames have come to judge the pair of frame `number` and the next."""
        return self._scenes.is_ready(number)

    def judge(self, number: int) -> Between:
        """Whether there is motion, a cut or a flash between frame `number` and the next."""
        return self._scenes.judge(number)


@dataclass(slots=True)
class _Held:
    """A frame that waits until what comes after it is known."""

    frame: Neighbour
    number: int
    between: Between | None  # it and the frame before


class Planner:
    """Goes through the input and says what is shown at each moment of the output.

    Attributes:
        counts: How often each thing lay between two neighbours; a flash counts once.
        frames_in: Frames of the input so far.
        retimed: Repeated frames in whose place one was made that follows the motion.
    """

    def __init__(
        self,
        timeline: Timeline,
        judge: PairJudge,
        at_cut: AtCut = "nearest",
        repeats: Repeats = "keep",
    ) -> None:
        """Keep the timeline, the judge, and what is done at a cut and with repeated frames."""
        self.timeline = timeline
        self.judge = judge
        self.counts: Counter[Between] = Counter()
        self.frames_in = 0
        self.retimed = 0
        self._at_cut = at_cut
        self._longest_run = LONGEST_RUN if repeats == "retime" else 1
        self._held: list[_Held] = []
        self._area: Area | None = None  # of the pictures of this shot so far
        self._in_flash = False

    def plan(self, frames: Iterable[Neighbour]) -> Iterator[Shown]:
        """Yield the frames of the output in order."""
        for number, frame in enumerate(frames):
            self._held.append(_Held(frame, number, self.judge.add(frame)))
            while self._knows_enough():
                yield from self._next()
        while len(self._held) > 1:
            yield from self._next()
        if not self._held:
            return
        last = self._held.pop().frame
        self.frames_in += 1
        stamps = self.timeline.after_last(last.pts)
        for number, pts in enumerate(stamps, 1):
            done = self.frames_in - (number < len(stamps))
            yield Shown(pts, last, None, Fraction(0), done)

    def _run(self) -> int:
        """How many frames at the front show one picture, as far as that matters: 1 and more.

        More than one only where they are to be retimed, so not at the end of a longer run.
        """
        if self._longest_run == 1 or self._held[0].between is Between.REPEAT:
            return 1
        run = 1
        while run < len(self._held) and self._held[run].between is Between.REPEAT:
            run += 1
        return run if run <= self._longest_run else 1

    def _knows_enough(self) -> bool:
        """Whether it can be said what is shown from the first frame that is held on."""
        run = self._run()
        if run == len(self._held):
            return False
        if self._held[run].between is not None or len(self._held) > run + MOST_AHEAD:
            return True
        return self.judge.is_ready(self._held[run].number - 1)

    def _next(self) -> Iterator[Shown]:
        """What is shown from the first frame that is held on, until the next or the run's end."""
        run = self._run()
        if 1 < run < len(self._held):
            is_gap = self.judge.is_gap(self._held[0].frame, self._held[run].frame)
            if not is_gap and self._between(run) is Between.MOTION:
                return self._span(run)
        return self._span(1)

    def _between(self, index: int) -> Between:
        """What lies before a frame that is held."""
        held = self._held[index]
        if held.between is None:
            held.between = self.judge.judge(held.number - 1)
        return held.between

    def _span(self, length: int) -> Iterator[Shown]:
        """What is shown between the first frame that is held and the one `length` after it."""
        frames = [held.frame for held in self._held[: length + 1]]
        before, after = frames[0], frames[-1]
        moments = [self.timeline.between(a.pts, b.pts) for a, b in pairwise(frames)]
        between, area = Between.MOTION, before.whole
        if length > 1 or any(0 < moment.timestep < 1 for moment in moments[0]):
            between = self._between(length)
            self._count(between, length)
            area = self._area_of(before, after, between)
        del self._held[:length]
        for place, some in enumerate(moments):
            self.frames_in += 1
            start, step = frames[place].pts - before.pts, frames[place + 1].pts - frames[place].pts
            for number, moment in enumerate(some, 1):
                done = self.frames_in - (number < len(some))
                timestep = (start + moment.timestep * step) / Fraction(after.pts - before.pts)
                self.retimed += place > 0 and moment.timestep == 0
                yield self._shown(moment.pts, before, after, timestep, done, between, area)

    def _shown(
        self,
        pts: int,
        before: Neighbour,
        after: Neighbour,
        timestep: Fraction,
        done: int,
        between: Between,
        area: Area,
    ) -> Shown:
        """A frame that is made where there is motion, else an original or a blend."""
        apart = between in (Between.CUT, Between.FLASH)
        if 0 < timestep < 1:
            if between is Between.MOTION:
                return Shown(pts, before, after, timestep, done, area)
            if apart and self._at_cut == "blend":
                return Shown(pts, before, after, timestep, done)
        # At a cut the nearer one; two equal pictures are the earlier one.
        later = timestep == 1 or (apart and timestep > Fraction(1, 2))
        return Shown(pts, after if later else before, None, Fraction(0), done)

    def _count(self, between: Between, length: int) -> None:
        self.counts[Between.REPEAT] += length - 1
        # A flash has two ends.
        self._in_flash = between is Between.FLASH and not self._in_flash
        self.counts[between] += between is not Between.FLASH or self._in_flash

    def _area_of(self, before: Neighbour, after: Neighbour, between: Between) -> Area:
        """What lies between the black bars of both frames and of all before them in this shot."""
        if between is not Between.MOTION:
            if between is not Between.REPEAT:
                self._area = None
            return before.whole
        found = [a for a in (self._area, before.area, after.area) if a is not None]
        if not found:
            return before.whole
        self._area = reduce(Area.joined, found)
        return self._area


def with_pairs_beside(plan: Iterable[Shown]) -> Iterator[Shown]:
    """Tell each frame that is made from two which others stand beside them in the same motion.

    So the frames between two are held back until it is known what comes after them.
    """
    held: list[Shown] = []  # from the first frame made of a pair on
    earlier: Neighbour | None = None
    for shown in plan:
        if held:
            pair = held[0]
            same = shown.before is pair.before and shown.after is pair.after
            if same or (shown.before is pair.after and not shown.is_synthesized):
                held.append(shown)
                continue
            goes_on = _goes_on(pair, shown)
            yield from _told(held, earlier, shown.after if goes_on else None)
            earlier = pair.before if goes_on else None
            held = []
        if shown.is_synthesized:
            held.append(shown)
        else:
            yield shown
    yield from _told(held, earlier, None)


def _goes_on(pair: Shown, shown: Shown) -> bool:
    """Whether the next frame shows how the motion of a pair goes on, not much later or earlier."""
    if not shown.is_synthesized or shown.before is not pair.after or shown.area != pair.area:
        return False
    lengths = (s.after.pts - s.before.pts for s in (pair, shown) if s.after is not None)
    shorter, longer = sorted(lengths)
    return longer <= _MOST_UNEQUAL * shorter


def _told(held: list[Shown], earlier: Neighbour | None, later: Neighbour | None) -> Iterator[Shown]:
    for shown in held:
        if shown.is_synthesized:
            shown = replace(shown, earlier=earlier, later=later)
        yield shown
