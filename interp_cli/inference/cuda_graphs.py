"""CUDA graphs: what a network launches on a GPU is recorded once and replayed as a whole.

A network of many small operations (`flow`: 1,200 a pair) keeps a fast GPU waiting for Python. A
recording reads and writes the same memory every time, so what goes in is copied there, and what
comes out is copied from there. Nothing depends on it: where anything at all goes wrong, or a
recording makes anything else than the network itself, the network runs without from then on, and a
note says so.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from interp_cli.devices import DTYPES
from interp_cli.models.pytree import tree_map
from interp_cli.options import Precision

# A shape that comes once or twice, such as the last batch, is not worth recording.
_CALLS_BEFORE = 2
# So many replays of each recording are compared with the network itself.
_CHECKS = 2
_MAX_RECORDINGS = 12
# Of larger pictures the operations take longer than launching them; an estimate, to be measured.
# Sixteen frames of 854x480 are recorded.
_MAX_PIXELS = 1 << 23
# Sums on a GPU come in any order, so that a few places may round, or decide, another way.
_ALIKE, _MAX_UNLIKE = 0.005, 1e-3


class Recording(NamedTuple):
    """What was recorded.

    Attributes:
        inputs: What a replay reads, in the form of the function's arguments.
        outputs: What it writes, in the form of its result.
        replay: Run it.
    """

    inputs: tuple[Any, ...]
    outputs: Any
    replay: Callable[[], None]


class Recorder(Protocol):
    """Makes recordings."""

    def __call__(self, function: Callable[..., Any], inputs: tuple[Any, ...]) -> Recording:
        """Record what the function does with tensors of these shapes; its result is not valid."""

    def is_ready(self) -> bool:
        """Whether it is safe, in this thread and now, to record or to replay."""

    def wait(self) -> None:
        """Return when no replay is under way any more."""


class CudaGraphs:
    """Calls functions of tensors, from recordings as soon as these are known to do the same.

    Attributes:
        count: Recordings so far.
        seconds: What making them took.
        notes: Why there are none any more, where that is so.
    """

    def __init__(self, device: torch.device, recorder: Recorder | None) -> None:
        """Begin without recordings.

        Args:
            device: Of the tensors, for messages.
            recorder: From `recorder_for`; `None`: functions are only called.
        """
        self.count, self.seconds = 0, 0.0
        self.notes: list[str] = []
        self._device = device
        self._recorder = recorder
        self._is_paused = False
        self._lock = threading.Lock()  # a recording's memory serves one call at a time
        self._calls: Counter[Any] = Counter()
        self._recordings: dict[Any, Recording] = {}

    def __call__(self, name: str, function: Callable[..., Any], *inputs: Any) -> Any:
        """Call a function, or replay what it did with tensors of the same shapes.

        Args:
            name: Of the function; it must always do the same.
            function: Of tensors in tuples in tuples; it returns such, too, and leaves its
                arguments as they are.
            inputs: Its arguments, the first of which is, or begins with, (N, C, H, W).

        Returns:
            What it returns, in memory that no later call changes.
        """
        first = next(_tensors(inputs))
        too_large = first.numel() > _MAX_PIXELS * first.shape[1]
        if self._recorder is None or self._is_paused or too_large:
            return function(*inputs)
        with self._lock:
            recorder = self._recorder  # another thread may have given up meanwhile
            if recorder is None or not recorder.is_ready():
                return function(*inputs)
            key = (name, *((t.shape, t.dtype) for t in _tensors(inputs)))
            self._calls[key] += 1
            try:
                recording = self._recording(recorder, key, function, inputs)
                made = None if recording is None else _replayed(recording, inputs)
            except Exception as error:  # noqa: BLE001 - whatever it is, the network still runs
                self._give_up(f"recording {name} failed ({_first_line(error)})")
                recording = None
            if recording is None:
                return function(*inputs)
            if self._calls[key] > _CALLS_BEFORE + _CHECKS:
                return made
            expected = function(*inputs)
            if not _is_alike(made, expected):
                self._give_up(f"a replay of {name} made something else")
            return expected

    def drop(self) -> bool:
        """Give up for want of memory; whether that frees any."""
        with self._lock:
            if not self._recordings:
                self._recorder = None
                return False
            self._give_up("memory ran out")
            return True

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Only call functions meanwhile, so that all operations can be watched."""
        self._is_paused = True
        try:
            yield
        finally:
            self._is_paused = False

    def _recording(
        self,
        recorder: Recorder,
        key: Any,
        function: Callable[..., Any],
        inputs: tuple[Any, ...],
    ) -> Recording | None:
        """The recording for these shapes, made if it is time to."""
        known = self._recordings.get(key)
        if known is not None:
            return known
        if self._calls[key] <= _CALLS_BEFORE or len(self._recordings) >= _MAX_RECORDINGS:
            return None
        begun = time.perf_counter()
        made = self._recordings[key] = recorder(function, inputs)
        # From now on counts how often it was replayed.
        self._calls[key] = _CALLS_BEFORE + 1
        self.count += 1
        self.seconds += time.perf_counter() - begun
        return made

    def _give_up(self, why: str) -> None:
        if self._recorder is not None:
            with suppress(RuntimeError):  # if the device itself has failed, the network will say so
                self._recorder.wait()
        self._recorder = None
        self._recordings.clear()
        self.notes[:] = [f"{self._device}: CUDA graphs are off, for {why}; it is slower without."]


