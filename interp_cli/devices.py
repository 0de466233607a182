"""What a device's name means, and which arithmetic it is fast in; shared by use and training."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import cache

import cv2
import torch

from interp_cli.errors import ResourceError
from interp_cli.options import Precision, require_device

# Parameters of glibc's mallopt (malloc.h).
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def parse_device(name: str) -> torch.device:
    """The device that a name means, whether or not it is here.

    Args:
        name: `cpu`, `cuda`, `cuda:N` or `mps`; `auto` means CUDA, else Apple's GPU, else the CPU.

    Raises:
        ValueError: It is no such name.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    require_device(name)
    return torch.device(name)


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Compute in a settled precision (not `auto`); it can be entered again and again."""
    return torch.autocast(device.type, DTYPES[precision], enabled=precision != "fp32")


def cpu_has_bf16() -> bool:
    """Whether the CPU has instructions for bfloat16.

    Without them it is emulated: measured, a convolution took fifty times as long as in float32,
    and a training step of `fusion` thirty times.
    """
    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


@cache
def _bf16_is_faster() -> bool:
    """Whether a convolution like those of our networks is clearly faster in bfloat16, here and now.

    Instructions for it are no proof: some processors have them without making use of them.
    """
    seconds = {}
    with torch.inference_mode():
        for dtype in (torch.float32, torch.bfloat16):
            picture, weight = torch.ones(1, 48, 96, 160, dtype=dtype), torch.ones(48, 48, 3, 3)
            rounds = []
            for _ in range(5):
                begun = time.perf_counter()
                torch.conv2d(picture, weight.to(dtype), padding=1)
                rounds.append(time.perf_counter() - begun)
            seconds[dtype] = min(rounds)
    return seconds[torch.bfloat16] * 1.2 < seconds[torch.float32]


def choose_device(name: str) -> torch.device:
    """The device of that name; `auto` takes CUDA, else Apple's GPU, else the CPU.

    Raises:
        ResourceError: There is no such device here.
        ValueError: It is no device's name.
    """
    device = parse_device(name)
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    missing = device.type == "mps" and not torch.backends.mps.is_available()
    if missing or (device.index or 0) >= count:
        raise ResourceError(
            f"device {name} is not here (CUDA devices found: {torch.cuda.device_count()}); "
            "use --device auto."
        )
    if device.type == "cuda" and device.index is None:
        # Settled here, since each thread has a current device of its own.
        return torch.device("cuda", torch.cuda.current_device())
    return device


def choose_precision(device: torch.device, precision: Precision) -> Precision:
    """Settle `auto`: half precision where the device is faster with it.

    Raises:
        ResourceError: The device has no such precision.
    """
    if precision == "fp16" and device.type == "cpu":
        raise ResourceError("fp16 needs a GPU; a CPU takes --precision fp32 or bf16.")
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "fp16"
    return "bf16" if device.type == "cpu" and cpu_has_bf16() and _bf16_is_faster() else "fp32"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device's memory does not suffice; Metal says so in words."""
    words = "MPS backend out of memory"
    return isinstance(error, torch.OutOfMemoryError) or words in str(error)


@cache
def keep_freed_memory() -> None:
    """Have the C library keep memory that is freed, for the next frame needs as much again.

    By default glibc returns large blocks to the system and gets them back page by page: thousands
    of page faults a frame, a twelfth of its time. And one heap serves all threads: they free what
    others allocated. Other C libraries are left alone.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return
    most = 2**31 - 1
    for parameter, value in (
        (_M_ARENA_MAX, 1),
        (_M_MMAP_MAX, 0),
        (_M_TRIM_THRESHOLD, most),
        (_M_TOP_PAD, 64 << 20),
    ):
        mallopt(parameter, value)


@contextmanager
def worker_pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that run a network at the same time and share the cores among them.

    One network on several cores waits at the end of each operation for the slowest of them, and
    an encoder beside it makes one slow: measured on two cores, it took up to ten times as long.
    Several networks on one core each do not wait for each other.
    """
    threads, opencv_threads = torch.get_num_threads(), cv2.getNumThreads()
    pool = ThreadPoolExecutor(
        workers, "interp-network", torch.set_num_threads, (max(1, threads // workers),)
    )
    cv2.setNumThreads(max(1, opencv_threads // workers))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)
        cv2.setNumThreads(opencv_threads)


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_bytes(device: torch.device) -> int:
    """Memory of a device that may be used now; of a computer, half of all it has."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        # What is free at this moment says little, since caches give way.
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return 4 << 30
