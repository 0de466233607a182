"""Processes that share a step start together and never outlive rank 0."""

import multiprocessing
import os

import pytest
import torch

from interp_cli.errors import TrainingError
from interp_cli.training.distributed import ProcessGroup, count_processes, start_processes


class Exits:
    """Ends the process that unpickles it."""

    def __reduce__(self):
        return os._exit, (3,)


def test_an_interrupt_ends_processes_that_wait_for_rank_0():
    """They ignore SIGINT and SIGTERM, and the sum never comes about."""
    started = ()
    with (
        pytest.raises(KeyboardInterrupt),
        start_processes(2, ProcessGroup.sum, (torch.zeros(1),)),
    ):
        started = multiprocessing.active_children()
        raise KeyboardInterrupt
    assert len(started) == 1
    assert multiprocessing.active_children() == []


def test_a_process_that_cannot_start_is_named():
    """Rank 0 would wait half a day for it to join."""
    with (
        pytest.raises(TrainingError, match="ended with code 3 before the first step"),
        start_processes(2, ProcessGroup.sum, (Exits(),)),
    ):
        pass


def test_processes_add_up_what_they_have():
    with start_processes(2, ProcessGroup.sum, (torch.ones(2),)) as group:
        assert group == ProcessGroup(0, 2)
        assert group.sum(torch.tensor([1.0, 2.0])).tolist() == [2, 3]


def test_processes_share_a_batch_evenly():
    assert count_processes(1, "cpu", 3) == 1
    assert 8 % count_processes("auto", "cpu", 8) == 0
    assert count_processes("auto", "cpu", 1) == 1
    assert count_processes("auto", "cuda", 8) == 1
    with pytest.raises(TrainingError, match="torchrun"):
        count_processes(2, "cuda", 8)
