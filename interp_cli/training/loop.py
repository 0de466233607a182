"""The training loop: options → data → network → steps.

Steps are numbered, and everything random in a step follows from the seed and its number (see
`draws`), so on a CPU a resumed run ends bit for bit where an uninterrupted one of as many steps
does; on a GPU sums are not the same twice.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from interp_cli.errors import TrainingError, full_disk
from interp_cli.models.weights import save_weights
from interp_cli.training import ranks as processes
from interp_cli.training.checkpoint import CHECKPOINT, check_options, load_checkpoint
from interp_cli.training.curve import Curve
from interp_cli.training.device import choose_device, choose_precision
from interp_cli.training.draws import TripletSampler, hold_out
from interp_cli.training.loader import Cut, TripletLoader, loader_threads
from interp_cli.training.losses import labeller
from interp_cli.training.options import TrainOptions
from interp_cli.training.prepare import Shot, prepare
from interp_cli.training.ranks import Ranks
from interp_cli.training.resident import ResidentTriplets, fits
from interp_cli.training.state import TrainingState, step_seed
from interp_cli.training.stopping import Stopping
from interp_cli.training.triplets import FrameInterpolationDataset
from interp_cli.training.validation import HELD_OUT, ValidationSet, validate, validation_sets

BEST = "best.safetensors"
# Held-out crops are validated at twice the crop, but no smaller and no larger than this.
_HELD_OUT_PX = (128, 256)
_LOSS_WINDOW = 100


@dataclass(frozen=True, slots=True)
class TrainProgress:
    """Where a run is.

    Attributes:
        step: Steps done.
        triplets: Triplets seen.
        minutes: Minutes spent, over all sittings.
        share: Share of the planned run that is done, 0 to 1.
        seconds_left: By the speed of this sitting.
        loss: Mean of the last steps.
        triplets_per_second: Of this sitting.
        learning_rate: Of the last step.
        psnr_db: Of the last validation, by set.
        parts: Parts of the last step's loss, by name.
    """

    step: int
    triplets: int
    minutes: float
    share: float
    seconds_left: float
    loss: float
    triplets_per_second: float
    learning_rate: float
    psnr_db: dict[str, float] = field(default_factory=dict)
    parts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a run came to.

    Attributes:
        folder: Where checkpoint, weights, curve and pictures lie.
        weights: The best weights.
        best_db: Mean PSNR of the best weights in validation.
        start_psnr_db: Of the weights that the run started from, by set; empty without such weights
            and after `resume`.
        interrupted: Whether a signal ended it before its planned end.
        last: Where it stood at its end.
        notes: What went otherwise than planned.
    """

    folder: Path
    weights: Path
    best_db: float
    start_psnr_db: dict[str, float]
    interrupted: bool
    last: TrainProgress
    notes: tuple[str, ...]


Progress = Callable[[TrainProgress], None]


@dataclass(frozen=True, slots=True)
class _Job:
    """What every rank has to know."""

    shots: tuple[Shot, ...]
    sets: tuple[Path, ...]
    folder: Path
    options: TrainOptions
    resume: bool


def train(
    videos: Sequence[str | Path],
    folder: str | Path,
    options: TrainOptions,
    *,
    validate_on: Sequence[str | Path] = (),
    cache: str | Path = "data/prepared",
    resume: bool = False,
    progress: Progress | None = None,
    prepare_progress: Callable[[int, int], None] | None = None,
) -> TrainResult:
    """Train a network on videos.

    Started by `torchrun`, every process calls this alike. Otherwise it starts further ranks on a
    CPU by itself, so a script that calls it needs the usual `if __name__ == "__main__":`.

    Args:
        videos: Files and folders, see `training.sources.find_sources`.
        folder: Where the run is kept: `last.pt`, `best.safetensors`, `curve.csv`, pictures.
        options: How to train; `train_preset` gives the values for each architecture.
        validate_on: Folders of triplets; without any, footage that is held out decides which
            weights are best.
        cache: Where prepared footage is kept for the next time.
        resume: Whether to go on from the checkpoint in `folder`; then `options` may differ from
            the checkpoint's in the planned length, and in how, where and how often something is
            computed, checked and kept.
        progress: Called after each step.
        prepare_progress: Called with the sources prepared and their number.

    Raises:
        TrainingError: There is too little footage, nothing to resume, a run in `folder` that is
            not to be resumed or was begun otherwise, or training does not converge.
        VideoError: A video cannot be read.
        WeightsError: The weights to start from cannot be used.
        ResourceError: There is no such device, or it has no such precision, or the disk is full.
    """
    folder = Path(folder)
    if resume:
        check_options(folder, load_checkpoint(folder).options, options)
    elif (folder / CHECKPOINT).exists():
        raise TrainingError(
            f"{folder}: holds a run already. Go on with --resume, or give another folder."
        )
    folder.mkdir(parents=True, exist_ok=True)
    device = choose_device(options.device)

    def job() -> _Job:
        shots = prepare(videos, cache, options.prepare, prepare_progress)
        return _Job(tuple(shots), tuple(map(Path, validate_on)), folder, options, resume)

    if processes.launched():
        with processes.joined(device) as ranks:
            # Rank 0 prepares; the others then find everything there.
            own = job() if ranks.leads else None
            ranks.agree(0.0)
            return _run(ranks, own or job(), progress)
    world = processes.count_ranks(options.ranks, device.type, options.batch)
    ready = job()
    with processes.started(world, _run, (ready,)) as ranks:
        return _run(ranks, ready, progress)


