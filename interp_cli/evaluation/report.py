"""What an evaluation found: scores of pictures, of predictors and of data sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

__all__ = ["EvalReport", "ItemScore", "Row", "SetReport", "WorstItem"]


@dataclass(frozen=True, slots=True)
class ItemScore:
    """How well one hidden picture was predicted.

    Attributes:
        name: The triplet's folder, or the number of the hidden frame.
        timestep: Where it stands between its two neighbours, 0 to 1.
        psnr_db: On rounded 8-bit RGB; 100 where the pictures are equal.
        ssim: Mean over the RGB channels.
        interpolation_error: Mean absolute error, of 255.
        vmaf: 0 to 100; `None` where it was not asked for.
        seconds: Time that the prediction took, without reading and scoring; `None` for pictures
            that were made elsewhere.
    """

    name: str
    timestep: float
    psnr_db: float
    ssim: float
    interpolation_error: float
    vmaf: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One predictor's scores on one set; the means are over the pictures."""

    predictor: str
    items: tuple[ItemScore, ...]

    @property
    def psnr_db(self) -> float:
        """Mean PSNR."""
        return fmean(item.psnr_db for item in self.items)

    @property
    def ssim(self) -> float:
        """Mean SSIM."""
        return fmean(item.ssim for item in self.items)

    @property
    def interpolation_error(self) -> float:
        """Mean IE."""
        return fmean(item.interpolation_error for item in self.items)

    @property
    def vmaf(self) -> float | None:
        """Mean VMAF."""
        return fmean(scores) if (scores := self._vmaf_scores()) else None

    @property
    def vmaf_harmonic_mean(self) -> float | None:
        """Harmonic mean as libvmaf pools it, of each score + 1: bad frames weigh more."""
        scores = self._vmaf_scores()
        return len(scores) / sum(1 / (score + 1) for score in scores) - 1 if scores else None

    @property
    def vmaf_low(self) -> float | None:
        """VMAF's first percentile: one frame in a hundred is worse."""
        return float(np.percentile(scores, 1)) if (scores := self._vmaf_scores()) else None

    @property
    def seconds_per_picture(self) -> float | None:
        """Mean time of a prediction."""
        times = [item.seconds for item in self.items if item.seconds is not None]
        return fmean(times) if times else None

    @property
    def psnr_db_by_timestep(self) -> dict[float, float]:
        """Mean PSNR at each timestep, in their order."""
        timesteps = sorted({item.timestep for item in self.items})
        return {
            timestep: fmean(item.psnr_db for item in self.items if item.timestep == timestep)
            for timestep in timesteps
        }

    def _vmaf_scores(self) -> list[float]:
        return [item.vmaf for item in self.items if item.vmaf is not None]


@dataclass(frozen=True, slots=True)
class WorstItem:
    """A picture on which the model did badly.

    Attributes:
        name: As in `ItemScore`.
        timestep: Likewise.
        psnr_db: The model's.
        best_other: Which other row did best there; `None` where there is no other.
        gap_db: The model's PSNR less that one's: below 0 where the other is better.
    """

    name: str
    timestep: float
    psnr_db: float
    best_other: str | None = None
    gap_db: float | None = None


@dataclass(frozen=True, slots=True)
class SetReport:
    """All rows of one data set.

    Attributes:
        name: Of the folder or the video.
        path: Where it is.
        kind: Which published set, or `triplets`, `frames` or `video`.
        protocol: What was hidden.
        rows: One a predictor.
        notes: What to know about rows that lack something.
    """

    name: str
    path: Path
    kind: str
    protocol: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    def worst(self, count: int) -> tuple[WorstItem, ...]:
        """The `count` pictures of lowest PSNR in the first row, the worst first."""
        first, *others = self.rows
        found = []
        for item in sorted(first.items, key=lambda item: item.psnr_db)[:count]:
            beside = [
                (other.psnr_db, row.predictor)
                for row in others
                for other in row.items
                if other.name == item.name
            ]
            best_db, best = max(beside, default=(None, None))
            gap = None if best_db is None else item.psnr_db - best_db
            found.append(WorstItem(item.name, item.timestep, item.psnr_db, best, gap))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class EvalReport:
    """What `evaluate` found."""

    sets: tuple[SetReport, ...]

    def as_dict(self, worst: int = 0) -> dict[str, Any]:
        """Everything as plain dictionaries and lists, for JSON.

        Args:
            worst: How many of each set's worst pictures are listed.
        """
        return {"sets": [_set_as_dict(each, worst) for each in self.sets]}


def _set_as_dict(report: SetReport, worst: int) -> dict[str, Any]:
    return {
        "name": report.name,
        "path": str(report.path),
        "kind": report.kind,
        "protocol": report.protocol,
        "notes": list(report.notes),
        "worst": [asdict(item) for item in report.worst(worst)],
        "rows": _rows_as_dicts(report.rows),
    }


def _rows_as_dicts(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [
        {
            "predictor": row.predictor,
            "psnr_db": row.psnr_db,
            "psnr_db_by_timestep": {
                f"{t:g}": value for t, value in row.psnr_db_by_timestep.items()
            },
            "ssim": row.ssim,
            "interpolation_error": row.interpolation_error,
            "vmaf": row.vmaf,
            "vmaf_harmonic_mean": row.vmaf_harmonic_mean,
            "vmaf_low": row.vmaf_low,
            "seconds_per_picture": row.seconds_per_picture,
            "items": [asdict(item) for item in row.items],
        }
        for row in rows
    ]
