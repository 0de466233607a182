"""Data whose middle frames are known: runs of frames of which some are shown and some hidden.

A triplet is a run of three pictures, a video is one long run. Which folder is which published set
says `layouts`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from interp_cli.errors import OpenError, VideoError
from interp_cli.scenes.base import split_at_cuts
from interp_cli.scenes.registry import create_detector
from interp_cli.scenes.thumbnails import luma_thumbnail
from interp_cli.video.colour import to_rgb8
from interp_cli.video.probe import probe, refuse_interlaced
from interp_cli.video.readers.file import VideoReader

__all__ = ["Clip", "DataSet", "Hidden", "Picture", "PictureRun", "VideoRun", "read_picture"]

Picture = npt.NDArray[np.uint8]

# Pictures of a run that are held at once, shown and hidden ones together.
_CLIP_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Hidden:
    """A picture to be predicted.

    Attributes:
        name: Of the item in reports and files; may have folders in it.
        timestep: Where it stands between its two neighbours, above 0 and below 1.
        picture: The truth, (H, W, 3) uint8 RGB.
    """

    name: str
    timestep: Fraction
    picture: Picture


@dataclass(frozen=True, slots=True)
class Clip:
    """A stretch of pictures without a cut.

    Attributes:
        shown: What predictors see, (H, W, 3) uint8 RGB, all of one size; at least two.
        hidden: What stands between each two of them: one list fewer than `shown`, all with the
            timesteps of the set.
    """

    shown: list[Picture]
    hidden: list[list[Hidden]]


@dataclass(frozen=True, slots=True)
class _Frame:
    """One frame of a run; `after_cut` says that it does not go on from the one before."""

    name: str
    picture: Picture
    after_cut: bool = False


@dataclass(frozen=True, slots=True)
class PictureRun:
    """Picture files that follow each other.

    Attributes:
        pictures: Evenly spaced in time.
        names: What each is called as an item, without an ending.
    """

    pictures: tuple[Path, ...]
    names: tuple[str, ...]

    @property
    def place(self) -> Path:
        """Where it is, for messages."""
        return self.pictures[0].parent

    @property
    def count(self) -> int:
        """Number of frames."""
        return len(self.pictures)

    def frames(self) -> Generator[_Frame]:
        """Read the pictures.

        Raises:
            OpenError: One cannot be read, or has another size than the first.
        """
        shape: tuple[int, ...] | None = None
        for path, name in zip(self.pictures, self.names, strict=True):
            picture = read_picture(path)
            shape = shape or picture.shape
            if picture.shape != shape:
                raise OpenError(
                    f"{path}: is {_size(picture.shape)}, but {self.pictures[0].name} beside it is"
                    f" {_size(shape)}; pictures that follow each other must have one size."
                )
            yield _Frame(name, picture)


@dataclass(frozen=True, slots=True)
class VideoRun:
    """A video's frames.

    Attributes:
        path: The video.
        count: Number of frames, as announced; `None` where the file does not say.
        prefix: Stands before a frame's number in an item's name.
        most: Frames to read at most.
        scene_threshold: As in `DoubleOptions`; no frame is hidden beside a cut.
    """

    path: Path
    count: int | None
    prefix: str = ""
    most: int | None = None
    scene_threshold: float | None = None

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        prefix: str = "",
        most: int | None = None,
        scene_threshold: float | None = None,
    ) -> VideoRun:
        """Look at a video.

        Raises:
            VideoError: It cannot be read, or is interlaced.
        """
        facts = probe(path)
        refuse_interlaced(facts)
        count = facts.frame_count
        if most is not None:
            count = min(count or most, most)
        return cls(path, count, prefix, most, scene_threshold)

    @property
    def place(self) -> Path:
        """Where it is, for messages."""
        return self.path

    def frames(self) -> Generator[_Frame]:
        """Decode the frames.

        Raises:
            VideoError: The video is damaged.
        """
        with VideoReader(self.path) as reader:
            images = (frame.image for frame in islice(reader, self.most))
            split = split_at_cuts(images, luma_thumbnail, create_detector(self.scene_threshold))
            for index, (image, cut) in enumerate(split):
                yield _Frame(f"{self.prefix}{index}", to_rgb8(image, reader.info.colour), cut)


Run = PictureRun | VideoRun


@dataclass(frozen=True, slots=True)
class DataSet:
    """Runs of which every `hide + 1`-th frame is shown and the others are hidden.

    Attributes:
        name: For tables and folders; a single path component.
        path: Where it is.
        kind: Which published set it is, or `triplets`, `frames` or `video`.
        runs: What it consists of.
        skip: Frames hidden between two shown ones.
        view: Makes of a frame, (H, W, 3), what is scored; `None`: all of it as it is.
        note: What else to say of it, such as what `view` does.
    """

    name: str
    path: Path
    kind: str
    runs: tuple[Run, ...]
    skip: int = 1
    view: Callable[[Picture], Picture] | None = None
    note: str = ""

    @property
    def timesteps(self) -> tuple[Fraction, ...]:
        """Where the hidden frames stand between their neighbours, evenly."""
        return tuple(Fraction(k, self.skip + 1) for k in range(1, self.skip + 1))

    @property
    def protocol(self) -> str:
        """What is hidden, in a few words."""
        if all(run.count == 3 for run in self.runs):
            hidden = "the middle of three"
        elif self.skip == 1:
            hidden = "every second frame"
        else:
            hidden = f"{self.skip} of {self.skip + 1} frames"
        return f"{hidden} hidden" + (f", {self.note}" if self.note else "")

    def size(self, limit: int | None = None) -> int | None:
        """Number of hidden pictures; `None` where a video does not say how long it is.

        Args:
            limit: See `clips`.
        """
        counts = [run.count for run in self.runs]
        if None in counts:
            return None
        pairs = sum((count - 1) // (self.skip + 1) for count in counts if count)
        return self.skip * min(pairs, self._max_pairs(limit) or pairs)

    def clips(self, limit: int | None = None) -> Generator[Clip]:
        """Read the pictures, in order, in stretches that fit into memory.

        Args:
            limit: Hidden pictures wanted; reading stops after the pair with the last of them.

        Raises:
            VideoError: Something cannot be read, or a run is too short to hide anything.
        """
        left = self._max_pairs(limit)
        for run in self.runs:
            if left == 0:
                return
            with contextlib.closing(self._clips_of(run, left)) as clips:
                for clip in clips:
                    left = None if left is None else left - len(clip.hidden)
                    yield clip

    def _max_pairs(self, limit: int | None) -> int | None:
        return None if limit is None else -(-limit // self.skip)

    def _clips_of(self, run: Run, most: int | None) -> Generator[Clip]:
        """The stretches of one run, of `most` pairs of shown frames together."""
        shown: list[Picture] = []
        hidden: list[list[Hidden]] = []
        between: list[Hidden] = []
        cut = True  # since the last shown frame; the first one begins a stretch as after a cut
        pairs, index = 0, -1
        with contextlib.closing(run.frames()) as frames:
            for index, frame in enumerate(frames):
                picture = self.view(frame.picture) if self.view else frame.picture
                cut = cut or frame.after_cut
                place = index % (self.skip + 1)
                if place:
                    between.append(Hidden(frame.name, self.timesteps[place - 1], picture))
                    continue
                if not cut:
                    shown.append(picture)
                    hidden.append(between)
                    pairs += 1
                if cut or len(shown) * (self.skip + 1) * picture.nbytes >= _CLIP_BYTES:
                    if hidden:
                        yield Clip(shown, hidden)
                    shown, hidden = [picture], []
                between, cut = [], False
                if pairs == most:
                    break
        if hidden:
            yield Clip(shown, hidden)
        if not pairs:
            raise VideoError(
                f"{run.place}: no frame of {index + 1} can be hidden between two others without a"
                f" cut; {self.skip + 2} and more are needed."
            )


def read_picture(path: Path) -> Picture:
    """An 8-bit RGB picture, (H, W, 3).

    Raises:
        OpenError: It is not there, or no picture.
    """
    if not path.is_file():
        raise OpenError(f"{path}: is missing.")
    data = np.frombuffer(path.read_bytes(), np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if picture is None:
        raise OpenError(f"{path}: is no picture that can be read; a PNG or JPEG is expected.")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
