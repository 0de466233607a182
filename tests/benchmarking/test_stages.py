import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import clips
import pytest
import torch
from children import LIMIT_SECONDS

from interp_cli.benchmarking import stages
from interp_cli.benchmarking.stages import NETWORK, Stage, Stages, matrix_teraflops, time_stage
from interp_cli.inference.interpolator import Interpolator
from interp_cli.inference.runner import ModelRunner
from interp_cli.options import DoubleOptions, EncodeOptions
from interp_cli.pipeline.double import double_video
from interp_cli.pipeline.synthesizer import Synthesizer

CPU = torch.device("cpu")
WIDTH, HEIGHT = clips.SIZE
PLANES = WIDTH * HEIGHT * 3 // 2


class OneConvolution(torch.nn.Module):
    """3x3, 6 to 3 channels, of which the multiplications are counted by hand."""

    supports_timestep = False

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(6, 3, 3, padding=1, bias=False)

    def size_multiple(self, height: int, width: int) -> int:
        return 1

    def forward(
        self, frame0: torch.Tensor, frame1: torch.Tensor, timestep: torch.Tensor
    ) -> torch.Tensor:
        return self.layer(torch.cat((frame0, frame1), 1))


def taken_apart(clip: Path, folder: Path, model: torch.nn.Module | str | None = None) -> Stages:
    interpolator = Interpolator(model or OneConvolution(), device="cpu", precision="fp32", batch=2)
    options = DoubleOptions(encode=EncodeOptions(encoder="libx264"), audio=False)
    target = folder / "out.mkv"
    result = double_video(clip, target, options, interpolator=interpolator)
    return Stages(interpolator, clip, target, options, result)


def test_every_stage_does_its_part_of_the_work(h264_clip: Path, tmp_path: Path) -> None:
    apart = taken_apart(h264_clip, tmp_path)
    # Of 12 frames come 24, of which 11 are made.
    assert {each.name: each.units_a_frame for each in apart.stages} == {
        "decode": 0.5,
        "look for cuts": 0.5,
        "planes to RGB": 0.5,
        NETWORK: 11 / 24,
        "middles to planes": 11 / 24,
        "encode": 1,
    }
    done = {each.name: each.run() for each in apart.stages}
    assert done == {
        "decode": 12,
        "look for cuts": 12,
        "planes to RGB": 3,  # the frames of two pairs
        NETWORK: 2,
        "middles to planes": 2,
        "encode": 24,
    }


def test_operations_are_counted(h264_clip: Path, tmp_path: Path) -> None:
    apart = taken_apart(h264_clip, tmp_path)
    assert apart.batch == 2
    assert apart.gmac_per_pair == pytest.approx(6 * 3 * 9 * WIDTH * HEIGHT / 1e9)


def test_a_network_with_motion_sees_each_frame_once(
    h264_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart = taken_apart(h264_clip, tmp_path, "flow")
    encode, moved = ModelRunner.encode, Synthesizer.moved_image
    calls: list[str] = []
    monkeypatch.setattr(ModelRunner, "encode", lambda *a: [calls.append("encode"), encode(*a)][1])
    monkeypatch.setattr(Synthesizer, "moved_image", lambda *a: [calls.append("make"), moved(*a)][1])
    done = {each.name: each.run() for each in apart.stages}
    assert calls == ["encode", "encode", "make", "make"]
    assert (done["planes to RGB"], done[NETWORK], done["middles to planes"]) == (3, 2, 2)
    assert apart.gmac_per_pair > 0.1


def test_opacity_is_taken_apart_too(tmp_path: Path) -> None:
    clip = clips.moving_clip(tmp_path / "alpha.mkv", frames=4, codec="ffv1", pix_fmt="yuva420p")
    interpolator = Interpolator("flow", device="cpu", precision="fp32", batch=2)
    options = DoubleOptions(encode=EncodeOptions(encoder="ffv1"))
    result = double_video(clip, tmp_path / "out.mkv", options, interpolator=interpolator)
    apart = Stages(interpolator, clip, tmp_path / "out.mkv", options, result)
    assert [each.run() for each in apart.stages] == [4, 4, 3, 2, 2, 8]


def test_as_many_steps_run_at_once_as_in_use(h264_clip: Path, tmp_path: Path) -> None:
    apart = taken_apart(h264_clip, tmp_path)
    workers = Interpolator(OneConvolution(), device="cpu", batch=2).workers(HEIGHT, WIDTH)
    assert {each.name: each.workers for each in apart.stages} == {
        "decode": 1,
        "look for cuts": 1,
        "planes to RGB": workers,
        NETWORK: workers,
        "middles to planes": workers,
        "encode": 1,
    }
    names: set[str] = set()

    def note() -> int:
        names.add(threading.current_thread().name)
        barrier.wait(LIMIT_SECONDS)  # goes on when both are here
        return 1

    barrier = threading.Barrier(2)
    fps, _ = time_stage(Stage("two", 1, note, workers=2), CPU)
    assert len(names) == 2
    assert fps > 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts what a process writes")
def test_the_pipe_carries_the_planes_once(h264_clip: Path, tmp_path: Path) -> None:
    encode = taken_apart(h264_clip, tmp_path).stages[-1]

    def written() -> int:
        lines = Path("/proc/self/io").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("wchar")))

    before = written()
    frames = encode.run()
    # Linux adds what a child wrote, which is the file.
    ours = written() - before - (tmp_path / "again-out.mkv").stat().st_size
    assert PLANES <= ours / frames < 1.05 * PLANES


def test_only_so_many_frames_are_kept_as_fit(
    h264_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "_KEPT_BYTES", 5 * PLANES)
    apart = taken_apart(h264_clip, tmp_path)
    assert [each.run() for each in apart.stages if each.name in ("decode", "encode")] == [5, 5]


def test_speed_is_in_frames_out(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(stages, "_ROUND_SECONDS", 0.1)
    monkeypatch.setattr(stages, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def wait() -> int:
        now[0] += 0.06
        return 10

    # 167 units a second, of which a frame out takes half a one.
    fps, _ = time_stage(Stage("wait", 0.5, wait), CPU)
    assert fps == pytest.approx(10 / 0.06 / 0.5)


def test_cost_is_processor_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "_ROUND_SECONDS", 0.1)

    def work() -> int:
        end = time.process_time() + 0.1
        while time.process_time() < end:
            pass
        return 1

    _, core_seconds = time_stage(Stage("work", 2, work), CPU)
    assert core_seconds == pytest.approx(0.2, abs=0.05)  # the system counts in hundredths


def test_a_matrix_product_is_two_operations_for_each_of_its_terms(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    speeds = iter([(5.0, 0.0), (10.0, 0.0), (7.0, 0.0)])
    monkeypatch.setattr(stages, "_MATRIX_SIDE", {"cpu": 64})
    monkeypatch.setattr(stages, "time_stage", lambda stage, device: next(speeds))
    assert matrix_teraflops(CPU, "fp32") == pytest.approx(10 * 2 * 64**3 / 1e12)


@pytest.mark.needs_cuda
def test_a_gpu_has_transfers(h264_clip: Path, tmp_path: Path) -> None:
    interpolator = Interpolator(OneConvolution(), device="cuda")
    options = DoubleOptions(audio=False)
    result = double_video(h264_clip, tmp_path / "out.mkv", options, interpolator=interpolator)
    apart = Stages(interpolator, h264_clip, tmp_path / "out.mkv", options, result)
    names = [each.name for each in apart.stages]
    assert names[-2:] == ["transfers", "encode"]
