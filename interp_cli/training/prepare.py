"""Videos, picture sequences and sets of triplets to flat files of frames.

Each source becomes two files in a folder: `KEY.yuv`, all its frames one after the other, and
`KEY.json`, which says where each shot of consecutive frames lies. A shot holds no cut and no
repeated frame. Frames are planar YUV 4:2:0, 8 bits, BT.709, limited range: half the bytes of RGB,
so that twice as much footage stays in memory. The key follows from the source and the options, so
a source is prepared once; the `.json` is written last, so a half-finished one is never taken.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from interp_cli.atomic import AtomicPath, write_whole
from interp_cli.errors import OpenError, TrainingError, VideoError, full_disk
from interp_cli.scenes.cuts import change
from interp_cli.scenes.duplicates import is_duplicate
from interp_cli.scenes.thumbnails import luma_thumbnail
from interp_cli.training.options import PrepareOptions
from interp_cli.training.sources import Source, find_sources
from interp_cli.video.colour import to_rgb8
from interp_cli.video.pixel_format import planes_of
from interp_cli.video.probe import ColourTags
from interp_cli.video.readers.file import VideoReader

Progress = Callable[[int, int], None]
_Planes = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]

_VERSION = 1
_SHOTS = "runs"  # their key in the files of that version
_HASHED_BYTES = 1 << 20
# Frames of a shot wait in memory until it is clear that the shot is worth keeping.
_LONGEST_SHOT = 250
_UNEVEN = 1.5
_RGB = ColourTags(matrix=0, full_range=True)


@dataclass(frozen=True, slots=True)
class Shot:
    """Consecutive frames of one shot inside a flat file.

    Attributes:
        file: The flat file.
        offset: Where its first frame begins, in bytes.
        frames: Number of frames, at least 3.
        width: Columns, even.
        height: Rows, even.
        frame_rate: Frames a second when it was filmed; `None` where unknown.
        motion: Mean absolute difference of neighbours' luma, in units of 1/255.
        source: Where it came from: shots of one source share its weight.
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
    """One frame on its way into the flat file."""

    image: av.VideoFrame
    colour: ColourTags
    frame_rate: float | None = None
    seconds: float | None = None
    begins: bool = False


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
        paths: Files and folders, see `find_sources`; a prepared folder is taken as it is.
        folder: Where the flat files are kept.
        options: What counts as a cut, how large frames may be.
        progress: Called with the sources done and their number.

    Returns:
        The shots of these sources, those of other sources in `folder` left out.

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
    """All shots that `prepare` wrote into a folder.

    Raises:
        TrainingError: A flat file is missing or shorter than its description says.
    """
    shots: list[Shot] = []
    for record in sorted(Path(folder).glob("*.json")):
        if record.with_suffix(".yuv").is_file():
            shots.extend(_read_record(record))
    return shots


