"""The default scene detector: cuts and flashes from the pictures around each pair.

`change` compares each pixel of one thumbnail with the best match nearby in the other: a pan or a
runner finds its match, another shot does not. The result is divided by the contrast of the
pictures, so that dark scenes count as well. This number alone does not separate a cut from a whip
pan, so `CutDetector` also looks at the adjacent pairs: a cut stands alone, whereas fast motion,
fades and dissolves continue.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log

import cv2
import numpy as np

from interp_cli.scenes.base import PairKind, SceneDetector, Thumbnail

# Motion of 6 pixels of a thumbnail, a tenth of the picture, finds its match.
_REACH_PX = 6

# Likelihood of a cut: a logistic rule over the logarithm of the change, the response of phase
# correlation, and the logarithm of the ratio of the pair's difference to the second largest of the
# four around it (the largest may be another cut). Fitted to the tuning part of
# `scripts/score_cuts.py PACKS --scenes 4 --tune`.
_WEIGHTS = (2.04, -4.11, 7.20)
_BIAS = -1.70
# A pair with a smaller change is not a cut, which spares most pairs the search.
_MIN_CHANGE = 0.1
# Mean difference, of 255, of pictures in motion, where no adjacent pair says it.
_USUAL_DIFFERENCE = 5.0
# A flash is a cut after which the earlier picture soon returns, changed by less than this fraction.
_RETURN = 0.5
# A picture shown for more frames is a still; motion before it says nothing about motion after it.
_STILL_FRAMES = 3
# Thumbnails with a smaller mean difference, of 255, show the same picture.
_SAME = 0.25
# Maximum luma of black bars, and the minimum fraction of the picture between them.
_BAR_LUMA = 24
_MIN_INSIDE = 0.25


@dataclass(slots=True)
class _Picture:
    """A thumbnail, the frame that first showed it, and how many frames show it."""

    thumbnail: Thumbnail
    frame: int
    shown: int = 1


class CutDetector(SceneDetector):
    """Classifies a pair with the help of two pictures before and `LOOK_AHEAD` pictures after it.

    With fewer, as at the end of a video, the rule uses those that there are.
    """

    LOOK_AHEAD = 2

    def __init__(self, threshold: float) -> None:
        """Create a detector for one video.

        Args:
            threshold: Likelihood from which a pair is a cut, above 0 to 1.
        """
        self._threshold = threshold
        self._frames = 0
        # Repeats would hide the motion around a pair, so they count as one picture.
        self._pictures: list[_Picture] = []
        self._changes: dict[tuple[int, int], float] = {}

    def add(self, thumbnail: Thumbnail) -> None:
        """Add the next frame's thumbnail."""
        last = self._pictures[-1] if self._pictures else None
        if last is not None and float(cv2.absdiff(last.thumbnail, thumbnail).mean()) <= _SAME:
            last.shown += 1
        else:
            self._pictures.append(_Picture(thumbnail, self._frames))
        self._frames += 1

    def is_ready(self, frame: int) -> bool:
        """Whether `LOOK_AHEAD` pictures have been added after the pair."""
        return sum(picture.frame > frame + 1 for picture in self._pictures) >= self.LOOK_AHEAD

    def judge(self, frame: int) -> PairKind:
        """Classify the pair of `frame` and the next one; pictures far behind it are dropped."""
        while len(self._pictures) > 3 and self._pictures[3].frame <= frame:
            gone = self._pictures.pop(0).frame
            self._changes = {key: c for key, c in self._changes.items() if gone not in key}
        features = self.features(frame)
        if features is None or _likelihood(features) < self._threshold:
            return PairKind.CONTINUOUS
        return PairKind.FLASH if self._returns(frame + 1) else PairKind.CUT

    def features(self, frame: int) -> tuple[float, ...] | None:
        """Features of the pair of `frame` and the next one; `None` where it cannot be a cut."""
        numbers = [picture.frame for picture in self._pictures]
        if frame + 1 not in numbers[1:]:
            return None
        after = numbers.index(frame + 1)
        change = self._change(after - 1, after)
        if change < _MIN_CHANGE:
            return None
        around = sorted((self._difference(i - 1, i) for i in self._passing(after)), reverse=True)
        usual = [*around, _USUAL_DIFFERENCE, _USUAL_DIFFERENCE][1]
        ratio = (self._difference(after - 1, after) + 1) / (usual + 1)
        response = _response(*(p.thumbnail for p in self._pictures[after - 1 : after + 1]))
        return log(change + 0.03), response, log(ratio)

    def _passing(self, after: int) -> list[int]:
        """Numbers of the later pictures of the two pairs before and the two pairs after a pair.

        Pairs beyond a still are left out.
        """
        found = []
        for earlier in (after - 1, after - 2):
            if earlier < 1 or self._pictures[earlier].shown > _STILL_FRAMES:
                break
            found.append(earlier)
        for later in (after + 1, after + 2):
            if later >= len(self._pictures) or self._pictures[later - 1].shown > _STILL_FRAMES:
                break
            found.append(later)
        return found

    def _returns(self, frame: int) -> bool:
        """Whether the picture before `frame` soon returns, or that of `frame` was shown before."""
        after = [picture.frame for picture in self._pictures].index(frame)
        around = self._passing(after)
        back = [self._change(after - 1, i) for i in around if i > after]
        forth = [self._change(i - 1, after) for i in around if i < after]
        return min((*back, *forth), default=1.0) < _RETURN * self._change(after - 1, after)

    def _difference(self, earlier: int, later: int) -> float:
        thumbnails = (self._pictures[i].thumbnail for i in (earlier, later))
        return float(cv2.absdiff(*thumbnails).mean())

    def _change(self, earlier: int, later: int) -> float:
        """`change` between two pictures, or an upper bound of it where that is small."""
        pictures = self._pictures[earlier], self._pictures[later]
        key = (pictures[0].frame, pictures[1].frame)
        if key not in self._changes:
            pair = _without_bars(*(picture.thumbnail for picture in pictures))
            limit = float(cv2.absdiff(*pair).mean()) / _scale(*pair)
            self._changes[key] = change(*pair) if limit >= _MIN_CHANGE else limit
        return self._changes[key]


