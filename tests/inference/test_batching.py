import cv2
import torch

from interp_cli.inference.interpolator import Interpolator
from interp_cli.inference.process import worker_pool


def test_batches_shrink_as_frames_grow(averaging):
    interpolator = Interpolator(averaging, device="cpu")
    assert interpolator.batch_size(144, 256) == 4
    assert interpolator.batch_size(1080, 1920) == 1
    assert Interpolator(averaging, batch=3).batch_size(1080, 1920) == 3
    assert interpolator.runner.budget.tile_size(1080, 1920) is None
    tiled = Interpolator(averaging, tile=512).runner.budget
    assert tiled.tile_size(1080, 1920) == 512
    assert tiled.tile_size(400, 500) is None


def test_memory_that_the_first_steps_keep_still_counts_as_free(averaging, monkeypatch):
    """A GPU has less free memory after a step, which the next one does not need anew."""
    free = iter((3 << 30, 1 << 30))
    monkeypatch.setattr("interp_cli.inference.batching.free_bytes", lambda device: next(free))
    budget = Interpolator(averaging, device="cpu", precision="fp32").runner.budget
    affordable = int((3 << 30) * 0.5 / 2600)
    assert [budget.tile_size(affordable // 700, 700) for _ in range(3)] == [None] * 3
    assert budget.tile_size(affordable // 700 + 1, 700) is not None


def test_steps_at_once_share_the_cores(averaging):
    threads, opencv_threads = torch.get_num_threads(), cv2.getNumThreads()
    with worker_pool(2) as pool:
        encoded = [pool.submit(torch.get_num_threads).result() for _ in range(4)]
    assert set(encoded) == {max(1, threads // 2)}
    assert (torch.get_num_threads(), cv2.getNumThreads()) == (threads, opencv_threads)
    interpolator = Interpolator(averaging, device="cpu")
    assert interpolator.workers(144, 256) == min(4, threads)
    assert interpolator.workers(8640, 15360) == 1  # for want of memory
