"""Motion from a classical method, for a matcher to learn from before it can judge by pictures.

A matcher that starts from nothing finds large motion only by chance as long as pictures alone tell
it so. DIS flow (Kroeger et al. 2016), kept where its two directions agree, shows it the way in the
first part of a run; measured in the first minutes of training, it saved three quarters of them.
"""

from __future__ import annotations

import threading

import cv2
import numpy as np
from numpy.typing import NDArray

# Labels are means over cells of this side.
CELL_PX = 8
# The loss gives labels weight up to this share of a run; later ones would be made for nothing.
LAST_SHARE = 0.25

# The method keeps buffers, so each of the loader's threads has its own.
_own = threading.local()


def matcher_labels(frames: NDArray[np.uint8], share: float = 0.0) -> dict[str, NDArray[np.float32]]:
    """Label a batch of triplets.

    Args:
        frames: Earlier, target, later, (N, 3, S, S, 3) uint8 RGB, S a multiple of 8.
        share: Share of the run that is done.

    Returns:
        `motion`, (N, 2, 3, S/8, S/8): for each cell of the earlier and of the later frame the
        mean motion (dx, dy) in pixels to the other frame, and the share of its pixels that it is
        known of. Nothing once labels have no weight any more.
    """
    if share >= LAST_SHARE:
        return {}
    return {"motion": np.stack([_label(f[0], f[2]) for f in frames])}


def _label(frame0: NDArray[np.uint8], frame1: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Both directions of one pair, (2, 3, S/8, S/8)."""
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
    """Mean flow of the known pixels of each cell and their share, (3, h, w)."""
    height, width = (side // CELL_PX for side in known.shape)
    parts = np.dstack((flow * known[..., None], known))
    means = parts.reshape(height, CELL_PX, width, CELL_PX, 3).mean((1, 3), dtype=np.float32)
    means[..., :2] /= np.maximum(means[..., 2:], 1e-3)
    return np.asarray(means.transpose(2, 0, 1), np.float32)
