"""Two frames and a time between them become the frame at that time.

This module owns what goes in and out: the model, how large the network sees pictures, and how what
it finds makes a frame at full size. `inference` runs the network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from interp_cli.devices import choose_device, choose_precision, keep_freed_memory
from interp_cli.errors import WeightsError
from interp_cli.image_ops import padded, shrunk
from interp_cli.inference.conversion import Pictures, array_of, flow_of, pairs_of, peak_of
from interp_cli.inference.motion import OpticalFlow
from interp_cli.inference.runner import EncodedFrames, ModelRunner, timestep_column
from interp_cli.inference.trajectory import AdjacentMotion
from interp_cli.models.render import Synthesis, SynthesisParams, render
from interp_cli.models.warp import Sampling
from interp_cli.models.weights import load_model
from interp_cli.options import DEFAULT_MODEL, InferenceOptions, Precision, Quality, Trajectory

# About how long the shorter side of what the network sees is; the cost grows with its square.
_SEEN_PX = {"fast": 150, "balanced": 270, "best": 480}
_QUALITY_ON: dict[str, Quality] = {"cpu": "balanced", "cuda": "best", "mps": "best"}


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
        trajectory: `cubic` or `linear`: whether motion goes on as beside a pair, where that is
            known; `linear` without motion.
        inference: Runs the network, at the size that it sees.
    """

    def __init__(
        self,
        model: str | Path | nn.Module = DEFAULT_MODEL,
        device: str = "auto",
        precision: Precision = "auto",
        batch: int | Literal["auto"] = "auto",
        tile: int | Literal["auto", "off"] = "auto",
        quality: Quality = "best",
        trajectory: Trajectory = "cubic",
    ) -> None:
        """Load the weights and move them to the device.

        Args:
            model: Name of a bundled model, path of a weights file, or a network.
            device: See `InferenceOptions`, as for the rest.
            precision: Of the network's arithmetic; pictures stay in 32 bits.
            batch: Pairs a step.
            tile: See `InferenceOptions`.
            quality: How large the pictures are that the network sees; here the best is the default,
                for pictures are not as many as the frames of a video.
            trajectory: See `InferenceOptions`.

        Raises:
            WeightsError: The weights cannot be used.
            ResourceError: There is no such device, or it has no such precision.
            ValueError: An option is none of those allowed.
        """
        name = type(model).__name__ if isinstance(model, nn.Module) else str(model)
        self.options = InferenceOptions(name, device, precision, batch, tile, quality, trajectory)
        self.device = choose_device(device)
        if self.device.type == "cpu":
            keep_freed_memory()
        self.precision = choose_precision(self.device, precision)
        self.quality: Quality = _QUALITY_ON[self.device.type] if quality == "auto" else quality
        self.trajectory = trajectory
        # Any: networks share methods (`size_multiple`) that nn.Module does not declare.
        self.name = name
        self.net: Any = model
        if not isinstance(model, nn.Module):
            loaded = load_model(model)
            self.name, self.net = loaded.name, loaded.net
        self.net.eval().to(self.device)
        self.runner = ModelRunner(
            self.net,
            self.name,
            self.device,
            self.precision,
            self.options,
            may_record=not isinstance(model, nn.Module),  # others' networks may do anything
        )
        if not self.has_flow:
            self.quality, self.trajectory = "best", "linear"  # it sees frames as they are

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
            options.trajectory,
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
        peak = peak_of(frame0, frame1)
        made = []
        for tensor0, tensor1 in pairs_of(frame0, frame1, self.batch_size, self.device):
            middle = (self.middle(tensor0, tensor1, timestep) * peak).round().clamp(0, peak)
            made.append(array_of(middle).astype(frame0.dtype))
        return np.concatenate(made).reshape(frame0.shape)

    @property
    def digest(self) -> str:
        """SHA-256 of the network's weights, in the order of their names."""
        found = hashlib.sha256()
        for name, value in sorted(self.net.state_dict().items()):
            found.update(name.encode() + value.cpu().contiguous().view(-1).numpy().tobytes())
        return found.hexdigest()

    @property
    def has_flow(self) -> bool:
        """Whether the model makes its frames from motion, which `motion` then returns."""
        return self.runner.has_flow

    @property
    def notes(self) -> list[str]:
        """What had to be done otherwise than planned."""
        return [*self.runner.budget.notes, *self.runner.cuda_graphs.notes]

    def motion(self, frame0: Pictures, frame1: Pictures, timestep: float = 0.5) -> OpticalFlow:
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
        self.require_flow()
        made = []
        for tensor0, tensor1 in pairs_of(frame0, frame1, self.batch_size, self.device):
            rows = self.synthesize(tensor0, tensor1, [(timestep,)] * len(tensor0))
            made += [motion for row in rows for motion in flow_of(row)]
        return made[0] if frame0.ndim == 3 else OpticalFlow(*map(np.stack, zip(*made, strict=True)))

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
        if not self.has_flow:
            return self.runner.pictures(frame0, frame1, timesteps)
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
        self.require_flow()
        pairs = self._known(frame0, frame1)
        rows = self.runner.synthesis_params(pairs.encoded0, pairs.encoded1, pairs.motion, timesteps)
        return [
            self._synthesis(pairs.frame0[i : i + 1], pairs.frame1[i : i + 1], row, timesteps[i])
            for i, row in enumerate(rows)
        ]

    @torch.inference_mode()
    def sequence(
        self, frames: Iterable[Tensor], timesteps: Sequence[Fraction | float]
    ) -> Iterator[Tensor]:
        """Make frames between each two neighbours of a sequence, as `double` does.

        With a cubic trajectory, what moves between two frames goes on as between those before and
        after them; so the frames are to follow each other evenly, in one shot.

        Args:
            frames: RGB in [0, 1], each (1, 3, H, W), all of one size.
            timesteps: At least one, between 0 and 1.

        Yields:
            For each two neighbours (T, 3, H, W), float32, on the interpolator's device.

        Raises:
            ValueError: The model cannot make one of the timesteps, or it is not in (0, 1).
        """
        both = pairwise(frame.to(self.device).float() for frame in frames)
        if not self.has_flow:
            for frame0, frame1 in both:
                yield from self.between(frame0, frame1, [timesteps])
            return
        pairs = self._known_pairs(both)
        earlier, pair = None, next(pairs, None)
        while pair is not None:
            later, adjacent = next(pairs, None), None
            if self.trajectory == "cubic" and pair.motion is not None:
                before, after = (other and other.motion for other in (earlier, later))
                adjacent = AdjacentMotion.of(pair.motion, [before], [after], [(1.0, 1.0)])
            (row,) = self.runner.synthesis_params(
                pair.encoded0, pair.encoded1, pair.motion, [timesteps], adjacent
            )
            yield self._synthesis(pair.frame0, pair.frame1, row, timesteps).middle
            earlier, pair = pair, later

    def _known_pairs(self, pairs: Iterable[tuple[Tensor, Tensor]]) -> Iterator[_KnownPairs]:
        """What is found out about each pair; each frame is seen once."""
        encoded = None
        for frame0, frame1 in pairs:
            known = self._known(frame0, frame1, encoded)
            encoded = known.encoded1
            yield known

    def _known(
        self, frame0: Tensor, frame1: Tensor, encoded0: EncodedFrames | None = None
    ) -> _KnownPairs:
        """What is found out about N pairs, (N, 3, H, W); `encoded0` where that is known already."""
        factor = self.reduction(*frame0.shape[-2:])
        frame0, frame1 = (frame.to(self.device).float() for frame in (frame0, frame1))
        if encoded0 is None:
            encoded0 = self.runner.encode(self._reduced(frame0, factor))
        encoded1 = self.runner.encode(self._reduced(frame1, factor))
        return _KnownPairs(
            frame0, frame1, encoded0, encoded1, self.runner.motion(encoded0, encoded1)
        )

    def _synthesis(
        self,
        frame0: Tensor,
        frame1: Tensor,
        row: SynthesisParams,
        timesteps: Sequence[Fraction | float],
    ) -> Synthesis:
        """What recipes for the frames as they were seen, (T, C, h, w), make of one pair."""
        height, width = frame0.shape[-2:]
        factor = self.reduction(height, width)
        params = row.enlarged(*(side * factor for side in row.blend_mask.shape[-2:]))
        params = params.cropped(height, width)
        times, sampling = timestep_column(timesteps, frame0), self.sampling(height, width)
        middle = render(frame0, frame1, params, times, sampling)
        return Synthesis(middle, params.flow_t0, params.flow_t1, params.blend_mask)

    def reduction(self, height: int, width: int) -> int:
        """How many times smaller the network sees frames of this size; 1 without motion."""
        if not self.has_flow:
            return 1
        return max(1, round(min(height, width) / _SEEN_PX[self.quality]))

    def sampling(self, height: int, width: int) -> Sampling:
        """How frames of this size are sampled: densely if the network sees them at full size."""
        return "supersampled" if self.reduction(height, width) == 1 else "bicubic"

    def require_flow(self) -> None:
        """Refuse a model that has no motion.

        Raises:
            WeightsError: So it is.
        """
        if not self.has_flow:
            raise WeightsError(
                f"model {self.name} makes frames without motion, so there is none to return; use"
                " one that has it, such as flow."
            )

    def can_make(self, timestep: Fraction | float) -> bool:
        """Whether the model can make the frame at `timestep`, by itself or by halving."""
        return self.runner.can_make(timestep)

    def batch_size(self, height: int, width: int) -> int:
        """Pairs of this size to hand over at once."""
        return self.runner.budget.batch_size(self._seen_pixels(height, width))

    def workers(self, height: int, width: int) -> int:
        """How many steps with frames of this size are best made at the same time."""
        return self.runner.budget.workers(self._seen_pixels(height, width))

    def _reduced(self, frames: Tensor, factor: int) -> Tensor:
        """What the network sees of frames."""
        if factor == 1:
            return frames
        multiple = self.net.size_multiple(*frames.shape[-2:])
        return shrunk(padded(frames, multiple * factor), factor)

    def _seen_pixels(self, height: int, width: int) -> int:
        """Of a frame, as the network sees it."""
        return height * width // self.reduction(height, width) ** 2


class _KnownPairs(NamedTuple):
    """N pairs of frames, (N, 3, H, W), and what is found out about them for every timestep."""

    frame0: Tensor
    frame1: Tensor
    encoded0: EncodedFrames
    encoded1: EncodedFrames
    motion: Tensor | None
