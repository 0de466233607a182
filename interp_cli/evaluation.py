"""Score predictors where the truth is known: hide a middle frame, predict it, compare.

Data are folders of triplets (`im1.png`, `im2.png`, `im3.png`, of which `im2.png` is hidden) and
videos (every second frame is hidden, so that the predictor works at half the video's rate).
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from interp_cli.baselines import BASELINES, Frames, Picture, Predictor
from interp_cli.errors import InterpError, OpenError, VideoError
from interp_cli.interpolator import Interpolator
from interp_cli.metrics import interpolation_error, psnr, ssim
from interp_cli.options import EvalOptions
from interp_cli.scenes import change, luma_thumbnail
from interp_cli.video.colour import to_rgb8
from interp_cli.video.probe import probe, refuse_interlaced
from interp_cli.video.reader import VideoReader

__all__ = ["EvalReport", "ItemScore", "ModelPredictor", "Row", "SetReport", "evaluate"]

TRIPLET_FILES = ("im1.png", "im2.png", "im3.png")

# Equal pictures have an infinite PSNR, of which there is no mean: in scores they count as this.
_EQUAL_DB = 100.0
# Pictures of a video that are held at once, shown and hidden ones together.
_CLIP_BYTES = 256 << 20

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class ItemScore:
    """How well one hidden picture was predicted.

    Attributes:
        name: The triplet's folder, or the number of the hidden frame.
        psnr_db: On rounded 8-bit RGB; 100 where the pictures are equal.
        ssim: Mean over the RGB channels.
        interpolation_error: Mean absolute error, of 255.
        seconds: Time that the prediction took, without reading and scoring.
    """

    name: str
    psnr_db: float
    ssim: float
    interpolation_error: float
    seconds: float


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
    def seconds_per_picture(self) -> float:
        """Mean time of a prediction."""
        return fmean(item.seconds for item in self.items)

    def worst(self, count: int) -> tuple[ItemScore, ...]:
        """The `count` items of lowest PSNR, the worst first."""
        return tuple(sorted(self.items, key=lambda item: item.psnr_db)[:count])


@dataclass(frozen=True, slots=True)
class SetReport:
    """All rows of one data set.

    Attributes:
        name: Of the folder or the video.
        path: Where it is.
        kind: `triplets` or `video`.
        rows: One a predictor, all over the same pictures.
    """

    name: str
    path: Path
    kind: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class EvalReport:
    """What `evaluate` found."""

    sets: tuple[SetReport, ...]

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain dictionaries and lists, for JSON."""
        return {
            "sets": [
                {
                    "name": each.name,
                    "path": str(each.path),
                    "kind": each.kind,
                    "rows": [_row_as_dict(row) for row in each.rows],
                }
                for each in self.sets
            ]
        }


class ModelPredictor:
    """A network as a predictor, through the same `Interpolator` as in `double`."""

    def __init__(self, interpolator: Interpolator) -> None:
        self.name = interpolator.name
        self._interpolator = interpolator

    def middles(self, frames: Frames) -> Frames:
        """Run the network on each two neighbours, in batches."""
        return list(self._interpolator(np.stack(frames[:-1]), np.stack(frames[1:])))


