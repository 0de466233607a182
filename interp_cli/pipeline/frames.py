"""Frames of the input as the planner and the synthesizer pass them on; no torch."""

from __future__ import annotations

from dataclasses import dataclass

import av


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class SourceFrame:
    """A frame of the input. Two records are equal only if they are the same object.

    What is computed from a frame is kept by whoever computes it, and no longer than the frame.

    Attributes:
        index: Number of the frame in its plan, from 0.
        pts: Time stamp in units of the input, counted from the output's zero.
        image: The planes as decoded.
    """

    index: int
    pts: int
    image: av.VideoFrame
