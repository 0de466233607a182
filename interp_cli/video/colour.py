"""Planes of a video frame to RGB tensors and back.

The planes of an original go to the encoder as they are. Networks that have motion see RGB, with the
video's own matrix and range, and what they add goes back through it; the planes themselves are
moved. Of other networks a synthesized frame passes through RGB: chroma goes up by repetition and
down by the mean of the same pixels. That pair is the identity on every picture, so a still scene
does not flicker between originals and synthesized frames, wherever the chroma samples are sited.
"""

from __future__ import annotations

from dataclasses import replace

import av
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from interp_cli.image_ops import fitted
from interp_cli.video.pixel_format import PixelFormat, native_format, pixel_format_of, planes_of
from interp_cli.video.probe import ColourTags


def to_rgb(planes: tuple[Tensor, ...], pixel_format: PixelFormat) -> tuple[Tensor, Tensor | None]:
    """Turn planes into a picture.

    Args:
        planes: As from `planes_of`, with a batch axis in front: (N, H, W[, channels]).
        pixel_format: Layout and meaning of the planes.

    Returns:
        RGB (N, 3, H, W), float32, nominally in [0, 1], and opacity (N, 1, H, W) or `None`.
        Video may lie outside [0, 1] and is not clipped, so that the inverse is exact.
    """
    height, width = pixel_format.height, pixel_format.width
    channels = {
        name: _repeat(channel.float(), pixel_format.steps(name))[..., :height, :width]
        for name, channel in channels_of(planes, pixel_format).items()
    }
    return _rgb_of(channels, pixel_format)


