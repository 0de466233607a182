"""Training triplets: which crop of which frames, as a pure function of a number.

Triplet number k of a run of training follows from the seed and k alone, whoever draws it and
whenever: a resumed run sees exactly what an uninterrupted one would have seen, on any number of
processes. Drawing (`TripletSampler.draw`) touches no picture, so the same draws can be cut out
here with OpenCV or on a GPU (`resident`).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from interp_cli.errors import TrainingError
from interp_cli.training.prepare import RGB_FROM_YUV, Run, frame_planes

# Footage at 45 frames a second and more moves little from frame to frame.
_FAST_RATE = 45.0
_STRIDES = {False: (0.70, 0.22, 0.08), True: (0.25, 0.45, 0.30)}
_ZOOM_RANGE = (0.8, 2.2)
# A crop where nothing moves teaches little: of a few places the first livelier one is taken.
_PLACES = 4
LIVELY = 2.5
# Mean absolute difference beyond which two frames are a flash or a cut that was overlooked.
_UNRELATED = 70.0
_DRAWS = 30


@dataclass(frozen=True, slots=True)
class TripletBatch:
    """What a step learns from.

    Attributes:
        frame0: Earlier frames, (N, 3, H, W), float32 in [0, 1].
        target: The true frames between, likewise.
        frame1: Later frames, likewise.
        timestep: Where the targets lie, (N, 1, 1, 1), 0 to 1.
        labels: What is known besides, by name (see `labels` and `synthetic`); first axis N.
    """

    frame0: Tensor
    target: Tensor
    frame1: Tensor
    timestep: Tensor
    labels: dict[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of triplets."""
        return len(self.frame0)

    def __getitem__(self, numbers: Tensor) -> TripletBatch:
        """The triplets of these numbers."""
        numbers = numbers.to(self.target.device)
        return self._mapped(lambda tensor: tensor[numbers])

    def to(self, device: torch.device) -> TripletBatch:
        """The same on another device."""
        return self._mapped(lambda tensor: tensor.to(device))

    def _mapped(self, function: Callable[[Tensor], Tensor]) -> TripletBatch:
        return TripletBatch(
            function(self.frame0),
            function(self.target),
            function(self.frame1),
            function(self.timestep),
            {name: function(label) for name, label in self.labels.items()},
        )


@dataclass(frozen=True, slots=True)
class Draw:
    """One triplet as decided, before any picture is touched.

    Attributes:
        run: Number of the run.
        frames: Numbers of its three frames in the order of time.
        timestep: Where the second lies between the others.
        side: Of the square in the stored frame, in pixels.
        places: (top, left) of the squares that may be taken, the first lively one is.
        flip_x: Mirror left and right.
        flip_y: Mirror top and bottom.
        transpose: Swap rows and columns.
        reverse: Swap earlier and later.
        channels: Order of the colour channels.
        gain: Factor on all values.
        gamma: Exponent on all values.
        quality: JPEG quality to go through; 0: none.
        anything: Whether to take the first place even if nothing moves there.
        hardest: Whether to take the place where the frames differ most.
    """

    run: int
    frames: tuple[int, int, int]
    timestep: float
    side: int
    places: tuple[tuple[int, int], ...]
    flip_x: bool = False
    flip_y: bool = False
    transpose: bool = False
    reverse: bool = False
    channels: tuple[int, int, int] = (0, 1, 2)
    gain: float = 1.0
    gamma: float = 1.0
    quality: int = 0
    anything: bool = False
    hardest: bool = False

    @property
    def shown_timestep(self) -> float:
        """Where the target lies once the order of time is settled."""
        return 1 - self.timestep if self.reverse else self.timestep


