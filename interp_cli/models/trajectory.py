"""Motion that is not even: how the pairs beside a pair bend the way of its motion.

Two frames tell how far a thing goes between them, not whether it speeds up, slows down or turns
meanwhile. The frames before and after tell that: through its four places goes a cubic (through
three, where one is not known, a parabola). Their motions are at hand, since each pair needs its
own. What moves evenly stays where it was.

Source: Xu et al. 2019, "Quadratic video interpolation", for three frames; here the polynomial is
that of Newton for any four times, and it moves what a network has found for even motion.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from interp_cli.models.render import Recipe
from interp_cli.models.warp import warp
from interp_cli.resample import box_mean, resized, shrunk

# Both directions of a pair's motion may miss each other by this much, in cells of its grid.
_AGREED_CELLS = 1.0
# A change of motion below this, in pixels, may be noise; and the less the pairs before and after
# agree on it, the less can be foretold: this share of their difference, squared, is doubt, too.
_NOISE_PX = 0.35
_UNSTEADY = 0.15
# The frame that does not show a place has this much to say of it.
_HIDDEN_SHARE = 0.05
# Added to weights that are divided by: where there is next to nothing, it says nothing.
_LITTLE = 0.02
# Intervals that differ by less are equal, but for the rounding of time stamps.
_ROUNDED = 0.1


class Beside(NamedTuple):
    """The pairs before and after a pair, as far as they belong to the same motion.

    Attributes:
        earlier: Motion of the pair that ends with `frame0`, (1, 2, 2, h, w), as the network gives
            it: from its first frame, from `frame0`. `None`: not known.
        later: Of the pair that begins with `frame1`, likewise.
        earlier_interval: How long that pair lasts, in units of the pair between them.
        later_interval: Likewise.
    """

    earlier: Tensor | None = None
    later: Tensor | None = None
    earlier_interval: float = 1.0
    later_interval: float = 1.0


@torch.no_grad()
def bent(recipe: Recipe, motion: Tensor, beside: Beside, timestep: Tensor) -> Recipe:
    """Move what is to be shown from the even way to the bent one.

    Args:
        recipe: For even motion, at the timesteps of one pair, (T, C, H, W).
        motion: Of the pair, (1, 2, 2, h, w) in pixels of its own grid, which divides H and W:
            from `frame0`, from `frame1`.
        beside: What is known of the pairs beside it.
        timestep: (T, 1, 1, 1).

    Returns:
        The recipe with other flows.
    """
    both = _accelerations(motion, beside)
    if not both:
        return recipe
    height, width = recipe.blend_mask.shape[-2:]
    cell = height // motion.shape[-2]
    mask = shrunk(recipe.blend_mask, cell)
    flows = (recipe.flow_t0, recipe.flow_t1)
    seen = (mask + _HIDDEN_SHARE, 1 - mask + _HIDDEN_SHARE)
    shares = _shares(beside, timestep)
    found = []
    for side, told in both.items():
        flow = shrunk(flows[side], cell) / cell
        change, trust = torch.split(warp(told.expand(len(flow), -1, -1, -1), flow), [2, 1], 1)
        found.append((change, trust * seen[side] * shares[side]))
    total = sum((weight for _, weight in found), torch.full_like(mask, _LITTLE))
    change = sum((each * weight for each, weight in found), torch.zeros_like(found[0][0])) / total
    size = _square(change)
    doubt = (_NOISE_PX / cell) ** 2 + torch.zeros_like(size)
    if len(found) == 2:
        doubt = doubt + _UNSTEADY * _square(found[0][0] - found[1][0])
    # A parabola is half of the evidence for a cubic.
    believed = len(found) / 2 * size / (size + doubt)
    way = -timestep * (1 - timestep) / 2 * believed * change * cell
    way = resized(way, height, width) * (1 - recipe.stillness)
    return recipe._replace(flow_t0=recipe.flow_t0 - way, flow_t1=recipe.flow_t1 - way)


def _accelerations(motion: Tensor, beside: Beside) -> dict[int, Tensor]:
    """How motion changes at `frame0` (0) and `frame1` (1), as far as it is known.

    Returns:
        The change within the time of the pair in pixels of the motion's grid, and how far it can
        be trusted, (1, 3, h, w).
    """
    found = {}
    for side, other, length in (
        (0, beside.earlier, _interval(beside.earlier_interval)),
        (1, beside.later, _interval(beside.later_interval)),
    ):
        if other is None:
            continue
        # Of this pair and the other: away from the frame that they share.
        away, beyond = motion[:, side], other[:, 1 - side]
        change = 2 * (away + beyond / length) / (1 + length)
        missed = _miss(away, motion[:, 1 - side]) + _miss(beyond, other[:, side])
        trust = torch.exp(-missed / _AGREED_CELLS)
        around = box_mean(trust)
        found[side] = torch.cat((box_mean(change * trust) / (around + 1e-4), around), 1)
    return found


def _shares(beside: Beside, timestep: Tensor) -> tuple[Tensor, Tensor]:
    """How much the parabola through either end counts in the cubic; both are 1 halfway."""
    before, after = _interval(beside.earlier_interval), _interval(beside.later_interval)
    whole = (1 + before + after) / 2
    return (1 - timestep + after) / whole, (timestep + before) / whole


def _interval(length: float) -> float:
    return 1.0 if abs(length - 1) <= _ROUNDED else length


def _miss(flow: Tensor, back: Tensor) -> Tensor:
    """By how much the way there and back misses where it began, (N, 1, h, w)."""
    return _square(flow + warp(back, flow)).sqrt()


def _square(vectors: Tensor) -> Tensor:
    return (vectors * vectors).sum(1, keepdim=True)
