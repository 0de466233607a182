"""What FFmpeg's libraries report as errors while PyAV reads a file.

FFmpeg logs many kinds of damage and goes on without an error code. PyAV hands out the log of the
calling thread, and that of all other threads in one list. A decoder with threads of its own logs
from them under its name.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

import av.logging

# PyAV hands out (level, name, text), where the name is that of a demuxer or a decoder.
_Record = tuple[int, str, str]
_T = TypeVar("_T")


class ErrorLog:
    """Collects the errors of one input; a context manager.

        with ErrorLog("h264") as log:
            packet = log.observe(lambda: next(packets))
            print(log.take())

    Logging is switched on while at least one log is open, for errors alone. FFmpeg drops other
    messages before they reach Python, so that an intact file costs nothing.
    """

    _lock = threading.Lock()
    _open: list[ErrorLog] = []  # noqa: RUF012 - shared on purpose
    _others: list[_Record] = []  # noqa: RUF012 - shared on purpose
    _capture: av.logging.Capture | None = None
    _before: tuple[int | None, bool] = (None, True)

    def __init__(self, decoder: str | None, level: int = av.logging.ERROR) -> None:
        """Prepare the log.

        Args:
            decoder: FFmpeg's name of the decoder, if it has threads of its own, whose errors count
                as well; `None`: only what is observed counts.
            level: The least severe level that is collected.
        """
        self._decoder = decoder
        self._level = level
        self._found: list[_Record] = []

    def __enter__(self) -> Self:
        with ErrorLog._lock:
            if not ErrorLog._open:
                ErrorLog._before = (av.logging.get_level(), av.logging.get_skip_repeated())
                av.logging.set_skip_repeated(False)
                ErrorLog._capture = av.logging.Capture(local=False)
                ErrorLog._others = ErrorLog._capture.__enter__()
            ErrorLog._open.append(self)
            self._set_level()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with ErrorLog._lock:
            ErrorLog._open.remove(self)
            if ErrorLog._open:
                self._set_level()
                return
            level, skips_repeated = ErrorLog._before
            av.logging.set_level(level)
            av.logging.set_skip_repeated(skips_repeated)
            if ErrorLog._capture is not None:
                ErrorLog._capture.__exit__(None, None, None)
                ErrorLog._capture = None

    @staticmethod
    def _set_level() -> None:
        before = ErrorLog._before[0]
        levels = [log._level for log in ErrorLog._open] + ([] if before is None else [before])
        av.logging.set_level(max(levels))

    def observe(self, step: Callable[[], _T]) -> _T:
        """Take a step of reading, in any thread, and collect what is logged meanwhile."""
        with av.logging.Capture(local=True) as records:
            try:
                return step()
            finally:
                self._found += [record for record in records if record[0] <= self._level]

    def take(self, name: str = "") -> list[str]:
        """The messages since the last call.

        Args:
            name: The demuxer or decoder whose messages are wanted; empty: all.
        """
        with ErrorLog._lock:
            count = len(ErrorLog._others)  # decoders' threads may add to it meanwhile
            for record in ErrorLog._others[:count]:
                for log in ErrorLog._open:
                    if record[1] == log._decoder and record[0] <= log._level:
                        log._found.append(record)
            del ErrorLog._others[:count]
        found, self._found = self._found, []
        return [text.strip() for _, source, text in found if name in (source, "")]
