"""What can be written: a video, a picture sequence, an animation or a pipe, told by its name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from interp_cli.errors import EncodeError
from interp_cli.options import DoubleOptions
from interp_cli.video.encoding.commands import SideStreams
from interp_cli.video.encoding.containers import container_of, is_container
from interp_cli.video.encoding.frame_tags import FrameTags
from interp_cli.video.encoding.passthrough import check_ffmpeg_output
from interp_cli.video.images.codecs import image_codec_of
from interp_cli.video.images.sequence_names import (
    PictureFiles,
    find_pictures,
    is_sequence,
    is_sequence_target,
    parse_target,
)
from interp_cli.video.readers.base import FrameReader
from interp_cli.video.readers.open import STANDARD_STREAM
from interp_cli.video.readers.sequence import SequenceReader
from interp_cli.video.writers.animation import AnimationWriter, animation_encoder, is_animation
from interp_cli.video.writers.base import FrameWriter
from interp_cli.video.writers.file import VideoWriter
from interp_cli.video.writers.journal import SegmentJournal, check_completed
from interp_cli.video.writers.pipe import PipeWriter
from interp_cli.video.writers.segmented import SegmentedWriter
from interp_cli.video.writers.sequence import SequenceWriter

_STANDARD_OUTPUT = 1


@dataclass(frozen=True, slots=True)
class OutputTiming:
    """When the frames of an output stand.

    Attributes:
        time_base: Unit of the time stamps, in seconds.
        frame_rate: The nominal rate.
        last_seconds: How long the last frame stands.
    """

    time_base: Fraction
    frame_rate: Fraction
    last_seconds: Fraction


def is_written(path: Path) -> bool:
    """Whether a name's ending is one of a single file that is written."""
    return is_container(path) or is_animation(path)


def is_resumable(source: Path, target: Path) -> bool:
    """Whether finished frames can be kept, and the source be read again to go on."""
    if STANDARD_STREAM in (source, target):
        return False
    pictures = find_pictures(source) if is_sequence(source) else None
    return is_sequence_target(target, pictures) or is_container(target)


def check_target(source: Path, target: Path, options: DoubleOptions) -> None:
    """Refuse, before any work, an output that could not be written in the end.

    Raises:
        OpenError: The source names pictures and none is there.
        EncodeError: The target is of no kind that is written, exists, or is the input.
    """
    if options.output_format is not None and target != STANDARD_STREAM:
        raise EncodeError(f"{target}: --output-format is for a pipe as output (-).")
    if options.resume and not is_resumable(source, target):
        raise EncodeError(
            f"{target}: --resume goes on with a video or with pictures; an animation and a pipe "
            "are made in one go."
        )
    if target != STANDARD_STREAM:
        check_completed(target, options)
    pictures = find_pictures(source) if is_sequence(source) else None
    if target == STANDARD_STREAM:
        _refuse_settings(options, target, "a pipe carries raw frames")
        return
    if is_sequence_target(target, pictures):
        _refuse_settings(options, target, "the kind of picture says how it is stored")
        _check_sequence(target, pictures, overwrite=options.overwrite)
        return
    _check_ending(target)
    if is_container(target):
        check_ffmpeg_output(options.encode, container_of(target))
    if is_animation(target):
        own = animation_encoder(target)
        chosen = None if options.encode.encoder == own else options.encode.encoder
        others = replace(options.encode, encoder=chosen, options=())
        why = f"such a file has one encoder, {own} (--encoder-option sets it)"
        _refuse_settings(replace(options, encode=others), target, why)
    if not target.exists():
        return
    if target.is_dir():
        raise EncodeError(
            f"{target}: is a folder; a file name is expected, or for pictures a pattern such as "
            f"{target}/%06d.png."
        )
    if source.exists() and target.samefile(source):
        raise EncodeError(f"{target}: is the input itself; choose another name.")
    if not options.overwrite:
        raise EncodeError(f"{target}: exists; use --overwrite to replace it.")


