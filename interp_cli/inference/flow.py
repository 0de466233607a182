"""Optical flow as a result of inference."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


class OpticalFlow(NamedTuple):
    """How a frame between two others came about; of a batch, each has N in front.

    A thing that moves by d pixels from `frame0` to `frame1` has `flow_t0` = -t d and
    `flow_t1` = (1 - t) d at the place where it is at the timestep t.

    Attributes:
        flow_t0: Offsets in pixels from the frame between to `frame0`, (H, W, 2), (dx, dy).
        flow_t1: To `frame1`, likewise.
        blend_mask: Weight of `frame0` in each pixel, (H, W), 0 to 1.
    """

    flow_t0: Array
    flow_t1: Array
    blend_mask: Array

    @property
    def displacement(self) -> Array:
        """Motion from `frame0` to `frame1` in pixels, (H, W, 2), seen from the frame between."""
        return self.flow_t1 - self.flow_t0

    def placed(self, top: int, left: int, height: int, width: int) -> OpticalFlow:
        """The motion of a larger frame of which this is a part; nothing moves around it."""
        rows = (top, height - top - self.blend_mask.shape[0])
        columns = (left, width - left - self.blend_mask.shape[1])
        if not any((*rows, *columns)):
            return self
        # The bars are those of `frame0`.
        mask = np.pad(self.blend_mask, (rows, columns), constant_values=1)
        sides = (rows, columns, (0, 0))
        return OpticalFlow(np.pad(self.flow_t0, sides), np.pad(self.flow_t1, sides), mask)
