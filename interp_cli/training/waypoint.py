"""Motion found by way of the true frame between, and what follows from it.

From the target to either frame is half as far as from one to the other, so a network finds that
motion where it fails to find the whole. Where it explains the pictures better than what was found
without the target, it is a label. RIFE (Huang et al. 2022) lets a teacher that sees the target
correct flows, ARFlow (Liu et al. 2020) and others teach a network by what it finds itself in easier
pictures.

And it tells how far between the frames the target is. Nothing filmed moves evenly: a shaking hand
or a dropped frame puts the middle of three frames anywhere, which nobody can know from the other
two. A network that is to make it all the same learns to blur (Zhong et al. 2024, "Clearer frames,
anytime", who tell it of each pixel how far it has gone).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from interp_cli.models.flow.layers import each
from interp_cli.models.flow.network import Features, Flow
from interp_cli.models.pytree import tree_map
from interp_cli.models.warp import leads_back, warp

# Flows are labels where they make an error smaller by this, about 1/255.
_BETTER = 0.004
# What a timestep as told weighs, in squared cells of motion in every place; and how far from it
# the one that is found may be.
_TOLD, _FARTHEST = 0.05, 0.3


class TargetTrajectories(NamedTuple):
    """Motion by way of the targets of K triplets out of N; in cells, four pixels of a frame wide.

    Attributes:
        numbers: Of the triplets, (K,).
        targets: Their true frames between, a cell a pixel, (K, 3, h, w).
        frames: Their frames, likewise, (K, 2, 3, h, w).
        to_frames: From the target to the earlier and to the later frame, (K, 2, 2, h, w).
        to_target: From either frame to the target, likewise.
        returns: Whether the way to a frame and back leads to the same place, (K, 2, 1, h, w).
    """

    numbers: Tensor
    targets: Tensor
    frames: Tensor
    to_frames: Tensor
    to_target: Tensor
    returns: Tensor

    @torch.no_grad()
    def timesteps(self, told: Tensor) -> Tensor:
        """How far between the frames the targets are, (N, 1, 1, 1), where `told` says when.

        The t for which t times the motion from frame to frame is nearest to that from the earlier
        one to the target, by least squares over all places that are seen in all three. Where
        little moves, it is as told, and so it is for all other triplets.
        """
        seen = self.returns.all(1)
        back, forth = (self.to_frames * seen.unsqueeze(1)).float().unbind(1)
        whole = forth - back
        gone, all_of_it = ((part * whole).sum(1).flatten(1).sum(1) for part in (-back, whole))
        weight = _TOLD * seen[0].numel()
        before = told[self.numbers].flatten()
        found = (gone + weight * before) / (all_of_it + weight)
        found = before + (found - before).clamp(-_FARTHEST, _FARTHEST)
        # Neither frame itself.
        settled = told.clone()
        settled[self.numbers] = found.clamp(0.05, 0.95).view(-1, 1, 1, 1).to(told)
        return settled

    @torch.no_grad()
    def labels(self, motion: Tensor, flow_t: Tensor) -> dict[str, Tensor]:
        """Label where the pictures are explained better than by what was found without targets.

        Args:
            motion: What was found from each frame to the other, (N, 2, 2, h, w).
            flow_t: What was found from the target's time to both frames, likewise.

        Returns:
            Two labels, (N, 2, 3, h, w): a flow in pixels of the frame, and 1 where it is known, 0
            elsewhere and in all other triplets. `waypoint_motion` leads from the earlier frame to
            the later one and back, `waypoint_flow_t` from the target to the earlier and to the
            later one.
        """
        there, back, frames, returns = self.to_frames, self.to_target, self.frames, self.returns
        targets = self.targets.unsqueeze(1).expand_as(frames)
        known = returns & _explains_better(frames, targets, there, flow_t[self.numbers])
        # From a frame to the target, and on from there to the other frame.
        whole = back + each(warp, there.flip(1), back)
        goes_on = each(warp, returns.flip(1).float(), back) > 0.5
        known_whole = each(leads_back, back, there) & goes_on
        known_whole &= _explains_better(frames.flip(1), frames, whole, motion[self.numbers])
        labels = {}
        for name, flow, holds in (("motion", whole, known_whole), ("flow_t", there, known)):
            label = flow.new_zeros(len(motion), 2, 3, *flow.shape[-2:])
            label[self.numbers] = torch.cat((4 * flow, holds.to(flow)), 2)
            labels[f"waypoint_{name}"] = label
        return labels


@torch.no_grad()
def find_trajectories(
    net: Flow, features: tuple[Features, Features], target: Tensor, numbers: Tensor
) -> TargetTrajectories:
    """Find motion by way of the target.

    Args:
        net: The network in training.
        features: Of both frames of N triplets.
        target: Their true frames between, (N, 3, H, W).
        numbers: Of the triplets to look at, (K,), at least one.
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
        each(leads_back, to_frames, to_target),
    )


def _explains_better(pictures: Tensor, goal: Tensor, flow: Tensor, found: Tensor) -> Tensor:
    """Whether pictures, (N, 2, 3, h, w), warped by a flow are nearer to a goal than as found."""
    return _error(pictures, goal, flow) + _BETTER < _error(pictures, goal, found)


def _error(pictures: Tensor, goal: Tensor, flow: Tensor) -> Tensor:
    """Mean absolute error of warped pictures, (N, 2, 1, h, w)."""
    return (each(warp, pictures, flow.float()) - goal).abs().mean(2, keepdim=True)
