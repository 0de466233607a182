"""The layouts in which the field's test sets are published.

Each layout is a function from a folder to the sets in it. It returns none if the folder has another
layout, and raises `OpenError` if something is missing. The protocols (which frames are hidden, at
what size) are those of published results.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from interp_cli.errors import OpenError
from interp_cli.evaluation.datasets import DataSet
from interp_cli.evaluation.runs import Picture, PictureRun, Run, VideoRun

__all__ = ["TRIPLETS", "find_sets"]

# Pictures of a triplet: shown, hidden, shown.
TRIPLETS = {
    "triplets": ("im1.png", "im2.png", "im3.png"),
    "ucf101": ("frame_00.png", "frame_01_gt.png", "frame_02.png"),
}
_NUMBERED = re.compile(r"([^.].*?|)(\d+)\.(png|jpe?g|bmp|tiff?|webp)", re.IGNORECASE)
_VIDEO_ENDINGS = {".y4m", ".mp4", ".mkv", ".mov", ".webm"}
_VIMEO_LISTS = ("tri_testlist.txt", "sep_testlist.txt")
_MIDDLEBURY_FOLDERS = ("other-data", "other-gt-interp", "eval-data")
_SNU_LEVELS = ("easy", "medium", "hard", "extreme")
_XIPH_CLIPS = (
    *("BoxingPractice", "Crosswalk", "DrivingPOV", "FoodMarket"),
    *("FoodMarket2", "RitualDance", "SquareAndTimelapse", "Tango"),
)
_XIPH_FRAMES = 100
_X_TEST_FRAMES = 33
# At 240 frames a second, every eighth is shown.
_HIGH_RATE_SKIP = 7


def find_sets(
    path: Path, *, skip: int | None = None, scene_threshold: float | None = None
) -> list[DataSet]:
    """The data sets at a path.

    Args:
        path: A folder that contains data sets, a data set's list of triplets, or a video.
        skip: Number of hidden frames between two shown ones, in videos and in folders of numbered
            frames; `None`: the usual number of the data set.
        scene_threshold: As in `DoubleOptions`. No frame of a video is hidden where a cut lies.

    Raises:
        VideoError: The path does not exist, or something in it is missing.
    """
    if path.is_dir():
        sets = list(_search(path, skip))
    elif re.fullmatch(r"(tri|sep)_(test|train)list\.txt", path.name):
        sets = [_vimeo_list(path)]
    elif level := re.fullmatch(r"test-(\w+)\.txt", path.name):
        sets = [_snu_list(path, level[1])]
    else:
        video = VideoRun.open(path, scene_threshold=scene_threshold)
        return [DataSet(path.name, path, "video", (video,), skip or 1)]
    if not sets:
        raise OpenError(
            f"{path}: holds no triplets (folders with {', '.join(TRIPLETS['triplets'])}), no"
            " folders of numbered frames and no published data set whose layout is known. Name"
            " such a folder, or the videos one by one."
        )
    for each in sets:
        _check(each)
    return sets


def _search(folder: Path, skip: int | None) -> Iterator[DataSet]:
    """The sets in a folder, at any depth."""
    for layout in (_vimeo, _snu_film, _middlebury, _x_test, _xiph, _davis):
        if found := layout(folder, skip):
            yield from found
            return
    kind = _kind(folder)
    if kind == "frames":
        yield _frames_set(folder, [folder], skip)
        return
    if kind:
        yield _triplet_set(folder.resolve().parent, [folder], kind)
        return
    children = {child: _kind(child) for child in _folders(folder)}
    for kind in TRIPLETS:
        if same := [child for child, its in children.items() if its == kind]:
            yield _triplet_set(folder, same, kind)
    if frames := [child for child, its in children.items() if its == "frames"]:
        yield _frames_set(folder, frames, skip)
    deeper = [child for child, its in children.items() if its is None]
    if any(child.name.lower().startswith("test") for child in deeper):
        deeper = [child for child in deeper if child.name.lower() != "train"]
    for child in deeper:
        yield from _search(child, skip)


def _kind(folder: Path) -> str | None:
    """Kind of the triplet in a folder, or `frames` for numbered frames; `None`: neither."""
    names = {file.name for file in folder.iterdir() if file.is_file()}
    for kind, three in TRIPLETS.items():
        if names & set(three) and "im4.png" not in names:  # a septuplet is seven frames
            return kind
    return "frames" if len(_numbered(folder)) >= 3 else None


def _triplet_set(parent: Path, folders: Sequence[Path], kind: str) -> DataSet:
    """Folders with one triplet each."""
    runs = [PictureRun(tuple(f / n for n in TRIPLETS[kind]), ("", f.name, "")) for f in folders]
    return DataSet(_name(parent), parent, kind, tuple(runs))


def _frames_set(parent: Path, folders: Sequence[Path], skip: int | None) -> DataSet:
    """Folders of numbered frames; the names of folders and set identify known data sets."""
    above = [re.sub(r"[^a-z0-9]", "", part.lower()) for part in parent.resolve().parts]
    kind, usual = "frames", 1
    if any(re.fullmatch(r"GOPR\d{4}_\d\d_\d\d", folder.resolve().name) for folder in folders):
        kind, usual = "gopro", _HIGH_RATE_SKIP
    elif any(part.startswith("adobe240") for part in above) or any(
        folder.name.startswith("720p_240fps_") for folder in folders
    ):
        kind, usual = "adobe240", _HIGH_RATE_SKIP
    elif any(part.startswith("davis") or part == "jpegimages" for part in above):
        kind = "davis"
    runs = [_frames_run(folder, "" if folder == parent else folder.name) for folder in folders]
    return DataSet(_name(parent), parent, kind, tuple(runs), skip or usual)


def _frames_run(folder: Path, label: str) -> PictureRun:
    """The numbered frames of a folder, without gaps."""
    return _run_of([folder / name for name in _numbered(folder)], label)


def _run_of(pictures: Sequence[Path], label: str) -> PictureRun:
    numbers = [_number(path.name) for path in pictures]
    for path, number, before in zip(pictures[1:], numbers[1:], numbers, strict=False):
        if number != before + 1:
            raise OpenError(
                f"{path}: follows number {before}; numbered frames must not have gaps. Copy the"
                " missing ones, or name a folder without gaps."
            )
    names = [f"{label}/{path.stem}" if label else path.stem for path in pictures]
    return PictureRun(tuple(pictures), tuple(names))


def _vimeo(folder: Path, _: int | None) -> list[DataSet]:
    """Vimeo-90K, triplets and septuplets: `sequences/00001/0001/im1.png`, and lists of folders.

    The test set that is published separately has `input/` and `target/` in place of `sequences/`.
    """
    places = [folder / name for name in _VIMEO_LISTS] + [folder / "target" / _VIMEO_LISTS[0]]
    lists = [path for path in places if path.is_file()]
    if lists:
        found = [_vimeo_list(path) for path in lists]
        if len(found) == 1:
            return found
        return [replace(each, name=f"{each.name}-{each.kind}") for each in found]
    others = [path for path in folder.glob("*_trainlist.txt") if path.name[:3] in ("tri", "sep")]
    if others or any(folder.glob("sequences/[0-9][0-9][0-9][0-9][0-9]")):
        raise OpenError(
            f"{folder}: looks like Vimeo-90K, but has no {' or '.join(_VIMEO_LISTS)}. Copy the"
            " list there, or name another list or the folder sequences itself."
        )
    return []


def _vimeo_list(path: Path) -> DataSet:
    """The triplets of a list; of septuplets, im4 is hidden between im3 and im5."""
    root = path.parent.parent if path.parent.name == "target" else path.parent
    parts = ("sequences",) * 3
    if not (root / "sequences").is_dir() and (root / "target").is_dir():
        parts = ("input", "target", "input")
    first = 3 if path.name.startswith("sep") else 1
    runs = []
    for name in _lines(path):
        pictures = [root / part / name / f"im{first + i}.png" for i, part in enumerate(parts)]
        runs.append(PictureRun(tuple(pictures), ("", name, "")))
    name = _name(root) + ("-train" if "_train" in path.name else "")
    if first == 1:
        return DataSet(name, root, "vimeo-90k", tuple(runs))
    note = "im4 between im3 and im5"
    return DataSet(name, root, "vimeo-90k-septuplet", tuple(runs), note=note)


def _snu_film(folder: Path, _: int | None) -> list[DataSet]:
    """SNU-FILM: `test-easy.txt` … `test-extreme.txt`, with three paths a line, and `test/`."""
    found = []
    for level in _SNU_LEVELS:
        for place in (folder, folder / "eval_modes", folder / "eval_mode"):
            path = place / f"test-{level}.txt"
            if path.is_file():
                found.append(_snu_list(path, level))
                break
    return found


def _snu_list(path: Path, level: str) -> DataSet:
    """The triplets of a list. Its paths begin with folders of the makers' machine."""
    root = path.parent.parent if path.parent.name.startswith("eval_mode") else path.parent
    lines = [line.split() for line in _lines(path)]
    for line in lines:
        if len(line) != 3:
            raise OpenError(f"{path}: three paths a line are expected, not {' '.join(line)!r}.")
    first = Path(lines[0][0]).parts
    known = (skip for skip in range(len(first)) if root.joinpath(*first[skip:]).is_file())
    skip = next(known, None)
    if skip is None:
        raise OpenError(
            f"{path}: lists {lines[0][0]}, which is not below {root}. The folder test with the"
            " pictures belongs there."
        )
    runs = []
    for line in lines:
        paths = [Path(name) for name in line]
        item = Path(*paths[1].parts[-3:]).with_suffix("").as_posix()
        pictures = tuple(root.joinpath(*each.parts[skip:]) for each in paths)
        runs.append(PictureRun(pictures, ("", item, "")))
    return DataSet(f"{_name(root)}-{level}", root, "snu-film", tuple(runs))


