"""The format of prepared frames: planar YUV 4:2:0, 8 bits, BT.709, limited range."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

# Luma (H, W), and both chroma planes (H / 2, W / 2).
Planes = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]


def frame_planes(frame: NDArray[np.uint8], width: int, height: int) -> Planes:
    """Split one flat frame into its Y, U and V planes, without a copy."""
    luma = width * height
    chroma = luma // 4
    half = (height // 2, width // 2)
    return (
        frame[:luma].reshape(height, width),
        frame[luma : luma + chroma].reshape(half),
        frame[luma + chroma :].reshape(half),
    )


def planes_of_rgb(rgb: NDArray[np.uint8]) -> Planes:
    """Convert a picture of even sides to planes. Chroma is the mean of four pixels."""
    yuv = cv2.transform(rgb.astype(np.float32), YUV_FROM_RGB)
    height, width = rgb.shape[:2]
    chroma = cv2.resize(yuv[..., 1:], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    luma, blue, red = (
        np.clip(np.rint(plane), 0, 255).astype(np.uint8)
        for plane in (yuv[..., 0], chroma[..., 0], chroma[..., 1])
    )
    return luma, blue, red


def _matrices() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """BT.709, limited range, codes of 8 bits: RGB to YUV and back, as 3x4 affine matrices."""
    kr, kb = 0.2126, 0.0722
    luma = np.array([kr, 1 - kr - kb, kb])
    blue = (np.array([0, 0, 1]) - luma) / (2 * (1 - kb))
    red = (np.array([1, 0, 0]) - luma) / (2 * (1 - kr))
    forward = np.stack((luma * 219, blue * 224, red * 224)) / 255
    zero = np.array([[16.0], [128.0], [128.0]])
    backward = np.linalg.inv(forward)
    return (
        np.hstack((forward, zero)).astype(np.float32),
        np.hstack((backward, -backward @ zero)).astype(np.float32),
    )


YUV_FROM_RGB, RGB_FROM_YUV = _matrices()