class TripletSampler:
    """Decides which triplet a number means.

    Runs count by their length and motion; of sources with many runs each counts a little less.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        seed: int = 0,
        *,
        any_timestep: bool = False,
        hard_share: float = 0.0,
    ) -> None:
        """Weigh the runs.

        Args:
            runs: At least one.
            seed: All draws follow from it.
            any_timestep: Whether targets may lie elsewhere than in the middle.
            hard_share: Share of triplets that are cut where the frames differ most.

        Raises:
            TrainingError: There is no run.
        """
        if not runs:
            raise TrainingError("no runs to draw triplets from: give more or longer videos.")
        self.runs = tuple(runs)
        self.seed = seed
        self.any_timestep = any_timestep
        self.hard_share = hard_share
        count = Counter(run.source for run in runs)
        weights = np.array(
            [
                run.frames * (0.5 + min(run.motion, 12.0) / 8) / count[run.source] ** 0.3
                for run in runs
            ]
        )
        self._cumulative = np.cumsum(weights / weights.sum())

    def draw(self, number: int, crop: int, attempt: int = 0) -> Draw:
        """Decide triplet `number` for crops of `crop` pixels.

        Args:
            number: Counts all triplets of a training run.
            crop: Side of the crop that is to come out.
            attempt: Another one in its place, where the first turned out useless.
        """
        rng = np.random.default_rng((self.seed, number, attempt))
        index = min(int(np.searchsorted(self._cumulative, rng.random())), len(self.runs) - 1)
        run = self.runs[index]
        middle, span = self._span(run, rng)
        first = int(rng.integers(0, run.frames - span))
        zoom = 1.0 if rng.random() < 0.4 else float(rng.uniform(*_ZOOM_RANGE))
        side = min(int(np.ceil(crop / zoom)), run.height, run.width)
        places = _places(run, side, rng)
        return Draw(
            run=index,
            frames=(first, first + middle, first + span),
            timestep=middle / span,
            side=side,
            places=places,
            flip_x=bool(rng.random() < 0.5),
            flip_y=bool(rng.random() < 0.3),
            transpose=bool(rng.random() < 0.25),
            reverse=bool(rng.random() < 0.5),
            channels=_ORDERS[int(rng.integers(len(_ORDERS)))],
            gain=float(rng.uniform(0.75, 1.15)) if rng.random() < 0.3 else 1.0,
            gamma=float(np.exp(rng.uniform(-0.35, 0.35))) if rng.random() < 0.3 else 1.0,
            quality=int(rng.integers(40, 96)) if rng.random() < 0.1 else 0,
            anything=bool(rng.random() < 0.3),
            hardest=bool(rng.random() < self.hard_share),
        )

    def plain(self, number: int, crop: int) -> Draw:
        """Decide triplet `number` without any change to its pictures, for validation."""
        rng = np.random.default_rng((self.seed, number))
        index = min(int(np.searchsorted(self._cumulative, rng.random())), len(self.runs) - 1)
        run = self.runs[index]
        stride = min(2 if (run.frame_rate or 0) >= _FAST_RATE else 1, (run.frames - 1) // 2)
        first = int(rng.integers(0, run.frames - 2 * stride))
        side = min(crop, run.height, run.width)
        places = _places(run, side, rng)
        return Draw(index, (first, first + stride, first + 2 * stride), 0.5, side, places)

    def _span(self, run: Run, rng: np.random.Generator) -> tuple[int, int]:
        """Frames from the earlier to the target and to the later one."""
        fast = (run.frame_rate or 0) >= _FAST_RATE
        longest = run.frames - 1
        if self.any_timestep and rng.random() < 0.25:
            span = int(rng.choice((3, 4))) * (2 if fast else 1)
            middle = int(rng.integers(1, span))
            if span <= longest:
                return middle, span
        stride = min(int(rng.choice((1, 2, 3), p=_STRIDES[fast])), longest // 2)
        return stride, 2 * stride


def _places(run: Run, side: int, rng: np.random.Generator) -> tuple[tuple[int, int], ...]:
    """Rows and columns where squares of this side may be cut out of a run's frames."""
    return tuple(
        (
            int(rng.integers(0, run.height - side + 1)),
            int(rng.integers(0, run.width - side + 1)),
        )
        for _ in range(_PLACES)
    )


