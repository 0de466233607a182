"""Known shifts give known pictures, backward and forward."""

import pytest
import torch

from interp_cli.models.warp import Sampling, splat, warp


@pytest.fixture
def picture() -> torch.Tensor:
    return torch.rand(2, 3, 9, 12, generator=torch.Generator().manual_seed(0))


def constant_flow(picture: torch.Tensor, dx: float, dy: float) -> torch.Tensor:
    flow = picture.new_empty(len(picture), 2, *picture.shape[-2:])
    flow[:, 0], flow[:, 1] = dx, dy
    return flow


def test_warp_without_motion_gives_the_picture(picture):
    torch.testing.assert_close(warp(picture, constant_flow(picture, 0, 0)), picture)


def test_warp_samples_where_the_flow_points(picture):
    moved = warp(picture, constant_flow(picture, 3, -2))
    torch.testing.assert_close(moved[:, :, 2:, :-3], picture[:, :, :-2, 3:])


def test_warp_repeats_the_border_outside(picture):
    moved = warp(picture, constant_flow(picture, 100, 0))
    torch.testing.assert_close(moved, picture[..., -1:].expand_as(picture))


def test_warp_between_pixels_is_bilinear(picture):
    moved = warp(picture, constant_flow(picture, 0.25, 0))
    expected = 0.75 * picture[..., :-1] + 0.25 * picture[..., 1:]
    torch.testing.assert_close(moved[..., :-1], expected)


def test_warp_positions_are_exact_at_8k_in_half_precision():
    # float16 has no odd numbers above 2048: positions in it would be pixels off.
    ramp = (torch.arange(7680) % 2).float().expand(1, 1, 1, -1)
    flow = torch.zeros(1, 2, 1, 7680, dtype=torch.float16)
    flow[:, 0] = 1
    moved = warp(ramp.half(), flow)
    assert moved.dtype == torch.float32
    torch.testing.assert_close(moved[..., :-1], ramp[..., 1:], atol=2e-3, rtol=0)


def test_warp_reaches_beyond_the_numbers_of_opencv():
    picture = torch.arange(4 * 32800, dtype=torch.float32).reshape(1, 1, 4, 32800) / 131200
    flow = torch.zeros(1, 2, 4, 32800)
    flow[:, 0] = 1
    moved = warp(picture, flow)
    torch.testing.assert_close(moved[..., :-2], picture[..., 1:-1], atol=1e-5, rtol=0)


def test_warp_of_a_single_row_and_column():
    picture = torch.rand(1, 1, 1, 5)
    torch.testing.assert_close(warp(picture, torch.zeros(1, 2, 1, 5)), picture)


def test_supersampled_warp_moves_whole_pixels_and_repeats_the_border(picture):
    moved = warp(picture, constant_flow(picture, 3, -2), "supersampled")
    torch.testing.assert_close(moved[:, :, 2:, :-3], picture[:, :, :-2, 3:])
    torch.testing.assert_close(moved[:, :, 2:, -3:], picture[:, :, :-2, -1:].expand(-1, -1, -1, 3))


@pytest.mark.parametrize("needs_gradient", [False, True])
def test_supersampled_warp_keeps_more_detail_than_bicubic(needs_gradient: bool):
    columns = torch.arange(64.0)  # three pixels a wave
    wave = torch.sin(columns * 2.1).expand(1, 1, 8, -1).clone().requires_grad_(needs_gradient)

    def error(mode: Sampling) -> float:
        apart = [
            warp(wave, constant_flow(wave, dx, 0), mode)[0, 0, 4] - torch.sin((columns + dx) * 2.1)
            for dx in (0.1, 0.2, 0.3, 0.4, 0.5)
        ]
        return float(torch.stack(apart)[:, 8:-8].detach().square().mean().sqrt())

    assert 2 * error("supersampled") < error("bicubic") < error("bilinear")


@pytest.mark.parametrize("needs_gradient", [False, True])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "supersampled"])
def test_one_picture_does_for_many_flows(picture, mode: Sampling, needs_gradient: bool):
    one = picture[:1].clone().requires_grad_(needs_gradient)
    flow = torch.cat([constant_flow(one, dx, 0.5) for dx in (0, 0.25, 1.5)])
    many = warp(one, flow, mode)
    torch.testing.assert_close(many, warp(one.expand(3, -1, -1, -1), flow, mode), atol=0, rtol=0)


def test_splat_moves_whole_pixels_and_loses_what_leaves(picture):
    moved = splat(picture, constant_flow(picture, 2, 1))
    torch.testing.assert_close(moved[:, :, 1:, 2:], picture[:, :, :-1, :-2])
    assert moved[:, :, :1].abs().max() == 0
    assert moved[..., :2].abs().max() == 0


def test_splat_shares_a_pixel_out_to_its_four_neighbours():
    values = torch.zeros(1, 1, 4, 4)
    values[0, 0, 1, 1] = 1
    flow = torch.zeros(1, 2, 4, 4)
    flow[0, :, 1, 1] = torch.tensor((0.25, 0.5))
    moved = splat(values, flow)
    expected = torch.tensor(((0.375, 0.125), (0.375, 0.125)))
    torch.testing.assert_close(moved[0, 0, 1:3, 1:3], expected)
    assert moved.sum() == 1


def test_splat_sums_what_meets():
    values = torch.ones(1, 1, 1, 2)
    flow = torch.tensor([[[[1.0, 0.0]], [[0.0, 0.0]]]])
    assert splat(values, flow).tolist() == [[[[0.0, 2.0]]]]


def test_gradients_reach_pictures_and_flow():
    generator = torch.Generator().manual_seed(1)
    values = torch.rand(1, 2, 4, 5, generator=generator, dtype=torch.float32, requires_grad=True)
    flow = (torch.rand(1, 2, 4, 5, generator=generator) - 0.5).requires_grad_()
    for move in (warp, splat):
        values.grad = flow.grad = None
        (move(values, flow) ** 2).sum().backward()
        step = 1e-3 * torch.randn(flow.shape, generator=generator)
        # Not without gradient: OpenCV would round the positions.
        change = (move(values, flow + step) ** 2).sum() - (move(values, flow - step) ** 2).sum()
        torch.testing.assert_close(
            (flow.grad * 2 * step).sum(), change.detach(), atol=1e-3, rtol=0.05
        )
        assert values.grad.abs().sum() > 0


@pytest.mark.parametrize("move", [warp, splat])
def test_sizes_that_differ_are_refused(move, picture):
    with pytest.raises(ValueError, match=r"one size, not \(9, 12\) and \(9, 11\)"):
        move(picture, torch.zeros(2, 2, 9, 11))
