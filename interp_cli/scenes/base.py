"""The interface of scene detectors, and what may lie between two frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

# Luma of a frame, scaled down: (H, W), 0 to 255 (see `thumbnails`).
Thumbnail = NDArray[np.float32]
_Frame = TypeVar("_Frame")

# Frames after a pair that a caller holds back, at most, until the detector is ready to judge it.
MAX_AHEAD = 6


class PairKind(Enum):
    """What lies between two adjacent frames."""

    CONTINUOUS = "motion"
    CUT = "cut"
    FLASH = "flash"
    DUPLICATE = "repeat"
    GAP = "gap"


class SceneDetector(ABC):
    """Classifies each pair of adjacent frames as continuous, a cut or a flash.

    The caller adds the frames' thumbnails in order and calls `judge` for each pair in order, as
    soon as `is_ready` holds, `MAX_AHEAD` frames wait, or the video has ended. A new detector is
    one module and one row in `registry.DETECTORS`.
    """

    @abstractmethod
    def add(self, thumbnail: Thumbnail) -> None:
        """Add the next frame's thumbnail."""

    @abstractmethod
    def is_ready(self, frame: int) -> bool:
        """Whether enough frames have been added to judge the pair of `frame` and the next one."""

    @abstractmethod
    def judge(self, frame: int) -> PairKind:
        """Classify the pair of `frame` (counted from 0) and the next one.

        Returns:
            `CONTINUOUS`, `CUT` or `FLASH`. Earlier pairs cannot be judged after this one.
        """


def split_at_cuts(
    frames: Iterable[_Frame],
    thumbnail: Callable[[_Frame], Thumbnail],
    detector: SceneDetector | None,
) -> Iterator[tuple[_Frame, bool]]:
    """Yield each frame, and whether a cut or a flash lies between it and the frame before it.

    Args:
        frames: Frames in order.
        thumbnail: Function that returns a frame's thumbnail.
        detector: A detector that has seen no frame yet; `None` detects no cuts.
    """
    if detector is None:
        yield from ((frame, False) for frame in frames)
        return
    held: deque[_Frame] = deque()
    number = 0  # of the first frame that is held

    def next_frame() -> tuple[_Frame, bool]:
        nonlocal number
        is_new = number > 0 and detector.judge(number - 1) is not PairKind.CONTINUOUS
        number += 1
        return held.popleft(), is_new

    for frame in frames:
        detector.add(thumbnail(frame))
        held.append(frame)
        while held and (number == 0 or detector.is_ready(number - 1) or len(held) > MAX_AHEAD):
            yield next_frame()
    while held:
        yield next_frame()
