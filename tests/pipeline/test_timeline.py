from fractions import Fraction
from itertools import pairwise
from math import floor

import pytest

from interp_cli.pipeline.timeline import EveryFrame, InputTimes, Moment, Timeline, timeline_of

NTSC = [Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60000, 1001)]


def run(timeline: Timeline, stamps: list[int]) -> list[Moment]:
    """All moments of a video with these time stamps."""
    moments = [m for pair in pairwise(stamps) for m in timeline.between(*pair)]
    return moments + [Moment(pts, Fraction(0)) for pts in timeline.after_last(stamps[-1])]


def seconds(timeline: Timeline, moments: list[Moment]) -> list[Fraction]:
    return [m.pts * timeline.time_base for m in moments]


@pytest.mark.parametrize("rate", [Fraction(24), Fraction(24000, 1001), Fraction(60)])
@pytest.mark.parametrize("stretch", [2, 3])
def test_slow_motion_of_a_rounded_rate_is_even(rate: Fraction, stretch: int) -> None:
    """Milliseconds, as in Matroska, of a constant rate."""
    stamps = [floor(1000 * number / rate + Fraction(1, 2)) for number in range(200)]
    times = InputTimes(Fraction(1, 1000), 0, stamps[1], rate)
    line = EveryFrame(times, stretch, stretch)
    shown = [m.pts for pair in pairwise(stamps) for m in line.between(*pair)]
    shown += line.after_last(stamps[-1])
    assert [pts * line.time_base for pts in shown] == [k / rate for k in range(200 * stretch)]
    assert line.last_seconds == 1 / rate
    # Without slow motion each original keeps the time stamp that it has.
    line = EveryFrame(times, 2)
    kept = [line.between(*pair)[0].pts * line.time_base for pair in pairwise(stamps)]
    assert kept == [Fraction(pts, 1000) for pts in stamps[:-1]]


def test_slow_motion_keeps_times_that_no_rounding_explains() -> None:
    times = InputTimes(Fraction(1, 1000), 0, 42, Fraction(24))
    line = EveryFrame(times, 2, 2)
    stamps = [0, 42, 60, 61, 120, 125, 167]  # 42, 125 and 167 are rounded 24ths
    shown = [line.between(*pair)[0].pts * line.time_base for pair in pairwise(stamps)]
    assert shown == [2 * t for t in (
        Fraction(0), Fraction(1, 24), Fraction(60, 1000), Fraction(61, 1000), Fraction(120, 1000),
        Fraction(1, 8),
    )]  # fmt: skip


def test_doubling_puts_a_moment_halfway():
    timeline = timeline_of(InputTimes(Fraction(1, 600), 0, 20, Fraction(30)), 2)
    moments = run(timeline, [0, 20, 41, 61])
    assert [(m.pts, m.timestep) for m in moments[:-2]] == [
        (0, 0), (20, Fraction(1, 2)), (40, 0), (61, Fraction(1, 2)), (82, 0), (102, Fraction(1, 2)),
    ]  # fmt: skip
    assert [m.pts for m in moments[-2:]] == [122, 142]
    assert timeline.time_base == Fraction(1, 1200)
    assert timeline.frame_rate == 60
    assert timeline.timesteps == (Fraction(1, 2),)


@pytest.mark.parametrize("rate", NTSC)
@pytest.mark.parametrize("factor", [2, 3])
def test_ten_thousand_frames_do_not_drift(rate: Fraction, factor: int):
    timeline = timeline_of(InputTimes(1 / rate, 0, 1, rate), factor)
    moments = run(timeline, list(range(10_000)))
    assert timeline.time_base == 1 / (factor * rate)
    assert [m.pts for m in moments] == list(range(10_000 * factor))
    assert timeline.frame_rate == factor * rate


@pytest.mark.parametrize("rate", NTSC)
def test_ten_thousand_frames_of_a_rounding_container_keep_their_places(rate: Fraction):
    stamps = [round(1000 * k / rate) for k in range(10_000)]
    timeline = timeline_of(InputTimes(Fraction(1, 1000), 0, stamps[1], rate), 3)
    moments = run(timeline, stamps)
    assert [m.pts for m in moments[::3]] == [3 * s for s in stamps]
    assert timeline.frame_rate == 3 * rate


