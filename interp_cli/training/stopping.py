"""Ctrl-C and SIGTERM end a run after the step in hand."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopping:
    """While entered, the first signal only sets `asked`; a second one acts as usual.

    Attributes:
        asked: Whether a signal came.
    """

    def __init__(self, leads: bool = True) -> None:
        """Prepare to listen.

        Args:
            leads: Whether this process decides; others ignore the signals and follow.
        """
        self.asked = False
        self._leads = leads
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stopping:
        # Python hands signals to the main thread only.
        if threading.current_thread() is threading.main_thread():
            handler = self._ask if self._leads else signal.SIG_IGN
            self._before = {number: signal.signal(number, handler) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        self._restore()

    def _restore(self) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before = {}
