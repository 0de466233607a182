"""How much is made at once: pairs, tiles and steps side by side, as the memory has room."""

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
# Peak bytes of activations a pixel and pair in 32 bits, measured on `flow` (625 at 1280x720, and a
# third more to spare) and on `fusion`.
_BYTES_PER_PIXEL_OF_MOTION, _BYTES_PER_PIXEL = 850, 2600
_LARGEST_BATCH = 16
# On a CPU a batch only pays while the frames are too small to fill the caches by themselves.
_CPU_BATCH_PIXELS = 320_000
_MAX_WORKERS = 4


class MemoryBudget:
    """What a network may take of a device's memory; all sizes are those that it sees.

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
        """Keep what is wished for.

        Args:
            device: Whose memory it is.
            precision: Of the network's arithmetic, as settled.
            batch: Pairs a step.
            tile: Side of a tile in pixels.
            has_flow: Whether the network finds motion, which takes less than making pictures.
        """
        self.warnings: list[str] = []
        self._device, self._precision = device, precision
        self._batch, self._tile = batch, tile
        self._has_motion = has_flow
        # What memory has turned out to suffice for; `None`: it has not run out yet.
        self._max_pairs: int | None = None
        self._max_tile_px: int | None = None

    def batch_size(self, pixels: int) -> int:
        """Pairs of frames of so many pixels to hand over at once."""
        if self._max_pairs is not None:
            return self._max_pairs
        if self._batch != "auto":
            return self._batch
        if self._device.type == "cpu":
            return max(1, min(4, _CPU_BATCH_PIXELS // pixels))
        return max(1, min(_LARGEST_BATCH, self._affordable_pixels() // pixels))

    def workers(self, pixels: int) -> int:
        """How many steps with frames of so many pixels are best made at the same time."""
        if self._device.type != "cpu":
            return 1
        at_once = self._affordable_pixels() // (self.batch_size(pixels) * pixels)
        return max(1, min(_MAX_WORKERS, torch.get_num_threads(), at_once))

    def tile_size(self, height: int, width: int) -> int | None:
        """Side of the tiles that frames of this size are cut into; `None`: not at all."""
        wish = self._max_tile_px or self._tile
        if isinstance(wish, int):
            return wish if max(height, width) > wish else None
        affordable = self._affordable_pixels()
        if wish == "off" or height * width <= affordable:
            return None
        return max(SMALLEST_TILE_PX, int(affordable**0.5) // 64 * 64)

    def shrink(self, pairs: int, height: int, width: int, error: Exception) -> None:
        """Remember to take less than was too much: fewer pairs, then smaller tiles.

        Args:
            pairs: For how many at once the memory did not suffice.
            height: Of their frames.
            width: Likewise.
            error: What said so.

        Raises:
            ResourceError: It does not suffice for the smallest tile.
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
        """Pixels of one step that half of the memory has room for."""
        scale = 1.0 if self._precision == "fp32" else 0.5
        each = _BYTES_PER_PIXEL_OF_MOTION if self._has_motion else _BYTES_PER_PIXEL
        return int(self._free_bytes * 0.5 / (each * scale))

    @cached_property
    def _free_bytes(self) -> int:
        """As found before the first step: torch keeps what that takes for the next ones."""
        return free_bytes(self._device)


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
