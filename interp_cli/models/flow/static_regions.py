"""Static regions over moving ground: a caption, a logo, a wire.

Such a region is smaller than the cells of the matcher, so it gets the flow of the ground, but both
frames show it in one place. Let d be the difference of the frames at a pixel, e0 and e1 the
difference of each frame from the other one warped to it, all in codes of 255, and A the mean over a
cell of 8 pixels and its neighbours.

1. A pixel is alike where d is no more than noise: exp(-(d / 4)^2).
2. A pixel is certainly static where the flow explains neither frame: min(e0, e1) - d > A(d) + 0.5.
   A pixel that is alike by chance, in moving texture or on plain ground, does not count, because it
   is no more alike than its surroundings. Static ground behind a passing object does not count
   either: its own flow is zero in one of the frames or both, and explains them.
3. A caption looks like such ground, because letters hide letters, and the inside of a stroke seems
   to move with the ground. The two differ in how much of half the picture around moves in both
   frames: where most of it does, the static region lies in front. There the flow of the ground is
   tested, and one unexplained frame is enough: max(e0, e1) - d > max(A(d), 1.5 G) + 4, where G is
   the unexplained difference of the ground around, because waves and leaves are alike in places,
   too. The condition must hold for a quarter of the pixels around that are alike.
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
# By how much worse, of 1, the flow must explain the frames than no flow. One unexplained frame is
# weaker evidence than two.
_NEITHER_EXPLAINED, _ONE_UNEXPLAINED = 0.5 / 255, 4 / 255
# How many times worse than it explains the ground around.
_THAN_GROUND = 1.5
# Required fraction of the pixels around that are alike, and the width of the transition.
_ENOUGH, _ENOUGH_WIDTH = 0.25, 0.05
# Required fraction of half the picture that moves, for a static region to lie in front, and the
# width of the transition.
_MOST, _MAX_WIDTH = 0.65, 0.05
# Maximum number of cells in each direction, to see what most of the picture does.
_WIDE_CELLS = 16
# A static region moves by less than this fraction of the ground's flow.
_STILL = 0.3
# Added to denominators, so that little evidence counts little.
_LITTLE_UNLIKE, _LITTLE_ALIKE = 0.02, 0.01


@torch.no_grad()
def stillness(frames: Tensor, flow: Tensor, shown: Tensor | None = None) -> Tensor:
    """Find static regions in which flow was found, by the rules above. It has no gradient.

    Args:
        frames: Both frames, (N, 2, C, H, W) in [0, 1], H and W multiples of 8.
        flow: Flow from each frame to the other, (N, 2, 2, h, w), (dx, dy) in pixels of its own,
            coarser grid.
        shown: The original frames, if `frames` were compensated for brightness: a static region
            need not fade with the ground.

    Returns:
        Confidence that nothing moves, (N, 1, H, W), 0 to 1.
    """
    size = frames.shape[-2:]
    cell_px = constants(flow, size[1] / flow.shape[-1], size[0] / flow.shape[-2])
    cell_px = cell_px.view(1, 1, 2, 1, 1)
    flow, in_front = _with_ground_flow(flow * cell_px)
    moved = warp(frames.flip(1).flatten(0, 1), resized(flow.flatten(0, 1), *size))
    differ = _difference(frames)
    if shown is not None:
        differ = torch.minimum(differ, _difference(shown))
    differ_moved = (frames - moved.view_as(frames)).abs().amax(2, keepdim=True)
    alike = torch.exp(-((differ / _ALIKE) ** 2))

    around = _around(differ)
    still = _clearly(differ_moved.amin(1) - differ, resized(around, *size), _NEITHER_EXPLAINED)

    # The other frame cannot explain what enters the picture.
    seen = F.interpolate(_stays_inside(flow / cell_px), size)
    worse = (differ_moved * seen.unsqueeze(2)).amax(1)
    ground = _around(worse * (1 - alike)) / (_around(1 - alike) + _LITTLE_UNLIKE)
    around_limit = resized(torch.maximum(around, _THAN_GROUND * ground), *size)
    unexplained = _clearly(worse - differ, around_limit, _ONE_UNEXPLAINED)
    fraction = _around(alike * unexplained) / (_around(alike) + _LITTLE_ALIKE)
    enough = torch.sigmoid((fraction - _ENOUGH) / _ENOUGH_WIDTH)
    still_in_front = enough * F.interpolate(in_front, fraction.shape[-2:])
    return alike * torch.maximum(still, alike * resized(still_in_front, *size))


def _difference(frames: Tensor) -> Tensor:
    """Largest difference of both frames over the channels, (N, 1, H, W)."""
    return (frames[:, 0] - frames[:, 1]).abs().amax(1, keepdim=True)


def _with_ground_flow(flow: Tensor) -> tuple[Tensor, Tensor]:
    """Give static cells the flow of the ground where most of the picture moves.

    Args:
        flow: Flow from each frame to the other, (N, 2, 2, h, w), in pixels of the frames.

    Returns:
        The changed flow, and the confidence that most of the picture moves, (N, 1, h, w), 0 to 1.
    """
    size = flow.shape[-2:]
    forward = direction(flow)
    length = lengths(flow)
    moves = (1 - torch.exp(-(length**2))).prod(1)
    # About the same cells whatever the size, and means over half of them in both directions.
    sums = torch.cat(((flow * forward).mean(1) * moves, moves), 1)
    sums = F.avg_pool2d(sums, [-(-side // _WIDE_CELLS) for side in size], ceil_mode=True)
    reach = [cells // 4 for cells in sums.shape[-2:]]
    sums = F.avg_pool2d(sums, [2 * r + 1 for r in reach], 1, reach, count_include_pad=False)
    sums = resized(sums, *size)
    fraction = sums[:, 2:]
    most = torch.sigmoid((fraction - _MOST) / _MAX_WIDTH)
    ground = (sums[:, :2] / (fraction + 1e-4)).unsqueeze(1) * forward
    still = length.amax(1, keepdim=True) < _STILL * lengths(ground)
    return torch.where(still & (most.unsqueeze(1) > 0.5), ground, flow), most


def _stays_inside(flow: Tensor) -> Tensor:
    """1 where the flow, (N, 2, 2, h, w), points into the picture, otherwise 0, (N, 2, h, w)."""
    height, width = flow.shape[-2:]
    x = flow[:, :, 0] + torch.arange(width, device=flow.device)
    y = flow[:, :, 1] + torch.arange(height, device=flow.device).view(-1, 1)
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return inside.to(flow.dtype)


def _clearly(excess: Tensor, than: Tensor, minimum: float) -> Tensor:
    """Confidence that `excess` is above another difference by more than `minimum`."""
    # The limits are not exact: half sure at them, and all but sure a little above.
    return torch.sigmoid((excess - than - minimum) / (0.1 * than + 0.5 * minimum))


def _around(image: Tensor) -> Tensor:
    """Mean over each cell and its neighbours, (N, C, H / 8, W / 8)."""
    return box_mean(shrunk(image, _CELL_PX))
