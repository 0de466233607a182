"""How fast the network and the whole are, and FFmpeg's minterpolate on the same clip.

Whatever is compared is timed in turns (ours, theirs, ours, theirs …), so that a machine that slows
down meanwhile slows both. Medians are reported, with the slowest and the fastest round.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.utils.flop_counter import FlopCounterMode

from interp_cli.baselines import MINTERPOLATE
from interp_cli.errors import VideoError
from interp_cli.interpolator import Interpolator
from interp_cli.options import BenchOptions, DoubleOptions, EncodeOptions
from interp_cli.pipeline import double_video
from interp_cli.video.colour import picture_format
from interp_cli.video.encoders import choose_encoder
from interp_cli.video.ffmpeg import ffmpeg_path
from interp_cli.video.probe import probe
from interp_cli.video.reader import VideoReader

__all__ = ["BenchReport", "ClipSpeed", "DoublerSpeed", "NetworkSpeed", "Spread", "benchmark"]

USUAL_SIZES = ((640, 360), (1280, 720), (1920, 1080))

# Encoder of every doubled clip, with its preset and quality stated rather than left to ffmpeg,
# whose own defaults differ from ours.
_ENCODE = EncodeOptions(encoder="libx264", preset="medium", crf=17)

# A round of the network lasts at least this long, so that the clock's grain does not show.
_ROUND_SECONDS = 0.3

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Spread:
    """Measurements of the same thing: their median, the lowest, the highest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Sum up at least one value."""
        return cls(median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class NetworkSpeed:
    """The network alone, on tensors that are on the device.

    Attributes:
        width: Columns.
        height: Rows.
        batch: Pairs a step.
        pairs_per_second: Middle frames made.
        gmac_per_pair: Multiplications with addition, in thousand millions, of convolutions and
            matrix products (padding counts, element-wise work does not).
    """

    width: int
    height: int
    batch: int
    pairs_per_second: Spread
    gmac_per_pair: float


@dataclass(frozen=True, slots=True)
class DoublerSpeed:
    """A whole way from file to file.

    Attributes:
        name: `interp`, or what it is compared with.
        frames_out: Frames in its output.
        frames_per_second: Frames out a second, decoding and encoding included.
        times_interp: Its frames a second over ours, of the same round.
    """

    name: str
    frames_out: int
    frames_per_second: Spread
    times_interp: Spread


@dataclass(frozen=True, slots=True)
class ClipSpeed:
    """One clip doubled by everything that is compared.

    Attributes:
        clip: The file's name, or `drawn`.
        width: Columns.
        height: Rows.
        frames_in: Frames of the clip.
        synthesized: Middle frames that the network made; cuts and repeats need none.
        encoder: Encoder of every output, with its preset and quality.
        rows: `interp` first.
    """

    clip: str
    width: int
    height: int
    frames_in: int
    synthesized: int
    encoder: str
    rows: tuple[DoublerSpeed, ...]


@dataclass(frozen=True, slots=True)
class BenchReport:
    """What `benchmark` found.

    Attributes:
        model: The model's name.
        parameters: Numbers that were trained.
        device: Where it ran.
        precision: In which arithmetic.
        threads: Threads of the network on the CPU.
        repeats: Rounds behind each median.
        network: The network alone, one a size.
        clips: From file to file, one a clip.
    """

    model: str
    parameters: int
    device: str
    precision: str
    threads: int
    repeats: int
    network: tuple[NetworkSpeed, ...]
    clips: tuple[ClipSpeed, ...]

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain dictionaries and lists, for JSON."""
        return asdict(self)


def benchmark(
    options: BenchOptions | None = None,
    *,
    interpolator: Interpolator | None = None,
    progress: Progress | None = None,
) -> BenchReport:
    """Time the network alone, and the whole beside what it is compared with.

    The model is loaded and warm before anything is timed; decoders and encoders start anew each
    time, as they do in use.

    Args:
        options: Model, sizes, clip, what to compare with.
        interpolator: One that is already loaded; otherwise `options.inference` describes it.
        progress: Called with rounds done and their number.

    Raises:
        InterpError: Model, device or input cannot be used, or an encoder failed.
    """
    options = options or BenchOptions()
    interpolator = interpolator or Interpolator.from_options(options.inference)
    with tempfile.TemporaryDirectory(prefix="interp-bench-") as name:
        folder = Path(name)
        clips: list[tuple[Path, str]] = []
        sizes = options.sizes
        if options.input is not None:
            clips = [(options.input, options.input.name)]
            sizes = sizes or (_size_of(options.input),)
        else:
            sizes = sizes or USUAL_SIZES
            clips = [
                (
                    _draw_clip(folder / f"{width}x{height}.mp4", width, height, options.frames),
                    "drawn",
                )
                for width, height in sizes
            ]
        doublers = 1 + len(options.against)
        total = options.repeats * (len(sizes) + len(clips) * doublers)
        done = 0

        def count_up() -> None:
            nonlocal done
            done += 1
            if progress is not None:
                progress(done, total)

        network = tuple(
            _time_network(interpolator, width, height, options.repeats, count_up)
            for width, height in sizes
        )
        speeds = tuple(
            _time_clip(interpolator, path, label, folder, options, count_up)
            for path, label in clips
        )
    return BenchReport(
        model=interpolator.name,
        parameters=sum(parameter.numel() for parameter in interpolator.net.parameters()),
        device=str(interpolator.device),
        precision=interpolator.precision,
        threads=torch.get_num_threads(),
        repeats=options.repeats,
        network=network,
        clips=speeds,
    )


