from fractions import Fraction

import pytest

from interp_cli.cli import render
from interp_cli.cli.render import ProgressStyle, frame_progress


@pytest.fixture
def clock(monkeypatch):
    """The time that bars and lines go by, in seconds."""
    now = [0.0]
    monkeypatch.setattr(render.time, "monotonic", lambda: now[0])
    return now


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.strip()


def test_a_line_says_how_far_it_is_and_how_fast(clock, capsys):
    with frame_progress(ProgressStyle.PLAIN, "a.mkv", Fraction(25)) as update:
        clock[0] = 20
        update(100, 1000)
        assert said(capsys) == "a.mkv: 100 of 1000 frames, 5.0 frames/s (0.20x), 180 s left"


def test_what_was_done_before_counts_as_done_but_not_as_speed(clock, capsys):
    with frame_progress(ProgressStyle.PLAIN, "a.mkv", resumed=True) as update:
        clock[0] = 30  # passing over them takes time, too
        update(800, 1000)
        assert said(capsys) == "a.mkv: 800 of 1000 frames"
        clock[0] = 50
        update(900, 1000)
        assert said(capsys) == "a.mkv: 900 of 1000 frames, 5.0 frames/s, 20 s left"


def test_all_of_it_was_done_before(clock, capsys):
    with frame_progress(ProgressStyle.PLAIN, "a.mkv", resumed=True) as update:
        update(1000, 1000)
        assert said(capsys) == "a.mkv: 1000 of 1000 frames"


def test_brackets_in_a_name_are_no_markup(clock, capsys):
    with frame_progress(ProgressStyle.PLAIN, "a [raw][/b].mkv") as update:
        update(10, 10)
        assert said(capsys).startswith("a [raw][/b].mkv: 10 of 10 frames")
