"""Which pairs stand beside a pair in the same motion."""

from fractions import Fraction
from itertools import pairwise

import av
import pytest

from interp_cli.pipeline.frames import SourceFrame
from interp_cli.pipeline.planner import PlannedFrame, with_adjacent_pairs
from interp_cli.scenes.letterbox import Region
from interp_cli.video.pixel_format import pixel_format_of
from interp_cli.video.probe import ColourTags

IMAGE = av.VideoFrame(64, 48, "yuv420p")
LAYOUT = pixel_format_of(IMAGE, ColourTags())
WHOLE = Region.whole(LAYOUT)
FRAMES = [SourceFrame(n, n, IMAGE) for n in range(7)]


def planned(breaks=(), factor=2, smaller=()):
    """A plan for `FRAMES`; after those of `breaks` nothing moves on, as at a cut or a repeat."""
    plan = []
    for n in range(6):
        before, after = FRAMES[n : n + 2]
        plan.append(PlannedFrame(factor * n, before, None, Fraction(0)))
        for part in range(1, factor):
            pts, timestep = factor * n + part, Fraction(part, factor)
            region = Region(8, 40, 0, 64) if n in smaller else WHOLE
            if n in breaks:
                shown = after if timestep > Fraction(1, 2) else before
                plan.append(PlannedFrame(pts, shown, None, Fraction(0)))
            else:
                plan.append(PlannedFrame(pts, before, after, timestep, region))
    plan.append(PlannedFrame(6 * factor, FRAMES[6], None, Fraction(0)))
    return plan


def adjacent(plan):
    """Of each pair, by the number of its first frame: the numbers of the frames beside it."""
    told = list(with_adjacent_pairs(plan))
    assert [(s.pts, s.before, s.after, s.timestep) for s in told] == [
        (s.pts, s.before, s.after, s.timestep) for s in plan
    ]
    assert all(s.earlier is s.later is None for s in told if not s.is_synthesized)
    found = {}
    for shown in told:
        if shown.is_synthesized:
            both = tuple(f and f.pts for f in (shown.earlier, shown.later))
            assert found.setdefault(shown.before.pts, both) == both  # at every timestep
    return found


@pytest.mark.parametrize("factor", [2, 5])
def test_motion_that_goes_on(factor):
    assert adjacent(planned(factor=factor)) == {
        0: (None, 2), 1: (0, 3), 2: (1, 4), 3: (2, 5), 4: (3, 6), 5: (4, None),
    }  # fmt: skip


@pytest.mark.parametrize("factor", [2, 5])
def test_no_motion_leads_across_a_cut_or_a_repeat(factor):
    assert adjacent(planned(breaks=(2,), factor=factor)) == {
        0: (None, 2), 1: (0, None), 3: (None, 5), 4: (3, 6), 5: (4, None),
    }  # fmt: skip
    assert adjacent(planned(breaks=range(6), factor=factor)) == {}


def frame(pts):
    return SourceFrame(0, pts, IMAGE)


@pytest.mark.parametrize(
    ("stamps", "intervals"),
    [
        ((0, 30, 40, 60), (3, 2)),
        ((0, 1, 3, 4), (0.5, 0.5)),  # of a clock that counts frames
        ((0, 16, 33, 50), (1, 1)),  # 60 a second in whole milliseconds
        ((0, 8, 17, 25), (1, 1)),  # 120 a second, likewise
        ((0, 20, 41, 61), (1, 1)),  # a phone's
    ],
)
def test_intervals_are_those_of_the_time_stamps_but_for_rounding(stamps, intervals):
    a, b, c, d = map(frame, stamps)
    assert PlannedFrame(0, b, c, Fraction(1, 2), WHOLE, a, d).intervals == intervals
    assert PlannedFrame(0, b, c, Fraction(1, 2), WHOLE).intervals == (1, 1)


def test_what_lasts_much_longer_tells_nothing():
    frames = [frame(pts) for pts in (0, 16, 32, 282, 298, 340)]
    plan = [
        PlannedFrame(n, a, b, Fraction(1, 2), WHOLE) for n, (a, b) in enumerate(pairwise(frames))
    ]
    assert adjacent(plan) == {0: (None, 32), 16: (0, None), 32: (None, None), 282: (None, 340),
                            298: (282, None)}  # fmt: skip


def test_pictures_of_another_size_are_not_compared():
    assert adjacent(planned(smaller=(0, 1))) == {
        0: (None, 2), 1: (0, None), 2: (None, 4), 3: (2, 5), 4: (3, 6), 5: (4, None),
    }  # fmt: skip


def test_originals_that_are_not_shown_do_not_matter():
    made = [shown for shown in planned() if shown.is_synthesized]
    assert adjacent(made) == adjacent(planned())


def test_little_is_held_back():
    """A long still must not wait for the motion after it."""
    asked = 0

    def plan():
        nonlocal asked
        for shown in planned(breaks=(1, 2, 3, 4)):
            asked += 1
            yield shown

    numbers = []
    for shown in with_adjacent_pairs(plan()):
        numbers.append(asked - shown.pts)
    assert max(numbers) <= 5