def _time_network(
    interpolator: Interpolator, width: int, height: int, repeats: int, count_up: Callable[[], None]
) -> NetworkSpeed:
    batch = interpolator.batch_size(height, width)
    random = torch.Generator().manual_seed(0)
    frame0, frame1 = (
        torch.rand((batch, 3, height, width), generator=random).to(interpolator.device)
        for _ in range(2)
    )
    # The first call also sets up what is set up once.
    with FlopCounterMode(display=False) as counter:
        interpolator.middle(frame0, frame1)
    _synchronize(interpolator.device)
    speeds = []
    for _ in range(repeats):
        pairs = 0
        seconds = 0.0
        started = time.perf_counter()
        while seconds < _ROUND_SECONDS:
            interpolator.middle(frame0, frame1)
            _synchronize(interpolator.device)
            pairs += batch
            seconds = time.perf_counter() - started
        speeds.append(pairs / seconds)
        count_up()
    return NetworkSpeed(
        width=width,
        height=height,
        batch=batch,
        pairs_per_second=Spread.of(speeds),
        gmac_per_pair=counter.get_total_flops() / 2e9 / batch,
    )


def _time_clip(
    interpolator: Interpolator,
    path: Path,
    label: str,
    folder: Path,
    options: BenchOptions,
    count_up: Callable[[], None],
) -> ClipSpeed:
    """Double a clip with everything that is compared, in turns."""
    double = DoubleOptions(
        inference=options.inference,
        encode=_ENCODE,
        audio=False,
        overwrite=True,
        end_seconds=options.seconds,
    )
    frames_in = synthesized = 0

    def run_interp() -> int:
        nonlocal frames_in, synthesized
        result = double_video(
            path, folder / "interp.mkv", options=double, interpolator=interpolator
        )
        frames_in, synthesized = result.frames_in, result.synthesized
        return result.frames_out

    runs: dict[str, Callable[[], int]] = {"interp": run_interp}
    if "minterpolate" in options.against:
        command = _minterpolate_command(path, folder / "minterpolate.mkv", options.seconds)
        runs["minterpolate"] = lambda: _run_ffmpeg(command)
    frames_out: dict[str, int] = {}
    rounds: list[dict[str, float]] = []
    for _ in range(options.repeats):
        speeds = {}
        for name, run in runs.items():
            started = time.perf_counter()
            frames_out[name] = run()
            speeds[name] = frames_out[name] / (time.perf_counter() - started)
            count_up()
        rounds.append(speeds)
    width, height = _size_of(path)
    return ClipSpeed(
        clip=label,
        width=width,
        height=height,
        frames_in=frames_in,
        synthesized=synthesized,
        encoder=f"{_ENCODE.encoder} preset {_ENCODE.preset} crf {_ENCODE.crf}",
        rows=tuple(
            DoublerSpeed(
                name=name,
                frames_out=frames_out[name],
                frames_per_second=Spread.of([speeds[name] for speeds in rounds]),
                times_interp=Spread.of([speeds[name] / speeds["interp"] for speeds in rounds]),
            )
            for name in runs
        ),
    )


def _minterpolate_command(source: Path, target: Path, seconds: float | None) -> list[str]:
    """What people type to double a frame rate with ffmpeg, with the encoder that we use."""
    with VideoReader(source) as reader:
        info = reader.info
        layout = picture_format(next(iter(reader)).image, info.colour)
    # The filter works in 8 bits.
    shallow = replace(layout, name="yuv420p") if layout.depth > 8 else layout
    encoder = choose_encoder(str(_ENCODE.encoder), shallow, _ENCODE)
    rate = info.frame_rate or 25
    command = [ffmpeg_path(), "-y", "-v", "error", "-nostdin", "-progress", "pipe:1"]
    if seconds is not None:
        command += ["-t", str(seconds)]
    command += ["-i", f"file:{source}", "-map", f"0:{info.video_index}"]
    command += ["-vf", f"minterpolate=fps={2 * rate}:{MINTERPOLATE}"]
    command += ["-pix_fmt", encoder.pixel_format, "-c:v", encoder.name, *encoder.arguments]
    return [*command, str(target)]


def _run_ffmpeg(command: Sequence[str]) -> int:
    """Run ffmpeg with its progress on stdout; return the frames it wrote."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    counts = re.findall(r"^frame=\s*(\d+)", done.stdout, re.MULTILINE)
    if done.returncode or not counts or counts[-1] == "0":
        reason = done.stderr.strip().partition("\n")[0] or "it wrote no frame"
        raise VideoError(f"ffmpeg's minterpolate failed ({reason}). Measure without --against.")
    return int(counts[-1])


def _size_of(path: Path) -> tuple[int, int]:
    info = probe(path)
    return info.width, info.height


def _draw_clip(path: Path, width: int, height: int, frames: int) -> Path:
    """A texture that drifts, with a square of another texture that crosses it; H.264."""
    side = min(width, height) // 3
    ground = _texture(0, height, width + 4 * frames)
    square = _texture(1, side, side)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(frames):
            picture = ground[:, 4 * index : 4 * index + width].copy()
            left = (width - side) * index // frames
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


def _synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