def evaluate(
    data: str | Path | Sequence[str | Path],
    *,
    options: EvalOptions | None = None,
    predictors: Sequence[Predictor] | None = None,
    progress: Progress | None = None,
) -> EvalReport:
    """Score a model, and what it is compared with, on data whose middle frames are known.

    Args:
        data: Folders with triplets anywhere below them (each parent of triplets is a set of its
            own), and videos.
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
    sets = [found for path in paths for found in _find_sets(Path(path), options)]
    if predictors is None:
        predictors = [_create_predictor(name, options) for name in options.rows]
    sizes = [each.size for each in sets]
    total = None if None in sizes else sum(filter(None, sizes)) * len(predictors)
    done = 0

    def count_up() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    # Folders of one name are told apart by their paths.
    names = Counter(each.name for each in sets)
    reports = []
    for each in sets:
        name = each.name if names[each.name] == 1 else str(each.path)
        folder = options.output_dir and options.output_dir / each.path.resolve().name
        rows = _score_set(each, predictors, folder, count_up)
        reports.append(SetReport(name, each.path, each.kind, rows))
    return EvalReport(tuple(reports))


@dataclass(frozen=True, slots=True)
class _Clip:
    """A stretch of pictures without a cut: what predictors see, and what is hidden between."""

    shown: list[Picture]
    hidden: list[Picture]
    names: list[str]


class _DataSet(Protocol):
    """Attributes: name; path; kind as in `SetReport`; size in hidden pictures, if known."""

    name: str
    path: Path
    kind: str
    size: int | None

    def clips(self) -> Generator[_Clip]:
        """Read the pictures."""


class _Triplets:
    """Folders beside each other that hold a triplet each."""

    kind = "triplets"

    def __init__(self, path: Path, folders: list[Path], options: EvalOptions) -> None:
        self.name = path.resolve().name
        self.path = path
        self._folders = folders[: options.limit]
        self.size: int | None = len(self._folders)

    def clips(self) -> Generator[_Clip]:
        for folder in self._folders:
            frame0, target, frame1 = (_read_picture(folder / name) for name in TRIPLET_FILES)
            for name, picture in zip(TRIPLET_FILES[1:], (target, frame1), strict=True):
                if picture.shape != frame0.shape:
                    raise OpenError(
                        f"{folder / name}: is {_size(picture)}, but {TRIPLET_FILES[0]} beside it"
                        f" is {_size(frame0)}; the pictures of a triplet must have one size."
                    )
            yield _Clip([frame0, frame1], [target], [folder.name])


class _Video:
    """A video of which every second frame is hidden, except where a cut is beside it."""

    kind = "video"

    def __init__(self, path: Path, options: EvalOptions) -> None:
        self.name = path.name
        self.path = path
        self._limit = options.limit
        self._threshold = options.scene_threshold
        facts = probe(path)
        refuse_interlaced(facts)
        count = facts.frame_count
        self.size = None if count is None else min((count - 1) // 2, self._limit or count)

    def clips(self) -> Generator[_Clip]:
        clip = _Clip([], [], [])
        thumbnail: npt.NDArray[np.float32] | None = None
        cut = True  # since the last shown picture; the first picture begins a clip as after a cut
        index, count = -1, 0
        with VideoReader(self.path) as reader:
            for index, frame in enumerate(reader):
                before, thumbnail = thumbnail, luma_thumbnail(frame.image)
                cut = cut or (before is not None and self._is_cut(before, thumbnail))
                picture = to_rgb8(frame.image, reader.info.colour)
                if index % 2:
                    between = picture
                    continue
                if not cut:
                    clip.shown.append(picture)
                    clip.hidden.append(between)
                    clip.names.append(str(index - 1))
                    count += 1
                if cut or 2 * len(clip.shown) * picture.nbytes >= _CLIP_BYTES:
                    if clip.hidden:
                        yield clip
                    clip = _Clip([picture], [], [])
                cut = False
                if count == self._limit:
                    break
        if clip.hidden:
            yield clip
        if not count:
            raise VideoError(
                f"{self.path}: no frame of {index + 1} can be hidden between two others without a"
                " cut; three and more are needed."
            )

    def _is_cut(self, before: npt.NDArray[np.float32], after: npt.NDArray[np.float32]) -> bool:
        return self._threshold is not None and change(before, after) > self._threshold


def _find_sets(path: Path, options: EvalOptions) -> list[_DataSet]:
    """The sets that a path stands for: one for each folder of triplets below it, or a video."""
    if not path.is_dir():
        return [_Video(path, options)]
    folders = sorted({file.parent for name in TRIPLET_FILES for file in path.rglob(name)})
    if not folders:
        raise OpenError(
            f"{path}: holds no triplets (folders with {', '.join(TRIPLET_FILES)}). Name such a"
            " folder, or the videos one by one."
        )
    for folder in folders:
        for name in TRIPLET_FILES:
            if not (folder / name).is_file():
                raise OpenError(f"{folder / name}: is missing; a triplet needs all three pictures.")
    parents = sorted({folder.parent for folder in folders})
    return [
        _Triplets(parent, [folder for folder in folders if folder.parent == parent], options)
        for parent in parents
    ]


def _create_predictor(name: str, options: EvalOptions) -> Predictor:
    """A baseline by its name, or a network by its name or file."""
    if name in BASELINES:
        return BASELINES[name]()
    return ModelPredictor(Interpolator.from_options(replace(options.inference, model=name)))


def _score_set(
    data: _DataSet,
    predictors: Sequence[Predictor],
    folder: Path | None,
    count_up: Callable[[], None],
) -> tuple[Row, ...]:
    """Score every predictor on every picture; keep the predictions where a folder is given."""
    scores: list[list[ItemScore]] = [[] for _ in predictors]
    with contextlib.closing(data.clips()) as clips:
        for number, clip in enumerate(clips):
            for predictor, row in zip(predictors, scores, strict=True):
                if number == 0:
                    predictor.middles(clip.shown[:2])  # what is set up once is not timed
                started = time.perf_counter()
                middles = predictor.middles(clip.shown)
                seconds = (time.perf_counter() - started) / len(clip.hidden)
                for name, middle, target in zip(clip.names, middles, clip.hidden, strict=True):
                    row.append(_score(name, middle, target, seconds))
                    if folder is not None:
                        _keep(folder / Path(predictor.name).name / f"{name}.png", middle)
                    count_up()
    return tuple(
        Row(predictor.name, tuple(row)) for predictor, row in zip(predictors, scores, strict=True)
    )


def _score(name: str, middle: Picture, target: Picture, seconds: float) -> ItemScore:
    return ItemScore(
        name=name,
        psnr_db=min(psnr(middle, target), _EQUAL_DB),
        ssim=ssim(middle, target),
        interpolation_error=interpolation_error(middle, target),
        seconds=seconds,
    )


def _read_picture(path: Path) -> Picture:
    """An 8-bit RGB picture (H, W, 3)."""
    data = np.frombuffer(path.read_bytes(), np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if picture is None:
        raise OpenError(f"{path}: is no picture that can be read; a PNG is expected.")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def _keep(path: Path, picture: Picture) -> None:
    _, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise InterpError(f"{path}: cannot be written ({error.strerror}).") from error


def _size(picture: Picture) -> str:
    return f"{picture.shape[1]}x{picture.shape[0]}"


def _row_as_dict(row: Row) -> dict[str, Any]:
    return {
        "predictor": row.predictor,
        "psnr_db": row.psnr_db,
        "ssim": row.ssim,
        "interpolation_error": row.interpolation_error,
        "seconds_per_picture": row.seconds_per_picture,
        "items": [asdict(item) for item in row.items],
    }
