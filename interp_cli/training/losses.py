"""What a network is trained for: one objective an architecture.

An objective is called with the network, a `TripletBatch` and the share of the planned run that is
done (0 to 1), and returns the loss to descend and the parts of it that are worth a curve, by name.
A labeller adds to the pictures what only the objective needs; it works in the loader's threads.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from interp_cli.training.triplets import TripletBatch

Objective = Callable[[nn.Module, TripletBatch, float], tuple[Tensor, dict[str, Tensor]]]
# Frames (N, 3, S, S, 3) uint8 RGB and the share of the run done -> arrays by name, first axis N.
Labeller = Callable[[NDArray[np.uint8], float], dict[str, NDArray[np.float32]]]


def objective(architecture: str) -> Objective:
    """The objective of an architecture.

    Raises:
        ValueError: It has none.
    """
    if architecture not in _OBJECTIVES:
        known = ", ".join(_OBJECTIVES)
        raise ValueError(f"architecture must be one of {known}, not {architecture!r}")
    return _OBJECTIVES[architecture]


def labeller(architecture: str) -> Labeller | None:
    """The labeller of an architecture; `None` where the pictures are enough."""
    return _LABELLERS.get(architecture)


def fusion_loss(
    net: nn.Module, batch: TripletBatch, progress: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean squared error of the prediction, the target resized to it."""
    middle = net(batch.frame0, batch.frame1, batch.timestep).float()
    target = batch.target
    if target.shape[-2:] != middle.shape[-2:]:
        target = F.interpolate(target, size=middle.shape[-2:], mode="bilinear", align_corners=False)
    loss = F.mse_loss(middle, target)
    return loss, {"mse": loss.detach()}


_OBJECTIVES: dict[str, Objective] = {"fusion": fusion_loss}
_LABELLERS: dict[str, Labeller] = {}