def change(thumbnail0: Thumbnail, thumbnail1: Thumbnail) -> float:
    """Fraction of a picture that has no match in the other, 0 to 1.

    Args:
        thumbnail0: Thumbnail of the first frame, (H, W).
        thumbnail1: Thumbnail of the second frame, (H, W).
    """
    forward = _unmatched(thumbnail0, thumbnail1)
    backward = _unmatched(thumbnail1, thumbnail0)
    # A thing that enters the picture is unmatched in one direction only, another shot in both.
    residual = min(forward, backward)
    return min(1.0, residual / _scale(thumbnail0, thumbnail1))


def _likelihood(features: tuple[float, ...]) -> float:
    evidence = _BIAS + sum(w * f for w, f in zip(_WEIGHTS, features, strict=True))
    return 1 / (1 + exp(-evidence))


def _scale(thumbnail0: Thumbnail, thumbnail1: Thumbnail) -> float:
    """Unit of the difference between two thumbnails, in codes of 255."""
    contrast = 0.5 * (_contrast(thumbnail0) + _contrast(thumbnail1))
    brightness = abs(float(thumbnail0.mean()) - float(thumbnail1.mean()))
    return contrast + 0.25 * brightness + 2.0


def _response(thumbnail0: Thumbnail, thumbnail1: Thumbnail) -> float:
    """Fraction of two pictures that one shift explains, about 0 to 1, by phase correlation."""
    height, width = thumbnail0.shape
    if min(height, width) < 3:
        return 0.0
    window = cv2.createHanningWindow((width, height), cv2.CV_32F)
    # OpenCV 5 multiplies the window into its arguments.
    _, response = cv2.phaseCorrelate(thumbnail0.copy(), thumbnail1.copy(), window)
    return float(response) if np.isfinite(response) else 0.0


def _without_bars(thumbnail0: Thumbnail, thumbnail1: Thumbnail) -> tuple[Thumbnail, Thumbnail]:
    """The parts of two thumbnails between the black bars that both have."""
    brighter = np.maximum(thumbnail0, thumbnail1)
    inside = []
    for axis, length in ((1, brighter.shape[0]), (0, brighter.shape[1])):
        lit = np.flatnonzero(brighter.max(axis) > _BAR_LUMA)
        if lit.size < max(3, _MIN_INSIDE * length):
            return thumbnail0, thumbnail1
        inside.append(slice(lit[0], lit[-1] + 1))
    rows, columns = inside
    # OpenCV needs contiguous arrays.
    return thumbnail0[rows, columns].copy(), thumbnail1[rows, columns].copy()


def _unmatched(thumbnail0: Thumbnail, thumbnail1: Thumbnail) -> float:
    """Mean difference of each pixel's neighbourhood to its best match within reach."""
    height, width = thumbnail0.shape
    padded = cv2.copyMakeBorder(
        thumbnail1, _REACH_PX, _REACH_PX, _REACH_PX, _REACH_PX, cv2.BORDER_REPLICATE
    )
    best = np.full((height, width), np.inf, np.float32)
    for dy in range(2 * _REACH_PX + 1):
        for dx in range(2 * _REACH_PX + 1):
            moved = padded[dy : dy + height, dx : dx + width]
            # 5x5: large enough that a chance match is rare, small enough to follow a limb.
            difference = cv2.blur(cv2.absdiff(thumbnail0, moved), (5, 5))
            np.minimum(best, difference, out=best)
    return float(best.mean())


def _contrast(thumbnail: Thumbnail) -> float:
    return float(np.abs(thumbnail - thumbnail.mean()).mean())
