"""Similarity of two pictures: PSNR, SSIM and IE, as pure functions.

Pictures are integer arrays of one shape and one type, (H, W, 3) RGB or (H, W) grey, `uint8` or
`uint16`. Predictions are scored as they would be stored: rounded to integers first.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["Picture", "finite_psnr", "interpolation_error", "psnr", "ssim"]

Picture = npt.NDArray[Any]

# PSNR of equal pictures in means, in dB.
_EQUAL_DB = 100.0
_SSIM_WINDOW_PX = 11
_SSIM_SIGMA_PX = 1.5
_SSIM_K1 = 0.01
_SSIM_K2 = 0.03


def psnr(a: Picture, b: Picture) -> float:
    """Peak signal-to-noise ratio over all pixels and channels.

    `10 log10(peak² / mean((a - b)²))`, where `peak` is 255 for `uint8` and 65535 for `uint16`.

    Returns:
        dB; infinite where the pictures are equal.

    Raises:
        ValueError: The pictures differ in shape or type, or are no integers of 8 or 16 bits.
    """
    peak = _peak(a, b)
    difference = np.subtract(a, b, dtype=np.int32)
    mean_square = float(np.mean(np.square(difference, dtype=np.float64)))
    if mean_square == 0:
        return float("inf")
    return float(10 * np.log10(peak**2 / mean_square))


def finite_psnr(a: Picture, b: Picture) -> float:
    """`psnr` for means: at most 100 dB, the value of equal pictures."""
    return min(psnr(a, b), _EQUAL_DB)


def interpolation_error(a: Picture, b: Picture) -> float:
    """Interpolation error IE: the mean absolute difference, in units of 1/255.

    `mean(|a - b|) * 255 / peak` over all pixels and channels. This is the IE of most papers on
    frame interpolation; Middlebury's own page (Baker et al. 2011) calls the root of the mean
    square of the differences IE, which is larger.

    Returns:
        0 (equal) to 255.

    Raises:
        ValueError: The pictures differ in shape or type, or are no integers of 8 or 16 bits.
    """
    peak = _peak(a, b)
    difference = np.subtract(a, b, dtype=np.int32)
    return float(np.mean(np.abs(difference), dtype=np.float64)) * 255 / peak


def ssim(a: Picture, b: Picture) -> float:
    """Structural similarity of each RGB channel, averaged over pixels and channels.

    Wang, Bovik, Sheikh and Simoncelli (2004), "Image quality assessment: from error visibility to
    structural similarity", equation 13, with the paper's 11x11 Gaussian window of sigma 1.5,
    K1 = 0.01, K2 = 0.03, and only windows that lie inside the picture. Along a side shorter than
    11 pixels there is no such window; there the picture is reflected at its border.

    Returns:
        At most 1, which only equal pictures reach.

    Raises:
        ValueError: The pictures differ in shape or type, or are no integers of 8 or 16 bits.
    """
    peak = _peak(a, b)
    c1 = (_SSIM_K1 * peak) ** 2
    c2 = (_SSIM_K2 * peak) ** 2
    x, y = a.astype(np.float64), b.astype(np.float64)
    mean_x, mean_y = _window_mean(x), _window_mean(y)
    squared_means = mean_x * mean_x + mean_y * mean_y
    variances = _window_mean(x * x + y * y) - squared_means
    covariance = _window_mean(x * y) - mean_x * mean_y
    similarity = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (squared_means + c1) * (variances + c2)
    )
    return float(np.mean(similarity))


def _peak(a: Picture, b: Picture) -> int:
    """Check that the pictures can be compared; return the largest value of their type."""
    if a.shape != b.shape or a.dtype != b.dtype:
        raise ValueError(
            f"pictures must have one shape and type, not {a.shape} {a.dtype} and"
            f" {b.shape} {b.dtype}"
        )
    if a.dtype not in (np.uint8, np.uint16) or a.ndim not in (2, 3) or a.size == 0:
        raise ValueError(
            f"pictures must be (H, W) or (H, W, C) of uint8 or uint16, not {a.shape} {a.dtype}"
        )
    return int(np.iinfo(a.dtype).max)


def _window_mean(picture: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Gaussian-weighted mean around each pixel whose window lies inside the picture."""
    side, margin = _SSIM_WINDOW_PX, _SSIM_WINDOW_PX // 2
    blurred = cv2.GaussianBlur(
        picture, (side, side), _SSIM_SIGMA_PX, borderType=cv2.BORDER_REFLECT_101
    )
    rows, columns = (
        slice(margin, length - margin) if length >= side else slice(None)
        for length in picture.shape[:2]
    )
    return np.asarray(blurred, np.float64)[rows, columns]