@pytest.mark.parametrize("rate", NTSC)
@pytest.mark.parametrize("time_base", [Fraction(1, 90_000), Fraction(1, 1000), None])
@pytest.mark.slow
def test_a_constant_rate_is_exact_and_uses_the_originals(rate: Fraction, time_base):
    time_base = time_base or 1 / rate
    stamps = [round(k / rate / time_base) for k in range(10_000)]
    last = round(1 / rate / time_base)
    timeline = timeline_of(InputTimes(time_base, 0, last, rate), 2, 2 * rate)
    moments = run(timeline, stamps)
    assert timeline.time_base == 1 / (2 * rate)
    assert [m.pts for m in moments] == list(range(20_000))
    # A stamp that was rounded down or up: the moment is the original all the same.
    assert {m.timestep for m in moments[::2]} <= {0, 1}
    assert all(abs(m.timestep - Fraction(1, 2)) < Fraction(1, 10) for m in moments[1:-1:2])


def test_24_to_60_has_five_frames_for_two():
    timeline = timeline_of(InputTimes(Fraction(1, 24), 0, 1, Fraction(24)), 2, Fraction(60))
    moments = run(timeline, list(range(10)))
    assert len(moments) == 25
    assert [m.timestep for m in moments[:6]] == [
        0, Fraction(2, 5), Fraction(4, 5), Fraction(1, 5), Fraction(3, 5), 0,
    ]  # fmt: skip
    assert timeline.timesteps is None


def test_a_lower_rate_takes_each_moment_where_it_is():
    timeline = timeline_of(InputTimes(Fraction(1, 60), 0, 1, Fraction(60)), 2, Fraction(24))
    moments = run(timeline, list(range(60)))
    assert seconds(timeline, moments) == [Fraction(k, 24) for k in range(24)]
    assert [m.timestep for m in moments[:4]] == [0, Fraction(1, 2), 0, Fraction(1, 2)]


def test_a_variable_rate_becomes_constant():
    stamps = [0, 40, 61, 101, 201, 234]
    timeline = timeline_of(InputTimes(Fraction(1, 1000), 0, 33, Fraction(30)), 2, Fraction(50))
    moments = run(timeline, stamps)
    assert seconds(timeline, moments) == [Fraction(k, 50) for k in range(14)]
    places = [Fraction(0), Fraction(1, 2), Fraction(0), Fraction(20, 21), Fraction(19, 40)]
    assert [m.timestep for m in moments[:5]] == places


def test_an_offset_survives_a_constant_rate():
    times = InputTimes(Fraction(1, 90_000), 1890, 3600, Fraction(25))
    timeline = timeline_of(times, 2, Fraction(60_000, 1001))
    moments = run(timeline, [1890 + 3600 * k for k in range(25)])
    assert seconds(timeline, moments) == [
        Fraction(21, 1000) + k * Fraction(1001, 60_000) for k in range(60)
    ]
    assert timeline.start_seconds == Fraction(21, 1000)


def test_an_offset_that_no_time_base_can_say_is_off_by_less_than_a_microsecond():
    times = InputTimes(Fraction(1, 999_983), 7, 39_999, Fraction(25))
    timeline = timeline_of(times, 2, Fraction(59_999, 1001))
    assert timeline.time_base.denominator < 2**31
    assert abs(timeline.start_seconds - Fraction(7, 999_983)) < Fraction(1, 10**6)


def test_slow_motion_keeps_the_rate_and_stretches_the_times():
    timeline = timeline_of(InputTimes(Fraction(1, 1000), 20, 40, Fraction(25)), 4, stretch=4)
    moments = run(timeline, [20, 60, 101])
    assert timeline.frame_rate == 25
    assert timeline.start_seconds == Fraction(80, 1000)
    assert [m.pts for m in moments] == [
        80, 120, 160, 200, 240, 281, 322, 363, 404, 444, 484, 524,
    ]  # fmt: skip
    assert timeline.time_base == Fraction(1, 1000)


def test_a_time_base_too_fine_to_be_divided_is_kept():
    times = InputTimes(Fraction(1, 10**9), 0, 40_000_000, Fraction(25))
    timeline = timeline_of(times, 8)
    assert timeline.time_base == Fraction(1, 10**9)
    assert [m.pts for m in timeline.between(40_000_000, 80_000_001)][:3] == [
        40_000_000, 45_000_000, 50_000_000,
    ]  # fmt: skip


def test_a_last_frame_that_stands_longer_sets_the_rate():
    timeline = timeline_of(InputTimes(Fraction(1, 1000), 0, 500, Fraction(25)), 2)
    assert timeline.frame_rate == 4


@pytest.mark.parametrize("factor", [4, 1000])
@pytest.mark.parametrize("last", [1, 50_000_007, 2**40 + 1])
def test_the_nominal_rate_is_one_that_ffmpeg_can_say(last: int, factor: int):
    timeline = timeline_of(InputTimes(Fraction(1, 10**9), 0, last, Fraction(25)), factor)
    rate = timeline.frame_rate
    assert max(rate.numerator, rate.denominator) < 2**31
    assert abs(1 / rate - Fraction(last, factor * 10**9)) < Fraction(1, 10**9)
