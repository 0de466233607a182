from fractions import Fraction

import pytest

from interp_cli.cli import progress
from interp_cli.cli.progress import Pace, ProgressStyle, frame_progress


@pytest.fixture
def clock(monkeypatch):
    """The time that bars and lines go by, in seconds."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.strip()


def test_a_line_says_how_far_it_is_and_how_fast(clock, capsys):
    with frame_progress(ProgressStyle.PLAIN, "a.mkv", Fraction(25)) as update:
        for seconds, done in ((1, 5), (2, 10), (20, 100)):
            clock[0] = seconds
            update(done, 1000)
        expected = "a.mkv: 100 of 1000 frames, 5.0 frames/s, 0.20x real time, 3:00 left"
        assert said(capsys) == expected


def test_what_was_done_before_counts_as_done_but_not_as_speed(clock, capsys):
    with frame_progress(ProgressStyle.PLAIN, "a.mkv", resumed=True) as update:
        clock[0] = 30  # passing over them takes time, too
        update(800, 1000)
        assert said(capsys) == "a.mkv: 800 of 1000 frames"
        for seconds, done in ((31, 805), (32, 810), (50, 900)):
            clock[0] = seconds
            update(done, 1000)
        assert said(capsys) == "a.mkv: 900 of 1000 frames, 5.0 frames/s, 0:20 left"


def test_all_of_it_was_done_before(clock, capsys):
    with frame_progress(ProgressStyle.PLAIN, "a.mkv", resumed=True) as update:
        update(1000, 1000)
        assert said(capsys) == "a.mkv: 1000 of 1000 frames"


def test_brackets_in_a_name_are_no_markup(clock, capsys):
    with frame_progress(ProgressStyle.PLAIN, "a [raw][/b].mkv") as update:
        update(10, 10)
        assert said(capsys).startswith("a [raw][/b].mkv: 10 of 10 frames")


def test_the_first_estimate_leaves_out_the_warm_up(clock):
    """The first original is there at once, the first batch of 8 after 20 s, others every 4 s."""
    pace = Pace(Fraction(50))
    pace.add(1)
    assert pace.speed_text() == pace.left_text(1, 401) == ""
    for batch in range(3):
        clock[0] = 20 + 4 * batch
        for frame in range(8):
            pace.add(2 + 8 * batch + frame)
            if batch == 0:
                assert pace.fps is None
    assert pace.fps == pytest.approx(2.0)
    assert pace.speed_text() == "2.0 frames/s, 0.04x real time"
    assert pace.left_text(25, 401) == "3:08 left"


def test_a_fast_job_is_measured_over_many_batches(clock):
    pace = Pace()
    for batch in range(100):
        clock[0] = 3 + batch * 0.1
        for frame in range(8):
            pace.add(1 + 8 * batch + frame)
    assert pace.fps == pytest.approx(80, rel=0.05)


def test_a_slow_job_gets_one_hint(clock, capsys):
    with frame_progress(
        ProgressStyle.PLAIN, "a.mkv", Fraction(50), hint=lambda: "It is slow."
    ) as update:
        for seconds in range(60):
            clock[0] = seconds
            update(1 + seconds, 1000)
    assert said(capsys).splitlines()[0] == "It is slow."
    assert capsys.readouterr().err.count("slow") == 0


@pytest.mark.parametrize(("fps", "total"), [(20, 10_000), (1, 30)])
def test_a_fast_or_a_short_job_gets_none(clock, fps, total):
    pace = Pace(Fraction(50), hint=lambda: "It is slow.")
    for seconds in range(20):
        clock[0] = seconds
        pace.add(1 + fps * seconds)
        assert pace.take_hint(1 + fps * seconds, total) == ""
