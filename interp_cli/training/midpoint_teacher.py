"""Flow labels that the network itself estimates via the true middle frame.

The motion from the target to either frame is half as long as that from one frame to the other, so
the network finds it where it misses the whole. It becomes a label where it explains the pictures
better than the flow without the target. RIFE (Huang et al. 2022) corrects flows with a teacher that
sees the target; ARFlow (Liu et al. 2020) and others teach a network with its own flows of easier
pictures.

The same flows show the target's timestep. Filmed motion is uneven: a shaking hand or a dropped
frame puts the middle of three frames anywhere, which the other two do not show. A network that is
trained at the nominal timestep learns to blur (Zhong et al. 2024, "Clearer frames, anytime", whose
network gets a timestep for each pixel).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from interp_cli.models.flow.layers import per_side
from interp_cli.models.flow.network import Features, Flow
from interp_cli.models.pytree import tree_map
from interp_cli.models.warp import leads_back, warp

# Flows are labels where they reduce the error by more than this, about 1/255.
_BETTER = 0.004
# Weight of the nominal timestep, in squared cells of motion at every place, and the maximum
# deviation of the estimated timestep from it.
_NOMINAL_WEIGHT, _MAX_DEVIATION = 0.05, 0.3


class TargetTrajectories(NamedTuple):
    """Flows via the targets of K of N triplets, in cells of four by four pixels of a frame.

    Attributes:
        numbers: Numbers of the triplets, (K,).
        targets: Targets with one pixel per cell, (K, 3, h, w).
        frames: Earlier and later frames with one pixel per cell, (K, 2, 3, h, w).
        to_frames: Flow from the target to the earlier and to the later frame, (K, 2, 2, h, w).
        to_target: Flow from the earlier and from the later frame to the target, (K, 2, 2, h, w).
        returns: Whether the flow to a frame and back returns to the same place, (K, 2, 1, h, w).
    """

    numbers: Tensor
    targets: Tensor
    frames: Tensor
    to_frames: Tensor
    to_target: Tensor
    returns: Tensor

    @torch.no_grad()
    def timesteps(self, nominal: Tensor) -> Tensor:
        """Estimate the timesteps of the targets.

        The estimate is the t for which t times the motion between the frames is nearest to the
        motion from the earlier frame to the target, by least squares over all places that are
        visible in all three. Where little moves it stays near the nominal timestep.

        Args:
            nominal: Nominal timesteps, (N, 1, 1, 1).

        Returns:
            Timesteps, (N, 1, 1, 1); nominal for triplets that are not among the K.
        """
        seen = self.returns.all(1)
        back, forth = (self.to_frames * seen.unsqueeze(1)).float().unbind(1)
        whole = forth - back
        gone, all_of_it = ((part * whole).sum(1).flatten(1).sum(1) for part in (-back, whole))
        weight = _NOMINAL_WEIGHT * seen[0].numel()
        before = nominal[self.numbers].flatten()
        found = (gone + weight * before) / (all_of_it + weight)
        found = before + (found - before).clamp(-_MAX_DEVIATION, _MAX_DEVIATION)
        # The target is never one of the frames.
        settled = nominal.clone()
        settled[self.numbers] = found.clamp(0.05, 0.95).view(-1, 1, 1, 1).to(nominal)
        return settled

    @torch.no_grad()
    def labels(self, motion: Tensor, flow_t: Tensor) -> dict[str, Tensor]:
        """Label the places where these flows explain the pictures better than those given.

        Args:
            motion: Flow from each frame to the other, (N, 2, 2, h, w).
            flow_t: Flow from the target's time to both frames, (N, 2, 2, h, w).

        Returns:
            Two labels, (N, 2, 3, h, w): a flow in pixels of the frame, and 1 where it is known, 0
            elsewhere and in triplets that are not among the K. `midpoint_flow` leads from the
            earlier frame to the later one and back, `midpoint_flow_t` from the target to the
            earlier and to the later frame.
        """
        there, back, frames, returns = self.to_frames, self.to_target, self.frames, self.returns
        targets = self.targets.unsqueeze(1).expand_as(frames)
        known = returns & _explains_better(frames, targets, there, flow_t[self.numbers])
        # From a frame to the target, and on from there to the other frame.
        whole = back + per_side(warp, there.flip(1), back)
        goes_on = per_side(warp, returns.flip(1).float(), back) > 0.5
        known_whole = per_side(leads_back, back, there) & goes_on
        known_whole &= _explains_better(frames.flip(1), frames, whole, motion[self.numbers])
        labels = {}
        for name, flow, holds in (("flow", whole, known_whole), ("flow_t", there, known)):
            label = flow.new_zeros(len(motion), 2, 3, *flow.shape[-2:])
            label[self.numbers] = torch.cat((4 * flow, holds.to(flow)), 2)
            labels[f"midpoint_{name}"] = label
        return labels


@torch.no_grad()
def find_trajectories(
    net: Flow, features: tuple[Features, Features], target: Tensor, numbers: Tensor
) -> TargetTrajectories:
    """Estimate the flows between frames and targets.

    Args:
        net: Network in training.
        features: Features of both frames of N triplets.
        target: Targets, (N, 3, H, W).
        numbers: Numbers of the triplets to use, (K,), at least one.
    """
    middle = net.encode(target[numbers])
    ends = [tree_map(lambda tensor: tensor[numbers], end) for end in features]
    legs = [net.estimate_flow(middle, end) for end in ends]
    to_frames, to_target = (torch.stack([leg[:, i] for leg in legs], 1) for i in (0, 1))
    frames = torch.stack([end.pictures[2] for end in ends], 1)
    return TargetTrajectories(
        numbers,
        middle.pictures[2].float(),
        frames.float(),
        to_frames,
        to_target,
        per_side(leads_back, to_frames, to_target),
    )


def _explains_better(pictures: Tensor, goal: Tensor, flow: Tensor, found: Tensor) -> Tensor:
    """Whether `flow` warps pictures, (N, 2, 3, h, w), nearer to a goal than `found` does."""
    return _error(pictures, goal, flow) + _BETTER < _error(pictures, goal, found)


def _error(pictures: Tensor, goal: Tensor, flow: Tensor) -> Tensor:
    """Mean absolute error of warped pictures, (N, 2, 1, h, w)."""
    return (per_side(warp, pictures, flow.float()) - goal).abs().mean(2, keepdim=True)
