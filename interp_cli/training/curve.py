"""Losses and scores of a run as a table, and in TensorBoard where it is installed."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interp_cli.atomic import write_whole

CURVE = "curve.csv"


class Curve:
    """Rows of values in `curve.csv` in a folder, and in TensorBoard's event files."""

    def __init__(self, folder: Path, first_step: int) -> None:
        """Open the table.

        Args:
            folder: Folder of the run.
            first_step: First step of this session. Later rows are dropped, as they are repeated.
        """
        self._path = folder / CURVE
        self._rows: list[dict[str, str]] = []
        if self._path.is_file() and first_step > 0:
            with self._path.open(newline="", encoding="utf-8") as file:
                self._rows = [row for row in csv.DictReader(file) if int(row["step"]) <= first_step]
        self._board = _tensorboard(folder)

    def __enter__(self) -> Curve:
        return self

    def __exit__(self, *_: object) -> None:
        if self._board is not None:
            self._board.close()

    def add(self, values: Mapping[str, float]) -> None:
        """Add a row with a `step`. Earlier rows are empty in columns that are new."""
        self._rows.append({name: f"{value:.7g}" for name, value in values.items()})
        columns = dict.fromkeys(name for row in self._rows for name in row)
        # The table is small and a new column needs a new header, so the whole file is written.
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(columns), restval="")
        writer.writeheader()
        writer.writerows(self._rows)
        write_whole(self._path, text.getvalue())
        if self._board is not None:
            for name, value in values.items():
                if name != "step":
                    self._board.add_scalar(name, value, int(values["step"]))


def _tensorboard(folder: Path) -> Any:
    """A writer of event files, or `None` where the `train` extra is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"))
