import resource
import sys
from collections import Counter
from fractions import Fraction

import clips
import cv2
import numpy as np
import pytest
import torch

from interp_cli.devices import choose_device, choose_precision, keep_freed_memory, worker_pool
from interp_cli.errors import ResourceError, WeightsError
from interp_cli.inference import Seen
from interp_cli.interpolator import Interpolator
from interp_cli.models.registry import create_model
from interp_cli.models.render import Recipe


class Blur(torch.nn.Module):
    """The mean of the frames, softened a little: sees neighbours, wants multiples of 8."""

    supports_timestep = False

    def size_multiple(self, height: int, width: int) -> int:
        return 8

    def forward(self, frame0, frame1, timestep):
        assert frame0.shape[-1] % 8 == 0
        assert frame0.shape[-2] % 8 == 0
        mean = torch.lerp(frame0, frame1, timestep)
        padded = torch.nn.functional.pad(mean, (1, 1, 1, 1), mode="replicate")
        return torch.nn.functional.avg_pool2d(padded, 3, 1)


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 37, 53, 3), np.uint8)


def test_one_pair_and_a_batch_agree(averaging, pictures):
    interpolator = Interpolator(averaging, device="cpu")
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


def test_tiles_show_no_seam(pictures):
    frame0 = torch.rand(1, 3, 300, 420, generator=torch.Generator().manual_seed(0))
    frame1 = frame0.flip(-1)
    whole = Interpolator(Blur(), tile="off").middle(frame0, frame1)
    tiled = Interpolator(Blur(), tile=128).middle(frame0, frame1)
    error = (whole - tiled).abs()
    assert error.max() < 1e-3


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


def test_a_model_of_middles_refuses_other_times(pictures):
    with pytest.raises(ValueError, match="makes only the middle"):
        Interpolator(Blur())(pictures[0], pictures[1], 0.25)
    with pytest.raises(ValueError, match="between 0 and 1"):
        Interpolator(Blur())(pictures[0], pictures[1], 1.0)


def test_devices_and_precisions_that_are_not_there():
    assert choose_device("cpu").type == "cpu"
    with pytest.raises(ValueError, match="device must be auto, cpu"):
        choose_device("gpu")
    with pytest.raises(ResourceError, match="cuda:99 is not here"):
        choose_device("cuda:99")
    with pytest.raises(ResourceError, match="fp16 needs a GPU"):
        choose_precision(torch.device("cpu"), "fp16")
    assert choose_precision(torch.device("cuda"), "auto") == "fp16"


@pytest.mark.parametrize(
    ("has", "faster", "chosen"), [(1, 1, "bf16"), (1, 0, "fp32"), (0, 1, "fp32")]
)
def test_bf16_is_chosen_where_it_is_there_and_faster(monkeypatch, has, faster, chosen):
    monkeypatch.setattr("interp_cli.devices.cpu_has_bf16", lambda: bool(has))
    monkeypatch.setattr("interp_cli.devices._bf16_is_faster", lambda: bool(faster))
    assert choose_precision(torch.device("cpu"), "auto") == chosen


@pytest.mark.skipif(sys.platform != "linux", reason="what glibc does with freed memory")
def test_freed_memory_is_kept_for_the_next_frame():
    """A large block that was freed comes back, in the end, without new pages."""
    keep_freed_memory()
    faults = []
    for _ in range(12):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(100 << 20, dtype=torch.uint8)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    assert min(faults[-3:]) < 100  # a new block has 25,600 pages


