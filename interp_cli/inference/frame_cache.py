"""What is computed from a frame, once for all the pairs that it belongs to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

Value = TypeVar("Value")

_IN_PROGRESS = object()


class FrameCache:
    """Values computed from frames. They are released together with their frame.

    A frame is any object with identity comparison that can be weakly referenced. A value must not
    refer to its frame.
    """

    def __init__(self) -> None:
        self._values: WeakKeyDictionary[Any, dict[Hashable, Any]] = WeakKeyDictionary()
        self._changed = threading.Condition()

    def get(self, frame: object, key: Hashable, compute: Callable[[], Value]) -> Value:
        """Return a value of a frame, computed at the first call.

        A thread that asks for a value in progress waits for it. Where the computation fails, the
        caller gets the exception and one of the waiting threads tries again.

        Args:
            frame: The frame.
            key: Which of its values.
            compute: The computation. It may ask for other values, but not in a circle.
        """
        with self._changed:
            values = self._values.setdefault(frame, {})
            while values.get(key) is _IN_PROGRESS:
                self._changed.wait()
            if key in values:
                known: Value = values[key]
                return known
            values[key] = _IN_PROGRESS
        try:
            value = compute()
        except BaseException:
            with self._changed:
                del values[key]
                self._changed.notify_all()
            raise
        with self._changed:
            values[key] = value
            self._changed.notify_all()
        return value
