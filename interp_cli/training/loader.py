"""Batches, prepared by threads ahead of the steps that use them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from interp_cli.devices import available_cores
from interp_cli.training.distributed import ProcessGroup
from interp_cli.training.losses import Labeller
from interp_cli.training.options import TrainOptions
from interp_cli.training.state import step_seed
from interp_cli.training.synthetic import with_synthetic
from interp_cli.training.triplets import TripletBatch

Cut = Callable[[Sequence[int], int], TripletBatch]

# Batches that are prepared ahead, with one thread. Each further thread adds one.
_AHEAD = 3
_LATE = 0.75
_MAX_THREADS = 8


def crop_at(options: TrainOptions, fraction: float) -> int:
    """Side of the crops in pixels when `fraction` of the run is done."""
    return options.final_crop if options.final_crop and fraction >= _LATE else options.crop


def synthetic_at(options: TrainOptions, fraction: float) -> float:
    """Fraction of synthetic motion in a batch when `fraction` of the run is done."""
    if options.synthetic_end is None:
        return options.synthetic
    return options.synthetic + fraction * (options.synthetic_end - options.synthetic)


def loader_threads(device: torch.device, world_size: int, *, resident: bool = False) -> int:
    """Number of threads that prepare batches.

    On a CPU one is enough and takes least time from the step. A GPU leaves all cores to them. If it
    cuts resident footage itself, each thread needs memory on it, so there are two.
    """
    if device.type == "cpu":
        return 1
    if resident:
        return 2
    return max(1, min(_MAX_THREADS, available_cores() // world_size - 1))


class TripletLoader:
    """Prepares the batches of consecutive steps in threads.

    Triplets are numbered through all steps, so a batch depends on the number of its step alone.
    """

    def __init__(
        self,
        cut: Cut,
        options: TrainOptions,
        group: ProcessGroup,
        device: torch.device,
        first_step: int,
        fraction_at: Callable[[int], float],
        label: Labeller | None = None,
        threads: int = 1,
    ) -> None:
        """Create a loader whose first batch is that of `first_step`.

        Args:
            cut: Function from triplet numbers and a crop size to a batch.
            options: Batch size, crops, seed and the fraction of synthetic motion.
            group: Processes that share each batch.
            device: Device of the batches.
            first_step: Number of the first step.
            fraction_at: Function from a step to the fraction of the run that is done.
            label: Labeller of the objective. Default `None`: no labels.
            threads: Number of threads. Default 1.
        """
        self._cut = cut
        self._options = options
        self._group = group
        self._device = device
        self._fraction_at = fraction_at
        self._label = label
        self._step = first_step
        self._waiting: deque[tuple[Future[TripletBatch], int, float]] = deque()
        self._pool = ThreadPoolExecutor(threads, "interp-triplets")
        self._ahead = _AHEAD + threads - 1

    def __enter__(self) -> TripletLoader:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def next(self) -> TripletBatch:
        """Return the batch of the next step."""
        while len(self._waiting) < self._ahead:
            fraction = self._fraction_at(self._step)
            made = self._pool.submit(self._make, self._step, fraction)
            self._waiting.append((made, self._step, fraction))
            self._step += 1
        made, step, fraction = self._waiting.popleft()
        batch = made.result().to(self._device)
        return batch if self._draws_ahead else self._drawn(batch, step, fraction)

    @property
    def _draws_ahead(self) -> bool:
        """Whether the threads draw synthetic motion; on a GPU they would compete with the step."""
        return self._device.type == "cpu"

    def _make(self, step: int, fraction: float) -> TripletBatch:
        own = self._options.batch // self._group.world_size
        first = step * self._options.batch + self._group.rank * own
        crop = crop_at(self._options, fraction)
        batch = self._cut(range(first, first + own), crop)
        if self._label is not None:
            labels = self._label(_pictures(batch), fraction)
            batch.labels.update({name: torch.from_numpy(array) for name, array in labels.items()})
        return self._drawn(batch, step, fraction) if self._draws_ahead else batch

    def _drawn(self, batch: TripletBatch, step: int, fraction: float) -> TripletBatch:
        seed = step_seed(self._options.seed, step, self._group.rank)
        return with_synthetic(batch, synthetic_at(self._options, fraction), seed)


def _pictures(batch: TripletBatch) -> NDArray[np.uint8]:
    """The frames of a batch as pictures, (N, 3, S, S, 3) uint8 RGB."""
    frames = torch.stack((batch.frame0, batch.target, batch.frame1), 1).permute(0, 1, 3, 4, 2)
    return np.asarray(frames.mul(255).round().to(torch.uint8).cpu().numpy(), np.uint8)
