"""The closed formula finds the part of a pixel that two pictures are apart."""

import pytest
import torch
import torch.nn.functional as F

from interp_cli.models.alignment import least_squares_step, stillness
from interp_cli.models.warp import warp

HALF = torch.full((1, 2, 1, 1, 1), 0.5)


def smooth(seed: int = 0, size: int = 64) -> torch.Tensor:
    noise = torch.rand(1, 3, size // 4, size // 4, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(noise, size=(size, size), mode="bicubic").clamp(0, 1)


def moved(picture: torch.Tensor, dx: float, dy: float) -> torch.Tensor:
    """What is at p goes to p + (dx, dy)."""
    flow = torch.tensor((-dx, -dy)).view(1, 2, 1, 1).expand(1, 2, *picture.shape[-2:])
    return warp(picture, flow, "bicubic")


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


def rebuilt(pair: torch.Tensor, dx: float) -> torch.Tensor:
    """Each frame from the other, if everything moved by (dx, 0)."""
    return torch.stack((moved(pair[:, 1], -dx, 0.0), moved(pair[:, 0], dx, 0.0)), 1)


class TestStillness:
    def test_a_wire_before_moving_ground_is_still(self):
        ground = 0.3 + 0.3 * smooth()
        frames = torch.stack((ground, moved(ground, 8.0, 0.0)), 1)
        frames[..., 30:31] = 1.0
        still = stillness(frames, rebuilt(frames, 8.0))[0, 0]
        assert still[:, 30].mean() > 0.9

    def test_ground_that_moves_is_not(self):
        frames = torch.stack((smooth(), moved(smooth(), 8.0, 0.0)), 1)
        still = stillness(frames, rebuilt(frames, 8.0))
        assert still[..., 12:-12].mean() < 0.01

    def test_nor_is_a_ground_at_rest_that_its_own_motion_explains(self):
        frames = torch.stack((smooth(), smooth()), 1)
        frames[:, 0, :, 10:20, 10:20] = 1.0  # comes by
        frames[:, 1, :, 10:20, 40:50] = 1.0
        explained = frames.clone()
        explained[:, 0, :, 10:20, 20:40] = 0.0  # where it passes, one frame alone explains
        assert stillness(frames, explained)[..., 10:20, 22:38].max() < 0.3

    def test_equal_frames_are_still_wherever_motion_says_otherwise(self):
        frames = torch.stack((smooth(), smooth()), 1)
        off = rebuilt(frames, 0.5)
        still = stillness(frames, off)
        differs = (frames - off).abs().amax(2).amin(1, keepdim=True) > 2 / 255
        assert still[differs].min() > 0.95
