"""Large motion of small objects, found by comparing each place with all places around it.

Coarse-to-fine matching only follows objects that the coarse pictures still show: a ball, a hand or
a foot that moves by more than its own size gets the flow of the background. So at 1/8, where it is
visible, each place is also compared with all others within reach, wherever the coarser levels
point. Descriptors of small windows are ambiguous, so a match only counts if it is much better than
the coarse-to-fine flow, if no other place is nearly as good, and if the other frame agrees. Next
to such a match, weaker evidence is enough for the same flow. Brox and Malik (2011), "Large
displacement optical flow: descriptor matching in variational motion estimation", add matches of
descriptors to a coarse-to-fine flow for this reason.
"""

from __future__ import annotations

import torch
from torch import Tensor

from interp_cli.image_ops import box_mean
from interp_cli.models.flow.cost_volume import cost_volume
from interp_cli.models.warp import lengths, warp

# Search radius in cells. A larger one finds more chance matches: 10 and 16 gained less.
_REACH = 8
# Required lead of a match's cosine over that of the flow it replaces, and over that of any place
# more than `_NEAR` cells from it.
_BETTER, _UNLIKE_OTHERS, _NEAR = 0.3, 0.15, 2
# Maximum round trip error of matches that agree, in cells.
_RETURN = 1.5
# The same leads for a match whose flow differs by at most a cell from that of certain neighbours,
# and the maximum distance in cells from a match that was certain by itself.
_NEXT_BETTER, _NEXT_UNLIKE_OTHERS, _NEXT_CELLS = 0.1, 0.05, 2


@torch.no_grad()
def global_matches(own: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Find matches that are certain and better than a flow.

    Args:
        own: Descriptors of both frames, of unit length, (N, 2, C, h, w).
        flow: Flow from each frame to the other, (N, 2, 2, h, w), (dx, dy) in cells.

    Returns:
        The flow to the best place within reach, in whole cells, shaped as `flow`, and whether it
        replaces the flow, (N, 2, 1, h, w).
    """
    pairs = own.shape[:2]
    one, other = own.flatten(0, 1), own.flip(1).flatten(0, 1)
    costs = box_mean(cost_volume(one, other, _REACH))  # means of 3x3 places are less ambiguous
    side = 2 * _REACH + 1
    by_row_and_column = torch.unflatten(costs, 1, (side, side))
    of_column, of_row = by_row_and_column.amax(1), by_row_and_column.amax(2)
    best, row = of_row.max(1, keepdim=True)
    column = of_column.argmax(1, keepdim=True)
    # A place that is not near is in another row or in another column.
    second = torch.maximum(_elsewhere(of_row, row), _elsewhere(of_column, column))
    found = torch.cat((column, row), 1).to(flow.dtype) - _REACH
    known = box_mean((one * warp(other, flow.flatten(0, 1))).sum(1, keepdim=True))
    back = warp(torch.unflatten(found, 0, pairs).flip(1).flatten(0, 1), found)
    away = lengths(found + back)
    gain, lead = best - known, best - second
    sure = (gain > _BETTER) & (lead > _UNLIKE_OTHERS) & (away < _RETURN)
    likely = (gain > _NEXT_BETTER) & (lead > _NEXT_UNLIKE_OTHERS)
    for _ in range(_NEXT_CELLS):
        fraction = box_mean(sure.to(found.dtype))
        mean = box_mean(found * sure) / fraction.clamp(min=0.1)  # of 3x3 places one is 0.11
        as_they = (found - mean).abs().amax(1, keepdim=True) <= 1
        sure = sure | (likely & (fraction > 0.1) & as_they)
    return torch.unflatten(found, 0, pairs), torch.unflatten(sure, 0, pairs)


def _elsewhere(highest: Tensor, at: Tensor) -> Tensor:
    """The highest cosine of the rows, or columns, that are not near `at`."""
    every = torch.arange(highest.shape[1], device=highest.device).view(-1, 1, 1)
    return highest.masked_fill((every - at).abs() <= _NEAR, -1).amax(1, keepdim=True)
