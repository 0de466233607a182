"""The training loop: options → data → network → steps.

Steps are numbered, and all random choices of a step follow from the seed and its number (see
`draws`). So on a CPU a resumed run ends bit for bit where an uninterrupted one of as many steps
does. On a GPU sums are not reproducible.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from interp_cli.errors import TrainingError, full_disk
from interp_cli.models.weights import save_weights
from interp_cli.training.checkpoint import CHECKPOINT, check_options, load_checkpoint
from interp_cli.training.curve import Curve
from interp_cli.training.device import choose_device, choose_precision
from interp_cli.training.distributed import (
    ProcessGroup,
    count_processes,
    is_launched,
    join_process_group,
    start_processes,
)
from interp_cli.training.draws import TripletSampler, hold_out
from interp_cli.training.loader import Cut, TripletLoader, loader_threads
from interp_cli.training.losses import labeller
from interp_cli.training.options import TrainOptions
from interp_cli.training.prepare import Shot, prepare
from interp_cli.training.progress import ProgressReport, RunClock, TrainProgress
from interp_cli.training.resident import ResidentTriplets, fits
from interp_cli.training.state import TrainingState, step_seed
from interp_cli.training.stopping import StopSignal
from interp_cli.training.triplets import FrameInterpolationDataset
from interp_cli.training.validation import HELD_OUT, ValidationSet, validate, validation_sets

BEST = "best.safetensors"
# Held-out crops have twice the side of training crops, within these limits in pixels.
_HELD_OUT_PX = (128, 256)


@dataclass(frozen=True, slots=True)
class TrainResult:
    """Result of a run.

    Attributes:
        folder: Folder with checkpoint, weights, curve and pictures.
        weights: File of the best weights; missing if the run stopped before its first validation.
        best_db: Mean PSNR of the best weights in validation, in dB.
        start_psnr_db: PSNR of the initial weights in dB, by set; empty without initial weights and
            after `resume`.
        interrupted: Whether a signal stopped the run before its planned end.
        last: State of the run at its end.
        warnings: Deviations from the options.
    """

    folder: Path
    weights: Path
    best_db: float
    start_psnr_db: dict[str, float]
    interrupted: bool
    last: TrainProgress
    warnings: tuple[str, ...]


Progress = Callable[[TrainProgress], None]


@dataclass(frozen=True, slots=True)
class _Job:
    """What every process of a run has to know."""

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

    Under `torchrun`, every process calls this function. Otherwise it starts further processes on
    a CPU itself, so a script that calls it needs the usual `if __name__ == "__main__":`. The first
    SIGINT or SIGTERM stops the run with a checkpoint.

    Args:
        videos: Files and folders, see `training.sources.find_sources`.
        folder: Folder of the run, for `last.pt`, `best.safetensors`, `curve.csv` and pictures.
        options: Options; `train_preset` returns the values for each network.
        validate_on: Folders of triplets that decide which weights are best. Default: none, and
            held-out footage decides.
        cache: Folder for prepared footage, which the next run reuses.
        resume: Whether to continue from the checkpoint in `folder`. `options` may then differ from
            the checkpoint's in the planned length, the device and the intervals. Default `False`.
        progress: Callback after each step.
        prepare_progress: Callback with the number of sources prepared and of all sources.

    Raises:
        TrainingError: There is too little footage, nothing to resume, another run in `folder`, or
            training does not converge.
        VideoError: A video cannot be read.
        WeightsError: The initial weights cannot be used.
        ResourceError: The device or its precision is missing, or the disk is full.
    """
    folder = Path(folder)
    if resume:
        check_options(folder, load_checkpoint(folder).options, options)
    elif (folder / CHECKPOINT).exists():
        raise TrainingError(
            f"{folder}: holds a run already. Continue it with `resume`, or give another folder."
        )
    folder.mkdir(parents=True, exist_ok=True)
    device = choose_device(options.device)

    def open_job() -> _Job:
        shots = prepare(videos, cache, options.prepare, prepare_progress)
        return _Job(tuple(shots), tuple(map(Path, validate_on)), folder, options, resume)

    if is_launched():
        with join_process_group(device) as group:
            # Rank 0 prepares. The others then find everything there.
            own = open_job() if group.is_main else None
            group.broadcast(0.0)
            return _run(group, own or open_job(), progress)
    world_size = count_processes(options.processes, device.type, options.batch)
    job = open_job()
    with start_processes(world_size, _run, (job,)) as group:
        return _run(group, job, progress)


