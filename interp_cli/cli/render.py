"""What the terminal shows: bars and notes on stderr, results on stdout."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Any

from rich.console import Console
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


@contextmanager
def frame_progress(
    style: ProgressStyle, label: str, frame_rate: Fraction | None = None
) -> Iterator[Callable[[int, int | None], None] | None]:
    """Give a `progress(done, total)` callback that shows frames, speed and time left.

    Args:
        style: Bar, plain lines or nothing.
        label: What is being done.
        frame_rate: The input's rate, for the speed as a multiple of real time.
    """
    if style is ProgressStyle.OFF:
        yield None
    elif style is ProgressStyle.AUTO and console.is_terminal:
        with _bar(label, frame_rate) as update:
            yield update
    else:
        yield _plain(label, frame_rate)


def print_json(value: Any) -> None:
    """One JSON object on stdout; dataclasses, paths and fractions become plain values."""
    content = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    sys.stdout.write(json.dumps(content, default=_plain_value, indent=2) + "\n")


def size_text(size_bytes: int) -> str:
    """A file's size for people: `3.4 MB`."""
    size = float(size_bytes)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


@contextmanager
def _bar(label: str, frame_rate: Fraction | None) -> Iterator[Callable[[int, int | None], None]]:
    columns = [
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TextColumn("frames"),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    ]
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(label, total=None, speed="")
        begun = time.monotonic()

        def update(done: int, total: int | None) -> None:
            speed = _speed_text(done, time.monotonic() - begun, frame_rate)
            # A file's announced count may be an estimate; a bar never runs past its end.
            bars.update(
                task, completed=done, total=max(total, done) if total else None, speed=speed
            )

        yield update


def _plain(label: str, frame_rate: Fraction | None) -> Callable[[int, int | None], None]:
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
