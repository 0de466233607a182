"""What is done before the process ends at once, without leaving its blocks.

A network may compute for many seconds and a read may never return, and Python interrupts neither.
A program that must end all the same calls `run_all` in another thread, then `os._exit`. Nothing
here ends the process.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable

__all__ = ["Registry", "cancel_all", "register", "run_all", "stop_requests"]


class Registry:
    """Methods to call, the last registered first. They are held weakly and die with their object.

    A method must not raise in normal use, may be called while other threads use the object, and
    may return a sentence that the user should read.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._methods: list[weakref.WeakMethod[Callable[[], object]]] = []

    def register(self, method: Callable[[], object]) -> None:
        """Have a bound method called before a forced exit, as long as its object exists."""
        with self._lock:
            self._methods = [known for known in self._methods if known() is not None]
            self._methods.append(weakref.WeakMethod(method))

    def cancel_all(self) -> None:
        """Forget every method: the blocks that they belong to were left as usual."""
        with self._lock:
            self._methods.clear()

    def run_all(self) -> list[str]:
        """Call every method once, also after one that fails.

        Returns:
            The sentences for the user.
        """
        said: list[str] = []
        while True:
            with self._lock:
                if not self._methods:
                    return said
                method = self._methods.pop()()
            if method is None:
                continue
            try:
                result = method()
            except Exception:  # noqa: BLE001 - the others are still to be called
                continue
            if isinstance(result, str):
                said.append(result)


class StopRequests:
    """Signals that ask for an orderly end, so that they are no reason to force one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._expected = 0

    def expect(self) -> None:
        """Say that the next signal is handled by stopping in order."""
        with self._lock:
            self._expected = 1

    def expect_none(self) -> None:
        """Say that the next signal is to end the process."""
        with self._lock:
            self._expected = 0

    def take(self) -> bool:
        """Whether the signal that has just come was expected; the next one is not."""
        with self._lock:
            taken, self._expected = bool(self._expected), 0
        return taken


_registry = Registry()
register, cancel_all, run_all = _registry.register, _registry.cancel_all, _registry.run_all
stop_requests = StopRequests()
