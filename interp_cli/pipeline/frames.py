"""Frames of the input, with what has been computed from each of them once."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import Any

import av
import torch
from torch import Tensor

from interp_cli.inference.transfers import upload
from interp_cli.scenes.base import Thumbnail
from interp_cli.scenes.letterbox import Region, picture_region
from interp_cli.scenes.thumbnails import luma_thumbnail
from interp_cli.video.colour import channels_of, to_rgb
from interp_cli.video.pixel_format import PixelFormat, planes_of


class SourceFrame:
    """A frame and what is worked out about it once, for both pairs that it belongs to.

    Attributes:
        image: Its planes as they were decoded.
        pts: Its time stamp in units of the input, counted from the output's zero.
        encoded: What a network has seen of parts of it; whoever adds to it holds `encode_lock`.
        motion: What a network has found of the motion to it from the frame before, by parts;
            `None` where memory does not suffice. Whoever adds to it holds `flow_lock`.
    """

    def __init__(
        self, image: av.VideoFrame, pts: int, layout: PixelFormat, device: torch.device
    ) -> None:
        """Keep a frame.

        Args:
            image: Its planes as they were decoded.
            pts: Its time stamp in units of the input, counted from the output's zero.
            layout: What the planes are.
            device: Where its pictures are wanted.
        """
        self.image = image
        self.pts = pts
        self.encoded: dict[Region, Any] = {}
        self.encode_lock = threading.Lock()
        self.motion: dict[Region, Tensor | None] = {}
        self.flow_lock = threading.Lock()
        self._layout = layout
        self._device = device

    @cached_property
    def thumbnail(self) -> Thumbnail:
        """A small grey picture, for `scenes`."""
        return luma_thumbnail(self.image)

    @cached_property
    def region(self) -> Region | None:
        """Where the picture lies between black bars; `None` where all is black."""
        return picture_region(self.image, self._layout)

    @property
    def whole(self) -> Region:
        """All of the frame."""
        return Region.whole(self._layout)

    @cached_property
    def pictures(self) -> Tensor:
        """RGB and, where there is one, opacity as a grey picture: (1 or 2, 3, H, W)."""
        return stacked(*to_rgb(self._planes, self._layout))

    @cached_property
    def channels(self) -> dict[str, Tensor]:
        """Its channels by name, (1, H, W) in codes."""
        return channels_of(self._planes, self._layout)

    @cached_property
    def _planes(self) -> tuple[Tensor, ...]:
        """On the device, as they were decoded."""
        planes = (torch.from_numpy(plane)[None] for plane in planes_of(self.image))
        return upload(planes, self._device)


def stacked(rgb: Tensor, alpha: Tensor | None) -> Tensor:
    """Opacity, where there is one, as a grey picture behind the picture: (1 or 2, 3, H, W)."""
    return rgb if alpha is None else torch.cat((rgb, alpha.expand_as(rgb)))
