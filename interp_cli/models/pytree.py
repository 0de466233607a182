"""Tensors in tuples in tuples: the form in which networks pass features on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def tree_map(function: Callable[[Tensor], Tensor], nested: Any) -> Any:
    """Call a function on each tensor. The tuples stay as they are, and so does `None`."""
    if nested is None or isinstance(nested, Tensor):
        return None if nested is None else function(nested)
    items = (tree_map(function, item) for item in nested)
    return type(nested)(*items) if hasattr(nested, "_fields") else tuple(items)


def tree_cat(parts: Sequence[Any]) -> Any:
    """Concatenate tensors along the first axis, tuple by tuple; `None` where one is missing."""
    first = parts[0]
    if any(part is None for part in parts):
        return None
    if isinstance(first, Tensor):
        return torch.cat(list(parts))
    items = [tree_cat(some) for some in zip(*parts, strict=True)]
    return type(first)(*items) if hasattr(first, "_fields") else tuple(items)
