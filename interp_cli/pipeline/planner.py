"""What is shown at each moment of the output: an original, or a frame made between two.

`Planner` asks the timeline which moments lie between two neighbours and `PairClassifier` whether
there is motion between them to follow. It sees the frames one after the other and hands on what is
to be shown in order, so a rule that must look further ahead may hold frames back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import reduce
from itertools import pairwise

from interp_cli.options import MAX_DUPLICATE_RUN, AtCut, Duplicates
from interp_cli.pipeline.frames import SourceFrame
from interp_cli.pipeline.pairs import PairClassifier
from interp_cli.pipeline.timeline import Timeline
from interp_cli.scenes.base import MAX_AHEAD, PairKind
from interp_cli.scenes.letterbox import Region

# Of pairs beside each other, how many times longer one may last for its motion to tell anything.
_MAX_UNEQUAL = 3


@dataclass(frozen=True, slots=True)
class PlannedFrame:
    """A frame of the output, before it is made.

    Attributes:
        pts: Its time stamp, in units of the timeline.
        before: The original that is shown, or the earlier one of the two it is made from.
        after: The later one; `None`: `before` itself is shown.
        timestep: Between `before` (0) and `after` (1).
        frames_done: Frames of the input that are dealt with once this one is written.
        region: What is made of it; around it are the black bars of `before`. `None`: nothing, the
            two are blended.
        earlier: The frame before `before`, if motion leads from there to here in the same area.
        later: The frame after `after`, likewise.
    """

    pts: int
    before: SourceFrame
    after: SourceFrame | None
    timestep: Fraction
    frames_done: int
    region: Region | None = None
    earlier: SourceFrame | None = None
    later: SourceFrame | None = None

    @property
    def is_synthesized(self) -> bool:
        """Whether the network makes it."""
        return self.after is not None and self.region is not None

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


@dataclass(slots=True)
class _Held:
    """A frame that waits until what comes after it is known."""

    frame: SourceFrame
    number: int
    between: PairKind | None  # it and the frame before


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
        judge: PairClassifier,
        at_cut: AtCut = "nearest",
        duplicates: Duplicates = "keep",
    ) -> None:
        """Keep the timeline, the judge, and what is done at a cut and with repeated frames."""
        self.timeline = timeline
        self.judge = judge
        self.counts: Counter[PairKind] = Counter()
        self.frames_in = 0
        self.retimed = 0
        self._at_cut = at_cut
        self._longest_run = MAX_DUPLICATE_RUN if duplicates == "retime" else 1
        self._held: list[_Held] = []
        self._area: Region | None = None  # of the pictures of this shot so far
        self._in_flash = False

    def plan(self, frames: Iterable[SourceFrame]) -> Iterator[PlannedFrame]:
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
            yield PlannedFrame(pts, last, None, Fraction(0), done)

    def _run(self) -> int:
        """How many frames at the front show one picture, as far as that matters: 1 and more.

        More than one only where they are to be retimed, so not at the end of a longer run.
        """
        if self._longest_run == 1 or self._held[0].between is PairKind.DUPLICATE:
            return 1
        run = 1
        while run < len(self._held) and self._held[run].between is PairKind.DUPLICATE:
            run += 1
        return run if run <= self._longest_run else 1

    def _knows_enough(self) -> bool:
        """Whether it can be said what is shown from the first frame that is held on."""
        run = self._run()
        if run == len(self._held):
            return False
        if self._held[run].between is not None or len(self._held) > run + MAX_AHEAD:
            return True
        return self.judge.is_ready(self._held[run].number - 1)

    def _next(self) -> Iterator[PlannedFrame]:
        """What is shown from the first frame that is held on, until the next or the run's end."""
        run = self._run()
        if 1 < run < len(self._held):
            is_gap = self.judge.is_gap(self._held[0].frame, self._held[run].frame)
            if not is_gap and self._between(run) is PairKind.CONTINUOUS:
                return self._span(run)
        return self._span(1)

    def _between(self, index: int) -> PairKind:
        """What lies before a frame that is held."""
        held = self._held[index]
        if held.between is None:
            held.between = self.judge.judge(held.number - 1)
        return held.between

    def _span(self, length: int) -> Iterator[PlannedFrame]:
        """What is shown between the first frame that is held and the one `length` after it."""
        frames = [held.frame for held in self._held[: length + 1]]
        before, after = frames[0], frames[-1]
        moments = [self.timeline.between(a.pts, b.pts) for a, b in pairwise(frames)]
        between, region = PairKind.CONTINUOUS, before.whole
        if length > 1 or any(0 < moment.timestep < 1 for moment in moments[0]):
            between = self._between(length)
            self._count(between, length)
            region = self._area_of(before, after, between)
        del self._held[:length]
        for place, some in enumerate(moments):
            self.frames_in += 1
            start, step = frames[place].pts - before.pts, frames[place + 1].pts - frames[place].pts
            for number, moment in enumerate(some, 1):
                done = self.frames_in - (number < len(some))
                timestep = (start + moment.timestep * step) / Fraction(after.pts - before.pts)
                self.retimed += place > 0 and moment.timestep == 0
                yield self._shown(moment.pts, before, after, timestep, done, between, region)

    def _shown(
        self,
        pts: int,
        before: SourceFrame,
        after: SourceFrame,
        timestep: Fraction,
        done: int,
        between: PairKind,
        region: Region,
    ) -> PlannedFrame:
        """A frame that is made where there is motion, else an original or a blend."""
        apart = between in (PairKind.CUT, PairKind.FLASH)
        if 0 < timestep < 1:
            if between is PairKind.CONTINUOUS:
                return PlannedFrame(pts, before, after, timestep, done, region)
            if apart and self._at_cut == "blend":
                return PlannedFrame(pts, before, after, timestep, done)
        # At a cut the nearer one; two equal pictures are the earlier one.
        later = timestep == 1 or (apart and timestep > Fraction(1, 2))
        return PlannedFrame(pts, after if later else before, None, Fraction(0), done)

    def _count(self, between: PairKind, length: int) -> None:
        self.counts[PairKind.DUPLICATE] += length - 1
        # A flash has two ends.
        self._in_flash = between is PairKind.FLASH and not self._in_flash
        self.counts[between] += between is not PairKind.FLASH or self._in_flash

    def _area_of(self, before: SourceFrame, after: SourceFrame, between: PairKind) -> Region:
        """What lies between the black bars of both frames and of all before them in this shot."""
        if between is not PairKind.CONTINUOUS:
            if between is not PairKind.DUPLICATE:
                self._area = None
            return before.whole
        found = [a for a in (self._area, before.region, after.region) if a is not None]
        if not found:
            return before.whole
        self._area = reduce(Region.joined, found)
        return self._area


def with_adjacent_pairs(plan: Iterable[PlannedFrame]) -> Iterator[PlannedFrame]:
    """Tell each frame that is made from two which others stand beside them in the same motion.

    So the frames between two are held back until it is known what comes after them.
    """
    held: list[PlannedFrame] = []  # from the first frame made of a pair on
    earlier: SourceFrame | None = None
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


def _goes_on(pair: PlannedFrame, shown: PlannedFrame) -> bool:
    """Whether the next frame shows how the motion of a pair goes on, not much later or earlier."""
    if not shown.is_synthesized or shown.before is not pair.after or shown.region != pair.region:
        return False
    lengths = (s.after.pts - s.before.pts for s in (pair, shown) if s.after is not None)
    shorter, longer = sorted(lengths)
    return longer <= _MAX_UNEQUAL * shorter


def _told(
    held: list[PlannedFrame], earlier: SourceFrame | None, later: SourceFrame | None
) -> Iterator[PlannedFrame]:
    for shown in held:
        if shown.is_synthesized:
            shown = replace(shown, earlier=earlier, later=later)
        yield shown
