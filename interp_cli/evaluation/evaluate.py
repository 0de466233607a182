"""Score predictors where the truth is known: hide frames, predict them, compare."""

from __future__ import annotations

import contextlib
import fnmatch
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch

from interp_cli.atomic import write_whole
from interp_cli.errors import InterpError, OpenError
from interp_cli.evaluation.baselines import BASELINES, Frames, Predictor
from interp_cli.evaluation.dataset_layouts import find_sets
from interp_cli.evaluation.datasets import Clip, DataSet, Hidden, Picture, read_picture
from interp_cli.evaluation.metrics import finite_psnr, interpolation_error, ssim
from interp_cli.evaluation.report import EvalReport, ItemScore, Row, SetReport
from interp_cli.evaluation.vmaf import MIN_SIDE_PX, Vmaf
from interp_cli.inference.interpolator import Interpolator
from interp_cli.options import EvalOptions

__all__ = ["ModelPredictor", "evaluate"]


Progress = Callable[[int, int | None], None]


class ModelPredictor:
    """A network as a predictor, through the same `Interpolator` as in `double`."""

    def __init__(self, interpolator: Interpolator, tta: bool = False) -> None:
        """Wrap a network.

        Args:
            interpolator: The network.
            tta: Whether each picture is the mean of the prediction and of the prediction for the
                frames turned by 180 degrees, turned back.
        """
        straight = interpolator.has_flow and interpolator.trajectory == "linear"
        self.name = interpolator.name + ("-linear" if straight else "") + ("-tta" if tta else "")
        self._interpolator = interpolator
        self._tta = tta

    @property
    def halves(self) -> bool:
        """Whether it makes only middles, and all other times from middles of middles."""
        return not self._interpolator.net.supports_timestep

    def can_make(self, timestep: Fraction) -> bool:
        """Whether the network makes that timestep, by itself or by halving."""
        return self._interpolator.can_make(timestep)

    def between(self, frames: Frames, timesteps: Sequence[Fraction]) -> list[Frames]:
        """Run the network on each two neighbours."""
        rows = self._predict(frames, timesteps)
        if self._tta:
            turned = self._predict([frame[::-1, ::-1] for frame in frames], timesteps)
            pairs = zip(rows, turned, strict=True)
            rows = ((row + other.flip(-2, -1)) / 2 for row, other in pairs)
        made: list[Frames] = []
        for row in rows:
            rounded = (row * 255).round().clamp(0, 255).to(torch.uint8)
            made.append(list(rounded.permute(0, 2, 3, 1).cpu().numpy()))
        return made

    def _predict(self, frames: Frames, timesteps: Sequence[Fraction]) -> Iterator[torch.Tensor]:
        """Pictures (T, 3, H, W) between each two of `frames`."""
        tensors = (
            torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None].float().div_(255)
            for frame in frames
        )
        return self._interpolator.sequence(tensors, timesteps)


def evaluate(
    data: str | Path | Sequence[str | Path],
    *,
    options: EvalOptions | None = None,
    predictors: Sequence[Predictor] | None = None,
    progress: Progress | None = None,
) -> EvalReport:
    """Score a model, and what it is compared with, on data whose middle frames are known.

    Args:
        data: Folders in the layout of a published data set, folders with triplets or numbered
            frames anywhere below them (each parent of such is a set of its own), and videos.
        options: The model, what to compare it with, how much to score.
        predictors: Score these instead of those that `options` name.
        progress: Called with predictions scored and their total, `None` where it is unknown;
            cuts in a video make them fewer.

    Returns:
        The scores of every predictor on every picture.

    Raises:
        InterpError: Data or model are missing or damaged, or nothing can be hidden.
    """
    options = options or EvalOptions()
    paths = [data] if isinstance(data, str | Path) else data
    sets = _wanted_sets([Path(path) for path in paths], options)
    if predictors is None:
        predictors = [_create_predictor(name, options) for name in options.rows]
    names = Counter(each.name for each in sets)
    plans = []
    for each in sets:
        # Sets of one name are told apart by their places.
        alone = names[each.name] == 1
        place = each.path.resolve().parent / each.name
        folder = Path(each.name) if alone else place.relative_to(place.anchor)
        name = each.name if alone else str(each.path.parent / each.name)
        plans.append(_plan(each, name, folder, predictors, options))
    sizes = [plan.size(options.limit) for plan in plans]
    total = None if None in sizes else sum(filter(None, sizes))
    done = 0

    def count_up() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    return EvalReport(tuple(_score_set(plan, options, count_up) for plan in plans))


