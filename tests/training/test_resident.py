"""Cutting on the device gives what cutting from files gives."""

import threading
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from interp_cli.training import loader as loader_module
from interp_cli.training.distributed import ProcessGroup
from interp_cli.training.draws import TripletSampler
from interp_cli.training.loader import TripletLoader, crop_at, synthetic_at
from interp_cli.training.loop import train
from interp_cli.training.resident import ResidentTriplets, compressed, fits
from interp_cli.training.triplets import FrameInterpolationDataset, frames_of

CPU = torch.device("cpu")


@pytest.fixture
def fixed(shots, monkeypatch):
    """A sampler whose draws can be changed: `fixed(side, gain=1.0, ...)`."""

    def make(side, any_timestep=False, **changes):
        sampler = TripletSampler(shots, any_timestep=any_timestep)
        real = sampler.draw

        def draw(number, crop, attempt=0):
            drawn = real(number, crop)
            shot = shots[drawn.shot]
            places = tuple(
                (min(y, shot.height - side), min(x, shot.width - side)) for y, x in drawn.places
            )
            return replace(drawn, side=side, places=places, quality=0, **changes)

        monkeypatch.setattr(sampler, "draw", draw)
        return sampler

    return make


def test_crops_that_are_not_zoomed_are_equal(fixed):
    sampler = fixed(32, any_timestep=True, anything=True)
    here = FrameInterpolationDataset(sampler, 32).batch(range(40), 32)
    there = ResidentTriplets(sampler, CPU).batch(range(40), 32)
    torch.testing.assert_close(here.timestep, there.timestep)
    for name in ("frame0", "target", "frame1"):
        difference = (getattr(here, name) - getattr(there, name)).abs()
        # One is rounded to 8 bits, and gamma amplifies that in the dark.
        assert difference.mean() < 0.5 / 255
        assert difference.max() < 0.05


@pytest.mark.parametrize("side", [16, 24, 39])
def test_zoomed_crops_show_the_same_place(fixed, side):
    sampler = fixed(side, gain=1.0, gamma=1.0, anything=True)
    here = FrameInterpolationDataset(sampler, 32).batch(range(12), 32)
    there = ResidentTriplets(sampler, CPU).batch(range(12), 32)
    blurred = [torch.nn.functional.avg_pool2d(batch.target, 5, 1) for batch in (here, there)]
    assert (blurred[0] - blurred[1]).abs().mean() < 0.012
    wrong = (blurred[0] - blurred[1].flip(-1)).abs().mean()
    assert wrong > 0.05


def test_batches_have_the_shapes_and_ranges_that_are_promised(shots):
    sampler = TripletSampler(shots, any_timestep=True)
    batch = ResidentTriplets(sampler, CPU).batch(range(64), 24)
    assert batch.frame0.shape == batch.target.shape == batch.frame1.shape == (64, 3, 24, 24)
    assert batch.timestep.shape == (64, 1, 1, 1)
    assert batch.frame0.dtype == batch.timestep.dtype == torch.float32
    for frame in (batch.frame0, batch.target, batch.frame1):
        assert 0 <= frame.min() < 0.1 < 0.9 < frame.max() <= 1
    assert 0 < batch.timestep.min() < 0.5 < batch.timestep.max() < 1


def test_takes_places_where_something_moves(fixed):
    sampler = fixed(24, anything=False)
    batch = ResidentTriplets(sampler, CPU).batch(range(60), 24)
    moves = (batch.frame0 - batch.frame1).abs().mean((1, 2, 3)) * 255
    sampler = fixed(24, anything=True)
    batch = ResidentTriplets(sampler, CPU).batch(range(60), 24)
    anywhere = (batch.frame0 - batch.frame1).abs().mean((1, 2, 3)) * 255
    assert (moves > 2.5).float().mean() > (anywhere > 2.5).float().mean()


