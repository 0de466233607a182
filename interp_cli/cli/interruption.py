"""Ctrl-C and its like: the command ends within a second or two, whatever it is doing.

The first signal raises `KeyboardInterrupt` in the main thread, which leaves its blocks in order. A
thread of its own hears of the signal at once. If the main thread has not ended within a second, as
when a network computes or a read waits for ever, that thread does what must not be left undone
(`interp_cli.forced_exit`) and ends the process. A second signal does not wait for that second.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from interp_cli import forced_exit
from interp_cli.cli.messages import with_flags

INTERRUPTED = 130  # what a shell reports after Ctrl-C: 128 and SIGINT
_GRACE_SECONDS = 1.0
# Frames that are kept must be on the disk first; a drive that never answers must not hold us.
_FORCED_SECONDS = 20.0
_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


# Held from then on by the thread that says what an interruption has left.
_saying = threading.Lock()


def is_first_to_say() -> bool:
    """Whether nobody has said yet what an interruption has left; the caller now does."""
    return _saying.acquire(blocking=False)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """End the process soon after a signal. Signals that are ignored already stay ignored.

    For the main thread. After a signal, the watch goes on until the process has ended, since
    threads may keep it alive that long.
    """
    if _saying.locked():  # by an earlier command in this process
        _saying.release()
    watch = _Watch()
    before = watch.start()
    try:
        yield
    finally:
        watch.leave(before)


class _Watch:
    """The thread that hears of signals, and the handler that interrupts the main thread."""

    def __init__(self) -> None:
        self._hears, self._tells = socket.socketpair()
        self._tells.setblocking(False)
        self._thread = threading.Thread(target=self._watch, name="interp-signals", daemon=True)
        self._has_interrupted = False
        self._is_forced = False

    def start(self) -> dict[int, Any]:
        """Start to listen; returns the handlers that were there before."""
        heard = [n for n in _SIGNALS if signal.getsignal(n) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._interrupt) for number in heard}
        signal.set_wakeup_fd(self._tells.fileno(), warn_on_full_buffer=False)
        self._thread.start()
        return before

    def leave(self, before: dict[int, Any]) -> None:
        """Stop listening, unless there was a signal."""
        if self._is_forced:
            threading.Event().wait()  # the process ends meanwhile, and with its own exit code
        if self._has_interrupted:
            return
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(-1)
        self._tells.close()
        self._thread.join()
        self._hears.close()

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        """Interrupt the main thread once; a second time could break off the clearing up."""
        if not self._has_interrupted:
            self._has_interrupted = True
            raise KeyboardInterrupt

    def _watch(self) -> None:
        """Body of the thread."""
        if not self._hears_signal(None):
            return
        with contextlib.suppress(TimeoutError):
            self._hears_signal(_GRACE_SECONDS)
        self._is_forced = True
        ending = threading.Thread(target=_clear_up, name="interp-clear-up", daemon=True)
        ending.start()
        ending.join(_FORCED_SECONDS)
        os._exit(INTERRUPTED)

    def _hears_signal(self, timeout_seconds: float | None) -> bool:
        """Wait for a signal that is to end the process; `False`: nobody listens any more.

        Raises:
            TimeoutError: There was none in time.
        """
        self._hears.settimeout(timeout_seconds)
        while byte := self._hears.recv(1):  # the number of a signal
            if byte[0] in _SIGNALS and not forced_exit.stop_requests.take():
                return True
        return False


def _clear_up() -> None:
    """Make safe what can be kept, remove what cannot, end other processes, and say so."""
    is_first = is_first_to_say()
    notes = forced_exit.run_all() or ["stopped."]
    if not is_first:
        return
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr.isatty():
            sys.stderr.write("\x1b[?25h\r\n")  # the cursor, which a progress bar hides
        for note in notes:
            sys.stderr.write(with_flags(note) + "\n")
        sys.stderr.flush()
