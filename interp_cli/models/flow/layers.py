"""Layers of networks on pairs of frames.

Tensors of a pair have a second axis for its sides, (N, 2, C, H, W). Convolutions take both sides
in the channels, (N, 2 C, H, W): `concat_sides` and `split_sides` convert between the two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp_cli.image_ops import padded, resized, shrunk


class CoarseBranch(nn.Module):
    """Adds to features a branch with more channels at half the resolution.

    The branch adds nothing until it is trained.
    """

    def __init__(self, channels: int, inner: int, *, blocks: int, sides: bool = False) -> None:
        """Set the sizes.

        Args:
            channels: Number of channels of the features.
            inner: Number of channels at half the resolution.
            blocks: Number of residual blocks.
            sides: Whether both sides of a pair are in the channels, as `SwapConv` has them.
        """
        super().__init__()
        conv = SwapConv if sides else PlainConv
        self.enter = conv(channels, inner, 3)
        self.body = nn.Sequential(*(ResidualBlock(inner, conv) for _ in range(blocks)))
        self.leave = conv(inner, channels, 1)
        nn.init.zeros_(self.leave.weight)

    def forward(self, features: Tensor) -> Tensor:
        """Add the branch to features, (N, C, H, W)."""
        height, width = features.shape[-2:]
        inner = self.body(act(self.enter(shrunk(padded(features, 2), 2))))
        return features + doubled(self.leave(inner))[..., :height, :width]


class SwapConv(nn.Module):
    """A convolution that treats both sides of a pair alike.

    The first half of the channels belongs to side 0, the second to side 1, in and out. Both
    halves of the output have the same weights, applied to (own side, other side), so swapping
    the sides of the input swaps those of the output.
    """

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1) -> None:
        super().__init__()
        start = nn.Conv2d(inputs, outputs // 2, size)
        self.weight = nn.Parameter(start.weight.detach())  # (outputs / 2, inputs, size, size)
        self.bias = nn.Parameter(torch.zeros(outputs // 2))
        self.stride = stride

    def forward(self, sides: Tensor) -> Tensor:
        """Convolve (N, C, H, W)."""
        return self._of_both(sides, self.weight, self.bias)

    def scaled(self, sides: Tensor, scale: Tensor) -> Tensor:
        """Convolve, the outputs of a side times `scale`, (outputs / 2,)."""
        return self._of_both(sides, self.weight * scale.view(-1, 1, 1, 1), self.bias * scale)

    def _of_both(self, sides: Tensor, own: Tensor, bias: Tensor) -> Tensor:
        both = torch.cat((own, own.roll(own.shape[1] // 2, 1)))
        return _convolved(sides, both, bias.repeat(2), self.stride)


class PlainConv(nn.Module):
    """The counterpart of `SwapConv` for the features of one picture."""

    def __init__(self, inputs: int, outputs: int, size: int) -> None:
        super().__init__()
        start = nn.Conv2d(inputs, outputs, size)
        self.weight = nn.Parameter(start.weight.detach())
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, features: Tensor) -> Tensor:
        """Convolve (N, C, H, W)."""
        return _convolved(features, self.weight, self.bias)

    def scaled(self, features: Tensor, scale: Tensor) -> Tensor:
        """Convolve, the outputs times `scale`, (outputs,)."""
        weight = self.weight * scale.view(-1, 1, 1, 1)
        return _convolved(features, weight, self.bias * scale)


class ResidualBlock(nn.Module):
    """Adds a convolution, scaled by channel, to its input."""

    def __init__(self, channels: int, conv: type[SwapConv | PlainConv]) -> None:
        super().__init__()
        self.conv = conv(channels, channels, 3)
        self.scale = nn.Parameter(torch.full_like(self.conv.bias, 0.5))

    def forward(self, features: Tensor) -> Tensor:
        """Convolve features, (N, C, H, W), and add them."""
        return act(self.conv.scaled(features, self.scale) + features)


def per_side(function: Callable[..., Tensor], pair: Tensor, *others: Any) -> Tensor:
    """Call a function of (N, C, H, W) on both sides at once."""
    flat = (x.flatten(0, 1) if isinstance(x, Tensor) else x for x in others)
    return torch.unflatten(function(pair.flatten(0, 1), *flat), 0, pair.shape[:2])


def stack_sides(one: Sequence[Tensor], two: Sequence[Tensor]) -> list[Tensor]:
    """Make pairs, (N, 2, C, H, W), of both sides' tensors, (N, C, H, W)."""
    return [torch.stack(both, 1) for both in zip(one, two, strict=True)]


def concat_sides(*pairs: Tensor) -> Tensor:
    """Concatenate pairs and move the sides into the channels, (N, 2 C, H, W), as in `SwapConv`."""
    return torch.cat(pairs, 2).flatten(1, 2)


def split_sides(sides: Tensor) -> Tensor:
    """Undo `concat_sides`."""
    return torch.unflatten(sides, 1, (2, -1))


def doubled(image: Tensor) -> Tensor:
    """Interpolate (N, C, H, W) to twice the size."""
    return resized(image, 2 * image.shape[-2], 2 * image.shape[-1])


def l2_normalize(features: Tensor) -> Tensor:
    """Scale features to length 1 in each place, float32. The channels are the third last axis.

    torch's `normalize` takes ten times as long on a CPU.
    """
    features = features.float()
    return features * torch.rsqrt(features.square().sum(-3, keepdim=True) + 1e-24)


def pixel_shuffle(fine: Tensor) -> Tensor:
    """Rearrange (N, 2, 4 C, H, W) to (N, 2, C, 2 H, 2 W), in half the time of torch's on a CPU."""
    height, width = fine.shape[-2:]
    apart = torch.unflatten(fine, 2, (-1, 2, 2)).permute(0, 1, 2, 5, 3, 6, 4)
    return apart.reshape(*fine.shape[:2], -1, 2 * height, 2 * width)


def act(features: Tensor) -> Tensor:
    """Leaky ReLU, in place, because its input is not needed again."""
    return F.leaky_relu_(features, 0.1)


def activated_conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """A 3x3 convolution and a leaky ReLU."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.LeakyReLU(0.1, inplace=True))


def _convolved(features: Tensor, weight: Tensor, bias: Tensor, stride: int = 1) -> Tensor:
    """Convolve (N, C, H, W), padded with zeros to its own size."""
    size = weight.shape[-1]
    if size == 1:  # on one core torch's convolution takes up to twice as long
        flat = torch.matmul(weight.flatten(1), features.flatten(2))
        return torch.unflatten(flat.add_(bias.view(-1, 1)), 2, features.shape[2:])
    return F.conv2d(features, weight, bias, stride, size // 2)
