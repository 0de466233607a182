"""Sampling of triplets: which crop of which frames, as a pure function of a triplet's number.

Triplet k of a run follows from the seed and k alone. So a resumed run sees the same triplets as an
uninterrupted one, with any number of processes. Sampling reads no pictures, so the same draws can
be cropped with OpenCV (`triplets`) or on a GPU (`resident`).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from interp_cli.errors import TrainingError
from interp_cli.training.prepare import Shot

# Footage of at least 45 frames per second moves little from frame to frame.
_FAST_RATE = 45.0
_STRIDES = {False: (0.70, 0.22, 0.08), True: (0.25, 0.45, 0.30)}
_ZOOM_RANGE = (0.8, 2.2)
# Number of candidate places, of which the first with motion is used.
_PLACES = 4
_ORDERS = ((0, 1, 2), (2, 1, 0), (1, 0, 2), (0, 2, 1), (1, 2, 0), (2, 0, 1))


@dataclass(frozen=True, slots=True)
class Draw:
    """Parameters of one triplet.

    Attributes:
        shot: Number of the shot.
        frames: Numbers of the three frames in temporal order.
        timestep: Time of the second frame between the others, 0 to 1.
        side: Side of the square in the stored frame, in pixels.
        places: Candidate squares, (top, left). The first with motion is used.
        flip_x: Whether to mirror left and right.
        flip_y: Whether to mirror top and bottom.
        transpose: Whether to swap rows and columns.
        reverse: Whether to swap the earlier and the later frame.
        channels: Order of the colour channels.
        gain: Factor on all values.
        gamma: Exponent on all values.
        quality: JPEG quality of simulated compression; 0: no compression.
        anything: Whether to use the first place even without motion.
        hardest: Whether to use the place where the frames differ most.
    """

    shot: int
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
        """Time of the target between the frames after `reverse`."""
        return 1 - self.timestep if self.reverse else self.timestep


class TripletSampler:
    """Draws the triplet of a number.

    Shots are weighted by length and motion. Shots of sources with many shots have less weight.
    """

    def __init__(
        self,
        shots: Sequence[Shot],
        seed: int = 0,
        *,
        any_timestep: bool = False,
        hard_mining: float = 0.0,
    ) -> None:
        """Weight the shots.

        Args:
            shots: Shots, at least one.
            seed: Seed of all draws. Default 0.
            any_timestep: Whether targets may have other timesteps than 0.5. Default `False`.
            hard_mining: Fraction of triplets cropped where the frames differ most. Default 0.

        Raises:
            TrainingError: There is no shot.
        """
        if not shots:
            raise TrainingError("no shots to draw triplets from: give more or longer videos.")
        self.shots = tuple(shots)
        self.seed = seed
        self.any_timestep = any_timestep
        self.hard_mining = hard_mining
        count = Counter(shot.source for shot in shots)
        weights = np.array(
            [
                shot.frames * (0.5 + min(shot.motion, 12.0) / 8) / count[shot.source] ** 0.3
                for shot in shots
            ]
        )
        self._cumulative = np.cumsum(weights / weights.sum())

    def draw(self, number: int, crop: int, attempt: int = 0) -> Draw:
        """Draw triplet `number`.

        Args:
            number: Number of the triplet in the run.
            crop: Side of the resulting crop in pixels.
            attempt: Number of the attempt, after draws without motion. Default 0.
        """
        rng = np.random.default_rng((self.seed, number, attempt))
        index = min(int(np.searchsorted(self._cumulative, rng.random())), len(self.shots) - 1)
        shot = self.shots[index]
        middle, span = self._span(shot, rng)
        first = int(rng.integers(0, shot.frames - span))
        zoom = 1.0 if rng.random() < 0.4 else float(rng.uniform(*_ZOOM_RANGE))
        side = min(int(np.ceil(crop / zoom)), shot.height, shot.width)
        places = _places(shot, side, rng)
        return Draw(
            shot=index,
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
            hardest=bool(rng.random() < self.hard_mining),
        )

    def plain(self, number: int, crop: int) -> Draw:
        """Decide triplet `number` without any change to its pictures, for validation."""
        rng = np.random.default_rng((self.seed, number))
        index = min(int(np.searchsorted(self._cumulative, rng.random())), len(self.shots) - 1)
        shot = self.shots[index]
        stride = min(2 if (shot.frame_rate or 0) >= _FAST_RATE else 1, (shot.frames - 1) // 2)
        first = int(rng.integers(0, shot.frames - 2 * stride))
        side = min(crop, shot.height, shot.width)
        places = _places(shot, side, rng)
        return Draw(index, (first, first + stride, first + 2 * stride), 0.5, side, places)

    def _span(self, shot: Shot, rng: np.random.Generator) -> tuple[int, int]:
        """Distance from the earlier frame to the target and to the later frame, in frames."""
        fast = (shot.frame_rate or 0) >= _FAST_RATE
        longest = shot.frames - 1
        if self.any_timestep and rng.random() < 0.25:
            span = int(rng.choice((3, 4))) * (2 if fast else 1)
            middle = int(rng.integers(1, span))
            if span <= longest:
                return middle, span
        stride = min(int(rng.choice((1, 2, 3), p=_STRIDES[fast])), longest // 2)
        return stride, 2 * stride


def _places(shot: Shot, side: int, rng: np.random.Generator) -> tuple[tuple[int, int], ...]:
    """Draw candidate places (top, left) for squares of this side."""
    return tuple(
        (
            int(rng.integers(0, shot.height - side + 1)),
            int(rng.integers(0, shot.width - side + 1)),
        )
        for _ in range(_PLACES)
    )


def hold_out(shots: Sequence[Shot], fraction: float = 0.03) -> tuple[list[Shot], list[Shot]]:
    """Split shots into those to train on and those to validate on.

    Every shot has a fixed position in a shuffle, so more footage moves few shots to the other
    side. A single shot is split, and its last tenth is held out.

    Args:
        shots: Shots in any order.
        fraction: Fraction of shots to hold out. Default 0.03.

    Returns:
        Shots to train on and shots to validate on, in the shuffle's order. So a number means the
        same triplet in whatever order the footage was given.

    Raises:
        TrainingError: There is too little footage to keep any of it apart.
    """
    if len(shots) == 1:
        shot = shots[0]
        kept = shot.frames - max(3, shot.frames // 10)
        if kept < 3:
            raise TrainingError(
                f"{shot.source}: only {shot.frames} frames that move in one shot; training needs at"
                " least 6, and hundreds to be of use."
            )
        tail = replace(
            shot, offset=shot.offset + kept * shot.frame_bytes, frames=shot.frames - kept
        )
        return [replace(shot, frames=kept)], [tail]
    order = sorted(shots, key=_shuffled_place)
    count = max(1, round(len(shots) * fraction))
    return order[count:], order[:count]


def _shuffled_place(shot: Shot) -> str:
    """Position of a shot in the shuffle, from its content and not from its path."""
    facts = (shot.source, shot.offset, shot.frames, shot.width, shot.height, round(shot.motion, 3))
    return hashlib.sha256(repr(facts).encode()).hexdigest()
