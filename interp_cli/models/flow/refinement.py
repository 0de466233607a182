"""Refinement of flow and blend weights at the timestep, from the warped pictures."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from interp_cli.image_ops import shrunk
from interp_cli.models.flow.cost_volume import cost_volume
from interp_cli.models.flow.layers import (
    CoarseBranch,
    ResidualBlock,
    SwapConv,
    act,
    concat_sides,
    doubled,
    l2_normalize,
    per_side,
    pixel_shuffle,
    split_sides,
)
from interp_cli.models.flow.lucas_kanade import direction, least_squares_step
from interp_cli.models.warp import warp


class State(NamedTuple):
    """State between refinements: flows, blend logits and hidden channels of both sides."""

    flow: Tensor  # (N, 2, 2, H, W) in pixels
    logit: Tensor  # (N, 2, 1, H, W)
    hidden: Tensor | None  # (N, C, H/2, W/2), a side's channels in each half


class Refinement(nn.Module):
    """Corrects flows and blend logits of both sides, at half their resolution."""

    def __init__(
        self,
        channels: int,
        *,
        blocks: int,
        coarse: tuple[int, int] = (0, 0),
        context: int,
        hidden: int,
        radius: int,
        more: int = 0,
    ) -> None:
        """Set the sizes.

        Args:
            channels: Number of channels of both sides together, as everywhere except in `context`.
            blocks: Number of residual blocks.
            coarse: Channels and residual blocks of a `CoarseBranch`; 0: none.
            context: Channels of each frame's features; 0: none.
            hidden: Channels from the refinement before; 0: none.
            radius: Radius of the cost volume between the warped features, in cells; 0: none.
            more: Number of further outputs of each side.
        """
        super().__init__()
        self.radius = radius
        costs = (2 * radius + 1) ** 2 if radius else 0
        self.more = more
        self.look = SwapConv(8, channels, 3, stride=2)
        self.describe = nn.Conv2d(context, 16, 1) if radius else None
        self.take_over = SwapConv(hidden, hidden // 2, 1) if hidden else None
        self.mix = SwapConv(channels + hidden // 2 + 2 * (5 + context + costs), channels, 1)
        self.body = nn.Sequential(*(ResidualBlock(channels, SwapConv) for _ in range(blocks)))
        if coarse[0]:
            branch = CoarseBranch(channels, coarse[0], blocks=coarse[1], sides=True)
            self.body.insert(0, branch)
        # Flow (2), logit, further outputs, and the gate of the least squares step.
        self.out = SwapConv(channels, 2 * (4 + more) * 4, 1)
        nn.init.normal_(self.out.weight, std=1e-3)
        nn.init.zeros_(self.out.bias)

    def forward(
        self, pictures: Tensor, context: Tensor | None, state: State, times: Tensor
    ) -> tuple[State, Tensor]:
        """Correct `state`.

        Args:
            pictures: Pictures of both frames, (N, 2, 3, H, W).
            context: Their features, (N, 2, C, H/2, W/2).
            state: The state so far, with flow and logit at (H, W).
            times: Distance from the timestep to both frames, (N, 2, 1, 1, 1).

        Returns:
            The corrected state, and the further outputs, (N, 2, `more`, H, W).
        """
        balance = (state.logit - state.logit.flip(1)) * 0.25
        sides = per_side(warp, pictures, state.flow)
        seen = self.look(concat_sides(sides, balance))
        aligned = refinement_step(sides, times)
        flow = per_side(shrunk, state.flow, 2) * 0.5
        parts = [split_sides(act(seen)), flow * 0.1, times.expand_as(flow[:, :, :1])]
        if context is not None:
            warped = per_side(warp, context, flow)
            parts.append(warped)
            if self.describe is not None:
                own = l2_normalize(per_side(self.describe, warped))
                parts.append(per_side(cost_volume, own, own.flip(1), self.radius))
        if self.take_over is not None and state.hidden is not None:
            parts.append(split_sides(doubled(self.take_over(state.hidden))))
        parts.append(aligned)
        hidden = self.body(act(self.mix(concat_sides(*parts))))
        correction = pixel_shuffle(split_sides(self.out(hidden))).float()
        step, logit, more, gate = torch.split(correction, [2, 1, self.more, 1], 2)
        step = step + torch.sigmoid(gate) * per_side(doubled, aligned)
        return State(state.flow + step, state.logit + logit, hidden), more


@torch.no_grad()
def refinement_step(warped: Tensor, times: Tensor) -> Tensor:
    """The least squares step of both flows, at half the resolution of `warped`."""
    return -direction(warped) * times * least_squares_step(warped, times).unsqueeze(1)
