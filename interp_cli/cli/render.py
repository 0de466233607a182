"""What the terminal shows: bars and notes on stderr, results on stdout."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
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

from interp_cli.cli.messages import with_flags

# Messages and bars; results go to stdout through `results`.
console = Console(stderr=True, highlight=False)
results = Console(highlight=False)

# Fields of results that hold messages for people.
_MESSAGES = ("notes", "warnings")
# Pause between plain lines of progress.
PLAIN_LINE_SECONDS = 10.0


class ProgressStyle(StrEnum):
    """How progress is shown; `auto` is a bar on a terminal and plain lines elsewhere."""

    AUTO = "auto"
    PLAIN = "plain"
    OFF = "off"


Update = Callable[[int, int | None], None]
Label = Callable[[str, Fraction | None, bool], AbstractContextManager[Update | None]]


@contextmanager
def frame_progress(
    style: ProgressStyle, label: str, frame_rate: Fraction | None = None, resumed: bool = False
) -> Iterator[Update | None]:
    """Give a `progress(done, total)` callback that shows frames, speed and time left.

    Args:
        style: Bar, plain lines or nothing.
        label: What is being done.
        frame_rate: The input's rate, for the speed as a multiple of real time.
        resumed: The first call says what was done before, which counts as done and not as speed.
    """
    pace = _Pace(frame_rate, resumed=resumed)
    if style is ProgressStyle.OFF:
        yield None
    elif style is ProgressStyle.AUTO and console.is_terminal:
        with _bars() as bars, _task(bars, label, pace) as update:
            yield update
    else:
        yield _plain(label, pace)


@contextmanager
def batch_progress(style: ProgressStyle, total: int) -> Iterator[Label]:
    """Give what `frame_progress` is for one file, below a bar for all files.

    Args:
        style: Bars, plain lines or nothing.
        total: Number of files.
    """
    if style is not ProgressStyle.AUTO or not console.is_terminal:
        yield lambda label, frame_rate, resumed: frame_progress(style, label, frame_rate, resumed)
        return
    with _bars() as bars:
        every = bars.add_task("all", total=total, unit="videos", speed="")

        @contextmanager
        def one(label: str, frame_rate: Fraction | None, resumed: bool) -> Iterator[Update]:
            try:
                with _task(bars, label, _Pace(frame_rate, resumed=resumed)) as update:
                    yield update
            finally:
                bars.advance(every)

        yield one


def print_json(value: Any, *, on_stdout: bool = True) -> None:
    """One JSON value on stdout (or stderr); dataclasses, paths and fractions become plain."""
    content = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    stream = sys.stdout if on_stdout else sys.stderr
    stream.write(json.dumps(_messages_with_flags(content), default=_plain_value, indent=2) + "\n")


def warn(text: str) -> None:
    """Show a warning of the library."""
    console.print(f"[yellow]warning:[/] {escape(with_flags(text))}", soft_wrap=True)


def error_text(error: BaseException) -> str:
    """An error and its notes in one line."""
    return with_flags(" ".join((str(error), *getattr(error, "__notes__", ()))))


def say_error(error: BaseException) -> None:
    """Say what failed in one line; where `INTERP_DEBUG` is set, after its traceback."""
    if os.environ.get("INTERP_DEBUG"):
        traceback.print_exception(error)
    console.print(f"[red]error:[/] {escape(error_text(error))}", soft_wrap=True)


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


class _Pace:
    """How fast frames are done in this sitting."""

    def __init__(self, frame_rate: Fraction | None, *, resumed: bool) -> None:
        self._frame_rate = frame_rate
        self._before = None if resumed else 0
        self._begun = time.monotonic()

    def fps(self, done: int) -> float | None:
        """Frames of the input a second; `None` as long as there are none of this sitting."""
        now = time.monotonic()
        if self._before is None:
            self._before, self._begun = done, now
        made = done - self._before
        return made / max(now - self._begun, 1e-6) if made else None

    def text(self, fps: float) -> str:
        """A speed, and how it compares with watching the video."""
        times = f" ({fps / float(self._frame_rate):.2f}x)" if self._frame_rate else ""
        return f"{fps:.1f} frames/s{times}"


@contextmanager
def _task(bars: Progress, label: str, pace: _Pace) -> Iterator[Update]:
    task = bars.add_task(escape(label), total=None, unit="frames", speed="")

    def update(done: int, total: int | None) -> None:
        fps = pace.fps(done)
        speed = pace.text(fps) if fps else ""
        # A file's announced count may be an estimate; a bar never runs past its end.
        bars.update(task, completed=done, total=max(total, done) if total else None, speed=speed)

    try:
        yield update
    finally:
        bars.remove_task(task)


def _plain(label: str, pace: _Pace) -> Update:
    label = escape(label)
    last = time.monotonic()

    def update(done: int, total: int | None) -> None:
        nonlocal last
        fps = pace.fps(done)
        now = time.monotonic()
        if now - last < PLAIN_LINE_SECONDS and done != total:
            return
        last = now
        said = [f"{label}: {done} of {total} frames" if total else f"{label}: {done} frames"]
        if fps:
            said.append(pace.text(fps))
            if total:
                said.append(f"{max(0, total - done) / fps:.0f} s left")
        console.print(", ".join(said), soft_wrap=True)

    return update


def _messages_with_flags(content: Any) -> Any:
    """Replace options by flags in the library's messages; everything else is data."""
    if isinstance(content, list | tuple):
        return [_messages_with_flags(item) for item in content]
    if not isinstance(content, dict):
        return content
    return {
        key: [with_flags(text) for text in value]
        if key in _MESSAGES and isinstance(value, list | tuple)
        else _messages_with_flags(value)
        for key, value in content.items()
    }


def _plain_value(value: Any) -> Any:
    if isinstance(value, Path | Fraction):
        return str(value)
    raise TypeError(f"no JSON for {type(value).__name__}")
