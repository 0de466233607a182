"""Validation: the PSNR of a network on triplets that it does not learn from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from interp_cli.atomic import write_whole
from interp_cli.errors import TrainingError
from interp_cli.evaluation.metrics import psnr
from interp_cli.evaluation.runs import read_picture
from interp_cli.image_ops import padded
from interp_cli.training.distributed import ProcessGroup
from interp_cli.training.sources import find_sources
from interp_cli.training.triplets import FrameInterpolationDataset

Triplet = NDArray[np.uint8]

HELD_OUT = "held-out"
# Equal pictures have no finite PSNR. This value keeps means finite.
_BEST_DB = 100.0
_SHOWN = 4


@dataclass(frozen=True, slots=True)
class ValidationSet:
    """Triplets to validate on.

    Attributes:
        name: Name in curves and messages.
        length: Number of triplets.
        files: Picture files, three per triplet.
        dataset: Data set to cut triplets from, where there are no files.
    """

    name: str
    length: int
    files: tuple[Path, ...] = ()
    dataset: FrameInterpolationDataset | None = None

    def __getitem__(self, index: int) -> Triplet:
        """Read triplet `index`: earlier frame, target, later frame, (3, H, W, 3) uint8 RGB."""
        if self.dataset is not None:
            return self.dataset[index][0]
        pictures = [read_picture(path) for path in self.files[3 * index : 3 * index + 3]]
        return np.asarray(np.stack(pictures), np.uint8)


def validation_sets(folders: Sequence[str | Path]) -> list[ValidationSet]:
    """Find one set in each folder of triplets (`im1`, `im2`, `im3` in a folder per triplet).

    Raises:
        TrainingError: A folder has no triplets, or the same name as another one.
    """
    sets: list[ValidationSet] = []
    for folder in folders:
        files = [p for s in find_sources([folder]) if s.group == 3 for p in s.pictures]
        if not files:
            raise TrainingError(f"{folder}: no folders with im1, im2 and im3 in it to validate on.")
        name = Path(folder).resolve().name
        if name in (HELD_OUT, *(other.name for other in sets)):
            raise TrainingError(f"{folder}: another set is called {name}, too; rename the folder.")
        sets.append(ValidationSet(name, len(files) // 3, tuple(files)))
    return sets


@torch.no_grad()
def validate(
    net: nn.Module,
    sets: Sequence[ValidationSet],
    device: torch.device,
    group: ProcessGroup,
    precision: AbstractContextManager[object],
    picture: Path | None = None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> dict[str, float] | None:
    """Mean PSNR of a network on each set, on rounded 8-bit RGB.

    Args:
        net: Network; its training mode is restored.
        sets: Sets to validate on. The processes share the triplets.
        device: Device of the network.
        group: Processes that validate together.
        precision: Autocast context for predictions.
        picture: File for a picture of some triplets, with earlier frame, prediction, target and
            error side by side. Default `None`: no picture.
        stop_requested: Whether rank 0 wants to stop; asked before each triplet.

    Returns:
        PSNR in dB by the set's name; `None` if it was stopped.
    """
    training = net.training
    net.eval()
    scores: dict[str, float] = {}
    rows: list[NDArray[np.uint8]] = []
    for item_set in sets:
        values = torch.zeros(item_set.length, dtype=torch.float64)
        for first in range(0, item_set.length, group.world_size):
            # The others would wait for a process that stops by itself.
            (stop,) = group.broadcast(stop_requested())
            if stop:
                net.train(training)
                return None
            index = first + group.rank
            if index >= item_set.length:
                continue
            triplet = item_set[index]
            with precision:
                middle = predict(net, triplet[0], triplet[2], device)
            values[index] = min(psnr(middle, triplet[1]), _BEST_DB)
            if picture is not None and len(rows) < _SHOWN:
                rows.append(_row(triplet, middle))
        scores[item_set.name] = float(group.sum(values).mean())
    net.train(training)
    if picture is not None:
        _write_picture(picture, rows)
    return scores


def predict(
    net: nn.Module, frame0: NDArray[np.uint8], frame1: NDArray[np.uint8], device: torch.device
) -> NDArray[np.uint8]:
    """Predict the middle of two pictures (H, W, 3) of any size, rounded to 8 bits."""
    height, width = frame0.shape[:2]
    multiple = int(net.size_multiple(height, width))  # type: ignore[operator]
    tensors = [
        padded(torch.from_numpy(f).to(device).permute(2, 0, 1)[None] / 255, multiple)
        for f in (frame0, frame1)
    ]
    timestep = torch.full((1, 1, 1, 1), 0.5, device=device)
    middle: Tensor = net(*tensors, timestep)[0, :, :height, :width]
    rounded = middle.float().clamp(0, 1).mul(255).round().to(torch.uint8)
    return np.asarray(rounded.permute(1, 2, 0).cpu().numpy(), np.uint8)


def _row(triplet: Triplet, middle: NDArray[np.uint8]) -> NDArray[np.uint8]:
    frame0, target, _ = triplet
    # Three times the error, so that small errors are visible.
    error = np.clip(3 * cv2.absdiff(middle, target).astype(np.int32), 0, 255).astype(np.uint8)
    return np.hstack((frame0, middle, target, error))


def _write_picture(path: Path, rows: Sequence[NDArray[np.uint8]]) -> None:
    """Write rows below each other, the narrower ones padded with black."""
    width = max(row.shape[1] for row in rows)
    padded = list(_filled(rows, width))
    _, data = cv2.imencode(".png", cv2.cvtColor(np.vstack(padded), cv2.COLOR_RGB2BGR))
    write_whole(path, data.tobytes())


def _filled(rows: Sequence[NDArray[np.uint8]], width: int) -> Iterator[NDArray[np.uint8]]:
    for row in rows:
        yield np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)))
