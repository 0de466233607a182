"""What can be written: a picture sequence, a pipe, an animation or a video, by its name.

A new kind of output is one writer and one row of `WRITERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from interp_cli.atomic import AtomicPath, real_path
from interp_cli.errors import EncodeError
from interp_cli.options import DoubleOptions, EncodeOptions
from interp_cli.video.encoding.commands import SideStreams
from interp_cli.video.encoding.containers import container_of, is_container
from interp_cli.video.encoding.encoders import further_options
from interp_cli.video.encoding.frame_tags import FrameTags
from interp_cli.video.encoding.passthrough import check_ffmpeg_output
from interp_cli.video.images.codecs import image_codec_of
from interp_cli.video.images.sequence_names import is_sequence_target, parse_target
from interp_cli.video.readers.base import FrameReader
from interp_cli.video.readers.open import STANDARD_STREAM, Source
from interp_cli.video.readers.sequence import SequenceReader
from interp_cli.video.writers.animation import AnimationWriter, animation_encoder, is_animation
from interp_cli.video.writers.base import FrameWriter
from interp_cli.video.writers.file import VideoWriter
from interp_cli.video.writers.journal import SegmentJournal
from interp_cli.video.writers.kept_frames import check_completed, work_folder
from interp_cli.video.writers.pipe import PipeWriter
from interp_cli.video.writers.segmented import SegmentedWriter
from interp_cli.video.writers.sequence import SequenceWriter

_STANDARD_OUTPUT = 1
_MAX_MATROSKA_RATE = 1000


@dataclass(frozen=True, slots=True)
class Output:
    """What a writer is given to write.

    Attributes:
        reader: The input that the frames come from.
        tags: What the frames are.
        time_base: Unit of the time stamps, in seconds.
        frame_rate: Nominal rate.
        last_seconds: Duration of the last frame.
        options: Settings.
        scratch: Folder for what is unfinished, on the file system of the output.
        side: Source of audio and the other streams; `None`: the video alone.
        journal: Journal of finished segments; `None`: the output is made in one go.
    """

    reader: FrameReader
    tags: FrameTags
    time_base: Fraction
    frame_rate: Fraction
    last_seconds: Fraction
    options: DoubleOptions
    scratch: Path
    side: SideStreams | None = None
    journal: SegmentJournal | None = None

    def atomic(self, target: Path, name: str = "whole") -> AtomicPath:
        """Where a file of the output is until it is complete, and how it takes its name."""
        part = self.scratch / f"{name}{target.suffix}"
        return AtomicPath(target, part, overwrite=self.options.overwrite)


@dataclass(frozen=True, slots=True)
class WriterKind:
    """A kind of output.

    Attributes:
        name: Name for messages, such as `picture sequence`.
        recognize: Returns what it finds in a path, given the input; `None` if the output is of
            another kind.
        check: Raises `EncodeError` if the output could not be written in the end.
        open: Opens the writer.
        has_segments: Whether finished frames can be kept, to go on from after an interruption.
    """

    name: str
    recognize: Callable[[Path, Source], object | None]
    check: Callable[[Target, DoubleOptions], None]
    open: Callable[[Target, Output], FrameWriter]
    has_segments: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """An output whose kind is known.

    Attributes:
        path: The path that the user gave.
        source: The input.
        kind: What it is.
        found: What `WriterKind.recognize` found, such as the names of a picture sequence.
    """

    path: Path
    source: Source
    kind: WriterKind
    found: Any

    @property
    def is_resumable(self) -> bool:
        """Whether finished frames can be kept and the input be read again to go on."""
        return self.kind.has_segments and self.source.kind.can_repeat


def is_written(path: Path) -> bool:
    """Whether a name's ending is one of a single file that is written."""
    return is_container(path) or is_animation(path)


