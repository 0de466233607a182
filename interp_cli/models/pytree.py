"""Tensors in tuples in tuples, as networks hand on what they know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def tree_map(function: Callable[[Tensor], Tensor], nested: Any) -> Any:
    """The same tuples in tuples with what a function makes of each tensor; `None` stays."""
    if nested is None or isinstance(nested, Tensor):
        return None if nested is None else function(nested)
    items = (tree_map(function, item) for item in nested)
    return type(nested)(*items) if hasattr(nested, "_fields") else tuple(items)


def joined(parts: Sequence[Any]) -> Any:
    """Tensors in tuples in tuples, one behind the other; `None` where one of them is missing."""
    first = parts[0]
    if any(part is None for part in parts):
        return None
    if isinstance(first, Tensor):
        return torch.cat(list(parts))
    items = [joined(some) for some in zip(*parts, strict=True)]
    return type(first)(*items) if hasattr(first, "_fields") else tuple(items)
