"""Frames too large for the memory, in overlapping tiles that fade into each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

SMALLEST_TILE_PX = 256


def tiles(height: int, width: int, side: int) -> Iterator[tuple[Any, Tensor]]:
    """Cover a frame.

    Args:
        height: Of the frame.
        width: Likewise.
        side: Of a tile; no tile is larger than the frame.

    Yields:
        An index for (..., H, W) and the tile's weights, (h, w), which fall towards its edges; sums
        over all tiles are to be divided by the sum of their weights.
    """
    for top in _tile_starts(height, side):
        for left in _tile_starts(width, side):
            rows, columns = _fade(min(side, height), side // 8), _fade(min(side, width), side // 8)
            area = (..., slice(top, top + side), slice(left, left + side))
            yield area, rows.view(-1, 1) * columns


def _tile_starts(length: int, side: int) -> list[int]:
    """Where tiles begin so that neighbours share at least a quarter, the last at the end."""
    if length <= side:
        return [0]
    count = -(-(length - side) // (side * 3 // 4)) + 1
    return [round(i * (length - side) / (count - 1)) for i in range(count)]


def _fade(length: int, margin: int) -> Tensor:
    """Weights that rise from the edges, (length,).

    The outermost half of the margin counts next to nothing, wherever another tile covers it:
    there the network lacks the pixels beyond the tile.
    """
    ramp = torch.arange(1, length + 1, dtype=torch.float32)
    return (torch.minimum(ramp, ramp.flip(0)) - margin // 2).clamp(1e-4, margin // 2)
