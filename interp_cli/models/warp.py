"""Moves pictures along flow: backward by sampling (`warp`), forward by summation (`splat`).

Positions are computed in float32 whatever the precision around them: float16 has no odd integers
above 2048, so at 4K it would be pixels off.
"""

from __future__ import annotations

from typing import Literal

import cv2
import torch
import torch.nn.functional as F
from torch import Tensor

from interp_cli.image_ops import for_opencv, supersampled

# OpenCV moves one plane at a time, five times as fast as torch where they are large and few.
_FEW_CHANNELS = 4
# OpenCV's remap counts rows and columns in signed 16-bit numbers.
_MAX_OPENCV_SIDE_PX = 32767
_OPENCV_MODES = {"bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}

# Maximum round trip error of a consistent flow: so many pixels, and a fraction of its length.
_RETURN_PX, _RETURN_FRACTION = 0.5, 0.05

Sampling = Literal["bilinear", "bicubic", "supersampled"]


def warp(image: Tensor, flow: Tensor, mode: Sampling = "bilinear") -> Tensor:
    """Sample `image` where each flow vector points (backward warping).

    Args:
        image: Picture or features, (N, C, H, W), or (1, C, H, W) for every flow.
        flow: Offsets in pixels, (N, 2, H, W), ordered (dx, dy).
        mode: `bilinear`, `bicubic` from the four by four nearest pixels, or `supersampled`:
            bicubic in the picture sampled twice as densely, which keeps most detail.

    Returns:
        (N, C, H, W), float32, sampled as by `sample`.

    Raises:
        ValueError: The spatial sizes differ.
    """
    _check_sizes(image, flow)
    x, y = _targets(flow)
    if mode != "supersampled":
        return sample(image, x, y, mode)
    # Sample 2 i is pixel i. Beyond the border, what repeats is the pixel, not its overshoot.
    height, width = flow.shape[-2:]
    x, y = 2 * x.clamp(0, width - 1), 2 * y.clamp(0, height - 1)
    return sample(supersampled(image), x, y, "bicubic")


def sample(
    image: Tensor, x: Tensor, y: Tensor, mode: Literal["bilinear", "bicubic"] = "bilinear"
) -> Tensor:
    """Sample `image` between its pixels.

    Args:
        image: (N, C, H, W), or (1, C, H, W) for all positions.
        x: Columns in pixels, (N, h, w), float32.
        y: Rows in pixels, (N, h, w), float32.
        mode: `bilinear`, or `bicubic` from the four by four nearest pixels.

    Returns:
        (N, C, h, w), float32; samples outside the image repeat its border. On a CPU and without
        gradient, OpenCV before version 5 samples at the nearest 32nd of a pixel.
    """
    fits = max(*image.shape[-2:], *x.shape[-2:]) < _MAX_OPENCV_SIDE_PX
    if fits and image.shape[1] <= _FEW_CHANNELS and for_opencv(image, x, y):
        return _remapped(image, x, y, _OPENCV_MODES[mode])
    # grid_sample's positions run from -1 (centre of the first pixel) to 1 (of the last).
    height, width = image.shape[-2:]
    grid = torch.stack(
        (x * (2 / max(width - 1, 1)) - 1, y * (2 / max(height - 1, 1)) - 1), -1
    )  # (N, h, w, 2)
    with torch.autocast(image.device.type, enabled=False):
        image = image.float().expand(len(x), -1, -1, -1)
        return F.grid_sample(image, grid, mode=mode, padding_mode="border", align_corners=True)


def _remapped(image: Tensor, x: Tensor, y: Tensor, mode: int) -> Tensor:
    """Sample (N, C, H, W) at the positions (N, H, W) with OpenCV."""
    planes = image.detach().float().contiguous().expand(len(x), -1, -1, -1).numpy()
    made = torch.empty((*planes.shape[:2], *x.shape[1:]))
    places = zip(x.detach().numpy(), y.detach().numpy(), strict=True)
    for channels, outs, (columns, rows) in zip(planes, made.numpy(), places, strict=True):
        for plane, out in zip(channels, outs, strict=True):
            cv2.remap(plane, columns, rows, mode, out, cv2.BORDER_REPLICATE)
    return made


def splat(values: Tensor, flow: Tensor) -> Tensor:
    """Move every pixel along its flow vector and sum what lands (forward warping).

    Each pixel's values go to the four pixels around its target with bilinear weights. Splatting
    ones as another channel gives the sum of the weights, to divide by (Niklaus and Liu 2020,
    "Softmax splatting for video frame interpolation", eq. 2 and 3).

    Args:
        values: Values to move, (N, C, H, W).
        flow: Offsets in pixels, (N, 2, H, W), ordered (dx, dy).

    Returns:
        Sums, (N, C, H, W), float32. Values that leave the picture are lost.

    Raises:
        ValueError: The spatial sizes differ.
    """
    _check_sizes(values, flow)
    batch, channels, height, width = values.shape
    x, y = _targets(flow)
    left, top = x.detach().floor(), y.detach().floor()
    rows = values.float().permute(0, 2, 3, 1).reshape(-1, channels)  # a pixel a row
    first = torch.arange(batch, device=flow.device).view(batch, 1, 1) * (height * width)
    sums = rows.new_zeros(batch * height * width, channels)
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        column, row = left + dx, top + dy
        weight = (1 - (x - column).abs()) * (1 - (y - row).abs())
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        pixel = row.clamp(0, height - 1).long() * width + column.clamp(0, width - 1).long()
        moved = rows * (weight * inside).reshape(-1, 1)
        sums = sums.index_add(0, (first + pixel).reshape(-1), moved)
    return sums.view(batch, height, width, channels).permute(0, 3, 1, 2)


def round_trip_error(flow: Tensor, back: Tensor) -> Tensor:
    """Distance between a place and the end of the path along a flow and back.

    Args:
        flow: Flow from one frame to another, (N, 2, H, W), (dx, dy) in pixels of its grid.
        back: Flow from the other frame to the first, shaped as `flow`.

    Returns:
        (N, 1, H, W), in the same pixels.
    """
    return lengths(flow + warp(back, flow))


def leads_back(flow: Tensor, back: Tensor) -> Tensor:
    """Whether a flow is consistent: the path along it and back ends near its start, (N, 1, H, W).

    Args:
        flow: Flow from one frame to another, (N, 2, H, W), (dx, dy) in pixels of its grid.
        back: Flow from the other frame to the first, shaped as `flow`.
    """
    return round_trip_error(flow, back) < _RETURN_PX + _RETURN_FRACTION * lengths(flow)


def lengths(vectors: Tensor) -> Tensor:
    """Lengths of vectors (…, 2, H, W), (…, 1, H, W); on a CPU 100 times as fast as `norm`."""
    return (vectors * vectors).sum(-3, keepdim=True).sqrt()


def _targets(flow: Tensor) -> tuple[Tensor, Tensor]:
    """Columns and rows in pixels to which each vector points, (N, H, W) each, float32."""
    height, width = flow.shape[-2:]
    columns = torch.arange(width, device=flow.device, dtype=torch.float32)
    rows = torch.arange(height, device=flow.device, dtype=torch.float32)
    offsets = flow.float()
    return columns.view(1, 1, width) + offsets[:, 0], rows.view(1, height, 1) + offsets[:, 1]


def _check_sizes(image: Tensor, flow: Tensor) -> None:
    if image.shape[-2:] != flow.shape[-2:]:
        raise ValueError(
            f"image and flow must have one size, not {tuple(image.shape[-2:])} and"
            f" {tuple(flow.shape[-2:])}"
        )
