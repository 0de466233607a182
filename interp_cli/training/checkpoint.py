"""Checkpoints: everything that a training run needs to resume exactly.

Batches and all other random choices follow from the seed and the step, so a checkpoint holds no
state of a random generator.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interp_cli.atomic import write_whole
from interp_cli.errors import TrainingError
from interp_cli.models.weights import read_pickle
from interp_cli.training.options import PrepareOptions, TrainOptions

CHECKPOINT = "last.pt"
_VERSION = 2
# Option names of checkpoints before version 2, which hold no version. Their `scene_threshold` was
# an amount of change, not a likelihood, so it is not carried over.
_RENAMED = {
    "late_crop": "final_crop",
    "warm_up_steps": "warmup_steps",
    "late_synthetic": "synthetic_end",
    "hard_share": "hard_mining",
    "held_out": "val_samples",
    "ranks": "processes",
}
_RENAMED_PREPARE = {"still_below": "min_motion", "scene_threshold": None}
# Options that may change when a run is resumed: its length, and how and where it is computed.
_FREE_OPTIONS = {
    *("steps", "epochs", "minutes", "validate_minutes", "checkpoint_minutes"),
    *("device", "precision", "processes", "compile", "resident"),
}


def _is_state(value: object) -> bool:
    """Whether a value is the state of a network: finite tensors by name."""
    if not isinstance(value, Mapping):
        return False
    return all(
        isinstance(name, str) and isinstance(x, Tensor) and bool(x.float().isfinite().all())
        for name, x in value.items()
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not math.isnan(value)


# The check of each value of a checkpoint besides the options.
_EXPECTED: dict[str, Callable[[Any], bool]] = {
    "net": _is_state,
    "ema": _is_state,
    "optimizers": lambda value: isinstance(value, list) and all(isinstance(x, dict) for x in value),
    "scaler": lambda value: isinstance(value, dict),
    "step": lambda value: isinstance(value, int) and value >= 0,
    "minutes": lambda value: _is_number(value) and value >= 0,
    "best_db": _is_number,
}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """State of a run between two steps.

    Attributes:
        options: Options of the run.
        net: Weights.
        ema: Averaged weights; empty without an average.
        optimizers: State of each optimizer.
        scaler: State of the gradient scaler (float16 only).
        step: Number of steps done.
        minutes: Minutes spent, over all sessions.
        best_db: Best mean PSNR of a validation so far, in dB.
    """

    options: TrainOptions
    net: Mapping[str, Tensor]
    ema: Mapping[str, Tensor]
    optimizers: list[dict[str, Any]]
    scaler: dict[str, Any]
    step: int
    minutes: float
    best_db: float


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write `last.pt`. The previous one stays until the new one is complete."""
    content = {f.name: getattr(checkpoint, f.name) for f in fields(checkpoint)}
    content["version"] = _VERSION
    content["options"] = asdict(checkpoint.options)
    # `load_model` needs these to read weights from a checkpoint.
    content |= {"architecture": checkpoint.options.model, "config": {}}
    path = folder / CHECKPOINT
    file = io.BytesIO()  # so that a full disk is an OSError
    torch.save(content, file)
    write_whole(path, file.getvalue())
    return path


def check_options(folder: Path, before: TrainOptions, now: TrainOptions) -> None:
    """Refuse to resume a run with options that change what it learns or measures.

    Args:
        folder: Folder of the run.
        before: Options of the run so far.
        now: Options to resume it with.

    Raises:
        TrainingError: An option differs and may not.
    """
    for field in fields(TrainOptions):
        had, wanted = getattr(before, field.name), getattr(now, field.name)
        if had != wanted and field.name not in _FREE_OPTIONS:
            raise TrainingError(
                f"{folder}: this run has `{field.name}` {had!r}, not {wanted!r}, and keeps it to"
                " its end. Resume it without that option, or train into another folder."
            )


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read `last.pt` without running code from it.

    Raises:
        TrainingError: The file is missing, or no checkpoint of a known version.
        WeightsError: The file is damaged.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        raise TrainingError(f"{path}: missing; there is no run to resume. Leave out `resume`.")
    content = read_pickle(path)
    try:
        options = _options_of(content)
        if problem := next(
            (name for name, fits in _EXPECTED.items() if not fits(content[name])), ""
        ):
            raise ValueError(f"its {problem} is not what a run stores")
    except (KeyError, TypeError, ValueError) as error:
        raise TrainingError(
            f"{path}: not a checkpoint of this version ({str(error).splitlines()[0]}). Train into"
            " another folder; `init` starts from weights of this one."
        ) from error
    return Checkpoint(options, **{name: content[name] for name in _EXPECTED})


def _options_of(content: Mapping[str, Any]) -> TrainOptions:
    """Options in a checkpoint of any version.

    Raises:
        ValueError: The version is unknown, or a value is refused.
        TypeError: An option is unknown.
    """
    options = dict(content["options"])
    prepare = dict(options.pop("prepare"))
    version = content.get("version", 1)
    if version == 1:
        options = _renamed(options, _RENAMED)
        prepare = _renamed(prepare, _RENAMED_PREPARE)
    elif version != _VERSION:
        raise ValueError(f"version {version}")
    return TrainOptions(**options, prepare=PrepareOptions(**prepare))


def _renamed(options: Mapping[str, Any], names: Mapping[str, str | None]) -> dict[str, Any]:
    """Options under their new names; those without one are left out."""
    pairs = ((names.get(name, name), value) for name, value in options.items())
    return {name: value for name, value in pairs if name is not None}
