from fractions import Fraction

import clips
import numpy as np
import pytest
import torch
from networks import Blur, Sliding
from torch.utils.flop_counter import FlopCounterMode

from interp_cli.errors import WeightsError
from interp_cli.image_ops import supersampled
from interp_cli.inference.interpolator import Interpolator
from interp_cli.models.registry import create_model


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 37, 53, 3), np.uint8)


def test_one_pair_and_a_batch_agree(interpolator, pictures):
    batch = interpolator(pictures[:2], pictures[1:])
    assert batch.shape == (2, 37, 53, 3)
    assert batch.dtype == np.uint8
    np.testing.assert_array_equal(batch[1], interpolator(pictures[1], pictures[2]))


def test_results_are_rounded(averaging):
    black, white = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    assert Interpolator(averaging)(black, white).max() == 128
    assert Interpolator(averaging)(black, white, 0.25).max() == 64


def test_sixteen_bits_keep_their_depth(averaging):
    frame0 = np.full((4, 4, 3), 10_001, np.uint16)
    frame1 = np.full((4, 4, 3), 10_005, np.uint16)
    made = Interpolator(averaging)(frame0, frame1)
    assert made.dtype == np.uint16
    assert np.unique(made).tolist() == [10_003]


@pytest.mark.parametrize("size", [(1, 1), (3, 17), (37, 53)])
def test_any_size_is_padded_and_cropped_back(size):
    frame = np.full((*size, 3), 99, np.uint8)
    np.testing.assert_array_equal(Interpolator(Blur())(frame, frame), frame)


@pytest.mark.parametrize(
    ("frame0", "frame1", "message"),
    [
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8), "frames differ"),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint16), "frames differ"),
        (np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8), r"must be \(H, W, 3\)"),
        (np.zeros((4, 4, 3)), np.zeros((4, 4, 3)), "must be uint8 or uint16"),
    ],
)
def test_wrong_pictures_are_named(averaging, frame0, frame1, message):
    with pytest.raises(ValueError, match=message):
        Interpolator(averaging)(frame0, frame1)


@pytest.mark.parametrize("timestep", [0.0, 0.1, 0.25, Fraction(1, 3), 0.5, 0.875, 1 / 128, 1.0])
def test_can_make_is_the_rule_of_every_call(pictures, timestep):
    """A model of middles makes middles of middles, whichever way it is called."""
    interpolator = Interpolator(Blur(), "cpu")
    frame0, frame1 = (torch.rand(1, 3, 16, 24) for _ in range(2))
    calls = [
        lambda: interpolator(pictures[0], pictures[1], timestep),
        lambda: interpolator.middle(frame0, frame1, timestep),
        lambda: interpolator.between(frame0, frame1, [(timestep,)]),
        lambda: list(interpolator.sequence([frame0, frame1], [timestep])),
    ]
    assert interpolator.can_make(timestep) == (timestep in (0.25, 0.5, 0.875))
    for call in calls:
        if interpolator.can_make(timestep):
            call()
        else:
            with pytest.raises(ValueError, match="timestep"):
                call()


def test_a_model_of_middles_refuses_other_times(pictures):
    with pytest.raises(ValueError, match="makes only middles, not timestep"):
        Interpolator(Blur())(pictures[0], pictures[1], 0.3)
    with pytest.raises(ValueError, match="between 0 and 1"):
        Interpolator(Blur())(pictures[0], pictures[1], 1.0)


def test_motion_of_a_pair_and_of_a_batch(pictures):
    interpolator = Interpolator(Sliding(), device="cpu", batch=2)
    batch = interpolator.flow(pictures, pictures[::-1].copy(), 0.25)
    assert [part.shape for part in batch] == [(3, 37, 53, 2)] * 2 + [(3, 37, 53)]
    assert {part.dtype for part in batch} == {np.dtype(np.float32)}
    motion = pictures[..., :2] / 255 * 10
    np.testing.assert_allclose(batch.flow_t0, -0.25 * motion, atol=1e-5)
    np.testing.assert_allclose(batch.flow_t1, 0.75 * motion, atol=1e-5)
    np.testing.assert_allclose(batch.displacement, motion, atol=1e-5)
    np.testing.assert_allclose(batch.blend_mask, 0.75)
    for number in range(3):
        single = interpolator.flow(pictures[number], pictures[2 - number], 0.25)
        for one, many in zip(single, batch, strict=True):
            np.testing.assert_array_equal(one, many[number])


def test_pictures_come_with_their_motion_in_one_call():
    frame0, frame1 = torch.rand(2, 2, 3, 24, 40)
    interpolator = Interpolator(Sliding())
    times = [(0.25, 0.5), (0.75,)]
    made = interpolator.synthesize(frame0, frame1, times)
    for synthesis, row in zip(made, interpolator.between(frame0, frame1, times), strict=True):
        torch.testing.assert_close(synthesis.middle, row)
    assert made[0].flow_t0.shape == (2, 2, 24, 40)
    torch.testing.assert_close(made[1].flow_t1[0], 2.5 * frame0[1, :2])


