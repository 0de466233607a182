"""Cost volumes: similarity of each place of a feature map to the places around it in another.

Whole rows are multiplied as matrices, and only the products of near places are kept. That takes 3%
of a training step on a CPU. Products element by element took a third.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

# Maximum width of the strips of a row. All columns of a strip are multiplied, so wide ones waste
# products.
_STRIP = 16


def cost_volume(own: Tensor, other: Tensor, radius: int) -> Tensor:
    """Compare every place of a feature map with the places around it in another.

    Args:
        own: Features, (N, C, H, W). With unit length the products are cosines.
        other: Features of the other map, shaped as `own`.
        radius: Search radius in both directions, in places.

    Returns:
        Dot products, (N, (2r+1)^2, H, W): offsets row by row from -r to r, each row from left to
        right; 0 beyond the border.

    Raises:
        ValueError: The shapes differ.
    """
    if own.shape != other.shape:
        raise ValueError(f"shapes must be the same, not {own.shape} and {other.shape}")
    width = own.shape[-1]
    strips = -(-width // _STRIP)
    columns = -(-width // strips)
    excess = strips * columns - width
    rows = torch.unflatten(F.pad(own, (0, excess)), 3, (strips, columns))
    wide = F.pad(other, (radius, radius + excess, radius, radius))
    wide = wide.unfold(3, columns + 2 * radius, columns)  # (N, C, H + 2r, strips, columns + 2r)
    # Rows first, so that those at one offset are a piece of memory: (H, N, strips, columns, C).
    rows, wide = (x.permute(2, 0, 3, 4, 1).contiguous() for x in (rows, wide))
    products: Tensor = _NearProducts.apply(rows, wide)  # type: ignore[no-untyped-call]
    return products.flatten(4).flatten(1, 2)[..., :width]


class _NearProducts(torch.autograd.Function):
    """Dot products of the places of rows with those around them."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, wide: Tensor) -> Tensor:
        """Multiply (H, N, S, W, C) with (H + 2r, N, S, W + 2r, C) to (N, dy, dx, H, S, W)."""
        height, batch, strips, width, _ = rows.shape
        near = len(wide) - height + 1
        flat = rows.flatten(0, 2)
        products = rows.new_empty(batch, near, near, height, strips, width)
        for dy in range(near):
            every = flat @ wide[dy : dy + height].flatten(0, 2).transpose(1, 2)
            _at(products, dy).copy_(_diagonals(every, near).view(*rows.shape[:4], near))
        ctx.save_for_backward(rows, wide)
        return products

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of both inputs."""
        rows, wide = ctx.saved_tensors
        height, width = len(rows), rows.shape[3]
        near = len(wide) - height + 1
        flat = rows.flatten(0, 2)
        of_rows, of_wide = torch.zeros_like(flat), torch.zeros_like(wide)
        # Only its diagonals are ever written; the rest stays zero.
        every = rows.new_zeros(len(flat), width, wide.shape[3])
        kept = _diagonals(every, near).view(*rows.shape[:4], near)
        for dy in range(near):
            kept.copy_(_at(gradient, dy))
            of_rows.baddbmm_(every, wide[dy : dy + height].flatten(0, 2))
            of_wide[dy : dy + height].flatten(0, 2).baddbmm_(every.transpose(1, 2), flat)
        return of_rows.view_as(rows), of_wide


def _at(products: Tensor, dy: int) -> Tensor:
    """The part of (N, dy, dx, H, S, W) at one offset as a view, (H, N, S, W, dx)."""
    return products[:, dy].permute(2, 0, 3, 4, 1)


def _diagonals(matrices: Tensor, count: int) -> Tensor:
    """Elements (i, i + k), k below `count`, of (B, W, W + count - 1) as a view, (B, W, count)."""
    batch, width, wide = matrices.shape
    return matrices.as_strided((batch, width, count), (width * wide, wide + 1, 1))
