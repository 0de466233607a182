"""Plans the output: for each of its times, an original or a frame to synthesize from two.

`Planner` asks the timeline which output times lie between two frames, and `PairClassifier` what
lies between their pictures. It reads the frames in order and yields the plan in order, holding
frames back where a decision depends on what follows. It needs no torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import reduce
from itertools import pairwise

from interp_cli.options import MAX_DUPLICATE_RUN, AtCut, DoubleOptions, Duplicates
from interp_cli.pipeline.frames import SourceFrame
from interp_cli.pipeline.pairs import PairClassifier
from interp_cli.pipeline.timeline import Timeline
from interp_cli.scenes.base import MAX_AHEAD, PairKind
from interp_cli.scenes.letterbox import Region, picture_region
from interp_cli.scenes.registry import create_detector
from interp_cli.video.pixel_format import PixelFormat

# A neighbouring pair whose duration differs by more than this factor is no guide to the motion.
_MAX_DURATION_RATIO = 3


@dataclass(frozen=True, slots=True)
class PlannedFrame:
    """A frame of the output, before it is made.

    Attributes:
        pts: Time stamp in units of the timeline.
        before: The original that is shown, or the earlier frame of the pair to interpolate.
        after: The later frame of the pair; `None` where `before` itself is shown.
        timestep: Position between `before` (0) and `after` (1).
        region: The part to synthesize, surrounded by the black bars of `before`; `None` where
            nothing is synthesized. A frame with `after` and no region is a blend.
        earlier: The frame before `before`, if the same motion leads from it to `before`.
        later: The frame after `after`, if the same motion leads from `after` to it.
    """

    pts: int
    before: SourceFrame
    after: SourceFrame | None
    timestep: Fraction
    region: Region | None = None
    earlier: SourceFrame | None = None
    later: SourceFrame | None = None

    @property
    def is_synthesized(self) -> bool:
        """Whether the network makes the frame."""
        return self.after is not None and self.region is not None

    @property
    def intervals(self) -> tuple[float, float]:
        """Durations of the pairs before and after, in units of its own pair's; 1 where unknown."""
        if self.after is None:
            return 1.0, 1.0
        duration = self.after.pts - self.before.pts
        return (
            1.0 if self.earlier is None else _ratio(self.before.pts - self.earlier.pts, duration),
            1.0 if self.later is None else _ratio(self.later.pts - self.after.pts, duration),
        )


def _ratio(interval: int, duration: int) -> float:
    """An interval in units of another. Intervals that differ by rounding alone count as equal."""
    is_rounding = abs(interval - duration) <= max(duration / 10, min(1, duration / 4))
    return 1.0 if is_rounding else interval / duration


class _HeldFrame:
    """A frame that waits until the frames after it are known.

    Attributes:
        frame: The frame.
        kind: What lies between the frame before and this one; `None`: not known yet.
    """

    def __init__(
        self, frame: SourceFrame, kind: PairKind | None, pixel_format: PixelFormat
    ) -> None:
        self.frame = frame
        self.kind = kind
        self._pixel_format = pixel_format
        self._region: Region | None = None
        self._is_region_known = False

    @property
    def region(self) -> Region | None:
        """The picture between black bars; `None` where all is black. Found once for both pairs."""
        if not self._is_region_known:
            self._region = picture_region(self.frame.image, self._pixel_format)
            self._is_region_known = True
        return self._region


