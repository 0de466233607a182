#!/usr/bin/env python
"""Make the best weights of a training run a model that comes with the package.

    scripts/bundle_weights.py runs/fusion --hardware "two CPU cores" --data "…" --val FOLDER …

Writes `weights/NAME.safetensors` and its record `weights/NAME.json`: hash, recipe, cost and the
scores on the given sets beside those of frame averaging. The card, `weights/NAME.md`, is written by
hand.
"""

from __future__ import annotations

import argparse
import csv
import json
from dataclasses import asdict
from pathlib import Path

from interp_cli import EvalOptions, InferenceOptions, evaluate
from interp_cli.models.weights import load_model, save_weights
from interp_cli.training.checkpoint import load_checkpoint
from interp_cli.training.curve import CURVE
from interp_cli.training.loop import BEST
from interp_cli.training.validation import HELD_OUT

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
# Options of a run that do not affect the weights.
OMITTED = (
    *("model", "init", "device", "precision", "processes", "resident", "prepare"),
    *("checkpoint_minutes", "validate_minutes", "val_samples"),
)


def main() -> None:
    """Write the two files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("--name", help="name of the model (default: the architecture's)")
    parser.add_argument("--hardware", required=True, help="what it was trained on")
    parser.add_argument("--data", required=True, help="what it was trained on, in a sentence")
    parser.add_argument("--val", type=Path, nargs="*", default=[], help="folders of triplets")
    arguments = parser.parse_args()

    checkpoint = load_checkpoint(arguments.run)
    loaded = load_model(arguments.run / BEST)
    name = arguments.name or loaded.architecture
    path = WEIGHTS / f"{name}.safetensors"
    step, minutes = best_point(arguments.run, [folder.name for folder in arguments.val])
    digest = save_weights(path, loaded.net, loaded.architecture, loaded.config)
    options = {k: v for k, v in asdict(checkpoint.options).items() if k not in OMITTED}
    record = {
        "sha256": digest,
        "architecture": loaded.architecture,
        "parameters": sum(parameter.numel() for parameter in loaded.net.parameters()),
        "licence": "MIT",
        "data": arguments.data,
        "recipe": {k: v for k, v in options.items() if v is not None},
        "steps": step,
        "triplets": step * checkpoint.options.batch,
        "minutes": round(minutes, 1),
        "hardware": arguments.hardware,
        "scores": scores(arguments.run / BEST, arguments.val),
    }
    path.with_suffix(".json").write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    print(json.dumps(record["scores"], indent=2))


def best_point(run: Path, sets: list[str]) -> tuple[int, float]:
    """Step and minutes of the run's best validation: that of the weights that it kept."""
    with (run / CURVE).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = [f"psnr_{name}" for name in sets] or [f"psnr_{HELD_OUT}"]
    best = max(rows, key=lambda row: sum(float(row[name] or "-inf") for name in names))
    return int(best["step"]), float(best["minutes"])


def scores(weights: Path, folders: list[Path]) -> dict[str, dict[str, dict[str, float]]]:
    """PSNR (dB), SSIM and IE of the weights and of averaging, by set."""
    if not folders:
        return {}
    options = EvalOptions(
        inference=InferenceOptions(model=str(weights), quality="best"), compare=("blend",)
    )
    return {
        each.name: {
            "average" if row.name == "blend" else "model": {
                "psnr_db": round(row.psnr_db, 2),
                "ssim": round(row.ssim, 4),
                "ie": round(row.interpolation_error, 2),
            }
            for row in each.predictors
        }
        for each in evaluate(folders, options=options).sets
    }


if __name__ == "__main__":
    main()