def _run(ranks: Ranks, job: _Job, progress: Progress | None = None) -> TrainResult:
    """Train as one of the ranks; rank 0 alone writes and reports."""
    options = job.options
    if options.batch % ranks.world:
        raise TrainingError(f"batch {options.batch} cannot be shared out to {ranks.world} ranks.")
    device = choose_device(options.device, ranks.rank)
    checkpoint = load_checkpoint(job.folder) if job.resume else None
    precision = choose_precision(device, options.precision)
    state = TrainingState(options, ranks, device, precision, checkpoint)
    clock = _Clock(options, checkpoint.minutes if checkpoint else 0.0)
    sampler, sets = _data(job, any_timestep=bool(state.net.supports_timestep))
    resident = _is_resident(sampler, options, device)
    report = _Report(state, clock)
    start_psnr_db: dict[str, float] = {}
    full = f"{job.folder}: the disk is full. Make room; --resume goes on from the last checkpoint."
    with full_disk(full), ExitStack() as stack:
        loader = stack.enter_context(
            TripletLoader(
                _cutter(sampler, options, device if resident else None),
                options,
                ranks,
                device,
                state.step,
                clock.share_at,
                # Labels are for weights that know nothing of motion yet.
                labeller(options.model) if options.init is None else None,
                loader_threads(device, ranks.world, resident=resident),
            )
        )
        stopping = stack.enter_context(Stopping(ranks.leads))
        curve = stack.enter_context(Curve(job.folder, state.step)) if ranks.leads else None
        while True:
            clock.agreed_minutes, due, stop = ranks.agree(
                clock.minutes(), clock.validation_due(), stopping.asked
            )
            share = clock.share_at(state.step)
            done = share >= 1
            begins = options.init is not None and state.step == 0
            if due or done or begins:
                picture = job.folder / f"validation-{state.step:07d}.png" if ranks.leads else None
                report.psnr_db = validate(
                    state.averaged, sets, device, ranks, state.autocast, picture
                )
                _keep_best(job, ranks, state, report.psnr_db)
                clock.validated()
                if begins:
                    start_psnr_db = report.psnr_db
            if curve is not None and (due or done or stop or begins):
                curve.add(_row(report.now()))
            if ranks.leads and (done or stop or clock.checkpoint_due()):
                state.save(job.folder, clock.minutes())
                clock.saved()
            if done or stop:
                return TrainResult(
                    folder=job.folder,
                    weights=job.folder / BEST,
                    best_db=state.best_db,
                    start_psnr_db=start_psnr_db,
                    interrupted=not done,
                    last=report.now(),
                    notes=tuple(state.notes),
                )
            # Objectives draw lots.
            torch.manual_seed(step_seed(options.seed, state.step, ranks.rank))
            report.add(state.train_on(loader.next(), share))
            if progress is not None and ranks.leads:
                progress(report.now())


