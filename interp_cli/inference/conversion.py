"""Conversion between pictures as arrays and the tensors that networks take."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp_cli.inference.flow import OpticalFlow
from interp_cli.models.base import SynthesisParams
from interp_cli.models.render import Synthesis

# RGB, (H, W, 3) or (N, H, W, 3).
Pictures = NDArray[np.uint8] | NDArray[np.uint16]


def pairs_of(
    frame0: Pictures,
    frame1: Pictures,
    batch_size: Callable[[int, int], int],
    device: torch.device,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield pairs of pictures as tensors, in batches of the size that `batch_size` returns.

    Yields:
        Two tensors (N, 3, H, W), float32 in [0, 1], on the device.

    Raises:
        ValueError: The arrays differ or are no pictures.
    """
    peak = peak_of(frame0, frame1)
    size = batch_size(*frame0.shape[-3:-1])
    pairs = [frame.reshape(-1, *frame.shape[-3:]) for frame in (frame0, frame1)]
    for i in range(0, len(pairs[0]), size):
        tensor0, tensor1 = (
            torch.from_numpy(np.ascontiguousarray(p[i : i + size]))
            .to(device)
            .permute(0, 3, 1, 2)
            .float()
            .div_(peak)
            for p in pairs
        )
        yield tensor0, tensor1


def peak_of(frame0: Pictures, frame1: Pictures) -> float:
    """The value of white in pictures of this type.

    Raises:
        ValueError: The arrays differ or are no pictures.
    """
    if frame0.shape != frame1.shape or frame0.dtype != frame1.dtype:
        raise ValueError(
            f"frames differ: {frame0.shape} {frame0.dtype}, {frame1.shape} {frame1.dtype}"
        )
    if frame0.ndim not in (3, 4) or frame0.shape[-1] != 3 or 0 in frame0.shape:
        raise ValueError(f"frames must be (H, W, 3) or (N, H, W, 3), not {frame0.shape}")
    if frame0.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"frames must be uint8 or uint16, not {frame0.dtype}")
    return float(np.iinfo(frame0.dtype).max)


def array_of(tensor: Tensor) -> NDArray[np.float32]:
    """Convert (N, C, H, W) on any device to an array (N, H, W, C)."""
    array: NDArray[np.float32] = tensor.permute(0, 2, 3, 1).cpu().numpy()
    return array


def flow_of(made: Synthesis | SynthesisParams) -> list[OpticalFlow]:
    """The optical flow of each frame, as arrays."""
    parts = (made.flow_t0, made.flow_t1, made.blend_mask)
    flow_t0, flow_t1, blend_mask = (array_of(part) for part in parts)
    return [OpticalFlow(*parts) for parts in zip(flow_t0, flow_t1, blend_mask[..., 0], strict=True)]
