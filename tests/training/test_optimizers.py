"""Which parameter is whose, and what steps they take."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from interp_cli.training.distributed import ProcessGroup
from interp_cli.training.optimizers import Optimizers
from interp_cli.training.options import TrainOptions, flow_preset, fusion_preset
from interp_cli.training.state import TrainingState
from interp_cli.training.triplets import TripletBatch


@pytest.fixture
def net() -> nn.Sequential:
    """A wide kernel, a narrow one, and biases."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(24, 32, 3), nn.Conv2d(32, 4, 1))


def options(muon: float, weight_decay: float = 0.0) -> TrainOptions:
    return replace(flow_preset(), muon=muon, weight_decay=weight_decay)


def changes(net: nn.Module, made: Optimizers, rate: float) -> dict[str, torch.Tensor]:
    """What one step at this rate adds to the parameters, with gradients of unequal strength."""
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    for parameter in net.parameters():
        strength = torch.linspace(0.1, 1, len(parameter)).view(-1, *[1] * (parameter.ndim - 1))
        parameter.grad = torch.randn_like(parameter) * strength
    made.set_rate(rate)
    made.take_gradients()
    for part in made.parts:
        part.step()
    return {name: p.detach() - before[name] for name, p in net.named_parameters()}


def test_steps_of_wide_kernels_are_orthogonal(net: nn.Module):
    change = changes(net, Optimizers(net, options(2.0)), 1e-3)
    values = torch.linalg.svdvals(change["0.weight"].flatten(1))
    assert len(values) == 32
    assert values.max() < 2 * values.min()
    # A fifth of twice the rate in each number, as AdamW's steps about are.
    assert change["0.weight"].square().mean().sqrt().item() == pytest.approx(4e-4, rel=0.2)


def test_everything_else_is_adams(net: nn.Module):
    """Its first step is as long as the rate, whatever the gradient."""
    change = changes(net, Optimizers(net, options(2.0)), 1e-3)
    for name in ("0.bias", "1.weight", "1.bias"):
        torch.testing.assert_close(change[name].abs(), torch.full_like(change[name], 1e-3))


def test_without_muon_all_is_adams(net: nn.Module):
    made = Optimizers(net, options(0.0))
    assert [type(part).__name__ for part in made.parts] == ["Adam"]
    change = changes(net, made, 1e-3)["0.weight"]
    torch.testing.assert_close(change.abs(), torch.full_like(change, 1e-3))


def test_weights_decay_with_both(net: nn.Module):
    """By the rate times the decay, beside the step itself."""
    wide, narrow = net[0].weight, net[1].weight
    before = wide.detach().clone(), narrow.detach().clone()
    made = Optimizers(net, options(1.0, weight_decay=0.5))
    made.set_rate(0.1)
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    made.take_gradients()
    for part in made.parts:
        part.step()
    torch.testing.assert_close(wide.detach(), 0.95 * before[0])
    torch.testing.assert_close(narrow.detach(), 0.95 * before[1])


def test_muon_cannot_be_negative():
    with pytest.raises(ValueError, match="`muon` must not be negative, not -1"):
        options(-1)


def test_clipping_reaches_every_gradient(net: nn.Module):
    made = Optimizers(net, options(1.0))
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    made.take_gradients()
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    clipped = [p.grad for part in made.parts for g in part.param_groups for p in g["params"]]
    assert len(clipped) == 4
    assert torch.cat([g.flatten() for g in clipped]).norm().item() == pytest.approx(1)


@pytest.mark.parametrize("name", ["0.weight", "0.bias"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_part_steps_on_a_gradient_that_is_not_finite(name: str, value: float):
    """Whosever it is; in float16 its scale falls, and the next step is taken."""
    state = TrainingState(
        replace(fusion_preset(), muon=1.0, clip_norm=None),
        ProcessGroup(),
        torch.device("cpu"),
        "fp16",
    )
    parameters = dict(state.net.named_parameters())
    broken = parameters[f"extractors.0.{name}"]
    hook = broken.register_hook(lambda gradient: torch.full_like(gradient, value))
    before = {key: p.detach().clone() for key, p in parameters.items()}
    picture = torch.rand(2, 3, 16, 16)
    batch = TripletBatch(picture, picture, picture, torch.full((2, 1, 1, 1), 0.5))
    state.train_on(batch, 0.0)
    assert all(torch.equal(p, before[key]) for key, p in parameters.items())
    hook.remove()
    state.train_on(batch, 0.0)
    assert not any(torch.equal(p, before[key]) for key, p in parameters.items() if p.ndim > 1)


def test_a_state_of_other_parameters_is_refused(net: nn.Module):
    with pytest.raises(ValueError, match="cannot change between training with and without Muon"):
        Optimizers(net, options(1.0)).restore(Optimizers(net, options(0.0)).state())
