"""The first network: its size, its shapes, and that it learns."""

import pytest
import torch
from torch.nn import functional

from interp_cli.models.registry import create_model

# Three extractors of 6->64->128, the fusion of 384->128, the way up of 128->3; 3x3, with biases.
PARAMETERS = 3 * ((6 * 9 + 1) * 64 + (64 * 9 + 1) * 128) + (384 * 9 + 1) * 128 + 128 * 9 * 3 + 3


@pytest.fixture
def net() -> torch.nn.Module:
    torch.manual_seed(0)
    return create_model("fusion")


def test_has_exactly_the_parameters_of_its_design(net):
    assert sum(p.numel() for p in net.parameters()) == PARAMETERS == 678_083


@pytest.mark.parametrize("size", [(2, 2), (2, 34), (18, 6), (30, 22)])
def test_gives_a_frame_of_the_same_size_at_any_even_size(net, size):
    frame = torch.rand(2, 3, *size)
    assert net(frame, frame, torch.full((2, 1, 1, 1), 0.5)).shape == (2, 3, *size)


def test_needs_even_sides_and_knows_the_middle_only(net):
    assert net.size_multiple(1080, 1921) == 2
    assert net.supports_timestep is False


def test_sees_about_seven_pixels_far(net):
    frame = torch.rand(1, 3, 40, 40, requires_grad=True)
    middle = net(frame, torch.rand(1, 3, 40, 40), torch.full((1, 1, 1, 1), 0.5))
    middle[0, 0, 20, 20].backward()
    reached = frame.grad.abs().sum((0, 1)).nonzero() - 20
    assert reached.abs().max() in range(4, 8)


@pytest.mark.slow
def test_learns_the_middle_of_a_moving_edge(net):
    torch.manual_seed(1)
    frames = functional.interpolate(torch.rand(4, 3, 8, 8), size=(28, 28), mode="bicubic")
    frame0, target, frame1 = (
        frames[..., 0:24, 0:24],
        frames[..., 1:25, 1:25],
        frames[..., 2:26, 2:26],
    )
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    losses = []
    for _ in range(40):
        loss = functional.mse_loss(net(frame0, frame1, torch.tensor(0.5)), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 15


def test_an_unknown_architecture_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match=r"must be one of .*fusion.*, not 'nosuch'"):
        create_model("nosuch")
