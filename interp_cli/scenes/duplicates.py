"""Duplicates: frames that repeat the one before. Full planes are compared block by block."""

from __future__ import annotations

from dataclasses import dataclass

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from interp_cli.video.pixel_format import planes_of, white_code

# A duplicate differs by the codec's noise: on a phone's recording by up to 0.01 codes of 255 on
# average and 1.3 in any block, whereas a near-still scene has 0.5 and 4.
_REPEAT_MEAN = 0.1
_REPEAT_BLOCK = 1.5
_BLOCK_PX = 16
# Noise that is encoded again differs more, but evenly. Measured on duplicates in 6 clips with noise
# of 3 codes, H.264 at crf 18: blocks up to 3.3 where the mean is 0.7 to 2.1, up to 0.05 of the
# difference explained by small shifts, of up to 0.11 px in nine of ten blocks. A pan by 0.1 px a
# frame has blocks from 2.1 where the mean is 0.1, and 0.09 and more is explained.
_NEAR_MEAN = 2.5
_NEAR_BLOCK = 1.8
_NEAR_BLOCK_GAIN = 2.5
_SHIFT_BLOCK_PX = 64
# H.264 at crf 23 and above refines what it repeats: up to 6.5 in a block, but the mean is far below
# that of the motion just before it. Slow motion keeps its mean.
_REFINED_MEAN = 1 / 6
_REFINED_BLOCK = 6.5
# Pairs before a pair that show how much motion there is: enough for animation on fours.
RECENT_PAIRS = 5


@dataclass(frozen=True, slots=True)
class _Slight:
    """Small shifts and changes of brightness between two frames, measured or as a limit.

    Attributes:
        explained: Fraction of the squared difference that shifts of blocks explain.
        middle_shift_px: Median shift of a block in pixels.
        large_shift_px: 90th percentile of the blocks' shifts in pixels.
        brightness: Maximum change of a block's mean, in codes of 255.
    """

    explained: float
    middle_shift_px: float
    large_shift_px: float
    brightness: float

    def is_within(self, limit: _Slight) -> bool:
        """Whether no value is larger than its limit."""
        return (
            self.explained <= limit.explained
            and self.middle_shift_px <= limit.middle_shift_px
            and self.large_shift_px <= limit.large_shift_px
            and self.brightness <= limit.brightness
        )


_NOISE = (_Slight(0.1, 0.12, 0.12, 0.6),)
# Refined blocks seem to shift, the others do not: either little is explained, or little shifts.
# Chosen on the clips of `scripts/score_repeats.py`.
_REFINEMENT = (_Slight(0.35, 0.12, 0.12, 0.6), _Slight(0.2, 0.05, 0.3, 1.6))


def is_duplicate(image0: av.VideoFrame, image1: av.VideoFrame) -> bool:
    """Whether the second frame repeats the first, apart from a codec's noise."""
    unit = white_code(image0) / 255
    for plane0, plane1 in zip(planes_of(image0), planes_of(image1), strict=True):
        difference = cv2.absdiff(plane0, plane1).astype(np.float32)
        if difference.mean() > _REPEAT_MEAN * unit:
            return False
        if _block_means(difference, _BLOCK_PX).max() > _REPEAT_BLOCK * unit:
            return False
    return True


def luma_difference(image0: av.VideoFrame, image1: av.VideoFrame) -> float:
    """Mean absolute difference of the first planes, in codes of 255."""
    difference = cv2.absdiff(planes_of(image0)[0], planes_of(image1)[0])
    return float(difference.mean()) * 255 / white_code(image0)


def is_near_duplicate(
    image0: av.VideoFrame, image1: av.VideoFrame, recent_motion: float = 0
) -> bool:
    """Whether two frames differ by noise alone, and not by slow motion, a small thing or a fade.

    Args:
        image0: First frame.
        image1: Next frame, in the same pixel format.
        recent_motion: Maximum `luma_difference` of the `RECENT_PAIRS` pairs before, in codes of
            255. Default 0: unknown.
    """
    refined: bool | None = None  # known after the first plane
    unit = white_code(image0) / 255
    for plane0, plane1 in zip(planes_of(image0), planes_of(image1), strict=True):
        difference = cv2.absdiff(plane0, plane1)
        mean = float(difference.mean()) / unit
        if refined is None:
            refined = mean < _REFINED_MEAN * recent_motion
        if mean > _NEAR_MEAN:
            return False
        blocks = _block_means(difference.astype(np.float32), _BLOCK_PX)
        limit = _NEAR_BLOCK + _NEAR_BLOCK_GAIN * mean
        if blocks.max() / unit > max(limit, _REFINED_BLOCK * refined):
            return False
    luma0, luma1 = (planes_of(image)[0].astype(np.float32) / unit for image in (image0, image1))
    if luma0.ndim == 3:
        luma0, luma1 = luma0.mean(2), luma1.mean(2)
    if abs(float((luma1 - luma0).mean())) > _REPEAT_MEAN:
        return False
    found = _slight_changes(luma0, luma1)
    return any(found.is_within(limit) for limit in (_REFINEMENT if refined else _NOISE))


def _block_means(values: NDArray[np.float32], side_px: int) -> NDArray[np.float32]:
    height, width = values.shape[:2]
    size = (-(-width // side_px), -(-height // side_px))
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), np.float32)


def _slight_changes(luma0: NDArray[np.float32], luma1: NDArray[np.float32]) -> _Slight:
    """Measure small shifts and changes of brightness, block by block.

    Each block's shift is the least squares solution of Lucas and Kanade (1981).
    """
    change, mean = luma1 - luma0, (luma0 + luma1) / 2
    across, down = (cv2.Sobel(mean, cv2.CV_32F, x, 1 - x, scale=1 / 8) for x in (1, 0))
    products = (across * across, across * down, down * down, across * change, down * change)
    xx, xy, yy, xt, yt = (_block_means(product, _SHIFT_BLOCK_PX) for product in products)
    determinant = (xx + 0.5) * (yy + 0.5) - xy * xy  # half a code: a flat block has no shift
    dx = -((yy + 0.5) * xt - xy * yt) / determinant
    dy = -((xx + 0.5) * yt - xy * xt) / determinant
    explained = -(dx * xt + dy * yt).sum() / (_block_means(change**2, _SHIFT_BLOCK_PX).sum() + 1e-3)
    middle, large = np.quantile(np.hypot(dx, dy), (0.5, 0.9))
    brightness = np.abs(_block_means(change, _SHIFT_BLOCK_PX)).max()
    return _Slight(float(explained), float(middle), float(large), float(brightness))
