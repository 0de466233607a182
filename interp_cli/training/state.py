"""State of a training run: weights, their average, the optimizers, the number of steps."""

from __future__ import annotations

import copy
import math
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from interp_cli.devices import autocast, is_out_of_memory
from interp_cli.errors import ResourceError, TrainingError
from interp_cli.models.registry import create_model
from interp_cli.models.weights import load_model
from interp_cli.options import Precision
from interp_cli.training.checkpoint import Checkpoint, save_checkpoint
from interp_cli.training.distributed import ProcessGroup
from interp_cli.training.losses import Objective, objective
from interp_cli.training.optimizers import Optimizers
from interp_cli.training.options import TrainOptions
from interp_cli.training.triplets import TripletBatch

# The cosine schedule ends at this fraction of the learning rate.
_LAST_RATE = 0.02
_MAX_SKIPPED = 50
# Methods of a network that objectives call.
_COMPILED = ("forward", "training_motion", "training_outputs")


class TrainingState:
    """A network in training.

    Attributes:
        options: Options of the run.
        group: Processes that share each step.
        net: Network.
        averaged: Network with averaged weights, which is validated and saved; `net` itself
            without an average.
        step: Number of steps done.
        best_db: Best mean PSNR of a validation in dB.
        autocast: Autocast context of the precision.
        learning_rate: Learning rate of the last step.
        warnings: Deviations from the options, in rank 0.
    """

    def __init__(
        self,
        options: TrainOptions,
        group: ProcessGroup,
        device: torch.device,
        precision: Precision,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        """Start a run, or resume one from a checkpoint.

        Args:
            options: Options of the run.
            group: Processes that share each step.
            device: Device to train on.
            precision: Arithmetic precision, not `auto`.
            checkpoint: Checkpoint to resume from. Default `None`: a new run.

        Raises:
            WeightsError: The initial weights cannot be used.
            TrainingError: The weights or the checkpoint are of another network.
        """
        self.options = options
        self.group = group
        torch.manual_seed(options.seed)
        # A resumed run does not need its initial weights.
        starting = _starting_net if checkpoint is None else _new_net
        self.net = starting(options).to(device)
        self.averaged = copy.deepcopy(self.net) if options.ema else self.net
        self.step = 0
        self.best_db = -math.inf
        self.learning_rate = 0.0
        self.warnings: list[str] = []
        self.autocast: AbstractContextManager[object] = autocast(device, precision)
        self._optimizers = Optimizers(self.net, options)
        # Float16 alone is too coarse for small gradients; elsewhere the scaler does nothing.
        self._scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
        self._skipped = 0
        if checkpoint is not None:
            self._restore(checkpoint)
        self._compiled = options.compile is True or (
            options.compile == "auto" and device.type == "cuda"
        )
        if self._compiled:
            _compile(self.net)
        self._model: nn.Module = _Objective(self.net, objective(options.model))
        if group.world_size > 1:
            self._model = DistributedDataParallel(self._model)

    def train_on(self, batch: TripletBatch, fraction: float) -> dict[str, float]:
        """Do one step.

        Args:
            batch: Batch of this process.
            fraction: Fraction of the planned run that is done, 0 to 1.

        Returns:
            Loss and its parts, by name.

        Raises:
            TrainingError: The gradients have not been finite for many steps.
            ResourceError: The device has too little memory.
        """
        self.learning_rate = scheduled_rate(self.options, self.step, fraction)
        self._optimizers.set_rate(self.learning_rate)
        try:
            loss, parts = self._find_gradients(batch, fraction)
        except Exception as error:
            if is_out_of_memory(error):
                raise ResourceError(
                    f"memory does not suffice for steps of {self.options.batch} crops of"
                    f" {batch.target.shape[-1]} px. Train into another folder with a smaller"
                    " `batch`; `init` starts from the weights of this run."
                ) from error
            if not self._compiled:
                raise
            # Compilers raise many types of errors, and Windows has none for GPUs.
            reason = str(error).strip().split("\n", 1)[0]
            self._undo_compiling(f"{type(error).__name__}: {reason}")
            loss, parts = self._find_gradients(batch, fraction)
        self._optimizers.take_gradients()
        for part in self._optimizers.parts:
            self._scaler.unscale_(part)
        norm = nn.utils.clip_grad_norm_(self.net.parameters(), self.options.clip_norm or math.inf)
        self._apply(norm)
        self.step += 1
        if self.averaged is not self.net:
            self._average()
        return {"loss": float(loss.detach()), **{k: float(v.detach()) for k, v in parts.items()}}

    def _find_gradients(
        self, batch: TripletBatch, fraction: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        with self.autocast:
            loss, parts = self._model(batch, fraction)
        self.net.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()
        return loss, parts

    def _undo_compiling(self, reason: str) -> None:
        self._compiled = False
        for name in _COMPILED:
            vars(self.net).pop(name, None)
        if self.group.is_main:
            self.warnings.append(
                f"the network could not be compiled and was trained uncompiled: {reason}"
            )

    def save(self, folder: Path, minutes: float) -> None:
        """Write the checkpoint."""
        save_checkpoint(
            folder,
            Checkpoint(
                options=self.options,
                net=self.net.state_dict(),
                ema=self.averaged.state_dict() if self.averaged is not self.net else {},
                optimizers=self._optimizers.state(),
                scaler=self._scaler.state_dict(),
                step=self.step,
                minutes=minutes,
                best_db=self.best_db,
            ),
        )

    def _restore(self, checkpoint: Checkpoint) -> None:
        try:
            self.net.load_state_dict(checkpoint.net)
            if self.averaged is not self.net:
                self.averaged.load_state_dict(checkpoint.ema or checkpoint.net)
            self._optimizers.restore(checkpoint.optimizers)
            if checkpoint.scaler:  # empty if the run had another precision
                self._scaler.load_state_dict(checkpoint.scaler)
        except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise TrainingError(
                f"the checkpoint is of another version of {self.options.model!r}"
                f" ({str(error).splitlines()[-1].strip()}). Train into another folder."
            ) from error
        self.step, self.best_db = checkpoint.step, checkpoint.best_db

    def _apply(self, norm: Tensor) -> None:
        """Step if the gradient is finite, which is the same in every process."""
        finite = bool(torch.isfinite(norm))
        if finite:
            for part in self._optimizers.parts:
                self._scaler.step(part)
        elif self._compiled and not self._scaler.is_enabled():
            self._undo_compiling("gradients were not finite")
        self._scaler.update()  # lowers the scale after a gradient that is not finite
        self._skipped = 0 if finite else self._skipped + 1
        if self._skipped > _MAX_SKIPPED:
            raise TrainingError(
                f"step {self.step}: the last {self._skipped} gradients were not finite. Lower the"
                ' `learning_rate`, or use `precision="fp32"`.'
            )

    @torch.no_grad()
    def _average(self) -> None:
        # Early weights are of no use, so the average starts short.
        keep = min(self.options.ema, (1 + self.step) / (20 + self.step))
        means, values = self.averaged.state_dict(), self.net.state_dict()
        for name, mean in means.items():
            if mean.is_floating_point():
                mean.lerp_(values[name], 1 - keep)
            else:
                mean.copy_(values[name])


class _Objective(nn.Module):
    """Network and objective as one module, so that DDP sees every use of the network."""

    def __init__(self, net: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.net = net
        self.objective = objective

    def forward(self, batch: TripletBatch, fraction: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and its parts."""
        loss, parts = self.objective(self.net, batch, fraction)
        # DDP waits for a gradient of every parameter; an objective may leave some unused.
        touched = torch.stack([p.flatten()[0] for p in self.net.parameters()]).sum()
        return loss + 0 * touched, parts


def scheduled_rate(options: TrainOptions, step: int, fraction: float) -> float:
    """Learning rate of a step: warm-up by steps, cosine by the fraction of the run."""
    rate = options.learning_rate
    if options.schedule == "cosine":
        rate *= _LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + math.cos(math.pi * fraction))
    if step < options.warmup_steps:
        rate *= (step + 1) / options.warmup_steps
    return rate


def step_seed(seed: int, step: int, rank: int) -> int:
    """Seed of all random choices of one process in one step."""
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1)[0])


def _compile(net: nn.Module) -> None:
    """Compile the methods in `_COMPILED`, each at its first call.

    The objective itself is not compiled: the fraction of the run changes with every step, and so
    does the number of triplets with labels.
    """
    for name in _COMPILED:
        if hasattr(net, name):
            setattr(net, name, torch.compile(getattr(net, name), dynamic=False))


def _new_net(options: TrainOptions) -> nn.Module:
    return create_model(options.model).train()


def _starting_net(options: TrainOptions) -> nn.Module:
    if options.init is None:
        return _new_net(options)
    loaded = load_model(options.init)
    if loaded.architecture != options.model:
        raise TrainingError(
            f"{loaded.path}: weights of {loaded.architecture!r}, but {options.model!r} is to be"
            f' trained. Set `model="{loaded.architecture}"`, or give other weights.'
        )
    return loaded.net.train()
