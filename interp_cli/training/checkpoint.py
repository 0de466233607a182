"""Everything a training run needs to go on as if nothing had happened.

Batches and all other random choices follow from the seed and the step, so there is no state of a
random generator to keep.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interp_cli.atomic import write_whole
from interp_cli.errors import TrainingError
from interp_cli.training.options import PrepareOptions, TrainOptions

CHECKPOINT = "last.pt"
# What may be another when a run goes on: how long it is, and how and where it is computed.
_FREE_OPTIONS = {
    *("steps", "epochs", "minutes", "validate_minutes", "checkpoint_minutes"),
    *("device", "precision", "ranks", "compile", "resident"),
}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a run between two steps.

    Attributes:
        options: Of the run.
        net: The weights.
        ema: The averaged weights; empty where there is no average.
        optimizers: States of the optimizers.
        scaler: State of the gradient scaler (float16 only).
        step: Steps done.
        minutes: Minutes spent, over all sittings.
        best_db: Best mean PSNR of a validation so far.
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
    """Write `last.pt`; the one before stays until the new one is complete."""
    content = {f.name: getattr(checkpoint, f.name) for f in fields(checkpoint)}
    content["options"] = asdict(checkpoint.options)
    # What `load_model` needs to take the weights out of a checkpoint.
    content |= {"architecture": checkpoint.options.model, "config": {}}
    path = folder / CHECKPOINT
    file = io.BytesIO()  # so that a full disk is an OSError
    torch.save(content, file)
    write_whole(path, file.getvalue())
    return path


def check_options(folder: Path, before: TrainOptions, now: TrainOptions) -> None:
    """Refuse to go on with a run in another way than it began.

    Raises:
        TrainingError: An option is another that what was learned or measured depends on.
    """
    for field in fields(TrainOptions):
        had, wanted = getattr(before, field.name), getattr(now, field.name)
        if had != wanted and field.name not in _FREE_OPTIONS:
            raise TrainingError(
                f"{folder}: this run has {field.name} {had!r}, not {wanted!r}, and keeps it to its"
                " end. Resume it without that option, or train into another folder."
            )


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read `last.pt`; no code in it is run.

    Raises:
        TrainingError: It is missing or damaged, or was written by another version.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        raise TrainingError(f"{path}: missing; there is no run to resume. Leave out --resume.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        stated = dict(content["options"])
        stated["prepare"] = PrepareOptions(**stated["prepare"])
        return Checkpoint(
            options=TrainOptions(**stated),
            **{f.name: content[f.name] for f in fields(Checkpoint) if f.name != "options"},
        )
    except (
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        OSError,
        KeyError,
        TypeError,
        ValueError,
    ) as error:
        raise TrainingError(
            f"{path}: not a checkpoint of this version ({str(error).splitlines()[0]}). Train anew"
            " into another folder; --init takes weights over."
        ) from error
