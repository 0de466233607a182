"""Two frames and a time between them become the frame at that time.

This module owns everything around the network: device, precision, batch, padding and tiles.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, NamedTuple, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from interp_cli.devices import (
    autocast,
    choose_device,
    choose_precision,
    free_bytes,
    keep_freed_memory,
)
from interp_cli.errors import ResourceError, WeightsError
from interp_cli.models.render import Recipe, Synthesis, render
from interp_cli.models.warp import Sampling
from interp_cli.motion import Motion
from interp_cli.options import DEFAULT_MODEL, InferenceOptions, Precision, Quality
from interp_cli.resample import padded, shrunk
from interp_cli.tiles import SMALLEST_TILE_PX, tiles
from interp_cli.weights import load_model

Pictures = NDArray[np.uint8] | NDArray[np.uint16]

# Peak bytes of activations a pixel and pair in 32 bits, measured on `flow` and on `fusion`.
_BYTES_PER_PIXEL_OF_MOTION, _BYTES_PER_PIXEL = 700, 2600
_LARGEST_BATCH = 16
# On a CPU a batch only pays while the frames are too small to fill the caches by themselves.
_CPU_BATCH_PIXELS = 320_000
# About how long the shorter side of what the network sees is; the cost grows with its square.
_SEEN_PX = {"fast": 150, "balanced": 270, "best": 1080}
_QUALITY_ON: dict[str, Quality] = {"cpu": "balanced", "cuda": "best", "mps": "best"}
_MOST_WORKERS = 4
# Middles of middles of middles … blur; nobody wants more than this.
_FINEST_HALVING = 64
# Of `Recipe`, side by side.
_RECIPE_CHANNELS = [2, 2, 1, 1, 1, 3]


class Interpolator:
    """Makes frames between frames with a trained network.

        interpolator = Interpolator("flow")
        middle = interpolator(frame0, frame1)

    Attributes:
        name: Of the model.
        net: The network, on its device, ready for inference.
        device: Where it runs.
        precision: `fp32`, `fp16` or `bf16`, as settled.
        quality: `fast`, `balanced` or `best`, as settled.
        notes: What had to be done otherwise than planned, for want of memory.
    """

    def __init__(
        self,
        model: str | Path | nn.Module = DEFAULT_MODEL,
        device: str = "auto",
        precision: Precision = "auto",
        batch: int | Literal["auto"] = "auto",
        tile: int | Literal["auto", "off"] = "auto",
        quality: Quality = "best",
    ) -> None:
        """Load the weights and move them to the device.

        Args:
            model: Name of a bundled model, path of a weights file, or a network.
            device: See `InferenceOptions`, as for the rest.
            precision: Of the network's arithmetic; pictures stay in 32 bits.
            batch: Pairs a step.
            tile: Side of a tile in pixels.
            quality: How large the pictures are that the network sees; here the best is the default,
                for pictures are not as many as the frames of a video.

        Raises:
            WeightsError: The weights cannot be used.
            ResourceError: There is no such device, or it has no such precision.
            ValueError: An option is none of those allowed.
        """
        name = type(model).__name__ if isinstance(model, nn.Module) else str(model)
        self.options = InferenceOptions(name, device, precision, batch, tile, quality)
        self.device = choose_device(device)
        if self.device.type == "cpu":
            keep_freed_memory()
        self.precision = choose_precision(self.device, precision)
        self.quality: Quality = _QUALITY_ON[self.device.type] if quality == "auto" else quality
        # Any: networks share methods (`size_multiple`) that nn.Module does not declare.
        self.name = name
        self.net: Any = model
        if not isinstance(model, nn.Module):
            loaded = load_model(model)
            self.name, self.net = loaded.name, loaded.net
        if not self.has_motion:
            self.quality = "best"  # it sees frames as they are
        self.net.eval().to(self.device)
        self.notes: list[str] = []
        # What memory has turned out to suffice for; `None`: it has not run out yet.
        self._most_pairs: int | None = None
        self._most_tile_px: int | None = None

    @classmethod
    def from_options(cls, options: InferenceOptions) -> Interpolator:
        """The interpolator that `options` describe."""
        return cls(
            options.model,
            options.device,
            options.precision,
            options.batch,
            options.tile,
            options.quality,
        )

    @overload
    def __call__(
        self, frame0: NDArray[np.uint8], frame1: NDArray[np.uint8], timestep: float = 0.5
    ) -> NDArray[np.uint8]: ...

    @overload
    def __call__(
        self, frame0: NDArray[np.uint16], frame1: NDArray[np.uint16], timestep: float = 0.5
    ) -> NDArray[np.uint16]: ...

    def __call__(self, frame0: Pictures, frame1: Pictures, timestep: float = 0.5) -> Pictures:
        """Make the frame at `timestep` between two pictures, or for a batch of pairs.

        Args:
            frame0: RGB, (H, W, 3) or (N, H, W, 3), uint8 or uint16.
            frame1: Likewise.
            timestep: Between 0 (`frame0`) and 1 (`frame1`).

        Returns:
            As `frame0` in shape and type; rounded.

        Raises:
            ValueError: The arrays differ, or are no such pictures, or the model cannot do
                that timestep.
        """
        peak = _peak(frame0, frame1)
        made = []
        for tensor0, tensor1 in self._batches(frame0, frame1):
            middle = (self.middle(tensor0, tensor1, timestep) * peak).round().clamp(0, peak)
            made.append(_pictures(middle).astype(frame0.dtype))
        return np.concatenate(made).reshape(frame0.shape)

    @property
    def digest(self) -> str:
        """SHA-256 of the network's weights, in the order of their names."""
        found = hashlib.sha256()
        for name, value in sorted(self.net.state_dict().items()):
            found.update(name.encode() + value.cpu().contiguous().view(-1).numpy().tobytes())
        return found.hexdigest()

    @property
    def has_motion(self) -> bool:
        """Whether the model makes its frames from motion, which `motion` then returns."""
        return hasattr(self.net, "synthesize")

    def motion(self, frame0: Pictures, frame1: Pictures, timestep: float = 0.5) -> Motion:
        """Find the motion that the frame at `timestep` is made from, or for a batch of pairs.

        Args:
            frame0: RGB, (H, W, 3) or (N, H, W, 3), uint8 or uint16.
            frame1: Likewise.
            timestep: Between 0 (`frame0`) and 1 (`frame1`).

        Returns:
            Flows to both frames and the blend mask; of a batch, arrays of N.

        Raises:
            WeightsError: The model has no motion.
            ValueError: The arrays differ, or are no such pictures, or `timestep` is not in (0, 1).
        """
        self.require_motion()
        made = []
        for tensor0, tensor1 in self._batches(frame0, frame1):
            rows = self.synthesize(tensor0, tensor1, [(timestep,)] * len(tensor0))
            made += [motion for row in rows for motion in motion_of(row)]
        return made[0] if frame0.ndim == 3 else Motion(*map(np.stack, zip(*made, strict=True)))

    @torch.inference_mode()
    def middle(self, frame0: Tensor, frame1: Tensor, timestep: float = 0.5) -> Tensor:
        """Make the frames at `timestep`, in tiles where the frame is too large for the memory.

        Args:
            frame0: RGB in [0, 1], (N, 3, H, W), any size.
            frame1: Likewise.
            timestep: Between 0 and 1.

        Returns:
            (N, 3, H, W), float32, on the interpolator's device.

        Raises:
            ValueError: The model makes only the middle, or the timestep is not in (0, 1).
        """
        if 0 < timestep < 1 and timestep != 0.5 and not self.net.supports_timestep:
            raise ValueError(f"model {self.name} makes only the middle (timestep 0.5)")
        return torch.cat(self.between(frame0, frame1, [(timestep,)] * len(frame0)))

    @torch.inference_mode()
    def between(
        self, frame0: Tensor, frame1: Tensor, timesteps: Sequence[Sequence[Fraction | float]]
    ) -> list[Tensor]:
        """Make frames at several timesteps of each pair.

        What does not depend on the timestep is computed once. A model that makes only the middle
        makes middles of middles.

        Args:
            frame0: RGB in [0, 1], (N, 3, H, W), any size.
            frame1: Likewise.
            timesteps: For each pair at least one, between 0 and 1.

        Returns:
            For each pair (T, 3, H, W), in the order of its timesteps; float32, on the
            interpolator's device.

        Raises:
            ValueError: The model cannot make one of the timesteps, or it is not in (0, 1).
        """
        frame0, frame1 = frame0.to(self.device), frame1.to(self.device)
        if not self.has_motion:
            self._check(timesteps)
            make = self._in_rounds if self.net.supports_timestep else self._by_halving
            return make(Seen(frame0, None), Seen(frame1, None), timesteps)
        return [synthesis.middle for synthesis in self.synthesize(frame0, frame1, timesteps)]

    @torch.inference_mode()
    def synthesize(
        self, frame0: Tensor, frame1: Tensor, timesteps: Sequence[Sequence[Fraction | float]]
    ) -> list[Synthesis]:
        """Do what `between` does and return the motion, too; the network runs no more often.

        Returns:
            For each pair a synthesis of its timesteps, (T, C, H, W); float32, on the
            interpolator's device.

        Raises:
            WeightsError: The model has no motion.
            ValueError: A timestep is not in (0, 1).
        """
        self.require_motion()
        height, width = frame0.shape[-2:]
        factor = self.reduction(height, width)
        frames = [frame.to(self.device).float() for frame in (frame0, frame1)]
        seen = [self.see(self._reduced(frame, factor)) for frame in frames]
        rows = self.recipes(seen[0], seen[1], timesteps)
        made: list[Synthesis] = []
        for number, (row, times) in enumerate(zip(rows, timesteps, strict=True)):
            recipe = row.enlarged(*(side * factor for side in row.blend_mask.shape[-2:]))
            recipe = recipe.cropped(height, width)
            before, after = (
                frame[number : number + 1].expand(len(times), -1, -1, -1) for frame in frames
            )
            middle = render(
                before, after, recipe, _column(times, before), self.sampling(height, width)
            )
            made.append(Synthesis(middle, recipe.flow_t0, recipe.flow_t1, recipe.blend_mask))
        return made

    def reduction(self, height: int, width: int) -> int:
        """How many times smaller the network sees frames of this size; 1 without motion."""
        if not self.has_motion:
            return 1
        return max(1, round(min(height, width) / _SEEN_PX[self.quality]))

    def sampling(self, height: int, width: int) -> Sampling:
        """How frames of this size are sampled: densely if the network sees them at full size."""
        return "supersampled" if self.reduction(height, width) == 1 else "bicubic"

    @torch.inference_mode()
    def see(self, pictures: Tensor) -> Seen:
        """Show frames to a model that has motion.

        Args:
            pictures: RGB in [0, 1], (N, 3, h, w), at the size that the network is to see; on the
                interpolator's device.

        Returns:
            What serves both pairs that each frame belongs to.
        """
        pictures = padded(pictures, self.net.size_multiple(*pictures.shape[-2:]))
        if self.tile_size(*pictures.shape[-2:]) is not None:
            return Seen(pictures, None)
        try:
            with autocast(self.device, self.precision):
                return Seen(pictures, self.net.encode(pictures))
        except torch.cuda.OutOfMemoryError:
            return Seen(pictures, None)  # in tiles, then

    @torch.inference_mode()
    def recipes(
        self, seen0: Seen, seen1: Seen, timesteps: Sequence[Sequence[Fraction | float]]
    ) -> list[Recipe]:
        """Find how frames at several timesteps of each pair come about.

        What does not depend on the timestep is computed once.

        Args:
            seen0: The earlier frames of N pairs.
            seen1: The later ones.
            timesteps: For each pair at least one, between 0 and 1.

        Returns:
            For each pair its recipes, (T, C, h, w), at the (padded) size that was seen.

        Raises:
            ValueError: A timestep is not in (0, 1).
        """
        self._check(timesteps)
        rows = self._in_rounds(seen0, seen1, timesteps)
        return [Recipe(*torch.split(row, _RECIPE_CHANNELS, 1)) for row in rows]

    def require_motion(self) -> None:
        """Refuse a model that has no motion.

        Raises:
            WeightsError: So it is.
        """
        if not self.has_motion:
            raise WeightsError(
                f"model {self.name} makes frames without motion, so there is none to return; use"
                " one that has it, such as flow."
            )

    def _check(self, timesteps: Sequence[Sequence[Fraction | float]]) -> None:
        for timestep in itertools.chain.from_iterable(timesteps):
            if not 0 < timestep < 1:
                raise ValueError(f"timestep must lie between 0 and 1, not at {timestep}")
            if not self.can_make(timestep):
                raise ValueError(f"model {self.name} makes only middles, not timestep {timestep}")

    def _in_rounds(
        self, seen0: Seen, seen1: Seen, timesteps: Sequence[Sequence[Fraction | float]]
    ) -> list[Tensor]:
        """What the network makes for each pair's timesteps: pictures, or recipes side by side.

        Where the memory does not suffice, half of the pairs are made at a time, then tiles.

        Raises:
            ResourceError: It does not suffice for the smallest tile.
        """
        try:
            return self._rows(seen0, seen1, timesteps)
        except torch.cuda.OutOfMemoryError as error:
            size = seen0.pictures.shape[-2:]
            self._be_modest(len(timesteps), self.tile_size(*size) or max(size), error)
        if len(timesteps) == 1:
            return self._in_rounds(
                Seen(seen0.pictures, None), Seen(seen1.pictures, None), timesteps
            )
        half = len(timesteps) // 2
        return [
            row
            for part in (list(range(half)), list(range(half, len(timesteps))))
            for row in self._in_rounds(
                _select(seen0, part), _select(seen1, part), [timesteps[i] for i in part]
            )
        ]

    def _be_modest(self, pairs: int, side_px: int, error: Exception) -> None:
        """Remember to take less than was too much."""
        if pairs > 1:
            self._most_pairs = pairs // 2
        elif side_px > SMALLEST_TILE_PX:
            self._most_tile_px = max(SMALLEST_TILE_PX, side_px // 2)
        else:
            raise ResourceError(
                f"{self.device}: its memory does not suffice for a tile of {side_px} px; use"
                " --device cpu, or --quality fast."
            ) from error
        step = f"{self._most_pairs or 1} at once"
        if self._most_tile_px is not None:
            step += f", in tiles of {self._most_tile_px} px"
        self.notes[:] = [f"{self.device} ran out of memory: frames were made {step}."]

    def _rows(
        self, seen0: Seen, seen1: Seen, timesteps: Sequence[Sequence[Fraction | float]]
    ) -> list[Tensor]:
        # The pairs that have a first timestep, those that have a second one, and so on.
        rounds = []
        for number in range(max(len(times) for times in timesteps)):
            chosen = [i for i, times in enumerate(timesteps) if number < len(times)]
            rounds.append(_Round(chosen, [float(timesteps[i][number]) for i in chosen]))
        rows: list[list[Tensor]] = [[] for _ in timesteps]
        for wanted, made in zip(rounds, self._make(seen0, seen1, rounds), strict=True):
            for i, picture in zip(wanted.pairs, made, strict=True):
                rows[i].append(picture)
        return [torch.stack(row) for row in rows]

    def _reduced(self, frames: Tensor, factor: int) -> Tensor:
        """What the network sees of frames."""
        if factor == 1:
            return frames
        multiple = self.net.size_multiple(*frames.shape[-2:])
        return shrunk(padded(frames, multiple * factor), factor)

    def can_make(self, timestep: Fraction | float) -> bool:
        """Whether the model can make the frame at `timestep`, by itself or by halving."""
        parts = Fraction(timestep).denominator
        return self.net.supports_timestep or (parts & (parts - 1) == 0 and parts <= _FINEST_HALVING)

    def _batches(self, frame0: Pictures, frame1: Pictures) -> Iterator[tuple[Tensor, Tensor]]:
        """Pairs as tensors in [0, 1] on the device, (N, 3, H, W), as many as fit at once.

        Raises:
            ValueError: The arrays differ, or are no pictures.
        """
        peak = _peak(frame0, frame1)
        pairs = [frame.reshape(-1, *frame.shape[-3:]) for frame in (frame0, frame1)]
        size = self.batch_size(*frame0.shape[-3:-1])
        for i in range(0, len(pairs[0]), size):
            tensor0, tensor1 = (
                torch.from_numpy(np.ascontiguousarray(p[i : i + size]))
                .to(self.device)
                .permute(0, 3, 1, 2)
                .float()
                .div_(peak)
                for p in pairs
            )
            yield tensor0, tensor1

    def batch_size(self, height: int, width: int) -> int:
        """Pairs of this size to hand over at once."""
        if self._most_pairs is not None:
            return self._most_pairs
        if self.options.batch != "auto":
            return self.options.batch
        pixels = self._seen_pixels(height, width)
        if self.device.type == "cpu":
            return max(1, min(4, _CPU_BATCH_PIXELS // pixels))
        return max(1, min(_LARGEST_BATCH, self._affordable_pixels() // pixels))

    def workers(self, height: int, width: int) -> int:
        """How many steps with frames of this size are best made at the same time."""
        if self.device.type != "cpu":
            return 1
        pixels = self.batch_size(height, width) * self._seen_pixels(height, width)
        at_once = self._affordable_pixels() // pixels
        return max(1, min(_MOST_WORKERS, torch.get_num_threads(), at_once))

    def tile_size(self, height: int, width: int) -> int | None:
        """Side of the tiles that frames of this size are cut into; `None`: not at all."""
        wish = self._most_tile_px or self.options.tile
        if isinstance(wish, int):
            return wish if max(height, width) > wish else None
        affordable = self._affordable_pixels()
        if wish == "off" or height * width <= affordable:
            return None
        return max(SMALLEST_TILE_PX, int(affordable**0.5) // 64 * 64)

    def _seen_pixels(self, height: int, width: int) -> int:
        """Of a frame, as the network sees it."""
        return height * width // self.reduction(height, width) ** 2

    def _affordable_pixels(self) -> int:
        """Pixels of one step that half of the memory has room for."""
        scale = 1.0 if self.precision == "fp32" else 0.5
        each = _BYTES_PER_PIXEL_OF_MOTION if self.has_motion else _BYTES_PER_PIXEL
        return int(free_bytes(self.device) * 0.5 / (each * scale))

    def _by_halving(
        self, seen0: Seen, seen1: Seen, timesteps: Sequence[Sequence[Fraction | float]]
    ) -> list[Tensor]:
        """The middle of each pair first, then the rest between it and the frames beside it."""
        middle = torch.cat(self._in_rounds(seen0, seen1, [(0.5,)] * len(timesteps)))
        frame0, frame1 = seen0.pictures, seen1.pictures
        made: list[dict[Fraction | float, Tensor]] = [{0.5: picture} for picture in middle]
        for side0, side1, offset in ((frame0, middle, 0), (middle, frame1, 1)):
            wanted = [[t for t in times if 0 < 2 * t - offset < 1] for times in timesteps]
            chosen = [i for i, times in enumerate(wanted) if times]
            if chosen:
                inner = [[2 * t - offset for t in wanted[i]] for i in chosen]
                seen = [Seen(side[chosen], None) for side in (side0, side1)]
                rows = self._by_halving(seen[0], seen[1], inner)
                for i, row in zip(chosen, rows, strict=True):
                    made[i].update(zip(wanted[i], row, strict=True))
        return [torch.stack([made[i][t] for t in times]) for i, times in enumerate(timesteps)]

    def _make(self, seen0: Seen, seen1: Seen, rounds: list[_Round]) -> list[Tensor]:
        """Results of each round, in tiles where the pictures are too large for the memory."""
        side = self.tile_size(*seen0.pictures.shape[-2:])
        if side is None:
            return self._run(seen0, seen1, rounds)
        return self._run_tiles(seen0.pictures, seen1.pictures, rounds, side)

    def _run(self, seen0: Seen, seen1: Seen, rounds: list[_Round]) -> list[Tensor]:
        """Call the network once for each round, padded to the size that it needs."""
        height, width = seen0.pictures.shape[-2:]
        made = []
        with autocast(self.device, self.precision):
            at = self._at_timestep(seen0, seen1)
            for wanted in rounds:
                pairs = None if len(wanted.pairs) == len(seen0.pictures) else wanted.pairs
                result = at(pairs, _column(wanted.timesteps, seen0.pictures))
                made.append(result[..., :height, :width].float())
        return made

    def _at_timestep(
        self, seen0: Seen, seen1: Seen
    ) -> Callable[[list[int] | None, Tensor], Tensor]:
        """A function from pairs (`None`: all) and their timesteps to pictures, or to recipes.

        Networks in pieces do here what serves every timestep.
        """
        net = self.net
        multiple = net.size_multiple(*seen0.pictures.shape[-2:])
        if not self.has_motion:
            pictures = [padded(seen.pictures, multiple) for seen in (seen0, seen1)]
            return lambda pairs, times: net(*_select(pictures, pairs), times)
        features = [
            net.encode(padded(seen.pictures, multiple)) if seen.features is None else seen.features
            for seen in (seen0, seen1)
        ]
        known = (*features, net.motion(*features))
        return lambda pairs, times: torch.cat(net.synthesize(*_select(known, pairs), times), 1)

    def _run_tiles(
        self, frame0: Tensor, frame1: Tensor, rounds: list[_Round], side: int
    ) -> list[Tensor]:
        """Overlapping tiles, faded into each other so that no seam shows."""
        height, width = frame0.shape[-2:]
        channels = sum(_RECIPE_CHANNELS) if self.has_motion else 3
        totals = [frame0.new_zeros((len(r.pairs), channels, height, width)) for r in rounds]
        weight = frame0.new_zeros((1, 1, height, width))
        for area, fade in tiles(height, width, side):
            fade = fade.to(weight)
            weight[area] += fade
            made = self._run(Seen(frame0[area], None), Seen(frame1[area], None), rounds)
            for total, tile in zip(totals, made, strict=True):
                total[area] += tile * fade
        return [total / weight for total in totals]


class Seen(NamedTuple):
    """Frames as the network sees them, and what it has worked out about each by itself.

    Attributes:
        pictures: RGB, (N, 3, h, w).
        features: As the network returns them; `None`: it has no use for them, or they are too
            large to be kept.
    """

    pictures: Tensor
    features: Any

    @staticmethod
    def joined(parts: Sequence[Seen]) -> Seen:
        """The frames of all parts."""
        return parts[0] if len(parts) == 1 else Seen(*_joined(parts))


class _Round(NamedTuple):
    """One call of the network: which pairs, and the timestep of each."""

    pairs: list[int]
    timesteps: list[float]


def _select(known: Any, pairs: list[int] | None) -> Any:
    """Some pairs (`None`: all) out of tensors in tuples in tuples."""
    if pairs is None or known is None:
        return known
    if isinstance(known, Tensor):
        return known[pairs]
    items = (_select(item, pairs) for item in known)
    return type(known)(*items) if hasattr(known, "_fields") else tuple(items)


def _joined(parts: Sequence[Any]) -> Any:
    """Tensors in tuples in tuples, one behind the other; `None` where one of them is missing."""
    first = parts[0]
    if any(part is None for part in parts):
        return None
    if isinstance(first, Tensor):
        return torch.cat(list(parts))
    items = [_joined(some) for some in zip(*parts, strict=True)]
    return type(first)(*items) if hasattr(first, "_fields") else tuple(items)


def _column(timesteps: Sequence[Fraction | float], like: Tensor) -> Tensor:
    """As networks take them, (T, 1, 1, 1)."""
    return like.new_tensor([float(timestep) for timestep in timesteps]).view(-1, 1, 1, 1)


def motion_of(made: Synthesis | Recipe) -> list[Motion]:
    """The motion of each frame, as arrays."""
    parts = (made.flow_t0, made.flow_t1, made.blend_mask)
    flow_t0, flow_t1, blend_mask = (_pictures(part) for part in parts)
    return [Motion(*parts) for parts in zip(flow_t0, flow_t1, blend_mask[..., 0], strict=True)]


def _pictures(tensor: Tensor) -> NDArray[np.float32]:
    """(N, C, H, W) on any device as an array (N, H, W, C)."""
    array: NDArray[np.float32] = tensor.permute(0, 2, 3, 1).cpu().numpy()
    return array


def _peak(frame0: Pictures, frame1: Pictures) -> float:
    """White, in pictures of this type.

    Raises:
        ValueError: The arrays differ, or are no pictures.
    """
    if frame0.shape != frame1.shape or frame0.dtype != frame1.dtype:
        raise ValueError(
            f"frames differ: {frame0.shape} {frame0.dtype}, {frame1.shape} {frame1.dtype}"
        )
    if frame0.ndim not in (3, 4) or frame0.shape[-1] != 3 or 0 in frame0.shape:
        raise ValueError(f"frames must be (H, W, 3) or (N, H, W, 3), not {frame0.shape}")
    if frame0.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"frames must be uint8 or uint16, not {frame0.dtype}")
    return float(np.iinfo(frame0.dtype).max)
