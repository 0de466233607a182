#!/usr/bin/env python
"""Score each --quality on data sets and videos, and print a table in Markdown.

    scripts/measure_quality.py DATA… [--limit 40] [--model FILE]

DATA are data sets and videos that `interp eval` reads. Every second frame of a video is hidden.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from rich.console import Console

from interp_cli import InterpError, evaluate
from interp_cli.options import DEFAULT_MODEL, EvalOptions, InferenceOptions, Quality


def main() -> None:
    """Score and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="+", help="data sets and videos")
    parser.add_argument("--limit", type=int, metavar="N", help="pictures of each, its first")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a bundled model or weights file")
    arguments = parser.parse_args()
    screen = Console(stderr=True)
    scores: dict[str, dict[str, float]] = {}
    try:
        for quality in get_args(Quality)[1:]:
            inference = InferenceOptions(arguments.model, quality=quality)
            others = ("minterpolate", "blend") if quality == "best" else ()
            options = EvalOptions(
                inference=inference, compare=others, limit=arguments.limit, vmaf=False
            )
            with screen.status(f"scoring {quality}"):
                report = evaluate(arguments.data, options=options)
            for found in report.sets:
                for row in found.predictors:
                    name = quality if row is found.predictors[0] else row.name
                    scores.setdefault(name, {})[found.name] = row.psnr_db
    except InterpError as error:
        parser.exit(1, f"error: {error}\n")
    sets = list(scores["best"])
    print("| PSNR, dB | " + " | ".join(sets) + " |")
    print("|---" * (1 + len(sets)) + "|")
    for name, by_set in scores.items():
        print(f"| {name} | " + " | ".join(f"{by_set[s]:.2f}" for s in sets) + " |")


if __name__ == "__main__":
    main()
