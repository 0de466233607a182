"""Sources of training footage: videos, picture sequences and sets of triplets."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from interp_cli.errors import TrainingError
from interp_cli.evaluation.dataset_layouts import TRIPLETS, find_sets
from interp_cli.evaluation.runs import PictureRun
from interp_cli.video.images.sequence_names import natural_order

_VIDEO_ENDINGS = {
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".m2ts", ".mts", ".mpg"),
    *(".mpeg", ".wmv", ".flv", ".ogv", ".y4m", ".gif"),
}
_TRIPLET = {Path(name).stem for name in TRIPLETS["triplets"]}
_PICTURE_ENDINGS = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"}


@dataclass(frozen=True, slots=True)
class Source:
    """A video, a picture sequence or a set of triplets to prepare.

    Attributes:
        name: Path in messages.
        pictures: The video itself, or all picture files in order.
        group: Number of pictures after which a new shot begins: 3 in sets of triplets. Default 0:
            no limit.
        frame_rate: Frame rate in the manifest; `None` where it is not stated.
        origin: Source in the manifest, else the name of the file or folder.
        in_manifest: Whether a manifest lists the file, whose own frame rate then means nothing.
    """

    name: Path
    pictures: tuple[Path, ...]
    group: int = 0
    frame_rate: float | None = None
    origin: str = ""
    in_manifest: bool = False


def find_sources(paths: Sequence[str | Path]) -> list[Source]:
    """Find the sources in files and folders.

    A folder may hold videos in any codec (with an optional `manifest.json` that states their
    filmed `frame_rate` and `source`), a data set in the layout of Vimeo-90K (`tri_trainlist.txt`
    and `sequences/`), folders of triplets (`im1`, `im2`, `im3`) or folders of numbered pictures,
    where a missing number ends a shot.

    Raises:
        TrainingError: A path does not exist, or nothing in it is usable.
        OpenError: A picture in the list of a data set is missing.
    """
    found: list[Source] = []
    for path in map(Path, paths):
        if path.is_dir():
            found.extend(_in_folder(path))
        elif path.is_file():
            found.append(Source(path, (path,), origin=path.name))
        else:
            raise TrainingError(f"{path}: missing; expected a video or a folder of videos.")
    if not found:
        listed = ", ".join(map(str, paths)) or "nothing given"
        raise TrainingError(
            f"{listed}: no video, no triplets (im1, im2, im3) and no numbered pictures found."
        )
    return found


def _in_folder(folder: Path) -> Iterator[Source]:
    listing = folder / "tri_trainlist.txt"
    if listing.is_file():
        (listed,) = find_sets(listing)
        runs = [run for run in listed.runs if isinstance(run, PictureRun)]
        yield Source(folder, tuple(p for run in runs for p in run.pictures), 3, None, folder.name)
        return
    manifest = _manifest(folder)
    triplets: list[Path] = []
    for directory, folders, files in os.walk(folder):
        folders.sort()
        here = Path(directory)
        pictures = {Path(name).stem: here / name for name in files if _is_picture(name)}
        if pictures.keys() >= _TRIPLET and "im4" not in pictures:  # a septuplet is seven frames
            triplets.extend(pictures[stem] for stem in sorted(_TRIPLET))
        else:
            for shot in _without_gaps(pictures.values()):
                yield Source(here, shot, origin=here.name)
        for name in sorted(files):
            if Path(name).suffix.lower() in _VIDEO_ENDINGS:
                entry = manifest.get(name, {}) if here == folder else {}
                yield Source(
                    here / name,
                    (here / name,),
                    frame_rate=entry.get("frame_rate"),
                    origin=entry.get("source") or name,
                    in_manifest=bool(entry),
                )
    if triplets:
        yield Source(folder, tuple(triplets), 3, None, folder.name)


def _without_gaps(pictures: Iterable[Path]) -> Iterator[tuple[Path, ...]]:
    """Yield pictures in the order of their numbers, split where numbers are missing or restart."""
    files = sorted(pictures, key=natural_order)
    numbers = [int(found[-1]) if (found := re.findall(r"\d+", f.stem)) else None for f in files]
    steps = [0 if a is None or b is None else b - a for a, b in pairwise(numbers)]
    usual = median([step for step in steps if step > 0] or [0])
    gaps = [at for at, step in enumerate(steps, 1) if usual and not 0 < step < 1.5 * usual]
    for begin, end in pairwise([0, *gaps, len(files)]):
        if end - begin >= 3:
            yield tuple(files[begin:end])


def _is_picture(name: str) -> bool:
    return Path(name).suffix.lower() in _PICTURE_ENDINGS


def _manifest(folder: Path) -> dict[str, dict[str, Any]]:
    path = folder / "manifest.json"
    if not path.is_file():
        return {}
    try:
        return {entry["file"]: entry for entry in json.loads(path.read_text("utf-8"))}
    except (ValueError, TypeError, KeyError) as error:
        raise TrainingError(
            f"{path}: expected a list of objects with 'file' and, where known, 'frame_rate' and"
            f" 'source' ({error})."
        ) from error
