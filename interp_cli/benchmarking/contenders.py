"""Everything that can double a clip: models, classical methods and other programs."""

from __future__ import annotations

import shlex
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from interp_cli.errors import InterpError
from interp_cli.evaluation.baselines import BASELINES, MINTERPOLATE, Predictor
from interp_cli.inference.interpolator import Interpolator
from interp_cli.options import BenchOptions, DoubleOptions, EncodeOptions
from interp_cli.pipeline.double import double_video
from interp_cli.pipeline.job import Job
from interp_cli.video.encoding.encoders import choose_encoder
from interp_cli.video.ffmpeg import ffmpeg_path, file_url, input_arguments
from interp_cli.video.opening import open_video

__all__ = ["Contender", "count_frames", "create_contenders", "double_options", "load_interpolators"]

_FILTER = "minterpolate"


@dataclass(frozen=True, slots=True)
class Contender:
    """Something that doubles the clip, from file to file.

    Attributes:
        name: Name in tables.
        target: Output file.
        run: Function that makes the output file.
    """

    name: str
    target: Path
    run: Callable[[], object]


def double_options(options: BenchOptions) -> DoubleOptions:
    """The options of `double`, with the encoder that all contenders share."""
    return DoubleOptions(
        inference=options.inference,
        encode=EncodeOptions(encoder="libx264", preset=options.preset, crf=17),
        audio=False,
        overwrite=True,
    )


def load_interpolators(options: BenchOptions) -> dict[str, Interpolator]:
    """Load everything in `options.compare` that goes through the pipeline of `double`.

    Returns:
        Interpolators by name: other models, and the methods dis and blend.

    Raises:
        InterpError: A name is neither a method nor a model nor a file.
    """
    return {
        name: _load_interpolator(name, options)
        for name in dict.fromkeys(options.compare)
        if name != _FILTER
    }


def _load_interpolator(name: str, options: BenchOptions) -> Interpolator:
    if name in BASELINES:
        interpolator = Interpolator(_PredictorNet(BASELINES[name]), device="cpu", precision="fp32")
        interpolator.name = name
        return interpolator
    return Interpolator.from_options(replace(options.inference, model=name))


def create_contenders(
    source: Path, folder: Path, options: BenchOptions, interpolators: dict[str, Interpolator]
) -> list[Contender]:
    """The contenders that `options` name, in that order.

    Args:
        source: Clip to double.
        folder: Folder for the outputs.
        options: Names, command lines and the encoder's preset.
        interpolators: Loaded models and methods, from `load_interpolators`.
    """
    double = double_options(options)
    contenders: list[Contender] = []
    for name in dict.fromkeys(options.compare):
        target = folder / f"{len(contenders)}.mkv"
        run: Callable[[], object]
        if name == _FILTER:
            command = _minterpolate_command(source, target, double)
            run = _runner("ffmpeg's minterpolate", command, target)
        else:
            run = partial(double_video, source, target, double, interpolator=interpolators[name])
        contenders.append(Contender(name, target, run))
    for line in dict.fromkeys(options.compare_commands):
        target = folder / f"{len(contenders)}.mp4"
        places = {"{input}": str(source.absolute()), "{output}": str(target.absolute())}
        words = shlex.split(line)
        for place, path in places.items():
            words = [word.replace(place, path) for word in words]
        contenders.append(Contender(line, target, _runner(line, words, target)))
    return contenders


def count_frames(path: Path) -> int:
    """Frames in a video, counted without decoding them.

    Raises:
        OpenError: It is no video.
    """
    container, stream = open_video(path)
    with container:
        return sum(1 for packet in container.demux(stream) if packet.size)


def _minterpolate_command(source: Path, target: Path, options: DoubleOptions) -> list[str]:
    """The usual ffmpeg command line to double a frame rate, with the encoder of `double`."""
    with Job.open(source, target, options) as job:
        info, layout = job.info, job.pixel_format
    # The filter works in 8 bits.
    shallow = replace(layout, name="yuv420p") if layout.depth > 8 else layout
    encoder = choose_encoder(str(options.encode.encoder), shallow, options.encode)
    rate = info.frame_rate or 25
    command = [ffmpeg_path(), "-y", "-v", "error", "-nostdin"]
    command += [*input_arguments(source), "-map", f"0:{info.video_index}"]
    command += ["-vf", f"minterpolate=fps={2 * rate}:{MINTERPOLATE}"]
    command += ["-pix_fmt", encoder.pixel_format, "-c:v", encoder.name, *encoder.arguments]
    return [*command, file_url(target)]


def _runner(name: str, command: Sequence[str], target: Path) -> Callable[[], None]:
    """A function that runs another program, which must write `target`."""

    def run() -> None:
        target.unlink(missing_ok=True)  # some ask before they replace a file
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
            )
        except OSError as error:
            raise InterpError(
                f"{name}: cannot be started ({error.strerror}). Name a program that is here, or"
                " measure without it."
            ) from error
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines()]
        said = next((line for line in reversed(lines) if line), "it said nothing")
        if done.returncode or not target.is_file():
            what = f"exit code {done.returncode}" if done.returncode else "no output file"
            raise InterpError(
                f"{name}: failed with {what} ({said}). Try it by itself, or measure without it."
            )

    return run


class _PredictorNet(nn.Module):
    """A classical method in the place of a network; it works on 8-bit pictures.

    The pipeline calls it from several threads. Each thread gets its own instance, because the
    methods of OpenCV keep state.
    """

    supports_timestep = True

    def __init__(self, create: Callable[[], Predictor]) -> None:
        super().__init__()
        self._create = create
        self._own = threading.local()

    def size_multiple(self, height: int, width: int) -> int:
        """Any size."""
        return 1

    def forward(self, frame0: Tensor, frame1: Tensor, timestep: Tensor) -> Tensor:
        """Make one picture for each pair, (N, 3, H, W)."""
        if not hasattr(self._own, "predictor"):
            self._own.predictor = self._create()
        made = []
        for *pair, time in zip(frame0, frame1, timestep.flatten().tolist(), strict=True):
            pictures = [
                (frame * 255).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
                for frame in pair
            ]
            frames = [np.ascontiguousarray(picture) for picture in pictures]
            ((picture,),) = self._own.predictor.between(frames, [Fraction(time)])
            made.append(torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1) / 255)
        return torch.stack(made)
