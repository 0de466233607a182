"""Motion that is not even: how the pairs beside a pair bend the way of its motion.

Two frames tell how far a thing goes between them, not whether it speeds up, slows down or turns
meanwhile. The frames before and after tell that: through its four places goes a cubic (through
three, where one is not known, a parabola). Their motions are at hand, since each pair needs its
own. What moves evenly stays where it was.

Source: Xu et al. 2019, "Quadratic video interpolation", for three frames; here the polynomial is
that of Newton for any four times, and it moves what a network has found for even motion.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from interp_cli.image_ops import box_mean, constants, resized, shrunk
from interp_cli.models.base import SynthesisParams
from interp_cli.models.warp import round_trip_error, warp

# Both directions of a pair's motion may miss each other by this much, in cells of its grid.
_AGREED_CELLS = 1.0
# A change of motion below this, in pixels as the network sees them, may be noise; and the less the
# pairs before and after agree on it, the less can be foretold: this share of their difference,
# squared, is doubt, too.
_NOISE_PX = 0.35
_UNSTEADY = 0.15
# The frame that does not show a place has this much to say of it.
_HIDDEN_SHARE = 0.05
# Added to weights that are divided by: where there is next to nothing, it says nothing.
_LITTLE = 0.02


class AdjacentMotion(NamedTuple):
    """The pairs before and after each of N pairs, as far as they belong to the same motion.

    Attributes:
        earlier: Motion of the pair that ends with `frame0`, (N, 2, 2, h, w), as the network gives
            it: from its first frame, from `frame0`. Anything where it is not known.
        later: Of the pair that begins with `frame1`, likewise.
        known: 1 where those are known, else 0; (N, 2): earlier, later.
        intervals: How long they last, in units of the pair between them, (N, 2).
    """

    earlier: Tensor
    later: Tensor
    known: Tensor
    intervals: Tensor

    @classmethod
    def of(
        cls,
        motion: Tensor,
        earlier: Sequence[Tensor | None],
        later: Sequence[Tensor | None],
        intervals: Sequence[tuple[float, float]],
    ) -> AdjacentMotion:
        """Put together what is known of N pairs.

        Args:
            motion: Of the pairs, (N, 2, 2, h, w).
            earlier: For each of them, (1, 2, 2, h, w), or `None`.
            later: Likewise.
            intervals: For each of them both.
        """
        both = [
            torch.cat([motion[:1] if one is None else one for one in side])
            for side in (earlier, later)
        ]
        pairs = zip(earlier, later, strict=True)
        known = [float(one is not None) for pair in pairs for one in pair]
        lengths = [length for pair in intervals for length in pair]
        return cls(*both, *(constants(motion, *values).view(-1, 2) for values in (known, lengths)))


def apply_trajectory(
    params: SynthesisParams,
    motion: Tensor,
    adjacent: AdjacentMotion,
    timestep: Tensor,
    counts: Sequence[int],
) -> SynthesisParams:
    """Move what is to be shown from the even way to the bent one.

    Args:
        params: For even motion, of R frames, (R, C, H, W).
        motion: Of N pairs, (N, 2, 2, h, w) in pixels of its own grid, which divides H and W: from
            `frame0`, from `frame1`.
        adjacent: What is known of the pairs beside them.
        timestep: (R, 1, 1, 1).
        counts: How many of the frames, in their order, belong to each pair.

    Returns:
        The recipe with other flows.
    """
    height, width = params.blend_mask.shape[-2:]
    cell = height // motion.shape[-2]
    mask = shrunk(params.blend_mask, cell)
    intervals, known = (
        _for_each(of_pairs, counts).view(-1, 2, 1, 1, 1).unbind(1)
        for of_pairs in (adjacent.intervals, adjacent.known)
    )
    # How much the parabola through either end counts in the cubic.
    shares = (1 - timestep + intervals[1], timestep + intervals[0])
    changes, weights = [], []
    for side, flow in enumerate((params.flow_t0, params.flow_t1)):
        told = _for_each(_change(motion, adjacent, side), counts)
        change, trust = torch.split(warp(told, shrunk(flow, cell) / cell), [2, 1], 1)
        shown = mask if side == 0 else 1 - mask
        changes.append(change)
        weights.append(trust * (shown + _HIDDEN_SHARE) * 2 * shares[side] / sum(shares))
    total = weights[0] + weights[1] + _LITTLE
    change = (changes[0] * weights[0] + changes[1] * weights[1]) / total
    size = _square(change)
    apart = known[0] * known[1] * _square(changes[0] - changes[1])
    believed = size / (size + _UNSTEADY * apart + (_NOISE_PX / cell) ** 2)
    # Of a cubic a parabola is half of the evidence.
    evidence = (known[0] + known[1]) / 2
    offset = -timestep * (1 - timestep) / 2 * believed * evidence * change * cell
    offset = resized(offset, height, width) * (1 - params.stillness)
    return params._replace(flow_t0=params.flow_t0 - offset, flow_t1=params.flow_t1 - offset)


def _change(motion: Tensor, adjacent: AdjacentMotion, side: int) -> Tensor:
    """How the motion of N pairs changes at `frame0` (0) or `frame1` (1).

    Returns:
        The change within the time of the pair in pixels of the motion's grid, and how far it can
        be trusted, 0 to 1, (N, 3, h, w).
    """
    other = adjacent.later if side else adjacent.earlier
    known = adjacent.known[:, side].view(-1, 1, 1, 1)
    length = adjacent.intervals[:, side].view(-1, 1, 1, 1)
    # Of this pair and the other: away from the frame that they share.
    away, beyond = motion[:, side], other[:, 1 - side]
    change = 2 * (away + beyond / length) / (1 + length)
    missed = round_trip_error(away, motion[:, 1 - side])
    missed = missed + round_trip_error(beyond, other[:, side])
    trust = known * torch.exp(-missed / _AGREED_CELLS)
    around = box_mean(trust)
    return torch.cat((box_mean(change * trust) / (around + 1e-4), around), 1)


def _for_each(of_pairs: Tensor, counts: Sequence[int]) -> Tensor:
    """Rows of pairs, (N, …), as rows of their frames, without indices from the host."""
    if all(count == 1 for count in counts):
        return of_pairs
    rows = (of_pairs[i : i + 1] for i in range(len(of_pairs)))
    return torch.cat([row.expand(n, *row.shape[1:]) for row, n in zip(rows, counts, strict=True)])


def _square(vectors: Tensor) -> Tensor:
    return (vectors * vectors).sum(1, keepdim=True)