def test_each_frame_is_sampled_densely_once_for_all_timesteps(monkeypatch):
    sampled = []
    monkeypatch.setattr(
        "interp_cli.models.warp.supersampled", lambda x: sampled.append(len(x)) or supersampled(x)
    )
    interpolator = Interpolator(create_model("flow").eval(), device="cpu")
    frames = torch.rand(2, 2, 3, 48, 64)
    made = interpolator.between(frames[0], frames[1], [(0.25, 0.5, 0.75), (0.5,)])
    assert [len(row) for row in made] == [3, 1]
    assert sampled == [1] * 4  # both frames of two pairs


def test_a_model_without_motion_is_refused(averaging, pictures):
    with pytest.raises(WeightsError, match="model Averaging makes frames without motion"):
        Interpolator(averaging).flow(pictures[0], pictures[1])
    with pytest.raises(WeightsError, match="model fusion makes frames without motion"):
        Interpolator("fusion").flow(pictures[0], pictures[1])


@pytest.mark.parametrize("timestep", [0.25, 0.5])
def test_the_default_model_measures_a_pan(timestep):
    """A ground that slides by (6, -4): within half a pixel, and on average a tenth."""
    ground = clips.true_frame(0, (224, 176), still=True)
    frame0, frame1 = ground[8:-8, 16:-16], ground[12:-4, 10:-22]
    motion = Interpolator(device="cpu", precision="fp32").flow(frame0, frame1, timestep)
    moved = np.array((6, -4), np.float32)
    inner = (slice(24, -24), slice(24, -24))
    for flow, expected in (
        (motion.flow_t0, -timestep * moved),
        (motion.flow_t1, (1 - timestep) * moved),
        (motion.displacement, moved),
    ):
        error = np.abs(flow[inner] - expected)
        assert error.max() < 0.5
        assert error.mean() < 0.1


def test_quality_says_how_large_the_pictures_are_that_are_seen():
    sizes = {"360p": (360, 640), "480p": (854, 480), "720p": (720, 1280)}
    sizes |= {"1080p": (1080, 1920), "4K": (2160, 3840), "8K": (4320, 7680), "tiny": (17, 3)}
    expected = {
        "fast": {"360p": 2, "480p": 3, "720p": 5, "1080p": 7, "4K": 14, "8K": 29, "tiny": 1},
        "balanced": {"360p": 1, "480p": 2, "720p": 3, "1080p": 4, "4K": 8, "8K": 16, "tiny": 1},
        "best": {"360p": 1, "480p": 1, "720p": 2, "1080p": 2, "4K": 4, "8K": 9, "tiny": 1},
    }
    for quality, factors in expected.items():
        interpolator = Interpolator(Sliding(), device="cpu", quality=quality)
        assert {n: interpolator.reduction(*size) for n, size in sizes.items()} == factors
        for name, size in sizes.items():
            at_full_size = factors[name] == 1
            assert interpolator.sampling(*size) == ("supersampled" if at_full_size else "bicubic")
    assert Interpolator(Sliding(), device="cpu", quality="auto").quality == "balanced"
    assert Interpolator(Sliding(), device="cpu").quality == "best"
    assert Interpolator(Blur(), device="cpu", quality="fast").reduction(2160, 3840) == 1
    with pytest.raises(ValueError, match="`quality` must be auto, fast, balanced or best"):
        Interpolator(Sliding(), quality="superb")


@pytest.mark.parametrize(("quality", "gmac"), [("fast", 1.33), ("balanced", 3.81), ("best", 8.52)])
def test_what_flow_computes_for_two_frames_of_720p(quality, gmac):
    interpolator = Interpolator(create_model("flow").eval(), device="cpu", quality=quality)
    frame = torch.zeros(1, 3, 720, 1280)
    with FlopCounterMode(display=False) as counter:
        interpolator.middle(frame, frame)
    assert counter.get_total_flops() / 2e9 == pytest.approx(gmac, abs=0.02)


@pytest.mark.parametrize("net", ["flow", "averaging"])
def test_a_straight_sequence_is_made_of_its_pairs(net, averaging):
    interpolator = Interpolator(
        averaging if net == "averaging" else net, "cpu", precision="fp32", trajectory="linear"
    )
    frames = [torch.from_numpy(clips.true_frame(i).copy()) / 255 for i in (0, 2, 4)]
    frames = [frame.permute(2, 0, 1)[None] for frame in frames]
    rows = list(interpolator.sequence(frames, (0.25, 0.5)))
    assert [row.shape[0] for row in rows] == [2, 2]
    for row, *pair in zip(rows, frames, frames[1:], strict=False):
        (expected,) = interpolator.between(*pair, [(0.25, 0.5)])
        torch.testing.assert_close(row, expected)


def test_trajectories_have_names():
    with pytest.raises(ValueError, match="`trajectory` must be cubic or linear, not 'round'"):
        Interpolator("flow", "cpu", trajectory="round")
    assert Interpolator("fusion", "cpu").trajectory == "linear"
