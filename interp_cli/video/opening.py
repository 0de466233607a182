"""What is opened as a video, within which limits, and which of its streams is the video."""

from __future__ import annotations

import contextlib
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import IO

import av
import av.error
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from interp_cli.errors import OpenError
from interp_cli.options import DEFAULT_LIMITS, InputLimits
from interp_cli.video.ffmpeg import NAMING_OTHERS, all_packets, open_input

# Number of packets after which a stream that had one of them counts as a single picture.
_COUNTED_PACKETS = 2000


def open_video(
    path: str | Path, limits: InputLimits = DEFAULT_LIMITS
) -> tuple[InputContainer, VideoStream]:
    """Open a file and choose its video stream; see `choose_video`.

    Args:
        path: The file.
        limits: What is accepted.

    Raises:
        OpenError: The file is missing, empty, a folder, no media file, has no video that can be
            decoded, or is beyond the limits.
    """
    path = Path(path)
    _check_file(path)
    container = _open_container(path, limits)
    try:
        stream = choose_video(container, path)
        check_size(path, stream.codec_context.width, stream.codec_context.height, limits)
        # A picture that grows later is refused by the decoder.
        stream.codec_context.options = limits.decoder_options
    except BaseException:
        container.close()
        raise
    return container, stream


def check_size(path: Path, width: int, height: int, limits: InputLimits) -> None:
    """Refuse pictures that are too large.

    Raises:
        OpenError: They are.
    """
    if width * height > limits.max_pixels:
        raise OpenError(
            f"{path}: its pictures are {width}x{height}, {width * height:,} pixels each, and at "
            f"most {limits.max_pixels:,} are accepted. Doubling accepts more with `max_pixels`."
        )


def choose_video(container: InputContainer, path: Path) -> VideoStream:
    """The video of a file: what `ffmpeg` would choose, if that moves.

    Cover pictures, streams without a decoder and single pictures beside a film do not count.
    Among several, those that the file marks as default come first, then the largest.

    Args:
        container: The open file.
        path: Its path; where it is no file, single pictures are known from the header alone.

    Raises:
        OpenError: There is none.
    """
    videos = [s for s in container.streams.video if not _has_role(s, Disposition.attached_pic)]
    if not videos:
        kinds = sorted({stream.type or "unknown" for stream in container.streams})
        raise OpenError(f"{path}: has no video stream (found: {', '.join(kinds) or 'nothing'}).")
    # PyAV makes no context where FFmpeg has no decoder.
    known = [stream for stream in videos if stream.codec_context is not None]
    if not known:
        raise OpenError(
            f"{path}: FFmpeg has no decoder for its video (in the format {container.format.name})."
            " Convert it with a program that reads it."
        )
    if len(known) > 1:
        known = _moving(known, path) or known
    return max(known, key=_preference)


def _preference(stream: VideoStream) -> tuple[bool, int]:
    pixels = stream.codec_context.width * stream.codec_context.height
    return _has_role(stream, Disposition.default), pixels


def _has_role(stream: VideoStream, role: Disposition) -> bool:
    return bool(int(stream.disposition) & role.value)


def _moving(streams: list[VideoStream], path: Path) -> list[VideoStream]:
    """The streams that have more than one picture."""
    if all(stream.frames for stream in streams) or not path.is_file():
        return [stream for stream in streams if stream.frames != 1]
    counts = dict.fromkeys((stream.index for stream in streams), 0)
    with open_input(path) as container:
        try:
            for packet in islice(all_packets(container), _COUNTED_PACKETS):
                if packet.size and packet.stream.index in counts:
                    counts[packet.stream.index] += 1
                if min(counts.values()) > 1:
                    break
        except av.error.FFmpegError:  # damage is reported where the pictures are read
            pass
    return [stream for stream in streams if counts[stream.index] > 1]


def _check_file(path: Path) -> None:
    if not path.exists():
        raise OpenError(f"{path}: no such file.")
    if path.is_dir():
        raise OpenError(f"{path}: is a folder; a video file is expected.")
    if path.is_fifo():
        raise OpenError(f"{path}: is a pipe, and a file is expected. Write it to a file first.")
    if not path.is_file():
        raise OpenError(f"{path}: is a device or a socket; a video file is expected.")
    if path.stat().st_size == 0:
        raise OpenError(f"{path}: the file is empty.")


def _open_container(path: Path, limits: InputLimits) -> InputContainer:
    try:
        if limits.allow_playlist_files:
            return open_input(path)
        try:
            return open_input(path, without=NAMING_OTHERS)
        except av.error.ArgumentError:
            # FFmpeg recognized a format that was excluded, or it is another error.
            _check_playlist(path, path.stat().st_mtime_ns)
            return open_input(path)
    except av.error.PermissionError as error:
        raise OpenError(f"{path}: may not be read (permission denied).") from error
    except av.error.FFmpegError as error:
        raise OpenError(
            f"{path}: is no video that FFmpeg can read, or a damaged one ({error.strerror})."
        ) from error


@lru_cache(maxsize=8)
def _check_playlist(path: Path, _modified: int) -> None:
    """Refuse a playlist that names a file outside its own folder.

    A playlist is read to its end once, because FFmpeg opens each of its files when it is due.

    Raises:
        OpenError: It names such a file, or one that is not there.
        FFmpegError: It is no playlist, or none that FFmpeg reads.
    """
    home = path.parent.resolve()

    def opened(url: str, _flags: int, _options: dict[str, str]) -> IO[bytes]:
        name = url.removeprefix("file:")
        # A URL may have an empty host, as in file:///folder.
        target = Path(f"/{name.lstrip('/')}" if name.startswith("/") else name).resolve()
        if not target.is_relative_to(home):
            raise _foreign(path, name)
        try:
            # FFmpeg closes what it is done with; what an error leaves open is closed below.
            return stack.enter_context(target.open("rb"))
        except OSError as error:
            raise OpenError(
                f"{path}: is a playlist whose file {target.name} cannot be read "
                f"({error.strerror}). Copy its files as well."
            ) from error

    others = NAMING_OTHERS - {"hls"}
    try:
        with (
            contextlib.ExitStack() as stack,
            open_input(path, without=others, opened=opened) as container,
        ):
            for _ in all_packets(container):
                pass
    except av.error.FFmpegError:
        _check_list(path)


def _check_list(path: Path) -> None:
    """Refuse a concat list with a name that FFmpeg does not call safe.

    Raises:
        OpenError: It has one.
        FFmpegError: It is no such list.
    """
    try:
        open_input(path, without=NAMING_OTHERS - {"concat"}, safe=True).close()
    except av.error.PermissionError as error:
        raise _foreign(path, "an absolute or unusual name") from error


def _foreign(path: Path, name: str) -> OpenError:
    return OpenError(
        f"{path}: is a playlist that names a file outside its folder ({name}). If you trust it, "
        "double it with `allow_playlist_files`."
    )
