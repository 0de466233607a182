#!/usr/bin/env python
"""Measure the invariants of a model, and print them with their targets.

    scripts/measure_flow.py VAL… --videos CLIP_OR_FOLDER… [--model FILE] [--json]

1. Arbitrary timesteps: three frames of four are hidden in videos and predicted.
2. Captions, logos, black bars and thin lines, drawn static over a moving background.
3. Two equal frames give that frame.
4. Swapped frames and 1 - t give the same picture.
5. No triplet is much worse than averaging.
6. A fade does not disturb the motion: the loss of a middle if the later frame is darkened to 70%.

VAL are data sets that `interp eval` reads; 3 to 6 use them. The quality is `best` throughout.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from statistics import fmean
from typing import Any, get_args

from rich.console import Console
from rich.table import Table

from interp_cli import InterpError, Interpolator, VideoError
from interp_cli.benchmarking.doctor import describe_machine
from interp_cli.evaluation.baselines import Blend
from interp_cli.evaluation.invariants import (
    STILL_KINDS,
    faded_db,
    identity_db,
    spread_db,
    still_cases,
    still_error,
    swap_db,
    timestep_scores,
    triplets,
)
from interp_cli.evaluation.metrics import psnr
from interp_cli.options import DEFAULT_MODEL, Trajectory

VIDEO_ENDINGS = (".mp4", ".mkv", ".mov", ".webm", ".avi", ".ts", ".y4m")
MIDDLE = Fraction(1, 2)
TWO_TIMESTEPS = (0.25, 0.5)
FADE = 0.7
TARGETS = {
    "timesteps": "spread at most 1 dB",
    "still": "mean error below 1/255",
    "identity": "at least 50 dB",
    "swap": "at least 45 dB",
    "triplets": "none below -0.3 dB",
    "fade": "mean loss at most 0.5 dB",
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("val", type=Path, nargs="+", help="data sets")
    parser.add_argument("--videos", type=Path, nargs="*", default=[], help="videos or folders")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name or file of the weights")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--trajectory", default="cubic", choices=get_args(Trajectory))
    parser.add_argument("--groups", type=int, default=4, help="groups of 13 frames a video")
    parser.add_argument("--limit", type=int, help="triplets of each set, its first ones")
    parser.add_argument("--size", default="640x360", help="of what is drawn (default: 640x360)")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    arguments = parser.parse_args()
    try:
        found = measure(arguments)
    except InterpError as error:
        raise SystemExit(f"error: {error}") from error
    if arguments.json:
        print(json.dumps(found, indent=2))
    else:
        Console(width=120).print(table(found))


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """All measurements, by the names of `TARGETS`."""
    interpolator = Interpolator(arguments.model, arguments.device, trajectory=arguments.trajectory)
    clips = [clip for path in arguments.videos for clip in clips_of(path)]
    found: dict[str, Any] = {"model": interpolator.name, "machine": describe_machine()}
    identity: list[float] = []
    swaps: dict[float, list[float]] = {t: [] for t in TWO_TIMESTEPS}
    gains: dict[str, dict[str, float]] = {}
    losses: dict[str, list[float]] = {}
    for each in triplets(arguments.val, arguments.limit):
        identity.append(identity_db(interpolator, each.frame0))
        for timestep, row in swaps.items():
            row.append(swap_db(interpolator, each.frame0, each.frame1, timestep))
        ((blend,),) = Blend().between([each.frame0, each.frame1], [MIDDLE])
        ours = psnr(interpolator(each.frame0, each.frame1), each.target)
        gains.setdefault(each.set_name, {})[each.name] = ours - psnr(blend, each.target)
        losses.setdefault(each.set_name, []).append(ours - faded_db(interpolator, each, FADE))
    found["identity"] = {"pictures": len(identity), **min_and_mean(identity)}
    found["swap"] = {f"{t:g}": min_and_mean(row) for t, row in swaps.items()}
    found["triplets"] = {
        name: {"item": min(row, key=lambda item: row[item]), **min_and_mean(row.values())}
        for name, row in gains.items()
    }
    found["fade"] = {name: {"mean": fmean(row), "max": max(row)} for name, row in losses.items()}
    scores = []
    for clip in clips:
        try:
            scores.append(timestep_scores(interpolator, clip, arguments.groups))
        except VideoError as error:  # such as an interlaced one in a folder
            print(f"left out: {error}", file=sys.stderr)
    if scores:
        found["timesteps"] = {
            "all": spread_db(scores),
            "blend": spread_db(scores, "blend_db"),
            "videos": {each.name: spread_db([each]) for each in scores},
            "groups": sum(len(each.psnr_db[0.5]) for each in scores),
        }
    width, height = map(int, arguments.size.split("x"))
    found["still"] = measure_still(interpolator, (width, height))
    return found


def min_and_mean(values: Iterable[float]) -> dict[str, float]:
    """The two numbers that are compared with a target."""
    numbers = list(values)
    return {"min": min(numbers), "mean": fmean(numbers)}


def measure_still(interpolator: Interpolator, size: tuple[int, int]) -> dict[str, dict[str, float]]:
    """Mean and largest error for each kind of static object, in units of 1/255."""
    errors: dict[str, list[tuple[float, float]]] = {kind: [] for kind in STILL_KINDS}
    for case in still_cases(size):
        for timestep in TWO_TIMESTEPS:
            errors[case.kind].append(still_error(interpolator, case, timestep))
    return {
        kind: {
            "mean": fmean(mean for mean, _ in row),
            "worst_mean": max(mean for mean, _ in row),
            "largest": max(largest for _, largest in row),
        }
        for kind, row in errors.items()
    }


def clips_of(path: Path) -> list[Path]:
    """The videos at a path."""
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.iterdir() if file.suffix.lower() in VIDEO_ENDINGS)


def table(found: dict[str, Any]) -> Table:
    """All measurements in the order of the module docstring."""
    made = Table(title=f"{found['model']} on {found['machine']}")
    for heading in ("what", "measured", "target", ""):
        made.add_column(heading, no_wrap=True)

    def row(what: str, measured: str, key: str, held: bool) -> None:
        made.add_row(what, measured, TARGETS[key], "held" if held else "[red]missed")

    if "timesteps" in found:
        every = found["timesteps"]
        for name, means in {
            f"t of {every['groups']} groups": every["all"],
            **every["videos"],
        }.items():
            text = " / ".join(f"{means[t]:.2f}" for t in ("0.25", "0.5", "0.75"))
            measured = f"{text} dB, spread {means['spread']:.2f}"
            row(name, measured, "timesteps", means["spread"] <= 1)
        made.add_row("averaging's spread there", f"{every['blend']['spread']:.2f} dB")
        made.add_section()
    for kind, errors in found["still"].items():
        measured = f"mean {errors['mean']:.2f} (worst case {errors['worst_mean']:.2f})"
        measured += f", largest {errors['largest']:.0f} of 255"
        row(f"still {kind}", measured, "still", errors["worst_mean"] < 1)
    made.add_section()
    identity = found["identity"]
    measured = f"min {identity['min']:.1f} dB, mean {identity['mean']:.1f}"
    row(f"{identity['pictures']} equal pairs", measured, "identity", identity["min"] >= 50)
    for timestep, swap in found["swap"].items():
        measured = f"min {swap['min']:.1f} dB, mean {swap['mean']:.1f}"
        row(f"swapped, t = {timestep}", measured, "swap", swap["min"] >= 45)
    made.add_section()
    for name, gains in found["triplets"].items():
        measured = f"min {gains['min']:+.2f} dB ({gains['item']}), mean {gains['mean']:+.2f}"
        row(f"{name} against averaging", measured, "triplets", gains["min"] >= -0.3)
    made.add_section()
    for name, losses in found["fade"].items():
        measured = f"mean loss {losses['mean']:.2f} dB, largest {losses['max']:.2f}"
        row(f"{name} fading to {FADE:.0%}", measured, "fade", losses["mean"] <= 0.5)
    return made


if __name__ == "__main__":
    main()
