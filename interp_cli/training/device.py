"""Where a run computes, and in which precision."""

from __future__ import annotations

import os

import torch

from interp_cli import devices
from interp_cli.errors import ResourceError
from interp_cli.options import Precision


def choose_device(name: str, rank: int = 0) -> torch.device:
    """The device that a name means.

    Args:
        name: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        rank: Of this process: of several GPUs, `cuda` and `auto` mean the one for this rank.

    Raises:
        ResourceError: This machine has no such device.
        ValueError: It is no name of a device.
    """
    device = devices.parse_device(name)
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", rank)))
    device = devices.choose_device(str(device))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device


def choose_precision(device: torch.device, wanted: Precision) -> Precision:
    """What `auto` means on a device; anything else is checked and kept.

    On a CPU its instructions alone decide: a measurement, as for making frames, could differ from
    rank to rank and from sitting to sitting.

    Raises:
        ResourceError: The device cannot train in this precision.
    """
    if wanted == "fp16" and device.type == "cpu":
        raise ResourceError("precision fp16: not for training on a CPU; use fp32 or bf16.")
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if device.type == "cpu" and devices.cpu_has_bf16() else "fp32"