@pytest.mark.parametrize("cutter", ["files", "resident"])
def test_crops_do_not_lead_across_a_cut_that_was_overlooked(shots, tmp_path, cutter):
    shot = shots[0]
    planes = np.array(frames_of(shot))
    planes[: len(planes) // 2] //= 8  # dark frames, then bright ones
    planes[len(planes) // 2 :] = 255 - planes[len(planes) // 2 :] // 8
    planes.tofile(tmp_path / "cut.yuv")
    shot = replace(shot, file=tmp_path / "cut.yuv", offset=0)
    sampler = TripletSampler([shot], hard_mining=0.5)
    if cutter == "files":
        batch = FrameInterpolationDataset(sampler, 16).batch(range(60), 16)
    else:
        batch = ResidentTriplets(sampler, CPU).batch(range(60), 16)
    drawn = [sampler.draw(number, 16).frames for number in range(60)]
    across = np.mean([first < shot.frames // 2 <= last for first, _, last in drawn])
    apart = (batch.frame0 - batch.frame1).abs().mean((1, 2, 3)) > 0.4
    assert apart.float().mean() < across / 3 < 0.2


def test_hard_triplets_are_those_cut_from_files(fixed):
    sampler = fixed(24, gain=1.0, gamma=1.0, hardest=True)
    here = FrameInterpolationDataset(sampler, 24).batch(range(30), 24)
    there = ResidentTriplets(sampler, CPU).batch(range(30), 24)
    same = (here.target - there.target).abs().mean((1, 2, 3)) < 0.5 / 255
    assert same.float().mean() > 0.8  # both look at a few pixels of their own


@pytest.mark.parametrize("quality", [40, 80])
def test_compression_is_as_strong_as_jpeg(shots, quality):
    dataset = FrameInterpolationDataset(TripletSampler(shots), 64, plain=True)
    picture = dataset[0][0][1]
    _, data = cv2.imencode(
        ".jpg",
        picture[..., ::-1],
        [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111],
    )
    real = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1].astype(float)
    tensor = torch.from_numpy(picture).permute(2, 0, 1)[None] / 255
    ours = compressed(tensor, torch.tensor([quality]))[0].permute(1, 2, 0).numpy() * 255
    noise = np.abs(real - picture).mean()
    assert np.abs(ours - picture).mean() == pytest.approx(noise, rel=0.1)
    assert np.abs(ours - real).mean() < 0.55 * noise


def test_sizes_beside_multiples_of_eight_survive_compression():
    pictures = torch.rand(2, 3, 13, 22)
    assert compressed(pictures, torch.tensor([90, 50])).shape == (2, 3, 13, 22)
    flat = torch.full((1, 3, 13, 22), 0.5)
    torch.testing.assert_close(compressed(flat, torch.tensor([95])), flat, atol=0.01, rtol=0)


def test_trains_from_resident_footage(prepared_folder, options, tmp_path):
    result = train([prepared_folder], tmp_path, replace(options, steps=2, resident=True))
    assert result.last.triplets == 4


def test_only_a_gpu_keeps_footage_by_itself(shots):
    assert fits(shots, CPU) is False


def loader(cut, options, first_step=0, rank=0, world_size=1, label=None, threads=1):
    fraction_at = lambda step: step / 10  # noqa: E731
    return TripletLoader(
        cut, options, ProcessGroup(rank, world_size), CPU, first_step, fraction_at, label, threads
    )


def test_ranks_share_a_batch_and_threads_keep_the_order(shots, options):
    options = replace(options, batch=4)
    dataset = FrameInterpolationDataset(TripletSampler(shots), 16)
    with loader(dataset.batch, options, threads=3) as whole:
        batches = [whole.next() for _ in range(4)]
    for rank in range(2):
        with loader(dataset.batch, options, first_step=3, rank=rank, world_size=2) as part:
            own = part.next()
        torch.testing.assert_close(own.target, batches[3].target[2 * rank : 2 * rank + 2])


def test_the_share_of_drawn_motion_moves_evenly(options):
    options = replace(options, synthetic=0.4)
    assert synthetic_at(options, 0.5) == 0.4
    assert synthetic_at(replace(options, synthetic_end=0.0), 0.5) == pytest.approx(0.2)


@pytest.mark.parametrize("device", [CPU, torch.device("meta")])
def test_motion_is_drawn_once_wherever_it_is(shots, options, monkeypatch, device):
    """On a CPU by the threads, elsewhere when the batch is wanted."""
    drawn = []

    def draw(batch, fraction, seed):
        drawn.append((batch.target.device.type, fraction, threading.current_thread().name))
        return batch

    monkeypatch.setattr(loader_module, "with_synthetic", draw)
    dataset = FrameInterpolationDataset(TripletSampler(shots), 16)
    options = replace(options, synthetic=0.4)
    fraction_at = lambda step: 0.0  # noqa: E731
    with TripletLoader(
        dataset.batch, options, ProcessGroup(0, 1), device, 0, fraction_at
    ) as batches:
        assert batches.next().target.device.type == device.type
    kind, fraction, thread = drawn[0]
    assert (kind, fraction) == (device.type, 0.4)
    assert thread.startswith("interp-triplets") == (device.type == "cpu")


def test_crops_grow_late_in_the_run(shots, options):
    options = replace(options, final_crop=32)
    assert [crop_at(options, fraction) for fraction in (0.0, 0.74, 0.75, 1.0)] == [16, 16, 32, 32]
    dataset = FrameInterpolationDataset(TripletSampler(shots), 16)
    with loader(dataset.batch, options, first_step=7) as batches:
        assert [batches.next().target.shape[-1] for _ in range(2)] == [16, 32]


def test_labels_are_made_from_the_pictures(shots, options):
    def mean(frames, fraction):
        assert frames.dtype == np.uint8
        return {"mean": frames.mean((1, 2, 3, 4), dtype=np.float32) + fraction}

    dataset = FrameInterpolationDataset(TripletSampler(shots), 16)
    with loader(dataset.batch, options, first_step=5, label=mean) as batches:
        batch = batches.next()
    frames = torch.stack((batch.frame0, batch.target, batch.frame1), 1)
    torch.testing.assert_close(
        batch.labels["mean"], frames.mean((1, 2, 3, 4)) * 255 + 0.5, atol=1e-2, rtol=0
    )


def test_an_error_in_a_thread_reaches_the_step(options):
    def broken(numbers, crop):
        raise OSError("the disk is gone")

    with loader(broken, options) as batches, pytest.raises(OSError, match="disk is gone"):
        batches.next()
