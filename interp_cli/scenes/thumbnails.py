"""Thumbnails: the small grey pictures in which scene detectors compare frames."""

from __future__ import annotations

import av
import cv2
import numpy as np

from interp_cli.scenes.base import Thumbnail
from interp_cli.video.pixel_format import planes_of, white_code

# Longer side of a thumbnail.
SIDE_PX = 64


def luma_thumbnail(image: av.VideoFrame) -> Thumbnail:
    """Luma of a frame, area-averaged: (H, W), 0 to 255. RGB formats give the channels' mean."""
    plane = planes_of(image)[0]
    height, width = plane.shape[:2]
    scale = min(1.0, SIDE_PX / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(plane, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    if small.ndim == 3:
        small = small.mean(2)
    return np.asarray(small * (255 / white_code(image)), np.float32)
