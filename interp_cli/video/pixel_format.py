"""Pixel formats, and the planes of a frame as arrays; no torch.

Any frame comes into a format that is read here without loss (`native_format`); its planes are then
arrays that share its memory.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from interp_cli.errors import OpenError
from interp_cli.video.probe import ColourTags

Samples = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32]
Planes = tuple[Samples, ...]
# Formats whose planes hold interleaved channels, one array (H, W, channels): order of channels.
_PACKED = {
    "rgb24": "RGB",
    "bgr24": "BGR",
    "rgba": "RGBA",
    "bgra": "BGRA",
    "argb": "ARGB",
    "abgr": "ABGR",
    "rgb0": "RGBX",
    "bgr0": "BGRX",
    "0rgb": "XRGB",
    "0bgr": "XBGR",
    "rgb48le": "RGB",
    "bgr48le": "BGR",
    "rgba64le": "RGBA",
    "bgra64le": "BGRA",
    "ya8": "YA",
}
# Formats that hold the same samples in another order, or a few bits in whole bytes; FFmpeg's
# repacking loses nothing. Big-endian ones turn into their little-endian twins.
_REPACKED = {
    "nv12": "yuv420p",
    "nv21": "yuv420p",
    "nv16": "yuv422p",
    "nv24": "yuv444p",
    "nv42": "yuv444p",
    "nv20le": "yuv422p10le",
    "p010le": "yuv420p10le",
    "p012le": "yuv420p12le",
    "p016le": "yuv420p16le",
    "p210le": "yuv422p10le",
    "p212le": "yuv422p12le",
    "p216le": "yuv422p16le",
    "p410le": "yuv444p10le",
    "p412le": "yuv444p12le",
    "p416le": "yuv444p16le",
    "yuyv422": "yuv422p",
    "yvyu422": "yuv422p",
    "uyvy422": "yuv422p",
    "y210le": "yuv422p10le",
    "y212le": "yuv422p12le",
    "y216le": "yuv422p16le",
    "vuyx": "yuv444p",
    "vyu444": "yuv444p",
    "xv30le": "yuv444p10le",
    "v30xle": "yuv444p10le",
    "xv36le": "yuv444p12le",
    "xv48le": "yuv444p16le",
    "vuya": "yuva444p",
    "ayuv": "yuva444p",
    "uyva": "yuva444p",
    "ayuv64le": "yuva444p16le",
    "x2rgb10le": "gbrp10le",
    "x2bgr10le": "gbrp10le",
    "rgb8": "rgb24",
    "bgr8": "rgb24",
    "rgb555le": "rgb24",
    "bgr555le": "rgb24",
    "rgb565le": "rgb24",
    "bgr565le": "rgb24",
    "pal8": "bgra",
    "monob": "gray",
    "monow": "gray",
}
# The part of a name that stands for the luma columns and rows of a chroma sample.
_SUBSAMPLED = {
    (1, 1): "444",
    (2, 1): "422",
    (2, 2): "420",
    (4, 1): "411",
    (4, 4): "410",
    (1, 2): "440",
}
# Planar formats that NUT, the writer's pipe, has no name for.
_NAMELESS = ("yuv440p10le", "yuv440p12le")
# H.273's code point for an unknown matrix, primaries or transfer.
UNTAGGED = 2
# Planes of floating-point numbers, where white is 1.
_FLOATS = ("grayf32le", "gbrpf32le", "gbrapf32le")
# (Kr, Kb) of the luma equation by H.273 code point.
_LUMA_WEIGHTS = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
    10: (0.2627, 0.0593),
}


class SampleLayout(NamedTuple):
    """The samples of a pixel format: two formats with equal traits hold the same samples.

    Attributes:
        depth: Bits per sample; 0: not a supported format.
        alpha: Whether it has opacity.
        grey: Whether it has no colour.
        rgb: Whether its colours are RGB.
        chroma_width: Luma columns a chroma sample covers.
        chroma_height: Luma rows a chroma sample covers.
    """

    depth: int = 0
    alpha: bool = False
    grey: bool = False
    rgb: bool = False
    chroma_width: int = 1
    chroma_height: int = 1

    @property
    def planar_name(self) -> str:
        """The planar format that holds these samples; grey gets neutral chroma."""
        depth = "" if self.depth == 8 else f"{self.depth}le"
        alpha = "a" if self.alpha else ""
        if self.rgb:
            return f"gbr{alpha}p{depth}"
        return f"yuv{alpha}{_SUBSAMPLED[self.chroma_width, self.chroma_height]}p{depth}"


@functools.cache
def format_traits(name: str) -> SampleLayout:
    """Describe one of FFmpeg's pixel formats."""
    try:
        form = av.VideoFormat(name, 64, 64)
    except ValueError:  # a format of the encoder's ffmpeg that ours does not know
        return SampleLayout()
    components = form.components
    depths = {c.bits for c in components}
    if len(depths) != 1 or form.is_bit_stream:
        return SampleLayout()
    colours = [c for c in components if not c.is_alpha]
    chroma = colours[1] if len(colours) >= 3 else colours[0]
    return SampleLayout(
        depths.pop(),
        len(components) > len(colours),
        len(colours) < 3,
        bool(form.is_rgb),
        64 // chroma.width,
        64 // chroma.height,
    )


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """How the planes of a video's frames are laid out and what their numbers mean.

    Attributes:
        name: FFmpeg's pixel format, one that this module reads (see `native_format`).
        width: Columns.
        height: Rows.
        depth: Bits per sample; 32: floating-point numbers.
        kind: `yuv`, `gray` or `rgb`.
        order: Channel of each array: `YUV`, `YUVA`, `Y`, `GBR` for planes, `RGBA` when packed.
        packed: Whether one array holds all channels.
        chroma_width: Luma columns a chroma sample covers.
        chroma_height: Luma rows a chroma sample covers.
        luma_weights: (Kr, Kb) of the matrix.
        full_range: Whether black is code 0.
    """

    name: str
    width: int
    height: int
    depth: int
    kind: str
    order: str
    packed: bool
    chroma_width: int
    chroma_height: int
    luma_weights: tuple[float, float]
    full_range: bool

    @property
    def has_alpha(self) -> bool:
        """Whether there is a channel of opacity."""
        return "A" in self.order

    @property
    def traits(self) -> SampleLayout:
        """The samples of the pixel format."""
        return format_traits(self.name)

    @property
    def is_float(self) -> bool:
        """Whether samples are floating-point numbers, which may lie outside 0 to 1."""
        return self.depth == 32

    @property
    def peak(self) -> float:
        """The code of white in full range, and of full opacity."""
        return _peak(self.depth)

    def steps(self, channel: str) -> tuple[int, int]:
        """Rows and columns of the picture that a sample of a channel covers."""
        return (self.chroma_height, self.chroma_width) if channel in "UV" else (1, 1)

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16] | type[np.float32]:
        """Type of every array of planes."""
        return np.float32 if self.is_float else np.uint8 if self.depth <= 8 else np.uint16


