"""What two pictures say of motion by closed formulas, so that nothing has to learn it.

The last part of a pixel: convolutions learn to move a picture by a tenth of a pixel only slowly.
Least squares need not learn it, so refinements get their step as `Matcher` gets that of the cost
volume, and say how far they trust it. Given to weights that knew nothing of it, the step of the
finest level alone was worth 0.4 to 1.9 dB on pictures with smooth motion.

Where both frames nearly agree on the motion, its mean is better than either (`agreed`).

And what stands still: a caption or a wire over moving ground is smaller than the cells in which
motion is sought, but both frames show it in one place.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from interp_cli.models.warp import warp
from interp_cli.resample import bordered, box_mean, constants, resized, shrunk

# The formula holds for less than a pixel.
_LARGEST_PX = 1.0
# Added to the squared gradients, of pictures in [0, 1]: where there are none, nothing moves.
_DAMPING = 3e-5
# Motions this far apart agree to 37%.
_AGREED_PX = 4.0
# Frames that differ by this much, of 1, are alike to 37%; noise and compression stay below it.
_ALIKE = 4 / 255
# Surroundings are cells of this side and their neighbours.
_CELL_PX = 8
# The picture in at most so many cells each way, to see what most of it does.
_WIDE_CELLS = 16
# How much worse, of 1, the motion must explain the frames than no motion does: that one of them is
# not explained is less sure than that both are not.
_BOTH_UNLIKE, _ONE_UNLIKE = 0.5 / 255, 4 / 255
# And how much worse than it explains the ground beside it.
_THAN_GROUND = 1.5
# How much of the energy in which warped frames differ counts as doubt of their detail's.
_DOUBT = 0.35
# The share of what is alike in the surroundings that must be so, and how gradually it counts.
_STILL_SHARE, _STILL_WIDTH = 0.25, 0.05
# Likewise, of half the picture, what must move for the rest to lie in front.
_MOVING_SHARE, _MOVING_WIDTH = 0.65, 0.05
# What rests moves by less than this part of the ground's motion.
_RESTS = 0.3
# Added to shares that are divided by: where there is next to nothing, it says nothing.
_LITTLE_UNLIKE, _LITTLE_ALIKE = 0.02, 0.01


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


def agreed(flow: Tensor, times: Tensor) -> Tensor:
    """Give both frames one motion, their mean, where they nearly agree on it.

    Each frame's motion is found with an error of its own; the mean has less of it. Where they do
    not agree, one of the frames does not show the place, and each keeps its own.

    Args:
        flow: From the timestep to both frames, (N, 2, 2, H, W), (dx, dy) in pixels.
        times: How far both frames are away, (N, 2, 1, 1, 1).

    Returns:
        As `flow`.
    """
    towards = -direction(times) * times
    motion = flow / towards  # from frame0 to frame1, as either side has it
    apart = (motion[:, 0] - motion[:, 1]).square().sum(1)
    share = torch.exp(-apart / _AGREED_PX**2).unsqueeze(1).unsqueeze(1)
    return torch.lerp(motion, motion.mean(1, keepdim=True).expand_as(motion), share) * towards


@torch.no_grad()
def stillness(frames: Tensor, motion: Tensor) -> Tensor:
    """Tell where both frames are alike as they are, and along the motion are not.

    What is alike by chance, in texture that moves or in plain ground, must not count: along the
    motion the frames must differ by more than they do as they are in the surroundings. Where
    something comes by in front of a ground that rests, the ground's own motion is found to be
    none, in one frame at least, and explains the frames as well: that is no still.

    Of a caption over a moving ground the same is found, and nothing near it tells the two cases
    apart; what decides is how much of half the picture around moves in both frames. Where most
    does, what rests lies in front, and is asked whether the ground's motion explains it. There it
    also suffices that one of the frames is not explained (letters hide letters, and the inside of
    a stroke looks as if it moved), if that holds for enough of what is alike in the surroundings,
    and by more than for the ground beside it: waves and leaves, which no motion explains, are
    alike in places, too. No gradient flows through it.

    Args:
        frames: Both frames, (N, 2, C, H, W) in [0, 1], H and W multiples of 8.
        motion: From each frame to the other, (N, 2, 2, h, w), (dx, dy) in pixels of its own,
            coarser grid.

    Returns:
        How sure it is that nothing moves, (N, 1, H, W), 0 to 1.
    """
    size = frames.shape[-2:]
    to_px = constants(motion, size[1] / motion.shape[-1], size[0] / motion.shape[-2])
    motion, front = _that_explains(motion * to_px.view(1, 1, 2, 1, 1))
    rebuilt = warp(frames.flip(1).flatten(0, 1), resized(motion.flatten(0, 1), *size))
    unlike = (frames[:, 0] - frames[:, 1]).abs().amax(1, keepdim=True)
    unlike_moved = (frames - rebuilt.view_as(frames)).abs().amax(2, keepdim=True)
    same = _alike(unlike)
    around = _around(unlike)
    surely = _clearly(unlike_moved.amin(1) - unlike, resized(around, *size), _BOTH_UNLIKE)

    seen = F.interpolate(_stays_inside(motion / to_px.view(1, 1, 2, 1, 1)), size)
    once_unlike = (unlike_moved * seen.unsqueeze(2)).amax(1)
    ground = _around(once_unlike * (1 - same)) / (_around(1 - same) + _LITTLE_UNLIKE)
    beside = resized(torch.maximum(around, _THAN_GROUND * ground), *size)
    likely = _clearly(once_unlike - unlike, beside, _ONE_UNLIKE)
    share = _around(same * likely) / (_around(same) + _LITTLE_ALIKE)
    enough = torch.sigmoid((share - _STILL_SHARE) / _STILL_WIDTH)
    spread = enough * F.interpolate(front, share.shape[-2:])
    return same * torch.maximum(surely, same * resized(spread, *size))


def _that_explains(motion: Tensor) -> tuple[Tensor, Tensor]:
    """Ask of what rests in front whether it moves with the ground.

    Args:
        motion: From each frame to the other, (N, 2, 2, h, w), in pixels of the frames.

    Returns:
        That motion, but where most moves, the ground's instead of next to none; and how sure it
        is that most moves, (N, 1, h, w), 0 to 1.
    """
    size = motion.shape[-2:]
    forward = direction(motion)
    length = motion.norm(dim=2, keepdim=True)
    moves = (1 - torch.exp(-(length**2))).prod(1)
    # About the same cells whatever the size, and means over half of them in both directions.
    told = torch.cat(((motion * forward).mean(1) * moves, moves), 1)
    told = F.avg_pool2d(told, [-(-side // _WIDE_CELLS) for side in size], ceil_mode=True)
    reach = [cells // 4 for cells in told.shape[-2:]]
    told = F.avg_pool2d(told, [2 * r + 1 for r in reach], 1, reach, count_include_pad=False)
    told = resized(told, *size)
    share = told[:, 2:]
    front = torch.sigmoid((share - _MOVING_SHARE) / _MOVING_WIDTH)
    ground = (told[:, :2] / (share + 1e-4)).unsqueeze(1) * forward
    rests = length.amax(1, keepdim=True) < _RESTS * ground.norm(dim=2, keepdim=True)
    return torch.where(rests & (front.unsqueeze(1) > 0.5), ground, motion), front


def _stays_inside(motion: Tensor) -> Tensor:
    """Where the motion, (N, 2, 2, h, w), points into the picture: 1, else 0, (N, 2, h, w)."""
    height, width = motion.shape[-2:]
    x = motion[:, :, 0] + torch.arange(width, device=motion.device)
    y = motion[:, :, 1] + torch.arange(height, device=motion.device).view(-1, 1)
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return inside.to(motion.dtype)


def direction(like: Tensor) -> Tensor:
    """Which way a side's own motion goes from `frame0` to `frame1`: 1 and -1, (1, 2, 1, 1, 1)."""
    return constants(like, 1.0, -1.0).view(1, 2, 1, 1, 1)


