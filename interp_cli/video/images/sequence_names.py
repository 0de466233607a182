"""Files of a picture sequence, their order, and the names of the files of a new one.

A number in the names is the time. A missing number is a gap, for which the preceding picture is
shown. Nothing here opens a file.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import gcd
from pathlib import Path

from interp_cli.errors import EncodeError, OpenError
from interp_cli.video.images.codecs import IMAGE_FORMATS, ImageCodec, image_codec_of

_ENDINGS = ", ".join(ending for kind in IMAGE_FORMATS for ending in kind.endings)
_PATTERN = re.compile(r"%(?:0(\d+))?d")
_GLOB = re.compile(r"[*?\[]")
# Digits in the stem of a name that may differ within a sequence, and the last number of a name.
_COUNTER = re.compile(r"\d+(?=\D*$)|\d{4,}|(?<![A-Za-z\d])\d+")
_LAST_NUMBER = re.compile(r"\d+(?=\D*\.[^.]*$)")
# Number of ranges of missing numbers that a message names.
_NAMED_RANGES = 8


@dataclass(frozen=True, slots=True)
class NumberedNames:
    """File names that differ in one number.

    Attributes:
        folder: Folder of the files.
        prefix: Text before the number.
        digits: Least number of digits, filled with zeros.
        suffix: Text after the number, with the file's suffix.
    """

    folder: Path
    prefix: str
    digits: int
    suffix: str

    def name(self, number: int) -> str:
        """The name of the file with this number."""
        return f"{self.prefix}{number:0{self.digits}d}{self.suffix}"

    def existing(self) -> dict[int, Path]:
        """The files that have such a name, by number."""
        middle = rf"(0*\d{{{self.digits},}})" if self.digits > 1 else r"(\d+)"
        pattern = re.compile(re.escape(self.prefix) + middle + re.escape(self.suffix))
        if not self.folder.is_dir():
            return {}
        found = ((pattern.fullmatch(path.name), path) for path in self.folder.iterdir())
        return {int(match[1]): path for match, path in found if match and path.is_file()}


@dataclass(frozen=True, slots=True)
class PictureFiles:
    """The files of a sequence.

    Attributes:
        source: The folder or the pattern.
        kind: Kind of all files.
        files: The files in order.
        places: For each file the number of steps since the first one; grows.
        names: Names of the files; numbers only where the names have no number.
        first_number: Number of the first file.
        warning: Warning about missing numbers; `None` where none is missing.
    """

    source: Path
    kind: ImageCodec
    files: tuple[Path, ...]
    places: tuple[int, ...]
    names: NumberedNames
    first_number: int
    warning: str | None = None


def is_sequence(source: Path) -> bool:
    """Whether a path names pictures: a folder, or a pattern that is not itself a file."""
    if source.is_dir():
        return True
    return not source.exists() and bool(_PATTERN.search(source.name) or _GLOB.search(str(source)))


def find_pictures(source: Path) -> PictureFiles:
    """The files of a folder or a pattern, in natural order.

    Raises:
        OpenError: There are none, or several kinds.
    """
    files = _matching(source)
    kinds = {kind.name: path for path in files if (kind := image_codec_of(path))}
    if not kinds and not source.is_dir() and source.suffix and image_codec_of(source) is None:
        raise OpenError(f"{source}: no such file.")  # a video with brackets in its name
    if not kinds:
        raise OpenError(
            f"{source}: no picture is there; files of one kind are expected ({_ENDINGS})."
        )
    if len(kinds) > 1:
        found = " and ".join(f"{name} ({path.name})" for name, path in sorted(kinds.items()))
        raise OpenError(
            f"{source}: holds {found}; pictures of one kind are expected. Name them, for example "
            f"{(source if source.is_dir() else source.parent) / '*'}{files[0].suffix}"
        )
    files.sort(key=natural_order)
    _refuse_several(source, files)
    kind = image_codec_of(files[0])
    assert kind is not None  # known from above
    pictures = PictureFiles(
        source,
        kind,
        tuple(files),
        tuple(range(len(files))),
        NumberedNames(files[0].parent, "", 6, files[0].suffix),
        1,
    )
    return _numbered(pictures)


def parse_target(target: Path, source: PictureFiles | None) -> tuple[NumberedNames, ImageCodec]:
    """Names and kind of a new sequence.

    Args:
        target: A pattern such as `out/%04d.png`, or a folder, whose files get the names of the
            source.
        source: The pictures of the input; `None`: the input is something else.

    Raises:
        EncodeError: The pattern has no known suffix, or not exactly one number.
    """
    if "%" not in target.name:
        assert source is not None  # only then is a folder a target
        return replace(source.names, folder=target), source.kind
    match = _PATTERN.search(target.name)
    kind = image_codec_of(target)
    if match is None or target.name.count("%") != 1 or kind is None:
        raise EncodeError(
            f"{target}: one number and an ending are expected in a pattern, such as "
            f"frame_%04d.png; endings: {_ENDINGS}."
        )
    prefix, suffix = target.name[: match.start()], target.name[match.end() :]
    return NumberedNames(target.parent, prefix, int(match[1] or 1), suffix), kind


def is_sequence_target(target: Path, source: PictureFiles | None) -> bool:
    """Whether a target is a sequence: a pattern, or a folder if the input is a sequence."""
    if "%" in target.name and (image_codec_of(target) or not target.suffix):
        return True
    return source is not None and (target.is_dir() or not target.suffix)


def _refuse_several(source: Path, files: list[Path]) -> None:
    """Refuse files of several sequences, such as left_0001.png and right_0001.png.

    A number in a name may be a date, or a time. It is part of a sequence's name only if it has few
    digits, follows a letter and is not the last one, as in cam1_0001.png.

    Raises:
        OpenError: At least two sequences have two files each.
    """
    series: dict[str, list[Path]] = {}
    for path in files:
        series.setdefault(_COUNTER.sub("#", path.stem), []).append(path)
    several = [paths for paths in series.values() if len(paths) > 1]
    if len(several) < 2:
        return
    patterns = [_pattern_of(paths) for paths in several]
    named = " and ".join(
        f"{pattern.name} ({len(paths)} pictures)"
        for pattern, paths in zip(patterns[:2], several[:2], strict=True)
    )
    raise OpenError(
        f"{source}: holds {len(several)} sequences, such as {named}. Name one, for example "
        f"{patterns[0]}"
    )


def _pattern_of(paths: list[Path]) -> Path:
    """A pattern that fits the files of one sequence, whose last number grows."""
    matches = [_LAST_NUMBER.search(path.name) for path in paths]
    lengths = {len(match[0]) for match in matches if match}
    match = matches[0]
    if match is None:
        return paths[0]
    digits = f"0{lengths.pop()}" if len(lengths) == 1 else ""
    name = paths[0].name
    return paths[0].with_name(f"{name[: match.start()]}%{digits}d{name[match.end() :]}")


def _matching(source: Path) -> list[Path]:
    """All files of a folder or a pattern."""
    if source.is_dir():
        paths = [path for path in source.iterdir() if not path.name.startswith(".")]
        return [path for path in paths if path.is_file() and image_codec_of(path)]
    match = _PATTERN.search(source.name)
    if match is None:
        # A folder that is there may have brackets in its name.
        home = glob.escape(str(source.parent)) if source.parent.is_dir() else str(source.parent)
        found = (Path(name) for name in glob.glob(f"{home}/{source.name}"))  # noqa: PTH207
        return [path for path in found if path.is_file() and image_codec_of(path)]
    prefix, suffix = source.name[: match.start()], source.name[match.end() :]
    names = NumberedNames(source.parent, prefix, int(match[1] or 1), suffix)
    return list(names.existing().values())


def natural_order(path: Path) -> tuple[list[tuple[int, str]], str]:
    """A sort key that puts frame 10 after frame 9."""
    parts = re.split(r"(\d+)", str(path.with_suffix("")))
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], str(path)


def _numbered(pictures: PictureFiles) -> PictureFiles:
    """Find the number that counts the frames: the only one in the names that changes."""
    split = [re.split(r"(\d+)", path.name) for path in pictures.files]
    first = split[0]
    if len(split) == 1:
        if len(first) < 3:
            return pictures
        at = len(first) - 2
    else:
        if len({len(parts) for parts in split}) > 1:
            return pictures
        changing = [at for at in range(len(first)) if len({parts[at] for parts in split}) > 1]
        if len(changing) != 1 or changing[0] % 2 == 0:
            return pictures
        at = changing[0]
    numbers = [int(parts[at]) for parts in split]
    names = NumberedNames(
        pictures.files[0].parent,
        "".join(first[:at]),
        min(len(parts[at]) for parts in split),
        "".join(first[at + 1 :]),
    )
    pictures = replace(pictures, names=names, first_number=numbers[0])
    steps = [after - before for before, after in pairwise(numbers)]
    if not steps or min(steps) < 1:
        return pictures
    step = gcd(*steps)
    places = [(number - numbers[0]) // step for number in numbers]
    missing = places[-1] + 1 - len(places)
    if not missing:
        return pictures
    if missing > len(places):
        return replace(
            pictures,
            warning="the numbers in the names do not count frames: the pictures follow each other.",
        )
    ranges = _missing_ranges(numbers, step)
    return replace(
        pictures,
        places=tuple(places),
        warning=f"{missing} of the numbers {'is' if missing == 1 else 'are'} missing ({ranges}): "
        "the gap stays, in time and in the names of a new sequence.",
    )


def _missing_ranges(numbers: Sequence[int], step: int) -> str:
    gaps = [
        (before + step, after - step)
        for before, after in pairwise(numbers)
        if after - before > step
    ]
    named = [str(a) if a == b else f"{a}-{b}" for a, b in gaps[:_NAMED_RANGES]]
    return ", ".join([*named, "..."] if len(gaps) > _NAMED_RANGES else named)
