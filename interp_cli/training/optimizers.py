"""The optimizers of a run: AdamW, and Muon for all kernels that are not narrow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from interp_cli.training.options import TrainOptions

# Minimum rows and columns of a kernel for Muon. First layers and the refinements' last ones have as
# many; a larger minimum was not tried.
_MIN_SIDE = 16


class Optimizers:
    """AdamW for some parameters of a network, Muon for the others.

    Muon (Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks") makes the
    step of a matrix orthogonal, so that directions of small gradients are followed as far as those
    of large ones. At the same rate its steps are about as large as those of AdamW (Liu et al.
    2025, "Muon is scalable for LLM training"). A kernel is a matrix of its first axis by all
    others.

    Attributes:
        parts: One or two torch optimizers, which a gradient scaler steps.
    """

    def __init__(self, net: nn.Module, options: TrainOptions) -> None:
        """Divide the parameters of a network, which must stay on its device from then on."""
        kernels = [p for p in net.parameters() if options.muon and _is_wide(p)]
        muons = {id(kernel) for kernel in kernels}
        others = [p for p in net.parameters() if id(p) not in muons]
        if options.weight_decay:
            adam: torch.optim.Optimizer = torch.optim.AdamW(
                others, weight_decay=options.weight_decay, betas=(0.9, 0.99)
            )
        else:
            adam = torch.optim.Adam(others)
        self.parts = [adam]
        self._factors = [1.0]
        # Torch's Muon takes matrices only. These share the kernels' memory.
        self._matrices = [(kernel, kernel.detach().view(len(kernel), -1)) for kernel in kernels]
        if kernels:
            self.parts.append(
                torch.optim.Muon(
                    [matrix for _, matrix in self._matrices],
                    weight_decay=options.weight_decay,
                    adjust_lr_fn="match_rms_adamw",
                )
            )
            self._factors.append(options.muon)

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the next step."""
        for part, factor in zip(self.parts, self._factors, strict=True):
            for group in part.param_groups:
                group["lr"] = rate * factor

    def take_gradients(self) -> None:
        """Pass the kernels' gradients to Muon's matrices, which share their memory.

        Call it after `backward` and before gradients are unscaled and clipped, which changes both.
        """
        for kernel, matrix in self._matrices:
            matrix.grad = None if kernel.grad is None else kernel.grad.view(len(kernel), -1)

    def state(self) -> list[dict[str, Any]]:
        """Return the state of each optimizer, for a checkpoint."""
        return [part.state_dict() for part in self.parts]

    def restore(self, state: Sequence[dict[str, Any]]) -> None:
        """Restore a state of `state`.

        Raises:
            ValueError: The state is of other optimizers or parameters.
        """
        if len(state) != len(self.parts):
            raise ValueError("a run cannot change between training with and without Muon")
        for part, own in zip(self.parts, state, strict=True):
            part.load_state_dict(own)


def _is_wide(parameter: nn.Parameter) -> bool:
    return parameter.ndim > 1 and min(parameter.flatten(1).shape) >= _MIN_SIDE
