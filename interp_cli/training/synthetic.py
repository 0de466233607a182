"""Synthetic motion over real pictures, with exact middle frames and exact flow.

Real footage has no true flow and few examples of the most visible errors. Here two to five layers,
cut from pictures of the batch with soft masks, move over each other: cut-outs, wires, fences and
other repetitive patterns. Static captions, logos and black bars are on top. Simple layers in two
dimensions teach optical flow better than rendered scenes (Wang et al. 2023, "The devil in the
details").

A point p of a layer is at p + t d(p) at time t, with d affine plus two slow waves. So d itself is
the flow at time 0, and the picture at time t is found by solving for p, which a few repetitions of
p = x - t d(p) do because d is smooth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from interp_cli.image_ops import supersampled
from interp_cli.models.warp import sample
from interp_cli.training.triplets import TripletBatch

# Sides of the cells over which exact flows are averaged: flows between the frames, and flows from
# the target, which are refined at full size.
CELL_PX, FINE_CELL_PX = 4, 2
# Largest shift from one frame to the next, as a fraction of the crop.
_LARGEST_SHIFT = 0.25
# Spacing of the points at which motion is solved, and number of iterations. Between the points it
# is smooth to a hundredth of a pixel.
_SOLVE_PX, _SOLVE_STEPS = 4, 6
# Motion blur: pictures are averaged over this fraction of the interval between the frames.
_SHUTTER = 0.3
_BLUR_PICTURES = 5
_BLUR_CHANCE = 0.12


@dataclass(frozen=True, slots=True)
class _Layer:
    """A layer of K scenes that moves as one.

    Attributes:
        picture: Colours and opacity at time 0, (K, 4, 2 S - 1, 2 S - 1), at twice the resolution of
            frames so that motion does not blur it, and mirrored beyond its sides.
        matrix: Affine part of the motion, (K, 2, 2), in pixels per pixel.
        shift: Motion of the crop's centre in pixels, (K, 2).
        wave: Two waves, (K, 2 waves, 5): amplitude x, y in pixels, frequency x, y in radians per
            pixel, phase.
    """

    picture: Tensor
    matrix: Tensor
    shift: Tensor
    wave: Tensor

    @property
    def size(self) -> int:
        """Side of the frames in pixels."""
        return (self.picture.shape[-1] + 1) // 2

    def motion(self, points: Tensor) -> Tensor:
        """Motion of points (K, 2, h, w) from time 0 to time 1."""
        moved = torch.einsum("kij,kjhw->kihw", self.matrix, points - (self.size - 1) / 2)
        moved = moved + self.shift[..., None, None]
        for k in range(self.wave.shape[1]):
            amplitude, frequency, phase = torch.split(self.wave[:, k], [2, 2, 1], 1)
            angle = torch.einsum("kj,kjhw->khw", frequency, points) + phase[..., None]
            moved = moved + amplitude[..., None, None] * torch.sin(angle).unsqueeze(1)
        return moved

    def at(self, time: Tensor | None) -> tuple[Tensor, Tensor]:
        """Render the layer at `time`, (K, 1, 1, 1); `None` is 0.

        Returns:
            Colours and opacity, (K, 4, S, S), and the motion of that from time 0 to 1 in pixels,
            (K, 2, S, S).
        """
        side = -(-self.size // _SOLVE_PX) + 1
        positions = _positions(len(self.picture), self.size, side, self.picture.device)
        if time is None:
            return self.picture[..., ::2, ::2], self._finer(self.motion(positions))
        points = positions
        for _ in range(_SOLVE_STEPS):
            points = positions - time * self.motion(points)
        points, moved = self._finer(points), self._finer(self.motion(points))
        last = self.size - 1
        mirrored = last - ((points % (2 * last)) - last).abs()
        x, y = (2 * mirrored).unbind(1)
        return sample(self.picture, x, y, "bicubic").clamp(0, 1), moved

    def _finer(self, points: Tensor) -> Tensor:
        size = (self.size, self.size)
        return F.interpolate(points, size, mode="bilinear", align_corners=True)


@torch.no_grad()
def with_synthetic(batch: TripletBatch, fraction: float, seed: int) -> TripletBatch:
    """Replace part of a batch by synthetic motion over the batch's own pictures.

    Args:
        batch: Real triplets in square crops, with sides a multiple of 4.
        fraction: Fraction of the batch to replace on average over steps, 0 to 1.
        seed: Seed of all random choices.

    Returns:
        The batch with its first triplets replaced, their timesteps kept, and two labels.
        `exact_flow`, (N, 2, 3, S/4, S/4), holds for each cell of both frames the mean flow (dx, dy)
        in pixels to the other frame, and the fraction of the cell where it is valid. This fraction
        is 0 in real triplets and where the other frame hides the place. `exact_flow_t`,
        (N, 2, 3, S/2, S/2), holds the same for the flow from each cell of the target to either
        frame. Other labels are zero for the replaced triplets.
    """
    random = torch.Generator().manual_seed(seed)
    count = min(len(batch), int(fraction * len(batch) + _uniform(random, 1).item()))
    if not count:
        return batch
    pictures = torch.cat((batch.frame0, batch.frame1))
    frame0, target, frame1, known = scenes(pictures, batch.timestep[:count], random)
    labels = {name: _without_first(label, count) for name, label in batch.labels.items()}
    for name, flows in known.items():
        labels[name] = flows.new_zeros(len(batch), *flows.shape[1:])
        labels[name][:count] = flows
    return replace(
        batch,
        frame0=torch.cat((frame0, batch.frame0[count:])),
        target=torch.cat((target, batch.target[count:])),
        frame1=torch.cat((frame1, batch.frame1[count:])),
        labels=labels,
    )


def scenes(
    pictures: Tensor, timestep: Tensor, random: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, dict[str, Tensor]]:
    """Draw scenes.

    Args:
        pictures: Pictures for the layers, (M, 3, S, S) in [0, 1].
        timestep: Timestep of each scene's target, (K, 1, 1, 1).
        random: Generator of all choices, on the CPU so that every device draws the same.

    Returns:
        Earlier frames, targets, later frames, (K, 3, S, S), and the labels that `with_synthetic`
        describes.
    """
    layers = _layers(pictures, len(timestep), random)
    still = _still(pictures, len(timestep), random)
    shutter = _SHUTTER if _uniform(random, 1).item() < _BLUR_CHANCE else 0.0
    zero = torch.zeros_like(timestep)
    first, between, last = (_view(layers, still, t) for t in (None, timestep, zero + 1))
    forth = _known(first, first.motion, last, CELL_PX)
    back = _known(last, -last.motion, first, CELL_PX)
    known = {
        "exact_flow": torch.stack((forth, back), 1),
        "exact_flow_t": torch.stack(
            (
                _known(between, -timestep * between.motion, first, FINE_CELL_PX),
                _known(between, (1 - timestep) * between.motion, last, FINE_CELL_PX),
            ),
            1,
        ),
    }
    if shutter:
        frame0, target, frame1 = (
            _exposure(layers, still, t, shutter) for t in (zero, timestep, zero + 1)
        )
        return frame0, target, frame1, known
    return first.picture, between.picture, last.picture, known


def _layers(pictures: Tensor, count: int, random: torch.Generator) -> list[_Layer]:
    """Draw a moving background and one to four layers over it, with different masks."""
    size = pictures.shape[-1]
    layers = [_layer(_textures(pictures, count, random), None, 0.4, random)]
    for _ in range(1 + int(_uniform(random, 1).item() * 4)):
        cut = _MASKS[int(_uniform(random, 1).item() * len(_MASKS))]
        mask = cut(count, size, random).to(pictures)
        layers.append(_layer(_textures(pictures, count, random), mask, 1.0, random))
    return layers


def _layer(texture: Tensor, mask: Tensor | None, vigour: float, random: torch.Generator) -> _Layer:
    """Create a layer from a texture with random motion, which `vigour` scales."""
    count, _, size, _ = texture.shape
    opacity = torch.ones_like(texture[:, :1]) if mask is None else mask
    # Small shifts are common, large ones rare.
    length = _LARGEST_SHIFT * size * vigour * _uniform(random, count) ** 2.5
    angle = 2 * math.pi * _uniform(random, count)
    shift = torch.stack((length * angle.cos(), length * angle.sin()), 1)
    strength = 0.12 * vigour * _uniform(random, count, 1, 1) ** 2
    matrix = strength * torch.randn(count, 2, 2, generator=random)
    # The waves' slope stays below one half, or the layer would fold.
    frequency = torch.randn(count, 2, 2, generator=random) * (4.0 / size)
    slope = 0.06 * vigour * _uniform(random, count, 2, 1)
    amplitude = slope * torch.randn(count, 2, 2, generator=random).clamp(-2, 2)
    amplitude = amplitude / frequency.norm(dim=2, keepdim=True).clamp(min=1.5 / size)
    phase = 2 * math.pi * _uniform(random, count, 2, 1)
    wave = torch.cat((amplitude, frequency, phase), 2)
    picture = supersampled(torch.cat((texture, opacity), 1)).clamp(0, 1)
    return _Layer(picture, matrix.to(texture), shift.to(texture), wave.to(texture))


def _textures(pictures: Tensor, count: int, random: torch.Generator) -> Tensor:
    """Choose random pictures, randomly mirrored, (count, 3, S, S)."""
    chosen = pictures[torch.randint(len(pictures), (count,), generator=random).to(pictures.device)]
    if _uniform(random, 1).item() < 0.5:
        chosen = chosen.flip(-1)
    return chosen.transpose(-1, -2) if _uniform(random, 1).item() < 0.3 else chosen


def _cut_out(count: int, size: int, random: torch.Generator) -> Tensor:
    """Draw one or more patches of random shape with soft edges."""
    cells = 3 + int(_uniform(random, 1).item() * 6)
    noise = torch.rand(count, 1, cells, cells, generator=random)
    height = F.interpolate(noise, size=(size, size), mode="bicubic", align_corners=True)
    edge = 4 + 60 * _uniform(random, count, 1, 1, 1)
    level = 0.5 + 0.3 * _uniform(random, count, 1, 1, 1)
    mask: Tensor = ((height - level) * edge + 0.5).clamp(0, 1)
    return mask


def _fence(count: int, size: int, random: torch.Generator) -> Tensor:
    """Parallel bars, in half of the scenes crossed by others."""
    along, across = (_bars(count, size, random) for _ in range(2))
    crossed = (_uniform(random, count, 1, 1, 1) < 0.5).float()
    return torch.maximum(along, across * crossed)


def _bars(count: int, size: int, random: torch.Generator) -> Tensor:
    angle = math.pi * _uniform(random, count, 1, 1)
    period = size * (0.04 + 0.2 * _uniform(random, count, 1, 1) ** 2)
    width = period * (0.08 + 0.3 * _uniform(random, count, 1, 1))
    x, y = _positions(1, size, size, torch.device("cpu"))[0]
    place = (x * angle.cos() + y * angle.sin() + period) % period
    bars: Tensor = (width / 2 - (place - period / 2).abs() + 0.5).clamp(0, 1).unsqueeze(1)
    return bars


def _wires(count: int, size: int, random: torch.Generator) -> Tensor:
    """A few thin curved lines."""
    x, y = _positions(1, size, size, torch.device("cpu"))[0]
    wires = torch.zeros(count, size, size)
    for _ in range(3):
        angle = math.pi * _uniform(random, count, 1, 1)
        along, across = x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()
        sag = 0.08 * size * torch.randn(count, 1, 1, generator=random)
        bend = sag * torch.sin(along * (2 * math.pi / size) * _uniform(random, count, 1, 1))
        place = size * (_uniform(random, count, 1, 1) * 1.6 - 0.5)
        thickness = 0.6 + 3 * _uniform(random, count, 1, 1)
        wires = torch.maximum(wires, (thickness - (across - place - bend).abs() + 0.5).clamp(0, 1))
    return wires.unsqueeze(1)


_MASKS = (_cut_out, _cut_out, _cut_out, _cut_out, _fence, _wires)


def _still(pictures: Tensor, count: int, random: torch.Generator) -> Tensor | None:
    """Draw a static overlay, (K, 4, S, S); `None` in half of all draws."""
    size = pictures.shape[-1]
    kind = int(_uniform(random, 1).item() * 6)
    if kind > 2:
        return None
    if kind == 0:
        mask = _caption(count, size, random)
        brightness = (0.75 + 0.25 * _uniform(random, count, 1, 1, 1)).to(pictures)
        colours = brightness.expand(-1, 3, size, size)
    elif kind == 1:
        mask = _black_bars(count, size, random)
        colours = torch.zeros_like(pictures[:1]).expand(count, -1, -1, -1)
    else:
        mask = _logo(count, size, random)
        colours = _textures(pictures, count, random)
    return torch.cat((colours, mask.to(pictures)), 1)


def _caption(count: int, size: int, random: torch.Generator) -> Tensor:
    """A line of marks as irregular as letters, five by seven dots each."""
    scale = 1 + int(_uniform(random, 1).item() * 3)
    columns = size // scale
    marks = (_uniform(random, count, 1, 7, columns) < 0.5).float()
    marks[..., ::6] = 0
    marks = marks.repeat_interleave(scale, 2).repeat_interleave(scale, 3)[:, :, :size]
    mask = torch.zeros(count, 1, size, size)
    top = int((size - marks.shape[2]) * _uniform(random, 1).item())
    length = int(columns * (0.3 + 0.6 * _uniform(random, 1).item())) * scale
    left = int((size - length) * _uniform(random, 1).item())
    mask[:, :, top : top + marks.shape[2], left : left + length] = marks[..., :length]
    return mask


def _black_bars(count: int, size: int, random: torch.Generator) -> Tensor:
    """Bars above and below, or on both sides."""
    mask = torch.zeros(count, 1, size, size)
    width = max(2, int(size * 0.22 * _uniform(random, 1).item()))
    mask[:, :, :width] = 1
    mask[:, :, size - width :] = 1
    return mask.transpose(-1, -2) if _uniform(random, 1).item() < 0.3 else mask


def _logo(count: int, size: int, random: torch.Generator) -> Tensor:
    """A patch near a corner, more or less transparent."""
    side = max(4, int(size * (0.08 + 0.2 * _uniform(random, 1).item())))
    margin = size // 16
    mask = torch.zeros(count, 1, size, size)
    patch = _cut_out(count, side, random) * (0.5 + 0.5 * _uniform(random, count, 1, 1, 1))
    mask[:, :, margin : margin + side, margin : margin + side] = patch
    return mask.flip(-1) if _uniform(random, 1).item() < 0.5 else mask


def _exposure(layers: list[_Layer], still: Tensor | None, time: Tensor, shutter: float) -> Tensor:
    """Render what a camera sees whose shutter is open for `shutter` around `time`."""
    steps = torch.linspace(-shutter / 2, shutter / 2, _BLUR_PICTURES).tolist()
    return torch.stack([_view(layers, still, time + step).picture for step in steps]).mean(0)


class _View(NamedTuple):
    """A picture, and the layer and the motion of each pixel."""

    picture: Tensor  # (K, 3, S, S)
    owner: Tensor  # (K, 1, S, S), number of the layer, -1 where layers mix
    motion: Tensor  # (K, 2, S, S), from time 0 to 1, in pixels


def _view(layers: list[_Layer], still: Tensor | None, time: Tensor | None) -> _View:
    """Render the scenes at `time`; `None` is 0."""
    ground, size = layers[0].picture, layers[0].size
    nothing = ground.new_zeros(len(ground), 3, size, size)
    view = _View(nothing, nothing[:, :1], nothing[:, :2])
    for number, layer in enumerate(layers):
        view = _over(view, *layer.at(time), number)
    return view if still is None else _over(view, still, nothing[:, :2], len(layers))


def _over(below: _View, seen: Tensor, motion: Tensor, number: int) -> _View:
    """Composite colours and opacity, (K, 4, S, S), over a view."""
    colours, opacity = torch.split(seen, [3, 1], 1)
    covered, mixed = opacity > 0.5, (opacity - 0.5).abs() < 0.4
    return _View(
        below.picture + opacity * (colours - below.picture),
        below.owner.masked_fill(covered, number).masked_fill(mixed, -1),
        torch.where(covered, motion, below.motion),
    )


def _known(view: _View, flow: Tensor, there: _View, cell: int) -> Tensor:
    """Mean flow of each cell over the pixels whose destination shows the same layer.

    Args:
        view: View at the flow's start.
        flow: Flow in pixels, (K, 2, S, S).
        there: View at the flow's destination.
        cell: Side of the cells in pixels.

    Returns:
        Mean flow and the fraction of the cell where it is valid, (K, 3, S / cell, S / cell).
    """
    size = flow.shape[-1]
    goal = _positions(len(flow), size, size, flow.device) + flow
    owner = F.grid_sample(
        there.owner,
        (goal * (2 / (size - 1)) - 1).permute(0, 2, 3, 1),
        mode="nearest",
        padding_mode="border",
        align_corners=True,
    )
    inside = ((goal >= 0) & (goal <= size - 1)).all(1, keepdim=True)
    holds = (inside & (view.owner >= 0) & (owner == view.owner)).float()
    means = F.avg_pool2d(torch.cat((flow * holds, holds), 1), cell)
    return torch.cat((means[:, :2] / means[:, 2:].clamp(min=1e-3), means[:, 2:]), 1)


def _positions(count: int, size: int, points: int, device: torch.device) -> Tensor:
    """Positions (x, y) of points spread evenly from the first pixel to the last, (K, 2, P, P)."""
    line = torch.linspace(0, size - 1, points, device=device)
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack((x, y)).expand(count, -1, -1, -1)


def _uniform(random: torch.Generator, *shape: int) -> Tensor:
    return torch.rand(*shape, generator=random)


def _without_first(label: Tensor, count: int) -> Tensor:
    label = label.clone()
    label[:count] = 0
    return label
