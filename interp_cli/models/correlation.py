"""Cost volumes: how alike is each place of one feature map to the places around it in another?

The products are matrix products of whole rows of which only the near ones are kept. Element by
element they took a third of a training step on a CPU, so they take 3% of it.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

# Widest strip that a row is cut into: all of its columns meet, so wide ones waste products.
_STRIP = 16


def cost_volume(own: Tensor, other: Tensor, radius: int) -> Tensor:
    """Compare every place of a feature map with the places around it in another.

    Args:
        own: Features, (N, C, H, W); of unit length the products are cosines.
        other: Likewise.
        radius: How far around, in both directions.

    Returns:
        Dot products, (N, (2r+1)^2, H, W): offsets row by row from -r to r, each row from left to
        right; 0 beyond the border.

    Raises:
        ValueError: The shapes differ.
    """
    if own.shape != other.shape:
        raise ValueError(f"shapes must be the same, not {own.shape} and {other.shape}")
    width, near = own.shape[-1], 2 * radius + 1
    strips = -(-width // _STRIP)
    columns = -(-width // strips)
    excess = strips * columns - width
    rows = torch.unflatten(F.pad(own, (0, excess)), 3, (strips, columns))
    wide = F.pad(other, (radius, radius + excess, radius, radius))
    wide = wide.unfold(3, columns + 2 * radius, columns)  # (N, C, H + 2r, strips, columns + 2r)
    rows, wide = (x.permute(0, 3, 2, 4, 1).flatten(0, 1) for x in (rows, wide))
    products: Tensor = _NearProducts.apply(rows, wide)  # type: ignore[no-untyped-call]
    # (N, strips, H, dy, columns, dx) -> (N, dy, dx, H, strips, columns)
    products = torch.unflatten(products, 0, (-1, strips)).permute(0, 3, 5, 2, 1, 4)
    return products.reshape(-1, near * near, own.shape[2], strips * columns)[..., :width]


class _NearProducts(torch.autograd.Function):
    """Dot products of the places of rows with those around them."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, wide: Tensor) -> Tensor:
        """Multiply (B, H, W, C) with (B, H + 2r, W + 2r, C) to (B, H, 2r+1, W, 2r+1)."""
        rows, wide = rows.contiguous(), wide.contiguous()
        batch, height, width, _ = rows.shape
        near = wide.shape[1] - height + 1
        flat = rows.flatten(0, 1)
        products = rows.new_empty(batch, height, near, width, near)
        for dy in range(near):
            every = flat @ wide[:, dy : dy + height].flatten(0, 1).transpose(1, 2)
            products[:, :, dy] = _diagonals(every, near).view(batch, height, width, near)
        ctx.save_for_backward(rows, wide)
        return products

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of both inputs."""
        rows, wide = ctx.saved_tensors
        batch, height, width, _ = rows.shape
        near = wide.shape[1] - height + 1
        flat = rows.flatten(0, 1)
        of_rows, of_wide = torch.zeros_like(flat), torch.zeros_like(wide)
        # Only its diagonals are ever written; the rest stays zero.
        every = rows.new_zeros(batch * height, width, wide.shape[2])
        for dy in range(near):
            _diagonals(every, near).copy_(gradient[:, :, dy].flatten(0, 1))
            of_rows.baddbmm_(every, wide[:, dy : dy + height].flatten(0, 1))
            of_wide[:, dy : dy + height] += (every.transpose(1, 2) @ flat).view(
                batch, height, *wide.shape[2:]
            )
        return of_rows.view_as(rows), of_wide


def _diagonals(matrices: Tensor, count: int) -> Tensor:
    """Elements (i, i + k), k below `count`, of (B, W, W + count - 1) as a view, (B, W, count)."""
    batch, width, wide = matrices.shape
    return matrices.as_strided((batch, width, count), (width * wide, wide + 1, 1))
