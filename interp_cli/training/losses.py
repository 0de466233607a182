"""Training objectives, one per network.

An objective is called with the network, a `TripletBatch` and the fraction of the planned run that
is done (0 to 1). It returns the loss and the parts of the loss to plot, by name. A labeller adds
what only the objective needs to the pictures, in the loader's threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from interp_cli.image_ops import constants, shrunk
from interp_cli.models.flow.network import Flow
from interp_cli.models.warp import warp
from interp_cli.training import labels
from interp_cli.training.midpoint_teacher import find_trajectories
from interp_cli.training.triplets import TripletBatch

# Mean squared error at a PSNR of 50 dB. Smaller errors do not count as better.
_EXACT = 1e-5

Objective = Callable[[nn.Module, TripletBatch, float], tuple[Tensor, dict[str, Tensor]]]
# Frames (N, 3, S, S, 3) uint8 RGB and the fraction of the run -> arrays by name, first axis N.
Labeller = Callable[[NDArray[np.uint8], float], dict[str, NDArray[np.float32]]]


def objective(architecture: str) -> Objective:
    """Return the objective of a network.

    Raises:
        ValueError: The network has none.
    """
    if architecture not in _OBJECTIVES:
        known = ", ".join(_OBJECTIVES)
        raise ValueError(f"architecture must be one of {known}, not {architecture!r}")
    return _OBJECTIVES[architecture]


def labeller(architecture: str) -> Labeller | None:
    """Return the labeller of a network; `None` if it needs no labels."""
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


def flow_loss(
    net: nn.Module, batch: TripletBatch, progress: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """Losses of every stage of `flow` against the true middle and the known motion.

    The labels `dis_flow` (see `labels`) fade out over the first part of the run. `exact_flow` and
    `exact_flow_t` (see `synthetic`) count for synthetic triplets. `midpoint_flow` and
    `midpoint_flow_t` (see `midpoint_teacher`) count for filmed ones, at the estimated timestep of
    the target. On average a random quarter of a batch is halved in size, which makes it sharp and
    clean like large frames after the pyramid's reduction. Crops whose sides are not multiples of
    16, or are below 32 pixels, are never halved.
    """
    lot = torch.randperm(len(batch))
    small = int(len(batch) / 4 + torch.rand(()).item()) if _can_be_halved(batch) else 0
    parts: dict[str, Tensor] = {}
    for chosen in (batch[lot[small:]], _halved(batch[lot[:small]])):
        if len(chosen):
            for name, part in _flow_parts(cast(Flow, net), chosen, progress).items():
                parts[name] = parts.get(name, 0) + part * (len(chosen) / len(batch))
    loss = sum(parts.values(), batch.target.new_zeros(()))
    return loss, {name: part.detach() for name, part in parts.items()}


def _can_be_halved(batch: TripletBatch) -> bool:
    return all(side >= 32 and side % 16 == 0 for side in batch.target.shape[-2:])


def _halved(batch: TripletBatch) -> TripletBatch:
    """The batch at half the size. Labels keep their grids, and their vectors are halved."""
    scale = constants(batch.target, 0.5, 0.5, 1).view(3, 1, 1)
    return TripletBatch(
        shrunk(batch.frame0, 2),
        shrunk(batch.target, 2),
        shrunk(batch.frame1, 2),
        batch.timestep,
        {name: label * scale for name, label in batch.labels.items()},
    )


def _flow_parts(net: Flow, batch: TripletBatch, progress: float) -> dict[str, Tensor]:
    """Return the losses of triplets of one size, by name."""
    features, flows = net.training_motion(batch.frame0, batch.frame1)
    filmed = _filmed(batch)
    timestep, known = batch.timestep, batch.labels
    trajectories = find_trajectories(net, features, batch.target, filmed) if len(filmed) else None
    if trajectories is not None:
        timestep = trajectories.timesteps(timestep)
    out = net.training_outputs(features, flows[-1], timestep)
    frames = torch.stack((batch.frame0, batch.frame1), 1).flatten(0, 1)  # frames 0 and 1 alternate
    half = F.avg_pool2d(batch.target, 2)
    quarter = F.avg_pool2d(half, 2)
    parts = {
        "picture": laplacian_l1(out.middle, batch.target, 4),
        "psnr": 0.02 * log_squared_error(out.middle, batch.target),
        "half": 0.5 * laplacian_l1(out.half, half, 4),
        "quarter": 0.25 * laplacian_l1(out.quarter, quarter, 3),
        "projected": _projected_l1(out.projected, F.avg_pool2d(frames, 4), quarter),
        "matched": 0.15 * sum((_matched(f, frames) for f in flows), half.new_zeros(())),
    }
    if trajectories is not None:
        known = known | trajectories.labels(flows[-1], out.refined[0])
    taught = {
        "dis_flow": (flows, max(0.0, 0.25 * (1 - progress / labels.LAST_FRACTION))),
        "exact_flow": (flows, 0.125),
        "exact_flow_t": (out.refined, 0.06),
        "midpoint_flow": (flows, 0.125),
        "midpoint_flow_t": ((out.projected, *out.refined), 0.06),
    }
    for name, (found, weight) in taught.items():
        if name in known and weight:
            parts[name] = weight * _motion_l1(found, known[name], frames)
    return parts


def _filmed(batch: TripletBatch) -> Tensor:
    """Numbers of the triplets that are not synthetic."""
    drawn = batch.labels.get("exact_flow")
    if drawn is None:
        return torch.arange(len(batch), device=batch.target.device)
    return (~drawn[:, :, 2].flatten(1).any(1)).nonzero().flatten()


def laplacian_l1(prediction: Tensor, target: Tensor, levels: int) -> Tensor:
    """Mean absolute error of each level of a Laplacian pyramid, summed over the levels.

    Fine detail counts as much as brightness over large areas. All levels have the same weight:
    the usual doubling from level to level cost 0.4 dB in a trial.
    """
    rest = (prediction - target).float()
    total = rest.new_zeros(())
    for _ in range(levels - 1):
        coarser = F.avg_pool2d(rest, 2)
        total = total + (rest - _resized(coarser, rest)).abs().mean()
        rest = coarser
    return total + rest.abs().mean()


def log_squared_error(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean over the pictures of the logarithm of their mean squared error; 0 without an error.

    As in PSNR, halving a picture's error counts the same in every picture. An absolute error
    counts most where motion is unpredictable, whereas this one also refines what is nearly right.
    """
    error = (prediction - target).float().square().flatten(1).mean(1)
    return torch.log1p(error / _EXACT).mean()


