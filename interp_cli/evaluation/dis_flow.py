"""OpenCV's DIS optical flow in both directions, and where the two directions agree.

Kroeger et al. (2016), "Fast optical flow using dense inverse search".
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[Any]  # float32: (H, W), or (H, W, channels)
# Side of the method's patches in pixels; smaller pictures cannot be matched.
MIN_SIDE_PX = 8


class BidirectionalFlow:
    """The method at its medium setting. It keeps buffers, so each thread needs its own object."""

    def __init__(self) -> None:
        self._method: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def between(
        self, frame0: npt.NDArray[np.uint8], frame1: npt.NDArray[np.uint8]
    ) -> tuple[tuple[Plane, Plane], tuple[Plane, Plane]]:
        """Estimate the flow from each of two frames to the other.

        Args:
            frame0: First frame, (H, W, 3) uint8 RGB, at least `MIN_SIDE_PX` on each side.
            frame1: Second frame, (H, W, 3) uint8 RGB.

        Returns:
            Both flows, (H, W, 2) in pixels, and for each the distance in pixels by which the other
            flow misses the place where it began, (H, W).
        """
        grey0, grey1 = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (frame0, frame1))
        flow_01 = self._method.calc(grey0, grey1, None)
        flow_10 = self._method.calc(grey1, grey0, None)
        misses = (
            length(flow_01 + sample(flow_10, flow_01)),
            length(flow_10 + sample(flow_01, flow_10)),
        )
        return (flow_01, flow_10), misses


def sample(image: Plane, flow: Plane, interpolation: int = cv2.INTER_LINEAR) -> Plane:
    """Sample `image` where each flow vector (dx, dy) points; the border is repeated."""
    height, width = flow.shape[:2]
    columns = np.arange(width, dtype=np.float32)
    rows = np.arange(height, dtype=np.float32)[:, None]
    return np.asarray(
        cv2.remap(
            image,
            columns + flow[..., 0],
            rows + flow[..., 1],
            interpolation,
            borderMode=cv2.BORDER_REPLICATE,
        ),
        np.float32,
    )


def length(vectors: Plane) -> Plane:
    """Length of each vector of a flow."""
    return np.asarray(np.linalg.norm(vectors, axis=-1), np.float32)