def recorder_for(device: torch.device, precision: Precision) -> Recorder | None:
    """What records on a device; `None` where there is nothing, or INTERP_CUDA_GRAPHS is 0."""
    wanted = os.environ.get("INTERP_CUDA_GRAPHS", "1") != "0"
    return _CudaRecorder(device, precision) if device.type == "cuda" and wanted else None


class _CudaRecorder:
    """Captures CUDA graphs for one stream, that which is current when it is made.

    All graphs share their memory, for each has been replayed and its results have been copied
    before the next one begins.
    """

    def __init__(self, device: torch.device, precision: Precision) -> None:
        self._device, self._precision = device, precision
        self._own = torch.cuda.current_stream(device)
        self._aside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, function: Callable[..., Any], inputs: tuple[Any, ...]) -> Recording:
        # Weights that autocast keeps in half precision would be gone at the replay.
        cast = torch.autocast(
            "cuda", DTYPES[self._precision], enabled=self._precision != "fp32", cache_enabled=False
        )
        # A capture that fails leaves the stream aside as the current one: `own` is set back.
        with torch.cuda.device(self._device), torch.cuda.stream(self._own), cast:
            held = tree_map(torch.clone, inputs)
            # What libraries set up at first use must not be captured.
            self._aside.wait_stream(self._own)
            with torch.cuda.stream(self._aside):
                for _ in range(2):
                    function(*held)
            self._own.wait_stream(self._aside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(
                graph, self._pool, self._aside, capture_error_mode="thread_local"
            ):
                outputs = function(*held)
        return Recording(held, outputs, graph.replay)

    def is_ready(self) -> bool:
        # On another stream a replay would not wait for the one before.
        here = torch.cuda.current_stream(self._device) == self._own
        return here and not torch.cuda.is_current_stream_capturing()

    def wait(self) -> None:
        torch.cuda.synchronize(self._device)


def _replayed(recording: Recording, inputs: tuple[Any, ...]) -> Any:
    for held, given in zip(_tensors(recording.inputs), _tensors(inputs), strict=True):
        held.copy_(given)
    recording.replay()
    return tree_map(torch.clone, recording.outputs)


def _is_alike(made: Any, expected: Any) -> bool:
    """Whether results are the same but for rounding, in all but a few places."""
    for one, other in zip(_tensors(made), _tensors(expected), strict=True):
        if one.shape != other.shape or one.dtype != other.dtype:
            return False
        off = (one.float() - other.float()).abs() / (1 + other.float().abs())
        # Written so that what is no number is unlike.
        if float((~(off <= _ALIKE)).float().mean()) > _MAX_UNLIKE:
            return False
    return True


def _tensors(nested: Any) -> Iterator[Tensor]:
    """Tensors in tuples in tuples, in order."""
    if isinstance(nested, Tensor):
        yield nested
    else:
        for item in nested:
            yield from _tensors(item)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".") or type(error).__name__
