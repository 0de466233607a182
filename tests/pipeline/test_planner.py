"""What the planner shows: at cuts, gaps and repeats, and between black bars."""

import subprocess
import sys
from collections import Counter
from fractions import Fraction
from importlib import import_module

import av
import clips
import numpy as np
import pytest

from interp_cli.options import MAX_DUPLICATE_RUN
from interp_cli.pipeline.frames import SourceFrame
from interp_cli.pipeline.pairs import PairClassifier
from interp_cli.pipeline.planner import Planner
from interp_cli.pipeline.timeline import InputTimes, timeline_of
from interp_cli.scenes.base import MAX_AHEAD, PairKind
from interp_cli.scenes.registry import create_detector
from interp_cli.video.pixel_format import pixel_format_of
from interp_cli.video.probe import ColourTags

SIZE = (320, 192)


def image(picture: np.ndarray) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")


def planned(pictures, stamps=None, rate=None, threshold=0.5, gap=6, **how):
    """The planner, and what it shows as (pts, earlier, later, timestep, region) by place."""
    images = [image(picture) for picture in pictures]
    layout = pixel_format_of(images[0], ColourTags())
    stamps = stamps or range(len(images))
    frames = [SourceFrame(n, s, i) for n, (i, s) in enumerate(zip(images, stamps, strict=True))]
    times = InputTimes(Fraction(1, 25), 0, 1, Fraction(25))
    planner = Planner(
        timeline_of(times, 2, rate), PairClassifier(create_detector(threshold), gap), layout, **how
    )
    place = {id(frame): n for n, frame in enumerate(frames)}
    place[id(None)] = None
    return planner, [
        (s.pts, place[id(s.before)], place[id(s.after)], s.timestep, s.region)
        for s in planner.plan(frames)
    ]


def shot(count, scene=0, start=0):
    return [clips.true_frame(start + n, SIZE, scene=scene) for n in range(count)]


def test_repeats_before_a_cut_are_not_retimed_across_it():
    first, second = shot(5), shot(5, scene=1)
    planner, shown = planned([*first[:4], first[3], first[3], *second], duplicates="retime")
    assert planner.retimed == 0
    originals = {pts: b for pts, b, after, *_ in shown if after is None and pts % 2 == 0}
    assert originals == {2 * n: n for n in range(11)}


def test_repeats_before_a_gap_are_not_retimed_over_it():
    moving = shot(6)
    pictures = [*moving[:3], moving[2], moving[2], moving[3], moving[4]]
    planner, shown = planned(pictures, [0, 1, 2, 3, 4, 9, 10], duplicates="retime")
    assert planner.retimed == 0
    assert {b for _, b, after, *_ in shown if after is None} == set(range(7))


@pytest.mark.parametrize(
    ("length", "retimed"), [(MAX_DUPLICATE_RUN, MAX_DUPLICATE_RUN - 1), (MAX_DUPLICATE_RUN + 1, 0)]
)
def test_the_longest_run_that_is_retimed(length, retimed):
    moving = shot(5)
    planner, _ = planned(
        [*moving[:2], *[moving[2]] * length, *moving[3:]], gap=20, duplicates="retime"
    )
    assert (planner.counts[PairKind.DUPLICATE], planner.retimed) == (length - 1, retimed)


def barred(picture, top, bottom):
    picture = picture.copy()
    picture[:top] = picture[bottom:] = 0
    return picture


WIDE, NARROW = (24, 168), (40, 152)


def regions(pictures, bars, **how):
    """Of each pair of which something is made, by its first frame: the rows between the bars."""
    drawn = [barred(picture, *rows) for picture, rows in zip(pictures, bars, strict=True)]
    _, shown = planned(drawn, **how)
    return {b: (region.top + 2, region.bottom - 2) for _, b, a, _, region in shown if a is not None}


def test_bars_are_those_of_both_frames_and_of_all_before_in_the_shot():
    bars = [NARROW, WIDE, NARROW, NARROW]
    assert regions(shot(4), bars, threshold=None) == {0: WIDE, 1: WIDE, 2: WIDE}


def test_a_cut_forgets_the_bars_and_a_repeat_does_not():
    pictures, bars = [*shot(4), *shot(4, scene=1)], [WIDE] * 4 + [NARROW] * 4
    assert regions(pictures, bars) == {0: WIDE, 1: WIDE, 2: WIDE, 4: NARROW, 5: NARROW, 6: NARROW}
    moving = shot(4)
    pictures, bars = [*moving[:2], *moving[1:]], [WIDE] + [NARROW] * 4
    assert regions(pictures, bars, threshold=None) == {0: WIDE, 2: WIDE, 3: WIDE}


def test_a_small_thing_in_a_still_holds_few_frames_back():
    still, read = np.full((192, 320, 3), 100, np.uint8), 0

    def frames():
        nonlocal read
        for n in range(40):
            picture = still.copy()
            picture[90:98, 4 * n + 20 : 4 * n + 28] = 150
            frame = image(picture)
            read += 1
            yield SourceFrame(n, n, frame)

    times = InputTimes(Fraction(1, 25), 0, 1, Fraction(25))
    layout = pixel_format_of(image(still), ColourTags())
    planner = Planner(timeline_of(times, 2), PairClassifier(create_detector(0.5), 6), layout)
    held = [read - shown.before.pts for shown in planner.plan(frames())]
    assert len(held) == 80
    assert max(held) <= MAX_AHEAD + 3


def test_a_plan_needs_no_torch():
    code = "import sys, interp_cli.pipeline.planner as p; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=240).returncode == 0


def test_each_picture_is_measured_once(monkeypatch):
    """The thumbnail and the region between bars serve both pairs of a frame."""
    calls = Counter()
    for module, name in (("pairs", "luma_thumbnail"), ("planner", "picture_region")):
        real = getattr(import_module(f"interp_cli.pipeline.{module}"), name)
        monkeypatch.setattr(
            f"interp_cli.pipeline.{module}.{name}",
            lambda *a, name=name, real=real: calls.update([name]) or real(*a),
        )
    planned(shot(5))
    assert calls == {"luma_thumbnail": 5, "picture_region": 5}


def test_retimed_frames_stand_where_their_time_is_not_where_their_number_is():
    a, b, c = shot(3)
    _, shown = planned([a, b, b, c], [0, 2, 3, 6], threshold=None, gap=10, duplicates="retime")
    made = [(pts, b, a, timestep) for pts, b, a, timestep, *_ in shown if a == 3]
    assert made == [(5, 1, 3, Fraction(1, 8)), (6, 1, 3, Fraction(1, 4)), (9, 1, 3, Fraction(5, 8))]
