"""Runs of consecutive frames with ground truth: picture files, or a video."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from interp_cli.errors import OpenError
from interp_cli.options import DoubleOptions
from interp_cli.pipeline.clock import SourceClock
from interp_cli.pipeline.frames import SourceFrame
from interp_cli.pipeline.planner import (
    PlannedFrame,
    Planner,
    create_planner,
    with_adjacent_pairs,
)
from interp_cli.scenes.base import split_at_cuts
from interp_cli.scenes.registry import create_detector
from interp_cli.scenes.thumbnails import luma_thumbnail
from interp_cli.video.colour import to_rgb8
from interp_cli.video.pixel_format import pixel_format_of
from interp_cli.video.probe import ColourTags, VideoInfo, probe, refuse_interlaced
from interp_cli.video.readers.base import Frame
from interp_cli.video.readers.file import VideoReader

__all__ = [
    "FramePair",
    "Picture",
    "PictureRun",
    "Run",
    "RunFrame",
    "VideoRun",
    "pairs_of",
    "read_picture",
]

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class RunFrame:
    """One frame of a run.

    Attributes:
        name: Name as an item.
        source: The frame as it was read or decoded.
        after_cut: Whether a cut lies between the frame before and this one.
        colour: Colour tags of a decoded frame.
    """

    name: str
    source: Picture | Frame
    after_cut: bool = False
    colour: ColourTags = field(default_factory=ColourTags)

    def picture(self) -> Picture:
        """The frame as (H, W, 3) uint8 RGB."""
        if isinstance(self.source, Frame):
            return to_rgb8(self.source.image, self.colour)
        return self.source


@dataclass(frozen=True, slots=True)
class FramePair:
    """Two consecutive shown frames, the hidden ones between, and what `double` would make there."""

    before: RunFrame
    hidden: list[RunFrame]
    after: RunFrame
    planned: list[PlannedFrame] = field(default_factory=list)

    @property
    def has_cut(self) -> bool:
        """Whether a cut lies anywhere between the two shown frames."""
        return any(frame.after_cut for frame in (*self.hidden, self.after))


@dataclass(frozen=True, slots=True)
class PictureRun:
    """Picture files in a row.

    Attributes:
        pictures: Files, evenly spaced in time.
        names: Name of each as an item, without an ending.
    """

    pictures: tuple[Path, ...]
    names: tuple[str, ...]

    @property
    def place(self) -> Path:
        """Path for messages."""
        return self.pictures[0].parent

    @property
    def count(self) -> int:
        """Number of frames."""
        return len(self.pictures)

    def frames(self) -> Generator[RunFrame]:
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
                    f"{path}: is {_size(picture.shape)}, but {self.pictures[0].name} before it is"
                    f" {_size(shape)}; all pictures of a run must have one size."
                )
            yield RunFrame(name, picture)


@dataclass(frozen=True, slots=True)
class VideoRun:
    """The frames of a video.

    Attributes:
        info: Metadata of the video.
        prefix: Text before the number of a frame in the name of its item.
        max_frames: Number of frames to read; `None`: all.
        scene_threshold: As in `DoubleOptions`. No frame is hidden where a cut lies.
    """

    info: VideoInfo
    prefix: str = ""
    max_frames: int | None = None
    scene_threshold: float | None = None

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        prefix: str = "",
        max_frames: int | None = None,
        scene_threshold: float | None = None,
    ) -> VideoRun:
        """Read the metadata of a video.

        Raises:
            VideoError: The video cannot be read, or is interlaced.
        """
        info = probe(path)
        refuse_interlaced(info)
        return cls(info, prefix, max_frames, scene_threshold)

    @property
    def count(self) -> int | None:
        """Number of frames according to the file; `None` where it does not say."""
        count = self.info.frame_count
        if self.max_frames is None:
            return count
        return min(count or self.max_frames, self.max_frames)

    @property
    def place(self) -> Path:
        """Path for messages."""
        return self.info.path

    def frames(self) -> Generator[RunFrame]:
        """Decode the frames.

        Raises:
            VideoError: The video is damaged.
        """
        with VideoReader(self.info.path, info=self.info) as reader:
            split = split_at_cuts(
                islice(reader, self.max_frames),
                lambda frame: luma_thumbnail(frame.image),
                create_detector(self.scene_threshold),
            )
            for index, (frame, cut) in enumerate(split):
                yield RunFrame(f"{self.prefix}{index}", frame, cut, self.info.colour)

    def with_plan(self, pairs: Iterable[FramePair], skip: int) -> Iterator[FramePair]:
        """Add to each pair what `double` would make between its frames.

        The shown frames are a video of their own, of a lower rate, and `double` goes through all
        of it: what it makes of a pair depends on the pairs around as well.

        Args:
            pairs: Pairs of all shown frames, in order.
            skip: Number of hidden frames between two shown ones.
        """
        pairs = iter(pairs)
        first = next(pairs, None)
        if first is None:
            return
        waiting: deque[FramePair] = deque()

        def shown() -> Iterator[SourceFrame]:
            yield _source_frame(0, first.before)
            for index, pair in enumerate(chain((first,), pairs), 1):
                waiting.append(pair)
                yield _source_frame(index, pair.after)

        plan = with_adjacent_pairs(self._planner(first.before, skip).plan(shown()))
        # One original and `skip` frames after it for each pair, in order, and then those of the
        # last frame, which are not scored.
        while (planned := list(islice(plan, skip + 1))) and waiting:
            yield replace(waiting.popleft(), planned=planned[1:])

    def _planner(self, first: RunFrame, skip: int) -> Planner:
        """The planner of `double` for a video of which only the shown frames are there."""
        options = DoubleOptions(factor=skip + 1, scene_threshold=self.scene_threshold)
        rate = self.info.frame_rate
        info = replace(
            self.info,
            frame_rate=rate / (skip + 1) if rate else None,
            clock_is_arbitrary=False,  # the frames keep their time stamps
        )
        frame = _decoded(first)
        pixel_format = pixel_format_of(frame.image, self.info.colour)
        clock = SourceClock(info, options, frame)
        return create_planner(clock.timeline, clock.max_gap, pixel_format, options)


Run = PictureRun | VideoRun


def pairs_of(frames: Iterable[RunFrame], skip: int) -> Iterator[FramePair]:
    """Consecutive shown frames with the `skip` hidden ones between."""
    before: RunFrame | None = None
    hidden: list[RunFrame] = []
    for index, frame in enumerate(frames):
        if index % (skip + 1):
            hidden.append(frame)
            continue
        if before is not None:
            yield FramePair(before, hidden, frame)
        before, hidden = frame, []


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


def _source_frame(index: int, frame: RunFrame) -> SourceFrame:
    decoded = _decoded(frame)
    return SourceFrame(index, decoded.pts, decoded.image)


def _decoded(frame: RunFrame) -> Frame:
    if not isinstance(frame.source, Frame):
        raise TypeError("only decoded frames can be planned")
    return frame.source


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
