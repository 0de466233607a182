"""What every reader has in common: frames in order, decoded ahead in a thread."""

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
from interp_cli.video.probe import VideoInfo


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded picture and the time at which it stands.

    Attributes:
        image: The planes as the decoder made them.
        pts: Time stamp in units of `time_base`; grows strictly from frame to frame.
        duration: How long it stands, in units of `time_base`; 0 where the file does not say.
        time_base: Seconds a unit.
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
    """Hands out frames that a thread of its own decodes ahead; each kind of input has its class.

        with VideoReader("in.mp4") as reader:
            for frame in reader:
                ...

    A damaged input raises `DecodeError` where the damage lies; with `keep_going` the frames
    before it are the whole video, and `damage` says what was found.

    Attributes:
        info: What the input is.
        frames_read: Good frames handed out so far.
        damage: What is wrong with the input; `None` while nothing was found.
        repaired_times: Frames whose time stamp did not grow and was set one unit later.
        warnings: What a user should know of the input.
        plays: How often an animation is shown; 0: without end.
        has_side_streams: Whether sound and the rest can be had from `info.path`.
    """

    plays = 0
    has_side_streams = False

    def __init__(self, info: VideoInfo, *, keep_going: bool, depth: int) -> None:
        """Keep what every reader needs.

        Args:
            info: What the input is.
            keep_going: Whether damage ends the frames quietly instead of raising.
            depth: Decoded frames that may wait; bounds the memory.
        """
        self.info = info
        self.frames_read = 0
        self.damage: str | None = None
        self.repaired_times = 0
        self.warnings: tuple[str, ...] = ()
        self._keep_going = keep_going
        self._queue: queue.Queue[Frame | BaseException | None] = queue.Queue(maxsize=depth)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._decode, name="interp-decode")
        self._started = False

    @abstractmethod
    def _frames(self) -> Generator[Frame]:
        """Decode, in the thread; raises `DecodeError` at damage unless it is to keep going."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
        """Yield the frames in order; a reader can be read once."""
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
        """Body of the thread: everything goes through the queue, errors too."""
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

    def _damaged(self, good: int) -> DecodeError:
        total = f" of {self.info.frame_count}" if self.info.frame_count else ""
        return DecodeError(
            f"{self.info.path}: decoded {good}{total} frames ({self.damage}). The file is damaged: "
            "copy it again, or ask for its good part with --keep-going."
        )
