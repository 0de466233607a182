"""Memory of this process, its child processes and a GPU while something runs."""

from __future__ import annotations

import contextlib
import re
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch

__all__ = ["MemorySample", "MemoryWatch"]

_PROCESS = Path("/proc/self")


@dataclass(frozen=True, slots=True)
class MemorySample:
    """Resident memory at one moment.

    Attributes:
        seconds: Time since the watch began.
        host_bytes: Memory of this process.
        children_bytes: Memory of the programs that it started and that were running.
    """

    seconds: float
    host_bytes: int
    children_bytes: int


class MemoryWatch:
    """Samples memory in a thread, on Linux. Other systems report peaks only.

        with MemoryWatch(device) as watch:
            ...
        watch.host_bytes

    Attributes:
        samples: Samples over time; empty where there is no `/proc`.
        host_bytes: Peak of this process within the block, without `/proc` since its start; `None`
            where the system does not report it.
        children_bytes: Peak of all child processes together, each with its own peak so far;
            without `/proc` the peak of the largest one since the start.
        device_bytes: Peak of the memory that torch reserved on a CUDA device; `None` on others.
    """

    def __init__(self, device: torch.device | None = None, every_seconds: float = 0.02) -> None:
        """Prepare a watch, which begins with the block.

        Args:
            device: Device whose memory is watched as well, if it is a CUDA device.
            every_seconds: Interval between samples.
        """
        self.samples: list[MemorySample] = []
        self.host_bytes: int | None = None
        self.children_bytes: int | None = None
        self.device_bytes: int | None = None
        self._cuda = device if device is not None and device.type == "cuda" else None
        self._every_seconds = every_seconds
        self._children_peak = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="interp-memory")

    def __enter__(self) -> Self:
        if self._cuda is not None:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self._cuda)
        with contextlib.suppress(OSError):  # 5: forget the peak
            (_PROCESS / "clear_refs").write_text("5")
        if (_PROCESS / "status").exists():
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._cuda is not None:
            self.device_bytes = torch.cuda.max_memory_reserved(self._cuda)
        if self._thread.ident is None:
            self.host_bytes, self.children_bytes = _usage(), _usage(children=True)
            return
        self._thread.join()
        # The kernel counts roughly, so that a sample may lie above its peak.
        resident = [sample.host_bytes for sample in self.samples]
        self.host_bytes = max(_status(_PROCESS)["VmHWM"], *resident)
        self.children_bytes = self._children_peak

    def _watch(self) -> None:
        begun = time.monotonic()
        while True:
            children = list(_children())
            self._children_peak = max(self._children_peak, sum(c["VmHWM"] for c in children))
            self.samples.append(
                MemorySample(
                    time.monotonic() - begun,
                    _status(_PROCESS)["VmRSS"],
                    sum(child["VmRSS"] for child in children),
                )
            )
            if self._stop.wait(self._every_seconds):
                return


def _children() -> Iterator[dict[str, int]]:
    for listing in _PROCESS.glob("task/*/children"):
        with contextlib.suppress(OSError):  # a thread that has just ended
            for pid in listing.read_text().split():
                with contextlib.suppress(OSError):
                    child = Path("/proc", pid)
                    # Until it starts another program, a new process shares our memory.
                    if (child / "exe").readlink() != (_PROCESS / "exe").readlink():
                        yield _status(child)


def _status(process: Path) -> dict[str, int]:
    """Resident bytes of a process now and at its peak; 0 for one that has ended."""
    text = (process / "status").read_text()
    rows = re.findall(r"^(VmHWM|VmRSS):\s*(\d+)", text, re.MULTILINE)
    return {"VmHWM": 0, "VmRSS": 0, **{name: int(kib) << 10 for name, kib in rows}}


def _usage(*, children: bool = False) -> int | None:
    """The peak of this process or of its largest child, as the system reports it."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    who = resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF
    return resource.getrusage(who).ru_maxrss << (0 if sys.platform == "darwin" else 10)
