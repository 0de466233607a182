"""What can be read: a picture sequence, a pipe, an animation or a video, by name and content.

A new kind of input is one reader and one row of `READERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interp_cli.errors import OpenError
from interp_cli.options import DEFAULT_INPUT_RATE, DoubleOptions
from interp_cli.video.images.animation_timing import read_animation_timing
from interp_cli.video.images.sequence_names import PictureFiles, find_pictures, is_sequence
from interp_cli.video.probe import refuse_interlaced
from interp_cli.video.readers.animation import AnimationReader, WebpReader
from interp_cli.video.readers.base import FrameReader
from interp_cli.video.readers.file import VideoReader
from interp_cli.video.readers.interlaced import FieldReader
from interp_cli.video.readers.pipe import NamedPipeReader, PipeReader
from interp_cli.video.readers.sequence import SequenceReader

STANDARD_STREAM = Path("-")
_STANDARD_INPUT = 0


@dataclass(frozen=True, slots=True)
class ReaderKind:
    """A kind of input.

    Attributes:
        name: Name for messages, such as `picture sequence`.
        recognize: Returns what it finds at a path, which `open` gets; `None` if the input is of
            another kind.
        open: Opens the reader.
        can_repeat: Whether the input can be read a second time.
    """

    name: str
    recognize: Callable[[Path], object | None]
    open: Callable[[Source, DoubleOptions], FrameReader]
    can_repeat: bool = True


@dataclass(frozen=True, slots=True)
class Source:
    """An input whose kind is known.

    Attributes:
        path: The path that the user gave.
        kind: What it is.
        found: What `ReaderKind.recognize` found, such as the files of a picture sequence.
    """

    path: Path
    kind: ReaderKind
    found: Any

    @property
    def pictures(self) -> PictureFiles | None:
        """The files of a picture sequence; `None` for other inputs."""
        return self.found if isinstance(self.found, PictureFiles) else None

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that are read; none for a pipe."""
        if self.pictures is not None:
            return self.pictures.files
        return (self.path,) if self.kind.can_repeat else ()


def identify_source(path: Path) -> Source:
    """Decide what an input is; a picture folder is listed here and nowhere else.

    Args:
        path: A file, a folder, a pattern such as `frames/%04d.png` or `frames/*.png`, or `-`.

    Raises:
        OpenError: The path names pictures and there are none, or they are of several kinds.
    """
    for kind in READERS:
        found = kind.recognize(path)
        if found is not None:
            return Source(path, kind, found)
    raise OpenError(f"{path}: is nothing that can be read.")


def open_source(source: Source | Path, options: DoubleOptions) -> FrameReader:
    """Open an input of any kind.

    Args:
        source: A path as for `identify_source`, or what that returned.
        options: Start, end and what an input cannot say of itself.

    Raises:
        OpenError: The input cannot be read.
    """
    if isinstance(source, Path):
        source = identify_source(source)
    if options.input_frame_rate is not None and source.pictures is None:
        raise OpenError(
            f"{source.path}: has times of its own; `input_frame_rate` is for picture sequences (a "
            "folder, or a pattern such as frames/%04d.png)."
        )
    return source.kind.open(source, options)


def open_whole_frames(source: Source, options: DoubleOptions) -> FrameReader:
    """Open an input whose frames are to be doubled.

    Raises:
        OpenError: The input cannot be read.
        DecodeError: The input is interlaced, and `options.fields` does not say what to do.
    """
    reader = open_source(source, options)
    try:
        if options.fields != "refuse":
            return FieldReader(reader, options.fields)
        refuse_interlaced(reader.info)
    except BaseException:
        reader.close()
        raise
    return reader


def _open_pictures(source: Source, options: DoubleOptions) -> FrameReader:
    return SequenceReader(
        source.found,
        options.input_frame_rate or DEFAULT_INPUT_RATE,
        options.start_seconds,
        options.end_seconds,
        white_level=options.white_level,
        max_pixels=options.max_pixels,
        keep_going=options.keep_going,
    )


def _open_pipe(source: Source, options: DoubleOptions) -> FrameReader:
    start, end, limits = options.start_seconds, options.end_seconds, options.input_limits
    if source.path == STANDARD_STREAM:
        return PipeReader(_STANDARD_INPUT, start, end, keep_going=options.keep_going, limits=limits)
    return NamedPipeReader(source.path, start, end, keep_going=options.keep_going, limits=limits)


def _open_animation(source: Source, options: DoubleOptions) -> FrameReader:
    reader = WebpReader if source.path.suffix.lower() == ".webp" else AnimationReader
    start, end = options.start_seconds, options.end_seconds
    keep_going, limits = options.keep_going, options.input_limits
    return reader(source.path, source.found, start, end, keep_going=keep_going, limits=limits)


def _open_file(source: Source, options: DoubleOptions) -> FrameReader:
    start, end = options.start_seconds, options.end_seconds
    keep_going, limits = options.keep_going, options.input_limits
    return VideoReader(source.path, start, end, keep_going=keep_going, limits=limits)


# The first that recognizes an input takes it; a video takes what nothing else does.
READERS: list[ReaderKind] = [
    ReaderKind(
        "picture sequence",
        lambda path: find_pictures(path) if is_sequence(path) else None,
        _open_pictures,
    ),
    ReaderKind(
        "pipe",
        lambda path: path == STANDARD_STREAM or path.is_fifo() or None,
        _open_pipe,
        can_repeat=False,
    ),
    ReaderKind("animation", read_animation_timing, _open_animation),
    ReaderKind("video", lambda path: path, _open_file),
]
