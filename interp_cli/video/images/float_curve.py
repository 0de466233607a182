"""Pictures of floating-point numbers, which have no largest value.

Networks see them through `FloatCurve`, which maps 0 to white to 0 to 1. Only synthesized pictures
go through it and back.
"""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np
from numpy.typing import NDArray

FloatPlanes = tuple[NDArray[np.float32], ...]

FLOAT_FORMATS = ("grayf32le", "gbrpf32le", "gbrapf32le")


@dataclass(frozen=True, slots=True)
class FloatCurve:
    """Maps floating-point values to the range of a network, and back.

    The curve is the square root up to white, which resembles a camera's gamma and makes photon
    noise even. It is logarithmic above, so that nothing is clipped, and mirrored below zero.

    Attributes:
        white_level: The value that becomes 1.
    """

    white_level: float = 1.0

    def to_codes(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map any values to about -7 to 7; what is not a number becomes 0."""
        limit = 1e30
        scaled = np.nan_to_num(values / self.white_level, nan=0.0, posinf=limit, neginf=-limit)
        size = np.abs(scaled)
        codes = np.where(size <= 1, np.sqrt(size), 1 + 0.5 * np.log(np.maximum(size, 1)))
        return np.asarray(np.copysign(codes, scaled), np.float32)

    def to_values(self, codes: NDArray[np.float32]) -> NDArray[np.float32]:
        """The inverse of `to_codes`."""
        size = np.abs(codes)
        values = np.where(size <= 1, size * size, np.exp(2 * (np.clip(size, 1, 36) - 1)))
        return np.asarray(np.copysign(values, codes) * self.white_level, np.float32)


def float_planes(image: av.VideoFrame) -> FloatPlanes | None:
    """The samples of a floating-point frame: Y, or G, B, R and A; `None` for integers."""
    name = image.format.name
    half = name.replace("f16le", "f32le")
    if half not in FLOAT_FORMATS:
        return None
    dtype = np.dtype("<f2" if name != half else "<f4")
    return tuple(
        np.frombuffer(memoryview(plane), dtype)
        .reshape(-1, plane.line_size // dtype.itemsize)[: image.height, : image.width]
        .astype(np.float32)
        for plane in image.planes
    )


def float_image(planes: FloatPlanes) -> av.VideoFrame:
    """The inverse of `float_planes`, always with 32 bits per sample."""
    name = {1: "grayf32le", 3: "gbrpf32le", 4: "gbrapf32le"}[len(planes)]
    height, width = planes[0].shape
    image = av.VideoFrame(width, height, name)
    for plane, samples in zip(image.planes, planes, strict=True):
        rows = np.frombuffer(memoryview(plane), np.float32).reshape(-1, plane.line_size // 4)
        rows[:height, :width] = samples
    return image
