"""Converts videos, picture sequences and sets of triplets to flat files of frames.

Each source becomes two files in a folder: `KEY.yuv` holds its frames one after the other, and
`KEY.json` lists the shots. A shot is a run of consecutive frames without a cut and without
duplicates. Frames are planar YUV 4:2:0, 8 bits, BT.709, limited range: half the bytes of RGB, so
twice as much footage fits in memory. The key is a hash of the source and the options, so that a
source is prepared once. The `.json` is written last, so a half-finished source is never used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from interp_cli.atomic import AtomicPath, write_whole
from interp_cli.errors import TrainingError, VideoError, full_disk
from interp_cli.evaluation.runs import read_picture
from interp_cli.scenes.base import split_at_cuts
from interp_cli.scenes.duplicates import is_duplicate
from interp_cli.scenes.registry import create_detector
from interp_cli.scenes.thumbnails import luma_thumbnail
from interp_cli.training.options import PrepareOptions
from interp_cli.training.planes import Planes, planes_of_rgb
from interp_cli.training.sources import Source, find_sources
from interp_cli.video.colour import to_rgb8
from interp_cli.video.pixel_format import planes_of
from interp_cli.video.probe import ColourTags
from interp_cli.video.readers.file import VideoReader

Progress = Callable[[int, int], None]

# Version 2 splits at cuts with the scene detector of `interp double`. Version 1 used the change of
# each pair alone, which took fast motion for cuts; its files hold whole shots and can be read.
_VERSION = 2
_SHOTS_KEYS = {1: "runs", 2: "shots"}
_HASHED_BYTES = 1 << 20
# Frames of a shot are held in memory until it is clear that the shot is of use.
_LONGEST_SHOT = 250
_UNEVEN = 1.5
_RGB = ColourTags(matrix=0, full_range=True)


@dataclass(frozen=True, slots=True)
class Shot:
    """Consecutive frames of one shot inside a flat file.

    Attributes:
        file: Path of the flat file.
        offset: Position of the first frame in the file, in bytes.
        frames: Number of frames, at least 3.
        width: Columns, even.
        height: Rows, even.
        frame_rate: Frames per second when it was filmed; `None` where unknown.
        motion: Mean absolute difference of adjacent frames' luma, in units of 1/255.
        source: Name of the source; shots of one source share its weight.
    """

    file: Path
    offset: int
    frames: int
    width: int
    height: int
    frame_rate: float | None
    motion: float
    source: str

    @property
    def frame_bytes(self) -> int:
        """Size of one frame."""
        return self.width * self.height * 3 // 2


@dataclass(frozen=True, slots=True)
class _SourceFrame:
    """A frame of a source, before it is stored; `begins` marks the first frame of a group."""

    image: av.VideoFrame
    colour: ColourTags
    frame_rate: float | None = None
    seconds: float | None = None
    begins: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.image.width, self.image.height


def is_prepared(folder: str | Path) -> bool:
    """Whether a folder holds what `prepare` wrote."""
    return any(path.with_suffix(".yuv").is_file() for path in Path(folder).glob("*.json"))


def prepare(
    paths: Sequence[str | Path],
    folder: str | Path,
    options: PrepareOptions | None = None,
    progress: Progress | None = None,
) -> list[Shot]:
    """Prepare every source under `paths` that is not yet in `folder`.

    Args:
        paths: Files and folders, see `find_sources`. A prepared folder is used as it is.
        folder: Folder for the flat files.
        options: Scene threshold, frame size and minimum motion. Default: `PrepareOptions()`.
        progress: Callback with the number of sources done and of all sources.

    Returns:
        The shots of these sources, without those of other sources in `folder`.

    Raises:
        TrainingError: Nothing usable was found.
        VideoError: A file cannot be read as a video, or is damaged.
    """
    options = options or PrepareOptions()
    shots: list[Shot] = []
    rest: list[str | Path] = []
    for path in paths:
        if Path(path).is_dir() and is_prepared(path):
            shots.extend(open_prepared(path))
        else:
            rest.append(path)
    sources = find_sources(rest) if rest or not shots else []
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for done, source in enumerate(sources):
        if progress is not None:
            progress(done, len(sources))
        shots.extend(_prepare_one(source, folder, options))
    if progress is not None:
        progress(len(sources), len(sources))
    if not shots:
        raise TrainingError(
            f"{', '.join(map(str, paths))}: no shot with three frames that move. Give longer or"
            " livelier videos."
        )
    return shots


def open_prepared(folder: str | Path) -> list[Shot]:
    """Read all shots that `prepare` wrote into a folder.

    A source that was prepared again by a later version counts once, as that version stored it.

    Raises:
        TrainingError: A flat file is shorter than its description says, or of another version.
    """
    records = {
        record: json.loads(record.read_text("utf-8"))
        for record in sorted(Path(folder).glob("*.json"))
        if record.with_suffix(".yuv").is_file()
    }
    current = {
        content.get("name") for content in records.values() if content.get("version") == _VERSION
    }
    return [
        shot
        for record, content in records.items()
        if content.get("version") == _VERSION or content.get("name") not in current
        for shot in _shots_of(record, content)
    ]


def _prepare_one(source: Source, folder: Path, options: PrepareOptions) -> list[Shot]:
    record = folder / f"{_key(source, options)}.json"
    if record.is_file() and record.with_suffix(".yuv").is_file():
        return _shots_of(record, json.loads(record.read_text("utf-8")))
    flat = record.with_suffix(".yuv")
    full = (
        f"{folder}: the disk is full while preparing {source.name}. Make room, or prepare into"
        " another folder."
    )
    with full_disk(full), closing(_source_frames(source)) as frames:
        with AtomicPath(flat) as part, part.open("wb") as file:
            shots = _write_shots(frames, file.write, source, options)
        shots = [replace(shot, file=flat) for shot in shots]
        content = {"version": _VERSION, "name": str(source.name)}
        content[_SHOTS_KEYS[_VERSION]] = [_entry(shot) for shot in shots]
        write_whole(record, json.dumps(content, indent=1))
    return shots


def _key(source: Source, options: PrepareOptions) -> str:
    """Hash of the source's files, the options and the version of the format.

    A video is identified by its content, so that one that was moved is not prepared again.
    Pictures, which may be hundreds of thousands, are identified by names, sizes and dates.
    """
    facts: list[Any] = [_VERSION, asdict(options), source.group, source.frame_rate, source.origin]
    if source.pictures == (source.name,):
        facts.append(_content(source.name))
    else:
        for path in source.pictures:
            state = path.stat()
            facts.append((str(path.resolve()), state.st_size, state.st_mtime_ns))
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]


def _content(path: Path) -> tuple[int, str]:
    """Size of a file, and a hash of its first and last part."""
    size = path.stat().st_size
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(_HASHED_BYTES))
        file.seek(max(0, size - _HASHED_BYTES))
        digest.update(file.read(_HASHED_BYTES))
    return size, digest.hexdigest()


def _entry(shot: Shot) -> dict[str, Any]:
    entry = asdict(shot)
    del entry["file"]
    return entry


def _shots_of(record: Path, content: dict[str, Any]) -> list[Shot]:
    file = record.with_suffix(".yuv")
    version = content.get("version")
    if version not in _SHOTS_KEYS:
        known = " and ".join(map(str, _SHOTS_KEYS))
        raise TrainingError(
            f"{record}: prepared footage of version {version}, this program reads {known}. Prepare"
            " the videos again, into another folder."
        )
    shots = [Shot(file=file, **entry) for entry in content[_SHOTS_KEYS[version]]]
    needed = max((shot.offset + shot.frames * shot.frame_bytes for shot in shots), default=0)
    if file.stat().st_size < needed:
        raise TrainingError(
            f"{file}: {file.stat().st_size} bytes, expected {needed}. Delete it and prepare again."
        )
    return shots


def _source_frames(source: Source) -> Generator[_SourceFrame, None, None]:
    """Yield the frames of a source in order."""
    if source.pictures == (source.name,):
        with VideoReader(source.name) as reader:
            if reader.info.interlaced:
                raise VideoError(f"{source.name}: interlaced; deinterlace it before training.")
            rate = source.frame_rate
            if not source.in_manifest and reader.info.frame_rate is not None:
                rate = float(reader.info.frame_rate)
            for frame in reader:
                yield _SourceFrame(frame.image, reader.info.colour, rate, float(frame.seconds))
        return
    for index, path in enumerate(source.pictures):
        image = av.VideoFrame.from_ndarray(read_picture(path), "rgb24")
        begins = source.group > 0 and index % source.group == 0
        yield _SourceFrame(image, _RGB, source.frame_rate, begins=begins)


def _write_shots(
    frames: Iterable[_SourceFrame],
    write: Callable[[bytes], object],
    source: Source,
    options: PrepareOptions,
) -> list[Shot]:
    """Write `frames`, split at cuts, without duplicates.

    Returns:
        The shots that are long enough and have enough motion.
    """
    shots = _ShotWriter(write, source.origin, options)
    pace = _Pace()
    last: _SourceFrame | None = None
    for frame, starts_shot in _split(frames, options.scene_threshold):
        is_steady = pace.goes_on(frame.seconds)
        if last is not None and not starts_shot and _is_duplicate(last, frame):
            continue
        if starts_shot or not is_steady:
            shots.finish()
        shots.add(frame)
        last = frame
    shots.finish()
    return shots.finished


def _split(
    frames: Iterable[_SourceFrame], scene_threshold: float | None
) -> Iterator[tuple[_SourceFrame, bool]]:
    """Yield each frame, and whether it starts a shot: by its source, its size or a cut."""
    number = 0
    last: _SourceFrame | None = None

    def sequence_of(frame: _SourceFrame) -> int:
        nonlocal number, last
        number += last is not None and (frame.begins or last.size != frame.size)
        last = frame
        return number

    for _, sequence in groupby(frames, sequence_of):
        detector = create_detector(scene_threshold)
        split = split_at_cuts(sequence, lambda frame: luma_thumbnail(frame.image), detector)
        for index, (frame, is_cut) in enumerate(split):
            yield frame, is_cut or index == 0


class _ShotWriter:
    """Writes the frames of one shot after the other, and drops shots that are of no use.

    Attributes:
        finished: Shots written so far.
    """

    def __init__(
        self, write: Callable[[bytes], object], origin: str, options: PrepareOptions
    ) -> None:
        self.finished: list[Shot] = []
        self._write = write
        self._origin = origin
        self._options = options
        self._offset = 0
        self._frames: list[bytes] = []
        self._motions: list[float] = []
        self._size = (0, 0)
        self._frame_rate: float | None = None
        self._last_luma = np.zeros((1, 1), np.uint8)

    def add(self, frame: _SourceFrame) -> None:
        """Add a frame to the shot; a shot of full length or another size is finished first."""
        planes = _stored_planes(frame, self._options.short_side_px)
        size = (planes[0].shape[1], planes[0].shape[0])
        if size != self._size or len(self._frames) >= _LONGEST_SHOT:
            self.finish()
            self._size = size
        luma = planes[0][::4, ::4].copy()
        if self._frames:
            self._motions.append(float(cv2.absdiff(luma, self._last_luma).mean()))
        self._frames.append(b"".join(plane.tobytes() for plane in planes))
        self._last_luma = luma
        self._frame_rate = frame.frame_rate

    def finish(self) -> None:
        """Write the shot if it has three frames and enough motion."""
        motion = float(np.mean(self._motions)) if self._motions else 0.0
        frames = self._frames
        if len(frames) >= 3 and motion >= self._options.min_motion:
            for planes in frames:
                self._write(planes)
            facts = (*self._size, self._frame_rate, motion, self._origin)
            shot = Shot(Path(), self._offset, len(frames), *facts)
            self.finished.append(shot)
            self._offset += len(frames) * shot.frame_bytes
        self._frames = []
        self._motions = []


class _Pace:
    """Checks that frames are evenly spaced in time: across a gap the middle frame is not known."""

    def __init__(self) -> None:
        self._seconds: float | None = None
        self._gap: float | None = None

    def goes_on(self, seconds: float | None) -> bool:
        """Whether the time since the last frame is about as long as the time before it."""
        gap = None if seconds is None or self._seconds is None else seconds - self._seconds
        even = gap is None or self._gap is None or _UNEVEN * gap > self._gap > gap / _UNEVEN
        self._seconds, self._gap = seconds, gap
        return even


def _is_duplicate(frame0: _SourceFrame, frame1: _SourceFrame) -> bool:
    """Whether a frame repeats the one before; frames of different formats cannot be compared."""
    same_format = frame0.image.format.name == frame1.image.format.name
    return same_format and is_duplicate(frame0.image, frame1.image)


def _stored_planes(frame: _SourceFrame, short_side_px: int) -> Planes:
    """Planes of a frame as stored: the decoded ones where they fit, else converted and scaled."""
    image = frame.image
    even = image.width % 2 == 0 and image.height % 2 == 0
    colour = (frame.colour.matrix, bool(frame.colour.full_range))
    small = min(image.width, image.height) <= short_side_px
    if image.format.name == "yuv420p" and colour == (1, False) and even and small:
        luma, blue, red = (np.asarray(plane, np.uint8) for plane in planes_of(image))
        return luma, blue, red
    rgb = to_rgb8(image, frame.colour)
    scale = min(1.0, short_side_px / min(image.width, image.height))
    width, height = (max(2, round(n * scale) // 2 * 2) for n in (image.width, image.height))
    if scale < 1:
        rgb = np.asarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    return planes_of_rgb(rgb[:height, :width])
