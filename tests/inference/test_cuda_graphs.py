"""When a network is recorded, and that a recording never makes another picture than the network.

No GPU is needed: a recorder that keeps tensors as a CUDA graph keeps memory stands for one.
"""

import inspect
from collections import Counter
from itertools import pairwise
from typing import NamedTuple

import pytest
import torch
from networks import Blur

from interp_cli.inference import cuda_graphs as cuda_graphs
from interp_cli.inference.cuda_graphs import CudaGraphs, Recording
from interp_cli.inference.interpolator import Interpolator
from interp_cli.models.pytree import tree_map
from interp_cli.models.registry import create_model

CPU = torch.device("cpu")


class Recorder:
    """Its replays run the function on what is held and overwrite what they wrote before."""

    def __init__(self, *, replay=True, ready=True, error=None):
        self.recorded = 0
        self.replays = 0
        self.waits = 0
        self.ready, self.error, self.does_replay = ready, error, replay

    def __call__(self, function, inputs):
        if self.error:
            raise self.error
        self.recorded += 1
        held = tree_map(torch.clone, inputs)
        outputs = tree_map(torch.clone, function(*held))

        def replay():
            self.replays += 1
            if self.does_replay:
                made = tree_map(torch.clone, function(*held))
                for old, new in zip(
                    cuda_graphs._tensors(outputs), cuda_graphs._tensors(made), strict=True
                ):
                    old.copy_(new)

        return Recording(held, outputs, replay)

    def is_ready(self):
        return self.ready

    def wait(self):
        self.waits += 1


class Ends(NamedTuple):
    double: torch.Tensor
    rest: tuple[torch.Tensor, ...]


def doubled(calls):
    def function(pair, other):
        calls["double"] += 1
        return Ends(pair[0] * 2, (pair[0] + other, pair[1]))

    return function


def inputs(value, size=4):
    picture = torch.full((1, 3, size, size), float(value))
    return (picture, picture + 1), picture * 10


def test_what_comes_again_is_recorded_checked_and_then_replayed():
    recorder, calls = Recorder(), Counter()
    made = CudaGraphs(CPU, recorder)
    results = [made("double", doubled(calls), *inputs(n)) for n in range(8)]
    assert (recorder.recorded, recorder.replays) == (1, 6)
    # Two before, once to record, two to compare, six by replays.
    assert calls["double"] == 2 + 1 + 2 + 6
    for n, result in enumerate(results):  # of which none was overwritten by those after it
        assert isinstance(result, Ends)
        assert result.double.unique().tolist() == [2 * n]
        assert [t.unique().tolist() for t in result.rest] == [[11 * n], [n + 1]]
    assert (made.count, made.notes) == (1, [])
    assert made.seconds > 0


def test_each_function_and_shape_has_a_recording_of_its_own_up_to_a_number(monkeypatch):
    monkeypatch.setattr(cuda_graphs, "_MAX_RECORDINGS", 3)
    recorder, calls = Recorder(), Counter()
    made = CudaGraphs(CPU, recorder)
    for _ in range(4):
        for name, size in (("a", 4), ("a", 8), ("b", 4), ("b", 8)):
            result = made(name, doubled(calls), *inputs(size, size))
            assert result.double.shape == (1, 3, size, size)
            assert result.double.unique().tolist() == [2 * size]
    assert recorder.recorded == made.count == 3


def test_large_pictures_are_not_recorded(monkeypatch):
    monkeypatch.setattr(cuda_graphs, "_MAX_PIXELS", 64)
    recorder, calls = Recorder(), Counter()
    made = CudaGraphs(CPU, recorder)
    for size in (8, 9):
        for _ in range(4):
            made("double", doubled(calls), *inputs(1, size))
    assert recorder.recorded == 1


@pytest.mark.parametrize(
    ("recorder", "note"),
    [
        (Recorder(replay=False), "cpu: CUDA graphs are off, for a replay of double made something"),
        (
            Recorder(error=RuntimeError("operation not permitted.\nCompile with …")),
            "cpu: CUDA graphs are off, for recording double failed (operation not permitted); it",
        ),
    ],
)
def test_whatever_goes_wrong_the_network_runs_without(recorder, note):
    calls = Counter()
    made = CudaGraphs(CPU, recorder)
    for n in range(8):
        assert made("double", doubled(calls), *inputs(n)).double.unique().tolist() == [2 * n]
    assert len(made.notes) == 1
    assert made.notes[0].startswith(note)
    assert recorder.waits == 1
    assert recorder.replays <= 2


def test_what_is_no_number_is_not_alike():
    one = torch.ones(1, 3, 4, 4)
    assert cuda_graphs._is_alike((one,), (one + 0.001,))
    assert not cuda_graphs._is_alike((one,), (one + 0.05,))
    assert not cuda_graphs._is_alike((one,), (one * torch.nan,))
    assert not cuda_graphs._is_alike((one * torch.nan,), (one,))
    assert not cuda_graphs._is_alike((one,), (one.half(),))


def test_nothing_is_recorded_where_it_is_not_safe_or_not_wanted():
    calls = Counter()
    for recorder in (Recorder(ready=False), Recorder()):
        made = CudaGraphs(CPU, recorder)
        with made.paused() if recorder.ready else torch.no_grad():
            for n in range(5):
                assert made("double", doubled(calls), *inputs(n)).double.unique() == 2 * n
        assert (made.count, made.notes) == (0, [])


