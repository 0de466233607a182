"""Motion found by way of the true frame between.

From the target to either frame is half as far as from one to the other, so a network finds that
motion where it fails to find the whole. Where it explains the pictures better than what was found
without the target, it is a label. RIFE (Huang et al. 2022) lets a teacher that sees the target
correct flows, ARFlow (Liu et al. 2020) and others teach a network by what it finds itself in easier
pictures.
"""

from __future__ import annotations

import torch
from torch import Tensor

from interp_cli.models.flow import Features, Flow, FlowOutputs
from interp_cli.models.layers import each, paired
from interp_cli.models.warp import round_trip_error, warp

# Flows are labels where they make an error smaller by this, about 1/255.
_BETTER = 0.004
# There and back must lead to the same place: within so many cells, and this share of the way.
_RETURN, _RETURN_SHARE = 0.5, 0.05


@torch.no_grad()
def waypoint_labels(
    net: Flow, out: FlowOutputs, target: Tensor, numbers: Tensor
) -> dict[str, Tensor]:
    """Find motion by way of the target.

    Args:
        net: The network in training.
        out: What it made of N triplets without their targets.
        target: Their true frames between, (N, 3, H, W).
        numbers: Of the triplets to label, (K,).

    Returns:
        Two labels, (N, 2, 3, H/4, W/4): a flow in pixels of the frame, and 1 where it is known, 0
        elsewhere and in all other triplets. `waypoint_motion` leads from the earlier frame to the
        later one and back, `waypoint_flow_t` from the target to the earlier and to the later one.
        Empty if `numbers` is.
    """
    if not len(numbers):
        return {}
    # All in cells, as wide as four pixels of the frame.
    features = net.encode(target[numbers])
    ends = [_chosen(end, numbers) for end in out.features]
    legs = [net.motion(features, end) for end in ends]
    to_frames, to_target = (torch.stack([leg[:, i] for leg in legs], 1) for i in (0, 1))
    frames = paired(*(end.pictures for end in ends))[2].float()
    middle = features.pictures[2].float().unsqueeze(1).expand_as(frames)
    returns = _agree(to_frames, to_target)
    known = returns & _explains_better(frames, middle, to_frames, out.refined[0][numbers])
    # From a frame to the target, and on from there to the other frame.
    whole = to_target + each(warp, to_frames.flip(1), to_target)
    goes_on = each(warp, returns.flip(1).float(), to_target) > 0.5
    known_whole = _agree(to_target, to_frames) & goes_on
    known_whole &= _explains_better(frames.flip(1), frames, whole, out.flows[-1][numbers])
    labels = {}
    for name, flow, holds in (("motion", whole, known_whole), ("flow_t", to_frames, known)):
        label = flow.new_zeros(len(target), 2, 3, *flow.shape[-2:])
        label[numbers] = torch.cat((4 * flow, holds.to(flow)), 2)
        labels[f"waypoint_{name}"] = label
    return labels


def _chosen(features: Features, numbers: Tensor) -> Features:
    """Features of the triplets `numbers`."""
    full, half, quarter = features.pictures
    return Features(
        (full[numbers], half[numbers], quarter[numbers]),
        features.quarter[numbers],
        features.eighth[numbers],
        features.descriptor[numbers],
        tuple(level[numbers] for level in features.levels),
    )


def _agree(there: Tensor, back: Tensor) -> Tensor:
    """Whether two motions in cells, (N, 2, 2, h, w), lead there and back."""
    length: Tensor = there.norm(dim=2, keepdim=True)
    return each(round_trip_error, there, back) < _RETURN + _RETURN_SHARE * length


def _explains_better(pictures: Tensor, goal: Tensor, flow: Tensor, found: Tensor) -> Tensor:
    """Whether pictures, (N, 2, 3, h, w), warped by a flow are nearer to a goal than as found."""
    return _error(pictures, goal, flow) + _BETTER < _error(pictures, goal, found)


def _error(pictures: Tensor, goal: Tensor, flow: Tensor) -> Tensor:
    """Mean absolute error of warped pictures, (N, 2, 1, h, w)."""
    return (each(warp, pictures, flow.float()) - goal).abs().mean(2, keepdim=True)