def _projected_l1(flow: Tensor, frames: Tensor, target: Tensor) -> Tensor:
    """Error of both frames warped to the timestep by `flow`, (N, 2, 2, h, w).

    The better frame counts more, since a place may be visible in one frame only.
    """
    warped = warp(frames, flow.flatten(0, 1)).view(*flow.shape[:2], *frames.shape[1:])
    error: Tensor = (warped - target.unsqueeze(1)).abs().mean(2)  # (N, 2, h, w)
    return 0.5 * error.amin(1).mean() + 0.5 * error.mean()


def _matched(flow: Tensor, frames: Tensor) -> Tensor:
    """Error of each frame reconstructed from the other by a level's flow, (N, 2, 2, h, w).

    Pictures at twice the flow's resolution constrain it better. Places that the other frame hides
    cannot be reconstructed, so large errors count less than in proportion.
    """
    fine = 2 * F.interpolate(
        flow.flatten(0, 1), scale_factor=2, mode="bilinear", align_corners=False
    )
    pictures = F.interpolate(frames, size=fine.shape[-2:], mode="area")
    other = pictures.view(-1, 2, *pictures.shape[1:]).flip(1).flatten(0, 1)
    error: Tensor = (warp(other, fine) - pictures).abs().mean(1)
    return (error + 0.01).pow(0.6).mean()


def _motion_l1(flows: Sequence[Tensor], known: Tensor, frames: Tensor) -> Tensor:
    """Distance of flows from known ones, weighted by how much of a cell is known.

    Args:
        flows: Flows of several levels, (N, 2, 2, h, w), in pixels of their own grids.
        known: Known flow in the frame's pixels, and its weight, (N, 2, 3, H/c, W/c).
        frames: Frames, of which the size is used.
    """
    total = known.new_zeros(())
    motion, weight = known[:, :, :2].flatten(0, 1), known[:, :, 2:].flatten(0, 1)
    for flow in flows:
        own = flow.flatten(0, 1)
        level_px = frames.shape[-1] / flow.shape[-1]  # pixels of the frame in one of the level
        # The coarser of both grids is used for the comparison.
        height, width = (
            min(sides) for sides in zip(flow.shape[-2:], known.shape[-2:], strict=True)
        )
        own = F.adaptive_avg_pool2d(own, (height, width))
        fraction = F.adaptive_avg_pool2d(weight, (height, width))
        goal = F.adaptive_avg_pool2d(motion * weight, (height, width)) / fraction.clamp(min=1e-3)
        distance = (own * level_px - goal).abs().sum(1, keepdim=True) * fraction
        # The unit is 8 pixels. Coarse levels count less, since they need not be exact.
        total = total + distance.mean() / 8 * min(1.0, (8 / level_px) ** 0.5)
    return total


def _resized(picture: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(picture, size=like.shape[-2:], mode="bilinear", align_corners=False)


_OBJECTIVES: dict[str, Objective] = {"fusion": fusion_loss, "flow": flow_loss}
_LABELLERS: dict[str, Labeller] = {"flow": labels.matcher_labels}