def native_format(image: av.VideoFrame) -> av.VideoFrame:
    """The frame in a pixel format that this module reads, without any loss.

    Raises:
        OpenError: There is no such format.
    """
    name = image.format.name
    if name == "yuvj411p":  # NUT has no name for it; the stream says that its range is full
        return image.reformat(format="yuv411p", src_color_range="JPEG", dst_color_range="JPEG")
    if name in ("ya16le", "ya16be"):  # nor for this: the grey becomes three equal colours
        codes = np.frombuffer(memoryview(image.planes[0]), np.dtype(f"{'><'[name == 'ya16le']}u2"))
        pairs = codes.reshape(image.height, -1, 2)[:, : image.width]
        grey, alpha = pairs[..., 0], pairs[..., 1]
        return _filled("gbrap16le", (image.width, image.height), (grey, grey, grey, alpha))
    twin = f"{name[:-2]}le"
    repacked = _REPACKED.get(name) or (_REPACKED.get(twin) if name.startswith("p") else None)
    if repacked:  # of big-endian ones, swscale does P010 and its kin alone
        return image.reformat(format=repacked)
    if name in (*_PACKED, *_FLOATS) or _is_planar(image.format):
        return image
    if name.endswith("be") and (twin in _PACKED or _is_planar(av.VideoFormat(twin, 8, 8))):
        return image.reformat(format=twin)
    raise OpenError(f"pixel format {name} is not supported: convert the file first.")