class FrameInterpolationDataset(Dataset[tuple[NDArray[np.uint8], float]]):
    """Triplets cut out of prepared runs, by number: `dataset[k]`.

    An item is the three frames in the order earlier, target, later, (3, S, S, 3) uint8 RGB, and
    the target's timestep.
    """

    def __init__(
        self, sampler: TripletSampler, crop: int, length: int = 2000, *, plain: bool = False
    ) -> None:
        """Cut what `sampler` decides.

        Args:
            sampler: Decides.
            crop: Side of the crops in pixels.
            length: Number of items; numbers beyond it are as good.
            plain: Leave the pictures unchanged, for validation.
        """
        self.sampler = sampler
        self.crop = crop
        self.plain = plain
        self._length = length

    def __len__(self) -> int:
        """Number of triplets in an epoch."""
        return self._length

    def __getitem__(self, number: int) -> tuple[NDArray[np.uint8], float]:
        """Cut triplet `number`; the size is smaller than `crop` only if `plain` and runs are."""
        return self.cut(number, self.crop)

    def cut(self, number: int, crop: int) -> tuple[NDArray[np.uint8], float]:
        """Cut triplet `number` at another size."""
        if self.plain:
            draw = self.sampler.plain(number, crop)
            return _square(self.sampler.runs[draw.run], draw, _place(self.sampler, draw)[0]), 0.5
        draw = self.sampler.draw(number, crop)
        for attempt in range(1, _DRAWS):
            place, difference = _place(self.sampler, draw)
            if difference <= _UNRELATED and (difference > LIVELY or draw.anything):
                break
            draw = self.sampler.draw(number, crop, attempt)
        else:
            place, _ = _place(self.sampler, draw)
        return _changed(_square(self.sampler.runs[draw.run], draw, place), draw, crop), (
            draw.shown_timestep
        )

    def batch(self, numbers: Sequence[int], crop: int) -> TripletBatch:
        """Cut the triplets of these numbers, (N, 3, crop, crop) each."""
        return to_batch([self.cut(number, crop) for number in numbers])


def to_batch(items: Sequence[tuple[NDArray[np.uint8], float]]) -> TripletBatch:
    """Stack items of a `FrameInterpolationDataset` of one size."""
    frames = torch.from_numpy(np.stack([frames for frames, _ in items]))  # (N, 3, S, S, 3)
    frame0, target, frame1 = frames.permute(1, 0, 4, 2, 3).contiguous().float().div_(255).unbind(0)
    timestep = torch.tensor([t for _, t in items], dtype=torch.float32).view(-1, 1, 1, 1)
    return TripletBatch(frame0, target, frame1, timestep)