class _Entrant(Protocol):
    """One row of a set.

    Attributes:
        name: As in tables.
        timesteps: Those of the set that it makes.
    """

    name: str
    timesteps: tuple[Fraction, ...]

    def predict(self, clip: Clip) -> tuple[list[Frames], float | None]:
        """Pictures at its timesteps between each two that are shown, and the seconds it took."""


class _Predicting:
    """A predictor on a set."""

    def __init__(self, predictor: Predictor, timesteps: tuple[Fraction, ...]) -> None:
        self.name = predictor.name
        self.timesteps = timesteps
        self._predictor = predictor
        self._warm = False

    def predict(self, clip: Clip) -> tuple[list[Frames], float | None]:
        if not self._warm:  # what is set up once is not timed
            self._predictor.between(clip.shown[:2], self.timesteps)
            self._warm = True
        started = time.perf_counter()
        made = self._predictor.between(clip.shown, self.timesteps)
        return made, time.perf_counter() - started


class _Reading:
    """Pictures that were made elsewhere, in files named as `evaluate` keeps its own."""

    def __init__(self, folder: Path, timesteps: tuple[Fraction, ...]) -> None:
        self.name = f"{folder.name} (files)"
        self.timesteps = timesteps
        self._folder = folder

    def predict(self, clip: Clip) -> tuple[list[Frames], float | None]:
        return [[self._read(item) for item in items] for items in clip.hidden], None

    def _read(self, item: Hidden) -> Picture:
        path = self._folder / f"{item.name}.png"
        picture = read_picture(path)
        if picture.shape != item.picture.shape:
            height, width = picture.shape[:2]
            right = f"{item.picture.shape[1]}x{item.picture.shape[0]}"
            raise OpenError(f"{path}: is {width}x{height}, but the hidden frame is {right}.")
        return picture


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is scored on one set, and where its pictures are kept, below the folder for them."""

    data: DataSet
    name: str
    folder: Path
    entrants: list[_Entrant]
    notes: list[str] = field(default_factory=list)

    def size(self, limit: int | None) -> int | None:
        """Number of predictions; `None` where it is unknown."""
        hidden = self.data.size(limit)
        if hidden is None:
            return None
        return hidden // self.data.skip * sum(len(each.timesteps) for each in self.entrants)


def _wanted_sets(paths: list[Path], options: EvalOptions) -> list[DataSet]:
    sets = [
        found
        for path in paths
        for found in find_sets(path, skip=options.skip, scene_threshold=options.scene_threshold)
    ]
    if not options.only:
        return sets
    chosen = [each for each in sets if any(fnmatch.fnmatch(each.name, o) for o in options.only)]
    if not chosen:
        found = ", ".join(dict.fromkeys(each.name for each in sets))
        raise OpenError(f"no set is called {' or '.join(options.only)}; found: {found}.")
    return chosen


def _create_predictor(name: str, options: EvalOptions) -> Predictor:
    """A baseline by its name, or a network by its name or file."""
    if name in BASELINES:
        return BASELINES[name]()
    interpolator = Interpolator.from_options(replace(options.inference, model=name))
    return ModelPredictor(interpolator, options.tta)


def _plan(
    data: DataSet, name: str, folder: Path, predictors: Sequence[Predictor], options: EvalOptions
) -> _Plan:
    """Settle the rows of a set, and say which of them cannot make all of its timesteps."""
    plan = _Plan(data, name, folder, [])
    for predictor in predictors:
        able = tuple(timestep for timestep in data.timesteps if predictor.can_make(timestep))
        others = [str(timestep) for timestep in data.timesteps if timestep not in able]
        if able:
            plan.entrants.append(_Predicting(predictor, able))
        if others:
            left_out = "those are left out" if able else "it is left out"
            plan.notes.append(
                f"{predictor.name} cannot make frames at {', '.join(others)}: {left_out}."
            )
        halves = isinstance(predictor, ModelPredictor) and predictor.halves
        if halves and set(able) - {Fraction(1, 2)}:
            plan.notes.append(
                f"{predictor.name} makes only middles: other times are middles of middles."
            )
    if options.predictions is not None:
        place = options.predictions / folder
        rows = sorted(each for each in place.iterdir() if each.is_dir()) if place.is_dir() else []
        if not rows:
            raise OpenError(
                f"{place}: holds no predictions; folders ROW with pictures ITEM.png are expected,"
                " named as --output-dir names them."
            )
        plan.entrants.extend(_Reading(row, data.timesteps) for row in rows)
    kept = Counter(_folder(each) for each in plan.entrants)
    if options.output_dir is not None and (twice := [name for name in kept if kept[name] > 1]):
        raise InterpError(
            f"{options.output_dir}: the pictures of two rows would lie in folders named {twice[0]};"
            " copy weights or predictions under names that differ."
        )
    if not plan.entrants:
        raise InterpError(f"{data.path}: nothing can be scored. {' '.join(plan.notes)}")
    return plan


def _score_set(plan: _Plan, options: EvalOptions, count_up: Callable[[], None]) -> SetReport:
    """Score every row on every picture."""
    data, notes = plan.data, list(plan.notes)
    kept = None if options.output_dir is None else options.output_dir / plan.folder
    scores: list[list[ItemScore]] = [[] for _ in plan.entrants]
    vmafs: list[Vmaf] = []
    with contextlib.ExitStack() as stack:
        clips = stack.enter_context(contextlib.closing(data.clips(options.limit)))
        for number, clip in enumerate(clips):
            height, width = clip.shown[0].shape[:2]
            if number == 0 and options.vmaf and data.kind == "video":
                if min(height, width) < MIN_SIDE_PX:
                    notes.append(f"No VMAF below {MIN_SIDE_PX} pixels a side.")
                else:
                    vmafs = [stack.enter_context(Vmaf((height, width))) for _ in plan.entrants]
            for row, entrant in enumerate(plan.entrants):
                vmaf = vmafs[row] if vmafs else None
                for score in _score_clip(clip, entrant, vmaf, kept):
                    scores[row].append(score)
                    count_up()
        for row, vmaf in enumerate(vmafs):
            both = zip(scores[row], vmaf.finish(), strict=True)
            scores[row] = [replace(score, vmaf=value) for score, value in both]
    rows = (
        Row(entrant.name, tuple(row)) for entrant, row in zip(plan.entrants, scores, strict=True)
    )
    return SetReport(plan.name, data.path, data.kind, data.protocol, tuple(rows), tuple(notes))


def _score_clip(
    clip: Clip, entrant: _Entrant, vmaf: Vmaf | None, kept: Path | None
) -> Iterator[ItemScore]:
    """Score one row on one clip; keep its pictures where a folder is given."""
    made, seconds = entrant.predict(clip)
    if seconds is not None:
        seconds /= len(made) * len(entrant.timesteps)
    for shown, hidden, pictures in zip(clip.shown, clip.hidden, made, strict=False):
        pictures_at = dict(zip(entrant.timesteps, pictures, strict=True))
        if vmaf:
            vmaf.show(shown)
        for item in hidden:
            picture = pictures_at.get(item.timestep)
            if picture is None:
                if vmaf:
                    vmaf.show(item.picture)
                continue
            if vmaf:
                vmaf.add(picture, item.picture)
            if kept is not None:
                _keep(kept / _folder(entrant) / f"{item.name}.png", picture)
            yield ItemScore(
                name=item.name,
                timestep=float(item.timestep),
                psnr_db=finite_psnr(picture, item.picture),
                ssim=ssim(picture, item.picture),
                interpolation_error=interpolation_error(picture, item.picture),
                seconds=seconds,
            )


def _folder(entrant: _Entrant) -> str:
    """Where the pictures of a row are kept, in the folder of its set."""
    return Path(entrant.name).name


def _keep(path: Path, picture: Picture) -> None:
    _, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data.tobytes())
    except OSError as error:
        raise InterpError(f"{path}: cannot be written ({error.strerror}).") from error
