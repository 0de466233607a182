"""The results of an evaluation: scores of pictures, of predictors and of data sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

__all__ = ["EvalReport", "ItemScore", "PredictorScores", "SetReport", "WorstItem"]


@dataclass(frozen=True, slots=True)
class ItemScore:
    """The score of one predicted picture.

    Attributes:
        name: Folder of the triplet, or number of the hidden frame.
        timestep: Position between the two shown neighbours, 0 to 1.
        psnr_db: PSNR on rounded 8-bit RGB, in dB; 100 where the pictures are equal.
        ssim: SSIM, mean over the RGB channels.
        interpolation_error: Mean absolute error, 0 to 255.
        vmaf: VMAF, 0 to 100; `None` where it was not measured.
        seconds: Time of the prediction, without reading and scoring; `None` for pictures from
            files.
    """

    name: str
    timestep: float
    psnr_db: float
    ssim: float
    interpolation_error: float
    vmaf: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class PredictorScores:
    """The scores of one predictor on one set. Means are over the pictures.

    Attributes:
        name: Name of the predictor.
        items: Scores of the pictures.
    """

    name: str
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
        """Harmonic mean of VMAF + 1, less 1, as libvmaf pools it: bad frames weigh more."""
        scores = self._vmaf_scores()
        return len(scores) / sum(1 / (score + 1) for score in scores) - 1 if scores else None

    @property
    def vmaf_low(self) -> float | None:
        """First percentile of VMAF: one frame in a hundred is worse."""
        return float(np.percentile(scores, 1)) if (scores := self._vmaf_scores()) else None

    @property
    def seconds_per_picture(self) -> float | None:
        """Mean time of a prediction."""
        times = [item.seconds for item in self.items if item.seconds is not None]
        return fmean(times) if times else None

    @property
    def psnr_db_by_timestep(self) -> dict[float, float]:
        """Mean PSNR by timestep, in rising order."""
        timesteps = sorted({item.timestep for item in self.items})
        return {
            timestep: fmean(item.psnr_db for item in self.items if item.timestep == timestep)
            for timestep in timesteps
        }

    def _vmaf_scores(self) -> list[float]:
        return [item.vmaf for item in self.items if item.vmaf is not None]


@dataclass(frozen=True, slots=True)
class WorstItem:
    """A picture with a low score of the first predictor, which is the model.

    Attributes:
        name: As in `ItemScore`.
        timestep: As in `ItemScore`.
        psnr_db: PSNR of the model, in dB.
        best_other: Name of the best other predictor on this picture; `None` if there is none.
        gap_db: PSNR of the model less that of `best_other`; below 0 where the other is better.
    """

    name: str
    timestep: float
    psnr_db: float
    best_other: str | None = None
    gap_db: float | None = None


@dataclass(frozen=True, slots=True)
class SetReport:
    """The scores of all predictors on one data set.

    Attributes:
        name: Name of the folder or of the video.
        path: Folder, list or video.
        kind: Name of the published data set, or `triplets`, `frames` or `video`.
        protocol: A few words on what was hidden.
        predictors: Scores of each predictor, the model first.
        notes: Remarks, such as timesteps that a predictor cannot make.
    """

    name: str
    path: Path
    kind: str
    protocol: str
    predictors: tuple[PredictorScores, ...]
    notes: tuple[str, ...] = ()

    def worst(self, count: int) -> tuple[WorstItem, ...]:
        """The `count` pictures on which the model has the lowest PSNR, the worst first."""
        first, *others = self.predictors
        found = []
        for item in sorted(first.items, key=lambda item: item.psnr_db)[:count]:
            same_item = [
                (score.psnr_db, other.name)
                for other in others
                for score in other.items
                if score.name == item.name
            ]
            best_db, best = max(same_item, default=(None, None))
            gap = None if best_db is None else item.psnr_db - best_db
            found.append(WorstItem(item.name, item.timestep, item.psnr_db, best, gap))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class EvalReport:
    """The results of `evaluate`, one report for each data set."""

    sets: tuple[SetReport, ...]

    def as_dict(self, worst: int = 0) -> dict[str, Any]:
        """Everything as plain dictionaries and lists, for JSON.

        Args:
            worst: Number of pictures with the lowest PSNR to list for each set.
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
        "predictors": _predictors_as_dicts(report.predictors),
    }


def _predictors_as_dicts(predictors: Sequence[PredictorScores]) -> list[dict[str, Any]]:
    return [
        {
            "name": each.name,
            "psnr_db": each.psnr_db,
            "psnr_db_by_timestep": {
                f"{t:g}": value for t, value in each.psnr_db_by_timestep.items()
            },
            "ssim": each.ssim,
            "interpolation_error": each.interpolation_error,
            "vmaf": each.vmaf,
            "vmaf_harmonic_mean": each.vmaf_harmonic_mean,
            "vmaf_low": each.vmaf_low,
            "seconds_per_picture": each.seconds_per_picture,
            "items": [asdict(item) for item in each.items],
        }
        for each in predictors
    ]