def _middlebury(folder: Path, _: int | None) -> list[DataSet]:
    """Middlebury: `other-data/NAME/frame10.png` and `other-gt-interp/NAME/frame10i11.png`."""
    root, asked = folder, None
    if folder.resolve().name in _MIDDLEBURY_FOLDERS:
        root, asked = folder.resolve().parent, {child.name for child in _folders(folder)}
    truths = sorted(root.glob("*/*/frame10i11.png"))
    if asked is not None:
        truths = [path for path in truths if path.parent.name in asked]
    if not truths:
        if any(any(root.glob(f"{name}/*/frame10.png")) for name in _MIDDLEBURY_FOLDERS):
            raise OpenError(
                f"{folder}: looks like Middlebury, but has no frame10i11.png to compare with."
                " The folder other-gt-interp is needed next to other-data; eval-data has no ground"
                " truth."
            )
        return []
    places = {path.parent.name: path.parent for path in root.glob("*/*/frame10.png")}
    runs = []
    for truth in truths:
        name = truth.parent.name
        place = places.get(name, root / "other-data" / name)
        pictures = (place / "frame10.png", truth, place / "frame11.png")
        runs.append(PictureRun(pictures, ("", name, "")))
    return [DataSet(_name(root), root, "middlebury", tuple(runs))]


