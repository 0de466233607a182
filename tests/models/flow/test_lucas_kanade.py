"""The closed formula finds the part of a pixel that two pictures are apart."""

import pytest
import torch
from textures import moved, smooth

from interp_cli.models.flow.lucas_kanade import (
    consensus_flow,
    detail_uncertainty,
    least_squares_step,
)

HALF = torch.full((1, 2, 1, 1, 1), 0.5)


def inside(step: torch.Tensor) -> torch.Tensor:
    return step[..., 4:-4, 4:-4]


@pytest.mark.parametrize(("dx", "dy"), [(0.3, 0.0), (0.0, -0.4), (-0.25, 0.2)])
def test_finds_a_shift_of_less_than_a_pixel(dx: float, dy: float):
    # frame1 shows things (dx, dy) further than frame0, so the motion is too short by that.
    pair = torch.stack((smooth(), moved(smooth(), dx, dy)), 1)
    step = inside(least_squares_step(pair, HALF))
    assert step.shape == (1, 2, 24, 24)
    assert step.mean((0, 2, 3)).tolist() == pytest.approx([dx, dy], abs=0.08)


def test_two_steps_come_closer_than_one():
    errors = []
    left = 0.8
    for _ in range(2):
        pair = torch.stack((smooth(), moved(smooth(), left, 0.0)), 1)
        left -= float(inside(least_squares_step(pair, HALF))[:, 0].mean())
        errors.append(abs(left))
    assert errors[1] < 0.5 * errors[0] < 0.1


def test_the_frames_swapped_give_the_opposite():
    pair = torch.stack((smooth(), moved(smooth(), 0.3, 0.1)), 1)
    times = torch.tensor((0.25, 0.75)).view(1, 2, 1, 1, 1)
    torch.testing.assert_close(
        least_squares_step(pair.flip(1), times.flip(1)), -least_squares_step(pair, times)
    )


def test_equal_and_plain_pictures_do_not_move():
    assert least_squares_step(torch.stack((smooth(), smooth()), 1), HALF).abs().max() == 0
    plain = torch.stack((torch.zeros(1, 3, 16, 16), torch.ones(1, 3, 16, 16)), 1)
    assert least_squares_step(plain, HALF).abs().max() == 0


def test_no_step_is_longer_than_a_pixel():
    step = least_squares_step(torch.stack((smooth(1), smooth(2)), 1), HALF)
    assert 0.5 < step.abs().max() <= 1


@pytest.mark.parametrize("timestep", [0.5, 0.2])
def test_both_frames_get_one_motion_where_they_agree(timestep: float):
    times = torch.tensor((timestep, 1 - timestep)).view(1, 2, 1, 1, 1)
    towards = times * torch.tensor((-1.0, 1.0)).view(1, 2, 1, 1, 1)
    motion = torch.zeros(1, 2, 2, 8, 8)
    motion[:, 0, 0], motion[:, 1, 0] = 10.1, 9.9
    motion[:, 1, :, :, 4:] = -30  # there the frames do not agree
    made = consensus_flow(motion * towards, times) / towards
    assert (made[:, :, 0, :, :4] - 10).abs().max() < 0.01
    torch.testing.assert_close(made[..., 4:], motion[..., 4:])


class TestDoubtfulDetail:
    def test_is_a_share_of_the_energy(self):
        """Far from edges: rows of 0 and 1 in turn, whose frames differ by a constant."""
        stripes = (torch.arange(32) % 2).float().view(1, 1, 32, 1).expand(1, 3, 32, 32)
        frames = torch.stack((stripes, stripes + 0.2), 1)
        # A row and the mean of it and its neighbours differ by 2/3; smoothed frames differ by 0.2.
        expected = 0.35 * 0.2**2 / (2 / 3) ** 2
        made = detail_uncertainty(frames)
        assert made.shape == (1, 1, 32, 32)
        torch.testing.assert_close(
            made[..., 8:-8, 8:-8], torch.full((1, 1, 16, 16), expected), atol=1e-4, rtol=1e-3
        )

    def test_noise_puts_less_in_doubt_than_wrong_motion(self):
        picture = smooth()
        noisy = picture + 0.05 * torch.randn(
            picture.shape, generator=torch.Generator().manual_seed(1)
        )
        noise = detail_uncertainty(torch.stack((picture, noisy), 1)).mean()
        wrong = detail_uncertainty(torch.stack((picture, moved(picture, 2.0, 0.0)), 1)).mean()
        assert noise < 0.5 * wrong

    def test_is_at_most_all_and_the_same_with_the_frames_swapped(self):
        frames = torch.stack((smooth(), smooth(1)), 1)
        made = detail_uncertainty(frames)
        assert made.max() == 1
        assert made.min() >= 0
        assert torch.equal(detail_uncertainty(frames.flip(1)), made)
        assert detail_uncertainty(frames[:, :1].expand_as(frames)).max() == 0
