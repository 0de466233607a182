"""Invariants of interpolation for any footage, as measurements.

All times between two frames are equally good. What stands still over motion stays still. Two equal
frames give that frame. The order of the frames makes no difference. A fade does not disturb the
motion. Each invariant is measured through the `Interpolator` of `double`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from interp_cli.errors import VideoError
from interp_cli.evaluation.dataset_layouts import find_sets
from interp_cli.evaluation.metrics import finite_psnr
from interp_cli.evaluation.predictors import ModelPredictor
from interp_cli.inference.interpolator import Interpolator
from interp_cli.options import DoubleOptions
from interp_cli.scenes.base import split_at_cuts
from interp_cli.scenes.duplicates import is_duplicate
from interp_cli.scenes.registry import create_detector
from interp_cli.scenes.thumbnails import luma_thumbnail
from interp_cli.video.colour import to_rgb8
from interp_cli.video.probe import refuse_interlaced
from interp_cli.video.readers.base import Frame
from interp_cli.video.readers.file import VideoReader

__all__ = [
    "STILL_KINDS",
    "TIMESTEPS",
    "StillCase",
    "TimestepScores",
    "Triplet",
    "faded_db",
    "identity_db",
    "still_cases",
    "still_error",
    "swap_db",
    "timestep_scores",
    "triplets",
]

Picture = NDArray[np.uint8]

TIMESTEPS = (0.25, 0.5, 0.75)
# Three frames are hidden between each two of four shown ones; the middle three are scored.
_SHOWN, _HIDDEN = 4, 3
_GROUP = (_SHOWN - 1) * (_HIDDEN + 1) + 1
# Groups are taken from a video at least this many frames apart, so that they differ.
_GROUP_SPACING = 24


@dataclass(frozen=True, slots=True)
class Triplet:
    """Three consecutive frames.

    Attributes:
        set_name: Name of the data set.
        name: Name of the item.
        frame0: Earlier frame, RGB, (H, W, 3).
        frame1: Later frame.
        target: Ground truth between them.
    """

    set_name: str
    name: str
    frame0: Picture
    frame1: Picture
    target: Picture


def triplets(paths: Iterable[Path], limit: int | None = None) -> Iterator[Triplet]:
    """Read triplets from data sets of any layout that `evaluate` reads.

    Args:
        paths: Data sets; only frames halfway between two shown ones are used.
        limit: Number of hidden pictures to read from each set; `None`: all.

    Raises:
        VideoError: A path holds no set, or a picture cannot be read.
    """
    for path in paths:
        for each in find_sets(path):
            for clip in each.clips(limit):
                for frames, hidden in zip(pairwise(clip.shown), clip.hidden, strict=True):
                    for middle in hidden:
                        if middle.timestep == Fraction(1, 2):
                            yield Triplet(each.name, middle.name, *frames, middle.picture)


@dataclass(frozen=True, slots=True)
class TimestepScores:
    """The scores of a video of which three frames of four were hidden.

    Attributes:
        name: Name of the video.
        psnr_db: PSNR of every group by timestep, in dB.
        blend_db: PSNR of the weighted mean of the two shown frames, in the same form.
    """

    name: str
    psnr_db: dict[float, tuple[float, ...]]
    blend_db: dict[float, tuple[float, ...]]


def timestep_scores(interpolator: Interpolator, video: Path, groups: int) -> TimestepScores:
    """Hide three frames of four, predict them at `TIMESTEPS` and compare.

    The outer two of four shown frames only guide the motion.

    Args:
        interpolator: Interpolator with a model that makes any timestep.
        video: Footage. Groups with a cut, a duplicate or uneven times are left out.
        groups: Maximum number of groups of 13 frames, spread over the video.

    Raises:
        VideoError: The video has no 13 suitable frames in a row.
    """
    predictor = ModelPredictor(interpolator)
    model: dict[float, list[float]] = {t: [] for t in TIMESTEPS}
    blend: dict[float, list[float]] = {t: [] for t in TIMESTEPS}
    count = 0
    for group in _groups(video, groups):
        step = _HIDDEN + 1
        shown = group[::step]
        before, after = shown[1:-1]
        _, pictures, _ = predictor.between(shown, list(map(Fraction, TIMESTEPS)))
        hidden = group[step + 1 : 2 * step]
        for timestep, made, target in zip(TIMESTEPS, pictures, hidden, strict=True):
            mean = (1 - timestep) * before + timestep * after.astype(np.float32)
            model[timestep].append(finite_psnr(made, target))
            blend[timestep].append(finite_psnr(np.rint(mean).astype(np.uint8), target))
        count += 1
        if count == groups:
            break
    if not count:
        raise VideoError(
            f"{video}: {_GROUP} evenly spaced frames without a cut or a duplicate are needed, and"
            " it has none."
        )
    return TimestepScores(
        video.name,
        {t: tuple(row) for t, row in model.items()},
        {t: tuple(row) for t, row in blend.items()},
    )


def _groups(video: Path, count: int) -> Iterator[list[Picture]]:
    """13 pictures in a row, (H, W, 3) RGB, about `count` times over the whole video.

    Codecs often have a period of four frames as well. Therefore groups begin 0, 1, 2 and 3 frames
    after multiples of four, in turn, so that different frames are hidden.
    """
    group: list[Frame] = []
    with VideoReader(video) as reader:
        refuse_interlaced(reader.info)
        spacing = max(_GROUP_SPACING, (reader.info.frame_count or 0) // count)
        spacing -= spacing % (_HIDDEN + 1)
        for index, frame in enumerate(reader):
            number, place = divmod(index, spacing)
            late = number % (_HIDDEN + 1)
            if late <= place < late + _GROUP:
                group.append(frame)
            if len(group) == _GROUP:
                if _is_even(group) and _is_one_shot(group):
                    yield [to_rgb8(each.image, reader.info.colour) for each in group]
                group = []


def _is_even(group: Sequence[Frame]) -> bool:
    """Whether the frames are evenly spaced in time, except for rounding."""
    steps = [after.pts - before.pts for before, after in pairwise(group)]
    return max(steps) - min(steps) <= max(1, 0.1 * min(steps))


def _is_one_shot(group: Sequence[Frame]) -> bool:
    """Whether the frames lie in one shot, without duplicates."""
    if any(is_duplicate(before.image, after.image) for before, after in pairwise(group)):
        return False
    detector = create_detector(DoubleOptions().scene_threshold)
    split = split_at_cuts(group, lambda frame: luma_thumbnail(frame.image), detector)
    return not any(is_cut for _, is_cut in split)


@dataclass(frozen=True, slots=True)
class StillCase:
    """A drawn static object over a moving background.

    Attributes:
        kind: One of `STILL_KINDS`.
        frame0: Earlier frame, RGB, (H, W, 3).
        frame1: Later frame, in which the background has moved.
        still: Mask of the static object, (H, W); there both frames are equal.
    """

    kind: str
    frame0: Picture
    frame1: Picture
    still: NDArray[np.bool_]


def still_cases(size: tuple[int, int] = (640, 360)) -> Iterator[StillCase]:
    """Every kind of static object over every motion of the background; deterministic.

    Args:
        size: Width and height of the frames in pixels, at least 160 by 96.
    """
    width, height = size
    reach = max(abs(step) for pan in _PANS for step in pan)
    ground = _ground(height + 2 * reach, width + 2 * reach)
    for kind, draw in STILL_KINDS.items():
        dark, bright = (np.full((height, width, 3), level, np.uint8) for level in (0, 255))
        draw(dark)
        draw(bright)
        still = (dark == bright).all(-1)
        for dx, dy in _PANS:
            frame0 = ground[reach:-reach, reach:-reach]
            frame1 = ground[reach - dy : reach - dy + height, reach - dx : reach - dx + width]
            frames = [np.where(still[..., None], dark, frame) for frame in (frame0, frame1)]
            yield StillCase(kind, frames[0], frames[1], still)


def still_error(
    interpolator: Interpolator, case: StillCase, timestep: float = 0.5
) -> tuple[float, float]:
    """Mean and largest error within the static object, in units of 1/255."""
    made = interpolator(case.frame0, case.frame1, timestep)
    error = np.abs(made[case.still].astype(np.int16) - case.frame0[case.still])
    return float(error.mean()), float(error.max())


def identity_db(interpolator: Interpolator, picture: Picture, timestep: float = 0.5) -> float:
    """PSNR between a picture and the frame between two copies of it; 100 if they are equal."""
    return finite_psnr(interpolator(picture, picture, timestep), picture)


def swap_db(interpolator: Interpolator, frame0: Picture, frame1: Picture, timestep: float) -> float:
    """PSNR between the frame at `timestep` and the one at 1 - `timestep` of the swapped frames."""
    there = interpolator(frame0, frame1, timestep)
    return finite_psnr(there, interpolator(frame1, frame0, 1 - timestep))


def faded_db(interpolator: Interpolator, triplet: Triplet, fade: float) -> float:
    """PSNR of the middle frame if `frame1` is darkened to the fraction `fade`.

    The prediction is compared at the brightness of the target, so that errors count as without
    a fade.
    """
    half = (1 + fade) / 2
    dark = np.rint(triplet.frame1 * fade).astype(np.uint8)
    made = np.rint(interpolator(triplet.frame0, dark) / half).clip(0, 255).astype(np.uint8)
    return finite_psnr(made, triplet.target)


def spread_db(scores: Sequence[TimestepScores], row: str = "psnr_db") -> dict[str, Any]:
    """Mean PSNR at each timestep over all groups, and the range of these means."""
    means = {t: fmean(db for each in scores for db in getattr(each, row)[t]) for t in TIMESTEPS}
    return {**{f"{t:g}": db for t, db in means.items()}, "spread": _range(means.values())}


# Motion of the background from one frame to the next, (dx, dy) in pixels.
_PANS = ((3, 0), (12, -4), (-32, 8))


def _ground(height: int, width: int) -> Picture:
    """A background of coloured grain of several sizes, (height, width, 3)."""
    random = np.random.default_rng(1)
    ground = np.full((height, width, 3), 128, np.float32)
    for cell, contrast in ((64, 60), (20, 40), (7, 30), (3, 15)):
        grid = random.uniform(-1, 1, (height // cell + 2, width // cell + 2, 3))
        ground += contrast * cv2.resize(
            grid.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
        )
    return np.asarray(np.clip(ground, 0, 255).round(), np.uint8)


def _caption(picture: Picture) -> None:
    """Two lines of white text with a black outline."""
    height, width = picture.shape[:2]
    for number, text in enumerate(("STILL WATERS", "run deep, 1924")):
        place = (width // 10, height * (8 + number) // 10)
        scale = height / 300
        for colour, thickness in (((0, 0, 0), 6), ((255, 255, 255), 2)):
            cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, thickness)


def _logo(picture: Picture) -> None:
    """An opaque disc in a square in the upper right corner."""
    height, width = picture.shape[:2]
    side = height // 5
    left, top = width - side - height // 12, height // 12
    cv2.rectangle(picture, (left, top), (left + side, top + side), (20, 60, 160), -1)
    cv2.circle(picture, (left + side // 2, top + side // 2), side // 3, (240, 200, 40), -1)


def _letterbox(picture: Picture) -> None:
    """Black bars above and below, an eighth of the height each."""
    rows = picture.shape[0] // 8
    picture[:rows] = 0
    picture[-rows:] = 0


def _thin_lines(picture: Picture) -> None:
    """A cross-hair and a frame of lines one and two pixels wide."""
    height, width = picture.shape[:2]
    x, y = width // 2, height // 2
    cv2.line(picture, (x, height // 4), (x, height * 3 // 4), (255, 255, 255), 1)
    cv2.line(picture, (width // 4, y), (width * 3 // 4, y), (255, 255, 255), 1)
    corners = (width // 6, height // 6), (width * 5 // 6, height * 5 // 6)
    cv2.rectangle(picture, *corners, (255, 230, 0), 2)


# Static objects: each function draws one over a picture.
STILL_KINDS: dict[str, Callable[[Picture], None]] = {
    "caption": _caption,
    "logo": _logo,
    "letterbox": _letterbox,
    "thin lines": _thin_lines,
}


def _range(values: Iterable[float]) -> float:
    numbers = list(values)
    return max(numbers) - min(numbers)