def _x_test(folder: Path, _: int | None) -> list[DataSet]:
    """X4K1000FPS, X-TEST: `Type1/TEST01_003_f0433/0000.png` … `0032.png`, eight times the rate.

    Every fourth picture is used: the first and the last are shown, the seven between are hidden.
    """
    for root in (folder, folder / "test"):
        kinds = [root, *(f for f in _folders(root) if re.fullmatch(r"type\d", f.name.lower()))]
        clips = [f for place in kinds for f in _folders(place) if re.match(r"TEST\d\d", f.name)]
        if re.match(r"TEST\d\d_", root.resolve().name):
            clips = [root]  # a single clip was named
        if not clips:
            continue
        runs = []
        for clip in clips:
            run = _frames_run(clip, clip.name)
            if run.count != _X_TEST_FRAMES:
                raise OpenError(
                    f"{clip}: holds {run.count} frames; a clip of X-TEST has {_X_TEST_FRAMES},"
                    " 0000.png to 0032.png."
                )
            runs.append(PictureRun(run.pictures[::4], run.names[::4]))
        full = DataSet(
            f"{_name(folder)}-4k", folder, "x-test", tuple(runs), 7, note="of every fourth, whole"
        )
        note = "of every fourth, half the size"
        return [full, replace(full, name=f"{_name(folder)}-2k", view=_half, note=note)]
    return []


