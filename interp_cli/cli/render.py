"""What the terminal shows: messages on stderr, results on stdout."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import traceback
from dataclasses import asdict, is_dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.containers import Lines
from rich.markup import escape
from rich.text import Text

from interp_cli.cli.messages import with_flags

# Messages and progress; results go to stdout through `results`.
console = Console(stderr=True, highlight=False)
results = Console(highlight=False)

# Fields of results that hold messages for people.
_MESSAGES = ("notes", "warnings")


def print_json(value: Any, *, on_stdout: bool = True) -> None:
    """One JSON value on stdout (or stderr); dataclasses, paths and fractions become plain."""
    content = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    stream = sys.stdout if on_stdout else sys.stderr
    stream.write(json.dumps(_messages_with_flags(content), default=_plain_value, indent=2) + "\n")


def say(text: str, to: Console = console) -> None:
    """Show a text: on terminals broken between words only, elsewhere in one line.

    A path or a command thus stays whole, and can be copied.

    Args:
        text: What to show, in rich's markup.
        to: `console` for messages, `results` for results.
    """
    for line in Text.from_markup(text).split("\n"):
        for part in _broken(line, to.width) if to.is_terminal else (line,):
            to.print(part, soft_wrap=True)


def _broken(line: Text, width: int) -> Lines:
    """Parts of at most `width` characters, except for words that are longer."""
    places, start = [], 0
    for word in re.finditer(r"\S+", line.plain):
        if word.end() - start > width and word.start() > start:
            start = word.start()
            places.append(start)
    parts = line.divide(places)
    for part in parts:
        part.rstrip()
    return parts


def warn(text: str) -> None:
    """Show a warning of the library."""
    say(f"[yellow]warning:[/] {escape(with_flags(text))}")


def error_text(error: BaseException) -> str:
    """An error and its notes in one line."""
    text = _system_text(error) if isinstance(error, OSError) else str(error)
    return with_flags(" ".join((text, *getattr(error, "__notes__", ()))))


def _system_text(error: OSError) -> str:
    """What the system refused, and why."""
    reason = error.strerror or str(error) or type(error).__name__
    if error.filename is not None:
        return f"{os.fsdecode(str(error.filename))}: {reason}."
    if isinstance(error, FileNotFoundError):  # of all calls, the one that has no name to tell
        return f"the current folder cannot be found any more ({reason})."
    return f"the system refused it: {reason}."


def say_error(error: BaseException) -> None:
    """Show an error; if `INTERP_DEBUG` is set, its traceback first."""
    with contextlib.suppress(OSError):  # stderr may be what fails
        if os.environ.get("INTERP_DEBUG"):
            traceback.print_exception(error)
        say(f"[red]error:[/] {escape(error_text(error))}")


def size_text(size_bytes: int) -> str:
    """A file's size as people read it: `3.4 MB`."""
    size = float(size_bytes)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


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
