"""What can be read: a video, a picture sequence, an animation or a pipe, told by its name."""

from __future__ import annotations

from pathlib import Path

from interp_cli.errors import OpenError
from interp_cli.options import DEFAULT_INPUT_RATE, DoubleOptions
from interp_cli.video.images.animation_timing import animation_facts
from interp_cli.video.images.sequence_names import is_sequence
from interp_cli.video.readers.animation import AnimationReader, WebpReader
from interp_cli.video.readers.base import FrameReader
from interp_cli.video.readers.file import VideoReader
from interp_cli.video.readers.pipe import PipeReader
from interp_cli.video.readers.sequence import SequenceReader

STANDARD_STREAM = Path("-")
_STANDARD_INPUT = 0


def open_source(source: Path, options: DoubleOptions) -> FrameReader:
    """Open an input of any kind.

    Args:
        source: A file, a folder, a pattern such as `frames/%04d.png` or `frames/*.png`, or `-`.
        options: Where to begin and to stop, and what an input cannot say of itself.

    Raises:
        OpenError: It cannot be read.
    """
    start, end, keep_going = options.start_seconds, options.end_seconds, options.keep_going
    if is_sequence(source):
        rate = options.input_frame_rate or DEFAULT_INPUT_RATE
        return SequenceReader(
            source, rate, start, end, white_level=options.white_level, keep_going=keep_going
        )
    if options.input_frame_rate is not None:
        raise OpenError(
            f"{source}: has times of its own; --input-fps is for picture sequences (a folder, or "
            "a pattern such as frames/%04d.png)."
        )
    if source == STANDARD_STREAM:
        return PipeReader(_STANDARD_INPUT, start, end, keep_going=keep_going)
    facts = animation_facts(source)
    if facts is None:
        return VideoReader(source, start, end, keep_going=keep_going)
    kind = WebpReader if source.suffix.lower() == ".webp" else AnimationReader
    return kind(source, facts, start, end, keep_going=keep_going)
