"""Textures to move, for tests of networks and of what they are built of."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from interp_cli.models.warp import warp


def smooth(seed: int = 0, size: int = 64) -> torch.Tensor:
    """A picture, (1, 3, size, size), that is smooth from pixel to pixel."""
    noise = torch.rand(1, 3, size // 4, size // 4, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(noise, size=(size, size), mode="bicubic").clamp(0, 1)


def moved(picture: torch.Tensor, dx: float, dy: float, mode: str = "bicubic") -> torch.Tensor:
    """What is at p goes to p + (dx, dy)."""
    flow = torch.tensor((-dx, -dy)).view(1, 2, 1, 1).expand(1, 2, *picture.shape[-2:])
    return warp(picture, flow, mode)


def pan(step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two triplets whose ground goes `step` pixels to the right from frame to frame."""
    random = torch.Generator().manual_seed(1)
    coarse, fine = (torch.rand(2, 3, n, n, generator=random) for n in (24, 64))
    ground = sum(F.interpolate(x, size=(192, 192), mode="bicubic") for x in (coarse, fine)) / 2
    frames = [ground[..., 32:160, 32 - i * step : 160 - i * step] for i in range(3)]
    return frames[0], frames[1], frames[2]
