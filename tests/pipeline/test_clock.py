"""Which part is wanted and when it stands: what follows from what a file says, and does not say."""

from dataclasses import replace
from fractions import Fraction

import pytest

from interp_cli.options import DoubleOptions
from interp_cli.pipeline.clock import SourceClock
from interp_cli.video.probe import VideoInfo, probe
from interp_cli.video.readers.base import Frame

TICK = Fraction(1, 1000)


@pytest.fixture(scope="module")
def info(h264_clip) -> VideoInfo:
    """Ten seconds of 25 frames a second, whose sound begins at 1 s and whose picture at 1.5 s."""
    return replace(
        probe(h264_clip),
        frame_rate=Fraction(25),
        time_base=TICK,
        frame_count=250,
        duration_seconds=10.0,
        start_seconds=Fraction(1),
        video_start_seconds=Fraction(3, 2),
        last_duration=55,
        clock_is_arbitrary=False,
    )


def frame(pts: int = 1500, duration: int = 33) -> Frame:
    return Frame(None, pts, duration, TICK)


@pytest.mark.parametrize(
    ("facts", "options", "shift"),
    [
        ({}, {}, 0),  # a late start stays late
        ({"clock_is_arbitrary": True}, {}, 1),  # of the earliest stream: sound stays beside it
        ({}, {"slow_motion": 2}, 1),
        ({}, {"start_seconds": 2.1}, Fraction(36, 10)),  # exactly, not as a binary fraction
        ({"clock_is_arbitrary": True}, {"start_seconds": 2.0}, Fraction(7, 2)),
    ],
)
def test_how_far_times_are_shifted(info, facts, options, shift):
    clock = SourceClock(replace(info, **facts), DoubleOptions(**options), frame())
    assert clock.shift_seconds == shift
    assert clock.shift == round(shift * 1000)


@pytest.mark.parametrize(
    ("facts", "options", "duration", "last"),
    [
        ({}, {}, 33, 55),
        ({"last_duration": None}, {}, 33, 33),
        ({"last_duration": None}, {}, 0, 40),
        ({"last_duration": None, "frame_rate": None}, {}, 0, 40),  # 25 a second is meant
        ({}, {"end_seconds": 4.0}, 33, 40),  # another frame follows what the user chose as the end
        ({}, {"end_seconds": 10.0}, 33, 55),  # the file's own end
        ({"duration_seconds": None}, {"end_seconds": 12.0}, 33, 40),
        ({"last_duration": None, "frame_rate": Fraction(5000)}, {}, 0, 1),  # never no time at all
    ],
)
def test_how_long_the_last_frame_stands(info, facts, options, duration, last):
    options = DoubleOptions(**options)
    times = SourceClock(replace(info, **facts), options, frame(duration=duration)).times
    assert (times.time_base, times.start, times.last_duration) == (TICK, 1500, last)
    assert times.frame_rate == (facts.get("frame_rate", 25) or 25)


def test_a_gap_is_never_shorter_than_two_frames(info):
    for seconds, gap in ((0.3, 300), (0.01, 80)):
        options = DoubleOptions(max_gap_seconds=seconds)
        assert SourceClock(info, options, frame()).max_gap == gap


@pytest.mark.parametrize(
    ("facts", "options", "frames"),
    [
        ({}, {}, 250),
        ({}, {"start_seconds": 4.0}, 150),
        ({}, {"end_seconds": 4.0}, 100),
        ({}, {"start_seconds": 2.0, "end_seconds": 99.0}, 200),
        ({}, {"start_seconds": 9.999}, 1),
        ({"frame_count": None}, {"end_seconds": 4.0}, 100),
        ({"frame_count": None, "frame_rate": None}, {}, None),
        ({"duration_seconds": None}, {"end_seconds": 4.0}, 250),
        ({"duration_seconds": None, "frame_count": None}, {}, None),
    ],
)
def test_how_many_frames_are_announced(info, facts, options, frames):
    clock = SourceClock(replace(info, **facts), DoubleOptions(**options), frame())
    assert clock.expected_frames == frames
    assert clock.expected_output_frames == (None if frames is None else 2 * frames)


@pytest.mark.parametrize(
    ("facts", "options", "each"),
    [
        ({}, {}, 2),
        ({}, {"slow_motion": 4}, 4),
        ({}, {"frame_rate": Fraction(60)}, Fraction(12, 5)),
        ({}, {"frame_rate": Fraction(50), "slow_motion": 3}, 6),
        ({"frame_rate": None}, {"frame_rate": Fraction(60)}, 2),
    ],
)
def test_how_many_come_out_for_each(info, facts, options, each):
    clock = SourceClock(replace(info, **facts), DoubleOptions(**options), frame())
    assert clock.frames_for_each == each


def test_sound_is_cut_on_the_pictures_clock(info):
    options = DoubleOptions(start_seconds=2.0, end_seconds=4.5)
    side = SourceClock(info, options, frame(pts=3500)).side_streams
    assert (side.start_seconds, side.end_seconds) == (Fraction(7, 2), Fraction(6))
    assert (side.shift_seconds, side.tail_seconds, side.stretch) == (
        Fraction(7, 2),
        Fraction(1, 25),
        1,
    )
    whole = SourceClock(info, DoubleOptions(slow_motion=2), frame()).side_streams
    assert (whole.start_seconds, whole.end_seconds, whole.stretch) == (None, None, 2)