def identify_target(path: Path, source: Source) -> Target:
    """Decide what an output is.

    Args:
        path: A file, a pattern such as `out/%04d.png`, a folder where pictures come in, or `-`.
        source: The input.

    Raises:
        EncodeError: It is of no kind that is written.
    """
    for kind in WRITERS:
        found = kind.recognize(path, source)
        if found is not None:
            return Target(path, source, kind, found)
    codec = image_codec_of(path)
    if codec is not None:
        raise EncodeError(
            f"{path}: one {codec.name} file holds one picture; give a pattern, such as "
            f"{path.with_name(f'{path.stem}_%06d{path.suffix}')}."
        )
    container_of(path)  # says which endings there are
    raise EncodeError(f"{path}: is nothing that can be written.")


def check_target(target: Target, options: DoubleOptions) -> None:
    """Refuse, before any work, an output that could not be written in the end.

    Raises:
        EncodeError: The target exists, is the input, cannot be resumed or has no such setting.
    """
    if options.output_format is not None and target.path != STANDARD_STREAM:
        raise EncodeError(f"{target.path}: `output_format` is for a pipe as output (-).")
    if options.resume and not target.is_resumable:
        raise EncodeError(
            f"{target.path}: `resume` goes on with a video or with pictures; an animation and a "
            "pipe are made in one go."
        )
    if target.path != STANDARD_STREAM:
        work_folder(target.path).refuse_foreign()
    if target.kind.has_segments:
        check_completed(target.path, options, can_resume=target.is_resumable)
    target.kind.check(target, options)


def open_target(target: Target, output: Output) -> FrameWriter:
    """Open the writer for what comes out.

    Raises:
        EncodeError: The target cannot be written, or not with these settings.
    """
    if output.tags.pixel_format.is_float and target.kind is not _PICTURES:
        raise EncodeError(
            f"{target.path}: holds no floating-point values; write .exr or .tif pictures, or "
            "convert the input first."
        )
    return target.kind.open(target, output)


def input_warnings(reader: FrameReader, target: Target, options: DoubleOptions) -> tuple[str, ...]:
    """What a user should know of an input that goes to `target`."""
    if target.source.pictures is None:
        return (*reader.warnings, *_streams_left_out(reader, target, options))
    # Pictures have no rate, so nothing was assumed if pictures come out.
    if options.input_frame_rate is not None or target.kind is _PICTURES:
        return reader.warnings
    assumed = (
        f"{reader.info.frame_rate} pictures a second are assumed; `input_frame_rate` says "
        "otherwise."
    )
    return (*reader.warnings, assumed)


def _streams_left_out(
    reader: FrameReader, target: Target, options: DoubleOptions
) -> tuple[str, ...]:
    """Requested streams for which pictures, animations and pipes have no place."""
    if not reader.has_side_streams or target.kind is _VIDEO:
        return ()
    streams = [s for s in reader.info.streams if options.audio or s.kind != "audio"]
    lost = ", ".join(f"{s.kind} ({s.codec or 'unknown'})" for s in streams)
    return (f"{target.path}: holds no more than the video; left out: {lost}.",) if lost else ()


def _check_pipe(target: Target, options: DoubleOptions) -> None:
    _refuse_settings(options.encode, target.path, "a pipe carries raw frames")


def _open_pipe(target: Target, output: Output) -> FrameWriter:
    is_y4m = output.reader.info.container == "yuv4mpegpipe"
    output_format = output.options.output_format or ("y4m" if is_y4m else "nut")
    return PipeWriter(
        _STANDARD_OUTPUT, output_format, output.tags, output.time_base, output.frame_rate
    )


def _check_pictures(target: Target, options: DoubleOptions) -> None:
    _refuse_settings(options.encode, target.path, "the kind of picture says how it is stored")
    names, codec = target.found
    existing = set(names.existing().values())
    if target.source.pictures is not None:
        own = {path.resolve() for path in target.source.files}
        if own & {path.resolve() for path in existing}:
            raise EncodeError(f"{target.path}: is the input itself; choose another folder or name.")
    if existing and not options.overwrite:
        raise EncodeError(
            f"{target.path}: {len(existing)} such {codec.name} files exist; use `overwrite` to "
            "replace them."
        )


