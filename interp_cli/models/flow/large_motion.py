"""Small things that move far, found by comparing each place with all those around it.

From coarse to fine, motion can only be found of what the coarse pictures still show: a ball, a
hand or a foot that goes further than its own size gets the motion of what is behind it. So at 1/8,
where it can be seen, each place is also compared with all others within reach, wherever the coarser
levels point to. Descriptors of small windows tell few places apart for sure, so a match only counts
if it is much better than what coarse to fine found, if no other place is nearly as good, and if the
other frame agrees; beside such a match, less is enough for the same motion. Brox and Malik (2011),
"Large displacement optical flow: descriptor matching in variational motion estimation", add matches
of descriptors to a coarse-to-fine flow for this reason.
"""

from __future__ import annotations

import torch
from torch import Tensor

from interp_cli.image_ops import box_mean
from interp_cli.models.flow.cost_volume import cost_volume
from interp_cli.models.warp import lengths, warp

# How far around each place, in cells. Further, more is alike by chance: 10 and 16 gained less.
_REACH = 8
# By how much a match's cosine must be above that of the flow it replaces, and above that of any
# place more than `_NEAR` cells from it.
_BETTER, _UNLIKE_OTHERS, _NEAR = 0.3, 0.15, 2
# Matches of both frames agree if they end this close to where they began, in cells.
_RETURN = 1.5
# The same as the first two, for one that moves as its neighbours that are sure do, to a cell; and
# how many cells such a match may be from one that was sure by itself.
_BETTER_BESIDE, _UNLIKE_OTHERS_BESIDE, _BESIDE = 0.1, 0.05, 2


@torch.no_grad()
def global_matches(own: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Find matches that are sure and better than a flow.

    Args:
        own: Descriptors of both frames, of unit length, (N, 2, C, h, w).
        flow: From each frame to the other, (N, 2, 2, h, w), (dx, dy) in cells.

    Returns:
        The motion to the best place within reach, in whole cells, shaped as `flow`; and whether it
        is to replace the flow, (N, 2, 1, h, w).
    """
    pairs = own.shape[:2]
    one, other = own.flatten(0, 1), own.flip(1).flatten(0, 1)
    costs = box_mean(cost_volume(one, other, _REACH))  # means of 3x3 places tell more apart
    side = 2 * _REACH + 1
    by_row_and_column = torch.unflatten(costs, 1, (side, side))
    of_column, of_row = by_row_and_column.amax(1), by_row_and_column.amax(2)
    best, row = of_row.max(1, keepdim=True)
    column = of_column.argmax(1, keepdim=True)
    # What is not near is in another row or in another column.
    second = torch.maximum(_elsewhere(of_row, row), _elsewhere(of_column, column))
    found = torch.cat((column, row), 1).to(flow.dtype) - _REACH
    known = box_mean((one * warp(other, flow.flatten(0, 1))).sum(1, keepdim=True))
    back = warp(torch.unflatten(found, 0, pairs).flip(1).flatten(0, 1), found)
    away = lengths(found + back)
    gain, lead = best - known, best - second
    sure = (gain > _BETTER) & (lead > _UNLIKE_OTHERS) & (away < _RETURN)
    likely = (gain > _BETTER_BESIDE) & (lead > _UNLIKE_OTHERS_BESIDE)
    for _ in range(_BESIDE):
        share = box_mean(sure.to(found.dtype))
        mean = box_mean(found * sure) / share.clamp(min=0.1)  # of 3x3 places one is 0.11
        as_they = (found - mean).abs().amax(1, keepdim=True) <= 1
        sure = sure | (likely & (share > 0.1) & as_they)
    return torch.unflatten(found, 0, pairs), torch.unflatten(sure, 0, pairs)


def _elsewhere(highest: Tensor, at: Tensor) -> Tensor:
    """The highest cosine of the rows, or columns, that are not near one of them."""
    every = torch.arange(highest.shape[1], device=highest.device).view(-1, 1, 1)
    return highest.masked_fill((every - at).abs() <= _NEAR, -1).amax(1, keepdim=True)
