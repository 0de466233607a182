"""Triplets cropped from footage in the device's memory, so that a GPU never waits.

All planes are copied to the device once, as bytes. A batch is then one gather, in which each pixel
of each crop has its source position, with flips and zoom applied. The draws are those on the CPU
(`triplets`), with three differences: zooming is bilinear, compression is simulated by rounding the
8x8 cosine transform as JPEG does, and fewer draws are tried for one with motion.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from interp_cli.image_ops import padded
from interp_cli.training.draws import Draw, TripletSampler
from interp_cli.training.planes import RGB_FROM_YUV
from interp_cli.training.prepare import Shot
from interp_cli.training.triplets import LIVELY, UNRELATED, TripletBatch, frames_of

# Maximum fraction of the free memory for footage. The network needs the remainder.
_MEMORY_FRACTION = 0.4
# Draws that are tried for one with motion.
_ATTEMPTS = 3
_PROBES = 16


def fits(shots: Sequence[Shot], device: torch.device) -> bool:
    """Whether the footage fits in a GPU's memory together with training."""
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return sum(shot.frames * shot.frame_bytes for shot in shots) <= _MEMORY_FRACTION * free


class ResidentTriplets:
    """Crops batches on the device that holds the footage."""

    def __init__(self, sampler: TripletSampler, device: torch.device) -> None:
        """Copy all shots of `sampler` to `device`."""
        self.sampler = sampler
        self.device = device
        sizes = [shot.frames * shot.frame_bytes for shot in sampler.shots]
        self._starts = [int(start) for start in np.cumsum([0, *sizes])]
        self._bytes = torch.empty(self._starts[-1], dtype=torch.uint8, device=device)
        for shot, start, size in zip(sampler.shots, self._starts, sizes, strict=False):
            self._bytes[start : start + size] = torch.from_numpy(np.array(frames_of(shot)).ravel())
        self._matrix = torch.from_numpy(RGB_FROM_YUV).to(device)

    @torch.no_grad()
    def batch(self, numbers: Sequence[int], crop: int) -> TripletBatch:
        """Crop the triplets of these numbers, (N, 3, crop, crop) each."""
        draws, places = self._lively(
            [[self.sampler.draw(n, crop, a) for a in range(_ATTEMPTS)] for n in numbers]
        )
        frames = self._cut(draws, places, crop)  # (N, 3 frames, 3, S, S), codes of 8 bits / 255
        frames = _recoloured(frames, draws)
        reverse = self._column([d.reverse for d in draws]).view(-1, 1, 1, 1)
        frame0, target, frame1 = frames.unbind(1)
        timestep = self._column([d.shown_timestep for d in draws]).view(-1, 1, 1, 1)
        return TripletBatch(
            torch.where(reverse, frame1, frame0),
            target,
            torch.where(reverse, frame0, frame1),
            timestep.float(),
        )

    def _lively(
        self, choices: Sequence[Sequence[Draw]]
    ) -> tuple[list[Draw], list[tuple[int, int]]]:
        """Choose each triplet's draw and place: the first with motion, else one without a cut.

        A draw with `hardest` has one place, where the frames differ most.
        """
        flat = [(draw, place) for draws in choices for draw in draws for place in draw.places]
        base, stride, first, last, top, left, side = self._columns(
            [
                (
                    self._starts[draw.shot],
                    self.sampler.shots[draw.shot].width,
                    draw.frames[0] * self.sampler.shots[draw.shot].frame_bytes,
                    draw.frames[2] * self.sampler.shots[draw.shot].frame_bytes,
                    *place,
                    draw.side,
                )
                for draw, place in flat
            ]
        )
        steps = (torch.arange(_PROBES, device=self.device) + 0.5) / _PROBES
        y = top.view(-1, 1, 1) + (steps.view(1, -1, 1) * side.view(-1, 1, 1)).long()
        x = left.view(-1, 1, 1) + (steps.view(1, 1, -1) * side.view(-1, 1, 1)).long()
        at = base.view(-1, 1, 1) + y * stride.view(-1, 1, 1) + x
        luma0, luma1 = (self._bytes[at + o.view(-1, 1, 1)].short() for o in (first, last))
        difference = (luma0 - luma1).abs().float().mean((1, 2))
        related = difference <= UNRELATED
        moves = (difference > LIVELY) | self._column([draw.anything for draw, _ in flat])
        largest = difference.view(-1, len(choices[0][0].places)).amax(1, keepdim=True)
        moves &= (difference.view(len(largest), -1) == largest).flatten() | self._column(
            [not draw.hardest for draw, _ in flat]
        )
        use = (related.int() + (related & moves).int()).view(len(choices), -1).cpu().numpy()
        picked = use.argmax(1) + use.shape[1] * np.arange(len(choices))
        chosen = [flat[index] for index in picked]
        return [draw for draw, _ in chosen], [place for _, place in chosen]

    def _cut(self, draws: Sequence[Draw], places: Sequence[tuple[int, int]], crop: int) -> Tensor:
        """Crop squares, with zoom and flips: RGB (N, 3, 3, S, S) in [0, 1]."""
        shots = [self.sampler.shots[draw.shot] for draw in draws]
        base, width, height, top, left, side = (
            column.view(-1, 1, 1)
            for column in self._columns(
                [
                    (self._starts[draw.shot], shot.width, shot.height, *place, draw.side)
                    for draw, shot, place in zip(draws, shots, places, strict=True)
                ]
            )
        )
        flip_x, flip_y, transpose = (
            self._column([getattr(draw, name) for draw in draws]).view(-1, 1, 1)
            for name in ("flip_x", "flip_y", "transpose")
        )
        # Source position of each pixel of the crop in the square, 0 to 1.
        steps = (torch.arange(crop, device=self.device) + 0.5) / crop
        rows, columns = steps.view(1, -1, 1), steps.view(1, 1, -1)
        down, across = torch.where(transpose, columns, rows), torch.where(transpose, rows, columns)
        down, across = torch.where(flip_y, 1 - down, down), torch.where(flip_x, 1 - across, across)
        y = (down * side - 0.5).clamp(min=0)  # (N, S, S)
        x = (across * side - 0.5).clamp(min=0)
        y0, x0 = y.floor().long(), x.floor().long()
        frame = self._columns(
            [
                tuple(index * shot.frame_bytes for index in draw.frames)
                for draw, shot in zip(draws, shots, strict=True)
            ]
        )
        start = base.unsqueeze(1) + torch.stack(frame, 1).view(-1, 3, 1, 1)  # of each frame
        luma_size, chroma_width = width * height, width // 2
        yuv: Tensor | None = None
        for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
            row = top + torch.minimum(y0 + dy, side - 1)
            column = left + torch.minimum(x0 + dx, side - 1)
            weight = (1 - (y - y0 - dy).abs()) * (1 - (x - x0 - dx).abs())
            # Chroma goes up by repetition, as everywhere in this package (video.colour).
            blue = luma_size + row // 2 * chroma_width + column // 2
            offsets = (row * width + column, blue, blue + luma_size // 4)
            samples = torch.stack([self._bytes[start + o.unsqueeze(1)] for o in offsets], 2)
            part = samples * weight.view(-1, 1, 1, crop, crop)
            yuv = part if yuv is None else yuv + part
        matrix = self._matrix[:, :3], self._matrix[:, 3].view(1, 1, 3, 1, 1)
        rgb = torch.einsum("rc,nfchw->nfrhw", matrix[0], yuv) + matrix[1]
        return rgb.clamp(0, 255) / 255

    def _columns(self, rows: Sequence[tuple[int, ...]]) -> tuple[Tensor, ...]:
        """Turn rows of integers, one per triplet, into one tensor per column."""
        return tuple(torch.tensor(rows, dtype=torch.int64).to(self.device).unbind(1))

    def _column(self, values: Sequence[float | bool]) -> Tensor:
        return torch.tensor(values).to(self.device)


def _recoloured(frames: Tensor, draws: Sequence[Draw]) -> Tensor:
    """Apply each triplet's channel order, brightness and compression, (N, 3, 3, S, S)."""
    device = frames.device
    order = torch.tensor([draw.channels for draw in draws]).to(device)
    frames = frames.gather(2, order.view(-1, 1, 3, 1, 1).expand_as(frames))
    gain, gamma = (
        torch.tensor([getattr(draw, name) for draw in draws]).to(device).view(-1, 1, 1, 1, 1)
        for name in ("gain", "gamma")
    )
    frames = (gain * frames.pow(gamma)).clamp(0, 1)
    pressed = [index for index, draw in enumerate(draws) if draw.quality]
    if pressed:
        quality = torch.tensor([draws[index].quality for index in pressed]).to(device)
        frames[pressed] = compressed(
            frames[pressed].flatten(0, 1), quality.repeat_interleave(3)
        ).view(len(pressed), *frames.shape[1:])
    return frames


def compressed(pictures: Tensor, quality: Tensor) -> Tensor:
    """Simulate JPEG by quantizing the cosine transform of 8x8 blocks.

    Steps are those of ITU-T T.81, annex K, scaled as libjpeg does. Chroma keeps its resolution.

    Args:
        pictures: RGB pictures in [0, 1], (N, 3, H, W).
        quality: JPEG qualities, 1 to 100, (N,).

    Returns:
        (N, 3, H, W) in [0, 1].
    """
    height, width = pictures.shape[-2:]
    device = pictures.device
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality).float()
    tables = torch.stack([_LUMA_STEPS, _CHROMA_STEPS, _CHROMA_STEPS]).to(device)  # (3, 8, 8)
    steps = (tables * scale.view(-1, 1, 1, 1) / 100).round().clamp(1, 255)
    to_yuv, basis = _JPEG_YUV.to(device), _COSINES.to(device)
    yuv = torch.einsum("rc,nchw->nrhw", to_yuv, pictures * 255)
    yuv[:, 0] -= 128
    yuv = padded(yuv, 8)
    rows, columns = yuv.shape[2] // 8, yuv.shape[3] // 8
    blocks = yuv.reshape(-1, 3, rows, 8, columns, 8)
    codes = torch.einsum("ui,vj,ncyixj->ncyuxv", basis, basis, blocks)
    steps = steps.view(-1, 3, 1, 8, 1, 8)
    codes = (codes / steps).round() * steps
    blocks = torch.einsum("ui,vj,ncyuxv->ncyixj", basis, basis, codes)
    yuv = blocks.reshape(-1, 3, 8 * rows, 8 * columns)[:, :, :height, :width].clone()
    yuv[:, 0] += 128
    rgb = torch.einsum("rc,nchw->nrhw", torch.linalg.inv(_JPEG_YUV).to(device), yuv)
    return (rgb / 255).clamp(0, 1)


