"""A frame made from its neighbours and from what a network found out about them.

The network may have seen the frames at a smaller size: motion, weights and corrections are smooth
(but for those of what a fade hides), so they are enlarged, and only the pixels themselves are moved
at full size. And they hold for any channels of the frames: RGB, or the planes of a video at their
own sizes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from interp_cli.image_ops import box_mean, constants, resized
from interp_cli.models.warp import Sampling, warp


class SynthesisParams(NamedTuple):
    """How the frame at a timestep comes about, at the size of the pictures that were seen.

    Attributes:
        flow_t0: Offsets in pixels to `frame0`, (N, 2, H, W), (dx, dy).
        flow_t1: To `frame1`, likewise.
        blend_mask: Weight of the warped `frame0`, (N, 1, H, W), 0 to 1.
        stillness: How sure it is that nothing moves, (N, 1, H, W), 0 to 1.
        sharpness: How much detail is to be added, in units of what is there, (N, 1, H, W).
        residual: What is to be added to the channels, (N, C, H, W).
    """

    flow_t0: Tensor
    flow_t1: Tensor
    blend_mask: Tensor
    stillness: Tensor
    sharpness: Tensor
    residual: Tensor

    def enlarged(self, height: int, width: int) -> SynthesisParams:
        """The same for frames of another size."""
        if self.flow_t0.shape[-2:] == (height, width):
            return self
        scale = constants(
            self.flow_t0, width / self.flow_t0.shape[-1], height / self.flow_t0.shape[-2]
        ).view(1, 2, 1, 1)
        scaled = self._replace(flow_t0=self.flow_t0 * scale, flow_t1=self.flow_t1 * scale)
        return SynthesisParams(*(resized(part, height, width) for part in scaled))

    def cropped(self, height: int, width: int) -> SynthesisParams:
        """The upper left part."""
        return SynthesisParams(*(part[..., :height, :width] for part in self))


class Synthesis(NamedTuple):
    """The frame at a timestep, and how it came about.

    Attributes:
        middle: (N, 3, H, W), nominally in [0, 1], not clipped.
        flow_t0: Offsets in pixels to `frame0`, (N, 2, H, W), (dx, dy).
        flow_t1: To `frame1`, likewise.
        blend_mask: Weight of the warped `frame0`, (N, 1, H, W).
    """

    middle: Tensor
    flow_t0: Tensor
    flow_t1: Tensor
    blend_mask: Tensor


def render(
    frame0: Tensor,
    frame1: Tensor,
    recipe: SynthesisParams,
    timestep: Tensor | float,
    sampling: Sampling = "supersampled",
) -> Tensor:
    """Move both frames to the timestep and blend them; what stands still is not moved.

    Args:
        frame0: Earlier frame, (N, C, H, W), or (1, C, H, W) at every timestep.
        frame1: Later frame, likewise.
        recipe: At the frames' size, with a residual for their channels.
        timestep: (N, 1, 1, 1), or one for all.
        sampling: How the frames are sampled between their pixels. What supersampling keeps,
            `bicubic` would lose, 0.1 dB on sharp pictures, but only if the motion is that exact.

    Returns:
        (N, C, H, W), in the frames' range, not clipped.
    """
    warped0 = warp(frame0, recipe.flow_t0, sampling)
    warped1 = warp(frame1, recipe.flow_t1, sampling)
    blend = torch.lerp(warped1, warped0, recipe.blend_mask)
    middle = blend + recipe.sharpness * (blend - box_mean(blend)) + recipe.residual
    return torch.lerp(middle, torch.lerp(frame0, frame1, timestep), recipe.stillness)
