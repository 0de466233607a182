#!/usr/bin/env python
"""Measure what a model promises beyond its scores, and print it beside its targets.

    scripts/measure_flow.py VAL… --videos CLIP_OR_FOLDER… [--model FILE] [--json]

1. Arbitrary timesteps: of videos, three frames of four are hidden and made again.
2. Captions, logos, black bars and thin lines, drawn still over a moving ground.
3. Two equal frames give that frame.
4. Swapped frames and 1 - t give the same picture.
5. No triplet is much worse than averaging.

VAL are folders of triplets as `interp eval` takes them; 3 to 5 use them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import fmean
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from interp_cli import EvalOptions, InferenceOptions, InterpError, Interpolator, evaluate
from interp_cli.environment import describe_machine
from interp_cli.layouts import TRIPLETS
from interp_cli.options import DEFAULT_MODEL
from interp_cli.promises import (
    STILL_KINDS,
    identity_db,
    spread_db,
    still_cases,
    still_error,
    swap_db,
    timestep_scores,
)

VIDEO_ENDINGS = (".mp4", ".mkv", ".mov", ".webm", ".avi", ".ts", ".y4m")
SWAP_TIMESTEPS = (0.25, 0.5)
TARGETS = {
    "timesteps": "spread at most 1 dB",
    "still": "mean error below 1/255",
    "identity": "at least 50 dB",
    "swap": "at least 45 dB",
    "triplets": "none below -0.3 dB",
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("val", type=Path, nargs="+", help="folders of triplets")
    parser.add_argument("--videos", type=Path, nargs="*", default=[], help="videos or folders")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name or file of the weights")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--groups", type=int, default=4, help="groups of five frames a video")
    parser.add_argument("--limit", type=int, help="triplets of each set, its first ones")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    arguments = parser.parse_args()
    inference = InferenceOptions(model=arguments.model, device=arguments.device)
    try:
        found = measure(
            inference, arguments.val, arguments.videos, arguments.groups, arguments.limit
        )
    except InterpError as error:
        raise SystemExit(f"error: {error}") from error
    if arguments.json:
        print(json.dumps(found, indent=2))
    else:
        Console().print(table(found))


def measure(
    inference: InferenceOptions,
    val: list[Path],
    videos: list[Path],
    groups: int,
    limit: int | None,
) -> dict[str, Any]:
    """All measurements, by the names of `TARGETS`."""
    interpolator = Interpolator.from_options(inference)
    clips = [clip for path in videos for clip in clips_of(path)]
    found: dict[str, Any] = {"model": interpolator.name, "machine": describe_machine()}
    if clips:
        scores = [timestep_scores(interpolator, clip, groups) for clip in clips]
        found["timesteps"] = {
            "all": spread_db(scores),
            "blend": spread_db(scores, "blend_db"),
            "videos": {each.name: spread_db([each]) for each in scores},
            "groups": sum(len(each.psnr_db[0.5]) for each in scores),
        }
    found["still"] = measure_still(interpolator)
    options = EvalOptions(inference=inference, against=("blend",), limit=limit)
    sets = evaluate(val, options=options).sets
    pairs = [pair for each in sets for pair in pairs_of(each.path, each.rows[0].items)]
    identity = [identity_db(interpolator, frame0) for frame0, _ in pairs]
    found["identity"] = {"least": min(identity), "mean": fmean(identity), "pictures": len(pairs)}
    swaps = {t: [swap_db(interpolator, a, b, t) for a, b in pairs] for t in SWAP_TIMESTEPS}
    found["swap"] = {f"{t:g}": {"least": min(row), "mean": fmean(row)} for t, row in swaps.items()}
    found["triplets"] = {each.name: against_blend(each) for each in sets}
    return found


def measure_still(interpolator: Interpolator) -> dict[str, dict[str, float]]:
    """For each kind of still thing the mean and the largest error, in units of 1/255."""
    errors: dict[str, list[tuple[float, float]]] = {kind: [] for kind in STILL_KINDS}
    for case in still_cases():
        for timestep in SWAP_TIMESTEPS:
            errors[case.kind].append(still_error(interpolator, case, timestep))
    return {
        kind: {
            "mean": fmean(mean for mean, _ in row),
            "worst_mean": max(mean for mean, _ in row),
            "largest": max(largest for _, largest in row),
        }
        for kind, row in errors.items()
    }


def against_blend(each: Any) -> dict[str, Any]:
    """The triplet of a set that is worst beside averaging, and its advantage in dB."""
    model, blend = each.rows
    gains = {
        item.name: item.psnr_db - other.psnr_db
        for item, other in zip(model.items, blend.items, strict=True)
    }
    worst = min(gains, key=lambda name: gains[name])
    return {"worst": gains[worst], "item": worst, "mean": fmean(gains.values())}


def clips_of(path: Path) -> list[Path]:
    """The videos that a path stands for."""
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.iterdir() if file.suffix.lower() in VIDEO_ENDINGS)


def pairs_of(folder: Path, items: Any) -> Any:
    """The two shown pictures of each triplet of a set, RGB."""
    first, _, last = TRIPLETS["triplets"]
    for item in items:
        pictures = (cv2.imread(str(folder / item.name / name)) for name in (first, last))
        yield tuple(np.ascontiguousarray(picture[..., ::-1]) for picture in pictures)


def table(found: dict[str, Any]) -> Table:
    """Everything in the order of the docstring."""
    made = Table(title=f"{found['model']} on {found['machine']}")
    for heading in ("what", "measured", "target", ""):
        made.add_column(heading)

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
    measured = f"least {identity['least']:.1f} dB, mean {identity['mean']:.1f}"
    row(f"{identity['pictures']} equal pairs", measured, "identity", identity["least"] >= 50)
    for timestep, swap in found["swap"].items():
        measured = f"least {swap['least']:.1f} dB, mean {swap['mean']:.1f}"
        row(f"swapped, t = {timestep}", measured, "swap", swap["least"] >= 45)
    made.add_section()
    for name, gains in found["triplets"].items():
        measured = f"least {gains['worst']:+.2f} dB ({gains['item']}), mean {gains['mean']:+.2f}"
        row(f"{name} against averaging", measured, "triplets", gains["worst"] >= -0.3)
    return made


if __name__ == "__main__":
    main()
