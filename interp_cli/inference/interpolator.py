"""Makes the frame at a time between two frames, for arrays and tensors.

`Interpolator` owns the model, the size at which the network sees pictures, and how the network's
parameters make a frame at full size. `ModelRunner` runs the network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Literal, TypeVar, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp_cli.devices import choose_device, choose_precision
from interp_cli.errors import WeightsError
from interp_cli.image_ops import padded, shrunk
from interp_cli.inference.conversion import Pictures, array_of, flow_of, pairs_of, peak_of
from interp_cli.inference.flow import OpticalFlow
from interp_cli.inference.frame_cache import FrameCache
from interp_cli.inference.pair_inference import FramePair, PairInference, TensorFrame
from interp_cli.inference.process import keep_freed_memory
from interp_cli.inference.runner import ModelRunner, timestep_column
from interp_cli.models.base import InterpolationModel, SynthesisParams, require_model
from interp_cli.models.render import Synthesis, render
from interp_cli.models.warp import Sampling
from interp_cli.models.weights import load_model
from interp_cli.options import DEFAULT_MODEL, InferenceOptions, Precision, Quality, Trajectory

Frame = TypeVar("Frame", bound=Hashable)

# Approximate shorter side of the pictures that the network sees; the cost grows with its square.
_NETWORK_SIDE_PX = {"fast": 150, "balanced": 270, "best": 480}
_QUALITY_ON: dict[str, Quality] = {"cpu": "balanced", "cuda": "best", "mps": "best"}


class Interpolator:
    """Makes frames between frames with a trained network.

        interpolator = Interpolator("flow")
        middle = interpolator(frame0, frame1)

    Attributes:
        name: Name of the model.
        net: The network, on its device, ready for inference.
        device: Device of the network.
        precision: `fp32`, `fp16` or `bf16`; never `auto`.
        quality: `fast`, `balanced` or `best`; never `auto`.
        trajectory: `cubic` uses the pairs before and after a pair, where they are known; `linear`
            does not. Always `linear` for a model without flow.
        runner: Runs the network, at the size at which it sees pictures.
    """

    def __init__(
        self,
        model: str | Path | InterpolationModel = DEFAULT_MODEL,
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
            device: Name of the device, as in `InferenceOptions`.
            precision: Precision of the network's arithmetic; pictures stay in 32 bits.
            batch: Batch size in frame pairs, or `auto`.
            tile: Side of the tiles in pixels, `auto` or `off`.
            quality: Size of the pictures that the network sees. The default is `best`, because
                pictures are fewer than the frames of a video.
            trajectory: `cubic` or `linear`, as in `InferenceOptions`.

        Raises:
            WeightsError: The weights cannot be used.
            ResourceError: The device is missing, or lacks the precision.
            ValueError: An option has a value that is not allowed, or the network lacks a member of
                `InterpolationModel`.
        """
        is_loaded = not isinstance(model, str | Path)
        name = type(model).__name__ if is_loaded else str(model)
        self.options = InferenceOptions(name, device, precision, batch, tile, quality, trajectory)
        self.device = choose_device(device)
        if self.device.type == "cpu":
            keep_freed_memory()
        self.precision = choose_precision(self.device, precision)
        self.quality: Quality = _QUALITY_ON[self.device.type] if quality == "auto" else quality
        self.trajectory = trajectory
        if isinstance(model, str | Path):
            loaded = load_model(model)
            self.name, self.net = loaded.name, require_model(loaded.net, loaded.name)
        else:
            self.name, self.net = name, require_model(model, name)
        self.net.eval()
        self.net.to(self.device)
        self.runner = ModelRunner(
            self.net,
            self.name,
            self.device,
            self.precision,
            self.options,
            may_record=not is_loaded,  # a network from outside may do anything
        )
        if not self.has_flow:
            self.quality, self.trajectory = "best", "linear"  # the network sees full frames

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
            frame1: RGB, shaped as `frame0`.
            timestep: Position between `frame0` (0) and `frame1` (1). A model that makes only
                middles makes middles of middles, for timesteps that `can_make` allows.

        Returns:
            An array shaped and typed as `frame0`; rounded.

        Raises:
            ValueError: The arrays differ or are no such pictures, or the model cannot make the
                timestep.
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
        """Whether the model makes its frames from optical flow, which `flow` then returns."""
        return self.runner.has_flow

    @property
    def warnings(self) -> list[str]:
        """Changes of plan so far, such as smaller batches for want of memory."""
        found = [*self.runner.budget.warnings, *self.runner.cuda_graphs.notes]
        if failed := self.runner.fallback.count:
            remedy = "" if self.precision == "fp32" else '; `precision="fp32"` may help'
            found.append(
                f"{failed} results of {self.name} were not finite numbers, so the nearest original"
                f" frame is shown there{remedy}."
            )
        return found

    def flow(self, frame0: Pictures, frame1: Pictures, timestep: float = 0.5) -> OpticalFlow:
        """Estimate the flow that the frame at `timestep` is made from, or for a batch of pairs.

        Args:
            frame0: RGB, (H, W, 3) or (N, H, W, 3), uint8 or uint16.
            frame1: RGB, shaped as `frame0`.
            timestep: Position between `frame0` (0) and `frame1` (1).

        Returns:
            Flows to both frames and the blend mask; for a batch, arrays of N.

        Raises:
            WeightsError: The model has no flow.
            ValueError: The arrays differ or are no such pictures, or `timestep` is not in (0, 1).
        """
        self.require_flow()
        made: list[OpticalFlow] = []
        for tensor0, tensor1 in pairs_of(frame0, frame1, self.batch_size, self.device):
            rows = self.synthesize(tensor0, tensor1, [(timestep,)] * len(tensor0))
            made += [flow for row in rows for flow in flow_of(row)]
        return made[0] if frame0.ndim == 3 else OpticalFlow(*map(np.stack, zip(*made, strict=True)))

    @torch.inference_mode()
    def middle(self, frame0: Tensor, frame1: Tensor, timestep: float = 0.5) -> Tensor:
        """Make the frames at one timestep, in tiles where a frame is too large for the memory.

        Args:
            frame0: RGB in [0, 1], (N, 3, H, W), any size.
            frame1: RGB in [0, 1], shaped as `frame0`.
            timestep: Position between `frame0` (0) and `frame1` (1).

        Returns:
            (N, 3, H, W), float32, on the interpolator's device.

        Raises:
            ValueError: The model cannot make the timestep, or it is not in (0, 1).
        """
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
            frame1: RGB in [0, 1], shaped as `frame0`.
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
        """Do what `between` does and return the flow, too; the network runs no more often.

        Returns:
            For each pair a synthesis of its timesteps, (T, C, H, W); float32, on the
            interpolator's device.

        Raises:
            WeightsError: The model has no flow.
            ValueError: A timestep is not in (0, 1).
        """
        self.require_flow()
        # All pictures of one side are a frame, so that the network takes them in one batch.
        pair = FramePair(self._frame(frame0), self._frame(frame1), timesteps)
        rows = self._tensor_inference().synthesis_params([pair])
        pictures0, pictures1 = (torch.split(f.picture, 1) for f in (pair.frame0, pair.frame1))
        return [
            self._synthesis(*row) for row in zip(pictures0, pictures1, rows, timesteps, strict=True)
        ]

    @torch.inference_mode()
    def sequence(
        self, frames: Iterable[Tensor], timesteps: Sequence[Fraction | float]
    ) -> Iterator[Tensor]:
        """Make frames between consecutive frames of a sequence, as `double` does.

        With a cubic trajectory, the pairs before and after a pair correct its motion. So the
        frames must belong to one shot and follow each other at equal intervals.

        Args:
            frames: RGB in [0, 1], each (1, 3, H, W), all of one size.
            timesteps: At least one, between 0 and 1.

        Yields:
            For each pair of consecutive frames (T, 3, H, W), float32, on the interpolator's device.

        Raises:
            ValueError: The model cannot make one of the timesteps, or it is not in (0, 1).
        """
        if not self.has_flow:
            for frame0, frame1 in pairwise(frame.to(self.device).float() for frame in frames):
                yield from self.between(frame0, frame1, [timesteps])
            return
        inference = self._tensor_inference()
        earlier: TensorFrame | None = None
        pairs = pairwise(self._frame(frame) for frame in frames)
        pair = next(pairs, None)
        while pair is not None:
            following = next(pairs, None)
            later = None if following is None else following[1]
            (row,) = inference.synthesis_params([FramePair(*pair, [timesteps], earlier, later)])
            yield self._synthesis(pair[0].picture, pair[1].picture, row, timesteps).middle
            earlier, pair = pair[0], following

    def pair_inference(
        self, picture: Callable[[Frame], Tensor], cache: FrameCache, part: Hashable = None
    ) -> PairInference[Frame]:
        """The steps from frames to synthesis parameters, with this model and trajectory.

        Args:
            picture: Returns what the network sees of a frame, (N, 3, h, w) in [0, 1].
            cache: Keeps features and flows as long as their frames.
            part: The part of each frame that `picture` returns, as a key of the cache.

        Raises:
            WeightsError: The model has no flow.
        """
        self.require_flow()
        return PairInference(self.runner, self.trajectory, picture, cache, part)

    def _tensor_inference(self) -> PairInference[TensorFrame]:
        return self.pair_inference(lambda frame: self._reduced(frame.picture), FrameCache())

    def _frame(self, pictures: Tensor) -> TensorFrame:
        return TensorFrame(pictures.to(self.device).float())

    def _synthesis(
        self,
        frame0: Tensor,
        frame1: Tensor,
        row: SynthesisParams,
        timesteps: Sequence[Fraction | float],
    ) -> Synthesis:
        """Frames of one pair from their parameters, (T, C, h, w), at the network's size."""
        height, width = frame0.shape[-2:]
        factor = self.reduction(height, width)
        params = row.enlarged(*(side * factor for side in row.blend_mask.shape[-2:]))
        params = params.cropped(height, width)
        times, sampling = timestep_column(timesteps, frame0), self.sampling(height, width)
        middle = render(frame0, frame1, params, times, sampling)
        return Synthesis(middle, params.flow_t0, params.flow_t1, params.blend_mask)

    def reduction(self, height: int, width: int) -> int:
        """Factor by which the network sees frames of this size smaller; 1 without flow."""
        if not self.has_flow:
            return 1
        return max(1, round(min(height, width) / _NETWORK_SIDE_PX[self.quality]))

    def sampling(self, height: int, width: int) -> Sampling:
        """Sampling of frames of this size: dense if the network sees them at full size."""
        return "supersampled" if self.reduction(height, width) == 1 else "bicubic"

    def require_flow(self) -> None:
        """Refuse a model that has no flow.

        Raises:
            WeightsError: The model has none.
        """
        if not self.has_flow:
            raise WeightsError(
                f"model {self.name} makes frames without motion, so there is none to return; use"
                " one that has it, such as flow."
            )

    def can_make(self, timestep: Fraction | float) -> bool:
        """Whether the model can make the frame at `timestep`, directly or by repeated halving."""
        return self.runner.can_make(timestep)

    def batch_size(self, height: int, width: int) -> int:
        """Number of pairs of this size to process at once."""
        return self.runner.budget.batch_size(self._network_pixels(height, width))

    def workers(self, height: int, width: int) -> int:
        """Number of batches with frames of this size that are best processed in parallel."""
        return self.runner.budget.workers(self._network_pixels(height, width))

    def activation_bytes(self, height: int, width: int) -> int:
        """Memory that the network takes for frames of this size, by estimate."""
        return self.runner.budget.activation_bytes(self._network_pixels(height, width))

    def _reduced(self, frames: Tensor) -> Tensor:
        """What the network sees of frames."""
        height, width = frames.shape[-2:]
        factor = self.reduction(height, width)
        if factor == 1:
            return frames
        multiple = self.net.size_multiple(height, width)
        return shrunk(padded(frames, multiple * factor), factor)

    def _network_pixels(self, height: int, width: int) -> int:
        """Pixels of a frame at the size at which the network sees it."""
        return height * width // self.reduction(height, width) ** 2