def to_small_rgb(
    channels: dict[str, Tensor], pixel_format: PixelFormat, factor: int, multiple: int
) -> tuple[Tensor, Tensor | None]:
    """Turn channels into a smaller picture, without making the large one.

    Args:
        channels: As from `channels_of`.
        pixel_format: Layout and meaning of the planes.
        factor: Reduction of each side.
        multiple: Divisor of both sides of the result; the last row and column are repeated.

    Returns:
        As `to_rgb`, (N, 3, h, w) with h the height / `factor`, rounded up to the multiple.
    """
    height, width = (
        -(-side // (factor * multiple)) * multiple
        for side in (pixel_format.height, pixel_format.width)
    )
    small = {}
    for name, channel in channels.items():
        rows, columns = pixel_format.steps(name)
        beyond = (
            0,
            width * factor // columns - channel.shape[-1],
            0,
            height * factor // rows - channel.shape[-2],
        )
        whole = F.pad(channel.float().unsqueeze(1), beyond, mode="replicate")
        small[name] = fitted(whole, height, width)[:, 0]
    return _rgb_of(small, pixel_format)


def _rgb_of(channels: dict[str, Tensor], pixel_format: PixelFormat) -> tuple[Tensor, Tensor | None]:
    """RGB and opacity of channels that all have one size, (N, H, W) in codes."""
    peak = pixel_format.peak
    alpha = (channels["A"] / peak).unsqueeze(1) if pixel_format.has_alpha else None
    if pixel_format.kind == "rgb":
        return torch.stack([channels[c] for c in "RGB"], 1) / peak, alpha
    black, scale, middle, chroma_scale = _code_range(pixel_format)
    luma = (channels["Y"] - black) / scale
    if pixel_format.kind == "gray":
        return luma.unsqueeze(1).expand(-1, 3, -1, -1), alpha
    kr, kb = pixel_format.luma_weights
    blue, red = ((channels[c] - middle) / chroma_scale for c in "UV")
    r = luma + 2 * (1 - kr) * red
    b = luma + 2 * (1 - kb) * blue
    g = (luma - kr * r - kb * b) / (1 - kr - kb)
    return torch.stack((r, g, b), 1), alpha


def from_rgb(rgb: Tensor, alpha: Tensor | None, pixel_format: PixelFormat) -> tuple[Tensor, ...]:
    """Turn a picture into planes, rounded: the inverse of `to_rgb`.

    Args:
        rgb: (N, 3, H, W), nominally in [0, 1].
        alpha: (N, 1, H, W) where the pixel format has opacity.
        pixel_format: Layout and meaning of the planes to make.

    Returns:
        Integer-valued tensors (N, H, W[, channels]), uint8 or (above 8 bits) int32; float32 for
        a floating-point format, neither rounded nor clipped.
    """
    black, _, middle, _ = _code_range(pixel_format)
    zero = {"Y": black, "U": middle, "V": middle}
    channels = {
        name: _mean(change, pixel_format.steps(name)) + zero.get(name, 0.0)
        for name, change in to_changes(rgb, pixel_format).items()
    }
    if pixel_format.has_alpha:
        opacity = torch.ones_like(rgb[:, 0]) if alpha is None else alpha[:, 0]
        channels["A"] = opacity * pixel_format.peak
    return planes_from(channels, pixel_format)


def to_changes(rgb: Tensor, pixel_format: PixelFormat) -> dict[str, Tensor]:
    """The change of each channel, except opacity, that a change of the picture makes.

    Args:
        rgb: (N, 3, H, W), 1 from black to white.
        pixel_format: Layout and meaning of the channels.

    Returns:
        Codes, (N, H, W), not rounded; those of chroma before it is subsampled.
    """
    r, g, b = rgb.float().unbind(1)
    if pixel_format.kind == "rgb":
        return {"R": r * pixel_format.peak, "G": g * pixel_format.peak, "B": b * pixel_format.peak}
    _, scale, _, chroma_scale = _code_range(pixel_format)
    kr, kb = pixel_format.luma_weights
    luma = kr * r + (1 - kr - kb) * g + kb * b
    if pixel_format.kind == "gray":
        return {"Y": luma * scale}
    blue, red = (b - luma) / (2 * (1 - kb)), (r - luma) / (2 * (1 - kr))
    return {"Y": luma * scale, "U": blue * chroma_scale, "V": red * chroma_scale}


def planes_from(channels: dict[str, Tensor], pixel_format: PixelFormat) -> tuple[Tensor, ...]:
    """Round and clip channels in codes, (N, H, W) each at its own size, into planes."""
    peak = pixel_format.peak
    if "X" in pixel_format.order:
        channels["X"] = torch.full_like(channels["R"], peak)
    if pixel_format.is_float:
        return tuple(channels[c] for c in pixel_format.order)
    dtype = torch.uint8 if pixel_format.depth <= 8 else torch.int32
    rounded = [channels[c].round().clamp_(0, peak).to(dtype) for c in pixel_format.order]
    return (torch.stack(rounded, -1),) if pixel_format.packed else tuple(rounded)


def to_rgb8(image: av.VideoFrame, tags: ColourTags) -> NDArray[np.uint8]:
    """A frame as an ordinary 8-bit picture, (H, W, 3) RGB, with the video's matrix and range."""
    image = native_format(image)
    pixel_format = pixel_format_of(image, tags)
    planes = tuple(torch.from_numpy(plane.copy())[None] for plane in planes_of(image))
    rgb, _ = to_rgb(planes, pixel_format)
    pixel_format8 = replace(pixel_format, depth=8, kind="rgb", order="RGB", packed=True)
    return from_rgb(rgb, None, pixel_format8)[0][0].numpy()


def channels_of(planes: tuple[Tensor, ...], pixel_format: PixelFormat) -> dict[str, Tensor]:
    """Each channel by its name, (N, H, W), as a view."""
    if pixel_format.packed:
        planes = planes[0].unbind(-1)
    return dict(zip(pixel_format.order, planes, strict=True))


def _code_range(pixel_format: PixelFormat) -> tuple[float, float, float, float]:
    """Code of black, codes from black to white, neutral chroma code, codes of chroma's unit."""
    step = float(1 << (pixel_format.depth - 8))
    if pixel_format.full_range:
        return 0.0, pixel_format.peak, 128 * step, pixel_format.peak
    return 16 * step, 219 * step, 128 * step, 224 * step


def _repeat(samples: Tensor, steps: tuple[int, int]) -> Tensor:
    """Repeat each sample for all pixels that it covers, some of which may lie outside the frame."""
    for axis, times in zip((-2, -1), steps, strict=True):
        if times > 1:
            samples = samples.repeat_interleave(times, axis)
    return samples


def _mean(full: Tensor, steps: tuple[int, int]) -> Tensor:
    """Mean over the pixels of each sample; at the edge, over those inside the frame."""
    if steps == (1, 1):
        return full
    return F.avg_pool2d(full.unsqueeze(1), steps, ceil_mode=True)[:, 0]
