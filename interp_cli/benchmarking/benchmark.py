"""Measure the speed of every stage, of the whole, and of whatever it is compared with.

All contenders run in turns (ours, theirs, ours, theirs …), so that a machine that slows down
meanwhile slows all of them. The report has medians, with the slowest and the fastest round.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple

import av
import cv2
import numpy as np
import numpy.typing as npt
import torch

from interp_cli.atomic import temporary_folder
from interp_cli.benchmarking.contenders import (
    Contender,
    count_frames,
    create_contenders,
    double_options,
    load_interpolators,
)
from interp_cli.benchmarking.peak_memory import MemoryWatch
from interp_cli.benchmarking.report import (
    BenchReport,
    ClipSpeed,
    ContenderSpeed,
    GraphUse,
    NetworkSpeed,
    PeakMemory,
    Spread,
    StageSpeed,
)
from interp_cli.benchmarking.stages import (
    NETWORK,
    Stages,
    core_seconds,
    matrix_teraflops,
    time_stage,
)
from interp_cli.devices import available_cores
from interp_cli.errors import InterpError, OpenError
from interp_cli.inference.interpolator import Interpolator
from interp_cli.options import BenchOptions, DoubleOptions
from interp_cli.pipeline.double import DoubleResult, double_video
from interp_cli.video.ffmpeg import file_url, input_arguments, run_ffmpeg
from interp_cli.video.probe import probe

__all__ = ["benchmark", "draw_clip"]

# A drawn clip is so long that doubling it takes about this time.
_RUN_SECONDS = 8.0
_MIN_FRAMES, _MAX_FRAMES = 3, 240

Progress = Callable[[int, int, str], None]


def benchmark(
    options: BenchOptions | None = None,
    *,
    interpolator: Interpolator | None = None,
    progress: Progress | None = None,
) -> BenchReport:
    """Measure the speed of every stage alone, of the whole, and of what it is compared with.

    The model is loaded and warm before anything is timed. Decoders and encoders are started again
    for every run, as they are in use.

    Args:
        options: Model, sizes, clip and contenders; the defaults of `BenchOptions` if `None`.
        interpolator: Loaded model; `None` loads the one that `options.inference` describes.
        progress: Callback that gets, before each timed run, the number of finished runs, the
            number of all runs, and a description of the next one.

    Raises:
        InterpError: The model, the device or the input cannot be used, or an encoder or another
            program failed.
    """
    options = options or BenchOptions()
    interpolator = interpolator or Interpolator.from_options(options.inference)
    interpolators = load_interpolators(options)
    names = ["interp", *options.compare, *options.compare_commands]
    clips = 1 if options.input is not None else len(options.sizes)
    total = clips * options.rounds * (len(dict.fromkeys(names)) + 1)
    done = 0

    def report(what: str) -> None:
        nonlocal done
        if progress is not None:
            progress(done, total, what)
        done += 1

    peak_teraflops = matrix_teraflops(interpolator.device, interpolator.precision)
    with temporary_folder("interp-bench-") as name:
        doubling = double_options(options)
        bench = _Bench(
            interpolator, interpolators, options, doubling, Path(name), peak_teraflops, report
        )
        found = tuple(bench.time(path, label) for path, label in bench.clips())
    return BenchReport(
        model=interpolator.name,
        parameters=sum(parameter.numel() for parameter in interpolator.net.parameters()),
        device=str(interpolator.device),
        precision=interpolator.precision,
        threads=torch.get_num_threads(),
        rounds=options.rounds,
        peak_teraflops=peak_teraflops,
        cuda_graphs=_graph_use(interpolator),
        clips=found,
    )


def _graph_use(interpolator: Interpolator) -> GraphUse | None:
    cuda_graphs = interpolator.runner.cuda_graphs
    if interpolator.device.type != "cuda":
        return None
    return GraphUse(cuda_graphs.count, cuda_graphs.seconds, tuple(cuda_graphs.notes))


@dataclass(frozen=True)
class _Bench:
    """What all clips have in common.

    Attributes:
        interpolator: Model that is measured.
        interpolators: Other models and methods, from `load_interpolators`.
        options: Options of the benchmark.
        doubling: Options of `double`.
        folder: Folder for clips and outputs.
        peak_teraflops: See `BenchReport`.
        report: Callback before each timed run.
    """

    interpolator: Interpolator
    interpolators: dict[str, Interpolator]
    options: BenchOptions
    doubling: DoubleOptions
    folder: Path
    peak_teraflops: float
    report: Callable[[str], None]

    def clips(self) -> Iterator[tuple[Path, str]]:
        """Each clip with its label."""
        if self.options.input is not None:
            path, seconds = self.options.input, self.options.seconds
            clip = path if seconds is None else _beginning(path, seconds, self.folder)
            yield clip, path.name
            return
        for width, height in self.options.sizes:
            frames = self.options.frames or self._bearable_frames(width, height)
            clip = draw_clip(self.folder / f"{width}x{height}.mp4", width, height, frames)
            yield clip, "drawn"

    def _bearable_frames(self, width: int, height: int) -> int:
        """The number of frames that take `_RUN_SECONDS` to double, estimated from a few."""
        few = max(_MIN_FRAMES, 1 + self.interpolator.batch_size(height, width))
        clip = draw_clip(self.folder / "few.mp4", width, height, few)
        seconds = 0.0
        for _ in range(2):  # the first time may set up what is set up once
            result = self._double(clip)
            seconds = result.seconds
            if seconds > _RUN_SECONDS / 2:
                break
        return max(_MIN_FRAMES, min(int(few * _RUN_SECONDS / seconds), _MAX_FRAMES))

    def _double(self, clip: Path) -> DoubleResult:
        return double_video(
            clip, self.folder / "interp.mkv", self.doubling, interpolator=self.interpolator
        )

    def time(self, clip: Path, label: str) -> ClipSpeed:
        """Run all contenders and all stages in turns.

        The first run of each contender warms it up and is not timed. Memory is watched in the
        first run of `interp`.
        """
        info = probe(clip)
        title = f"{label} {info.width}x{info.height}"
        ours = Contender("interp", self.folder / "interp.mkv", lambda: self._double(clip))
        others = create_contenders(clip, self.folder, self.options, self.interpolators)
        for each in others:  # a wrong command line fails at once
            if each.name not in self.interpolators:
                each.run()
        with MemoryWatch(
            self.interpolator.device
        ) as watch:  # before other models leave memory behind
            result = self._double(clip)
        for each in others:
            if each.name in self.interpolators:
                each.run()
        if result.synthesized == 0:
            raise InterpError(
                f"{clip}: no two neighbouring frames show one scene in motion, so there is nothing"
                " to measure. Choose another clip."
            )
        stages = Stages(self.interpolator, clip, ours.target, self.doubling, result)
        runs: list[list[_Run]] = []
        stage_rounds: list[list[tuple[float, float]]] = []
        for _ in range(self.options.rounds):
            runs.append([])
            for contender in (ours, *others):
                self.report(f"{title}: {contender.name}")
                runs[-1].append(_timed(contender))
            self.report(f"{title}: each stage alone")
            device = self.interpolator.device
            stage_rounds.append([time_stage(stage, device) for stage in stages.stages])
        found = tuple(
            StageSpeed(stage.name, Spread.of([fps for fps, _ in its]), median(c for _, c in its))
            for stage, its in zip(stages.stages, zip(*stage_rounds, strict=True), strict=True)
        )
        encode = self.doubling.encode
        return ClipSpeed(
            clip=label,
            width=info.width,
            height=info.height,
            frames_in=result.frames_in,
            synthesized=result.synthesized,
            encoder=f"{encode.encoder} preset {encode.preset} crf {encode.crf}",
            stages=found,
            network=self._network_speed(stages, found),
            memory=PeakMemory(watch.host_bytes, watch.children_bytes, watch.device_bytes),
            contenders=_speeds((ours, *others), runs),
            cores=available_cores() if self.interpolator.device.type == "cpu" else None,
        )

    def _network_speed(self, stages: Stages, found: tuple[StageSpeed, ...]) -> NetworkSpeed:
        """The network's row in its own unit: pairs instead of frames out."""
        fps = next(each.fps for each in found if each.name == NETWORK)
        pairs = next(each.units_a_frame for each in stages.stages if each.name == NETWORK)
        teraflops = 2 * stages.gmac_per_pair * pairs * fps.median / 1000
        return NetworkSpeed(
            batch=stages.batch,
            pairs_per_second=Spread(pairs * fps.median, pairs * fps.low, pairs * fps.high),
            gmac_per_pair=stages.gmac_per_pair,
            teraflops=teraflops,
            fraction_of_peak=teraflops / self.peak_teraflops,
        )


