"""What everything in the scene is painted with: noise, shapes, and layers laid over each other.

Pictures are RGB floats from 0 to 255; a layer has its opacity (0 to 1) as a fourth channel, and its
colours are multiplied by it already.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[Any]

# The scene is drawn at twice the size of the clip, in these pixels, and averaged down at the end.
WIDTH, HEIGHT = 1280, 720


def noise(height: int, width: int, roughness: float, seed: int) -> Picture:
    """Cloud-like noise that repeats at its borders, mean 0, deviation 1.

    Args:
        height: Rows.
        width: Columns.
        roughness: Fall of the spectrum: 1 is grainy, 2 is smooth.
        seed: Another number gives another pattern.
    """
    spectrum = np.fft.rfft2(np.random.default_rng(seed).standard_normal((height, width)))
    rows, columns = np.fft.fftfreq(height) * height, np.fft.rfftfreq(width) * width
    frequency = np.hypot(rows[:, None] * (width / height), columns[None, :])
    frequency[0, 0] = np.inf
    field: Picture = np.fft.irfft2(spectrum / frequency**roughness, (height, width))
    return np.asarray(field / field.std(), np.float32)


def rgb(red: float, green: float, blue: float) -> Picture:
    """A colour, 0 to 255 each."""
    return np.array([red, green, blue], np.float32)


def mix(low: Any, high: Any, share: Any) -> Any:
    """`low` where `share` is 0, `high` where it is 1."""
    share = np.clip(share, 0, 1)
    return low * (1 - share) + high * share


def layer(colour: Picture, alpha: Picture) -> Picture:
    """Colour (H, W, 3) and opacity (H, W) as one premultiplied picture (H, W, 4)."""
    return np.dstack([colour * alpha[..., None], alpha]).astype(np.float32)


def over(canvas: Picture, sprite: Picture, x: float, y: float = 0, repeat: bool = False) -> None:
    """Lay a premultiplied picture onto the canvas with its corner at (x, y), not rounded.

    With `repeat` it goes on to the left and the right without end.
    """
    top, bottom = max(int(y), 0), min(int(y) + sprite.shape[0] + (not repeat), canvas.shape[0])
    if top >= bottom:
        return
    shift = np.array([[1, 0, x % sprite.shape[1] if repeat else x], [0, 1, y - top]], np.float32)
    size = (canvas.shape[1], bottom - top)
    border = cv2.BORDER_WRAP if repeat else cv2.BORDER_CONSTANT
    moved = cv2.warpAffine(sprite, shift, size, flags=cv2.INTER_LINEAR, borderMode=border)
    region = canvas[top:bottom]
    region *= 1 - moved[..., 3:]
    region += moved[..., :3]


class Drawing:
    """Flat shapes with soft edges and a grain, for sprites that are drawn once.

    Coordinates have their origin at (`left`, `top`) off the corner, so that a train can be drawn
    around the point where it stands on the rail.
    """

    FINE = 3

    def __init__(self, width: int, height: int, left: int = 0, top: int = 0) -> None:
        self.width, self.height, self.origin = width, height, np.array([left, top])
        self.colour = np.zeros((height * self.FINE, width * self.FINE, 3), np.float32)
        self.alpha = np.zeros((height * self.FINE, width * self.FINE), np.float32)

    def polygon(self, points: Any, colour: Any, rounded: bool = False) -> None:
        """Fill a polygon; `rounded` shades it from the top like a cylinder that lies."""
        fine = np.round((np.array(points) + self.origin) * self.FINE).astype(np.int32)
        left, top = np.maximum(fine.min(0), 0)
        right, bottom = np.minimum(fine.max(0) + 1, self.alpha.shape[::-1])
        if left >= right or top >= bottom:
            return
        mask = np.zeros((bottom - top, right - left), np.uint8)
        cv2.fillPoly(mask, [fine - (left, top)], 1)
        inside = mask.astype(bool)
        light = np.ones((bottom - top, 1), np.float32)
        if rounded:
            across = np.linspace(-1, 1, bottom - top, dtype=np.float32)[:, None]
            light = 0.5 + 0.62 * np.sqrt(np.clip(1 - (across + 0.1) ** 2, 0, 1))
            light += 0.75 * np.exp(-(((across + 0.48) / 0.13) ** 2))
        shaded = light[..., None] * np.asarray(colour, np.float32)
        region = self.colour[top:bottom, left:right]
        region[inside] = np.broadcast_to(shaded, region.shape)[inside]
        self.alpha[top:bottom, left:right][inside] = 1

    def box(
        self, left: float, top: float, right: float, bottom: float, colour: Any, **how: Any
    ) -> None:
        """Fill a rectangle."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour, **how)

    def ellipse(self, x: float, y: float, across: float, down: float, colour: Any) -> None:
        """Fill an ellipse around (x, y)."""
        angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
        self.polygon(np.stack([x + across * np.cos(angles), y + down * np.sin(angles)], 1), colour)

    def sprite(self, grain: float = 0.04, seed: int = 1) -> Picture:
        """The drawing as a premultiplied picture (H, W, 4)."""
        texture = 1 + grain * noise(*self.alpha.shape, 0.9, seed)
        whole = layer(np.clip(self.colour * texture[..., None], 0, 255), self.alpha)
        return cv2.resize(whole, (self.width, self.height), interpolation=cv2.INTER_AREA)
