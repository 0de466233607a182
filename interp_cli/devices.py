"""Devices and precisions by name, for inference and training."""

from __future__ import annotations

import os
import time
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path

import torch

from interp_cli.errors import ResourceError
from interp_cli.options import Precision, require_device

_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def parse_device(name: str) -> torch.device:
    """The device of a name, whether or not this machine has it.

    Args:
        name: `cpu`, `cuda`, `cuda:N` or `mps`; `auto` means CUDA, else Apple's GPU, else the CPU.

    Raises:
        ValueError: The name is not one of these.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    require_device(name)
    return torch.device(name)


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """A context that computes in a precision other than `auto`. It can be entered repeatedly."""
    return torch.autocast(device.type, DTYPES[precision], enabled=precision != "fp32")


def cpu_has_bf16() -> bool:
    """Whether the CPU has instructions for bfloat16.

    Without them it is emulated: measured, a convolution took fifty times as long as in float32,
    and a training step of `fusion` took thirty times as long.
    """
    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


@cache
def _bf16_is_faster() -> bool:
    """Whether a convolution like those of our networks runs clearly faster in bfloat16.

    It is measured, because some processors have the instructions without being faster with them.
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
    """The device of a name; `auto` takes CUDA, otherwise Apple's GPU, otherwise the CPU.

    Raises:
        ResourceError: This machine has no such device.
        ValueError: The name is not that of a device.
    """
    device = parse_device(name)
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    missing = device.type == "mps" and not torch.backends.mps.is_available()
    if missing or (device.index or 0) >= count:
        raise ResourceError(
            f"device {name} is not here (CUDA devices found: {torch.cuda.device_count()}); "
            'use `device="auto"`.'
        )
    if device.type == "cuda" and device.index is None:
        # Chosen here, because each thread has a current device of its own.
        return torch.device("cuda", torch.cuda.current_device())
    return device


def choose_precision(device: torch.device, precision: Precision) -> Precision:
    """Replace `auto` by a precision: half precision where the device is faster with it.

    Raises:
        ResourceError: The device does not have the precision.
    """
    if precision == "fp16" and device.type == "cpu":
        raise ResourceError('fp16 needs a GPU; use `precision="fp32"` or `precision="bf16"`.')
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "fp16"
    return "bf16" if device.type == "cpu" and cpu_has_bf16() and _bf16_is_faster() else "fp32"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that a device's memory does not suffice. Metal has only a message."""
    message = "MPS backend out of memory"
    return isinstance(error, torch.OutOfMemoryError) or message in str(error)


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_bytes(device: torch.device) -> int:
    """Memory of a device that may be used now, in bytes; for the CPU half of the machine's."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    # The memory that is free now says little, because caches give way.
    return (total_bytes() or 8 << 30) // 2


def total_bytes() -> int | None:
    """Memory that this process may have, in bytes: the machine's, or its container's limit.

    `None` where the system does not say.
    """
    if not (hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names):
        return None
    installed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        return min(installed, int(_CONTAINER_LIMIT.read_text()))
    except (OSError, ValueError):  # none, or "max"
        return installed