class _Clock:
    """How far a run is, over all its sittings, and what is due."""

    def __init__(self, options: TrainOptions, minutes_before: float) -> None:
        self.steps = options.steps
        if options.epochs is not None:
            self.steps = math.ceil(options.epochs * options.epoch_triplets / options.batch)
        self.agreed_minutes = minutes_before
        self._options = options
        self._before = minutes_before
        self._start = self._validated = self._saved = time.monotonic()

    def sitting_seconds(self) -> float:
        return time.monotonic() - self._start

    def minutes(self) -> float:
        return self._before + self.sitting_seconds() / 60

    def share_at(self, step: int) -> float:
        """Share of the run that is done at a step; by rank 0's clock if minutes are planned."""
        if self._options.minutes is not None:
            return min(1.0, self.agreed_minutes / self._options.minutes)
        return min(1.0, step / (self.steps or 1))

    def validation_due(self) -> bool:
        return time.monotonic() - self._validated >= 60 * self._options.validate_minutes

    def validated(self) -> None:
        self._validated = time.monotonic()

    def checkpoint_due(self) -> bool:
        return time.monotonic() - self._saved >= 60 * self._options.checkpoint_minutes

    def saved(self) -> None:
        self._saved = time.monotonic()


class _Report:
    """Gathers what there is to tell."""

    def __init__(self, state: TrainingState, clock: _Clock) -> None:
        self.psnr_db: dict[str, float] = {}
        self._state = state
        self._clock = clock
        self._first_step = state.step
        self._losses: deque[float] = deque(maxlen=_LOSS_WINDOW)
        self._parts: dict[str, float] = {}

    def add(self, parts: dict[str, float]) -> None:
        self._losses.append(parts["loss"])
        self._parts = parts

    def now(self) -> TrainProgress:
        step, options, clock = self._state.step, self._state.options, self._clock
        speed = (step - self._first_step) / max(clock.sitting_seconds(), 1e-9)
        if options.minutes is not None:
            seconds_left = 60 * max(0.0, options.minutes - clock.minutes())
        else:
            seconds_left = ((clock.steps or 0) - step) / speed if speed else math.inf
        return TrainProgress(
            step=step,
            triplets=step * options.batch,
            minutes=clock.minutes(),
            share=clock.share_at(step),
            seconds_left=seconds_left,
            loss=float(np.mean(self._losses)) if self._losses else math.nan,
            triplets_per_second=speed * options.batch,
            learning_rate=self._state.learning_rate,
            psnr_db=dict(self.psnr_db),
            parts=dict(self._parts),
        )


def _data(job: _Job, *, any_timestep: bool) -> tuple[TripletSampler, list[ValidationSet]]:
    """What to learn from, and what to validate on."""
    options = job.options
    learned, held = hold_out(job.shots)
    sampler = TripletSampler(
        learned, options.seed, any_timestep=any_timestep, hard_mining=options.hard_mining
    )
    side = min(max(_HELD_OUT_PX[0], 2 * options.crop), _HELD_OUT_PX[1])
    kept = FrameInterpolationDataset(TripletSampler(held), side, options.val_samples, plain=True)
    sets = [ValidationSet(HELD_OUT, options.val_samples, dataset=kept), *validation_sets(job.sets)]
    return sampler, sets


def _is_resident(sampler: TripletSampler, options: TrainOptions, device: torch.device) -> bool:
    """Whether the footage lies in the device's memory: as asked for, or where it fits."""
    return fits(sampler.shots, device) if options.resident == "auto" else options.resident


def _cutter(sampler: TripletSampler, options: TrainOptions, device: torch.device | None) -> Cut:
    """Cut on the device that holds the footage, or from files."""
    if device is not None:
        return ResidentTriplets(sampler, device).batch
    return FrameInterpolationDataset(sampler, options.crop, options.epoch_triplets).batch


def _keep_best(job: _Job, ranks: Ranks, state: TrainingState, psnr_db: dict[str, float]) -> None:
    """Write the weights if they are the best so far: on the given sets, else on held-out crops."""
    given = [value for name, value in psnr_db.items() if name != HELD_OUT]
    mean = float(np.mean(given or list(psnr_db.values())))
    if mean > state.best_db:
        state.best_db = mean
        if ranks.leads:
            save_weights(job.folder / BEST, state.averaged, job.options.model)


def _row(now: TrainProgress) -> dict[str, float]:
    return {
        "step": now.step,
        "triplets": now.triplets,
        "minutes": now.minutes,
        "triplets_per_second": now.triplets_per_second,
        "learning_rate": now.learning_rate,
        "loss": now.loss,
        **{f"psnr_{name}": value for name, value in now.psnr_db.items()},
        **{f"last_{name}": value for name, value in now.parts.items() if name != "loss"},
    }
