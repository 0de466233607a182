"""Which networks there are. A new one is a file beside this one and a line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from interp_cli.models.flow.network import Flow
from interp_cli.models.fusion import Fusion

ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "flow": Flow,
    "fusion": Fusion,
}


def create_model(architecture: str, **config: Any) -> nn.Module:
    """Build a network with random weights.

    Args:
        architecture: A name of `ARCHITECTURES`.
        config: What its constructor takes.

    Raises:
        ValueError: There is no such architecture.
    """
    if architecture not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise ValueError(f"architecture must be one of {known}, not {architecture!r}")
    return ARCHITECTURES[architecture](**config)
