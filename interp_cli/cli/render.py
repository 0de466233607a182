"""What the terminal shows: bars and notes on stderr, results on stdout."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, is_dataclass
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

# Messages and bars; results go to stdout through `results`.
console = Console(stderr=True, highlight=False)
results = Console(highlight=False)

# Pause between plain lines of progress.
PLAIN_LINE_SECONDS = 10.0


class ProgressStyle(StrEnum):
    """How progress is shown; `auto` is a bar on a terminal and plain lines elsewhere."""

    AUTO = "auto"
    PLAIN = "plain"
    OFF = "off"


Update = Callable[[int, int | None], None]
Label = Callable[[str, Fraction | None], AbstractContextManager[Update | None]]


@contextmanager
def frame_progress(
    style: ProgressStyle, label: str, frame_rate: Fraction | None = None
) -> Iterator[Update | None]:
    """Give a `progress(done, total)` callback that shows frames, speed and time left.

    Args:
        style: Bar, plain lines or nothing.
        label: What is being done.
        frame_rate: The input's rate, for the speed as a multiple of real time.
    """
    if style is ProgressStyle.OFF:
        yield None
    elif style is ProgressStyle.AUTO and console.is_terminal:
        with _bars() as bars, _task(bars, label, frame_rate) as update:
            yield update
    else:
        yield _plain(label, frame_rate)


@contextmanager
def batch_progress(style: ProgressStyle, total: int) -> Iterator[Label]:
    """Give what `frame_progress` is for one file, below a bar for all files.

    Args:
        style: Bars, plain lines or nothing.
        total: Number of files.
    """
    if style is not ProgressStyle.AUTO or not console.is_terminal:
        yield lambda label, frame_rate: frame_progress(style, label, frame_rate)
        return
    with _bars() as bars:
        every = bars.add_task("all", total=total, unit="videos", speed="")

        @contextmanager
        def one(label: str, frame_rate: Fraction | None) -> Iterator[Update]:
            try:
                with _task(bars, label, frame_rate) as update:
                    yield update
            finally:
                bars.advance(every)

        yield one


def print_json(value: Any, *, on_stdout: bool = True) -> None:
    """One JSON object on stdout (or stderr); dataclasses, paths and fractions become plain."""
    content = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    stream = sys.stdout if on_stdout else sys.stderr
    stream.write(json.dumps(content, default=_plain_value, indent=2) + "\n")


def error_text(error: BaseException) -> str:
    """An error in one line, with what was noted on it."""
    return " ".join((str(error), *getattr(error, "__notes__", ())))


def size_text(size_bytes: int) -> str:
    """A file's size for people: `3.4 MB`."""
    size = float(size_bytes)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def _bars() -> Progress:
    return Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


@contextmanager
def _task(bars: Progress, label: str, frame_rate: Fraction | None) -> Iterator[Update]:
    task = bars.add_task(escape(label), total=None, unit="frames", speed="")
    begun = time.monotonic()

    def update(done: int, total: int | None) -> None:
        speed = _speed_text(done, time.monotonic() - begun, frame_rate)
        # A file's announced count may be an estimate; a bar never runs past its end.
        bars.update(task, completed=done, total=max(total, done) if total else None, speed=speed)

    try:
        yield update
    finally:
        bars.remove_task(task)


def _plain(label: str, frame_rate: Fraction | None) -> Update:
    begun = time.monotonic()
    last = begun

    def update(done: int, total: int | None) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < PLAIN_LINE_SECONDS and done != total:
            return
        last = now
        elapsed = now - begun
        left = f", {elapsed / done * max(0, total - done):.0f} s left" if total else ""
        of_total = f" of {total}" if total else ""
        speed = _speed_text(done, elapsed, frame_rate)
        console.print(f"{label}: {done}{of_total} frames, {speed}{left}", soft_wrap=True)

    return update


def _speed_text(done: int, seconds: float, frame_rate: Fraction | None) -> str:
    """Input frames a second, and how that compares with watching the video."""
    fps = done / max(seconds, 1e-6)
    return f"{fps:.1f} frames/s" + (f" ({fps / float(frame_rate):.2f}x)" if frame_rate else "")


def _plain_value(value: Any) -> Any:
    if isinstance(value, Path | Fraction):
        return str(value)
    raise TypeError(f"no JSON for {type(value).__name__}")
