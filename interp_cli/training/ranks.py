"""Several processes that share each step of training.

Started by `torchrun`, a process joins the group that the environment names. Otherwise the calling
process becomes rank 0 and starts the others itself, so that its progress callback and its Ctrl-C
work as with one process. On CPUs every rank computes with one thread: two such ranks took 0.28 s
for a step that took one to six seconds on two threads beside a busy loader, since the threads of
one process wait for each other at every layer.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

import cv2
import torch
import torch.distributed as dist
from torch import Tensor

from interp_cli.devices import available_cores
from interp_cli.errors import TrainingError

# The others wait while rank 0 prepares footage. A rank that ends is noticed at once, without this.
_PATIENCE = timedelta(hours=12)
_JOIN_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Ranks:
    """Which of how many processes this one is."""

    rank: int = 0
    world: int = 1

    @classmethod
    def of_environment(cls) -> Ranks:
        """What `torchrun` says in the environment; without it, the only one."""
        return cls(int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)))

    @property
    def leads(self) -> bool:
        """Whether this is the rank that decides, writes and reports."""
        return self.rank == 0

    def agree(self, *values: float) -> tuple[float, ...]:
        """Rank 0's values, in every rank."""
        if self.world == 1:
            return values
        shared = torch.tensor(values, dtype=torch.float64)
        dist.broadcast(shared, 0)
        return tuple(shared.tolist())

    def total(self, values: Tensor) -> Tensor:
        """Sum of every rank's values (a tensor on the CPU), in every rank."""
        if self.world > 1:
            dist.all_reduce(values)
        return values


def count_ranks(wanted: int | Literal["auto"], device: str, batch: int) -> int:
    """How many ranks to start where `torchrun` started none.

    Args:
        wanted: As given by the user; `auto` is one a core on a CPU, else one.
        device: `cpu`, `cuda:1`, ….
        batch: Triplets a step, to be shared out evenly.

    Raises:
        TrainingError: The device cannot be shared.
    """
    if wanted == "auto":
        most = available_cores() if device == "cpu" else 1
        return next(n for n in range(min(most, batch), 0, -1) if batch % n == 0)
    if wanted > 1 and device != "cpu":
        raise TrainingError(
            f"ranks share a CPU; for {wanted} {device} devices start with torchrun."
        )
    return wanted


def launched() -> bool:
    """Whether `torchrun` (or its like) started this process."""
    return "WORLD_SIZE" in os.environ and "RANK" in os.environ


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """Join the group that `torchrun` set up."""
    own = Ranks.of_environment()
    with _group(own.rank, own.world, "env://", device) as ranks:
        yield ranks


@contextmanager
def started(
    world: int, follow: Callable[..., object], arguments: Sequence[object]
) -> Iterator[Ranks]:
    """Start the other ranks on this machine's CPU and be rank 0.

    Args:
        world: Number of ranks.
        follow: What the others run: a function of a module, called with their `Ranks` and
            `arguments`.
        arguments: Must be picklable.

    Raises:
        TrainingError: Another rank ended early.
    """
    if world == 1:
        yield Ranks()
        return
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="interp-ranks-") as folder:
        store = f"file://{Path(folder) / 'store'}"
        others = [
            context.Process(target=_follow, args=(rank, world, store, follow, tuple(arguments)))
            for rank in range(1, world)
        ]
        for process in others:
            process.start()
        try:
            with _one_thread(), _group(0, world, store, torch.device("cpu")) as ranks:
                yield ranks
        except RuntimeError as error:
            lost = [p for p in others if p.exitcode]
            if lost:
                raise TrainingError(
                    f"a training process ended with code {lost[0].exitcode}; the last checkpoint is"
                    " good: go on with --resume, with fewer --ranks where memory ran out."
                ) from error
            raise
        finally:
            for process in others:
                process.join(_JOIN_SECONDS)
                if process.is_alive():
                    process.terminate()
                    process.join()
                process.close()


def _follow(
    rank: int, world: int, store: str, follow: Callable[..., object], arguments: tuple[object, ...]
) -> None:
    """Body of another rank: rank 0 alone decides when to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with _one_thread(), _group(rank, world, store, torch.device("cpu")) as ranks:
        follow(ranks, *arguments)


@contextmanager
def _group(rank: int, world: int, store: str, device: torch.device) -> Iterator[Ranks]:
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(
        backend, init_method=store, rank=rank, world_size=world, timeout=_PATIENCE
    )
    try:
        yield Ranks(rank, world)
    finally:
        dist.destroy_process_group()


@contextmanager
def _one_thread() -> Iterator[None]:
    threads, cv_threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        cv2.setNumThreads(cv_threads)
