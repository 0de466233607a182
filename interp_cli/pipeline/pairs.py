"""Decides what lies between two neighbouring frames."""

from __future__ import annotations

from collections import deque

from interp_cli.pipeline.frames import SourceFrame
from interp_cli.scenes.cuts import (
    RECENT_PAIRS,
    CutDetector,
    PairKind,
)
from interp_cli.scenes.duplicates import is_duplicate, is_near_duplicate, luma_difference


class PairClassifier:
    """Decides what lies between two neighbours."""

    def __init__(self, scene_threshold: float | None, longest_gap: int) -> None:
        """Keep the limits.

        Args:
            scene_threshold: How likely a cut must be to count as one; `None` looks for no cuts.
            longest_gap: In units of the input; after a longer one nothing is known of the motion.
        """
        self._looks_for_cuts = scene_threshold is not None
        self._scenes = CutDetector(scene_threshold)
        self._longest_gap = longest_gap
        self._last: SourceFrame | None = None
        self._recent: deque[float] = deque(maxlen=RECENT_PAIRS)  # how much the last pairs differed

    def add(self, frame: SourceFrame) -> PairKind | None:
        """Take the next frame; what lies before it, where the two alone tell that."""
        last, self._last = self._last, frame
        if self._looks_for_cuts:
            self._scenes.add(frame.thumbnail)
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

    def is_ready(self, number: int) -> bool:
        """Whether enough frames have come to judge the pair of frame `number` and the next."""
        return self._scenes.is_ready(number)

    def judge(self, number: int) -> PairKind:
        """Whether there is motion, a cut or a flash between frame `number` and the next."""
        return self._scenes.judge(number)
