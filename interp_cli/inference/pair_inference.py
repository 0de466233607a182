"""From frames to synthesis parameters: the one sequence of steps that all callers run.

    encode each frame → flow of each pair → flow of the pairs before and after → trajectory
    → synthesis parameters

Videos, tensors, benchmarks and profiles differ only in what a frame is and where its picture comes
from. Features serve both pairs of a frame, and a flow serves three pairs, so a `FrameCache` keeps
them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, TypeVar
from weakref import ref

import torch
from torch import Tensor

from interp_cli.inference.frame_cache import FrameCache
from interp_cli.inference.runner import EncodedFrames, ModelRunner
from interp_cli.inference.trajectory import AdjacentMotion
from interp_cli.models.base import SynthesisParams
from interp_cli.models.pytree import tree_cat
from interp_cli.options import Trajectory

Frame = TypeVar("Frame", bound=Hashable)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class TensorFrame:
    """A frame given as a tensor. Two records are equal only if they are the same object.

    Attributes:
        picture: RGB in [0, 1], (N, 3, H, W).
    """

    picture: Tensor


@dataclass(frozen=True, slots=True)
class FramePair(Generic[Frame]):
    """Two frames and the times between them. A frame may hold several pictures of one size.

    Attributes:
        frame0: The earlier frame.
        frame1: The later frame.
        timesteps: For each picture at least one, between 0 and 1.
        earlier: The frame before `frame0`, if the same motion leads from it to `frame0`.
        later: The frame after `frame1`, if the same motion leads from `frame1` to it.
        intervals: Durations of the pairs before and after, in units of this pair's.
    """

    frame0: Frame
    frame1: Frame
    timesteps: Sequence[Sequence[Fraction | float]]
    earlier: Frame | None = None
    later: Frame | None = None
    intervals: tuple[float, float] = (1.0, 1.0)


class PairInference(Generic[Frame]):
    """Runs a network with flow on pairs of frames."""

    def __init__(
        self,
        runner: ModelRunner,
        trajectory: Trajectory,
        picture: Callable[[Frame], Tensor],
        cache: FrameCache,
        part: Hashable = None,
    ) -> None:
        """Set the source of the pictures.

        Args:
            runner: The network.
            trajectory: `cubic` uses the pairs before and after, `linear` does not.
            picture: Returns what the network sees of a frame, (N, 3, h, w) in [0, 1].
            cache: Keeps features and flows as long as their frames.
            part: The part of each frame that `picture` returns, as a key of the cache.
        """
        self._runner, self._trajectory = runner, trajectory
        self._picture, self._cache, self._part = picture, cache, part

    def encoded(self, frame: Frame) -> EncodedFrames:
        """Features of a frame."""
        return self._cache.get(
            frame,
            ("encoded", self._part),
            lambda: self._runner.encode(self._picture(frame)),
        )

    def flow(self, frame0: Frame, frame1: Frame) -> Tensor | None:
        """Flow between two frames, (N, 2, 2, h, w); `None` where memory does not suffice."""
        return self._cache.get(
            frame1,
            ("flow", self._part, ref(frame0)),
            lambda: self._runner.estimate_flow(self.encoded(frame0), self.encoded(frame1)),
        )

    def synthesis_params(self, pairs: Sequence[FramePair[Frame]]) -> list[SynthesisParams]:
        """Find the parameters of all frames to synthesize.

        Returns:
            For each picture of each pair the parameters at its timesteps, (T, C, h, w).

        Raises:
            ValueError: A timestep is not in (0, 1).
        """
        flow: Tensor | None = tree_cat([self.flow(pair.frame0, pair.frame1) for pair in pairs])
        return self._runner.synthesis_params(
            EncodedFrames.cat([self.encoded(pair.frame0) for pair in pairs]),
            EncodedFrames.cat([self.encoded(pair.frame1) for pair in pairs]),
            flow,
            [times for pair in pairs for times in pair.timesteps],
            self._adjacent(pairs, flow),
        )

    def _adjacent(
        self, pairs: Sequence[FramePair[Frame]], flow: Tensor | None
    ) -> AdjacentMotion | None:
        if flow is None or self._trajectory == "linear":
            return None
        earlier: list[Tensor | None] = []
        later: list[Tensor | None] = []
        intervals: list[tuple[float, float]] = []
        for pair in pairs:
            count = len(pair.timesteps)
            earlier += self._rows(pair.earlier, pair.frame0, count)
            later += self._rows(pair.frame1, pair.later, count)
            intervals += [pair.intervals] * count
        if all(flow_of_row is None for flow_of_row in (*earlier, *later)):
            return None  # all motion is linear
        return AdjacentMotion.of(flow, earlier, later, intervals)

    def _rows(
        self, frame0: Frame | None, frame1: Frame | None, count: int
    ) -> Sequence[Tensor | None]:
        """Flow between two frames by picture; `None` where there is no such pair."""
        if frame0 is None or frame1 is None:
            return [None] * count
        found = self.flow(frame0, frame1)
        return [None] * count if found is None else torch.split(found, 1)
