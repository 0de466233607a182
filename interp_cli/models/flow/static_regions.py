"""What stands still over ground that moves: a caption, a logo, a wire.

Such a thing is smaller than the cells in which motion is sought, so it gets the motion of the
ground; but both frames show it in one place. Let d be the difference of the frames at a pixel,
e0 and e1 those of either frame from the other one moved to it, all of 255, and A the mean over a
cell of 8 pixels and its neighbours.

1. A pixel is alike where d is no more than noise: exp(-(d / 4)^2).
2. It rests, beyond doubt, where motion explains neither frame: min(e0, e1) - d > A(d) + 0.5.
   What is alike by chance, in texture that moves or in plain ground, does not count, since it is
   no more alike than its surroundings. Nor does ground that rests while something comes by in
   front: its own motion is found to be none, in one frame at least, and explains the frames.
3. A caption looks just so, for letters hide letters, and the inside of a stroke seems to move with
   the ground. What tells the two apart is how much of half the picture around moves in both
   frames: where most does, what rests lies in front. There it is asked whether the ground's motion
   explains it, and one frame that is not explained is enough:
   max(e0, e1) - d > max(A(d), 1.5 G) + 4, where G is what is left unexplained of the ground
   beside it, for waves and leaves are alike in places, too. It must hold for a quarter of what is
   alike in the surroundings.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from interp_cli.image_ops import box_mean, constants, resized, shrunk
from interp_cli.models.flow.lucas_kanade import direction
from interp_cli.models.warp import lengths, warp

# Frames that differ by this much, of 1, are alike to 37%; noise and compression stay below it.
_ALIKE = 4 / 255
# Surroundings are cells of this side and their neighbours.
_CELL_PX = 8
# How much worse, of 1, motion must explain the frames than no motion does: that one of them is
# not explained is less sure than that both are not.
_NEITHER_EXPLAINED, _ONE_UNEXPLAINED = 0.5 / 255, 4 / 255
# And how many times worse than it explains the ground beside it.
_THAN_GROUND = 1.5
# The share of what is alike in the surroundings that must be so, and how gradually it counts.
_ENOUGH, _ENOUGH_WIDTH = 0.25, 0.05
# Likewise, of half the picture, what must move for the rest to lie in front.
_MOST, _MAX_WIDTH = 0.65, 0.05
# The picture in at most so many cells each way, to see what most of it does.
_WIDE_CELLS = 16
# What rests moves by less than this part of the ground's motion.
_RESTS = 0.3
# Added to shares that are divided by: where there is next to nothing, it says nothing.
_LITTLE_UNLIKE, _LITTLE_ALIKE = 0.02, 0.01


@torch.no_grad()
def stillness(frames: Tensor, motion: Tensor, shown: Tensor | None = None) -> Tensor:
    """Tell where nothing moves, though motion was found there, by the rules above.

    No gradient flows through it.

    Args:
        frames: Both frames, (N, 2, C, H, W) in [0, 1], H and W multiples of 8.
        motion: From each frame to the other, (N, 2, 2, h, w), (dx, dy) in pixels of its own,
            coarser grid.
        shown: The frames as they are, if `frames` were brought to one brightness: what rests need
            not fade with the ground.

    Returns:
        How sure it is that nothing moves, (N, 1, H, W), 0 to 1.
    """
    size = frames.shape[-2:]
    cell_px = constants(motion, size[1] / motion.shape[-1], size[0] / motion.shape[-2])
    cell_px = cell_px.view(1, 1, 2, 1, 1)
    motion, in_front = _with_that_of_the_ground(motion * cell_px)
    moved = warp(frames.flip(1).flatten(0, 1), resized(motion.flatten(0, 1), *size))
    differ = _difference(frames)
    if shown is not None:
        differ = torch.minimum(differ, _difference(shown))
    differ_moved = (frames - moved.view_as(frames)).abs().amax(2, keepdim=True)
    alike = torch.exp(-((differ / _ALIKE) ** 2))

    around = _around(differ)
    rests = _clearly(differ_moved.amin(1) - differ, resized(around, *size), _NEITHER_EXPLAINED)

    # What comes from outside the other frame cannot be explained by it.
    seen = F.interpolate(_stays_inside(motion / cell_px), size)
    worse = (differ_moved * seen.unsqueeze(2)).amax(1)
    ground = _around(worse * (1 - alike)) / (_around(1 - alike) + _LITTLE_UNLIKE)
    beside = resized(torch.maximum(around, _THAN_GROUND * ground), *size)
    unexplained = _clearly(worse - differ, beside, _ONE_UNEXPLAINED)
    share = _around(alike * unexplained) / (_around(alike) + _LITTLE_ALIKE)
    enough = torch.sigmoid((share - _ENOUGH) / _ENOUGH_WIDTH)
    rests_in_front = enough * F.interpolate(in_front, share.shape[-2:])
    return alike * torch.maximum(rests, alike * resized(rests_in_front, *size))


def _difference(frames: Tensor) -> Tensor:
    """Of both frames in each place, (N, 1, H, W)."""
    return (frames[:, 0] - frames[:, 1]).abs().amax(1, keepdim=True)


def _with_that_of_the_ground(motion: Tensor) -> tuple[Tensor, Tensor]:
    """Give what rests where most moves the ground's motion, to ask whether that explains it.

    Args:
        motion: From each frame to the other, (N, 2, 2, h, w), in pixels of the frames.

    Returns:
        The motion, so changed; and how sure it is that most moves, (N, 1, h, w), 0 to 1.
    """
    size = motion.shape[-2:]
    forward = direction(motion)
    length = lengths(motion)
    moves = (1 - torch.exp(-(length**2))).prod(1)
    # About the same cells whatever the size, and means over half of them in both directions.
    sums = torch.cat(((motion * forward).mean(1) * moves, moves), 1)
    sums = F.avg_pool2d(sums, [-(-side // _WIDE_CELLS) for side in size], ceil_mode=True)
    reach = [cells // 4 for cells in sums.shape[-2:]]
    sums = F.avg_pool2d(sums, [2 * r + 1 for r in reach], 1, reach, count_include_pad=False)
    sums = resized(sums, *size)
    share = sums[:, 2:]
    most = torch.sigmoid((share - _MOST) / _MAX_WIDTH)
    ground = (sums[:, :2] / (share + 1e-4)).unsqueeze(1) * forward
    rests = length.amax(1, keepdim=True) < _RESTS * lengths(ground)
    return torch.where(rests & (most.unsqueeze(1) > 0.5), ground, motion), most


def _stays_inside(motion: Tensor) -> Tensor:
    """Where the motion, (N, 2, 2, h, w), points into the picture: 1, else 0, (N, 2, h, w)."""
    height, width = motion.shape[-2:]
    x = motion[:, :, 0] + torch.arange(width, device=motion.device)
    y = motion[:, :, 1] + torch.arange(height, device=motion.device).view(-1, 1)
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return inside.to(motion.dtype)


def _clearly(excess: Tensor, than: Tensor, least: float) -> Tensor:
    """How sure it is that `excess` is more than another difference and than `least` above it."""
    # The limits are not exact: half sure at them, and all but sure a little above.
    return torch.sigmoid((excess - than - least) / (0.1 * than + 0.5 * least))


def _around(image: Tensor) -> Tensor:
    """Mean over each cell and its neighbours, (N, C, H / 8, W / 8)."""
    return box_mean(shrunk(image, _CELL_PX))