def doubtful_detail(warped: Tensor) -> Tensor:
    """What share of the detail of warped frames, (N, 2, 3, H, W), their difference puts in doubt.

    Where motion is wrong the frames differ in more than their finest detail; where it is right
    they differ by noise and by what sampling does to sharp edges, which a mean over 3x3 pixels
    takes away. Both are compared by their energy.

    Returns:
        (N, 1, H, W), 0 to 1.
    """
    mean, difference = warped.mean(1), warped[:, 0] - warped[:, 1]
    detail, doubt = (
        box_mean(box_mean(x.square().mean(1, keepdim=True)))
        for x in (mean - box_mean(mean), box_mean(difference))
    )
    return (_DOUBT * doubt / (detail + 1e-6)).clamp(max=1)


def _alike(unlike: Tensor) -> Tensor:
    """How sure it is that pictures that differ by so much, of 1, show the same: 0 to 1."""
    return torch.exp(-((unlike / _ALIKE) ** 2))


def _clearly(excess: Tensor, than: Tensor, least: float) -> Tensor:
    """How sure it is that `excess` is more than another difference and than `least`."""
    # The limits are not exact: half sure at them, and all but sure a little above.
    return torch.sigmoid((excess - than - least) / (0.1 * than + 0.5 * least))


def _around(image: Tensor) -> Tensor:
    """Mean over each cell and its neighbours, (N, C, H / 8, W / 8)."""
    return box_mean(shrunk(image, _CELL_PX))
