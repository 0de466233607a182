"""Is there a cut, or a repeat, between two frames?

For a cut, each pixel of one thumbnail is compared with the best match nearby in the other: a pan
or a runner finds its match, another shot does not. What is left is divided by the contrast of the
pictures, so that dark scenes count too. For a repeat, the full planes are compared block by block.
"""

from __future__ import annotations

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from interp_cli.video.colour import planes_of, white_code

# Longer side of a thumbnail. Motion of 6 pixels in it, a tenth of the picture, finds its match.
_SIDE_PX = 64
_REACH_PX = 6
# A repeated frame differs by what the codec adds to it: measured on a phone's recording, at most
# 0.01 codes of 255 on average and 1.3 in any block, while a near-still scene has 0.5 and 4.
_REPEAT_MEAN = 0.1
_REPEAT_BLOCK = 1.5
_BLOCK_PX = 16


def luma_thumbnail(image: av.VideoFrame) -> NDArray[np.float32]:
    """A small grey picture of a frame, (H, W), 0 to 255, area-averaged.

    For RGB formats the mean of the channels stands for luma.
    """
    plane = planes_of(image)[0]
    height, width = plane.shape[:2]
    scale = min(1.0, _SIDE_PX / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(plane, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    if small.ndim == 3:
        small = small.mean(2)
    return np.asarray(small * (255 / white_code(image)), np.float32)


def change(thumbnail0: NDArray[np.float32], thumbnail1: NDArray[np.float32]) -> float:
    """How little of one picture is found again in the other: 0 (all of it) to 1 (none).

    Args:
        thumbnail0: From `luma_thumbnail`, (H, W).
        thumbnail1: Of the same size.
    """
    forward = _unmatched(thumbnail0, thumbnail1)
    backward = _unmatched(thumbnail1, thumbnail0)
    # A thing that comes into the picture is unmatched one way only; another shot is both ways.
    residual = min(forward, backward)
    contrast = 0.5 * (_contrast(thumbnail0) + _contrast(thumbnail1))
    brightness = abs(float(thumbnail0.mean()) - float(thumbnail1.mean()))
    return min(1.0, residual / (contrast + 0.25 * brightness + 2.0))


def is_repeat(image0: av.VideoFrame, image1: av.VideoFrame) -> bool:
    """Whether the second frame shows the first one's picture again, but for a codec's noise."""
    unit = white_code(image0) / 255
    for plane0, plane1 in zip(planes_of(image0), planes_of(image1), strict=True):
        difference = cv2.absdiff(plane0, plane1).astype(np.float32)
        if difference.mean() > _REPEAT_MEAN * unit:
            return False
        height, width = difference.shape[:2]
        size = (-(-width // _BLOCK_PX), -(-height // _BLOCK_PX))
        blocks = cv2.resize(difference, size, interpolation=cv2.INTER_AREA)
        if blocks.max() > _REPEAT_BLOCK * unit:
            return False
    return True


def _unmatched(thumbnail0: NDArray[np.float32], thumbnail1: NDArray[np.float32]) -> float:
    """Mean difference of each pixel's neighbourhood to its best match within reach."""
    height, width = thumbnail0.shape
    padded = cv2.copyMakeBorder(
        thumbnail1, _REACH_PX, _REACH_PX, _REACH_PX, _REACH_PX, cv2.BORDER_REPLICATE
    )
    best = np.full((height, width), np.inf, np.float32)
    for dy in range(2 * _REACH_PX + 1):
        for dx in range(2 * _REACH_PX + 1):
            moved = padded[dy : dy + height, dx : dx + width]
            # 5x5: large enough that a chance match is rare, small enough to follow a limb.
            difference = cv2.blur(cv2.absdiff(thumbnail0, moved), (5, 5))
            np.minimum(best, difference, out=best)
    return float(best.mean())


def _contrast(thumbnail: NDArray[np.float32]) -> float:
    return float(np.abs(thumbnail - thumbnail.mean()).mean())
