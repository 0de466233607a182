"""The networks by name. A new one is one file in this package and one line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from interp_cli.models.base import InterpolationModel
from interp_cli.models.flow.network import Flow
from interp_cli.models.fusion import Fusion

# A class that lacks a member of the protocol fails the type check here.
ARCHITECTURES: dict[str, Callable[..., InterpolationModel]] = {
    "flow": Flow,
    "fusion": Fusion,
}


def create_model(architecture: str, **config: Any) -> nn.Module:
    """Build a network with random weights.

    Args:
        architecture: A name of `ARCHITECTURES`.
        config: Arguments of the network's constructor.

    Raises:
        ValueError: There is no such architecture.
        TypeError: The architecture is no `nn.Module`.
    """
    if architecture not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise ValueError(f"architecture must be one of {known}, not {architecture!r}")
    net = ARCHITECTURES[architecture](**config)
    if not isinstance(net, nn.Module):
        raise TypeError(f"architecture {architecture!r} must be an nn.Module, not {type(net)}")
    return net
