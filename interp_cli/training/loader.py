"""Batches ready before a step asks for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from interp_cli.devices import available_cores
from interp_cli.training.losses import Labeller
from interp_cli.training.options import TrainOptions
from interp_cli.training.ranks import Ranks
from interp_cli.training.state import step_seed
from interp_cli.training.synthetic import with_synthetic
from interp_cli.training.triplets import TripletBatch

Cut = Callable[[Sequence[int], int], TripletBatch]

# Batches that are being made or wait; each thread keeps its own busy.
_AHEAD = 3
_LATE = 0.75
_MAX_THREADS = 8


def crop_at(options: TrainOptions, share: float) -> int:
    """Side of the crops when `share` of the run is done."""
    return options.late_crop if options.late_crop and share >= _LATE else options.crop


def synthetic_at(options: TrainOptions, share: float) -> float:
    """Share of drawn motion in a batch when `share` of the run is done."""
    if options.synthetic_end is None:
        return options.synthetic
    return options.synthetic + share * (options.synthetic_end - options.synthetic)


def loader_threads(device: torch.device, world: int, *, resident: bool = False) -> int:
    """How many threads make batches.

    On a CPU one is enough and takes least from the step; a GPU leaves all cores to them, but where
    it cuts resident footage itself, each of them takes of its memory.
    """
    if device.type == "cpu":
        return 1
    if resident:
        return 2
    return max(1, min(_MAX_THREADS, available_cores() // world - 1))


class TripletLoader:
    """Makes the batches of consecutive steps, ahead of them, in threads.

    The triplets of a step are numbered on from those of the step before, so a batch depends on
    the number of its step alone.
    """

    def __init__(
        self,
        cut: Cut,
        options: TrainOptions,
        ranks: Ranks,
        device: torch.device,
        first_step: int,
        share_at: Callable[[int], float],
        label: Labeller | None = None,
        threads: int = 1,
    ) -> None:
        """Begin to make the batch of `first_step`.

        Args:
            cut: Makes the batch of these numbers at this size.
            options: Batch size, crops, seed and the share of drawn motion.
            ranks: Which part of each batch is this process's.
            device: Where batches go.
            first_step: Number of the first step.
            share_at: Share of the run that is done at a step.
            label: Adds to the pictures what the objective needs.
            threads: Number of threads.
        """
        self._cut = cut
        self._options = options
        self._ranks = ranks
        self._device = device
        self._share_at = share_at
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
        """The batch of the next step."""
        while len(self._waiting) < self._ahead:
            share = self._share_at(self._step)
            made = self._pool.submit(self._make, self._step, share)
            self._waiting.append((made, self._step, share))
            self._step += 1
        made, step, share = self._waiting.popleft()
        batch = made.result().to(self._device)
        return batch if self._draws_ahead else self._drawn(batch, step, share)

    @property
    def _draws_ahead(self) -> bool:
        """Whether threads draw motion, too: elsewhere they would compete for the device."""
        return self._device.type == "cpu"

    def _make(self, step: int, share: float) -> TripletBatch:
        own = self._options.batch // self._ranks.world
        first = step * self._options.batch + self._ranks.rank * own
        crop = crop_at(self._options, share)
        batch = self._cut(range(first, first + own), crop)
        if self._label is not None:
            labels = self._label(_pictures(batch), share)
            batch.labels.update({name: torch.from_numpy(array) for name, array in labels.items()})
        return self._drawn(batch, step, share) if self._draws_ahead else batch

    def _drawn(self, batch: TripletBatch, step: int, share: float) -> TripletBatch:
        seed = step_seed(self._options.seed, step, self._ranks.rank)
        return with_synthetic(batch, synthetic_at(self._options, share), seed)


def _pictures(batch: TripletBatch) -> NDArray[np.uint8]:
    """The frames of a batch as pictures, (N, 3, S, S, 3) uint8 RGB."""
    frames = torch.stack((batch.frame0, batch.target, batch.frame1), 1).permute(0, 1, 3, 4, 2)
    return np.asarray(frames.mul(255).round().to(torch.uint8).cpu().numpy(), np.uint8)