def _cosines() -> Tensor:
    """The orthonormal 8-point cosine transform, (frequency, place)."""
    frequency, place = np.mgrid[:8, :8]
    basis = np.cos(math.pi * frequency * (2 * place + 1) / 16) / 2
    basis[0] /= math.sqrt(2)
    return torch.from_numpy(basis.astype(np.float32))


_COSINES = _cosines()
_JPEG_YUV = torch.tensor(
    ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
)
_LUMA_STEPS = torch.tensor(
    (
        (16, 11, 10, 16, 24, 40, 51, 61),
        (12, 12, 14, 19, 26, 58, 60, 55),
        (14, 13, 16, 24, 40, 57, 69, 56),
        (14, 17, 22, 29, 51, 87, 80, 62),
        (18, 22, 37, 56, 68, 109, 103, 77),
        (24, 35, 55, 64, 81, 104, 113, 92),
        (49, 64, 78, 87, 103, 121, 120, 101),
        (72, 92, 95, 98, 112, 100, 103, 99),
    ),
    dtype=torch.float32,
)
_CHROMA_STEPS = torch.full((8, 8), 99.0)
_CHROMA_STEPS[:4, :4] = torch.tensor(
    ((17, 18, 24, 47), (18, 21, 26, 66), (24, 26, 56, 99), (47, 66, 99, 99)), dtype=torch.float32
)
