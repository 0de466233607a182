"""OpenCV's way on a CPU is torch's way."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F

from interp_cli.image_ops import (
    bordered,
    box_mean,
    fitted,
    for_opencv,
    resized,
    shrunk,
    supersampled,
)
from interp_cli.models.warp import Sampling, warp


def picture(height: int, width: int) -> torch.Tensor:
    """Two of two channels, with detail of a few pixels, in [0, 1]."""
    coarse = torch.rand(2, 2, -(-height // 3), -(-width // 3))
    smooth = F.interpolate(coarse, (height, width), mode="bicubic")
    return smooth.clamp(0, 1)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize(
    "work",
    [
        lambda image: resized(image, 144, 200),
        lambda image: resized(image, 31, 50),
        lambda image: shrunk(image, 4),
        lambda image: fitted(image, 36, 25),
        lambda image: fitted(image, 30, 100),
        box_mean,
        supersampled,
    ],
)
def test_both_ways_give_the_same(work):
    image = picture(72, 100)
    with_gradient = work(image.requires_grad_())  # so torch does it
    assert with_gradient.requires_grad
    with torch.no_grad():
        torch.testing.assert_close(work(image), with_gradient.detach(), atol=2e-6, rtol=0)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "supersampled"])
def test_both_warps_give_the_same_picture(mode: Sampling):
    image, flow = picture(72, 100), 4 * torch.randn(2, 2, 9, 13)
    flow = resized(flow, 72, 100)
    with_gradient = warp(image.requires_grad_(), flow, mode)
    with torch.no_grad():
        made = warp(image, flow, mode)
    difference = 255 * (made - with_gradient.detach())
    assert made.abs().max() > 0.5
    assert difference.abs().max() < 4
    assert 20 * torch.log10(255 / difference.square().mean().sqrt()) > 50


def test_supersampled_is_not_rounded_by_autocast():
    image = 255 * picture(9, 14)
    with torch.autocast("cpu", torch.bfloat16):
        fine = supersampled(image.clone().requires_grad_())
    torch.testing.assert_close(fine.detach(), supersampled(image), atol=1e-3, rtol=0)


def test_supersampled_keeps_the_pixels_and_finds_what_lies_between():
    columns = torch.arange(64.0)
    image = torch.sin(columns * 1.6).expand(1, 1, 8, -1)  # four pixels a wave
    fine = supersampled(image)
    assert fine.shape == (1, 1, 15, 127)
    assert torch.equal(fine[..., ::2, ::2], image)
    inner = fine[0, 0, 1, 9:-8:2]
    wanted = torch.sin((columns[4:-4] + 0.5) * 1.6)[: len(inner)]
    assert (inner - wanted).abs().max() < 0.01
    assert supersampled(torch.ones(1, 1, 1, 1)).tolist() == [[[[1.0]]]]


def test_a_border_repeats_what_is_outermost_as_pad_does():
    image = torch.rand(2, 3, 4, 5, requires_grad=True)
    made = bordered(image, left=3, right=1, below=2)
    assert torch.equal(made, F.pad(image, (3, 1, 0, 2), mode="replicate"))
    weights = torch.rand_like(made)
    gradients = [
        torch.autograd.grad((x * weights).sum(), image)[0]
        for x in (made, F.pad(image, (3, 1, 0, 2), mode="replicate"))
    ]
    torch.testing.assert_close(*gradients)
    assert bordered(image) is image


def test_what_is_traced_or_needs_a_gradient_is_left_to_torch():
    image = torch.rand(1, 1, 4, 4)
    assert for_opencv(image)
    assert not for_opencv(image, image.clone().requires_grad_())
    assert not for_opencv(torch.empty(1, 1, 4, 4, device="meta"))
    with torch.no_grad():
        assert for_opencv(image.clone().requires_grad_())


def test_while_one_thread_compiles_another_goes_on_as_before():
    """Or what a loader draws would depend on when a network is compiled."""
    image = torch.rand(1, 1, 4, 4)
    elsewhere = []

    def backend(graph: torch.fx.GraphModule, _: list[torch.Tensor]):
        with ThreadPoolExecutor(1) as thread:
            elsewhere.append(thread.submit(for_opencv, image).result())
        return graph

    traced = torch.compile(lambda image: image + int(for_opencv(image)), backend=backend)
    assert torch.equal(traced(image), image)
    assert elsewhere == [True]
