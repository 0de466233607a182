"""Motion between two pictures by closed formulas, without trained weights.

Convolutions learn slowly to move a picture by a tenth of a pixel. A least squares step needs no
learning, so the refinements take it as an input, as `Matcher` takes that of the cost volume, and
weight it. Added to weights that were trained without it, the step of the finest level alone gained
0.4 to 1.9 dB on pictures with smooth motion.

Where the flows of both frames nearly agree, their mean is better than either (`consensus_flow`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from interp_cli.image_ops import bordered, box_mean, constants, shrunk

# The formula holds for less than a pixel.
_LARGEST_PX = 1.0
# Added to the squared gradients, of pictures in [0, 1]: where there are none, nothing moves.
_DAMPING = 3e-5
# Motions this far apart agree to 37%.
_AGREED_PX = 4.0
# Fraction of the difference's energy that counts as uncertainty of the detail.
_DOUBT = 0.35


@torch.no_grad()
def least_squares_step(warped: Tensor, times: Tensor) -> Tensor:
    """Find the change of flow after which two warped pictures agree best.

    Lucas and Kanade (1981), "An iterative image registration technique with an application to
    stereo vision", for two pictures that both follow the motion: around each place, the v that
    minimises the sum of (w1 - w0 + g v)^2, where g is the gradient of the mean of w0 and w1. No
    gradient flows through it.

    Args:
        warped: Both frames warped to the timestep, (N, 2, C, H, W) in [0, 1], even H and W.
        times: Distance from the timestep to both frames, (N, 2, 1, 1, 1).

    Returns:
        Change of the flow from `frame0` to `frame1`, (N, 2, H/2, W/2), (dx, dy) in pixels of
        `warped`, at most 1 in each direction.
    """
    mean = (warped * times).sum(1)
    difference = warped[:, 1] - warped[:, 0]
    around = bordered(mean, left=1, right=1, above=1, below=1)
    gx = (around[..., 1:-1, 2:] - around[..., 1:-1, :-2]) / 2
    gy = (around[..., 2:, 1:-1] - around[..., :-2, 1:-1]) / 2
    products = ((gx, gx), (gx, gy), (gy, gy), (gx, difference), (gy, difference))
    sums = torch.cat([(a * b).mean(1, keepdim=True) for a, b in products], 1)
    sums = box_mean(box_mean(shrunk(sums, 2)))
    xx, xy, yy, x, y = torch.split(sums, 1, 1)
    xx, yy = xx + _DAMPING, yy + _DAMPING
    step: Tensor = torch.cat((xy * y - yy * x, xy * x - xx * y), 1) / (xx * yy - xy * xy)
    return step.clamp(-_LARGEST_PX, _LARGEST_PX)


def consensus_flow(flow: Tensor, times: Tensor) -> Tensor:
    """Replace both frames' flows by their mean, where they nearly agree.

    Each flow has an error of its own, and the mean has less. Where the two disagree, one of the
    frames does not show the place, and each keeps its flow.

    Args:
        flow: Flow from the timestep to both frames, (N, 2, 2, H, W), (dx, dy) in pixels.
        times: Distance from the timestep to both frames, (N, 2, 1, 1, 1).

    Returns:
        Flow, shaped as `flow`.
    """
    towards = -direction(times) * times
    motion = flow / towards  # from frame0 to frame1, by either side
    apart = (motion[:, 0] - motion[:, 1]).square().sum(1)
    fraction = torch.exp(-apart / _AGREED_PX**2).unsqueeze(1).unsqueeze(1)
    return torch.lerp(motion, motion.mean(1, keepdim=True).expand_as(motion), fraction) * towards


def direction(like: Tensor) -> Tensor:
    """Sign of each side's flow in the direction of time: 1 and -1, (1, 2, 1, 1, 1)."""
    return constants(like, 1.0, -1.0).view(1, 2, 1, 1, 1)


def detail_uncertainty(warped: Tensor) -> Tensor:
    """Fraction of the detail of warped frames that their difference makes uncertain.

    Where the flow is wrong, the frames differ in more than their finest detail. Where it is right,
    they differ by noise and by sampling at sharp edges, which a mean over 3x3 pixels removes. Both
    are compared by their energy.

    Args:
        warped: Both frames warped to the timestep, (N, 2, 3, H, W).

    Returns:
        (N, 1, H, W), 0 to 1.
    """
    mean, difference = warped.mean(1), warped[:, 0] - warped[:, 1]
    detail, doubt = (
        box_mean(box_mean(x.square().mean(1, keepdim=True)))
        for x in (mean - box_mean(mean), box_mean(difference))
    )
    return (_DOUBT * doubt / (detail + 1e-6)).clamp(max=1)
