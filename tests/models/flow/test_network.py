"""The flow network: shapes and sizes, symmetry, time, motion, and what it costs."""

from __future__ import annotations

import copy
import shutil

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp_cli.models.flow import network as flow_module
from interp_cli.models.flow.cost_volume import cost_volume
from interp_cli.models.flow.large_motion import global_matches
from interp_cli.models.flow.layers import CoarseBranch, SwapConv, activated_conv, l2_normalize
from interp_cli.models.flow.matching import Matcher
from interp_cli.models.flow.network import Flow
from interp_cli.models.render import render


@pytest.fixture(scope="module")
def net() -> Flow:
    """Random weights whose outputs are no longer small, so that nothing holds by chance."""
    torch.manual_seed(0)
    net = Flow().eval()
    with torch.no_grad():
        for refinement in (net.refine_quarter, net.refine_half, net.refine_full):
            refinement.out.weight.mul_(100)
        for matcher in (net.matcher, net.fine_matcher):
            matcher.out.weight.normal_(std=0.02)
        for module in net.modules():
            if isinstance(module, CoarseBranch):
                module.leave.weight.normal_(std=0.02)
    return net


@pytest.fixture(scope="module")
def untrained() -> Flow:
    torch.manual_seed(0)
    return Flow().eval()


def texture(height: int, width: int, seed: int = 1) -> Tensor:
    """Smooth random colours, (1, 3, H, W)."""
    noise = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))
    smooth = F.avg_pool2d(F.pad(noise, (3, 3, 3, 3), mode="reflect"), 7, 1)
    return ((smooth - 0.5) * 4 + 0.5).clamp(0, 1)


def times(*values: float) -> Tensor:
    return torch.tensor(values).view(-1, 1, 1, 1)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (8, 200), (88, 72), (176, 104)])
@torch.inference_mode()
def test_makes_a_middle_at_any_multiple_of_eight(net: Flow, height: int, width: int):
    frame0, frame1 = torch.rand(2, 2, 3, height, width)
    middle = net(frame0, frame1, times(0.5, 0.25))
    assert middle.shape == (2, 3, height, width)
    assert middle.isfinite().all()
    assert net.size_multiple(height, width) == 8


@pytest.mark.parametrize("timestep", [0.5, 0.2])
def test_swapped_frames_and_time_give_the_same_picture(net: Flow, timestep: float):
    # With gradients positions are exact; a rounded one may fall to either side.
    frame0, frame1 = texture(72, 88, 1), texture(72, 88, 2)
    there = net(frame0, frame1, times(timestep))
    back = net(frame1, frame0, times(1 - timestep))
    assert (there - frame0).abs().mean() > 0.02
    assert torch.allclose(there, back, atol=1e-4)


@torch.inference_mode()
def test_swap_conv_swaps_with_its_input():
    torch.manual_seed(0)
    conv = SwapConv(6, 8, 3, stride=2)
    sides = torch.rand(1, 6, 10, 12)
    swapped = conv(sides.roll(3, 1))
    assert swapped.shape == (1, 8, 5, 6)
    assert torch.allclose(swapped.roll(4, 1), conv(sides), atol=1e-6)
    assert not torch.allclose(swapped, conv(sides), atol=1e-2)


@torch.inference_mode()
@pytest.mark.parametrize("sides", [False, True])
def test_coarse_branch_adds_nothing_until_it_is_trained(sides: bool):
    torch.manual_seed(0)
    branch = CoarseBranch(6, 8, blocks=2, sides=sides)
    features = torch.rand(1, 6, 25, 32)
    assert torch.equal(branch(features), features)
    branch.leave.weight.normal_()
    near = features.clone()
    near[..., 12, 16] += 1000
    changed = (branch(near) - branch(features)).abs().amax((0, 1)) > 0.01
    # Three 3x3 convolutions at half the resolution reach 3 cells, doubling half of one more.
    assert changed.any(1).sum() == changed.any(0).sum() == 2 * 7 + 2