def flow_with(recorder):
    torch.manual_seed(0)
    interpolator = Interpolator(create_model("flow"), device="cpu", precision="fp32", tile="off")
    interpolator.runner.cuda_graphs = CudaGraphs(CPU, recorder)
    return interpolator


def test_a_video_comes_out_as_without():
    """Features of a frame serve both of its pairs, so a replay must not overwrite them."""
    frames = torch.rand(9, 1, 3, 64, 88, generator=torch.Generator().manual_seed(0))
    results = []
    for recorder in (None, Recorder()):
        inference = flow_with(recorder).runner
        encoded = [inference.encode(frame) for frame in frames]
        pairs = [(a, b, inference.estimate_flow(a, b)) for a, b in pairwise(encoded)]
        results.append([inference.synthesis_params(*pair, [(0.25, 0.5)])[0] for pair in pairs])
        if recorder is not None:
            assert recorder.recorded == inference.cuda_graphs.count == 3
            assert recorder.replays == (9 - 2) + (8 - 2) + (2 * 8 - 2)
            assert inference.cuda_graphs.notes == []
    for without, with_graphs in zip(*results, strict=True):
        for one, other in zip(without, with_graphs, strict=True):
            torch.testing.assert_close(one, other)


def test_when_memory_runs_out_recordings_go_first():
    recorder = Recorder()
    interpolator = flow_with(recorder)
    frames = torch.rand(2, 1, 3, 64, 88, generator=torch.Generator().manual_seed(0))
    for _ in range(4):
        expected = interpolator.middle(*frames)
    assert recorder.recorded == 3
    synthesize, net = interpolator.net.synthesize, interpolator.net
    failures = iter([True])

    def hungry(*tensors):
        if next(failures, False):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return synthesize(*tensors)

    net.synthesize = hungry
    # Of another shape, so that it is not replayed.
    made = interpolator.between(*(f.expand(2, -1, -1, -1) for f in frames), [(0.5,)] * 2)
    torch.testing.assert_close(made[1], expected, atol=1e-4, rtol=0)
    note = "cpu: CUDA graphs are off, for memory ran out; it is slower without."
    assert interpolator.warnings == [note]
    assert interpolator.runner.cuda_graphs.drop() is False


def test_only_our_own_networks_are_recorded(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "interp_cli.inference.runner.recorder_for", lambda *about: asked.append(about) or Recorder()
    )
    Interpolator(Blur(), device="cpu")
    assert asked == []
    Interpolator("fusion", device="cpu")
    assert len(asked) == 1


def test_a_cpu_records_nothing_and_a_variable_says_no(monkeypatch):
    assert cuda_graphs.recorder_for(CPU, "fp32") is None
    monkeypatch.setenv("INTERP_CUDA_GRAPHS", "0")
    assert cuda_graphs.recorder_for(torch.device("cuda"), "fp16") is None


@pytest.mark.needs_cuda
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_gpu_makes_the_same_with_and_without(precision):
    frames = torch.rand(2, 12, 1, 3, 128, 160, generator=torch.Generator().manual_seed(0))
    frames = torch.nn.functional.avg_pool2d(frames.flatten(0, 2), 7, 1, 3).view_as(frames)
    interpolator = Interpolator("flow", device="cuda", precision=precision, tile="off")
    made = [interpolator.middle(*pair) for pair in zip(*frames, strict=True)]
    assert interpolator.warnings == []
    assert interpolator.runner.cuda_graphs.count == 3
    with interpolator.runner.cuda_graphs.paused():
        expected = [interpolator.middle(*pair) for pair in zip(*frames, strict=True)]
    for one, other in zip(made, expected, strict=True):
        assert (one - other).abs().mean() < 1e-3


def test_a_capture_is_warmed_up_aside_and_the_stream_is_set_back(monkeypatch):
    """The order of calls of CUDA's recorder, on streams that only note them."""
    events = []

    class Stream:
        def __init__(self, name):
            self.name = name

        def wait_stream(self, other):
            events.append(f"{self.name} waits for {other.name}")

    class Within:
        def __init__(self, name):
            self.name = name

        def __enter__(self):
            events.append(f"begin {self.name}")

        def __exit__(self, *_):
            events.append(f"end {self.name}")

    class Graph:
        def replay(self):
            events.append("replay")

    own, takes = Stream("own"), inspect.signature(torch.cuda.graph)

    def capture(*given, **named):
        bound = takes.bind(*given, **named).arguments
        assert isinstance(bound["cuda_graph"], Graph)
        assert bound["pool"] == (0, 1)
        return Within(f"capture on {bound['stream'].name}")

    fakes = {
        "current_stream": lambda device: own,
        "Stream": lambda device: Stream("aside"),
        "graph_pool_handle": lambda: (0, 1),
        "device": lambda device: Within("device"),
        "stream": lambda stream: Within(stream.name),
        "CUDAGraph": Graph,
        "graph": capture,
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    monkeypatch.setattr(torch, "autocast", lambda *_, cache_enabled, **__: Within("cast"))

    def function(picture):
        events.append("call")
        return (picture * 2,)

    recorder = cuda_graphs.recorder_for(torch.device("cuda"), "fp16")
    recording = recorder(function, (torch.ones(1, 3, 2, 2),))
    recording.replay()
    assert recording.outputs[0].unique() == 2
    warm_up = ["aside waits for own", "begin aside", "call", "call", "end aside"]
    assert events == [
        *("begin device", "begin own", "begin cast", *warm_up, "own waits for aside"),
        *("begin capture on aside", "call", "end capture on aside"),
        *("end cast", "end own", "end device", "replay"),
    ]
