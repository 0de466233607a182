"""Makes a frame from two frames and the parameters that a network found.

The network may have encoded the frames at a smaller size. Its parameters are smooth (except what a
fade hides), so they are enlarged, and only the pixels themselves are warped at full size. They hold
for any channels of the frames: RGB, or the planes of a video, each at its own size.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from interp_cli.image_ops import box_mean
from interp_cli.models.base import SynthesisParams
from interp_cli.models.warp import Sampling, warp


class Synthesis(NamedTuple):
    """The frame at a timestep, and the flow that it was made from.

    Attributes:
        middle: (N, 3, H, W), nominally in [0, 1], not clipped.
        flow_t0: Offsets in pixels to `frame0`, (N, 2, H, W), (dx, dy).
        flow_t1: Offsets in pixels to `frame1`, (N, 2, H, W), (dx, dy).
        blend_mask: Weight of the warped `frame0`, (N, 1, H, W).
    """

    middle: Tensor
    flow_t0: Tensor
    flow_t1: Tensor
    blend_mask: Tensor


def render(
    frame0: Tensor,
    frame1: Tensor,
    params: SynthesisParams,
    timestep: Tensor | float,
    sampling: Sampling = "supersampled",
) -> Tensor:
    """Warp both frames to the timestep and blend them. Still pixels are not warped.

    Args:
        frame0: Earlier frame, (N, C, H, W), or (1, C, H, W) for every timestep.
        frame1: Later frame, shaped as `frame0`.
        params: Parameters at the frames' size, with a residual for their channels.
        timestep: Position between the frames, (N, 1, 1, 1), or one number for all.
        sampling: Interpolation between pixels. `supersampled` gains 0.1 dB over `bicubic` on
            sharp pictures, but only where the flow is that exact.

    Returns:
        (N, C, H, W), in the frames' range, not clipped.
    """
    warped0 = warp(frame0, params.flow_t0, sampling)
    warped1 = warp(frame1, params.flow_t1, sampling)
    blend = torch.lerp(warped1, warped0, params.blend_mask)
    middle = blend + params.sharpness * (blend - box_mean(blend)) + params.residual
    return torch.lerp(middle, torch.lerp(frame0, frame1, timestep), params.stillness)
