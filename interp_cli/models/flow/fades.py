"""How much brighter or darker a whole picture gets: a fade, a lamp that flickers, an exposure.

Whatever compares two pictures by their values (least squares, refinements, what stands still)
takes such a change for motion. Matching compares directions of descriptors and finds the motion
all the same. So the change is found where that motion leads there and back, and both pictures are
brought to the brightness between them before they are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from interp_cli.models.flow.layers import each
from interp_cli.models.warp import leads_back, warp

# Fits; in the next one a place off by so much, of 1, counts 37%.
_ROUNDS, _OFF = 3, 8 / 255
# What makes a change believed not at all, and wholly: the share of the difference that it leaves,
# the factor of contrast (of a frame that is almost black little can be seen), and the share of all
# places in which motion leads there and back.
_LEFT = 0.92, 0.75
_FACTOR = 4.0, 3.0
_SURE = 0.02, 0.1
# Added to what is divided by: next to no contrast says nothing of its change.
_LITTLE = 1e-6


class BrightnessChange(NamedTuple):
    """What `frame0` shows as x, `frame1` shows as `gain` x + `offset`.

    Attributes:
        gain: The same for all channels, (N, 1, 1, 1).
        offset: Of each channel, (N, C, 1, 1).
        share: How far that is believed, 0 to 1, (N, 1, 1, 1).
    """

    gain: Tensor
    offset: Tensor
    share: Tensor

    def until(self, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """How to bring both frames to the brightness at a timestep, if it changes evenly.

        A change that is believed in part is undone in part.

        Args:
            timestep: (N, 1, 1, 1), between 0 and 1.

        Returns:
            What to multiply either frame with, (N, 2, 1, 1, 1), and then to add, (N, 2, C, 1, 1).
        """
        gain0 = 1 + timestep * (self.gain - 1)
        offset0 = timestep * self.offset
        gain1 = gain0 / self.gain
        offset1 = (timestep - 1) * self.offset / self.gain
        share = self.share.unsqueeze(1)
        gain, offset = torch.stack((gain0, gain1), 1), torch.stack((offset0, offset1), 1)
        return 1 + share * (gain - 1), share * offset


class BrightnessCompensation(NamedTuple):
    """Pictures of both frames, brought to one brightness.

    Attributes:
        shown: As they are, the largest size, (N, 2, C, H, W).
        pictures: At each size, (N, 2, C, H, W), so brought.
        gain: What either frame was multiplied with, (N, 2, 1, 1, 1).
        offset: What was then added to it, (N, 2, C, 1, 1).
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
        """What evened pictures, warped or not, have more than they would as they are shown."""
        return torch.addcmul(self.offset / self.gain, pictures, 1 - 1 / self.gain)


@torch.no_grad()
def brightness_change(frames: Tensor, motion: Tensor) -> BrightnessChange:
    """Find the change that explains best how frames differ once motion is taken away.

    Means and contrasts are fitted several times, each with less weight on what the one before left
    unexplained. The ratio of contrasts, unlike a regression, is the same either way around.

    Args:
        frames: Both frames, (N, 2, C, H, W) in [0, 1].
        motion: From each frame to the other, (N, 2, 2, H, W), (dx, dy) in pixels.

    Returns:
        The change; its share is 0 where it explains little of the difference, where it is too large
        to be told, and where hardly any motion is sure.
    """
    moved = each(warp, frames.flip(1), motion)
    sure = each(leads_back, motion, motion.flip(1)).to(frames)
    # What either frame shows in the same places: in all of frame0's grid, then of frame1's.
    first = torch.stack((frames[:, 0], moved[:, 1]), 1)
    second = torch.stack((moved[:, 0], frames[:, 1]), 1)
    gain, offset, off = _fitted(first, second, sure)
    for _ in range(_ROUNDS - 1):
        gain, offset, off = _fitted(first, second, sure * torch.exp(-((off / _OFF) ** 2)))
    differ = (second - first).abs().amax(2, keepdim=True)
    share = (
        _believed(_mean(off, sure) / (_mean(differ, sure) + _LITTLE), *_LEFT)
        * _believed(torch.maximum(gain, 1 / gain), *_FACTOR)
        * _believed(sure.mean((1, 3, 4), keepdim=True), *_SURE)
    )
    return BrightnessChange(gain[:, 0], offset[:, 0], share[:, 0])


def _fitted(first: Tensor, second: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gain and offset from `first` to `second`, and by how much each place is off."""
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
