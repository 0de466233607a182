"""Runs a network on pairs of frames: at any timesteps, in batches and tiles that fit the memory.

Frames have the size here at which the network sees them. The network is called once for each round
of timesteps, and what serves all rounds is computed once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import torch
from torch import Tensor

from interp_cli.devices import autocast, is_out_of_memory
from interp_cli.errors import WeightsError
from interp_cli.image_ops import constants, padded
from interp_cli.inference.batching import MemoryBudget, tiles
from interp_cli.inference.cuda_graphs import CudaGraphs, recorder_for
from interp_cli.inference.fallback import Fallback
from interp_cli.inference.trajectory import AdjacentMotion, apply_trajectory
from interp_cli.models.base import FlowModel, InterpolationModel, SynthesisParams
from interp_cli.models.pytree import tree_cat, tree_map
from interp_cli.options import InferenceOptions, Precision

# Middles of middles of middles … blur, so a finer division is refused.
_FINEST_HALVING = 64
# Channels of the fields of `SynthesisParams`, concatenated.
_PARAMS_CHANNELS = [2, 2, 1, 1, 1, 3]


class ModelRunner:
    """Runs a network: for synthesis parameters if it has flow, otherwise for pictures.

    Attributes:
        has_flow: Whether the network makes its frames from optical flow.
        budget: Batch and tile sizes that fit the memory.
        cuda_graphs: Recordings of the network on a GPU.
        fallback: Replaces results that are not finite.
    """

    def __init__(
        self,
        net: InterpolationModel,
        name: str,
        device: torch.device,
        precision: Precision,
        options: InferenceOptions,
        *,
        may_record: bool = False,
    ) -> None:
        """Take a network that is ready for inference.

        Args:
            net: The network, on its device.
            name: Name of the model, for messages.
            device: Device of the network.
            precision: Precision of its arithmetic; not `auto`.
            options: Batch and tile sizes; the other options are ignored.
            may_record: Whether CUDA graphs may be made of the network: it always does the same
                with tensors of the same shapes, and its weights stay where they are.
        """
        self._net, self._name = net, name
        self._flow_net = net if isinstance(net, FlowModel) else None
        self._device, self._precision = device, precision
        self.has_flow = self._flow_net is not None
        self.budget = MemoryBudget(
            device, precision, options.batch, options.tile, has_flow=self.has_flow
        )
        self.fallback = Fallback()
        self.cuda_graphs = CudaGraphs(
            device, recorder_for(device, precision) if may_record else None
        )

    def can_make(self, timestep: Fraction | float) -> bool:
        """Whether the model can make the frame at `timestep`, directly or by repeated halving."""
        if not 0 < timestep < 1:
            return False
        parts = Fraction(timestep).denominator
        return self._net.supports_timestep or (
            parts & (parts - 1) == 0 and parts <= _FINEST_HALVING
        )

    @torch.inference_mode()
    def encode(self, pictures: Tensor) -> EncodedFrames:
        """Compute the features of frames. The network must have flow.

        Args:
            pictures: RGB in [0, 1], (N, 3, h, w), at the size that the network is to see, on its
                device.

        Returns:
            Features for both pairs that each frame belongs to.
        """
        net = self._require_flow()
        pictures = padded(pictures, self._net.size_multiple(*pictures.shape[-2:]))
        if self.budget.tile_size(*pictures.shape[-2:]) is not None:
            return EncodedFrames(pictures, None)
        try:
            with autocast(self._device, self._precision):
                features = self.cuda_graphs("features", net.encode, pictures)
            return EncodedFrames(pictures, features)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        if self.cuda_graphs.drop():
            return self.encode(pictures)
        return EncodedFrames(pictures, None)  # in tiles, then

    @torch.inference_mode()
    def estimate_flow(self, encoded0: EncodedFrames, encoded1: EncodedFrames) -> Tensor | None:
        """Estimate the flow between the frames of N pairs, for all timesteps.

        Returns:
            (N, 2, 2, h, w), as the network returns it; `None` where the memory does not suffice
            for whole frames: then `synthesis_params` estimates it in tiles.
        """
        if self.budget.tile_size(*encoded0.pictures.shape[-2:]) is not None:
            return None
        try:
            with autocast(self._device, self._precision):
                return self._flow(*self._features(encoded0, encoded1))
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        return self.estimate_flow(encoded0, encoded1) if self.cuda_graphs.drop() else None

    @torch.inference_mode()
    def synthesis_params(
        self,
        encoded0: EncodedFrames,
        encoded1: EncodedFrames,
        flow: Tensor | None,
        timesteps: Sequence[Sequence[Fraction | float]],
        adjacent: AdjacentMotion | None = None,
    ) -> list[SynthesisParams]:
        """Find the parameters of frames at several timesteps of each pair.

        Args:
            encoded0: The earlier frames of N pairs.
            encoded1: The later frames.
            flow: Flow between them, from `estimate_flow`; `None`: it is estimated here, and the
                motion is linear.
            timesteps: For each pair at least one, between 0 and 1.
            adjacent: Flow of the pairs before and after; `None`: all motion is linear.

        Returns:
            For each pair its parameters, (T, C, h, w), at the padded size of the pictures.

        Raises:
            ValueError: A timestep is not in (0, 1).
        """
        self._check(timesteps)
        rows = self._in_rounds(_Pairs(encoded0, encoded1, flow), timesteps)
        params = SynthesisParams(*torch.split(torch.cat(rows), _PARAMS_CHANNELS, 1))
        counts = [len(times) for times in timesteps]
        times = timestep_column(list(itertools.chain.from_iterable(timesteps)), params.blend_mask)
        if flow is not None and adjacent is not None:
            params = apply_trajectory(params, flow, adjacent, times, counts)
        params = self.fallback.params(params, times)
        parts = [torch.split(part, counts) for part in params]
        return [SynthesisParams(*row) for row in zip(*parts, strict=True)]

    @torch.inference_mode()
    def pictures(
        self, frame0: Tensor, frame1: Tensor, timesteps: Sequence[Sequence[Fraction | float]]
    ) -> list[Tensor]:
        """Make pictures at several timesteps of each pair, with a network that has no flow.

        A model that makes only the middle makes middles of middles.

        Args:
            frame0: RGB in [0, 1], (N, 3, H, W), any size, on the network's device.
            frame1: RGB in [0, 1], shaped as `frame0`.
            timesteps: For each pair at least one, between 0 and 1.

        Returns:
            For each pair (T, 3, H, W), float32.

        Raises:
            ValueError: The model cannot make one of the timesteps, or it is not in (0, 1).
        """
        self._check(timesteps)
        make = self._in_rounds if self._net.supports_timestep else self._by_halving
        made = make(_Pairs.of_pictures(frame0, frame1), timesteps)
        frames = zip(torch.split(frame0, 1), torch.split(frame1, 1), strict=True)
        return [
            self.fallback.pictures(row, *pair, timestep_column(times, row))
            for row, pair, times in zip(made, frames, timesteps, strict=True)
        ]

    def _require_flow(self) -> FlowModel:
        if self._flow_net is None:
            raise WeightsError(f"model {self._name} makes frames without optical flow.")
        return self._flow_net

    def _check(self, timesteps: Sequence[Sequence[Fraction | float]]) -> None:
        for timestep in itertools.chain.from_iterable(timesteps):
            if not 0 < timestep < 1:
                raise ValueError(f"timestep must lie between 0 and 1, not at {timestep}")
            if not self.can_make(timestep):
                raise ValueError(f"model {self._name} makes only middles, not timestep {timestep}")

    def _by_halving(
        self, pairs: _Pairs, timesteps: Sequence[Sequence[Fraction | float]]
    ) -> list[Tensor]:
        """The middle of each pair first, then the frames on both sides of it."""
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
        """What the network makes at each pair's timesteps: pictures, or concatenated parameters.

        Where the memory does not suffice, CUDA graphs are given up, then the batch is halved, then
        tiles get smaller.

        Raises:
            ResourceError: The memory does not suffice for the smallest tile.
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
        channels = sum(_PARAMS_CHANNELS) if self.has_flow else 3
        totals = [frame0.new_zeros((len(r.pairs), channels, height, width)) for r in rounds]
        weight = frame0.new_zeros((1, 1, height, width))
        for tile, fade in tiles(height, width, side):
            fade = fade.to(weight)
            weight[tile] += fade
            made = self._run(_Pairs.of_pictures(frame0[tile], frame1[tile]), rounds)
            for total, part in zip(totals, made, strict=True):
                total[tile] += part * fade
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
        """A function from pairs (`None`: all) and their timesteps to pictures or parameters.

        A network with flow computes here what serves every timestep.
        """
        call = self.cuda_graphs
        if self._flow_net is None:
            net = self._net
            multiple = net.size_multiple(*pairs.encoded0.pictures.shape[-2:])
            pictures = [
                padded(encoded.pictures, multiple) for encoded in (pairs.encoded0, pairs.encoded1)
            ]
            return lambda some, times: call("picture", net, *_select(pictures, some), times)
        synthesize = self._flow_net.synthesize
        features = self._features(pairs.encoded0, pairs.encoded1)
        flow = self._flow(*features) if pairs.flow is None else pairs.flow
        known = (*features, flow)
        return lambda some, times: torch.cat(
            call("synthesis", synthesize, *_select(known, some), times), 1
        )

    def _features(self, *both: EncodedFrames) -> tuple[Any, ...]:
        """Features of the frames, computed now where they are missing."""
        encode = self._require_flow().encode
        multiple = self._net.size_multiple(*both[0].pictures.shape[-2:])
        return tuple(
            self.cuda_graphs("features", encode, padded(encoded.pictures, multiple))
            if encoded.features is None
            else encoded.features
            for encoded in both
        )

    def _flow(self, features0: Any, features1: Any) -> Tensor:
        estimate = self._require_flow().estimate_flow
        flow: Tensor = self.cuda_graphs("flow", estimate, features0, features1)
        return flow


