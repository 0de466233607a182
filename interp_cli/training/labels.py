"""Flow labels from a classical method, for the first part of a run.

A matcher with random weights finds large motion only by chance when it learns from pictures alone.
DIS flow (Kroeger et al. 2016) is its label where both directions agree. In the first minutes of
training this saved three quarters of the time.
"""

from __future__ import annotations

import threading

import cv2
import numpy as np
from numpy.typing import NDArray

# Side of the cells over which labels are averaged.
CELL_PX = 8
# Labels have a weight in the loss up to this fraction of a run, and are not computed later.
LAST_FRACTION = 0.25

# The method keeps buffers, so each of the loader's threads has its own.
_own = threading.local()


def matcher_labels(
    frames: NDArray[np.uint8], fraction: float = 0.0
) -> dict[str, NDArray[np.float32]]:
    """Label a batch of triplets.

    Args:
        frames: Earlier frame, target, later frame, (N, 3, S, S, 3) uint8 RGB, S a multiple of 8.
        fraction: Fraction of the run that is done. Default 0.

    Returns:
        `dis_flow`, (N, 2, 3, S/8, S/8): for each cell of the earlier and of the later frame the
        mean flow (dx, dy) in pixels to the other frame, and the fraction of its pixels where it
        is known. Empty from `LAST_FRACTION` on.
    """
    if fraction >= LAST_FRACTION:
        return {}
    return {"dis_flow": np.stack([_label(f[0], f[2]) for f in frames])}


def _label(frame0: NDArray[np.uint8], frame1: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Label one pair in both directions, (2, 3, S/8, S/8)."""
    grey = [cv2.cvtColor(np.ascontiguousarray(f), cv2.COLOR_RGB2GRAY) for f in (frame0, frame1)]
    if not hasattr(_own, "method"):
        _own.method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flows = [_own.method.calc(*pair, None) for pair in (grey, grey[::-1])]
    height, width = grey[0].shape
    columns, rows = np.meshgrid(
        np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    )
    labels = []
    for there, back in (flows, flows[::-1]):
        landed = cv2.remap(
            back,
            columns + there[..., 0],
            rows + there[..., 1],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        gap = np.linalg.norm(there + landed, axis=-1)
        known = (gap < 0.5 + 0.05 * np.linalg.norm(there, axis=-1)).astype(np.float32)
        labels.append(_cells(there, known))
    return np.stack(labels)


def _cells(flow: NDArray[np.float32], known: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean flow of the known pixels of each cell and their fraction, (3, h, w)."""
    height, width = (side // CELL_PX for side in known.shape)
    parts = np.dstack((flow * known[..., None], known))
    means = parts.reshape(height, CELL_PX, width, CELL_PX, 3).mean((1, 3), dtype=np.float32)
    means[..., :2] /= np.maximum(means[..., 2:], 1e-3)
    return np.asarray(means.transpose(2, 0, 1), np.float32)
