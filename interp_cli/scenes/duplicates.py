"""Is a frame a duplicate of the one before? The full planes are compared block by block."""

from __future__ import annotations

from dataclasses import dataclass

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from interp_cli.scenes.cuts import (
    _BLOCK_PX,
    _NEAR_BLOCK,
    _NEAR_BLOCK_GAIN,
    _NEAR_MEAN,
    _REFINED_BLOCK,
    _REFINED_MEAN,
    _REPEAT_BLOCK,
    _REPEAT_MEAN,
    _SHIFT_BLOCK_PX,
    _block_means,
)
from interp_cli.video.pixel_format import planes_of, white_code


@dataclass(frozen=True, slots=True)
class _Slight:
    """How much of a difference small shifts and changes of brightness explain; also, at most.

    Attributes:
        explained: Share of the squared difference that shifts of blocks explain.
        middle_shift_px: Shift of a block: the median.
        large_shift_px: What nine of ten blocks' shifts do not exceed.
        brightness: Largest change of a block's mean, in codes of 255.
    """

    explained: float
    middle_shift_px: float
    large_shift_px: float
    brightness: float

    def is_within(self, limit: _Slight) -> bool:
        """Whether nothing of it is larger."""
        return (
            self.explained <= limit.explained
            and self.middle_shift_px <= limit.middle_shift_px
            and self.large_shift_px <= limit.large_shift_px
            and self.brightness <= limit.brightness
        )


_NOISE = (_Slight(0.1, 0.12, 0.12, 0.6),)


# Blocks that are refined seem to shift, the others do not: either little is explained, or little
# shifts. Chosen with what `scripts/score_repeats.py` makes in view.
_REFINEMENT = (_Slight(0.35, 0.12, 0.12, 0.6), _Slight(0.2, 0.05, 0.3, 1.6))


def is_duplicate(image0: av.VideoFrame, image1: av.VideoFrame) -> bool:
    """Whether the second frame shows the first one's picture again, but for a codec's noise."""
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
        image0: A frame.
        image1: The next one.
        recent_motion: The largest `luma_difference` of the `RECENT_PAIRS` pairs before them.
    """
    refined: bool | None = None  # told by the first plane
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
