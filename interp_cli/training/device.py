"""Device and precision of a run."""

from __future__ import annotations

import os

import torch

from interp_cli import devices
from interp_cli.errors import ResourceError
from interp_cli.options import Precision


def choose_device(name: str, rank: int = 0) -> torch.device:
    """Return the device for a name.

    Args:
        name: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        rank: Rank of this process, which selects one of several GPUs for `cuda` and `auto`.
            Default 0.

    Raises:
        ResourceError: This machine has no such device.
        ValueError: The name is unknown.
    """
    device = devices.parse_device(name)
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", rank)))
    device = devices.choose_device(str(device))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device


def choose_precision(device: torch.device, wanted: Precision) -> Precision:
    """Return the precision for a device: the fastest safe one for `auto`.

    On a CPU the instruction set alone decides. A measurement, as for inference, could differ
    between processes and sessions.

    Raises:
        ResourceError: The device cannot train in this precision.
    """
    if wanted == "fp16" and device.type == "cpu":
        raise ResourceError('`precision="fp16"` cannot be trained on a CPU; use fp32 or bf16.')
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if device.type == "cpu" and devices.cpu_has_bf16() else "fp32"
