"""Asks ffmpeg whether it can write streams of a source into a kind of file."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import av.error

from interp_cli.atomic import temporary_folder
from interp_cli.video.encoding.containers import Container
from interp_cli.video.ffmpeg import file_url, first_reason, open_input, run_ffmpeg
from interp_cli.video.probe import StreamInfo

# Bytes of a trial's file, after which it ends: the first packets of most streams, 0.1 s of PCM.
_TRIAL_BYTES = 20_000
# What ffmpeg refuses, it refuses sooner. Subtitles may begin late in a long file.
TRIAL_SECONDS = 5.0
# Frames of a copied sound that have to be decodable.
_FRAMES = 3


def why_refused(
    inputs: Sequence[str],
    arguments: Sequence[str],
    copies: Iterable[StreamInfo],
    container: Container,
) -> str:
    """Write streams into a temporary file, and see that copies come back as what they were.

    Muxers take streams that no demuxer recognizes afterwards, so a copy is read back.

    Args:
        inputs: Arguments that open the source in ffmpeg, as input 1.
        arguments: Arguments that map its streams, with one video before them.
        copies: The copied streams among them.
        container: Kind of the file.

    Returns:
        The reason why that fails; empty where it works, or where ffmpeg has not refused it within
        `TRIAL_SECONDS`.
    """
    limits = ("-fs", str(_TRIAL_BYTES))
    with temporary_folder("interp-trial-") as folder:
        path = Path(folder) / f"trial{container.ending}"
        try:
            run = _written(path, inputs, (*arguments, *limits), container, TRIAL_SECONDS)
        except subprocess.TimeoutExpired:
            return ""
        if run.returncode:
            return first_reason(run)
        return _why_changed(path, copies)


def why_failed(
    inputs: Sequence[str], arguments: Sequence[str], container: Container, scratch: Path | None
) -> str:
    """Write streams from their first packets to their last into a temporary file.

    Args:
        inputs: As for `why_refused`.
        arguments: As for `why_refused`.
        container: Kind of the file.
        scratch: Folder for the file; `None`: that of the system.

    Returns:
        The reason why that fails; empty where it works.
    """
    with temporary_folder("trial-", scratch) as folder:
        path = Path(folder) / f"trial{container.ending}"
        run = _written(path, inputs, arguments, container, None)
        return first_reason(run) if run.returncode else ""


def _written(
    path: Path,
    inputs: Sequence[str],
    arguments: Sequence[str],
    container: Container,
    timeout_seconds: float | None,
) -> subprocess.CompletedProcess[str]:
    """Have ffmpeg write streams beside a picture, which stands for the video."""
    return run_ffmpeg(
        *("-v", "error", "-nostdin", "-copyts"),
        *("-f", "lavfi", "-i", "color=size=64x64:duration=0.04", *inputs),
        *("-map", "0:v", "-c:v:0", container.encoder, "-map_metadata", "-1"),
        *("-map_chapters", "-1", "-max_muxing_queue_size", "65536", *arguments),
        *("-f", container.muxer, file_url(path)),
        timeout_seconds=timeout_seconds,
    )


def _why_changed(path: Path, copies: Iterable[StreamInfo]) -> str:
    """How copies of streams differ from the streams; empty where they do not."""
    expected = Counter(_kind_of(s.kind, s.codec if s.is_decodable else "") for s in copies)
    try:
        with open_input(path) as container:
            found: Counter[tuple[str, str]] = Counter()
            for stream in list(container.streams)[1:]:
                context = stream.codec_context
                codec = context.codec.canonical_name if context else ""
                found[_kind_of(stream.type or "data", codec)] += 1
            if lost := next(iter(expected - found), None):
                return f"a copy is no longer recognized as {lost[1] or lost[0]}"
            for track in container.streams.audio:
                if track.codec_context:
                    container.seek(0)
                    list(islice(container.decode(track), _FRAMES))
    except av.error.FFmpegError as error:
        return f"a copy cannot be decoded ({error.strerror})"
    return ""


def _kind_of(kind: str, codec: str) -> tuple[str, str]:
    """Kind and codec of a stream; fonts and data have no codec by which they are recognized."""
    return kind, "" if kind in ("attachment", "data") else codec
