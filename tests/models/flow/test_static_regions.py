"""What rests over moving ground is told from what is alike by chance."""

import pytest
import torch
import torch.nn.functional as F
from textures import moved, smooth

from interp_cli.models.flow.static_regions import stillness


def flows(dx: float, dy: float = 0.0, size: int = 64, grid: int = 4) -> torch.Tensor:
    """Motion of everything by (dx, dy) pixels, on a grid `grid` times as coarse."""
    there = torch.tensor((dx, dy)).view(2, 1, 1).expand(2, size // grid, size // grid) / grid
    return torch.stack((there, -there)).unsqueeze(0)


class TestStillness:
    def test_a_wire_before_moving_ground_is_still(self):
        ground = 0.3 + 0.3 * smooth()
        frames = torch.stack((ground, moved(ground, 8.0, 0.0)), 1)
        frames[..., 30:31] = 1.0
        still = stillness(frames, flows(8.0))[0, 0]
        assert still[:, 30].mean() > 0.9

    def test_a_wire_that_stays_bright_while_the_ground_fades_is_still(self):
        ground = 0.3 + 0.3 * smooth()
        shown = torch.stack((ground, 0.7 * moved(ground, 8.0, 0.0)), 1)
        shown[..., 30:31] = 1.0
        evened = shown * torch.tensor((0.85, 0.85 / 0.7)).view(1, 2, 1, 1, 1)
        assert stillness(evened, flows(8.0))[0, 0, :, 30].max() < 0.01
        still = stillness(evened, flows(8.0), shown)
        assert still[0, 0, :, 30].mean() > 0.9
        assert still[..., 38:-12].mean() < 0.01

    def test_ground_that_moves_is_not(self):
        frames = torch.stack((smooth(), moved(smooth(), 8.0, 0.0)), 1)
        still = stillness(frames, flows(8.0))
        assert still[..., 12:-12].mean() < 0.01

    def test_nor_is_a_ground_at_rest_that_its_own_motion_explains(self):
        frames = torch.stack((smooth(), smooth()), 1)
        frames[:, 0, :, 8:24, 8:24] = 1.0  # comes by
        frames[:, 1, :, 8:24, 40:56] = 1.0
        motion = torch.zeros(1, 2, 2, 16, 16)
        motion[:, 0, 0, 2:6, 2:6] = 32 / 4
        motion[:, 1, 0, 2:6, 10:14] = -32 / 4
        motion[:, 0, 0, 2:6, 6:10] = 32 / 4  # where it passes, one frame alone is explained
        assert stillness(frames, motion)[..., 11:21, 28:36].max() < 0.3

    def test_equal_frames_are_still_wherever_motion_says_otherwise(self):
        frames = torch.stack((smooth(), smooth()), 1)
        rebuilt = torch.stack([moved(smooth(), dx, 0.0, "bilinear") for dx in (-0.5, 0.5)], 1)
        differs = (frames - rebuilt).abs().amax(2).amin(1, keepdim=True) > 3 / 255
        assert differs.float().mean() > 0.4
        assert stillness(frames, flows(0.5))[differs].min() > 0.95


def captioned(found: float = 0.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Frames, motion, and where a caption stands over ground that goes by (16, 0).

    Args:
        found: The motion of the caption as it is found, in pixels.
    """
    ground = smooth(size=128)
    frames = torch.stack((ground, moved(ground, 16.0, 0.0)), 1)
    letters = torch.zeros(128, 128, dtype=torch.bool)
    for column in range(36, 92, 9):  # strokes, so that letters move onto letters
        letters[72:92, column : column + 4] = True
    frames[..., letters] = 1.0
    motion = flows(16.0, size=128)
    motion[..., 18:23, 9:23] = 0.0
    motion[:, 0, 0, 18:23, 9:23] = found / 4
    return frames, motion, letters


class TestStillnessInFront:
    """What rests where most of the picture moves."""

    @pytest.mark.parametrize("found", [0.0, 3.0])
    def test_a_caption_found_at_rest_is_still(self, found: float):
        frames, motion, letters = captioned(found)
        still = stillness(frames, motion)[0, 0]
        assert still[letters].min() > 0.9
        assert still[8:60, 24:104].max() < 0.1

    def test_motion_may_come_on_a_coarser_grid(self):
        frames, motion, letters = captioned()
        coarser = F.avg_pool2d(motion[0], 2).unsqueeze(0) / 2
        assert stillness(frames, coarser)[0, 0][letters].mean() > 0.9

    def test_the_frames_swapped_give_the_same(self):
        frames, motion, _ = captioned(3.0)
        torch.testing.assert_close(
            stillness(frames.flip(1), motion.flip(1)), stillness(frames, motion)
        )

    def test_what_rests_behind_is_not_asked(self):
        """The same pictures and motion there, but over a ground that rests as well."""
        frames, motion, letters = captioned()
        frames[:, 1] = frames[:, 0]
        assert stillness(frames, torch.zeros_like(motion))[0, 0][letters].max() < 0.3

    def test_nor_is_the_ground_of_a_hand_that_moves(self):
        """A finger comes by before a wall that rests, and less than most moves."""
        wall = smooth(size=128)
        frames = torch.stack((wall, wall), 1)
        hand = smooth(3, size=128)
        motion = torch.zeros(1, 2, 2, 32, 32)
        for side, left in enumerate((32, 48)):
            frames[:, side, :, 64:112, left : left + 48] = hand[..., 64:112, 32:80]
            frames[:, side, :, 32:64, left : left + 4] = 1.0
            motion[:, side, 0, 16:28, left // 4 : left // 4 + 12] = (16 - 32 * side) / 4
            motion[:, side, 0, 8:16, left // 4 : left // 4 + 1] = (16 - 32 * side) / 4
        assert stillness(frames, motion)[0, 0, 36:56, 40:44].max() < 0.3

    def test_waves_that_no_motion_explains_are_not_still(self):
        """Neither frame follows from the other, and both are alike in places."""
        waves = [0.5 + 0.1 * smooth(seed, size=128) for seed in (0, 1)]
        still = stillness(torch.stack(waves, 1), flows(16.0, size=128))
        assert still[..., 24:104].mean() < 0.02

    def test_plain_ground_found_at_rest_is_not_still(self):
        """A pole comes by before a plain sky; the camera pans."""
        ground = smooth(size=128)
        ground[..., 40:88, :] = 0.8
        ground[..., 40:88, 56:60] = 0.1
        frames = torch.stack((ground, moved(ground, 16.0, 0.0)), 1)
        motion = flows(16.0, size=128)
        motion[..., 10:22, :] = 0.0
        motion[:, 0, 0, 10:22, 12:17] = 16 / 4
        motion[:, 1, 0, 10:22, 16:21] = -16 / 4
        assert stillness(frames, motion)[0, 0, 48:80, 64:68].max() < 0.1

    def test_what_comes_in_at_the_border_is_no_proof(self):
        """Ground that shows from outside the picture is not explained, but need not rest."""
        ground = smooth(size=128)
        ground[..., 40:88, :] = 0.8
        ground[..., 40:88, :4] = 0.1
        frames = torch.stack((ground, moved(ground, 16.0, 0.0)), 1)
        frames[:, 1, :, 40:88, :16] = 0.8
        assert stillness(frames, flows(16.0, size=128))[0, 0, 48:80, 6:16].max() < 0.1