class _Run(NamedTuple):
    """One run of a contender: output frames, output frames a second, core-seconds per frame."""

    frames: int
    fps: float
    core_seconds: float


def _timed(contender: Contender) -> _Run:
    used, begun = core_seconds(), time.perf_counter()
    contender.run()
    seconds, cost = time.perf_counter() - begun, core_seconds() - used
    frames = count_frames(contender.target)
    if frames == 0:
        raise InterpError(f"{contender.name}: its output holds no frame. Measure without it.")
    return _Run(frames, frames / seconds, cost / frames)


def _speeds(
    contenders: Sequence[Contender], stage_rounds: list[list[_Run]]
) -> tuple[ContenderSpeed, ...]:
    return tuple(
        ContenderSpeed(
            name=contender.name,
            frames_out=its[-1].frames,
            fps=Spread.of([run.fps for run in its]),
            times_interp=Spread.of(
                [run.fps / ours.fps for run, (ours, *_) in zip(its, stage_rounds, strict=True)]
            ),
            core_seconds=median(run.core_seconds for run in its),
        )
        for contender, its in zip(contenders, zip(*stage_rounds, strict=True), strict=True)
    )


def _beginning(path: Path, seconds: float, folder: Path) -> Path:
    """The first seconds of a video as a file that everything can take, its packets untouched."""
    info = probe(path)
    clip = folder / "beginning.mkv"
    source = ["-t", str(seconds), *input_arguments(path), "-map", f"0:{info.video_index}"]
    done = run_ffmpeg("-y", "-v", "error", *source, "-c", "copy", file_url(clip))
    if done.returncode:
        said = done.stderr.strip().partition("\n")[0]
        raise OpenError(f"{path}: its beginning cannot be copied ({said}). Measure the whole file.")
    return clip


def draw_clip(path: Path, width: int, height: int, frames: int) -> Path:
    """Write a texture that drifts, with a square of another that crosses it; H.264, 25/s."""
    side = min(width, height) // 3
    drift_px = max(2, width // 320)  # a frame; the square moves four times as far, to and fro
    ground = _texture(0, height, width + drift_px * frames)
    square = _texture(1, side, side)
    room = width - side
    with av.open(file_url(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(frames):
            picture = ground[:, drift_px * index : drift_px * index + width].copy()
            left = room - abs(room - 4 * drift_px * index % (2 * room))
            picture[side : 2 * side, left : left + side] = square
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def _texture(seed: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    """Large soft patches with a fine grain; patches alone would be too easy for an encoder."""
    random = np.random.default_rng(seed)
    patches = random.uniform(40, 215, (6, 10, 3)).astype(np.float32)
    picture = cv2.resize(patches, (width, height), interpolation=cv2.INTER_CUBIC)
    picture += random.normal(0, 8, (height, width, 1)).astype(np.float32)
    return np.clip(picture, 0, 255).astype(np.uint8)
