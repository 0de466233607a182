"""Signals that stop a run: Ctrl-C, SIGTERM and SIGHUP."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from interp_cli.forced_exit import stop_requests

STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class StopSignal:
    """Turns the first signal into a request to stop; a second one acts as usual.

    Attributes:
        requested: Whether a signal came.
    """

    def __init__(self, is_main: bool = True) -> None:
        """Prepare to listen.

        Args:
            is_main: Whether this process decides. Others ignore the signals and follow.
        """
        self.requested = False
        self._is_main = is_main
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignal:
        stop_requests.expect()
        # Python passes signals to the main thread only.
        if threading.current_thread() is threading.main_thread():
            handler = self._request if self._is_main else signal.SIG_IGN
            self._before = {number: signal.signal(number, handler) for number in STOP_SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        stop_requests.expect_none()
        self._restore()

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        self._restore()

    def _restore(self) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before = {}