def _run(group: ProcessGroup, job: _Job, progress: Progress | None = None) -> TrainResult:
    """Train as one of the processes. Rank 0 alone writes and reports."""
    options = job.options
    if options.batch % group.world_size:
        raise TrainingError(
            f"`batch` {options.batch} cannot be divided among {group.world_size} processes."
        )
    full = (
        f"{job.folder}: the disk is full. Make room; `resume` continues from the last checkpoint."
    )
    with full_disk(full), ExitStack() as stack:
        stop = stack.enter_context(StopSignal(group.is_main))
        device = choose_device(options.device, group.rank)
        checkpoint = load_checkpoint(job.folder) if job.resume else None
        precision = choose_precision(device, options.precision)
        state = TrainingState(options, group, device, precision, checkpoint)
        clock = RunClock(options, checkpoint.minutes if checkpoint else 0.0)
        sampler, sets = _data(job, any_timestep=bool(state.net.supports_timestep))
        loader = stack.enter_context(_loader(sampler, state, device, clock))
        report = ProgressReport(options, clock)
        curve = stack.enter_context(Curve(job.folder, state.step)) if group.is_main else None
        start_psnr_db: dict[str, float] = {}
        while True:
            clock.agreed_minutes, due, stopped = group.broadcast(
                clock.minutes(), clock.validation_due(), stop.requested
            )
            fraction = clock.fraction_at(state.step)
            done = fraction >= 1
            begins = options.init is not None and state.step == 0
            if not stopped and (due or done or begins):
                started = clock.now()
                name = f"validation-{state.step:07d}.png"
                picture = job.folder / name if group.is_main else None
                autocast, stopping = state.autocast, lambda: stop.requested
                scores = validate(state.averaged, sets, device, group, autocast, picture, stopping)
                stopped = scores is None
                if scores is not None:
                    report.psnr_db = scores
                    _keep_best(job, state, scores)
                    clock.validated(clock.now() - started)
                    start_psnr_db = scores if begins else start_psnr_db
            if curve is not None and (due or done or stopped or begins):
                curve.add(_row(report.at(state.step, state.learning_rate)))
            if group.is_main and (done or stopped or clock.checkpoint_due()):
                state.save(job.folder, clock.minutes())
                clock.saved()
            if done or stopped:
                return TrainResult(
                    folder=job.folder,
                    weights=job.folder / BEST,
                    best_db=state.best_db,
                    start_psnr_db=start_psnr_db,
                    interrupted=bool(stopped),
                    last=report.at(state.step, state.learning_rate),
                    warnings=tuple(state.warnings),
                )
            started = clock.now()
            # Objectives draw random numbers.
            torch.manual_seed(step_seed(options.seed, state.step, group.rank))
            report.add(state.train_on(loader.next(), fraction), clock.now() - started)
            if progress is not None and group.is_main:
                progress(report.at(state.step, state.learning_rate))


def _loader(
    sampler: TripletSampler, state: TrainingState, device: torch.device, clock: RunClock
) -> TripletLoader:
    options = state.options
    resident = _is_resident(sampler, options, device)
    return TripletLoader(
        _cutter(sampler, options, device if resident else None),
        options,
        state.group,
        device,
        state.step,
        clock.fraction_at,
        # Labels are for random weights, which cannot find motion yet.
        labeller(options.model) if options.init is None else None,
        loader_threads(device, state.group.world_size, resident=resident),
    )


def _data(job: _Job, *, any_timestep: bool) -> tuple[TripletSampler, list[ValidationSet]]:
    """The sampler to train on, and the sets to validate on."""
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
    """Whether to hold the footage in the device's memory: as requested, or where it fits."""
    return fits(sampler.shots, device) if options.resident == "auto" else options.resident


def _cutter(sampler: TripletSampler, options: TrainOptions, device: torch.device | None) -> Cut:
    """Cut crops on the device that holds the footage, or from files."""
    if device is not None:
        return ResidentTriplets(sampler, device).batch
    return FrameInterpolationDataset(sampler, options.crop, options.epoch_triplets).batch


def _keep_best(job: _Job, state: TrainingState, psnr_db: dict[str, float]) -> None:
    """Write the weights if they are the best so far: on the given sets, else on held-out crops."""
    given = [value for name, value in psnr_db.items() if name != HELD_OUT]
    mean = float(np.mean(given or list(psnr_db.values())))
    if mean > state.best_db:
        state.best_db = mean
        if state.group.is_main:
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
