"""Planes of a video frame to RGB tensors and back.

The planes of an original go to the encoder as they are; only a synthesized frame passes through
RGB, with the video's own matrix and range. Chroma goes up by repetition and down by the mean of
the same pixels: that pair is the identity on every picture, so a still scene does not flicker
between originals and synthesized frames, wherever the chroma samples are sited.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import av
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from interp_cli.errors import OpenError
from interp_cli.video.probe import ColourTags

Samples = NDArray[np.uint8] | NDArray[np.uint16]
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
# Formats that hold the same samples in another order; FFmpeg's repacking loses nothing.
_REPACKED = {
    "nv12": "yuv420p",
    "nv21": "yuv420p",
    "nv16": "yuv422p",
    "nv24": "yuv444p",
    "nv42": "yuv444p",
    "p010le": "yuv420p10le",
    "p012le": "yuv420p12le",
    "p016le": "yuv420p16le",
    "p210le": "yuv422p10le",
    "p410le": "yuv444p10le",
    "yuyv422": "yuv422p",
    "yvyu422": "yuv422p",
    "uyvy422": "yuv422p",
    "y210le": "yuv422p10le",
    "pal8": "bgra",
    "monob": "gray",
    "monow": "gray",
    "gray16be": "gray16le",
    "rgb48be": "rgb48le",
    "rgba64be": "rgba64le",
}
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


@dataclass(frozen=True, slots=True)
class PictureFormat:
    """How the planes of a video's frames are laid out and what their numbers mean.

    Attributes:
        name: FFmpeg's pixel format, one that this module reads (see `native_format`).
        width: Columns.
        height: Rows.
        depth: Bits a sample.
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
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        """Of every array of planes."""
        return np.uint8 if self.depth <= 8 else np.uint16


def native_format(image: av.VideoFrame) -> av.VideoFrame:
    """The frame in a pixel format that this module reads, without any loss.

    Raises:
        OpenError: There is no such format.
    """
    name = image.format.name
    if name in _REPACKED:
        return image.reformat(format=_REPACKED[name])
    if name in _PACKED or _is_planar(image.format):
        return image
    raise OpenError(f"pixel format {name} is not supported: convert the file first.")


