"""Several processes that share each step of training.

A process that `torchrun` started joins the group that the environment describes. Otherwise the
calling process becomes rank 0 and starts the others itself, so that its progress callback and its
Ctrl-C work as with one process. On a CPU every process computes with one thread: two such processes
took 0.28 s for a step that took one to six seconds on two threads of one process with a busy
loader, since those threads wait for each other at every layer.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Literal

import cv2
import torch
import torch.distributed as dist
from torch import Tensor

from interp_cli.atomic import temporary_folder
from interp_cli.devices import available_cores
from interp_cli.errors import TrainingError
from interp_cli.training.stopping import STOP_SIGNALS

# The others wait while rank 0 prepares footage. A process that ends is noticed at once.
_TIMEOUT = timedelta(hours=12)
_JOIN_SECONDS = 20
# How long another process that has failed may take to end, so that its exit code is known.
_FAILED_SECONDS = 1


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """The processes of a run, as one of them sees them.

    Attributes:
        rank: Number of this process, from 0.
        world_size: Number of processes.
    """

    rank: int = 0
    world_size: int = 1

    @classmethod
    def of_environment(cls) -> ProcessGroup:
        """The group that `torchrun` describes in the environment; without it, one process."""
        return cls(int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)))

    @property
    def is_main(self) -> bool:
        """Whether this process decides, writes and reports."""
        return self.rank == 0

    def broadcast(self, *values: float) -> tuple[float, ...]:
        """Return rank 0's values in every process."""
        if self.world_size == 1:
            return values
        shared = torch.tensor(values, dtype=torch.float64)
        dist.broadcast(shared, 0)
        return tuple(shared.tolist())

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of all processes' values (a tensor on the CPU) in every process."""
        if self.world_size > 1:
            dist.all_reduce(values)
        return values


def count_processes(requested: int | Literal["auto"], device: str, batch: int) -> int:
    """Number of processes to start where `torchrun` started none.

    Args:
        requested: Number of processes; `auto` is one per core on a CPU, else one.
        device: Device type: `cpu`, `cuda` or `mps`.
        batch: Batch size in triplets, which the processes share evenly.

    Raises:
        TrainingError: Processes cannot share the device.
    """
    if requested == "auto":
        cores = available_cores() if device == "cpu" else 1
        return next(n for n in range(min(cores, batch), 0, -1) if batch % n == 0)
    if requested > 1 and device != "cpu":
        raise TrainingError(
            f"`processes` share a CPU. For {requested} {device} devices, start with torchrun."
        )
    return requested


def is_launched() -> bool:
    """Whether `torchrun` or a similar launcher started this process."""
    return "WORLD_SIZE" in os.environ and "RANK" in os.environ


@contextmanager
def join_process_group(device: torch.device) -> Iterator[ProcessGroup]:
    """Join the group that `torchrun` set up."""
    own = ProcessGroup.of_environment()
    with _initialized(own, "env://", device) as group:
        yield group


@contextmanager
def start_processes(
    world_size: int, target: Callable[..., object], arguments: Sequence[object]
) -> Iterator[ProcessGroup]:
    """Start the other processes on this machine's CPU and be rank 0.

    An exception in rank 0, such as an interrupt, ends the others at once: they may wait for it.

    Args:
        world_size: Number of processes.
        target: Function of a module that the others call with their `ProcessGroup` and
            `arguments`.
        arguments: Picklable arguments.

    Raises:
        TrainingError: Another process ended early.
    """
    if world_size == 1:
        yield ProcessGroup()
        return
    context = multiprocessing.get_context("spawn")
    with temporary_folder("interp-processes-") as folder:
        store = f"file://{Path(folder) / 'store'}"
        others: list[SpawnProcess] = []
        connections: list[Connection] = []
        patience = 0
        try:
            for rank in range(1, world_size):
                ours, theirs = context.Pipe(duplex=False)
                connections.append(ours)
                group = ProcessGroup(rank, world_size)
                process = context.Process(
                    target=_run_other, args=(group, store, theirs, target, tuple(arguments))
                )
                process.start()
                theirs.close()
                others.append(process)
            _await_start(others, connections)
            with _one_thread():
                main = ProcessGroup(0, world_size)
                with _initialized(main, store, torch.device("cpu")) as group:
                    yield group
            patience = _JOIN_SECONDS
        except RuntimeError as error:
            wait([process.sentinel for process in others], _FAILED_SECONDS)
            codes = [process.exitcode for process in others if process.exitcode]
            if not codes:
                raise
            raise TrainingError(
                f"a training process ended with code {codes[0]}. The last checkpoint is good:"
                " continue with `resume`, with fewer `processes` where memory ran out."
            ) from error
        finally:
            for connection in connections:
                connection.close()
            for process in others:
                _end(process, patience)


def _await_start(others: Sequence[SpawnProcess], connections: Sequence[Connection]) -> None:
    """Wait until every process is about to join the group, which waits for those that are not.

    Raises:
        TrainingError: A process ended before it got there.
    """
    for process, connection in zip(others, connections, strict=True):
        try:
            connection.recv()
        except EOFError:
            process.join()
            raise TrainingError(
                f"a training process ended with code {process.exitcode} before the first step."
                " A script that trains with several `processes` needs"
                ' `if __name__ == "__main__":` around the call.'
            ) from None


def _end(process: SpawnProcess, patience_seconds: float) -> None:
    """Wait for a process, and kill it if it has not ended by then: it ignores other signals."""
    process.join(patience_seconds)
    if process.is_alive():
        process.kill()
        process.join()
    process.close()


def _run_other(
    group: ProcessGroup,
    store: str,
    started: Connection,
    target: Callable[..., object],
    arguments: tuple[object, ...],
) -> None:
    """Body of a process other than rank 0, which alone decides when to stop."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    started.send(True)
    with _one_thread(), _initialized(group, store, torch.device("cpu")):
        target(group, *arguments)


def _exit_with_parent() -> None:
    """End this process when rank 0 was killed, which a process that joins its group never sees."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


@contextmanager
def _initialized(group: ProcessGroup, store: str, device: torch.device) -> Iterator[ProcessGroup]:
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(
        backend,
        init_method=store,
        rank=group.rank,
        world_size=group.world_size,
        timeout=_TIMEOUT,
    )
    try:
        yield group
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
