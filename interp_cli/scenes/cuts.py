"""What lies between two frames: motion, a cut, a flash, or a repeat?

Each pixel of one thumbnail is compared with the best match nearby in the other (`change`): a pan or
a runner finds its match, another shot does not. What is left is divided by the contrast of the
pictures, so that dark scenes count too. One number does not tell a cut from a whip pan, though, so
`CutDetector` looks at the pairs around as well: a cut stands alone, fast motion, fades and
dissolves do not.
For a repeat, the full planes are compared block by block.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from math import exp, log
from typing import TypeVar

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from interp_cli.video.pixel_format import planes_of, white_code

Thumbnail = NDArray[np.float32]
_Frame = TypeVar("_Frame")

# Longer side of a thumbnail. Motion of 6 pixels in it, a tenth of the picture, finds its match.
_SIDE_PX = 64
_REACH_PX = 6
# A repeated frame differs by what the codec adds to it: measured on a phone's recording, at most
# 0.01 codes of 255 on average and 1.3 in any block, while a near-still scene has 0.5 and 4.
_REPEAT_MEAN = 0.1
_REPEAT_BLOCK = 1.5
_BLOCK_PX = 16
# Noise that is encoded anew differs more, but everywhere alike. Measured on repeats of 6 clips with
# noise of 3 codes, H.264 at crf 18: blocks up to 3.3 where the mean is 0.7 to 2.1, at most 0.05 of
# the difference explained by small shifts, of up to 0.11 px in nine of ten blocks. A pan by 0.1 px
# a frame has blocks from 2.1 on where the mean is 0.1, and 0.09 and more is explained.
_NEAR_MEAN = 2.5
_NEAR_BLOCK = 1.8
_NEAR_BLOCK_GAIN = 2.5
_SHIFT_BLOCK_PX = 64
# H.264 at crf 23 and above refines what it repeats: up to 6.5 in a block, but the mean is far below
# that of the motion just before, while slow motion is as large as ever.
_REFINED_MEAN = 1 / 6
_REFINED_BLOCK = 6.5
# Pairs before this one that say how much motion there is: enough for animation on fours.
RECENT_PAIRS = 5

# How likely a pair is a cut: a logistic rule over the logarithm of its change, the response of
# phase correlation, and the logarithm of how much larger its difference is than the second largest
# of the four around it (the largest may be another cut). Found on the tuning part of
# `scripts/score_cuts.py PACKS --scenes 4 --tune`.
_WEIGHTS = (2.04, -4.11, 7.20)
_BIAS = -1.70
# Below this change nothing is a cut, which spares most pairs the search.
_MIN_CHANGE = 0.1
# The difference (of 255, on average) between pictures in motion, where there are none to compare.
_USUAL_DIFFERENCE = 5.0
# A flash is a cut soon after which the picture from before returns, changed by this share at most.
_RETURN = 0.5
# A picture that stands longer than this is a still: what moved before it says nothing.
_STILL_FRAMES = 3
# Frames after a pair that are waited for, if need be, to judge it.
MAX_AHEAD = 6
# Thumbnails that differ by less than this (of 255, on average) show the same picture.
_SAME = 0.25
# Luma of black bars at most, and the least share of the picture that is looked at between them.
_BAR_LUMA = 24
_MIN_INSIDE = 0.25


class PairKind(Enum):
    """What lies between two neighbours."""

    CONTINUOUS = "motion"
    CUT = "cut"
    FLASH = "flash"
    DUPLICATE = "repeat"
    GAP = "gap"


@dataclass(slots=True)
class _Picture:
    """A thumbnail, the frame that first showed it, and how many frames show it."""

    thumbnail: Thumbnail
    frame: int
    shown: int = 1


class CutDetector:
    """Tells cuts and flashes from motion, pair by pair, with the pairs around.

    Thumbnails are added as the frames come. A pair is judged best once `LOOK_AHEAD` further
    pictures have come after it; with fewer, as at the end of a video, by what there is.
    """

    LOOK_AHEAD = 2

    def __init__(self, threshold: float | None) -> None:
        """Keep the likelihood from which on a pair is a cut; `None` looks for none."""
        self._threshold = threshold
        self._frames = 0
        # Repeats would hide how much motion there is around a pair, so they are one picture.
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
        """Whether enough has come to judge what lies between `frame` and the next one."""
        if self._threshold is None:
            return True
        return sum(picture.frame > frame + 1 for picture in self._pictures) >= self.LOOK_AHEAD

    def judge(self, frame: int) -> PairKind:
        """What lies between `frame`, counted from 0, and the next one.

        To be asked in order: what lies far behind is forgotten.
        """
        while len(self._pictures) > 3 and self._pictures[3].frame <= frame:
            gone = self._pictures.pop(0).frame
            self._changes = {key: c for key, c in self._changes.items() if gone not in key}
        if self._threshold is None:
            return PairKind.CONTINUOUS
        features = self.features(frame)
        if features is None or _likelihood(features) < self._threshold:
            return PairKind.CONTINUOUS
        return PairKind.FLASH if self._returns(frame + 1) else PairKind.CUT

    def features(self, frame: int) -> tuple[float, ...] | None:
        """What the rule weighs for the pair of `frame` and the next; `None`: surely no cut."""
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
        """The two pictures before and behind that pair, each as its pair's later one.

        What lies beyond a still is left out.
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
        """Whether the picture before `frame` comes back soon, or its own was there just before."""
        after = [picture.frame for picture in self._pictures].index(frame)
        around = self._passing(after)
        back = [self._change(after - 1, i) for i in around if i > after]
        forth = [self._change(i - 1, after) for i in around if i < after]
        return min((*back, *forth), default=1.0) < _RETURN * self._change(after - 1, after)

    def _difference(self, earlier: int, later: int) -> float:
        thumbnails = (self._pictures[i].thumbnail for i in (earlier, later))
        return float(cv2.absdiff(*thumbnails).mean())

    def _change(self, earlier: int, later: int) -> float:
        """`change` between two of the pictures; an upper limit of it where that is small."""
        pictures = self._pictures[earlier], self._pictures[later]
        key = (pictures[0].frame, pictures[1].frame)
        if key not in self._changes:
            pair = _without_bars(*(picture.thumbnail for picture in pictures))
            limit = float(cv2.absdiff(*pair).mean()) / _scale(*pair)
            self._changes[key] = change(*pair) if limit >= _MIN_CHANGE else limit
        return self._changes[key]


