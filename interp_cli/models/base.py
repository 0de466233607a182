"""What a network must offer, and what it returns. A new network is one file and one registry line.

An `InterpolationModel` makes a picture from two frames. A `FlowModel` estimates optical flow as
well and returns the parameters from which `render` makes the frame, so that videos are synthesized
in their own planes. A type checker says what a network lacks, and `require_model` says so at run
time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from interp_cli.image_ops import constants, resized


class SynthesisParams(NamedTuple):
    """From what the frame at a timestep is made, at the size of the pictures that were encoded.

    Attributes:
        flow_t0: Offsets in pixels to `frame0`, (N, 2, H, W), (dx, dy).
        flow_t1: Offsets in pixels to `frame1`, (N, 2, H, W), (dx, dy).
        blend_mask: Weight of the warped `frame0`, (N, 1, H, W), 0 to 1.
        stillness: Confidence that nothing moves, (N, 1, H, W), 0 to 1.
        sharpness: Detail to add, in units of the detail present, (N, 1, H, W).
        residual: Values to add to the channels, (N, C, H, W).
    """

    flow_t0: Tensor
    flow_t1: Tensor
    blend_mask: Tensor
    stillness: Tensor
    sharpness: Tensor
    residual: Tensor

    def enlarged(self, height: int, width: int) -> SynthesisParams:
        """The same parameters for frames of another size."""
        if self.flow_t0.shape[-2:] == (height, width):
            return self
        scale = constants(
            self.flow_t0, width / self.flow_t0.shape[-1], height / self.flow_t0.shape[-2]
        ).view(1, 2, 1, 1)
        scaled = self._replace(flow_t0=self.flow_t0 * scale, flow_t1=self.flow_t1 * scale)
        return SynthesisParams(*(resized(part, height, width) for part in scaled))

    def cropped(self, height: int, width: int) -> SynthesisParams:
        """The upper left part."""
        return SynthesisParams(*(part[..., :height, :width] for part in self))


@runtime_checkable
class InterpolationModel(Protocol):
    """A network that makes the frame between two frames; any `nn.Module` with these members.

    Attributes:
        supports_timestep: Whether it makes frames at any timestep, or only the middle.
    """

    supports_timestep: bool

    def size_multiple(self, height: int, width: int) -> int:
        """Number of pixels by which both sides of a frame of this size must be divisible."""

    def __call__(self, frame0: Tensor, frame1: Tensor, timestep: Tensor, /) -> Tensor:
        """Make the frame at `timestep`.

        Args:
            frame0: Earlier frame, (N, 3, H, W) in [0, 1].
            frame1: Later frame, (N, 3, H, W) in [0, 1].
            timestep: Position between `frame0` (0) and `frame1` (1), (N, 1, 1, 1).

        Returns:
            (N, 3, H, W), nominally in [0, 1], not clipped.
        """

    def eval(self) -> Any:
        """Prepare for inference, as `nn.Module` does."""

    def to(self, device: torch.device, /) -> Any:
        """Move to a device, as `nn.Module` does."""

    def parameters(self) -> Iterator[Any]:
        """Trained values, as `nn.Module` yields them."""

    def state_dict(self) -> dict[str, Any]:
        """Weights by name, as `nn.Module` returns them."""


@runtime_checkable
class FlowModel(InterpolationModel, Protocol):
    """A network that makes frames from optical flow, in steps that several frames share.

    Features are tensors in tuples in tuples. What serves one frame or one pair is computed once:
    `encode` a frame, `estimate_flow` between two, `synthesize` at each timestep.
    """

    def encode(self, frame: Tensor, /) -> Any:
        """Describe frames, (N, 3, H, W), for both pairs that each belongs to."""

    def estimate_flow(self, features0: Any, features1: Any, /) -> Tensor:
        """Estimate the flow from each frame to the other.

        Returns:
            (N, 2, 2, h, w), (dx, dy) in pixels of its own grid: from `frame0`, from `frame1`.
        """

    def synthesize(
        self, features0: Any, features1: Any, flow: Tensor, timestep: Tensor, /
    ) -> SynthesisParams:
        """Find the parameters of the frame at `timestep`, (N, 1, 1, 1)."""


_MODEL_MEMBERS = (
    *("supports_timestep", "size_multiple", "__call__"),
    *("eval", "to", "parameters", "state_dict"),
)
_FLOW_MEMBERS = ("encode", "estimate_flow", "synthesize")


def require_model(net: object, name: str) -> InterpolationModel:
    """Check that an object offers what a model must.

    Args:
        net: The network.
        name: Name of the model, for the message.

    Raises:
        ValueError: A member is missing. A network with `synthesize` must be a whole `FlowModel`.
    """
    members = _MODEL_MEMBERS + (_FLOW_MEMBERS if hasattr(net, "synthesize") else ())
    missing = [member for member in members if not hasattr(net, member)]
    if missing or not isinstance(net, InterpolationModel):
        raise ValueError(f"model {name} lacks {', '.join(missing)}; see interp_cli.models.base")
    return net
