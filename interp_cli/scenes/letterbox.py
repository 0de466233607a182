"""Black bars: the region of a frame with the picture, and pasting a picture between the bars.

A network that sees bars warps the picture's edge into them. So it gets only the region between
them, and a new frame has the bars of the original before it, bit for bit. Bars are dark and
colourless over the whole width (or height), at both ends of it. In doubt there are none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import av
import numpy as np
from numpy.typing import NDArray

from interp_cli.video.pixel_format import PixelFormat, Planes, planes_of

if TYPE_CHECKING:  # the planner needs regions and no torch
    from torch import Tensor

# Maximum deviation of a bar's sample from black, in codes of 255. Encoders leave one or two.
_TOLERANCE = 2
# Minimum of a bar and of the picture, as fractions of the frame's height or width.
_MIN_BAR = 0.02
_MIN_PICTURE = 0.25


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a frame: rows `top` to `bottom` and columns `left` to `right`, ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    @classmethod
    def whole(cls, layout: PixelFormat) -> Region:
        """All of the frame."""
        return cls(0, layout.height, 0, layout.width)

    def union(self, other: Region) -> Region:
        """The smallest part that holds both."""
        return Region(
            min(self.top, other.top),
            max(self.bottom, other.bottom),
            min(self.left, other.left),
            max(self.right, other.right),
        )

    def layout(self, whole: PixelFormat) -> PixelFormat:
        """How the planes of this part are laid out."""
        return replace(whole, height=self.bottom - self.top, width=self.right - self.left)

    def crop(self, samples: Tensor, steps: tuple[int, int] = (1, 1)) -> Tensor:
        """This part of samples (..., H, W) that cover `steps` rows and columns each."""
        rows, columns = steps
        return samples[
            ...,
            self.top // rows : -(-self.bottom // rows),
            self.left // columns : -(-self.right // columns),
        ]


def picture_region(image: av.VideoFrame, layout: PixelFormat) -> Region | None:
    """Region of the picture between black bars; `None` if the whole frame is black."""
    whole = Region.whole(layout)
    if layout.has_alpha:
        return whole
    planes = planes_of(image)
    black = _Black(planes, layout)
    height, width = layout.height, layout.width
    flat = all(black.row(y) for y in (0, height - 1))
    upright = all(black.column(x) for x in (0, width - 1))
    if not flat and not upright:
        return whole
    rows = np.flatnonzero(~black.rows()) if flat else np.arange(height)
    columns = np.flatnonzero(~black.columns()) if upright else np.arange(width)
    if not rows.size or not columns.size:
        return None
    top, bottom = _between(rows, height, layout.chroma_height)
    left, right = _between(columns, width, layout.chroma_width)
    return Region(top, bottom, left, right)


def paste(planes: Planes, region: Region, original: av.VideoFrame, layout: PixelFormat) -> Planes:
    """Return the original's planes with `planes` in the region."""
    pasted = []
    for index, (whole, part) in enumerate(zip(planes_of(original), planes, strict=True)):
        rows, columns = layout.steps(layout.order[index])
        top, left = region.top // rows, region.left // columns
        samples = whole.copy()
        samples[top : top + part.shape[0], left : left + part.shape[1]] = part
        pasted.append(samples)
    return tuple(pasted)


class _Black:
    """Which rows and columns of a frame are black."""

    def __init__(self, planes: Planes, layout: PixelFormat) -> None:
        step = 1 / 255 if layout.is_float else float(1 << (layout.depth - 8))
        chroma = layout.kind == "yuv"
        self._light = planes[:1] if chroma or layout.packed else planes
        self._chroma = planes[1:3] if chroma else ()
        self._max_black = (0 if layout.full_range else 16) * step + _TOLERANCE * step
        self._neutral = (128 * step, _TOLERANCE * step)
        self._layout = layout

    def row(self, y: int) -> bool:
        return all(plane[y].max() <= self._max_black for plane in self._light)

    def column(self, x: int) -> bool:
        return all(plane[:, x].max() <= self._max_black for plane in self._light)

    def rows(self) -> NDArray[np.bool_]:
        return self._lines(1, self._layout.height, self._layout.chroma_height)

    def columns(self) -> NDArray[np.bool_]:
        return self._lines(0, self._layout.width, self._layout.chroma_width)

    def _lines(self, across: int, length: int, chroma_step: int) -> NDArray[np.bool_]:
        black = np.ones(length, np.bool_)
        for plane in self._light:
            axes = (across, 2) if plane.ndim == 3 else across
            black &= plane.max(axis=axes) <= self._max_black
        middle, tolerance = self._neutral
        for plane in self._chroma:
            ends = plane.max(across).astype(int) - middle, middle - plane.min(across).astype(int)
            neutral = np.maximum(*ends) <= tolerance
            black &= np.repeat(neutral, chroma_step)[:length]
        return black


def _between(lit: NDArray[np.intp], length: int, step: int) -> tuple[int, int]:
    """First line of the picture, and the line after its last, on whole samples of chroma."""
    begin = int(lit[0]) // step * step
    end = min(length, -(-(int(lit[-1]) + 1) // step) * step)
    min_bar = max(1.0, _MIN_BAR * length)
    thin = begin < min_bar or length - end < min_bar
    return (0, length) if thin or end - begin < _MIN_PICTURE * length else (begin, end)
