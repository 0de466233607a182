"""What a test has left running: threads of ours and child processes."""

from __future__ import annotations

import gc
import threading
import time
from pathlib import Path

# How long a thread or process that was told to end may take to do so.
GRACE_SECONDS = 60.0

# multiprocessing keeps one of these for the life of the interpreter.
KEPT_PROCESSES = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")


def running() -> dict[object, str]:
    """Threads and child processes that run now, each with a name for a message.

    Daemon threads count, since they too must be joined, and so do children that have ended but
    were not waited for. Without /proc there are no processes in it.
    """
    found: dict[object, str] = {
        thread: f"thread {thread.name}"
        for thread in threading.enumerate()
        # Threads that a library started in C show up when they call into Python.
        if not isinstance(thread, threading._DummyThread)
    }
    for children in Path("/proc/self/task").glob("*/children"):
        try:
            pids = children.read_text().split()
        except OSError:  # a thread that has just ended
            continue
        for pid in map(int, pids):
            try:
                command = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
            except OSError:
                continue
            if not any(kept in command for kept in KEPT_PROCESSES):
                found[pid] = f"process {pid} ({command or 'ended, not waited for'})"
    return found


def left_since(before: dict[object, str], grace_seconds: float = GRACE_SECONDS) -> list[str]:
    """What runs now, was not in `before`, and does not end within the grace."""
    deadline = time.monotonic() + grace_seconds
    while True:
        left = [name for key, name in running().items() if key not in before]
        if not left or time.monotonic() >= deadline:
            return left
        # An object that ends its process when it is collected counts as having ended it.
        gc.collect()
        time.sleep(0.05)
