"""Progress on stderr, with speed and time left: a bar on terminals, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from enum import StrEnum
from fractions import Fraction

from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn, TextColumn
from rich.table import Column
from rich.text import Text

from interp_cli.cli.render import console, say

# Pause between plain lines of progress.
PLAIN_LINE_SECONDS = 10.0
# Pause between two measurements of the speed. A batch of frames comes out at once, so frames are
# only counted from the beginning of one batch to the beginning of another.
_SAMPLE_SECONDS = 0.5
# Below this fraction of real time, with this much left, a hint is worth its line.
_SLOW, _LONG_SECONDS = 0.25, 60.0


class ProgressStyle(StrEnum):
    """How progress is shown; `auto` is a bar on a terminal and plain lines elsewhere."""

    AUTO = "auto"
    PLAIN = "plain"
    OFF = "off"


Update = Callable[[int, int | None], None]
Label = Callable[[str, Fraction | None, bool], AbstractContextManager[Update | None]]


@contextmanager
def frame_progress(
    style: ProgressStyle,
    label: str,
    real_time: Fraction | None = None,
    resumed: bool = False,
    hint: Callable[[], str] | None = None,
) -> Iterator[Update | None]:
    """Give a `progress(done, total)` callback that shows frames, speed and time left.

    Args:
        style: Bar, plain lines or nothing.
        label: What is being done.
        real_time: Speed, in frames per second, at which the work would take as long as the video
            plays; `None`: unknown.
        resumed: Whether the first call reports frames of an earlier run, which count as done but
            not for the speed.
        hint: Gives a line to show once if the work is far slower than real time; an empty one is
            not shown.
    """
    pace = Pace(real_time, resumed=resumed, hint=hint)
    if style is ProgressStyle.OFF:
        yield None
    elif style is ProgressStyle.AUTO and console.is_terminal:
        with _bars() as bars, _task(bars, label, pace) as update:
            yield update
    else:
        yield _plain(label, pace)


@contextmanager
def batch_progress(
    style: ProgressStyle, total: int, hint: Callable[[], str] | None = None
) -> Iterator[Label]:
    """Give what `frame_progress` is for one file, below a bar for all files.

    Args:
        style: Bars, plain lines or nothing.
        total: Number of files.
        hint: As in `frame_progress`.
    """
    if style is not ProgressStyle.AUTO or not console.is_terminal:
        yield lambda label, real_time, resumed: frame_progress(
            style, label, real_time, resumed, hint
        )
        return
    with _bars() as bars:
        every = bars.add_task("all", total=total, unit="videos", speed="")

        @contextmanager
        def one(label: str, real_time: Fraction | None, resumed: bool) -> Iterator[Update]:
            try:
                pace = Pace(real_time, resumed=resumed, hint=hint)
                with _task(bars, label, pace) as update:
                    yield update
            finally:
                bars.advance(every)

        yield one


class Pace:
    """How fast frames are made, once the network has warmed up.

    The first sample is not used: the first frames wait for the network to be loaded and warmed up.
    """

    def __init__(
        self,
        real_time: Fraction | None = None,
        *,
        resumed: bool = False,
        hint: Callable[[], str] | None = None,
    ) -> None:
        """Begin to measure; see `frame_progress` for the arguments."""
        self._real_time = real_time
        self._is_first_earlier = resumed
        self._hint = hint
        self._samples = 0
        self._sampled_seconds = float("-inf")
        self._base: tuple[float, int] | None = None
        self._fps: float | None = None

    def add(self, done: int) -> None:
        """Take note of the number of frames done so far."""
        now = time.monotonic()
        if self._is_first_earlier:
            self._is_first_earlier = False
            return
        if now - self._sampled_seconds < _SAMPLE_SECONDS:
            return
        self._samples += 1
        self._sampled_seconds = now
        if self._base is None:
            if self._samples > 1:
                self._base = now, done
            return
        begun, before = self._base
        self._fps = (done - before) / (now - begun)

    @property
    def fps(self) -> float | None:
        """Frames per second; `None` until there is a basis."""
        return self._fps

    def speed_text(self) -> str:
        """The speed, also as a fraction of real time; empty until there is a basis."""
        return "" if not self._fps else fps_text(self._fps, self._real_time)

    def left_text(self, done: int, total: int | None) -> str:
        """The time left; empty until there is a basis."""
        seconds = self._seconds_left(done, total)
        return "" if seconds is None else f"{_clock_text(seconds)} left"

    def take_hint(self, done: int, total: int | None) -> str:
        """The hint, once, if the work is slow and will take long."""
        seconds = self._seconds_left(done, total)
        if self._hint is None or seconds is None or not self._fps or not self._real_time:
            return ""
        if self._fps >= _SLOW * self._real_time or seconds < _LONG_SECONDS:
            return ""
        hint, self._hint = self._hint(), None
        return hint

    def _seconds_left(self, done: int, total: int | None) -> float | None:
        return max(0, total - done) / self._fps if total and self._fps else None


def fps_text(fps: float, real_time: Fraction | None) -> str:
    """A speed, such as `5.0 frames/s, 0.20x real time`."""
    times = f", {fps / float(real_time):.2f}x real time" if real_time else ""
    return f"{fps:.1f} frames/s{times}"


class _Count(ProgressColumn):
    """Frames done, of how many, and their unit."""

    def render(self, task: Task) -> Text:
        total = "" if task.total is None else f"/{task.total:.0f}"
        return Text(f"{task.completed:.0f}{total} {task.fields['unit']}")


def _bars() -> Progress:
    return Progress(
        TextColumn(
            "[bold]{task.description}",
            table_column=Column(no_wrap=True, overflow="ellipsis", max_width=24),
        ),
        BarColumn(10),
        TaskProgressColumn(),
        _Count(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[speed]}", table_column=Column(no_wrap=True)),
        console=console,
        transient=True,
    )


@contextmanager
def _task(bars: Progress, label: str, pace: Pace) -> Iterator[Update]:
    task = bars.add_task(escape(label), total=None, unit="frames", speed="")

    def update(done: int, total: int | None) -> None:
        pace.add(done)
        # A file's announced count may be an estimate; a bar never runs past its end.
        total = max(total, done) if total else None
        speed = ", ".join(filter(None, (pace.speed_text(), pace.left_text(done, total))))
        speed = speed.replace(" frames/s", "/s")  # the count has the unit
        bars.update(task, completed=done, total=total, speed=speed)
        if hint := pace.take_hint(done, total):
            say(escape(hint))

    try:
        yield update
    finally:
        bars.remove_task(task)


def _plain(label: str, pace: Pace) -> Update:
    label = escape(label)
    last = time.monotonic()

    def update(done: int, total: int | None) -> None:
        nonlocal last
        pace.add(done)
        if hint := pace.take_hint(done, total):
            say(escape(hint))
        now = time.monotonic()
        if now - last < PLAIN_LINE_SECONDS and done != total:
            return
        last = now
        count = f"{done} of {total} frames" if total else f"{done} frames"
        parts = (f"{label}: {count}", pace.speed_text(), pace.left_text(done, total))
        say(", ".join(filter(None, parts)))

    return update


def _clock_text(seconds: float) -> str:
    """A duration as a clock shows it: `0:42`, `1:05:00`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