@torch.inference_mode()
def test_matcher_finds_a_shift_before_it_is_trained():
    """Good descriptors are enough: the softmax gives the step, the gate begins half open."""
    torch.manual_seed(0)
    own = F.normalize(torch.randn(1, 24, 12, 16), dim=1)
    other = own.roll((2, -1), (3, 2))  # two to the right, one up
    flow = Matcher(24, radius=3, channels=(8,))(own, other, torch.zeros(1, 2, 12, 16))
    inner = flow[0, :, 3:-3, 4:-4]
    assert torch.allclose(inner[0], torch.tensor(1.0), atol=0.1)
    assert torch.allclose(inner[1], torch.tensor(-0.5), atol=0.1)


@torch.inference_mode()
def test_pieces_make_what_the_whole_makes(net: Flow):
    frame0, frame1 = torch.rand(2, 1, 3, 96, 80)
    features0, features1 = net.encode(frame0), net.encode(frame1)
    motion = net.estimate_flow(features0, features1)
    for timestep in (0.25, 0.5):
        recipe = net.synthesize(features0, features1, motion, times(timestep))
        middle = render(frame0, frame1, recipe, times(timestep))
        assert torch.equal(middle, net(frame0, frame1, times(timestep)))
        assert recipe.flow_t0.shape == recipe.flow_t1.shape == (1, 2, 96, 80)
        assert recipe.blend_mask.shape == (1, 1, 96, 80)
        assert 0 <= recipe.blend_mask.min() <= recipe.blend_mask.max() <= 1


@torch.inference_mode()
def test_flows_and_mask_follow_the_time(untrained: Flow):
    """Close to frame0 the flow to it is short and its weight large."""
    wide = texture(96, 160)
    features = [untrained.encode(wide[..., left : left + 128]) for left in (16, 8)]
    motion = untrained.estimate_flow(*features)
    early = untrained.synthesize(*features, motion, times(0.1))
    assert early.flow_t0.norm(dim=1).mean() * 4 < early.flow_t1.norm(dim=1).mean()
    assert early.blend_mask.mean() > 0.8


@torch.inference_mode()
def test_levels_follow_the_size(untrained: Flow):
    for height, width, levels in ((64, 640, 1), (96, 96, 2), (224, 224, 3), (480, 640, 4)):
        assert len(untrained.encode(torch.rand(1, 3, height, width)).levels) == levels


@torch.inference_mode()
def test_training_outputs_are_every_stage(net: Flow, monkeypatch: pytest.MonkeyPatch):
    frame0, frame1 = torch.rand(2, 1, 3, 176, 184)
    features, flows = net.training_motion(frame0, frame1)
    out = net.training_outputs(features, flows[-1], times(0.5))
    assert not torch.allclose(out.middle, net(frame0, frame1, times(0.5)), atol=0.01)
    monkeypatch.setattr(flow_module, "_LAST_FRACTION", 0.0)
    assert torch.equal(out.middle, net(frame0, frame1, times(0.5)))
    assert out.half.shape == (1, 3, 88, 92)
    assert out.quarter.shape == (1, 3, 44, 46)
    assert out.projected.shape == (1, 2, 2, 44, 46)
    assert [tuple(f.shape[1:]) for f in out.refined] == [
        (2, 2, 44, 46),
        (2, 2, 88, 92),
        (2, 2, 176, 184),
    ]
    # Odd numbers of cells are padded on coarser levels.
    assert [tuple(f.shape[-2:]) for f in flows] == [(6, 6), (11, 12), (22, 23), (44, 46)]


@torch.inference_mode()
def test_refined_flows_are_of_both_sides_in_pixels_of_their_sizes(
    untrained: Flow, monkeypatch: pytest.MonkeyPatch
):
    """Before they are trained, refinements correct next to nothing in plain pictures."""
    motion = torch.tensor(((4.0, -2.0), (-4.0, 2.0))).view(1, 2, 2, 1, 1).expand(1, 2, 2, 24, 24)
    monkeypatch.setattr(untrained, "_match", lambda *_: (motion,))
    frame = torch.full((1, 3, 96, 96), 0.5)
    features, flows = untrained.training_motion(frame, frame)
    out = untrained.training_outputs(features, flows[-1], times(0.25))
    for scale, flow in zip((1, 2, 4), out.refined, strict=True):
        inside = slice(10 * scale, 14 * scale)
        inner = flow[..., inside, inside]
        expected = scale * torch.tensor(((-1.0, 0.5), (3.0, -1.5))).view(1, 2, 2, 1, 1)
        torch.testing.assert_close(inner, expected.expand_as(inner), atol=0.1, rtol=0)


