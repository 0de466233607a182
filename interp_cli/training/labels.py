"""Flow labels from a classical method, for the first part of a run.

A matcher with random weights finds large motion only by chance when it learns from pictures alone.
DIS flow (Kroeger et al. 2016) is its label where both directions agree. In the first minutes of
training this saved three quarters of the time.
"""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from interp_cli.evaluation.dis_flow import BidirectionalFlow, length

# Side of the cells over which labels are averaged.
CELL_PX = 8
# Labels have a weight in the loss up to this fraction of a run, and are not computed later.
LAST_FRACTION = 0.25

# Each of the loader's threads has its own buffers.
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
    if not hasattr(_own, "flow"):
        _own.flow = BidirectionalFlow()
    flows, misses = _own.flow.between(*map(np.ascontiguousarray, (frame0, frame1)))
    labels = []
    for flow, miss in zip(flows, misses, strict=True):
        known = (miss < 0.5 + 0.05 * length(flow)).astype(np.float32)
        labels.append(_cells(flow, known))
    return np.stack(labels)


def _cells(flow: NDArray[np.float32], known: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean flow of the known pixels of each cell and their fraction, (3, h, w)."""
    height, width = (side // CELL_PX for side in known.shape)
    parts = np.dstack((flow * known[..., None], known))
    means = parts.reshape(height, CELL_PX, width, CELL_PX, 3).mean((1, 3), dtype=np.float32)
    means[..., :2] /= np.maximum(means[..., 2:], 1e-3)
    return np.asarray(means.transpose(2, 0, 1), np.float32)