def _xiph(folder: Path, _: int | None) -> list[DataSet]:
    """Xiph's eight 4K clips, the first 100 frames of each, as is usual since SoftSplat.

    Files are `NAME-001.png` …, folders NAME of numbered frames, or videos with NAME in their names.
    2K is half the size, 4K the centre at full size.
    """
    pictures: dict[str, list[Path]] = {}
    others: dict[str, Run] = {}
    for path in sorted(folder.iterdir()):
        name = next((part for part in re.split(r"[-_.]", path.name) if part in _XIPH_CLIPS), None)
        if name is None:
            continue
        if path.is_dir():
            run = _frames_run(path, name)
            if run.count:
                others[name] = PictureRun(run.pictures[:_XIPH_FRAMES], run.names[:_XIPH_FRAMES])
        elif _NUMBERED.fullmatch(path.name):
            pictures.setdefault(name, []).append(path)
        elif path.suffix.lower() in _VIDEO_ENDINGS:
            others.setdefault(name, VideoRun.open(path, prefix=f"{name}/", max_frames=_XIPH_FRAMES))
    for name, files in pictures.items():
        files.sort(key=lambda path: _number(path.name))
        run = _run_of(files[:_XIPH_FRAMES], "")
        others[name] = replace(run, names=tuple(f"{name}/{_digits(p.name)}" for p in run.pictures))
    if len(others) < 2:  # a single name may be a coincidence
        return []
    missing = len(_XIPH_CLIPS) - len(others)
    part = f", only {len(others)} of {len(_XIPH_CLIPS)} clips" if missing else ""
    runs = tuple(run for _, run in sorted(others.items()))
    half = DataSet(
        f"{_name(folder)}-2k", folder, "xiph", runs, view=_half, note=f"half the size{part}"
    )
    note = f"the middle at full size{part}"
    return [half, replace(half, name=f"{_name(folder)}-4k", view=_centre, note=note)]


def _davis(folder: Path, skip: int | None) -> list[DataSet]:
    """DAVIS: `JPEGImages/480p/NAME/00000.jpg`; frames 1, 3, 5 … are hidden."""
    root, base = folder, folder / "JPEGImages"
    if folder.resolve().name == "JPEGImages":
        root, base = folder.resolve().parent, folder
    if not base.is_dir():
        return []
    place = base / "480p" if (base / "480p").is_dir() else base
    clips = [child for child in _folders(place) if _kind(child) == "frames"]
    if not clips:
        raise OpenError(f"{place}: holds no folders of numbered frames, as DAVIS has them.")
    return [replace(_frames_set(place, clips, skip), name=_name(root))]


def _half(picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    small = cv2.resize(picture, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def _centre(picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    top, left = height // 4, width // 4
    return np.ascontiguousarray(picture[top : top + height // 2, left : left + width // 2])


def _check(data: DataSet) -> None:
    """Check that everything is there before the first picture is scored."""
    for run in data.runs:
        if run.count is not None and run.count < data.skip + 2:
            raise OpenError(
                f"{run.place}: holds {run.count} frames; to hide {data.skip} between two,"
                f" at least {data.skip + 2} are needed."
            )
        for path in run.pictures if isinstance(run, PictureRun) else ():
            if not path.is_file():
                raise OpenError(f"{path}: is missing; a triplet needs all three pictures.")


def _lines(path: Path) -> list[str]:
    """The non-empty lines of a list, which has at least one."""
    if not path.is_file():
        raise OpenError(f"{path}: no such file.")
    lines = [line.strip() for line in path.read_text("utf-8", errors="replace").splitlines()]
    lines = [line for line in lines if line]
    if not lines:
        raise OpenError(f"{path}: lists nothing.")
    return lines


def _numbered(folder: Path) -> list[str]:
    """Names of the numbered pictures in a folder, by number, if all are of one kind."""
    matches = [m for file in folder.iterdir() if (m := _NUMBERED.fullmatch(file.name))]
    if len({(match[1], match[3]) for match in matches}) != 1:
        return []
    return sorted((match[0] for match in matches), key=_number)


def _digits(name: str) -> str:
    match = _NUMBERED.fullmatch(name)
    return match[2] if match else ""


def _number(name: str) -> int:
    return int(_digits(name) or 0)


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(f for f in folder.iterdir() if f.is_dir() and not f.name.startswith("."))


def _name(folder: Path) -> str:
    """The name of a folder, with its parent's where it is a generic one."""
    folder = folder.resolve()
    plain = folder.name.lower() in ("test", "train", "test_frames", "frames")
    return f"{folder.parent.name}-{folder.name}" if plain else folder.name
