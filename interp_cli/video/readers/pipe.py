"""Frames out of a pipe, such as the standard input."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import select
import sys
import threading
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from interp_cli.errors import OpenError
from interp_cli.options import DEFAULT_LIMITS, InputLimits
from interp_cli.video.decoding import PictureDecoder
from interp_cli.video.ffmpeg import NAMING_OTHERS, format_options
from interp_cli.video.health import Health
from interp_cli.video.opening import check_size, choose_video
from interp_cli.video.probe import describe
from interp_cli.video.readers.file import VideoReader
from interp_cli.video.truncation import Y4M_HEAD_BYTES, y4m_missing_bytes

# Size of FFmpeg's reads and writes; a callback for each 32 KiB costs more than the copying.
_BUFFER_BYTES = 1 << 20


# Interval at which a reader that waits for input checks whether it has to stop.
_PAUSE_SECONDS = 0.1


class PipeReader(VideoReader):
    """Reads the frames of a video from a pipe."""

    has_side_streams = False

    def __init__(
        self,
        pipe: int,
        start_seconds: float | None = None,
        end_seconds: float | None = None,
        *,
        name: str = "standard input",
        keep_going: bool = False,
        depth: int = 8,
        limits: InputLimits = DEFAULT_LIMITS,
    ) -> None:
        """Wait for the header and the first picture.

        Args:
            pipe: File descriptor, which stays open.
            start_seconds: See `VideoReader`; earlier frames are decoded and dropped.
            end_seconds: See `VideoReader`.
            name: Name of the pipe in messages.
            keep_going: See `VideoReader`.
            depth: See `VideoReader`.
            limits: See `VideoReader`.

        Raises:
            OpenError: The pipe carries no video.
        """
        if os.isatty(pipe):
            raise OpenError(f"{name}: is a terminal; pipe a video in, or name a file.")
        self._input = _Interruptible(pipe)
        try:
            with self._input.passing_interrupts():
                self._container = av.open(
                    self._input,
                    "r",
                    # A playlist in a pipe has no folder whose files it may name.
                    container_options=format_options(NAMING_OTHERS),
                    metadata_errors="replace",
                    buffer_size=_BUFFER_BYTES,
                )
        except av.error.FFmpegError as error:
            raise OpenError(
                f"{name}: is no video that FFmpeg can read from a pipe ({error.strerror}); "
                "YUV4MPEG2, NUT, Matroska or MPEG-TS is expected."
            ) from error
        try:
            self._stream = choose_video(self._container, Path(name))
            context = self._stream.codec_context
            check_size(Path(name), context.width, context.height, limits)
            context.options = limits.decoder_options
            self._stream.thread_type = "AUTO"
            decoder = PictureDecoder(self._container, self._stream, exact=keep_going)
            self._decoding = decoder.pictures()
            with self._input.passing_interrupts():
                first = next(self._decoding, None)
            if first is not None:
                check_size(Path(name), first.width, first.height, limits)
            else:
                found = decoder.health.reason or "it is empty"
                raise OpenError(f"{name}: no picture can be decoded ({found}).")
        except BaseException:
            self._container.close()
            raise
        self._first = first
        self._decoder = decoder
        info = describe(self._container, self._stream, first, Path(name))
        super().__init__(
            name, start_seconds, end_seconds, keep_going=keep_going, depth=depth, info=info
        )
        lost = ", ".join(f"{s.kind} ({s.codec or 'unknown'})" for s in info.streams)
        if lost:
            self.warnings = (f"a pipe is read once, so its {lost} is left out.",)

    def close(self) -> None:
        """Stop reading, even if the pipe has more."""
        self._input.stop()
        super().close()
        self._decoding.close()
        self._container.close()

    def _open(self) -> tuple[InputContainer, VideoStream]:
        return self._container, self._stream

    def _decoded(self, container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
        image = self._first
        for image in itertools.chain((self._first,), self._decoding):
            yield image
        if self._input.is_cut_off(image):
            self.health.note("the stream ends within a frame")

    def _new_health(self) -> Health:
        health = self._decoder.health  # it has what was found with the first picture
        health.start_seconds, health.end_seconds = self._start, self._end
        health.origin_seconds = self.info.video_start_seconds
        return health

    def _lost_data(self) -> Iterable[tuple[str, Fraction | None]]:
        return ()

    def _again(self) -> VideoReader | None:
        return None


class NamedPipeReader(PipeReader):
    """Reads the frames of a video from a pipe that has a path, such as `<(command)` in a shell."""

    def __init__(
        self,
        path: Path,
        start_seconds: float | None = None,
        end_seconds: float | None = None,
        *,
        keep_going: bool = False,
        limits: InputLimits = DEFAULT_LIMITS,
    ) -> None:
        """Wait for a program that writes to `path`; see `PipeReader`."""
        try:
            self._file = path.open("rb", buffering=0)
        except OSError as error:
            raise OpenError(f"{path}: cannot be read ({error.strerror}).") from error
        try:
            super().__init__(
                self._file.fileno(),
                start_seconds,
                end_seconds,
                name=str(path),
                keep_going=keep_going,
                limits=limits,
            )
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Stop reading, even if the pipe has more."""
        super().close()
        self._file.close()


class _Interruptible(io.RawIOBase):
    """A pipe whose reader can be stopped while it waits."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._stopped = threading.Event()
        self._head = b""
        self._bytes_read = 0
        self._interrupt: KeyboardInterrupt | None = None

    def stop(self) -> None:
        """Let the pipe look as if it had ended."""
        self._stopped.set()

    def readable(self) -> bool:
        return True

    @contextlib.contextmanager
    def passing_interrupts(self) -> Iterator[None]:
        """Raise the interrupt that came while the main thread read, which PyAV would drop."""
        try:
            yield
        finally:
            if self._interrupt is not None:
                raise self._interrupt

    def read(self, size: int = -1) -> bytes:
        try:
            return self._read(size)
        except KeyboardInterrupt as interrupt:
            self._interrupt = interrupt
            self.stop()
            return b""

    def _read(self, size: int) -> bytes:
        while not self._stopped.is_set():
            # Windows cannot wait for pipes with a timeout.
            if sys.platform == "win32" or select.select([self._pipe], [], [], _PAUSE_SECONDS)[0]:
                content = os.read(self._pipe, max(size, 0))
                if len(self._head) < Y4M_HEAD_BYTES:
                    self._head += content[:Y4M_HEAD_BYTES]
                self._bytes_read += len(content)
                return content
        return b""

    def is_cut_off(self, image: av.VideoFrame) -> bool:
        """Whether a YUV4MPEG2 stream ended within a frame, which FFmpeg does not report."""
        ended = not self._stopped.is_set()
        return ended and y4m_missing_bytes(self._head, self._bytes_read, image) > 0