def test_every_parameter_learns(net: Flow):
    frame0, frame1 = torch.rand(2, 1, 3, 96, 96)
    net.zero_grad()
    net(frame0, frame1, times(0.5)).square().mean().backward()
    silent = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


@torch.inference_mode()
def test_half_precision_stays_close(net: Flow):
    frame0, frame1 = texture(96, 128, 1), texture(96, 128, 2)
    exact = net(frame0, frame1, times(0.5))
    with torch.autocast("cpu", torch.bfloat16):
        rough = net(frame0, frame1, times(0.5))
    assert rough.dtype == torch.float32
    assert (rough - exact).abs().mean() < 0.02


def test_has_at_most_2_million_parameters():
    net = Flow()
    assert sum(p.numel() for p in net.parameters()) <= 2e6


def softening(net: Flow, frame0: Tensor, frame1: Tensor) -> Tensor:
    """What the recipe says of the sharpness where the network wants all softened."""
    net = copy.deepcopy(net)
    with torch.no_grad():
        # Of a side's outputs, four pixels each: flow (8), logit (4), residual (12), sharpness.
        net.refine_full.out.weight.zero_()
        net.refine_full.out.bias[24:28] = -0.5
    features = net.encode(frame0), net.encode(frame1)
    recipe = net.synthesize(*features, net.estimate_flow(*features), times(0.5))
    return recipe.sharpness


@torch.inference_mode()
def test_softens_only_where_the_frames_do_not_agree(untrained: Flow):
    frame = texture(96, 96)
    assert softening(untrained, frame, frame).abs().max() < 1e-6
    unlike = softening(untrained, frame, 1 - frame)
    assert unlike.quantile(0.1) >= -1.0001
    assert unlike.quantile(0.9) < -0.9


class TestCostVolume:
    @pytest.mark.parametrize(("height", "width", "radius"), [(5, 7, 1), (6, 70, 2), (3, 33, 3)])
    def test_equals_shifted_products(self, height: int, width: int, radius: int):
        torch.manual_seed(0)
        own, other = torch.rand(2, 2, 4, height, width, dtype=torch.float64, requires_grad=True)
        made = cost_volume(own, other, radius)
        padded = F.pad(other, (radius,) * 4)
        near = range(2 * radius + 1)
        expected = torch.stack(
            [(own * padded[..., y : y + height, x : x + width]).sum(1) for y in near for x in near],
            1,
        )
        assert torch.allclose(made, expected)
        weights = torch.rand_like(made)
        gradients = torch.autograd.grad((made * weights).sum(), (own, other), retain_graph=True)
        wanted = torch.autograd.grad((expected * weights).sum(), (own, other))
        for gradient, want in zip(gradients, wanted, strict=True):
            assert torch.allclose(gradient, want)

    def test_refuses_different_shapes(self):
        with pytest.raises(ValueError, match="shapes must be the same"):
            cost_volume(torch.rand(1, 2, 4, 4), torch.rand(1, 2, 4, 5), 1)


@pytest.mark.slow  # a minute of a core
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles with g++")
def test_what_training_compiles_can_be_compiled():
    """An odd number of cells, and the search all around, once could not."""
    torch.manual_seed(0)
    branch = nn.Sequential(activated_conv(3, 8), CoarseBranch(8, 8, blocks=1))
    picture = torch.rand(2, 3, 7, 7)
    own, flow = l2_normalize(torch.randn(1, 2, 4, 20, 20)), torch.zeros(1, 2, 2, 20, 20)
    # Its processes and what it keeps would outlive the test.
    with torch._inductor.config.patch(compile_threads=1, force_disable_caches=True):
        gradients = [
            torch.autograd.grad(work(picture).square().mean(), [*branch.parameters()])
            for work in (branch, torch.compile(branch, dynamic=False))
        ]
        found = torch.compile(global_matches, dynamic=False)(own, flow)
    torch.testing.assert_close(*gradients)
    torch.testing.assert_close(found, global_matches(own, flow))
