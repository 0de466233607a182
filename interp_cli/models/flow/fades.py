"""Compensates changes of brightness of a whole picture: a fade, a flickering lamp, an exposure.

Steps that compare two pictures by their values (least squares, refinements, static regions) take
such a change for motion. Matching compares directions of descriptors and finds the flow regardless.
So the change is estimated where that flow is consistent in both directions, and both pictures are
brought to the brightness between them before they are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from interp_cli.models.flow.layers import per_side
from interp_cli.models.warp import leads_back, warp

# Number of fits, and the error, of 1, at which a place counts 37% in the next fit.
_ROUNDS, _OFF = 3, 8 / 255
# Limits between which the confidence in a change goes from 0 to 1: the fraction of the difference
# that it leaves, the factor of contrast (a frame that is almost black shows little), and the
# fraction of places in which the flow is consistent.
_LEFT = 0.92, 0.75
_FACTOR = 4.0, 3.0
_SURE = 0.02, 0.1
# Added to denominators, so that little contrast counts little.
_LITTLE = 1e-6


class BrightnessChange(NamedTuple):
    """A change of brightness: a value x of `frame0` is `gain` x + `offset` in `frame1`.

    Attributes:
        gain: Factor for all channels, (N, 1, 1, 1).
        offset: Offset of each channel, (N, C, 1, 1).
        fraction: Confidence in the change, 0 to 1, (N, 1, 1, 1).
    """

    gain: Tensor
    offset: Tensor
    fraction: Tensor

    def until(self, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """How to bring both frames to the brightness at a timestep, for a linear change.

        A change with partial confidence is compensated in part.

        Args:
            timestep: Position between the frames, (N, 1, 1, 1).

        Returns:
            A factor for each frame, (N, 2, 1, 1, 1), and an offset, (N, 2, C, 1, 1).
        """
        gain0 = 1 + timestep * (self.gain - 1)
        offset0 = timestep * self.offset
        gain1 = gain0 / self.gain
        offset1 = (timestep - 1) * self.offset / self.gain
        fraction = self.fraction.unsqueeze(1)
        gain, offset = torch.stack((gain0, gain1), 1), torch.stack((offset0, offset1), 1)
        return 1 + fraction * (gain - 1), fraction * offset


class BrightnessCompensation(NamedTuple):
    """Pictures of both frames, brought to one brightness.

    Attributes:
        shown: The original pictures at the largest size, (N, 2, C, H, W).
        pictures: The compensated pictures at each size, (N, 2, C, H, W).
        gain: Factor of each frame, (N, 2, 1, 1, 1).
        offset: Offset of each frame, (N, 2, C, 1, 1).
    """

    shown: Tensor
    pictures: tuple[Tensor, ...]
    gain: Tensor
    offset: Tensor

    @classmethod
    def of(
        cls, pictures: Sequence[Tensor], change: BrightnessChange, timestep: Tensor
    ) -> BrightnessCompensation:
        """Bring pictures, largest size first, to the brightness at a timestep, (N, 1, 1, 1)."""
        gain, offset = change.until(timestep)
        made = tuple(torch.addcmul(offset, picture, gain) for picture in pictures)
        return cls(pictures[0], made, gain, offset)

    def added(self, pictures: Tensor) -> Tensor:
        """Difference of compensated pictures, warped or not, from the original ones."""
        return torch.addcmul(self.offset / self.gain, pictures, 1 - 1 / self.gain)


@torch.no_grad()
def brightness_change(frames: Tensor, flow: Tensor) -> BrightnessChange:
    """Find the change of brightness that best explains how frames differ after warping.

    Means and contrasts are fitted several times, each time with less weight on places that the fit
    before did not explain. The ratio of contrasts, unlike a regression, does not depend on the
    order of the frames.

    Args:
        frames: Both frames, (N, 2, C, H, W) in [0, 1].
        flow: Flow from each frame to the other, (N, 2, 2, H, W), (dx, dy) in pixels.

    Returns:
        The change. Its confidence is 0 where it explains little of the difference, where it is too
        large to be measured, and where hardly any flow is consistent.
    """
    moved = per_side(warp, frames.flip(1), flow)
    sure = per_side(leads_back, flow, flow.flip(1)).to(frames)
    # Both frames in the same places: on the grid of frame0, then on that of frame1.
    first = torch.stack((frames[:, 0], moved[:, 1]), 1)
    second = torch.stack((moved[:, 0], frames[:, 1]), 1)
    gain, offset, off = _fitted(first, second, sure)
    for _ in range(_ROUNDS - 1):
        gain, offset, off = _fitted(first, second, sure * torch.exp(-((off / _OFF) ** 2)))
    differ = (second - first).abs().amax(2, keepdim=True)
    fraction = (
        _believed(_mean(off, sure) / (_mean(differ, sure) + _LITTLE), *_LEFT)
        * _believed(torch.maximum(gain, 1 / gain), *_FACTOR)
        * _believed(sure.mean((1, 3, 4), keepdim=True), *_SURE)
    )
    return BrightnessChange(gain[:, 0], offset[:, 0], fraction[:, 0])


def _fitted(first: Tensor, second: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gain and offset from `first` to `second`, and the error of each place."""
    mean0, mean1 = _mean(first, weight), _mean(second, weight)
    spread0, spread1 = (
        _mean((x - mean).square(), weight).mean(2, keepdim=True) + _LITTLE
        for x, mean in ((first, mean0), (second, mean1))
    )
    gain = (spread1 / spread0).sqrt()
    offset = mean1 - gain * mean0
    # Halfway between the units of either frame.
    off = (second - gain * first - offset).abs().amax(2, keepdim=True) / gain.sqrt()
    return gain, offset, off


def _believed(value: Tensor, never: float, wholly: float) -> Tensor:
    return ((value - never) / (wholly - never)).clamp(0, 1)


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean over both sides and all places, (N, 1, C, 1, 1)."""
    total = weight.sum((1, 3, 4), keepdim=True)
    return (values * weight).sum((1, 3, 4), keepdim=True) / (total + _LITTLE)
