"""Convolutional fusion upsampling: two frames in, the frame halfway between them out.

Three parallel feature extractors look at both frames at once; their features are resized to
half the frame's size, concatenated and fused by one convolution, and a transposed convolution makes
the picture. The network has no optical flow: it blends what lies within about seven pixels, so
small motion comes out well and large motion as a blend.

Source: "Convolutional Fusion Upsampling" as this project's first network was published in a
tutorial on frame interpolation. Ours differs in one thing: the sizes follow from the frames, so it
works at any even size instead of one that is written into it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_EXTRACTORS = 3


class Fusion(nn.Module):
    """The fusion network; 0.35 million multiplications a pixel."""

    supports_timestep = False

    def __init__(self) -> None:
        super().__init__()
        self.extractors = nn.ModuleList(_extractor() for _ in range(_EXTRACTORS))
        self.fuse = nn.Conv2d(128 * _EXTRACTORS, 128, 3, padding=1)
        # Padding and output padding make the picture exactly twice as large as the features.
        self.up = nn.ConvTranspose2d(128, 3, 3, stride=2, padding=1, output_padding=1)

    def size_multiple(self, height: int, width: int) -> int:
        """Both sides must be even, whatever the size."""
        return 2

    def forward(self, frame0: Tensor, frame1: Tensor, timestep: Tensor) -> Tensor:
        """Make the frame halfway between two.

        Args:
            frame0: Earlier frame, (N, 3, H, W) in [0, 1], H and W even.
            frame1: Later frame, shaped as `frame0`.
            timestep: Ignored, because the network makes only the middle.

        Returns:
            (N, 3, H, W), nominally in [0, 1], not clipped.
        """
        frames = torch.cat((frame0, frame1), 1)
        half = (frames.shape[-2] // 2, frames.shape[-1] // 2)
        features = [
            F.interpolate(extract(frames), size=half, mode="bilinear", align_corners=False)
            for extract in self.extractors
        ]
        fused = F.relu(self.fuse(torch.cat(features, 1)))  # (N, 128, H/2, W/2)
        middle: Tensor = self.up(fused)
        return middle


def _extractor() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(6, 64, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(64, 128, 3, padding=1),
        nn.ReLU(),
    )