class EncodedFrames(NamedTuple):
    """Frames as the network sees them, with the features of each.

    Attributes:
        pictures: RGB, (N, 3, h, w).
        features: Features as the network returns them; `None` where the network has none, or where
            they are too large to keep.
    """

    pictures: Tensor
    features: Any

    @staticmethod
    def cat(parts: Sequence[EncodedFrames]) -> EncodedFrames:
        """The frames of all parts, in order."""
        return parts[0] if len(parts) == 1 else EncodedFrames(*tree_cat(parts))


class _Pairs(NamedTuple):
    """N pairs of frames, and the flow between them where it is known already."""

    encoded0: EncodedFrames
    encoded1: EncodedFrames
    flow: Tensor | None

    @classmethod
    def of_pictures(cls, frame0: Tensor, frame1: Tensor) -> _Pairs:
        """Pairs of pictures without features or flow."""
        return cls(EncodedFrames(frame0, None), EncodedFrames(frame1, None), None)


class _Round(NamedTuple):
    """One call of the network: its pairs, and the timestep of each."""

    pairs: list[int]
    timesteps: list[float]


def _select(known: Any, pairs: list[int] | None) -> Any:
    """Rows of some pairs (`None`: all) out of tensors in tuples in tuples."""
    if pairs is None:
        return known
    return tree_map(lambda tensor: tensor[pairs], known)


def timestep_column(timesteps: Sequence[Fraction | float], like: Tensor) -> Tensor:
    """Timesteps in the form that networks take, (T, 1, 1, 1)."""
    return constants(like, *map(float, timesteps)).view(-1, 1, 1, 1)
