"""How far a run is, what is due, and how long it will take."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from interp_cli.training.options import TrainOptions

# Steps over which losses and durations are averaged.
_WINDOW = 100


@dataclass(frozen=True, slots=True)
class TrainProgress:
    """State of a run after a step.

    Attributes:
        step: Number of steps done.
        triplets: Number of triplets seen.
        minutes: Minutes spent, over all sessions.
        fraction: Fraction of the planned run that is done, 0 to 1.
        seconds_left: Estimated time left in seconds; infinite until there is a basis for it.
        loss: Mean loss of the last steps.
        triplets_per_second: Speed of the last steps; 0 until the second step of a session, as the
            first one warms up.
        learning_rate: Learning rate of the last step.
        psnr_db: PSNR of the last validation in dB, by set.
        parts: Parts of the last step's loss, by name.
    """

    step: int
    triplets: int
    minutes: float
    fraction: float
    seconds_left: float
    loss: float
    triplets_per_second: float
    learning_rate: float
    psnr_db: dict[str, float] = field(default_factory=dict)
    parts: dict[str, float] = field(default_factory=dict)


class RunClock:
    """Measures a run over all its sessions, and says what is due.

    Attributes:
        steps: Planned number of steps; `None` where minutes are planned.
        agreed_minutes: Rank 0's minutes at the last step, the same in every process.
        validation_seconds: Duration of the last validation; 0 before the first.
    """

    def __init__(
        self,
        options: TrainOptions,
        minutes_before: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start a session.

        Args:
            options: Planned length, and minutes between validations and checkpoints.
            minutes_before: Minutes of earlier sessions.
            now: Clock in seconds.
        """
        self.steps = options.steps
        if options.epochs is not None:
            self.steps = math.ceil(options.epochs * options.epoch_triplets / options.batch)
        self.agreed_minutes = minutes_before
        self.validation_seconds = 0.0
        self.now = now
        self._options = options
        self._before = minutes_before
        self._start = self._validated = self._saved = now()

    def minutes(self) -> float:
        """Minutes spent so far."""
        return self._before + (self.now() - self._start) / 60

    def fraction_at(self, step: int) -> float:
        """Fraction of the run that is done at a step, the same in every process."""
        if self._options.minutes is not None:
            return min(1.0, self.agreed_minutes / self._options.minutes)
        return min(1.0, step / (self.steps or 1))

    def fraction_now(self, step: int) -> float:
        """Fraction of the run that is done after a step, by this process's clock."""
        if self._options.minutes is not None:
            return min(1.0, self.minutes() / self._options.minutes)
        return self.fraction_at(step)

    def seconds_left(self, step: int, step_seconds: float) -> float:
        """Estimated time until the end of the run, with the validations on the way.

        Args:
            step: Steps done.
            step_seconds: Mean duration of a step; infinite where it is not known yet.
        """
        if self._options.minutes is not None:
            training = 60 * max(0.0, self._options.minutes - self.minutes())
            return training + self.validation_seconds
        training = max(0, (self.steps or 0) - step) * step_seconds
        if not math.isfinite(training):
            return math.inf
        validations = 1 + training // (60 * self._options.validate_minutes)
        return training + validations * self.validation_seconds

    def validation_due(self) -> bool:
        """Whether `validate_minutes` have passed since the last validation."""
        return self.now() - self._validated >= 60 * self._options.validate_minutes

    def validated(self, seconds: float) -> None:
        """Note that a validation has ended."""
        self.validation_seconds = seconds
        self._validated = self.now()

    def checkpoint_due(self) -> bool:
        """Whether `checkpoint_minutes` have passed since the last checkpoint."""
        return self.now() - self._saved >= 60 * self._options.checkpoint_minutes

    def saved(self) -> None:
        """Note that a checkpoint has been written."""
        self._saved = self.now()


class ProgressReport:
    """Collects what `TrainProgress` shows.

    Attributes:
        psnr_db: PSNR of the last validation in dB, by set.
    """

    def __init__(self, options: TrainOptions, clock: RunClock) -> None:
        """Start a session without any step."""
        self.psnr_db: dict[str, float] = {}
        self._options = options
        self._clock = clock
        self._losses: deque[float] = deque(maxlen=_WINDOW)
        self._seconds: deque[float] = deque(maxlen=_WINDOW)
        self._is_warm = False
        self._parts: dict[str, float] = {}

    def add(self, parts: dict[str, float], seconds: float) -> None:
        """Add a step: the parts of its loss and its duration, which counts from the second on."""
        self._losses.append(parts["loss"])
        self._parts = parts
        if self._is_warm:
            self._seconds.append(seconds)
        self._is_warm = True

    def at(self, step: int, learning_rate: float) -> TrainProgress:
        """The state after a step."""
        clock, batch = self._clock, self._options.batch
        step_seconds = float(np.mean(self._seconds)) if self._seconds else math.inf
        return TrainProgress(
            step=step,
            triplets=step * batch,
            minutes=clock.minutes(),
            fraction=clock.fraction_now(step),
            seconds_left=clock.seconds_left(step, step_seconds),
            loss=float(np.mean(self._losses)) if self._losses else math.nan,
            triplets_per_second=batch / max(step_seconds, 1e-9),
            learning_rate=learning_rate,
            psnr_db=dict(self.psnr_db),
            parts=dict(self._parts),
        )
