"""Estimates of a run: one clock for what is done and what is left, without the warm-up."""

import math
from dataclasses import replace

import pytest

from interp_cli.training.options import flow_preset
from interp_cli.training.progress import ProgressReport, RunClock


class Clock:
    def __init__(self):
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def now() -> Clock:
    return Clock()


def options_for(**length):
    return replace(flow_preset(), batch=4, validate_minutes=5.0, **{"minutes": None, **length})


def step(report: ProgressReport, now: Clock, seconds: float) -> None:
    now.seconds += seconds
    report.add({"loss": 1.0}, seconds)


def test_the_first_step_is_no_basis(now):
    options = options_for(steps=100)
    report = ProgressReport(options, RunClock(options, 0.0, now))
    now.seconds = 30  # start-up
    step(report, now, 20)
    first = report.at(1, 1e-4)
    assert (first.fraction, first.triplets_per_second) == (0.01, 0)
    assert math.isinf(first.seconds_left)
    step(report, now, 2)
    second = report.at(2, 1e-4)
    assert second.triplets_per_second == pytest.approx(2)
    assert second.seconds_left == pytest.approx(98 * 2)


def test_validations_on_the_way_count(now):
    options = options_for(steps=1000)
    clock = RunClock(options, 0.0, now)
    report = ProgressReport(options, clock)
    step(report, now, 9)
    step(report, now, 1)
    clock.validated(seconds=40)
    # Of 998 s of steps, validations after 300, 600 and 900, and one at the end.
    assert report.at(2, 1e-4).seconds_left == pytest.approx(998 + 4 * 40)


def test_what_is_done_and_what_is_left_follow_one_clock(now):
    """A first step may take all of the minutes: then it was "0.0%" with no time left."""
    options = options_for(minutes=2.0)
    clock = RunClock(options, 0.0, now)
    report = ProgressReport(options, clock)
    clock.agreed_minutes = clock.minutes()
    step(report, now, 60)
    halfway = report.at(1, 1e-4)
    assert (halfway.fraction, halfway.seconds_left) == (0.5, 60)
    step(report, now, 90)
    over = report.at(2, 1e-4)
    assert (over.fraction, over.seconds_left) == (1, 0)
    clock.validated(seconds=15)  # one more follows
    assert report.at(2, 1e-4).seconds_left == 15


def test_earlier_sessions_count(now):
    options = options_for(minutes=10.0)
    clock = RunClock(options, 4.0, now)
    now.seconds = 60
    assert (clock.minutes(), clock.fraction_now(3)) == (5, 0.5)
    assert clock.fraction_at(3) == 0.4  # as all processes agreed at the last step