def _open_pictures(target: Target, output: Output) -> FrameWriter:
    names, codec = target.found
    source = output.reader if isinstance(output.reader, SequenceReader) else None
    return SequenceWriter(
        names,
        codec,
        output.tags,
        output.time_base,
        output.frame_rate,
        output.scratch,
        source,
        output.journal,
        overwrite=output.options.overwrite,
    )


def _check_animation(target: Target, options: DoubleOptions) -> None:
    own = animation_encoder(target.path)
    why = f"such a file has one encoder, {own} (`options` sets it)"
    allowed = ("options", "encoder") if options.encode.encoder == own else ("options",)
    _refuse_settings(options.encode, target.path, why, allowed)
    further_options(own, options.encode.options)  # libav would ignore what it does not know
    _check_file(target, options)


def _open_animation(target: Target, output: Output) -> FrameWriter:
    info = output.reader.info
    return AnimationWriter(
        target.path,
        output.tags,
        output.time_base,
        output.frame_rate,
        output.last_seconds,
        output.options.encode,
        output.reader.plays,
        info.pixel_format if info.codec == "apng" else "",
        output.atomic(target.path),
    )


def _check_file(target: Target, options: DoubleOptions) -> None:
    path, source = target.path, target.source.path
    if real_path(path).is_symlink():
        raise EncodeError(f"{path}: is a link that leads back to itself; remove it.")
    if not path.exists():
        return
    if path.is_dir():
        raise EncodeError(
            f"{path}: is a folder; a file name is expected, or for pictures a pattern such as "
            f"{path}/%06d.png."
        )
    if not path.is_file():
        raise EncodeError(
            f"{path}: is a named pipe or a device, not a file; write to - and send that there, as "
            f"in: interp double IN - > {path}"
        )
    if source.exists() and path.samefile(source):
        raise EncodeError(f"{path}: is the input itself; choose another name.")
    if not options.overwrite:
        raise EncodeError(f"{path}: exists; use `overwrite` to replace it.")


def _check_video(target: Target, options: DoubleOptions) -> None:
    check_ffmpeg_output(options.encode, container_of(target.path))
    _check_file(target, options)


def _open_video(target: Target, output: Output) -> FrameWriter:
    is_matroska = target.path.suffix.lower() in (".mkv", ".webm")
    if output.frame_rate > _MAX_MATROSKA_RATE and is_matroska:
        raise EncodeError(
            f"{target.path}: {float(output.frame_rate):.6g} frames a second do not fit: the format "
            "counts whole milliseconds; choose .mp4 or .mov."
        )
    frames = (output.tags, output.time_base, output.frame_rate, output.options.encode, output.side)
    if output.journal is not None:
        joined = output.atomic(target.path, "joined")
        return SegmentedWriter(target.path, *frames, output.journal, joined)
    return VideoWriter(target.path, *frames, output.atomic(target.path))


def _refuse_settings(
    options: EncodeOptions, target: Path, why: str, allowed: tuple[str, ...] = ()
) -> None:
    """Raise `EncodeError` if an encoder's settings were given to an output that has none."""
    names = ("encoder", "crf", "preset", "pixel_format", "options", "ffmpeg_output")
    given = [
        f"`{name}`"
        for name in names
        if name not in allowed and getattr(options, name) not in (None, ())
    ]
    if given:
        raise EncodeError(f"{target}: {' and '.join(given)} cannot be used, since {why}.")


def _picture_names(path: Path, source: Source) -> object | None:
    if not is_sequence_target(path, source.pictures):
        return None
    return parse_target(path, source.pictures)


_PICTURES = WriterKind(
    "picture sequence", _picture_names, _check_pictures, _open_pictures, has_segments=True
)
_VIDEO = WriterKind(
    "video",
    lambda path, _: path if is_container(path) else None,
    _check_video,
    _open_video,
    has_segments=True,
)
# The first that recognizes an output takes it.
WRITERS: list[WriterKind] = [
    WriterKind("pipe", lambda path, _: path == STANDARD_STREAM or None, _check_pipe, _open_pipe),
    _PICTURES,
    WriterKind(
        "animation",
        lambda path, _: path if is_animation(path) else None,
        _check_animation,
        _open_animation,
    ),
    _VIDEO,
]
