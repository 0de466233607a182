"""Optical flow as a result of inference."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


class OpticalFlow(NamedTuple):
    """The flow from which a frame between two others was made; arrays of a batch begin with N.

    An object that moves by d pixels from `frame0` to `frame1` has `flow_t0` = -t d and
    `flow_t1` = (1 - t) d at its position at the timestep t.

    Attributes:
        flow_t0: Offsets in pixels from the new frame to `frame0`, (H, W, 2), (dx, dy).
        flow_t1: Offsets in pixels from the new frame to `frame1`, (H, W, 2), (dx, dy).
        blend_mask: Weight of `frame0` in each pixel, (H, W), 0 to 1.
    """

    flow_t0: Array
    flow_t1: Array
    blend_mask: Array

    @property
    def displacement(self) -> Array:
        """Motion from `frame0` to `frame1` in pixels, (H, W, 2), at the pixels of the new frame."""
        return self.flow_t1 - self.flow_t0

    def placed(self, top: int, left: int, height: int, width: int) -> OpticalFlow:
        """The flow of a larger frame that contains this part. Around the part nothing moves."""
        rows = (top, height - top - self.blend_mask.shape[0])
        columns = (left, width - left - self.blend_mask.shape[1])
        if not any((*rows, *columns)):
            return self
        # The bars are those of `frame0`.
        mask = np.pad(self.blend_mask, (rows, columns), constant_values=1)
        sides = (rows, columns, (0, 0))
        return OpticalFlow(np.pad(self.flow_t0, sides), np.pad(self.flow_t1, sides), mask)
