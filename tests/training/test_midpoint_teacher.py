"""Motion by way of the target: right where it is known, and known only where it is better."""

from __future__ import annotations

import pytest
import torch
from textures import pan
from torch import Tensor

from interp_cli.models.flow.network import Flow
from interp_cli.models.weights import load_model
from interp_cli.training.midpoint_teacher import TargetTrajectories, find_trajectories

SIZE = 128
TIMES = torch.full((2, 1, 1, 1), 0.5)


@pytest.fixture(scope="module")
def net() -> Flow:
    return load_model("flow").net


def trajectories(
    net: Flow, frame0: Tensor, target: Tensor, frame1: Tensor, *numbers: int
) -> TargetTrajectories:
    features, _ = net.training_motion(frame0, frame1)
    return find_trajectories(net, features, target, torch.tensor(numbers or (0, 1)))


def nothing(frame: Tensor) -> tuple[Tensor, Tensor]:
    """Motion, and flows from the target, of a network that found none."""
    still = torch.zeros(len(frame), 2, 2, SIZE // 4, SIZE // 4)
    return still, still


def test_where_motion_was_missed_it_is_found(net: Flow):
    frame0, target, frame1 = pan(6)
    labels = trajectories(net, frame0, target, frame1).labels(*nothing(target))
    cells = SIZE // 4
    expected = {"midpoint_flow": (12.0, -12.0), "midpoint_flow_t": (-6.0, 6.0)}
    assert labels.keys() == expected.keys()
    for name, (from0, from1) in expected.items():
        assert labels[name].shape == (2, 2, 3, cells, cells)
        inner = labels[name][..., 6:-6, 6:-6]
        known = inner[:, :, 2:]
        assert set(known.unique().tolist()) <= {0.0, 1.0}
        assert known.mean() > 0.8
        for side, dx in ((0, from0), (1, from1)):
            goal = torch.tensor((dx, 0.0)).view(1, 2, 1, 1)
            error = ((inner[:, side, :2] - goal).abs() * known[:, side]).amax()
            assert error < 1


def test_uneven_motion_is_told_as_it_was(net: Flow):
    """The target is a sixth of the way from the earlier frame, whatever its timestep says."""
    frame0, target, frame1 = pan(2)[0], pan(2)[1], pan(6)[2]
    label = trajectories(net, frame0, target, frame1).labels(*nothing(target))["midpoint_flow_t"]
    inner = label[..., 6:-6, 6:-6]
    for side, dx in ((0, -2.0), (1, 10.0)):
        assert inner[:, side, 2].mean() > 0.5
        error = (inner[:, side, 0] - dx).abs() * inner[:, side, 2]
        assert error.sum() / inner[:, side, 2].sum() < 0.3


def test_what_another_thing_hides_is_not_known(net: Flow):
    """A patch goes left over ground that stands still: what it uncovers leads nowhere."""
    ground = pan(0)[0]
    patch = ground[..., 40:88, 40:88].flip(-1, -2)
    frames = []
    for left in (64, 56, 48):
        frame = ground.clone()
        frame[..., 40:88, left : left + 48] = patch
        frames.append(frame)
    frame0, target, frame1 = frames
    label = trajectories(net, frame0, target, frame1).labels(*nothing(target))["midpoint_flow"]
    rows = slice(12, 20)
    moved = label[:, 0, :, rows, 18:26]  # within the patch in the earlier frame
    assert moved[:, 2].mean() > 0.8
    assert (moved[:, 0] + 16).abs().mean() < 1
    # 48 to 64 in the earlier frame is ground that the patch hides in the later one.
    assert label[:, 0, 2, rows, 12:16].mean() < 0.4


@pytest.mark.parametrize(("step", "most"), [(0, 0.0), (4, 0.2)])
def test_little_is_said_of_what_was_found(net: Flow, step: int, most: float):
    frame0, target, frame1 = pan(step)
    with torch.no_grad():
        features, flows = net.training_motion(frame0, frame1)
        out = net.training_outputs(features, flows[-1], TIMES)
    found = find_trajectories(net, features, target, torch.tensor([0, 1]))
    labels = found.labels(flows[-1], out.refined[0])
    assert all(label[:, :, 2, 4:-4, 4:-4].mean() <= most for label in labels.values())


def test_only_the_wanted_triplets_are_labelled(net: Flow):
    frame0, target, frame1 = pan(6)
    labels = trajectories(net, frame0, target, frame1, 1).labels(*nothing(target))
    both = trajectories(net, frame0, target, frame1).labels(*nothing(target))
    for name, label in labels.items():
        assert not label[0].any()
        torch.testing.assert_close(label[1], both[name][1])
        assert not label.requires_grad


@pytest.mark.parametrize(("step", "expected"), [(2, 1 / 3), (3, 1 / 2), (4, 2 / 3), (0, 0.2)])
def test_how_far_the_target_is_between_the_frames(net: Flow, step: int, expected: float):
    """The later frame is 6 pixels on; what is found stays within 0.3 of what is told."""
    frame0, target, frame1 = pan(step)[0], pan(step)[1], pan(3)[2]
    found = trajectories(net, frame0, target, frame1, 1).timesteps(TIMES)
    assert found.shape == TIMES.shape
    assert found[0] == 0.5
    assert found[1].item() == pytest.approx(expected, abs=0.03)


def test_where_nothing_moves_a_target_is_when_it_is_told_to_be(net: Flow):
    frame = pan(0)[0]
    nominal = torch.tensor((0.25, 0.6)).view(2, 1, 1, 1)
    torch.testing.assert_close(
        trajectories(net, frame, frame, frame).timesteps(nominal), nominal, atol=1e-3, rtol=0
    )


def test_where_the_way_does_not_lead_back_nothing_is_known(net: Flow):
    frame0, target, frame1 = pan(6)
    found = trajectories(net, frame0, target, frame1)
    lost = found._replace(returns=torch.zeros_like(found.returns))
    assert not any(label[:, :, 2].any() for label in lost.labels(*nothing(target)).values())
    wrong = found._replace(to_frames=found.to_frames.clone(), returns=found.returns.clone())
    wrong.to_frames[..., :16] += 5
    wrong.returns[..., :16] = False
    torch.testing.assert_close(wrong.timesteps(TIMES), found.timesteps(TIMES), atol=0.02, rtol=0)


def test_a_target_is_never_taken_for_a_frame_itself(net: Flow):
    frame0, _, frame1 = pan(6)
    for target, nominal, expected in ((frame0, 0.1, 0.05), (frame1, 0.9, 0.95)):
        found = trajectories(net, frame0, target, frame1).timesteps(
            torch.full((2, 1, 1, 1), nominal)
        )
        assert found.flatten().tolist() == pytest.approx([expected] * 2)