class Planner:
    """Goes through the input and decides what each frame of the output shows.

    Attributes:
        counts: Number of pairs of each kind; a flash counts once.
        frames_in: Frames of the input so far.
        retimed: Duplicates replaced by a synthesized frame that follows the motion.
    """

    def __init__(
        self,
        timeline: Timeline,
        classifier: PairClassifier,
        pixel_format: PixelFormat,
        at_cut: AtCut = "nearest",
        duplicates: Duplicates = "keep",
    ) -> None:
        """Start with an empty plan.

        Args:
            timeline: The times of the output.
            classifier: Decides what lies between two frames.
            pixel_format: Format of the input's frames.
            at_cut: What a frame between two shots shows.
            duplicates: Whether duplicates stay or are retimed.
        """
        self.timeline = timeline
        self.classifier = classifier
        self.counts: Counter[PairKind] = Counter()
        self.frames_in = 0
        self.retimed = 0
        self._pixel_format = pixel_format
        self._whole = Region.whole(pixel_format)
        self._at_cut = at_cut
        self._max_run = MAX_DUPLICATE_RUN if duplicates == "retime" else 1
        self._held: list[_HeldFrame] = []
        self._shot_region: Region | None = None  # union over the frames of this shot so far
        self._in_flash = False

    def plan(self, frames: Iterable[SourceFrame]) -> Iterator[PlannedFrame]:
        """Yield the frames of the output in order."""
        for frame in frames:
            kind = self.classifier.add(frame)
            self._held.append(_HeldFrame(frame, kind, self._pixel_format))
            while self._can_plan_next():
                yield from self._plan_next()
        while len(self._held) > 1:
            yield from self._plan_next()
        if not self._held:
            return
        last = self._held.pop().frame
        self.frames_in += 1
        for pts in self.timeline.after_last(last.pts):
            yield PlannedFrame(pts, last, None, Fraction(0))

    def _run_length(self) -> int:
        """Number of held frames at the front that show one picture and are to be retimed.

        It is 1 where duplicates stay, and within a run that is too long.
        """
        if self._max_run == 1 or self._held[0].kind is PairKind.DUPLICATE:
            return 1
        run = 1
        while run < len(self._held) and self._held[run].kind is PairKind.DUPLICATE:
            run += 1
        return run if run <= self._max_run else 1

    def _can_plan_next(self) -> bool:
        """Whether enough frames are held to plan from the first of them on."""
        run = self._run_length()
        if run == len(self._held):
            return False
        if self._held[run].kind is not None or len(self._held) > run + MAX_AHEAD:
            return True
        return self.classifier.is_ready(self._held[run].frame.index - 1)

    def _plan_next(self) -> Iterator[PlannedFrame]:
        """Plan from the first held frame to the next one, or to the end of a run to retime."""
        run = self._run_length()
        if 1 < run < len(self._held):
            is_gap = self.classifier.is_gap(self._held[0].frame, self._held[run].frame)
            if not is_gap and self._kind(run) is PairKind.CONTINUOUS:
                return self._plan_span(run)
        return self._plan_span(1)

    def _kind(self, position: int) -> PairKind:
        """What lies before a held frame."""
        held = self._held[position]
        if held.kind is None:
            held.kind = self.classifier.judge(held.frame.index - 1)
        return held.kind

    def _plan_span(self, length: int) -> Iterator[PlannedFrame]:
        """Plan from the first held frame to the one `length` after it."""
        frames = [held.frame for held in self._held[: length + 1]]
        before, after = frames[0], frames[-1]
        moments = [self.timeline.between(a.pts, b.pts) for a, b in pairwise(frames)]
        kind, region = PairKind.CONTINUOUS, self._whole
        if length > 1 or any(0 < moment.timestep < 1 for moment in moments[0]):
            kind = self._kind(length)
            self._count(kind, length)
            region = self._pair_region(self._held[0], self._held[length], kind)
        del self._held[:length]
        for place, some in enumerate(moments):
            self.frames_in += 1
            start, step = frames[place].pts - before.pts, frames[place + 1].pts - frames[place].pts
            for moment in some:
                timestep = (start + moment.timestep * step) / Fraction(after.pts - before.pts)
                self.retimed += place > 0 and moment.timestep == 0
                yield self._planned(moment.pts, before, after, timestep, kind, region)

    def _planned(
        self,
        pts: int,
        before: SourceFrame,
        after: SourceFrame,
        timestep: Fraction,
        kind: PairKind,
        region: Region,
    ) -> PlannedFrame:
        """A synthesized frame in continuous motion, otherwise an original or a blend."""
        is_cut = kind in (PairKind.CUT, PairKind.FLASH)
        if 0 < timestep < 1:
            if kind is PairKind.CONTINUOUS:
                return PlannedFrame(pts, before, after, timestep, region)
            if is_cut and self._at_cut == "blend":
                return PlannedFrame(pts, before, after, timestep)
        # At a cut the nearer frame; between two equal pictures the earlier one.
        is_later = timestep == 1 or (is_cut and timestep > Fraction(1, 2))
        return PlannedFrame(pts, after if is_later else before, None, Fraction(0))

    def _count(self, kind: PairKind, length: int) -> None:
        self.counts[PairKind.DUPLICATE] += length - 1
        # A flash has two ends.
        self._in_flash = kind is PairKind.FLASH and not self._in_flash
        self.counts[kind] += kind is not PairKind.FLASH or self._in_flash

    def _pair_region(self, before: _HeldFrame, after: _HeldFrame, kind: PairKind) -> Region:
        """The union of both frames' pictures and of all before them in this shot."""
        if kind is not PairKind.CONTINUOUS:
            if kind is not PairKind.DUPLICATE:
                self._shot_region = None
            return self._whole
        regions = [self._shot_region, before.region, after.region]
        found = [region for region in regions if region is not None]
        if not found:
            return self._whole
        self._shot_region = reduce(Region.union, found)
        return self._shot_region


def create_planner(
    timeline: Timeline, max_gap: int, pixel_format: PixelFormat, options: DoubleOptions
) -> Planner:
    """The planner that `options` describe.

    Args:
        timeline: Times of the output.
        max_gap: Longest distance between two frames, in units of the input, across which motion
            is followed.
        pixel_format: What the frames are.
        options: Settings.
    """
    detector = create_detector(options.scene_threshold, options.scene_detector)
    classifier = PairClassifier(detector, max_gap)
    return Planner(timeline, classifier, pixel_format, options.at_cut, options.duplicates)


def with_adjacent_pairs(plan: Iterable[PlannedFrame]) -> Iterator[PlannedFrame]:
    """Fill in `earlier` and `later` where the pairs before and after belong to the same motion.

    The frames of a pair are held back until the pair after it is planned.
    """
    held: list[PlannedFrame] = []  # from the first synthesized frame of a pair on
    earlier: SourceFrame | None = None
    for planned in plan:
        if held:
            pair = held[0]
            is_same = planned.before is pair.before and planned.after is pair.after
            if is_same or (planned.before is pair.after and not planned.is_synthesized):
                held.append(planned)
                continue
            continues = _continues(pair, planned)
            yield from _with_neighbours(held, earlier, planned.after if continues else None)
            earlier = pair.before if continues else None
            held = []
        if planned.is_synthesized:
            held.append(planned)
        else:
            yield planned
    yield from _with_neighbours(held, earlier, None)


def _continues(pair: PlannedFrame, following: PlannedFrame) -> bool:
    """Whether the next pair continues the motion of a pair, at a comparable duration."""
    if not following.is_synthesized or following.before is not pair.after:
        return False
    if following.region != pair.region:
        return False
    durations = (p.after.pts - p.before.pts for p in (pair, following) if p.after is not None)
    shorter, longer = sorted(durations)
    return longer <= _MAX_DURATION_RATIO * shorter


def _with_neighbours(
    held: list[PlannedFrame], earlier: SourceFrame | None, later: SourceFrame | None
) -> Iterator[PlannedFrame]:
    for planned in held:
        if planned.is_synthesized:
            planned = replace(planned, earlier=earlier, later=later)
        yield planned
