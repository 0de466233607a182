"""Where a run computes, and in which precision."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager

import torch

from interp_cli.errors import ResourceError
from interp_cli.options import Precision

_TYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def choose_device(name: str, rank: int = 0) -> torch.device:
    """The device that a name means.

    Args:
        name: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        rank: Of this process: of several GPUs, `cuda` and `auto` mean the one for this rank.

    Raises:
        ResourceError: This machine has no such device.
        ValueError: It is no name of a device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
        if name == "cpu" and torch.backends.mps.is_available():
            name = "mps"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device must be auto, cpu, cuda, cuda:N or mps, not {name!r}") from error
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise ResourceError(f"device {name}: no CUDA device found; use --device cpu.")
        index = device.index
        if index is None:
            index = int(os.environ.get("LOCAL_RANK", rank))
        if index >= torch.cuda.device_count():
            count = torch.cuda.device_count()
            raise ResourceError(f"device cuda:{index}: this machine has {count} CUDA devices.")
        torch.cuda.set_device(index)
        return torch.device("cuda", index)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ResourceError("device mps: not available here; use --device cpu.")
    if device.type not in ("cpu", "mps"):
        raise ValueError(f"device must be auto, cpu, cuda, cuda:N or mps, not {name!r}")
    return device


def choose_precision(device: torch.device, wanted: Precision) -> Precision:
    """What `auto` means on a device; anything else is checked and kept.

    A CPU without instructions for bfloat16 emulates it: a training step of `fusion` took 30 times
    as long as in float32 there.

    Raises:
        ResourceError: The device cannot train in this precision.
    """
    if wanted == "fp16" and device.type == "cpu":
        raise ResourceError("precision fp16: not for training on a CPU; use fp32 or bf16.")
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if device.type == "cpu" and _has_bf16_instructions() else "fp32"


def mixed_precision(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """The autocast for a settled precision; it can be entered again and again."""
    return torch.autocast(device.type, _TYPES[precision], enabled=precision != "fp32")


def _has_bf16_instructions() -> bool:
    checks = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, check, bool)() for check in checks)
