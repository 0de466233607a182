#!/usr/bin/env python
"""Draw the worst predictions of a model and the ground truth on one sheet.

    scripts/worst_pictures.py VAL… --out worst.png [--count 12] [--by gain] [--quality balanced]

VAL are data sets that `interp eval` reads. Each row is one triplet: frame before, ground truth,
ours, DIS, frame after, and the error of ours (brighter is worse, white is an error of at least 64
of 255). The scores are printed as well.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import get_args

import cv2
import numpy as np

from interp_cli import InferenceOptions, InterpError, Interpolator
from interp_cli.evaluation.baselines import Blend, DisFlow, Picture
from interp_cli.evaluation.invariants import Triplet, triplets
from interp_cli.evaluation.metrics import psnr
from interp_cli.options import DEFAULT_MODEL, Quality

COLUMNS = ("before", "truth", "ours", "DIS", "after", "error of ours")
LABEL_PX = 26
WHITE_ERROR = 64
MIDDLE = Fraction(1, 2)


@dataclass(frozen=True)
class Item:
    """A triplet, its predictions, and the PSNR of each, in dB."""

    triplet: Triplet
    ours: Picture
    dis: Picture
    ours_db: float
    dis_db: float
    blend_db: float

    def __str__(self) -> str:
        place = f"{self.triplet.set_name}/{self.triplet.name}"
        return (
            f"{place}: ours {self.ours_db:.2f}, DIS {self.dis_db:.2f},"
            f" averaging {self.blend_db:.2f} dB"
        )


def main() -> None:
    """Score, choose and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("val", type=Path, nargs="+", help="data sets")
    parser.add_argument("--out", type=Path, required=True, help="the PNG to make")
    parser.add_argument("--count", type=int, default=12, help="how many of the worst")
    parser.add_argument(
        "--by",
        choices=("psnr", "gain"),
        default="psnr",
        help="lowest in PSNR, or in its gain over averaging",
    )
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name or file of the weights")
    parser.add_argument("--quality", default="best", choices=get_args(Quality))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--cell", type=int, default=400, help="width of a picture, in pixels")
    arguments = parser.parse_args()
    inference = InferenceOptions(
        model=arguments.model, quality=arguments.quality, device=arguments.device
    )
    try:
        interpolator = Interpolator.from_options(inference)
        items = [scored(interpolator, triplet) for triplet in triplets(arguments.val)]
    except InterpError as error:
        raise SystemExit(f"error: {error}") from error
    is_gain = arguments.by == "gain"  # over averaging
    items.sort(key=lambda item: item.ours_db - is_gain * item.blend_db)
    items = items[: arguments.count]
    rows = np.concatenate([row(item, arguments.cell) for item in items])
    _, data = cv2.imencode(".png", cv2.cvtColor(rows, cv2.COLOR_RGB2BGR))
    arguments.out.write_bytes(data.tobytes())
    for item in items:
        print(item)


def scored(interpolator: Interpolator, triplet: Triplet) -> Item:
    """Predict the middle by three methods."""
    frames = [triplet.frame0, triplet.frame1]
    ours = interpolator(*frames)
    ((dis,),), ((blend,),) = (each.between(frames, [MIDDLE]) for each in (DisFlow(), Blend()))
    scores = (psnr(made, triplet.target) for made in (ours, dis, blend))
    return Item(triplet, ours, dis, *scores)


def row(item: Item, cell: int) -> Picture:
    """One line of the sheet, (H, 6 cells, 3) RGB: a label above six pictures."""
    triplet = item.triplet
    off = np.abs(item.ours.astype(np.int16) - triplet.target).mean(-1)
    heat = np.clip(off * (255 / WHITE_ERROR), 0, 255).astype(np.uint8)
    error = cv2.cvtColor(cv2.applyColorMap(heat, cv2.COLORMAP_HOT), cv2.COLOR_BGR2RGB)
    shown = (triplet.frame0, triplet.target, item.ours, item.dis, triplet.frame1, error)
    height = round(cell * triplet.target.shape[0] / triplet.target.shape[1])
    shrunk = [cv2.resize(p, (cell, height), interpolation=cv2.INTER_AREA) for p in shown]
    label = np.full((LABEL_PX, len(COLUMNS) * cell, 3), 255, np.uint8)
    texts = [*COLUMNS[:2], f"ours {item.ours_db:.2f} dB", f"DIS {item.dis_db:.2f}"]
    texts += [*COLUMNS[4:]]
    texts[0] = f"{triplet.set_name}/{triplet.name}"
    texts[4] += f" (averaging {item.blend_db:.2f})"
    for number, text in enumerate(texts):
        place = (number * cell + 6, LABEL_PX - 8)
        cv2.putText(label, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate((label, np.concatenate(shrunk, 1)))


if __name__ == "__main__":
    main()
