"""The nearest original frame in place of a result that is not finite.

A network may return NaN or infinity where 16 bits overflow, or where it comes from outside. Such
values would become pictures of any colour, so they are noticed here. The check is one sum over the
result, and on a GPU nothing waits for it.
"""

from __future__ import annotations

import threading

import torch
from torch import Tensor

from interp_cli.models.base import SynthesisParams


class Fallback:
    """Replaces results that are not finite, and counts them. Several threads may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failed: Tensor | None = None  # stays on the device until somebody asks

    @property
    def count(self) -> int:
        """Number of results replaced so far."""
        return 0 if self._failed is None else int(self._failed)

    def params(self, params: SynthesisParams, timestep: Tensor) -> SynthesisParams:
        """Replace parameters of frames by those that make the nearest frame of the pair.

        Args:
            params: Parameters of R frames, (R, C, H, W).
            timestep: Position of each frame in its pair, (R, 1, 1, 1).
        """
        is_finite = self._checked(*params)
        if is_finite is None:
            return params
        nearest = SynthesisParams(*map(torch.zeros_like, params))
        nearest = nearest._replace(blend_mask=(timestep <= 0.5).to(params.blend_mask))
        pairs = zip(params, nearest, strict=True)
        return SynthesisParams(*(torch.where(is_finite, part, other) for part, other in pairs))

    def pictures(self, made: Tensor, frame0: Tensor, frame1: Tensor, timestep: Tensor) -> Tensor:
        """Replace pictures by the nearest frame of the pair.

        Args:
            made: Pictures of one pair, (T, 3, H, W).
            frame0: The earlier frame, (1, 3, H, W).
            frame1: The later frame, (1, 3, H, W).
            timestep: Position of each picture in the pair, (T, 1, 1, 1).
        """
        is_finite = self._checked(made)
        if is_finite is None:
            return made
        nearest = torch.where(timestep <= 0.5, frame0, frame1)
        return torch.where(is_finite, made, nearest.to(made))

    def _checked(self, *parts: Tensor) -> Tensor | None:
        """Which rows are finite, (N, 1, 1, 1); `None` if it is known that all are."""
        is_finite = torch.stack([part.sum((1, 2, 3)) for part in parts]).isfinite().all(0)
        if is_finite.device.type == "cpu" and is_finite.all():
            return None
        with self._lock:
            failed = (~is_finite).sum()
            self._failed = failed if self._failed is None else self._failed + failed
        return is_finite.view(-1, 1, 1, 1)
