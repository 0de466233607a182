"""Score predictors on frames with ground truth: hide frames, predict them, compare."""

from __future__ import annotations

import contextlib
import fnmatch
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import cv2

from interp_cli.atomic import write_whole
from interp_cli.errors import InterpError, OpenError
from interp_cli.evaluation.baselines import BASELINES, Predictor
from interp_cli.evaluation.dataset_layouts import find_sets
from interp_cli.evaluation.datasets import Clip, DataSet
from interp_cli.evaluation.metrics import finite_psnr, interpolation_error, ssim
from interp_cli.evaluation.predictors import (
    ClipPredictor,
    FilePredictor,
    ModelPredictor,
    PicturePredictor,
    VideoPredictor,
)
from interp_cli.evaluation.report import EvalReport, ItemScore, PredictorScores, SetReport
from interp_cli.evaluation.runs import Picture
from interp_cli.evaluation.vmaf import MIN_SIDE_PX, Vmaf
from interp_cli.inference.interpolator import Interpolator
from interp_cli.options import EvalOptions

__all__ = ["evaluate"]

Progress = Callable[[int, int | None], None]


def evaluate(
    data: str | Path | Sequence[str | Path],
    *,
    options: EvalOptions | None = None,
    predictors: Sequence[Predictor] | None = None,
    progress: Progress | None = None,
) -> EvalReport:
    """Score a model and the methods it is compared with on frames with ground truth.

    A video is scored on the frames that `double_video` would write for every second frame of it
    (or every `options.skip + 1`-th), converted to RGB when they are finished. Triplets and folders
    of pictures are RGB throughout, as published figures are.

    Args:
        data: Folders in the layout of a published data set, folders with triplets or numbered
            frames at any depth (each parent folder is a set of its own), and videos.
        options: Model, methods to compare with, and limits; the defaults of `EvalOptions` if
            `None`.
        predictors: Predictors to score instead of those that `options` name.
        progress: Callback that gets the number of scored predictions and their total; the total
            is `None` where it is unknown. Cuts in a video make them fewer.

    Returns:
        The scores of every predictor on every picture.

    Raises:
        InterpError: Data or model are missing or damaged, or no frame can be hidden.
    """
    options = options or EvalOptions()
    paths = [data] if isinstance(data, str | Path) else data
    sets = _requested_sets([Path(path) for path in paths], options)
    if predictors is None:
        predictors = [_create_predictor(name, options) for name in options.predictors]
    names = Counter(each.name for each in sets)
    plans = []
    for each in sets:
        # Sets of the same name are distinguished by their paths.
        is_unique = names[each.name] == 1
        place = each.path.resolve().parent / each.name
        folder = Path(each.name) if is_unique else place.relative_to(place.anchor)
        name = each.name if is_unique else str(each.path.parent / each.name)
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


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is scored on one set.

    Attributes:
        data: The set.
        name: Name in tables.
        folder: Folder of its pictures, relative to `EvalOptions.output_dir`.
        predictors: Predictors to score.
        models: Those of them that are networks.
        notes: Remarks for the report.
    """

    data: DataSet
    name: str
    folder: Path
    predictors: list[ClipPredictor] = field(default_factory=list)
    models: list[ModelPredictor] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def size(self, limit: int | None) -> int | None:
        """Number of predictions; `None` where it is unknown."""
        hidden = self.data.size(limit)
        if hidden is None:
            return None
        return hidden // self.data.skip * sum(len(each.timesteps) for each in self.predictors)


def _requested_sets(paths: list[Path], options: EvalOptions) -> list[DataSet]:
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
    """Decide who is scored on a set, and note which timesteps a predictor cannot make."""
    plan = _Plan(data, name, folder)
    for predictor in predictors:
        _add_predictor(plan, predictor)
    if options.predictions is not None:
        place = options.predictions / folder
        rows = sorted(each for each in place.iterdir() if each.is_dir()) if place.is_dir() else []
        if not rows:
            raise OpenError(
                f"{place}: holds no predictions; folders PREDICTOR with pictures ITEM.png are"
                " expected, named as `output_dir` names them."
            )
        plan.predictors.extend(FilePredictor(row, data.timesteps) for row in rows)
    folders = Counter(_folder(each) for each in plan.predictors)
    if options.output_dir is not None and (
        twice := [name for name in folders if folders[name] > 1]
    ):
        raise InterpError(
            f"{options.output_dir}: the pictures of two predictors would lie in folders named"
            f" {twice[0]}; copy weights or predictions under names that differ."
        )
    if not plan.predictors:
        raise InterpError(f"{data.path}: nothing can be scored. {' '.join(plan.notes)}")
    return plan


def _add_predictor(plan: _Plan, predictor: Predictor) -> None:
    """Add a predictor with the timesteps of the set that it can make."""
    data = plan.data
    able = tuple(timestep for timestep in data.timesteps if predictor.can_make(timestep))
    others = [str(timestep) for timestep in data.timesteps if timestep not in able]
    if others:
        left_out = "those are left out" if able else "it is left out"
        plan.notes.append(
            f"{predictor.name} cannot make frames at {', '.join(others)}: {left_out}."
        )
    if not able:
        return
    if not isinstance(predictor, ModelPredictor):
        plan.predictors.append(PicturePredictor(predictor, able))
        return
    plan.models.append(predictor)
    if predictor.halves and set(able) - {Fraction(1, 2)}:
        plan.notes.append(
            f"{predictor.name} makes only middles: other times are middles of middles."
        )
    if data.kind == "video" and not predictor.tta:
        places = [place for place, t in enumerate(data.timesteps) if t in able]
        plan.predictors.append(VideoPredictor(predictor, places, able))
        return
    if data.kind == "video":
        plan.notes.append(
            f"{predictor.name} averages RGB pictures, which double_video does not write; without"
            " `tta` the frames that it writes are scored."
        )
    plan.predictors.append(PicturePredictor(predictor, able))


def _score_set(plan: _Plan, options: EvalOptions, count_up: Callable[[], None]) -> SetReport:
    """Score every predictor on every picture."""
    data, notes = plan.data, list(plan.notes)
    output_dir = None if options.output_dir is None else options.output_dir / plan.folder
    scores: list[list[ItemScore]] = [[] for _ in plan.predictors]
    vmafs: list[Vmaf] = []
    with contextlib.ExitStack() as stack:
        clips = stack.enter_context(contextlib.closing(data.clips(options.limit)))
        for number, clip in enumerate(clips):
            height, width = clip.shown[0].shape[:2]
            if number == 0 and options.vmaf and data.kind == "video":
                if min(height, width) < MIN_SIDE_PX:
                    notes.append(f"No VMAF below {MIN_SIDE_PX} pixels a side.")
                else:
                    vmafs = [stack.enter_context(Vmaf((height, width))) for _ in plan.predictors]
            for row, predictor in enumerate(plan.predictors):
                vmaf = vmafs[row] if vmafs else None
                for score in _score_clip(clip, predictor, vmaf, output_dir):
                    scores[row].append(score)
                    count_up()
        for row, vmaf in enumerate(vmafs):
            both = zip(scores[row], vmaf.finish(), strict=True)
            scores[row] = [replace(score, vmaf=value) for score, value in both]
    notes += [warning for model in plan.models for warning in model.interpolator.warnings]
    found = (
        PredictorScores(predictor.name, tuple(items))
        for predictor, items in zip(plan.predictors, scores, strict=True)
    )
    return SetReport(plan.name, data.path, data.kind, data.protocol, tuple(found), tuple(notes))


def _score_clip(
    clip: Clip, predictor: ClipPredictor, vmaf: Vmaf | None, output_dir: Path | None
) -> Iterator[ItemScore]:
    """Score one predictor on one clip; save its pictures where a folder is given."""
    made, seconds = predictor.predict(clip)
    if seconds is not None:
        seconds /= len(made) * len(predictor.timesteps)
    for shown, hidden, pictures in zip(clip.shown, clip.hidden, made, strict=False):
        pictures_at = dict(zip(predictor.timesteps, pictures, strict=True))
        if vmaf:
            vmaf.add_shown(shown)
        for item in hidden:
            picture = pictures_at.get(item.timestep)
            if picture is None:
                if vmaf:
                    vmaf.add_shown(item.picture)
                continue
            if vmaf:
                vmaf.add(picture, item.picture)
            if output_dir is not None:
                _save(output_dir / _folder(predictor) / f"{item.name}.png", picture)
            yield ItemScore(
                name=item.name,
                timestep=float(item.timestep),
                psnr_db=finite_psnr(picture, item.picture),
                ssim=ssim(picture, item.picture),
                interpolation_error=interpolation_error(picture, item.picture),
                seconds=seconds,
            )


def _folder(predictor: ClipPredictor) -> str:
    """Folder of a predictor's pictures, within the folder of the set."""
    return Path(predictor.name).name


def _save(path: Path, picture: Picture) -> None:
    _, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data.tobytes())
    except OSError as error:
        raise InterpError(f"{path}: cannot be written ({error.strerror}).") from error
