"""What every reader has in common, and the thread in which most of them decode ahead."""

from __future__ import annotations

import contextlib
import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

import av
import av.error

from interp_cli.errors import DecodeError
from interp_cli.video.health import Health
from interp_cli.video.probe import VideoInfo

# What FFmpeg says of a file that is whole, but beyond it.
_UNKNOWN_FEATURE = "Not yet implemented in FFmpeg"


@dataclass(frozen=True, slots=True)
class Frame:
    """A decoded frame and its time.

    Attributes:
        image: The planes as the decoder made them.
        pts: Time stamp in units of `time_base`; grows strictly from frame to frame.
        duration: Time until the next frame, in units of `time_base`; 0 where the file does not
            say.
        time_base: Unit of time stamps, in seconds.
    """

    image: av.VideoFrame
    pts: int
    duration: int
    time_base: Fraction

    @property
    def seconds(self) -> Fraction:
        """The exact time of the frame."""
        return self.pts * self.time_base


class FrameReader(ABC):
    """Hands out frames in order; each kind of input has a class.

        with VideoReader("in.mp4") as reader:
            for frame in reader:
                ...

    A damaged input raises `DecodeError`. A reader that was opened with `keep_going` leaves the bad
    frames out instead, and `damage` says what was found.

    Attributes:
        info: Description of the frames that are handed out.
        plays: Number of times that an animation is shown; 0: without end.
        has_side_streams: Whether `info.path` also has audio, subtitles and so on.
    """

    info: VideoInfo
    plays: int = 0
    has_side_streams: bool = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    @abstractmethod
    def damage(self) -> str | None:
        """How many frames are good and what was found; `None` while nothing was."""

    @property
    @abstractmethod
    def repaired_times(self) -> int:
        """Number of frames whose time stamp did not grow and was moved."""

    @property
    @abstractmethod
    def warnings(self) -> tuple[str, ...]:
        """What a user should know of the input."""

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames in order; a reader can be read once."""

    @abstractmethod
    def close(self) -> None:
        """Stop reading and release the input; safe to call twice."""


class ThreadedReader(FrameReader):
    """A reader that decodes ahead in a thread of its own.

    Attributes:
        frames_read: Number of good frames handed out so far.
        health: What was found in the input.
    """

    repaired_times: int = 0
    warnings: tuple[str, ...] = ()

    def __init__(self, info: VideoInfo, *, keep_going: bool, depth: int) -> None:
        """Prepare the thread, which starts with the first frame that is asked for.

        Args:
            info: Description of the frames.
            keep_going: Whether bad frames are left out instead of raising.
            depth: Number of decoded frames that may wait, which bounds the memory.
        """
        self.info = info
        self.frames_read = 0
        self.health = Health()
        self._keep_going = keep_going
        self._queue: queue.Queue[Frame | BaseException | None] = queue.Queue(maxsize=depth)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._decode, name="interp-decode")
        self._started = False

    @abstractmethod
    def _frames(self) -> Generator[Frame]:
        """Decode, in the thread.

        Raises:
            DecodeError: The input is damaged, and the reader is not to keep going.
        """

    @property
    def damage(self) -> str | None:
        """See `FrameReader`."""
        return self.health.damage

    def close(self) -> None:
        """Stop decoding and join the thread; safe to call twice."""
        self._stop.set()
        if self._started:
            while self._thread.is_alive():
                try:  # make room for a thread that waits to put
                    self._queue.get_nowait()
                except queue.Empty:
                    self._thread.join(0.02)

    def __iter__(self) -> Iterator[Frame]:
        """See `FrameReader`."""
        if self._started:
            raise ValueError(f"{self.info.path}: a reader can be read only once")
        self._started = True
        self._thread.start()
        while (item := self._queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            self.frames_read += 1
            yield item

    def _decode(self) -> None:
        """Body of the thread: frames and errors go through the queue."""
        try:
            with contextlib.closing(self._frames()) as frames:
                for frame in frames:
                    if not self._put(frame):
                        return
            self._put(None)
        except BaseException as error:  # noqa: BLE001 - handed to the reading thread
            self._put(error)

    def _put(self, item: Frame | BaseException | None) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def _damaged(self) -> DecodeError:
        if _UNKNOWN_FEATURE in self.health.reason:
            return DecodeError(
                f"{self.info.path}: decoded {self.health.counts} frames. FFmpeg has no decoder for "
                "a feature of the others: convert it first with a program that reads it, or take "
                "those with `keep_going`."
            )
        return DecodeError(
            f"{self.info.path}: decoded {self.health.counts} frames ({self.health.reason}). The "
            "file is damaged: copy it again, or take its good frames with `keep_going`."
        )
