"""Decides what lies between two consecutive frames."""

from __future__ import annotations

from collections import deque

from interp_cli.pipeline.frames import SourceFrame
from interp_cli.scenes.base import PairKind, SceneDetector
from interp_cli.scenes.duplicates import (
    RECENT_PAIRS,
    is_duplicate,
    is_near_duplicate,
    luma_difference,
)
from interp_cli.scenes.thumbnails import luma_thumbnail


class PairClassifier:
    """Decides what lies between two consecutive frames, from their times and pictures."""

    def __init__(self, detector: SceneDetector | None, longest_gap: int) -> None:
        """Set the limits.

        Args:
            detector: Finds cuts and flashes; `None`: no pair is one.
            longest_gap: Duration in units of the input above which a pair is a gap.
        """
        self._detector = detector
        self._longest_gap = longest_gap
        self._last: SourceFrame | None = None
        self._recent: deque[float] = deque(maxlen=RECENT_PAIRS)  # differences of the last pairs

    def add(self, frame: SourceFrame) -> PairKind | None:
        """Take the next frame; what lies before it, where these two frames alone decide that."""
        last, self._last = self._last, frame
        if self._detector is not None:
            self._detector.add(luma_thumbnail(frame.image))
        if last is None:
            return None
        if self.is_gap(last, frame):
            return PairKind.GAP
        pair = (last.image, frame.image)
        recent_motion = max(self._recent, default=0.0)
        self._recent.append(luma_difference(*pair))
        is_same = is_duplicate(*pair) or is_near_duplicate(*pair, recent_motion)
        return PairKind.DUPLICATE if is_same else None

    def is_gap(self, before: SourceFrame, after: SourceFrame) -> bool:
        """Whether too much time lies between two frames."""
        return after.pts - before.pts > self._longest_gap

    def is_ready(self, index: int) -> bool:
        """Whether enough frames have come to judge the pair of frame `index` and the next one."""
        return self._detector is None or self._detector.is_ready(index)

    def judge(self, index: int) -> PairKind:
        """Whether there is motion, a cut or a flash between frame `index` and the next one."""
        return PairKind.CONTINUOUS if self._detector is None else self._detector.judge(index)
