"""Batch sizes, tiles and parallel workers that fit the memory."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from interp_cli.devices import free_bytes
from interp_cli.errors import ResourceError
from interp_cli.options import Precision

SMALLEST_TILE_PX = 256
# Peak bytes of activations for each pixel and pair in 32 bits, measured on `flow` (625 at 1280x720,
# and a third more as a margin) and on `fusion`.
_FLOW_BYTES_PER_PIXEL, _BYTES_PER_PIXEL = 850, 2600
_LARGEST_BATCH = 16
# On a CPU a batch only helps while single frames are too small to fill the caches.
_CPU_BATCH_PIXELS = 320_000
_MAX_WORKERS = 4


class MemoryBudget:
    """Limits of a network by the memory of its device. All sizes are those that the network sees.

    Attributes:
        warnings: Changes of plan for want of memory.
    """

    def __init__(
        self,
        device: torch.device,
        precision: Precision,
        batch: int | Literal["auto"],
        tile: int | Literal["auto", "off"],
        *,
        has_flow: bool,
    ) -> None:
        """Set the requested limits.

        Args:
            device: Device of the network.
            precision: Precision of its arithmetic; not `auto`.
            batch: Batch size in frame pairs, or `auto`.
            tile: Side of a tile in pixels, `auto` or `off`.
            has_flow: Whether the network estimates flow, which needs less memory than pictures.
        """
        self.warnings: list[str] = []
        self._device, self._precision = device, precision
        self._batch, self._tile = batch, tile
        self._has_flow = has_flow
        # Limits found when memory ran out; `None`: it has not run out yet.
        self._max_pairs: int | None = None
        self._max_tile_px: int | None = None

    def batch_size(self, pixels: int) -> int:
        """Batch size for frames of so many pixels."""
        if self._max_pairs is not None:
            return self._max_pairs
        if self._batch != "auto":
            return self._batch
        if self._device.type == "cpu":
            return max(1, min(4, _CPU_BATCH_PIXELS // pixels))
        return max(1, min(_LARGEST_BATCH, self._affordable_pixels() // pixels))

    def workers(self, pixels: int) -> int:
        """Number of batches with frames of so many pixels that are best processed in parallel."""
        if self._device.type != "cpu":
            return 1
        at_once = self._affordable_pixels() // (self.batch_size(pixels) * pixels)
        return max(1, min(_MAX_WORKERS, torch.get_num_threads(), at_once))

    def activation_bytes(self, pixels: int) -> int:
        """Memory of the batches in parallel, with frames of so many pixels; tiles bound it."""
        at_once = self.batch_size(pixels) * self.workers(pixels) * pixels
        return int(min(at_once, self._affordable_pixels()) * self._bytes_per_pixel)

    def tile_size(self, height: int, width: int) -> int | None:
        """Side of the tiles for frames of this size; `None`: whole frames."""
        side = self._max_tile_px or self._tile
        if isinstance(side, int):
            return side if max(height, width) > side else None
        affordable = self._affordable_pixels()
        if side == "off" or height * width <= affordable:
            return None
        return max(SMALLEST_TILE_PX, int(affordable**0.5) // 64 * 64)

    def shrink(self, pairs: int, height: int, width: int, error: Exception) -> None:
        """Lower the limits after memory ran out: first the batch size, then the tiles.

        Args:
            pairs: Batch size for which the memory did not suffice.
            height: Height of the frames.
            width: Width of the frames.
            error: The error of the device.

        Raises:
            ResourceError: The memory does not suffice for the smallest tile.
        """
        side_px = self.tile_size(height, width) or max(height, width)
        if pairs > 1:
            self._max_pairs = pairs // 2
        elif side_px > SMALLEST_TILE_PX:
            self._max_tile_px = max(SMALLEST_TILE_PX, side_px // 2)
        else:
            raise ResourceError(
                f"{self._device}: its memory does not suffice for a tile of {side_px} px; use"
                ' `device="cpu"`, or `quality="fast"`.'
            ) from error
        step = f"{self._max_pairs or 1} at once"
        if self._max_tile_px is not None:
            step += f", in tiles of {self._max_tile_px} px"
        self.warnings[:] = [f"{self._device} ran out of memory: frames were made {step}."]

    def _affordable_pixels(self) -> int:
        """Pixels of one batch that fit into half of the memory."""
        return int(self._free_bytes * 0.5 / self._bytes_per_pixel)

    @property
    def _bytes_per_pixel(self) -> float:
        scale = 1.0 if self._precision == "fp32" else 0.5
        return scale * (_FLOW_BYTES_PER_PIXEL if self._has_flow else _BYTES_PER_PIXEL)

    @cached_property
    def _free_bytes(self) -> int:
        """Free memory before the first batch. Later torch holds what that batch took."""
        return free_bytes(self._device)


def tiles(height: int, width: int, side: int) -> Iterator[tuple[Any, Tensor]]:
    """Cover a frame with overlapping tiles.

    Args:
        height: Height of the frame.
        width: Width of the frame.
        side: Side of a tile. No tile is larger than the frame.

    Yields:
        An index for (..., H, W) and the tile's weights, (h, w), which fall towards its edges.
        Divide sums over all tiles by the sum of their weights.
    """
    for top in _tile_starts(height, side):
        for left in _tile_starts(width, side):
            rows, columns = _fade(min(side, height), side // 8), _fade(min(side, width), side // 8)
            tile = (..., slice(top, top + side), slice(left, left + side))
            yield tile, rows.view(-1, 1) * columns


def _tile_starts(length: int, side: int) -> list[int]:
    """Starts of tiles. Neighbours overlap by at least a quarter, and the last ends at the end."""
    if length <= side:
        return [0]
    count = -(-(length - side) // (side * 3 // 4)) + 1
    return [round(i * (length - side) / (count - 1)) for i in range(count)]


def _fade(length: int, margin: int) -> Tensor:
    """Weights that rise from the edges, (length,).

    The outer half of the margin has almost no weight where another tile covers it, because there
    the network lacks the pixels outside the tile.
    """
    ramp = torch.arange(1, length + 1, dtype=torch.float32)
    return (torch.minimum(ramp, ramp.flip(0)) - margin // 2).clamp(1e-4, margin // 2)
