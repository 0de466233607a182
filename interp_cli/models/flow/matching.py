"""Features of a frame, and the steps of a flow by matching them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp_cli.models.flow.cost_volume import cost_volume
from interp_cli.models.flow.layers import CoarseBranch, activated_conv
from interp_cli.models.warp import warp

# Channels of the features at 1/4 and 1/8, and of the descriptors there.
QUARTER, EIGHTH = 32, 48
QUARTER_DESCRIPTOR, EIGHTH_DESCRIPTOR = 16, 24


class Encoder(nn.Module):
    """Features of one picture at 1/4 and 1/8, the same at all pyramid levels."""

    def __init__(self) -> None:
        super().__init__()
        self.to_quarter = nn.Sequential(
            activated_conv(3, 16, stride=2),
            activated_conv(16, QUARTER, stride=2),
            activated_conv(QUARTER, QUARTER),
        )
        self.to_eighth = nn.Sequential(
            activated_conv(QUARTER, EIGHTH, stride=2),
            activated_conv(EIGHTH, EIGHTH),
            CoarseBranch(EIGHTH, 96, blocks=2),
        )
        self.quarter_descriptor = nn.Conv2d(QUARTER, QUARTER_DESCRIPTOR, 1)
        self.eighth_descriptor = nn.Conv2d(EIGHTH, EIGHTH_DESCRIPTOR, 3, padding=1)

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Features at 1/4 and 1/8 of a picture whose sides are multiples of 8."""
        quarter = self.to_quarter(picture - 0.5)
        return quarter, self.to_eighth(quarter)


class Matcher(nn.Module):
    """One step of the flow from one frame to another.

    The softmax over a cost volume gives the step. Convolutions weight it and correct it.
    """

    def __init__(
        self,
        descriptor: int,
        radius: int,
        channels: Sequence[int],
        *,
        coarse: int = 0,
        gate: float = 0.0,
    ) -> None:
        super().__init__()
        self.radius = radius
        self.log_contrast = nn.Parameter(torch.tensor(2.5))
        costs = (2 * radius + 1) ** 2
        sizes = (costs + descriptor + 5, *channels)
        self.body = nn.Sequential(*(activated_conv(i, o) for i, o in pairwise(sizes)))
        if coarse:
            self.body.append(CoarseBranch(sizes[-1], coarse, blocks=2))
        self.out = nn.Conv2d(sizes[-1], 3, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        with torch.no_grad():
            self.out.bias.copy_(torch.tensor((0.0, 0.0, gate)))  # type: ignore[union-attr]
        reach = torch.arange(-radius, radius + 1.0)
        dy, dx = torch.meshgrid(reach, reach, indexing="ij")
        self.register_buffer("offsets", torch.stack((dx, dy)).flatten(1), persistent=False)

    def forward(self, own: Tensor, other: Tensor, flow: Tensor) -> Tensor:
        """Improve `flow`, (N, 2, H, W), from descriptors of both frames, (N, C, H, W)."""
        costs = cost_volume(own, warp(other, flow), self.radius)
        likely = F.softmax(costs * self.log_contrast.float().exp(), 1)
        offsets: Tensor = self.offsets  # type: ignore[assignment]
        with torch.autocast(flow.device.type, enabled=False):  # to a 64th of a cell in bfloat16
            step = (offsets.float() @ likely.float().flatten(2)).view_as(flow)
        seen = torch.cat((costs, step, flow * 0.1, own, likely.amax(1, keepdim=True)), 1)
        correction, gate = torch.split(self.out(self.body(seen)).float(), [2, 1], 1)
        return flow + torch.sigmoid(gate) * step + correction
