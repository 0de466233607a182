"""What a training run changes: weights, their average, the optimizer, the count of steps."""

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
from interp_cli.training.losses import Objective, objective
from interp_cli.training.optimizers import Optimizers
from interp_cli.training.options import TrainOptions
from interp_cli.training.ranks import Ranks
from interp_cli.training.triplets import TripletBatch

# The cosine ends here, as a share of the learning rate.
_LAST_RATE = 0.02
_MAX_SKIPPED = 50
# Methods of a network that objectives call.
_COMPILED = ("forward", "training_motion", "training_outputs")


class TrainingState:
    """A network in training.

    Attributes:
        net: The network.
        averaged: The network with averaged weights: the one to validate and to keep. `net` itself
            where there is no average.
        step: Steps done.
        best_db: Best mean PSNR of a validation.
        autocast: The precision to compute in.
        learning_rate: Of the last step.
        notes: What went otherwise than planned, as the first rank tells it.
    """

    def __init__(
        self,
        options: TrainOptions,
        ranks: Ranks,
        device: torch.device,
        precision: Precision,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        """Begin a run, or go on from a checkpoint.

        Raises:
            WeightsError: The weights to start from cannot be used.
            TrainingError: They are of another architecture.
        """
        self.options = options
        self.ranks = ranks
        torch.manual_seed(options.seed)
        # A run that goes on does not need the weights that it began with any more.
        starting = _starting_net if checkpoint is None else _new_net
        self.net = starting(options).to(device)
        self.averaged = copy.deepcopy(self.net) if options.ema else self.net
        self.step = 0
        self.best_db = -math.inf
        self.learning_rate = 0.0
        self.notes: list[str] = []
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
        if ranks.world > 1:
            self._model = DistributedDataParallel(self._model)

    def train_on(self, batch: TripletBatch, share: float) -> dict[str, float]:
        """Do one step.

        Args:
            batch: What to learn from.
            share: Share of the planned run that is done.

        Returns:
            The loss and its parts by name.

        Raises:
            TrainingError: The gradients have not been finite for many steps.
            ResourceError: The device's memory does not suffice.
        """
        self.learning_rate = scheduled_rate(self.options, self.step, share)
        self._optimizers.set_rate(self.learning_rate)
        try:
            loss, parts = self._find_gradients(batch, share)
        except Exception as error:
            if is_out_of_memory(error):
                raise ResourceError(
                    f"memory does not suffice for steps of {self.options.batch} crops of"
                    f" {batch.target.shape[-1]} px. Train into another folder with a smaller"
                    " --batch; --init takes over the weights that there are."
                ) from error
            if not self._compiled:
                raise
            # Compilers fail in many ways, and Windows has none for GPUs.
            reason = str(error).strip().split("\n", 1)[0]
            self._undo_compiling(f"{type(error).__name__}: {reason}")
            loss, parts = self._find_gradients(batch, share)
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
        self, batch: TripletBatch, share: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        with self.autocast:
            loss, parts = self._model(batch, share)
        self.net.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()
        return loss, parts

    def _undo_compiling(self, reason: str) -> None:
        self._compiled = False
        for name in _COMPILED:
            vars(self.net).pop(name, None)
        if self.ranks.leads:
            self.notes.append(
                f"the network could not be compiled and was trained as it is: {reason}"
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
        except (RuntimeError, ValueError) as error:
            raise TrainingError(
                f"the checkpoint is of another version of {self.options.model!r}"
                f" ({str(error).splitlines()[-1].strip()}). Train anew into another folder."
            ) from error
        if checkpoint.scaler:  # empty where the run had another precision
            self._scaler.load_state_dict(checkpoint.scaler)
        self.step, self.best_db = checkpoint.step, checkpoint.best_db

    def _apply(self, norm: Tensor) -> None:
        """Step, unless the gradient is not finite: every rank has the same, so all skip it."""
        finite = bool(torch.isfinite(norm))
        if finite:
            for part in self._optimizers.parts:
                self._scaler.step(part)
        elif self._compiled and not self._scaler.is_enabled():
            self._undo_compiling("gradients were not finite")
        self._scaler.update()  # lower, if it saw what is not finite
        self._skipped = 0 if finite else self._skipped + 1
        if self._skipped > _MAX_SKIPPED:
            raise TrainingError(
                f"step {self.step}: the last {self._skipped} gradients were not finite. Lower the"
                " learning rate, or use --precision fp32."
            )

    @torch.no_grad()
    def _average(self) -> None:
        # Young weights are not worth keeping, so the average starts short.
        keep = min(self.options.ema, (1 + self.step) / (20 + self.step))
        means, values = self.averaged.state_dict(), self.net.state_dict()
        for name, mean in means.items():
            if mean.is_floating_point():
                mean.lerp_(values[name], 1 - keep)
            else:
                mean.copy_(values[name])


class _Objective(nn.Module):
    """Network and objective as one module, so that DDP sees whatever way the network is used."""

    def __init__(self, net: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.net = net
        self.objective = objective

    def forward(self, batch: TripletBatch, share: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and its parts."""
        loss, parts = self.objective(self.net, batch, share)
        # DDP waits for a gradient of every parameter, and an objective may leave some unused.
        touched = torch.stack([p.flatten()[0] for p in self.net.parameters()]).sum()
        return loss + 0 * touched, parts


def scheduled_rate(options: TrainOptions, step: int, share: float) -> float:
    """The learning rate of a step: warm-up by steps, cosine by the share of the whole run."""
    rate = options.learning_rate
    if options.schedule == "cosine":
        rate *= _LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + math.cos(math.pi * share))
    if step < options.warmup_steps:
        rate *= (step + 1) / options.warmup_steps
    return rate


def step_seed(seed: int, step: int, rank: int) -> int:
    """A seed for all random choices of one rank in one step."""
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1)[0])


def _compile(net: nn.Module) -> None:
    """Compile `_COMPILED`, each at its first call; crops have one size, late in a run another.

    The objective itself stays as it is: the share of the run done changes with every step, and so
    does the number of triplets that it has labels found for.
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
            f" trained. Give --model {loaded.architecture}, or other weights."
        )
    return loaded.net.train()