def test_steps_at_once_share_the_cores(averaging):
    threads, opencv_threads = torch.get_num_threads(), cv2.getNumThreads()
    with worker_pool(2) as pool:
        seen = [pool.submit(torch.get_num_threads).result() for _ in range(4)]
    assert set(seen) == {max(1, threads // 2)}
    assert (torch.get_num_threads(), cv2.getNumThreads()) == (threads, opencv_threads)
    interpolator = Interpolator(averaging, device="cpu")
    assert interpolator.workers(144, 256) == min(4, threads)
    assert interpolator.workers(8640, 15360) == 1  # for want of memory


def test_batches_shrink_as_frames_grow(averaging):
    interpolator = Interpolator(averaging, device="cpu")
    assert interpolator.batch_size(144, 256) == 4
    assert interpolator.batch_size(1080, 1920) == 1
    assert Interpolator(averaging, batch=3).batch_size(1080, 1920) == 3
    assert interpolator.inference.budget.tile_size(1080, 1920) is None
    tiled = Interpolator(averaging, tile=512).inference.budget
    assert tiled.tile_size(1080, 1920) == 512
    assert tiled.tile_size(400, 500) is None


def test_several_timesteps_of_several_pairs_come_in_order(averaging):
    black, white = torch.zeros(2, 3, 5, 7), torch.ones(2, 3, 5, 7)
    rows = Interpolator(averaging).between(black, white, [(Fraction(1, 4),), (0.75, 0.5)])
    assert [row.shape for row in rows] == [(1, 3, 5, 7), (2, 3, 5, 7)]
    assert [row.mean((1, 2, 3)).tolist() for row in rows] == [[0.25], [0.75, 0.5]]


def test_a_model_of_middles_halves_again_and_again():
    black, white = torch.zeros(2, 3, 8, 8), torch.ones(2, 3, 8, 8)
    times = [[Fraction(k, 8) for k in range(1, 8)], [Fraction(3, 4)]]
    rows = Interpolator(Blur(), tile="off").between(black, white, times)
    assert rows[0].mean((1, 2, 3)).tolist() == pytest.approx([k / 8 for k in range(1, 8)])
    assert rows[1].mean((1, 2, 3)).tolist() == pytest.approx([0.75])
    with pytest.raises(ValueError, match="makes only middles, not timestep 1/3"):
        Interpolator(Blur()).between(black, white, [(Fraction(1, 3),)] * 2)


@pytest.mark.parametrize("tile", ["off", 128])
def test_what_serves_every_timestep_is_computed_once(tile):
    torch.manual_seed(0)
    interpolator = Interpolator(create_model("flow"), device="cpu", tile=tile)
    # Smooth, since positions are rounded and may fall to either side.
    noise = torch.rand(4, 3, 8, 25)
    frame0, frame1 = torch.nn.functional.interpolate(noise, (64, 200), mode="bilinear").split(2)
    counts = Counter()
    for name in ("encode", "motion", "synthesize"):
        piece = getattr(interpolator.net, name)

        def counted(*inputs, name=name, piece=piece):
            counts[name] += 1
            return piece(*inputs)

        setattr(interpolator.net, name, counted)
    rows = interpolator.between(frame0, frame1, [(0.25, 0.5, 0.75), (0.5, 0.6)])
    tiles = 1 if tile == "off" else 2
    assert counts == {"encode": 2 * tiles, "motion": tiles, "synthesize": 3 * tiles}
    alone = [
        interpolator.middle(frame0[i : i + 1], frame1[i : i + 1], t)[0]
        for i, t in ((0, 0.25), (0, 0.5), (0, 0.75), (1, 0.5), (1, 0.6))
    ]
    torch.testing.assert_close(torch.cat(rows), torch.stack(alone), atol=1e-2, rtol=0)


class Sliding(torch.nn.Module):
    """Motion that is as wide as `frame0` is bright, plus where the pixel is; no weights."""

    supports_timestep = True

    def size_multiple(self, height, width):
        return 8

    def encode(self, frame):
        assert frame.shape[-1] % 8 == 0
        return (frame,)

    def motion(self, features0, features1):
        return features0[0][:, :2] * 10

    def synthesize(self, features0, features1, motion, timestep):
        mask = (1 - timestep) * torch.ones_like(motion[:, :1])
        none = torch.zeros_like(mask)
        flows = (-timestep * motion, (1 - timestep) * motion)
        return Recipe(*flows, mask, none, none, none.repeat(1, 3, 1, 1))


def test_motion_of_a_pair_and_of_a_batch(pictures):
    interpolator = Interpolator(Sliding(), device="cpu", batch=2)
    batch = interpolator.motion(pictures, pictures[::-1].copy(), 0.25)
    assert [part.shape for part in batch] == [(3, 37, 53, 2)] * 2 + [(3, 37, 53)]
    assert {part.dtype for part in batch} == {np.dtype(np.float32)}
    motion = pictures[..., :2] / 255 * 10
    np.testing.assert_allclose(batch.flow_t0, -0.25 * motion, atol=1e-5)
    np.testing.assert_allclose(batch.flow_t1, 0.75 * motion, atol=1e-5)
    np.testing.assert_allclose(batch.displacement, motion, atol=1e-5)
    np.testing.assert_allclose(batch.blend_mask, 0.75)
    for number in range(3):
        single = interpolator.motion(pictures[number], pictures[2 - number], 0.25)
        for one, many in zip(single, batch, strict=True):
            np.testing.assert_array_equal(one, many[number])


def test_motion_fades_between_tiles():
    frame = np.random.default_rng(0).integers(0, 256, (300, 420, 3), np.uint8)
    whole = Interpolator(Sliding(), tile="off").motion(frame, frame)
    tiled = Interpolator(Sliding(), tile=128).motion(frame, frame)
    for one, other in zip(whole, tiled, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_pictures_come_with_their_motion_in_one_call():
    frame0, frame1 = torch.rand(2, 2, 3, 24, 40)
    interpolator = Interpolator(Sliding())
    times = [(0.25, 0.5), (0.75,)]
    made = interpolator.synthesize(frame0, frame1, times)
    for synthesis, row in zip(made, interpolator.between(frame0, frame1, times), strict=True):
        torch.testing.assert_close(synthesis.middle, row)
    assert made[0].flow_t0.shape == (2, 2, 24, 40)
    torch.testing.assert_close(made[1].flow_t1[0], 2.5 * frame0[1, :2])


def test_a_model_without_motion_is_refused(averaging, pictures):
    with pytest.raises(WeightsError, match="model Averaging makes frames without motion"):
        Interpolator(averaging).motion(pictures[0], pictures[1])
    with pytest.raises(WeightsError, match="model fusion makes frames without motion"):
        Interpolator("fusion").motion(pictures[0], pictures[1])


@pytest.mark.parametrize("timestep", [0.25, 0.5])
def test_the_default_model_measures_a_pan(timestep):
    """A ground that slides by (6, -4): within half a pixel, and on average a tenth."""
    ground = clips.true_frame(0, (224, 176), still=True)
    frame0, frame1 = ground[8:-8, 16:-16], ground[12:-4, 10:-22]
    motion = Interpolator(device="cpu", precision="fp32").motion(frame0, frame1, timestep)
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


class Hungry(Blur):
    """Runs out of memory above so many pixels."""

    most_pixels = 0

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[tuple[int, ...]] = []

    def forward(self, frame0, frame1, timestep):
        if frame0[:, 0].numel() > self.most_pixels:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        self.steps.append(tuple(frame0.shape))
        return super().forward(frame0, frame1, timestep)


def test_out_of_memory_halves_the_batch_then_cuts_tiles():
    frame0, frame1 = torch.rand(2, 4, 3, 600, 800, generator=torch.Generator().manual_seed(0))
    expected = Interpolator(Blur(), device="cpu", tile="off").middle(frame0, frame1)
    net = Hungry()
    interpolator = Interpolator(net, device="cpu", tile="off")
    net.most_pixels = 2 * 600 * 800
    made = interpolator.middle(frame0, frame1)
    torch.testing.assert_close(made, expected)
    assert net.steps == [(2, 3, 600, 800)] * 2
    assert interpolator.notes == ["cpu ran out of memory: frames were made 2 at once."]
    assert interpolator.batch_size(600, 800) == 2

    net.most_pixels = 600 * 500
    torch.testing.assert_close(interpolator.middle(frame0, frame1), expected, atol=1e-3, rtol=0)
    assert net.steps[-1] == (1, 3, 400, 400)
    assert interpolator.notes == [
        "cpu ran out of memory: frames were made 1 at once, in tiles of 400 px."
    ]

    net.most_pixels = 1000
    with pytest.raises(ResourceError, match="does not suffice for a tile of 256 px"):
        interpolator.middle(frame0, frame1)


def test_what_is_seen_of_several_frames_is_joined():
    pictures = torch.rand(3, 3, 8, 8)
    parts = [Seen(p, (p * 2, (p * 3, p))) for p in pictures.split(1)]
    joined = Seen.joined(parts)
    torch.testing.assert_close(joined.pictures, pictures)
    torch.testing.assert_close(joined.features[1][0], pictures * 3)
    # Of one there was no memory for features: none are kept of all.
    assert Seen.joined([*parts, Seen(pictures[:1], None)]).features is None


def test_quality_says_how_large_the_pictures_are_that_are_seen():
    sizes = {"360p": (360, 640), "480p": (854, 480), "720p": (720, 1280)}
    sizes |= {"1080p": (1080, 1920), "4K": (2160, 3840), "8K": (4320, 7680), "tiny": (17, 3)}
    expected = {
        "fast": {"360p": 2, "480p": 3, "720p": 5, "1080p": 7, "4K": 14, "8K": 29, "tiny": 1},
        "balanced": {"360p": 1, "480p": 2, "720p": 3, "1080p": 4, "4K": 8, "8K": 16, "tiny": 1},
        "best": {"360p": 1, "480p": 1, "720p": 1, "1080p": 1, "4K": 2, "8K": 4, "tiny": 1},
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
    with pytest.raises(ValueError, match="quality must be one of auto, fast, balanced, best"):
        Interpolator(Sliding(), quality="superb")