def frame_planes(frame: NDArray[np.uint8], width: int, height: int) -> _Planes:
    """Split one flat frame into its Y, U and V planes, without a copy."""
    luma = width * height
    chroma = luma // 4
    half = (height // 2, width // 2)
    return (
        frame[:luma].reshape(height, width),
        frame[luma : luma + chroma].reshape(half),
        frame[luma + chroma :].reshape(half),
    )


def _prepare_one(source: Source, folder: Path, options: PrepareOptions) -> list[Shot]:
    record = folder / f"{_key(source, options)}.json"
    if record.is_file() and record.with_suffix(".yuv").is_file():
        return _read_record(record)
    flat = record.with_suffix(".yuv")
    full = (
        f"{folder}: the disk is full while preparing {source.name}. Make room, or give another"
        " --cache."
    )
    with full_disk(full), closing(_source_frames(source)) as frames:
        with AtomicPath(flat) as part, part.open("wb") as file:
            shots = _write_shots(frames, file.write, source, options)
        shots = [replace(shot, file=flat) for shot in shots]
        content = {"version": _VERSION, "name": str(source.name)}
        content[_SHOTS] = [_entry(shot) for shot in shots]
        write_whole(record, json.dumps(content, indent=1))
    return shots


def _key(source: Source, options: PrepareOptions) -> str:
    """Changes when a file of the source, the options or this module's format change.

    A video is known by what it holds, so one that was moved or fetched again is not prepared
    again; pictures, which may be hundreds of thousands, by their names, sizes and dates.
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
    """Size of a file, and a hash of its beginning and its end."""
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


def _read_record(record: Path) -> list[Shot]:
    content = json.loads(record.read_text("utf-8"))
    file = record.with_suffix(".yuv")
    shots = [Shot(file=file, **entry) for entry in content[_SHOTS]]
    needed = max((shot.offset + shot.frames * shot.frame_bytes for shot in shots), default=0)
    if file.stat().st_size < needed:
        raise TrainingError(
            f"{file}: {file.stat().st_size} bytes, expected {needed}. Delete it and prepare again."
        )
    return shots


def _source_frames(source: Source) -> Generator[_SourceFrame, None, None]:
    """The frames of a source in order."""
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
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            raise OpenError(f"{path}: not a picture that can be read.")
        rgb = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
        image = av.VideoFrame.from_ndarray(rgb, "rgb24")
        begins = source.group > 0 and index % source.group == 0
        yield _SourceFrame(image, _RGB, source.frame_rate, begins=begins)


def _write_shots(
    frames: Iterable[_SourceFrame],
    write: Callable[[bytes], object],
    source: Source,
    options: PrepareOptions,
) -> list[Shot]:
    """Write `frames`, split at cuts, without repeats; describe the shots."""
    shots: list[Shot] = []
    kept: list[bytes] = []
    motions: list[float] = []
    size = (0, 0)
    offset = 0
    pace = _Pace()
    last: _SourceFrame | None = None
    last_thumbnail = np.zeros((1, 1), np.float32)
    last_luma = np.zeros((1, 1), np.uint8)

    def finish() -> None:
        nonlocal offset
        motion = float(np.mean(motions)) if motions else 0.0
        if len(kept) >= 3 and motion >= options.min_motion:
            for planes in kept:
                write(planes)
            rate = last.frame_rate if last is not None else None
            shot = Shot(Path(), offset, len(kept), *size, rate, motion, source.origin)
            shots.append(shot)
            offset += len(kept) * shot.frame_bytes
        kept.clear()
        motions.clear()

    for frame in frames:
        steady = pace.goes_on(frame.seconds)
        thumbnail = luma_thumbnail(frame.image)
        same_size = last is not None and thumbnail.shape == last_thumbnail.shape
        if last is not None and not frame.begins and same_size:
            if _same_format(last.image, frame.image) and is_duplicate(last.image, frame.image):
                continue
            cut = change(last_thumbnail, thumbnail) > options.scene_threshold
            if cut or not steady or len(kept) >= _LONGEST_SHOT:
                finish()
        else:
            finish()
        planes = _stored_planes(frame, options.short_side_px)
        found = (planes[0].shape[1], planes[0].shape[0])
        if found != size:
            finish()
            size = found
        luma = planes[0][::4, ::4].copy()
        if kept:
            motions.append(float(cv2.absdiff(luma, last_luma).mean()))
        kept.append(b"".join(plane.tobytes() for plane in planes))
        last, last_thumbnail, last_luma = frame, thumbnail, luma
    finish()
    return shots


class _Pace:
    """Whether frames follow each other evenly: across a gap, the middle is not in the middle."""

    def __init__(self) -> None:
        self._seconds: float | None = None
        self._gap: float | None = None

    def goes_on(self, seconds: float | None) -> bool:
        """Whether a frame comes about as long after the last one as that came after its own."""
        gap = None if seconds is None or self._seconds is None else seconds - self._seconds
        even = gap is None or self._gap is None or _UNEVEN * gap > self._gap > gap / _UNEVEN
        self._seconds, self._gap = seconds, gap
        return even


def _same_format(image0: av.VideoFrame, image1: av.VideoFrame) -> bool:
    facts = [(i.width, i.height, i.format.name) for i in (image0, image1)]
    return facts[0] == facts[1]


def _stored_planes(frame: _SourceFrame, short_side_px: int) -> _Planes:
    """A frame as it is stored: the decoded planes where they fit, else converted and scaled."""
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
    return _planes_of_rgb(rgb[:height, :width])


def _planes_of_rgb(rgb: NDArray[np.uint8]) -> _Planes:
    """Turn a picture of even sides into planes; chroma is the mean of its four pixels."""
    yuv = cv2.transform(rgb.astype(np.float32), YUV_FROM_RGB)
    height, width = rgb.shape[:2]
    chroma = cv2.resize(yuv[..., 1:], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    luma, blue, red = (
        np.clip(np.rint(plane), 0, 255).astype(np.uint8)
        for plane in (yuv[..., 0], chroma[..., 0], chroma[..., 1])
    )
    return luma, blue, red


def _matrices() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """BT.709, limited range, codes of 8 bits: RGB to YUV and back, as 3x4 affine matrices."""
    kr, kb = 0.2126, 0.0722
    luma = np.array([kr, 1 - kr - kb, kb])
    blue = (np.array([0, 0, 1]) - luma) / (2 * (1 - kb))
    red = (np.array([1, 0, 0]) - luma) / (2 * (1 - kr))
    forward = np.stack((luma * 219, blue * 224, red * 224)) / 255
    zero = np.array([[16.0], [128.0], [128.0]])
    backward = np.linalg.inv(forward)
    return (
        np.hstack((forward, zero)).astype(np.float32),
        np.hstack((backward, -backward @ zero)).astype(np.float32),
    )


YUV_FROM_RGB, RGB_FROM_YUV = _matrices()
