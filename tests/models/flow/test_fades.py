"""A change of brightness is found under motion, and only where there is one."""

import pytest
import torch
from textures import moved, smooth

from interp_cli.models.flow.fades import BrightnessChange, BrightnessCompensation, brightness_change

STEP = 3.0


def motion(dx: float = STEP, size: int = 64) -> torch.Tensor:
    there = torch.tensor((dx, 0.0)).view(2, 1, 1).expand(2, size, size)
    return torch.stack((there, -there)).unsqueeze(0)


def pair(gain: float = 1.0, offset: tuple[float, ...] = (0.0, 0.0, 0.0)) -> torch.Tensor:
    """A picture, and where it has moved to and changed; a quarter has become something else."""
    ground = 0.2 + 0.5 * smooth()
    later = moved(ground, STEP, 0.0) * gain + torch.tensor(offset).view(1, 3, 1, 1)
    later[..., 32:, 32:] = smooth(seed=1)[..., 32:, 32:]
    return torch.stack((ground, later), 1)


@pytest.mark.parametrize(
    ("gain", "offset"),
    [
        (0.7, (0.0, 0.0, 0.0)),
        (1.4, (0.0, 0.0, 0.0)),
        (0.5, (0.5, 0.5, 0.5)),
        (0.9, (0.1, 0, -0.05)),
    ],
)
def test_a_fade_is_found_under_motion(gain, offset):
    found = brightness_change(pair(gain, offset), motion())
    assert found.gain.shape == (1, 1, 1, 1)
    assert found.gain.item() == pytest.approx(gain, abs=0.02)
    assert found.offset.flatten().tolist() == pytest.approx(offset, abs=0.01)
    assert found.fraction.item() == 1


def test_frames_swapped_give_the_inverse():
    frames = pair(0.7, (0.1, 0.0, 0.05))
    there = brightness_change(frames, motion())
    back = brightness_change(frames.flip(1), motion().flip(1))
    torch.testing.assert_close(back.gain, 1 / there.gain)
    torch.testing.assert_close(back.offset, -there.offset / there.gain)
    torch.testing.assert_close(back.fraction, there.fraction)


def test_every_pair_has_its_own():
    frames = torch.cat((pair(0.7), pair(1.0), pair(1.3)))
    found = brightness_change(frames, motion().expand(3, -1, -1, -1, -1))
    assert found.gain.flatten().tolist() == pytest.approx([0.7, 1.0, 1.3], abs=0.02)
    assert found.fraction.flatten().tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    "later",
    [
        moved(smooth(), STEP, 0.0),
        smooth(seed=2),  # another picture, as halfway through a dissolve
        torch.where(torch.arange(64) < 20, 0.5, 1.0) * moved(smooth(), STEP, 0.0),  # a shadow
    ],
)
def test_what_is_no_change_of_the_whole_is_left_alone(later):
    found = brightness_change(torch.stack((smooth(), later), 1), motion())
    gain, offset = found.until(torch.full((1, 1, 1, 1), 0.5))
    assert (gain - 1).abs().max() < 0.02
    assert offset.abs().max() < 0.01


def test_black_frames_and_motion_that_leads_nowhere_change_nothing():
    black = torch.zeros(1, 2, 3, 64, 64)
    astray = (torch.rand(1, 2, 2, 64, 64, generator=torch.Generator().manual_seed(0)) - 0.5) * 40
    for frames, way in ((black, motion(0.0)), (pair(0.7), astray)):
        gain, offset = brightness_change(frames, way).until(torch.full((1, 1, 1, 1), 0.5))
        torch.testing.assert_close(gain, torch.ones_like(gain), atol=0.01, rtol=0)
        torch.testing.assert_close(offset, torch.zeros_like(offset), atol=0.01, rtol=0)


@pytest.mark.parametrize(("places", "share"), [(0.01, 0), (0.06, 0.5), (0.2, 1)])
def test_it_takes_enough_places_to_tell(places, share):
    """Elsewhere motion leads nowhere."""
    frames = torch.stack((smooth(), 0.6 * smooth()), 1)
    way = torch.full((1, 2, 2, 64 * 64), 30.0)
    way[..., : round(places * 64 * 64)] = 0
    found = brightness_change(frames, way.view(1, 2, 2, 64, 64))
    assert found.fraction.item() == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize(("gain", "share"), [(0.4, 1), (0.2857, 0.5), (0.2, 0), (0.0, 0)])
def test_a_frame_that_is_almost_black_tells_nothing(gain, share):
    frames = torch.stack((smooth(), gain * smooth()), 1)
    found = brightness_change(frames, motion(0.0))
    assert found.fraction.item() == pytest.approx(share, abs=0.02)


def test_what_was_added_can_be_taken_away_again():
    change = brightness_change(pair(0.7, (0.1, 0.0, 0.0)), motion())
    evened = BrightnessCompensation.of(
        [pair(0.7, (0.1, 0.0, 0.0))], change, torch.full((1, 1, 1, 1), 0.5)
    )
    (picture,) = evened.pictures
    torch.testing.assert_close(picture - evened.added(picture), pair(0.7, (0.1, 0.0, 0.0)))


@pytest.mark.parametrize("timestep", [0.0, 0.25, 1.0])
def test_both_frames_are_brought_to_one_brightness(timestep):
    share = torch.ones(1, 1, 1, 1)
    change = BrightnessChange(0.6 * share, 0.1 * share.expand(1, 3, 1, 1), share)
    gain, offset = change.until(torch.full((1, 1, 1, 1), timestep))
    x = torch.linspace(0, 1, 7)
    frames = torch.stack((x, 0.6 * x + 0.1)).view(1, 2, 1, 1, 7)
    first, second = (frames * gain + offset).unbind(1)
    torch.testing.assert_close(first, second)
    expected = (1 - timestep) * x + timestep * (0.6 * x + 0.1)  # it changes evenly
    torch.testing.assert_close(first[0, 0, 0], expected)
