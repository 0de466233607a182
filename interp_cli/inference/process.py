"""Settings of the whole process, and threads that share the cores.

The library changes nothing that other code of the process could notice. A program that mainly runs
interp calls `tune_process`, as the `interp` command does. It needs no torch.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

Result = TypeVar("Result")

# Parameters of glibc's mallopt (malloc.h).
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8
_MAX_INT = 2**31 - 1

_is_tuned = False
_torch_lock = threading.Lock()


def tune_process() -> None:
    """Set up this process for speed on a CPU. Call it before torch or OpenCV is imported.

    Everything works without it, but slower. Another call changes nothing.

    - `OMP_WAIT_POLICY=passive`, unless it is set: torch's threads sleep while they wait for each
      other. Spinning, they take the cores from the decoder and the encoder: on two cores a short
      clip took 25 s instead of 1.7 s.
    - `OPENCV_LOG_LEVEL=SILENT`, unless it is set: OpenCV's decoders write to stderr.
    - From the first network on a CPU on, the C library keeps freed memory (glibc only).
    - While networks run on a CPU, OpenCV's threads are divided among them.
    """
    global _is_tuned
    _is_tuned = True
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")


def keep_freed_memory() -> None:
    """In a tuned process, have the C library keep freed memory for the next frame.

    By default glibc returns large blocks to the system and gets them back page by page: thousands
    of page faults a frame, a twelfth of its time. One heap serves all threads, because they free
    what others allocated. Other C libraries are left alone.
    """
    if _is_tuned:
        _set_mallopt()


@cache
def _set_mallopt() -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return
    for parameter, value in (
        (_M_ARENA_MAX, 1),
        (_M_MMAP_MAX, 0),
        (_M_TRIM_THRESHOLD, _MAX_INT),
        (_M_TOP_PAD, 64 << 20),
    ):
        mallopt(parameter, value)


@contextlib.contextmanager
def worker_pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that run a network in parallel and share the cores among them.

    One network on several cores waits at the end of each operation for the slowest of them, and an
    encoder that runs meanwhile makes one slow: measured on two cores, it took up to ten times as
    long. Several networks on one core each do not wait for each other.
    """
    import torch

    all_threads = torch.get_num_threads()
    threads = max(1, all_threads // workers)
    pool = ThreadPoolExecutor(workers, "interp-network", _limit_this_thread, (threads,))
    with _opencv_threads.divided(workers) if _is_tuned else contextlib.nullcontext():
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)
            if _is_tuned:
                torch.set_num_threads(all_threads)


def _limit_this_thread(threads: int) -> None:
    """Set the number of torch's threads for work that the calling thread starts.

    `torch.set_num_threads` sets the number for its own thread and for threads that have not used
    torch yet. The latter is set back by one more thread, so that the rest of the process keeps its
    number. In a tuned process `worker_pool` sets it back in the end: with the extra threads,
    `double` was 3% slower on two cores (medians of runs in turns).
    """
    import torch

    with _torch_lock:
        # At its first use of torch, a thread takes over the default: before its own number is set.
        default = torch.get_num_threads()
        if threads != default:
            torch.set_num_threads(threads)
            if not _is_tuned:
                _in_new_thread(lambda: torch.set_num_threads(default))


def _in_new_thread(function: Callable[[], Result]) -> Result:
    found: list[Result] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


class _OpenCVThreads:
    """The number of OpenCV's threads, which holds for the whole process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._original = 0

    @contextlib.contextmanager
    def divided(self, workers: int) -> Iterator[None]:
        """Divide the threads among workers. The last of overlapping users sets them back."""
        import cv2

        with self._lock:
            if not self._users:
                self._original = cv2.getNumThreads()
                cv2.setNumThreads(max(1, self._original // workers))
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    cv2.setNumThreads(self._original)


_opencv_threads = _OpenCVThreads()
