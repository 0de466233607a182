#!/usr/bin/env python
"""Double a short and a long clip, and show that speed and memory do not depend on the length.

    scripts/measure_growth.py docs/growth.png [--frames 200 20000] [--model NAME] [--json]

The clips are drawn, in a small size, so that the long one is a matter of minutes. A first, short
run warms up and is not shown.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from interp_cli import DoubleOptions, InterpError, Interpolator, double_video
from interp_cli.benchmarking.benchmark import draw_clip
from interp_cli.benchmarking.contenders import load_interpolators
from interp_cli.benchmarking.doctor import describe_machine
from interp_cli.benchmarking.peak_memory import MemoryWatch
from interp_cli.benchmarking.plot import COLOURS, check_chart, new_figure, save_figure
from interp_cli.options import DEFAULT_MODEL, BenchOptions, InferenceOptions

# The speed is that of parts of the clip, none so short that a batch shows.
PARTS, SHORTEST_PART = 20, 25
LINE_COLOURS = (COLOURS["interp"], COLOURS["bottleneck"])


@dataclass(frozen=True)
class Course:
    """The course of doubling a clip.

    Attributes:
        frames: Length of the clip in frames.
        fps: Input frames a second, for each part of the clip.
        core_ms: Processor time of this process per input frame in milliseconds, for each part.
        done_percent: Finished part of the clip at each sample of the memory, in percent.
        own_megabytes: Resident memory of this process at each sample, in MB.
        encoder_megabytes: Resident memory of the encoder's process at each sample, in MB.
    """

    frames: int
    fps: list[float]
    core_ms: list[float]
    done_percent: list[float]
    own_megabytes: list[float]
    encoder_megabytes: list[float]


def main() -> None:
    """Measure, draw and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("chart", type=Path, help="the picture to make")
    parser.add_argument("--frames", type=int, nargs=2, default=(200, 20000), help="two lengths")
    parser.add_argument("--size", default="160x90", help="of the clips (default: 160x90)")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="weights, or dis or blend")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    try:
        check_chart(arguments.chart)
        options = BenchOptions(
            inference=InferenceOptions(device=arguments.device), compare=(arguments.model,)
        )
        interpolator = load_interpolators(options)[arguments.model]
        with tempfile.TemporaryDirectory(prefix="interp-growth-") as folder:
            clips = [
                draw_clip(Path(folder) / f"{frames}.mp4", width, height, frames)
                for frames in arguments.frames
            ]
            measure(clips[0], interpolator, arguments.frames[0])
            courses = [
                measure(clip, interpolator, frames)
                for clip, frames in zip(clips, arguments.frames, strict=True)
            ]
        about = f"{interpolator.name} at {arguments.size} on {describe_machine()}"
        save_figure(chart(courses, about), arguments.chart)
    except InterpError as error:
        raise SystemExit(f"error: {error}") from error
    if arguments.json:
        print(json.dumps({"about": about, "courses": [asdict(c) for c in courses]}))
    else:
        Console(width=120).print(table(courses, about))


def measure(clip: Path, interpolator: Interpolator, frames: int) -> Course:
    """Double a clip and watch."""
    begun, used = time.monotonic(), time.process_time()
    seconds, costs = np.zeros(frames + 1), np.zeros(frames + 1)

    def note(done: int, total: int | None) -> None:
        seconds[done // 2] = time.monotonic() - begun  # two frames out for each frame in
        costs[done // 2] = time.process_time() - used

    target = clip.with_name("doubled.mkv")
    with MemoryWatch(interpolator.device, every_seconds=0.2) as watch:
        double_video(
            clip, target, DoubleOptions(overwrite=True), interpolator=interpolator, progress=note
        )
    # A frame that none was made after is done with the one before.
    seconds, costs = np.maximum.accumulate(seconds), np.maximum.accumulate(costs)
    places = (
        np.linspace(0, frames, max(4, min(PARTS, frames // SHORTEST_PART)) + 1).round().astype(int)
    )
    spans = list(pairwise(places.tolist()))
    at = np.interp([s.seconds for s in watch.samples], seconds, np.arange(frames + 1))
    return Course(
        frames=frames,
        fps=[float((b - a) / (seconds[b] - seconds[a])) for a, b in spans],
        core_ms=[float(1000 * (costs[b] - costs[a]) / (b - a)) for a, b in spans],
        done_percent=[float(100 * each / frames) for each in at],
        own_megabytes=[s.host_bytes / 1e6 for s in watch.samples],
        encoder_megabytes=[s.children_bytes / 1e6 for s in watch.samples],
    )


def chart(courses: list[Course], about: str) -> Figure:
    """Speed, cost and memory, each over the part of the clip that is done."""
    figure = new_figure("Cost grows with the work and nothing else", about, (13.6, 4.6))
    panels = figure.subplots(1, 3)
    for panel, heading, values, places in (
        (panels[0], "Frames in a second", "fps", None),
        (panels[1], "Core-ms a frame in", "core_ms", None),
        (panels[2], "Resident memory, MB", "own_megabytes", "done_percent"),
    ):
        for course, colour in zip(courses, LINE_COLOURS, strict=True):
            y = getattr(course, values)
            x = getattr(course, places) if places else middles(len(y))
            panel.plot(x, y, color=colour, label=f"{course.frames:,} frames")
        panel.set_title(heading, loc="left", fontsize=11, fontweight="bold")
        panel.set_xlabel("% of the clip done")
        panel.set_xlim(0, 100)
        highest = max(max(getattr(course, values)) for course in courses)
        panel.set_ylim(0, 1.1 * highest)
        panel.grid(color="#e2e5ea")
        panel.spines[["top", "right"]].set_visible(False)
        panel.legend(frameon=False, loc="lower right")
    return figure


def middles(parts: int) -> list[float]:
    """Where the middle of each part stands, in percent."""
    return [100 * (number + 0.5) / parts for number in range(parts)]


def table(courses: list[Course], about: str) -> Table:
    """The first and the last quarter of each clip side by side."""
    made = Table(title=about)
    made.add_column("clip")
    for heading in ("frames/s", "core-ms a frame", "memory, MB", "encoder, MB"):
        made.add_column(heading, justify="right")
    for course in courses:
        places = np.array(course.done_percent)
        for name, part, chosen in (
            ("its first quarter", slice(None, len(course.fps) // 4), places < 25),
            ("its last quarter", slice(-(len(course.fps) // 4), None), places >= 75),
        ):
            made.add_row(
                f"{course.frames:,} frames, {name}",
                f"{np.median(course.fps[part]):.1f}",
                f"{np.median(course.core_ms[part]):.1f}",
                f"{np.array(course.own_megabytes)[chosen].max(initial=0):.0f}",
                f"{np.array(course.encoder_megabytes)[chosen].max(initial=0):.0f}",
            )
    return made


if __name__ == "__main__":
    main()