def open_target(
    target: Path,
    reader: FrameReader,
    picture: FrameTags,
    timing: OutputTiming,
    options: DoubleOptions,
    side: SideStreams | None,
    kept: SegmentJournal | None = None,
) -> FrameWriter:
    """Open the writer for what comes out.

    Args:
        target: A file, a pattern, a folder or `-`.
        reader: The input.
        picture: What the frames are.
        timing: When they stand.
        options: Settings.
        side: Where sound and the rest come from.
        kept: Where finished frames are kept; `None`: the output is made in one go.

    Raises:
        EncodeError: The target cannot be written, or not with these settings.
    """
    pictures = reader.pictures if isinstance(reader, SequenceReader) else None
    rates = (timing.time_base, timing.frame_rate)
    if is_sequence_target(target, pictures):
        names, kind = parse_target(target, pictures)
        source = reader if isinstance(reader, SequenceReader) else None
        return SequenceWriter(names, kind, picture, *rates, source, kept)
    if picture.layout.is_float:
        raise EncodeError(
            f"{target}: holds no floating-point values; write .exr or .tif pictures, or convert "
            "the input first."
        )
    if target == STANDARD_STREAM:
        is_y4m = reader.info.container == "yuv4mpegpipe"
        output_format = options.output_format or ("y4m" if is_y4m else "nut")
        return PipeWriter(_STANDARD_OUTPUT, output_format, picture, *rates)
    if is_animation(target):
        own_format = reader.info.pixel_format if reader.info.codec == "apng" else ""
        return AnimationWriter(
            target, picture, *rates, timing.last_seconds, options.encode, reader.plays, own_format
        )
    if timing.frame_rate > 1000 and target.suffix.lower() in (".mkv", ".webm"):
        raise EncodeError(
            f"{target}: {float(timing.frame_rate):.6g} frames a second do not fit: the format "
            "counts whole milliseconds; choose .mp4 or .mov."
        )
    if kept is not None:
        return SegmentedWriter(target, picture, *rates, options.encode, side, kept)
    return VideoWriter(target, picture, *rates, options.encode, side)


def notes_on(reader: FrameReader, target: Path, options: DoubleOptions) -> tuple[str, ...]:
    """What a user should know of an input that goes to `target`."""
    if not isinstance(reader, SequenceReader):
        return (*reader.warnings, *_streams_left_out(reader, target, options))
    if options.input_frame_rate is not None:
        return reader.warnings
    if is_sequence_target(target, reader.pictures):  # no rate is written
        return reader.warnings
    rate = f"{reader.info.frame_rate} pictures a second are assumed; --input-fps says otherwise."
    return (*reader.warnings, rate)


def _streams_left_out(reader: FrameReader, target: Path, options: DoubleOptions) -> tuple[str, ...]:
    """What pictures, animations and pipes have no place for, as far as it was wanted."""
    if not reader.has_side_streams or is_container(target):
        return ()
    streams = [s for s in reader.info.streams if options.audio or s.kind != "audio"]
    lost = ", ".join(f"{s.kind} ({s.codec or 'unknown'})" for s in streams)
    return (f"{target}: holds no more than the video; left out: {lost}.",) if lost else ()


def _check_ending(target: Path) -> None:
    """Whether the ending is one that a single file can have."""
    kind = image_codec_of(target)
    if is_animation(target):
        return
    if kind is not None:
        raise EncodeError(
            f"{target}: one {kind.name} file holds one picture; give a pattern, such as "
            f"{target.with_name(f'{target.stem}_%06d{target.suffix}')}."
        )
    container_of(target)


def _check_sequence(target: Path, pictures: PictureFiles | None, *, overwrite: bool) -> None:
    names, kind = parse_target(target, pictures)
    existing = set(names.existing().values())
    if pictures is not None:
        own = {path.resolve() for path in pictures.files}
        if own & {path.resolve() for path in existing}:
            raise EncodeError(f"{target}: is the input itself; choose another folder or name.")
    if existing and not overwrite:
        raise EncodeError(
            f"{target}: {len(existing)} such {kind.name} files exist; use --overwrite to replace "
            "them."
        )


def _refuse_settings(options: DoubleOptions, target: Path, why: str) -> None:
    encode = options.encode
    given = [
        flag
        for flag, value in (
            ("--encoder", encode.encoder),
            ("--crf", encode.crf),
            ("--preset", encode.preset),
            ("--pixel-format", encode.pixel_format),
            ("--encoder-option", encode.options),
            ("--ffmpeg-output", encode.ffmpeg_output),
        )
        if value not in (None, ())
    ]
    if given:
        raise EncodeError(f"{target}: {' and '.join(given)} cannot be used, since {why}.")