def split_at_cuts(
    frames: Iterable[_Frame], thumbnail: Callable[[_Frame], Thumbnail], threshold: float | None
) -> Iterator[tuple[_Frame, bool]]:
    """Yield each frame, and whether a cut or a flash lies between it and the one before."""
    judge = CutDetector(threshold)
    held: deque[_Frame] = deque()
    number = 0  # of the first frame that is held
    for frame in frames:
        judge.add(thumbnail(frame))
        held.append(frame)
        while held and (judge.is_ready(number - 1) or len(held) > MAX_AHEAD):
            yield held.popleft(), number > 0 and judge.judge(number - 1) is not PairKind.CONTINUOUS
            number += 1
    for last in held:
        yield last, number > 0 and judge.judge(number - 1) is not PairKind.CONTINUOUS
        number += 1


def luma_thumbnail(image: av.VideoFrame) -> Thumbnail:
    """A small grey picture of a frame, (H, W), 0 to 255, area-averaged.

    For RGB formats the mean of the channels stands for luma.
    """
    plane = planes_of(image)[0]
    height, width = plane.shape[:2]
    scale = min(1.0, _SIDE_PX / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(plane, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    if small.ndim == 3:
        small = small.mean(2)
    return np.asarray(small * (255 / white_code(image)), np.float32)


def change(thumbnail0: Thumbnail, thumbnail1: Thumbnail) -> float:
    """How little of one picture is found again in the other: 0 (all of it) to 1 (none).

    Args:
        thumbnail0: From `luma_thumbnail`, (H, W).
        thumbnail1: Of the same size.
    """
    forward = _unmatched(thumbnail0, thumbnail1)
    backward = _unmatched(thumbnail1, thumbnail0)
    # A thing that comes into the picture is unmatched one way only; another shot is both ways.
    residual = min(forward, backward)
    return min(1.0, residual / _scale(thumbnail0, thumbnail1))


def _likelihood(features: tuple[float, ...]) -> float:
    evidence = _BIAS + sum(w * f for w, f in zip(_WEIGHTS, features, strict=True))
    return 1 / (1 + exp(-evidence))


def _scale(thumbnail0: Thumbnail, thumbnail1: Thumbnail) -> float:
    """What a difference between two thumbnails is measured by."""
    contrast = 0.5 * (_contrast(thumbnail0) + _contrast(thumbnail1))
    brightness = abs(float(thumbnail0.mean()) - float(thumbnail1.mean()))
    return contrast + 0.25 * brightness + 2.0


def _response(thumbnail0: Thumbnail, thumbnail1: Thumbnail) -> float:
    """Share of two pictures that one shift explains, about 0 to 1, by phase correlation."""
    height, width = thumbnail0.shape
    if min(height, width) < 3:
        return 0.0
    window = cv2.createHanningWindow((width, height), cv2.CV_32F)
    # OpenCV 5 multiplies the window into its arguments.
    _, response = cv2.phaseCorrelate(thumbnail0.copy(), thumbnail1.copy(), window)
    return float(response) if np.isfinite(response) else 0.0


def _without_bars(thumbnail0: Thumbnail, thumbnail1: Thumbnail) -> tuple[Thumbnail, Thumbnail]:
    """What two thumbnails show between black bars that both have."""
    brighter = np.maximum(thumbnail0, thumbnail1)
    inside = []
    for axis, length in ((1, brighter.shape[0]), (0, brighter.shape[1])):
        lit = np.flatnonzero(brighter.max(axis) > _BAR_LUMA)
        if lit.size < max(3, _MIN_INSIDE * length):
            return thumbnail0, thumbnail1
        inside.append(slice(lit[0], lit[-1] + 1))
    rows, columns = inside
    # Contiguous, as OpenCV wants them.
    return thumbnail0[rows, columns].copy(), thumbnail1[rows, columns].copy()


def _block_means(values: NDArray[np.float32], side_px: int) -> NDArray[np.float32]:
    height, width = values.shape[:2]
    size = (-(-width // side_px), -(-height // side_px))
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), np.float32)


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
