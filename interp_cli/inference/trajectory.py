"""Trajectories of motion that is not uniform, from the flow of adjacent pairs.

Two frames show how far an object moves between them, not whether it accelerates or turns meanwhile.
The frames before and after show that: a cubic goes through its four positions, or a parabola
through three of them where one is unknown. Their flows are known already, because each pair needs
its own. Uniform motion stays as it was.

Source: Xu et al. 2019, "Quadratic video interpolation", for three frames. Here the polynomial is
Newton's for any four times, and it corrects what a network has found for uniform motion.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from interp_cli.image_ops import box_mean, constants, resized, shrunk
from interp_cli.models.base import SynthesisParams
from interp_cli.models.warp import round_trip_error, warp

# Scale of the round trip error at which a pair's flow loses trust, in cells of its grid.
_AGREED_CELLS = 1.0
# A change of flow below this, in pixels at the network's size, may be noise. A fraction of the
# squared difference between the pairs before and after counts as noise, too.
_NOISE_PX = 0.35
_UNSTEADY = 0.15
# Weight of the frame in which a place is hidden.
_HIDDEN_FRACTION = 0.05
# Added to denominators, so that little weight counts little.
_LITTLE = 0.02


class AdjacentMotion(NamedTuple):
    """Flow of the pairs before and after each of N pairs, where they belong to the same motion.

    Attributes:
        earlier: Flow of the pair that ends with `frame0`, (N, 2, 2, h, w), as the network returns
            it: from its first frame, from `frame0`. Any values where it is unknown.
        later: Flow of the pair that begins with `frame1`, (N, 2, 2, h, w).
        known: 1 where these are known, otherwise 0, (N, 2): earlier, later.
        intervals: Their durations in units of the pair between them, (N, 2).
    """

    earlier: Tensor
    later: Tensor
    known: Tensor
    intervals: Tensor

    @classmethod
    def of(
        cls,
        flow: Tensor,
        earlier: Sequence[Tensor | None],
        later: Sequence[Tensor | None],
        intervals: Sequence[tuple[float, float]],
    ) -> AdjacentMotion:
        """Combine the flows of N pairs.

        Args:
            flow: Flow of the pairs, (N, 2, 2, h, w).
            earlier: Flow before each pair, (1, 2, 2, h, w), or `None`.
            later: Flow after each pair, (1, 2, 2, h, w), or `None`.
            intervals: Durations of the pairs before and after each pair.
        """
        flows = [
            torch.cat([flow[:1] if one is None else one for one in side])
            for side in (earlier, later)
        ]
        pairs = zip(earlier, later, strict=True)
        known = [float(one is not None) for pair in pairs for one in pair]
        lengths = [length for pair in intervals for length in pair]
        return cls(*flows, *(constants(flow, *values).view(-1, 2) for values in (known, lengths)))


def apply_trajectory(
    params: SynthesisParams,
    flow: Tensor,
    adjacent: AdjacentMotion,
    timestep: Tensor,
    counts: Sequence[int],
) -> SynthesisParams:
    """Correct parameters for uniform motion by the trajectory.

    Args:
        params: Parameters of R frames, (R, C, H, W).
        flow: Flow of N pairs, (N, 2, 2, h, w) in pixels of its own grid, which divides H and W:
            from `frame0`, from `frame1`.
        adjacent: Flow of the pairs before and after.
        timestep: Position of each frame in its pair, (R, 1, 1, 1).
        counts: Number of frames of each pair, in order.

    Returns:
        The parameters with corrected flows.
    """
    height, width = params.blend_mask.shape[-2:]
    cell = height // flow.shape[-2]
    mask = shrunk(params.blend_mask, cell)
    intervals, known = (
        _repeat_rows(of_pairs, counts).view(-1, 2, 1, 1, 1).unbind(1)
        for of_pairs in (adjacent.intervals, adjacent.known)
    )
    # Weights of the parabolas through both ends in the cubic.
    fractions = (1 - timestep + intervals[1], timestep + intervals[0])
    changes, weights = [], []
    for side, flow_t in enumerate((params.flow_t0, params.flow_t1)):
        change_and_trust = _repeat_rows(_change(flow, adjacent, side), counts)
        change, trust = torch.split(warp(change_and_trust, shrunk(flow_t, cell) / cell), [2, 1], 1)
        shown = mask if side == 0 else 1 - mask
        changes.append(change)
        weights.append(trust * (shown + _HIDDEN_FRACTION) * 2 * fractions[side] / sum(fractions))
    total = weights[0] + weights[1] + _LITTLE
    change = (changes[0] * weights[0] + changes[1] * weights[1]) / total
    size = _square(change)
    disagreement = known[0] * known[1] * _square(changes[0] - changes[1])
    confidence = size / (size + _UNSTEADY * disagreement + (_NOISE_PX / cell) ** 2)
    # A parabola alone is half of the evidence for a cubic.
    evidence = (known[0] + known[1]) / 2
    offset = -timestep * (1 - timestep) / 2 * confidence * evidence * change * cell
    offset = resized(offset, height, width) * (1 - params.stillness)
    return params._replace(flow_t0=params.flow_t0 - offset, flow_t1=params.flow_t1 - offset)


def _change(flow: Tensor, adjacent: AdjacentMotion, side: int) -> Tensor:
    """Change of the flow of N pairs at `frame0` (side 0) or `frame1` (side 1).

    Returns:
        The change within the time of the pair in pixels of the flow's grid, and its confidence,
        0 to 1, (N, 3, h, w).
    """
    other = adjacent.later if side else adjacent.earlier
    known = adjacent.known[:, side].view(-1, 1, 1, 1)
    length = adjacent.intervals[:, side].view(-1, 1, 1, 1)
    # Flows of this pair and the other one, away from the frame that they share.
    away, beyond = flow[:, side], other[:, 1 - side]
    change = 2 * (away + beyond / length) / (1 + length)
    error = round_trip_error(away, flow[:, 1 - side])
    error = error + round_trip_error(beyond, other[:, side])
    trust = known * torch.exp(-error / _AGREED_CELLS)
    around = box_mean(trust)
    return torch.cat((box_mean(change * trust) / (around + 1e-4), around), 1)


def _repeat_rows(of_pairs: Tensor, counts: Sequence[int]) -> Tensor:
    """Repeat rows of pairs, (N, …), for their frames, without indices from the host."""
    if all(count == 1 for count in counts):
        return of_pairs
    rows = (of_pairs[i : i + 1] for i in range(len(of_pairs)))
    return torch.cat([row.expand(n, *row.shape[1:]) for row, n in zip(rows, counts, strict=True)])


def _square(vectors: Tensor) -> Tensor:
    return (vectors * vectors).sum(1, keepdim=True)