def hold_out(runs: Sequence[Run], share: float = 0.03) -> tuple[list[Run], list[Run]]:
    """Split runs into those to train on and those to validate on.

    Every run has its own place in a fixed shuffle, so more footage moves few runs to the other
    side. A single run gives its last tenth.

    Returns:
        Runs to train on, runs to validate on; in the shuffle's order, whatever `runs`' is, so that
        a number means the same triplet however the footage was named.

    Raises:
        TrainingError: There is too little footage to keep any of it apart.
    """
    if len(runs) == 1:
        run = runs[0]
        kept = run.frames - max(3, run.frames // 10)
        if kept < 3:
            raise TrainingError(
                f"{run.source}: only {run.frames} frames that move in one shot; training needs at"
                " least 6, and hundreds to be of use."
            )
        tail = replace(run, offset=run.offset + kept * run.frame_bytes, frames=run.frames - kept)
        return [replace(run, frames=kept)], [tail]
    order = sorted(runs, key=_shuffled_place)
    count = max(1, round(len(runs) * share))
    return order[count:], order[:count]


_ORDERS = ((0, 1, 2), (2, 1, 0), (1, 0, 2), (0, 2, 1), (1, 2, 0), (2, 0, 1))


def _shuffled_place(run: Run) -> str:
    """Where a run stands in the shuffle: by what it holds, not by where its file lies."""
    facts = (run.source, run.offset, run.frames, run.width, run.height, round(run.motion, 3))
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def frames_of(run: Run) -> NDArray[np.uint8]:
    """All frames of a run, (frames, bytes of a frame), mapped from its file."""
    size = run.frames * run.frame_bytes
    return _mapped(run.file)[run.offset : run.offset + size].reshape(run.frames, -1)


# A mapped file counts as open, and some systems allow 256; mapping one again takes microseconds.
@lru_cache(maxsize=128)
def _mapped(file: Path) -> NDArray[np.uint8]:
    return np.memmap(file, np.uint8, "r")


def _place(sampler: TripletSampler, draw: Draw) -> tuple[tuple[int, int], float]:
    """The first place where something moves, else the last; the mean difference there.

    Of a draw for the hardest, the place with the largest difference.
    """
    run = sampler.runs[draw.run]
    first, _, last = draw.frames
    luma0, luma1 = (
        frame_planes(frames_of(run)[index], run.width, run.height)[0] for index in (first, last)
    )
    difference = -1.0
    place = draw.places[0]
    for top, left in draw.places:
        area = (slice(top, top + draw.side, 4), slice(left, left + draw.side, 4))
        here = float(cv2.absdiff(luma0[area].copy(), luma1[area].copy()).mean())
        if here > difference or not draw.hardest:
            place, difference = (top, left), here
        if not draw.hardest and (difference > LIVELY or draw.anything):
            break
    return place, difference


def _square(run: Run, draw: Draw, place: tuple[int, int]) -> NDArray[np.uint8]:
    """The square of the three frames, (3, side, side, 3) RGB."""
    top, left = place
    side = draw.side
    pictures = []
    for index in draw.frames:
        luma, *chroma = frame_planes(frames_of(run)[index], run.width, run.height)
        yuv = np.empty((side, side, 3), np.uint8)
        yuv[..., 0] = luma[top : top + side, left : left + side]
        rows = np.arange(top, top + side) // 2
        columns = np.arange(left, left + side) // 2
        for channel, plane in enumerate(chroma, 1):
            # Chroma goes up by repetition, as everywhere in this package (video.colour).
            yuv[..., channel] = plane[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1][
                (rows - rows[0])[:, None], (columns - columns[0])[None]
            ]
        pictures.append(cv2.transform(yuv, RGB_FROM_YUV))
    return np.stack(pictures).astype(np.uint8, copy=False)


def _changed(frames: NDArray[np.uint8], draw: Draw, crop: int) -> NDArray[np.uint8]:
    """Resize, turn and recolour the three frames alike."""
    if draw.side != crop:
        kind = cv2.INTER_CUBIC if draw.side < crop else cv2.INTER_AREA
        frames = np.stack([cv2.resize(f, (crop, crop), interpolation=kind) for f in frames]).astype(
            np.uint8, copy=False
        )
    if draw.flip_x:
        frames = frames[:, :, ::-1]
    if draw.flip_y:
        frames = frames[:, ::-1]
    if draw.transpose:
        frames = frames.transpose(0, 2, 1, 3)
    if draw.reverse:
        frames = frames[::-1]
    frames = frames[..., draw.channels]
    if draw.gain != 1 or draw.gamma != 1:
        values = draw.gain * (np.arange(256) / 255) ** draw.gamma
        frames = np.clip(np.rint(255 * values), 0, 255).astype(np.uint8)[frames]
    if draw.quality:
        frames = np.stack([_recompressed(frame, draw.quality) for frame in frames])
    return np.ascontiguousarray(frames)


def _recompressed(frame: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    written, data = cv2.imencode(
        ".jpg", np.ascontiguousarray(frame), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if written else None
    return frame if picture is None else np.asarray(picture, np.uint8)
