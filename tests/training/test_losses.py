"""What each part of the loss is least for."""

import pytest
import torch
from textures import pan
from torch import Tensor

from interp_cli.models.weights import load_model
from interp_cli.training import losses
from interp_cli.training.triplets import TripletBatch


def test_every_part_is_least_for_the_true_middle():
    net, (frame0, target, frame1) = load_model("flow").net, pan(4)
    half = torch.full((2, 1, 1, 1), 0.5)

    def parts(middle: Tensor) -> dict[str, Tensor]:
        return losses._flow_parts(net, TripletBatch(frame0, middle, frame1, half), 1.0)

    true, wrong = parts(target), parts(frame0)
    for name in ("picture", "psnr", "half", "quarter", "projected"):
        assert true[name] < 0.7 * wrong[name], name


def test_frames_are_rebuilt_from_each_other():
    frame0, _, frame1 = pan(4)
    frames = torch.stack((frame0, frame1), 1).flatten(0, 1)
    flow = torch.zeros(2, 2, 2, 32, 32)
    flow[:, 0, 0], flow[:, 1, 0] = 2.0, -2.0  # cells of four pixels
    true, still, back = (losses._matched(f, frames).item() for f in (flow, 0 * flow, -flow))
    assert true < 0.3 * min(still, back)


def test_of_both_projected_frames_the_better_one_counts_most():
    grey = torch.full((2, 3, 8, 8), 0.5)
    frames = torch.cat((grey[:1], grey[:1] + 0.2))  # the earlier one is right
    made = losses._projected_l1(torch.zeros(1, 2, 2, 8, 8), frames, grey[:1])
    assert made.item() == pytest.approx(0.05)


def test_what_is_not_known_of_motion_costs_nothing():
    frames, flow = torch.zeros(2, 3, 32, 32), torch.ones(1, 2, 2, 8, 8)
    known = torch.zeros(1, 2, 3, 8, 8)
    assert losses._motion_l1([flow], known, frames) == 0
    known[..., 2, :, :4] = 1  # of half of the cells; a cell of four pixels off in both directions
    assert losses._motion_l1([flow], known, frames).item() == pytest.approx(0.5 * 2 * 4 / 8)