def picture_format(image: av.VideoFrame, tags: ColourTags) -> PictureFormat:
    """Describe the planes of a frame that `native_format` returned.

    An untagged matrix is guessed as players do: BT.709 from 1280 columns or 577 rows up,
    else BT.601. A matrix that is not a luma equation (such as ICtCp) counts as BT.709: the way
    there and back is exact whatever the matrix.
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
    if matrix not in _LUMA_WEIGHTS:
        small = image.width < 1280 and image.height <= 576
        matrix = 6 if matrix == 2 and small else 1
    full = True if name.startswith("yuvj") else tags.full_range
    return PictureFormat(
        name=name,
        width=image.width,
        height=image.height,
        depth=components[0].bits,
        kind=kind,
        order=order,
        packed=name in _PACKED,
        chroma_width=_subsampling(image.width, chroma.width),
        chroma_height=_subsampling(image.height, chroma.height),
        luma_weights=_LUMA_WEIGHTS[matrix],
        # Grey and RGB pictures use all codes unless they say otherwise.
        full_range=full if full is not None and kind != "rgb" else kind != "yuv",
    )


def planes_of(image: av.VideoFrame) -> Planes:
    """The samples of a frame as arrays (H, W) or (H, W, channels), without a copy.

    Shape: chroma planes are smaller by the subsampling. dtype: uint8, or uint16 above 8 bits.
    """
    components = image.format.components
    dtype = np.dtype(np.uint16 if components[0].bits > 8 else np.uint8)
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


def image_of(planes: Planes, layout: PictureFormat) -> av.VideoFrame:
    """A frame that holds a copy of `planes`; the inverse of `planes_of`."""
    image = av.VideoFrame(layout.width, layout.height, layout.name)
    for target, source in zip(planes_of(image), planes, strict=True):
        target[...] = source
    return image


def to_rgb(planes: tuple[Tensor, ...], layout: PictureFormat) -> tuple[Tensor, Tensor | None]:
    """Turn planes into a picture.

    Args:
        planes: As from `planes_of`, with a batch axis in front: (N, H, W[, channels]).
        layout: What they mean.

    Returns:
        RGB (N, 3, H, W), float32, nominally in [0, 1] (video may lie outside: it is not
        clipped, so that the way back is exact), and opacity (N, 1, H, W) or `None`.
    """
    channels = {name: plane.float() for name, plane in _split(planes, layout).items()}
    peak = float((1 << layout.depth) - 1)
    alpha = channels["A"].div_(peak).unsqueeze(1) if layout.has_alpha else None
    if layout.kind == "rgb":
        rgb = torch.stack([channels[c] for c in "RGB"], 1).div_(peak)
        return rgb, alpha
    black, scale, middle, chroma_scale = _code_range(layout)
    luma = channels["Y"].sub_(black).div_(scale)
    if layout.kind == "gray":
        return luma.unsqueeze(1).expand(-1, 3, -1, -1), alpha
    kr, kb = layout.luma_weights
    blue, red = (_repeat(channels[c].sub_(middle).div_(chroma_scale), layout) for c in "UV")
    r = luma + 2 * (1 - kr) * red
    b = luma + 2 * (1 - kb) * blue
    g = (luma - kr * r - kb * b) / (1 - kr - kb)
    return torch.stack((r, g, b), 1), alpha


def from_rgb(rgb: Tensor, alpha: Tensor | None, layout: PictureFormat) -> tuple[Tensor, ...]:
    """Turn a picture into planes, rounded: the inverse of `to_rgb`.

    Args:
        rgb: (N, 3, H, W), nominally in [0, 1].
        alpha: (N, 1, H, W) where the layout has opacity.
        layout: What the planes shall mean.

    Returns:
        Integer-valued tensors (N, H, W[, channels]), uint8 or (above 8 bits) int32.
    """
    peak = (1 << layout.depth) - 1
    r, g, b = rgb.float().unbind(1)
    channels: dict[str, Tensor] = {}
    if layout.kind == "rgb":
        channels = {"R": r * peak, "G": g * peak, "B": b * peak}
    else:
        black, scale, middle, chroma_scale = _code_range(layout)
        kr, kb = layout.luma_weights
        luma = kr * r + (1 - kr - kb) * g + kb * b
        channels["Y"] = luma * scale + black
        if layout.kind == "yuv":
            blue, red = (b - luma) / (2 * (1 - kb)), (r - luma) / (2 * (1 - kr))
            channels["U"] = _mean(blue, layout) * chroma_scale + middle
            channels["V"] = _mean(red, layout) * chroma_scale + middle
    if layout.has_alpha:
        channels["A"] = alpha[:, 0] * peak if alpha is not None else torch.full_like(r, peak)
    if "X" in layout.order:
        channels["X"] = torch.full_like(r, peak)
    dtype = torch.uint8 if layout.depth <= 8 else torch.int32
    rounded = [channels[c].round_().clamp_(0, peak).to(dtype) for c in layout.order]
    return (torch.stack(rounded, -1),) if layout.packed else tuple(rounded)


def to_rgb8(image: av.VideoFrame, tags: ColourTags) -> NDArray[np.uint8]:
    """A frame as an ordinary 8-bit picture, (H, W, 3) RGB, with the video's matrix and range."""
    image = native_format(image)
    layout = picture_format(image, tags)
    planes = tuple(torch.from_numpy(plane.copy())[None] for plane in planes_of(image))
    rgb, _ = to_rgb(planes, layout)
    layout8 = replace(layout, depth=8, kind="rgb", order="RGB", packed=True)
    return from_rgb(rgb, None, layout8)[0][0].numpy()


def _is_planar(video_format: av.VideoFormat) -> bool:
    """One plane a component, little-endian integers of at most 16 bits."""
    planes = [c.plane for c in video_format.components]
    return (
        sorted(planes) == list(range(len(planes)))
        and not video_format.name.endswith(("be", "f32le", "f16le"))
        and all(8 <= c.bits <= 16 for c in video_format.components)
    )


def _subsampling(full: int, chroma: int) -> int:
    """Samples of luma a sample of chroma: the power of two whose rounded-up share fits."""
    return next(n for n in (1, 2, 4, 8) if -(-full // n) == chroma)


def _split(planes: tuple[Tensor, ...], layout: PictureFormat) -> dict[str, Tensor]:
    """Name each channel's tensor (N, H, W)."""
    if layout.packed:
        planes = planes[0].unbind(-1)
    return dict(zip(layout.order, planes, strict=True))


def _code_range(layout: PictureFormat) -> tuple[float, float, float, float]:
    """Code of black, codes from black to white, neutral chroma code, codes of chroma's unit."""
    step = float(1 << (layout.depth - 8))
    if layout.full_range:
        peak = float((1 << layout.depth) - 1)
        return 0.0, peak, 128 * step, peak
    return 16 * step, 219 * step, 128 * step, 224 * step


def _repeat(chroma: Tensor, layout: PictureFormat) -> Tensor:
    for axis, times in ((-1, layout.chroma_width), (-2, layout.chroma_height)):
        if times > 1:
            chroma = chroma.repeat_interleave(times, axis)
    return chroma[..., : layout.height, : layout.width]


def _mean(full: Tensor, layout: PictureFormat) -> Tensor:
    """Mean over each chroma sample's pixels; windows over the edge count what they hold."""
    window = (layout.chroma_height, layout.chroma_width)
    if window == (1, 1):
        return full
    return F.avg_pool2d(full.unsqueeze(1), window, ceil_mode=True)[:, 0]
