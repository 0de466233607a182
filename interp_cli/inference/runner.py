"""A network run on pairs of frames: at any times, in batches and tiles that the memory holds.

Frames have here the size that the network sees. It is called once for each round of timesteps,
and what serves them all is computed once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import torch
from torch import Tensor

from interp_cli.devices import autocast, is_out_of_memory
from interp_cli.image_ops import constants, padded
from interp_cli.inference.batching import MemoryBudget, tiles
from interp_cli.inference.cuda_graphs import CudaGraphs, recorder_for
from interp_cli.inference.trajectory import AdjacentMotion, apply_trajectory
from interp_cli.models.pytree import joined, tree_map
from interp_cli.models.render import SynthesisParams
from interp_cli.options import InferenceOptions, Precision

# Middles of middles of middles … blur; nobody wants more than this.
_FINEST_HALVING = 64
# Of `SynthesisParams`, side by side.
_RECIPE_CHANNELS = [2, 2, 1, 1, 1, 3]


class ModelRunner:
    """Runs a network: its recipes where it has motion, else its pictures.

    Attributes:
        has_flow: Whether the network makes its frames from motion.
        budget: How much it is given at once.
        cuda_graphs: What is recorded of it on a GPU.
    """

    def __init__(
        self,
        net: Any,
        name: str,
        device: torch.device,
        precision: Precision,
        options: InferenceOptions,
        *,
        may_record: bool = False,
    ) -> None:
        """Take a network that is ready for inference.

        Args:
            net: On its device. Any: networks share methods (`size_multiple`) that nn.Module does
                not declare.
            name: Of the model, for messages.
            device: Where it runs.
            precision: Of its arithmetic, as settled.
            options: Of which `batch` and `tile` count.
            may_record: Whether CUDA graphs may be made of the network: it always does the same
                with tensors of the same shapes, and its weights stay where they are.
        """
        self.has_flow = hasattr(net, "synthesize")
        self.budget = MemoryBudget(
            device, precision, options.batch, options.tile, has_flow=self.has_flow
        )
        self.cuda_graphs = CudaGraphs(
            device, recorder_for(device, precision) if may_record else None
        )
        self._net, self._name = net, name
        self._device, self._precision = device, precision

    def can_make(self, timestep: Fraction | float) -> bool:
        """Whether the model can make the frame at `timestep`, by itself or by halving."""
        parts = Fraction(timestep).denominator
        return self._net.supports_timestep or (
            parts & (parts - 1) == 0 and parts <= _FINEST_HALVING
        )

    @torch.inference_mode()
    def encode(self, pictures: Tensor) -> EncodedFrames:
        """Show frames to a model that has motion.

        Args:
            pictures: RGB in [0, 1], (N, 3, h, w), at the size that the network is to see; on its
                device.

        Returns:
            What serves both pairs that each frame belongs to.
        """
        pictures = padded(pictures, self._net.size_multiple(*pictures.shape[-2:]))
        if self.budget.tile_size(*pictures.shape[-2:]) is not None:
            return EncodedFrames(pictures, None)
        try:
            with autocast(self._device, self._precision):
                features = self.cuda_graphs("features", self._net.encode, pictures)
            return EncodedFrames(pictures, features)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        if self.cuda_graphs.drop():
            return self.encode(pictures)
        return EncodedFrames(pictures, None)  # in tiles, then

    @torch.inference_mode()
    def motion(self, encoded0: EncodedFrames, encoded1: EncodedFrames) -> Tensor | None:
        """Find the motion between the frames of N pairs, which serves every timestep.

        Returns:
            As the network gives it, with N rows; `None` where the memory does not suffice for
            whole frames: then `synthesis_params` finds it, in parts.
        """
        if self.budget.tile_size(*encoded0.pictures.shape[-2:]) is not None:
            return None
        try:
            with autocast(self._device, self._precision):
                found: Tensor = self._motion(*self._features(encoded0, encoded1))
            return found
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        return self.motion(encoded0, encoded1) if self.cuda_graphs.drop() else None

    @torch.inference_mode()
    def synthesis_params(
        self,
        encoded0: EncodedFrames,
        encoded1: EncodedFrames,
        motion: Tensor | None,
        timesteps: Sequence[Sequence[Fraction | float]],
        adjacent: AdjacentMotion | None = None,
    ) -> list[SynthesisParams]:
        """Find how frames at several timesteps of each pair come about.

        Args:
            encoded0: The earlier frames of N pairs.
            encoded1: The later ones.
            motion: Between them, as `motion` gives it; `None`: it is found here, and is even.
            timesteps: For each pair at least one, between 0 and 1.
            adjacent: What is known of the pairs before and after them; `None`: nothing is, so all
                motion is even.

        Returns:
            For each pair its recipes, (T, C, h, w), at the (padded) size that was seen.

        Raises:
            ValueError: A timestep is not in (0, 1).
        """
        self._check(timesteps)
        rows = self._in_rounds(_Pairs(encoded0, encoded1, motion), timesteps)
        params = SynthesisParams(*torch.split(torch.cat(rows), _RECIPE_CHANNELS, 1))
        counts = [len(times) for times in timesteps]
        if motion is not None and adjacent is not None:
            times = timestep_column(list(itertools.chain.from_iterable(timesteps)), motion)
            params = apply_trajectory(params, motion, adjacent, times, counts)
        parts = [torch.split(part, counts) for part in params]
        return [SynthesisParams(*row) for row in zip(*parts, strict=True)]

    @torch.inference_mode()
    def pictures(
        self, frame0: Tensor, frame1: Tensor, timesteps: Sequence[Sequence[Fraction | float]]
    ) -> list[Tensor]:
        """Let a model that has no motion make frames at several timesteps of each pair.

        A model that makes only the middle makes middles of middles.

        Args:
            frame0: RGB in [0, 1], (N, 3, H, W), any size; on the network's device.
            frame1: Likewise.
            timesteps: For each pair at least one, between 0 and 1.

        Returns:
            For each pair (T, 3, H, W), float32.

        Raises:
            ValueError: The model cannot make one of the timesteps, or it is not in (0, 1).
        """
        self._check(timesteps)
        make = self._in_rounds if self._net.supports_timestep else self._by_halving
        return make(_Pairs.of_pictures(frame0, frame1), timesteps)

    def _check(self, timesteps: Sequence[Sequence[Fraction | float]]) -> None:
        for timestep in itertools.chain.from_iterable(timesteps):
            if not 0 < timestep < 1:
                raise ValueError(f"timestep must lie between 0 and 1, not at {timestep}")
            if not self.can_make(timestep):
                raise ValueError(f"model {self._name} makes only middles, not timestep {timestep}")

    def _by_halving(
        self, pairs: _Pairs, timesteps: Sequence[Sequence[Fraction | float]]
    ) -> list[Tensor]:
        """The middle of each pair first, then the rest between it and the frames beside it."""
        middle = torch.cat(self._in_rounds(pairs, [(0.5,)] * len(timesteps)))
        frame0, frame1 = pairs.encoded0.pictures, pairs.encoded1.pictures
        made: list[dict[Fraction | float, Tensor]] = [{0.5: picture} for picture in middle]
        for side0, side1, offset in ((frame0, middle, 0), (middle, frame1, 1)):
            wanted = [[t for t in times if 0 < 2 * t - offset < 1] for times in timesteps]
            chosen = [i for i, times in enumerate(wanted) if times]
            if chosen:
                inner = [[2 * t - offset for t in wanted[i]] for i in chosen]
                rows = self._by_halving(_Pairs.of_pictures(side0[chosen], side1[chosen]), inner)
                for i, row in zip(chosen, rows, strict=True):
                    made[i].update(zip(wanted[i], row, strict=True))
        return [torch.stack([made[i][t] for t in times]) for i, times in enumerate(timesteps)]

    def _in_rounds(
        self, pairs: _Pairs, timesteps: Sequence[Sequence[Fraction | float]]
    ) -> list[Tensor]:
        """What the network makes for each pair's timesteps: pictures, or recipes side by side.

        Where the memory does not suffice, CUDA graphs are given up, then half of the pairs are
        made at a time, then tiles.

        Raises:
            ResourceError: It does not suffice for the smallest tile.
        """
        try:
            return self._rows(pairs, timesteps)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            again = self.cuda_graphs.drop()
            if not again:
                height, width = pairs.encoded0.pictures.shape[-2:]
                self.budget.shrink(len(timesteps), height, width, error)
        if again:
            return self._in_rounds(pairs, timesteps)
        if len(timesteps) == 1:
            pictures = (pairs.encoded0.pictures, pairs.encoded1.pictures)
            return self._in_rounds(_Pairs.of_pictures(*pictures), timesteps)
        half = len(timesteps) // 2
        return [
            row
            for part in (list(range(half)), list(range(half, len(timesteps))))
            for row in self._in_rounds(_select(pairs, part), [timesteps[i] for i in part])
        ]

    def _rows(self, pairs: _Pairs, timesteps: Sequence[Sequence[Fraction | float]]) -> list[Tensor]:
        # The pairs that have a first timestep, those that have a second one, and so on.
        rounds = []
        for number in range(max(len(times) for times in timesteps)):
            chosen = [i for i, times in enumerate(timesteps) if number < len(times)]
            rounds.append(_Round(chosen, [float(timesteps[i][number]) for i in chosen]))
        rows: list[list[Tensor]] = [[] for _ in timesteps]
        for wanted, made in zip(rounds, self._make(pairs, rounds), strict=True):
            for i, picture in zip(wanted.pairs, made, strict=True):
                rows[i].append(picture)
        return [torch.stack(row) for row in rows]

    def _make(self, pairs: _Pairs, rounds: list[_Round]) -> list[Tensor]:
        """Results of each round, in tiles where the pictures are too large for the memory."""
        side = self.budget.tile_size(*pairs.encoded0.pictures.shape[-2:])
        return self._run(pairs, rounds) if side is None else self._run_tiles(pairs, rounds, side)

    def _run_tiles(self, pairs: _Pairs, rounds: list[_Round], side: int) -> list[Tensor]:
        """Overlapping tiles, faded into each other so that no seam shows."""
        frame0, frame1 = pairs.encoded0.pictures, pairs.encoded1.pictures
        height, width = frame0.shape[-2:]
        channels = sum(_RECIPE_CHANNELS) if self.has_flow else 3
        totals = [frame0.new_zeros((len(r.pairs), channels, height, width)) for r in rounds]
        weight = frame0.new_zeros((1, 1, height, width))
        for area, fade in tiles(height, width, side):
            fade = fade.to(weight)
            weight[area] += fade
            made = self._run(_Pairs.of_pictures(frame0[area], frame1[area]), rounds)
            for total, tile in zip(totals, made, strict=True):
                total[area] += tile * fade
        return [total / weight for total in totals]

    def _run(self, pairs: _Pairs, rounds: list[_Round]) -> list[Tensor]:
        """Call the network once for each round, padded to the size that it needs."""
        pictures = pairs.encoded0.pictures
        height, width = pictures.shape[-2:]
        made = []
        with autocast(self._device, self._precision):
            at = self._at_timestep(pairs)
            for wanted in rounds:
                some = None if len(wanted.pairs) == len(pictures) else wanted.pairs
                result = at(some, timestep_column(wanted.timesteps, pictures))
                made.append(result[..., :height, :width].float())
        return made

    def _at_timestep(self, pairs: _Pairs) -> Callable[[list[int] | None, Tensor], Tensor]:
        """A function from pairs (`None`: all) and their timesteps to pictures, or to recipes.

        Networks in pieces do here what serves every timestep.
        """
        net, call = self._net, self.cuda_graphs
        if not self.has_flow:
            multiple = net.size_multiple(*pairs.encoded0.pictures.shape[-2:])
            pictures = [
                padded(encoded.pictures, multiple) for encoded in (pairs.encoded0, pairs.encoded1)
            ]
            return lambda some, times: call("picture", net, *_select(pictures, some), times)
        features = self._features(pairs.encoded0, pairs.encoded1)
        motion = self._motion(*features) if pairs.motion is None else pairs.motion
        known = (*features, motion)
        return lambda some, times: torch.cat(
            call("recipes", net.synthesize, *_select(known, some), times), 1
        )

    def _features(self, *both: EncodedFrames) -> tuple[Any, ...]:
        """What the network knows of the frames, found now where it has not been kept."""
        multiple = self._net.size_multiple(*both[0].pictures.shape[-2:])
        return tuple(
            self.cuda_graphs("features", self._net.encode, padded(encoded.pictures, multiple))
            if encoded.features is None
            else encoded.features
            for encoded in both
        )

    def _motion(self, features0: Any, features1: Any) -> Tensor:
        found: Tensor = self.cuda_graphs("motion", self._net.motion, features0, features1)
        return found


class EncodedFrames(NamedTuple):
    """Frames as the network sees them, and what it has worked out about each by itself.

    Attributes:
        pictures: RGB, (N, 3, h, w).
        features: As the network returns them; `None`: it has no use for them, or they are too
            large to be kept.
    """

    pictures: Tensor
    features: Any

    @staticmethod
    def joined(parts: Sequence[EncodedFrames]) -> EncodedFrames:
        """The frames of all parts."""
        return parts[0] if len(parts) == 1 else EncodedFrames(*joined(parts))


class _Pairs(NamedTuple):
    """N pairs of frames, and the motion between them where it is known already."""

    encoded0: EncodedFrames
    encoded1: EncodedFrames
    motion: Tensor | None

    @classmethod
    def of_pictures(cls, frame0: Tensor, frame1: Tensor) -> _Pairs:
        """Pairs of frames of which nothing is known."""
        return cls(EncodedFrames(frame0, None), EncodedFrames(frame1, None), None)


class _Round(NamedTuple):
    """One call of the network: which pairs, and the timestep of each."""

    pairs: list[int]
    timesteps: list[float]


def _select(known: Any, pairs: list[int] | None) -> Any:
    """Some pairs (`None`: all) out of tensors in tuples in tuples."""
    if pairs is None:
        return known
    return tree_map(lambda tensor: tensor[pairs], known)


def timestep_column(timesteps: Sequence[Fraction | float], like: Tensor) -> Tensor:
    """As networks take them, (T, 1, 1, 1)."""
    return constants(like, *map(float, timesteps)).view(-1, 1, 1, 1)