def cropped(image: av.VideoFrame, edges: tuple[int, int, int, int]) -> av.VideoFrame:
    """A frame of `native_format` without its edges: left, right, top, bottom.

    As in ffmpeg, the size is exact, and the left and top edges are rounded down to whole chroma
    samples.
    """
    left, right, top, bottom = edges
    if not any(edges):
        return image
    width, height = image.width - left - right, image.height - top - bottom
    planes = planes_of(image)
    steps = [
        (_subsampling(image.width, plane.shape[1]), _subsampling(image.height, plane.shape[0]))
        for plane in planes
    ]
    across, down = (max(axis) for axis in zip(*steps, strict=True))
    x, y = left // across * across, top // down * down
    parts = tuple(
        plane[y // v : -(-(y + height) // v), x // h : -(-(x + width) // h)]
        for plane, (h, v) in zip(planes, steps, strict=True)
    )
    return _filled(image.format.name, (width, height), parts)


def pixel_format_of(image: av.VideoFrame, tags: ColourTags) -> PixelFormat:
    """Describe the planes of a frame that `native_format` returned.

    An untagged matrix is guessed (see `usual_matrix`). One that is not a luma equation (such as
    ICtCp) counts as BT.709: conversion and inverse are exact with any matrix.
    """
    name = image.format.name
    components = image.format.components
    if name in _PACKED:
        order = _PACKED[name]
    elif image.format.is_rgb:
        order = "GBRA"[: len(components)]
    else:
        order = ("YUVA" if len(components) >= 3 else "YA")[: len(components)]
    kind = "yuv" if "U" in order else "gray" if "Y" in order else "rgb"
    chroma = components[1] if kind == "yuv" else components[0]
    matrix = tags.matrix
    if matrix == UNTAGGED:
        matrix = usual_matrix(image.width, image.height)
    full = True if name.startswith("yuvj") else tags.full_range
    return PixelFormat(
        name=name,
        width=image.width,
        height=image.height,
        depth=components[0].bits,
        kind=kind,
        order=order,
        packed=name in _PACKED,
        chroma_width=_subsampling(image.width, chroma.width),
        chroma_height=_subsampling(image.height, chroma.height),
        luma_weights=luma_weights(matrix),
        # Grey and RGB pictures use all codes unless they say otherwise.
        full_range=full if full is not None and kind != "rgb" else kind != "yuv",
    )


def usual_matrix(width: int, height: int) -> int:
    """The matrix that players assume: BT.709 from 1280 columns or 577 rows up, otherwise BT.601."""
    return 6 if width < 1280 and height <= 576 else 1


def luma_weights(matrix: int) -> tuple[float, float]:
    """(Kr, Kb) of a matrix; where it is no luma equation, those of BT.709."""
    return _LUMA_WEIGHTS.get(matrix, _LUMA_WEIGHTS[1])


def planes_of(image: av.VideoFrame) -> Planes:
    """The samples of a frame as arrays (H, W) or (H, W, channels), without a copy.

    Shape: chroma planes are smaller by the subsampling. dtype: uint8, or uint16 above 8 bits.
    """
    components = image.format.components
    bits = components[0].bits
    dtype = np.dtype(np.float32 if bits == 32 else np.uint16 if bits > 8 else np.uint8)
    channels = len(_PACKED.get(image.format.name, "1"))
    arrays = []
    for index, plane in enumerate(image.planes):
        samples: Samples = np.frombuffer(memoryview(plane), dtype)
        stride = plane.line_size // dtype.itemsize
        rows = samples.reshape(-1, stride)[: plane.height, : plane.width * channels]
        if channels > 1:
            rows = rows.reshape(plane.height, plane.width, channels)
        arrays.append(rows)
        if index == len(components) - 1:
            break
    return tuple(arrays)


def white_code(image: av.VideoFrame) -> float:
    """The largest code of a frame's samples; 1 for floating-point numbers."""
    return _peak(image.format.components[0].bits)


def image_of(planes: Planes, pixel_format: PixelFormat) -> av.VideoFrame:
    """A frame that holds a copy of `planes`; the inverse of `planes_of`."""
    return _filled(pixel_format.name, (pixel_format.width, pixel_format.height), planes)


def _filled(name: str, size: tuple[int, int], planes: Planes) -> av.VideoFrame:
    image = av.VideoFrame(*size, name)
    for target, source in zip(planes_of(image), planes, strict=True):
        target[...] = source
    return image


def _peak(bits: int) -> float:
    return 1.0 if bits == 32 else float((1 << bits) - 1)


def _is_planar(video_format: av.VideoFormat) -> bool:
    """One plane a component, little-endian integers of at most 16 bits."""
    planes = [c.plane for c in video_format.components]
    return (
        sorted(planes) == list(range(len(planes)))
        and not video_format.name.endswith(("be", "f32le", "f16le", "msble"))
        and video_format.name not in _NAMELESS
        and all(8 <= c.bits <= 16 for c in video_format.components)
    )


def _subsampling(full: int, chroma: int) -> int:
    """Luma samples per chroma sample: the power of two whose rounded-up quotient fits."""
    return next(n for n in (1, 2, 4, 8) if -(-full // n) == chroma)
