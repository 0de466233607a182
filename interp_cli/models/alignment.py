"""What two pictures say of motion by closed formulas, so that nothing has to learn it.

The last part of a pixel: convolutions learn to move a picture by a tenth of a pixel only slowly.
Least squares need not learn it, so refinements get their step as `Matcher` gets that of the cost
volume, and say how far they trust it. Given to weights that knew nothing of it, the step of the
finest level alone was worth 0.4 to 1.9 dB on pictures with smooth motion.

And what stands still: a caption or a wire over moving ground is smaller than the cells in which
motion is sought, but both frames show it in one place.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from interp_cli.resample import box_mean, resized, shrunk

# The formula holds for less than a pixel.
_LARGEST_PX = 1.0
# Added to the squared gradients, of pictures in [0, 1]: where there are none, nothing moves.
_DAMPING = 3e-5
# Frames that differ by this much, of 1, are alike to 37%; noise and compression stay below it.
_ALIKE = 4 / 255
# Surroundings are cells of this side and their neighbours.
_CELL_PX = 8


@torch.no_grad()
def least_squares_step(warped: Tensor, times: Tensor) -> Tensor:
    """Find the change of motion after which two warped pictures agree best.

    Lucas and Kanade (1981), "An iterative image registration technique with an application to
    stereo vision", for two pictures that both follow the motion: around each place, the v that
    minimises the sum of (w1 - w0 + g v)^2, where g is the gradient of the mean of w0 and w1. No
    gradient flows through it.

    Args:
        warped: Both frames warped to the timestep, (N, 2, C, H, W) in [0, 1], even H and W.
        times: How far both frames are away, (N, 2, 1, 1, 1).

    Returns:
        By how much the motion from `frame0` to `frame1` is to change, (N, 2, H/2, W/2), (dx, dy)
        in pixels of `warped`, at most 1 in each direction.
    """
    mean = (warped * times).sum(1)
    difference = warped[:, 1] - warped[:, 0]
    around = F.pad(mean, (1, 1, 1, 1), mode="replicate")
    gx = (around[..., 1:-1, 2:] - around[..., 1:-1, :-2]) / 2
    gy = (around[..., 2:, 1:-1] - around[..., :-2, 1:-1]) / 2
    products = ((gx, gx), (gx, gy), (gy, gy), (gx, difference), (gy, difference))
    sums = torch.cat([(a * b).mean(1, keepdim=True) for a, b in products], 1)
    sums = box_mean(box_mean(shrunk(sums, 2)))
    xx, xy, yy, x, y = torch.split(sums, 1, 1)
    xx, yy = xx + _DAMPING, yy + _DAMPING
    step: Tensor = torch.cat((xy * y - yy * x, xy * x - xx * y), 1) / (xx * yy - xy * xy)
    return step.clamp(-_LARGEST_PX, _LARGEST_PX)


@torch.no_grad()
def stillness(frames: Tensor, rebuilt: Tensor) -> Tensor:
    """Tell where both frames are alike as they are, and along their motion are not.

    What is alike by chance, in texture that moves or in plain ground, must not count: along their
    motion the frames must differ by more than they do as they are in the surroundings. Where
    something comes by in front of a ground that rests, the ground's own motion is found to be
    none, in one frame at least, and explains the frames as well: that is no still. No gradient
    flows through it.

    Args:
        frames: Both frames, (N, 2, C, H, W) in [0, 1], H and W multiples of 8.
        rebuilt: Each frame made from the other by its own motion.

    Returns:
        How sure it is that nothing moves, (N, 1, H, W), 0 to 1.
    """
    unlike = (frames[:, 0] - frames[:, 1]).abs().amax(1, keepdim=True)
    unlike_moved = (frames - rebuilt).abs().amax(2, keepdim=True).amin(1)
    around = resized(box_mean(shrunk(unlike, _CELL_PX)), *unlike.shape[-2:])
    clearly = (unlike_moved - unlike - around - 0.5 / 255) / (0.1 * around + 0.25 / 255)
    return torch.exp(-((unlike / _ALIKE) ** 2)) * torch.sigmoid(clearly)
