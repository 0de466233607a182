"""Data sets: runs of frames of which some are shown and the others hidden.

A triplet is a run of three pictures, and a video is one long run. `dataset_layouts` finds the runs
of published data sets.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from interp_cli.errors import VideoError
from interp_cli.evaluation.runs import FramePair, Picture, Run, RunFrame, VideoRun, pairs_of
from interp_cli.pipeline.planner import PlannedFrame
from interp_cli.video.probe import ColourTags

__all__ = ["Clip", "ClipPlan", "DataSet", "Hidden"]

# Pictures of a clip, shown and hidden, that are in memory at the same time.
_CLIP_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Hidden:
    """A hidden picture, which is to be predicted.

    Attributes:
        name: Name in reports and files; may contain folders.
        timestep: Position between the two shown neighbours, above 0 and below 1.
        picture: Ground truth, (H, W, 3) uint8 RGB.
    """

    name: str
    timestep: Fraction
    picture: Picture


@dataclass(frozen=True, slots=True)
class ClipPlan:
    """The frames that `double` would write between the shown frames of a clip.

    Attributes:
        pairs: For each two consecutive shown frames, one planned frame for each hidden one.
        colour: Colour tags of the video.
    """

    pairs: list[list[PlannedFrame]]
    colour: ColourTags


@dataclass(frozen=True, slots=True)
class Clip:
    """A stretch of frames without a cut.

    Attributes:
        shown: Pictures that predictors get, (H, W, 3) uint8 RGB, all of one size; at least two.
        hidden: Hidden pictures between each two of them: one list fewer than `shown`, all with the
            timesteps of the set.
        plan: Plan of `double` for the shown frames; `None` for pictures.
    """

    shown: list[Picture]
    hidden: list[list[Hidden]]
    plan: ClipPlan | None = None


@dataclass(frozen=True, slots=True)
class DataSet:
    """Runs of which every `skip + 1`-th frame is shown and the others are hidden.

    Attributes:
        name: Name in tables and folders; a single path component.
        path: Folder, list or video.
        kind: Name of the published data set, or `triplets`, `frames` or `video`.
        runs: Runs of the set.
        skip: Number of hidden frames between two shown ones.
        view: Function from a frame, (H, W, 3), to the picture that is scored; `None`: the frame.
        note: Addition to `protocol`, such as the effect of `view`.
    """

    name: str
    path: Path
    kind: str
    runs: tuple[Run, ...]
    skip: int = 1
    view: Callable[[Picture], Picture] | None = None
    note: str = ""

    @property
    def timesteps(self) -> tuple[Fraction, ...]:
        """Positions of the hidden frames between their neighbours, evenly spaced."""
        return tuple(Fraction(k, self.skip + 1) for k in range(1, self.skip + 1))

    @property
    def protocol(self) -> str:
        """A few words on what is hidden."""
        if all(run.count == 3 for run in self.runs):
            hidden = "the middle of three"
        elif self.skip == 1:
            hidden = "every second frame"
        else:
            hidden = f"{self.skip} of {self.skip + 1} frames"
        return f"{hidden} hidden" + (f", {self.note}" if self.note else "")

    def size(self, limit: int | None = None) -> int | None:
        """Number of hidden pictures; `None` where a video does not say how long it is.

        Args:
            limit: See `clips`.
        """
        counts = [run.count for run in self.runs]
        if None in counts:
            return None
        pairs = sum((count - 1) // (self.skip + 1) for count in counts if count)
        return self.skip * min(pairs, self._max_pairs(limit) or pairs)

    def clips(self, limit: int | None = None) -> Generator[Clip]:
        """Read the frames in order, in stretches without a cut that fit into memory.

        Args:
            limit: Number of hidden pictures; reading stops after the pair with the last of them.

        Raises:
            VideoError: Something cannot be read, or a run is too short to hide anything.
        """
        remaining = self._max_pairs(limit)
        for run in self.runs:
            if remaining == 0:
                return
            with contextlib.closing(self._clips_of(run, remaining)) as clips:
                for clip in clips:
                    remaining = None if remaining is None else remaining - len(clip.hidden)
                    yield clip

    def _max_pairs(self, limit: int | None) -> int | None:
        return None if limit is None else -(-limit // self.skip)

    def _clips_of(self, run: Run, max_pairs: int | None) -> Generator[Clip]:
        """The stretches of one run, with at most `max_pairs` pairs in all."""
        frames_read = pairs_read = 0
        stretch: list[FramePair] = []
        shown: list[Picture] = []
        with contextlib.closing(run.frames()) as frames:

            def counted() -> Iterator[RunFrame]:
                nonlocal frames_read
                for frame in frames:
                    frames_read += 1
                    yield frame

            for pair in self._pairs_of(run, counted()):
                if pair.has_cut:
                    if stretch:
                        yield self._clip(stretch, shown)
                    stretch, shown = [], []
                    continue
                shown = shown or [pair.before.picture()]
                shown.append(pair.after.picture())
                stretch.append(pair)
                pairs_read += 1
                if len(shown) * (self.skip + 1) * shown[0].nbytes >= _CLIP_BYTES:
                    yield self._clip(stretch, shown)
                    stretch, shown = [], shown[-1:]
                if pairs_read == max_pairs:
                    break
        if stretch:
            yield self._clip(stretch, shown)
        if not pairs_read:
            raise VideoError(
                f"{run.place}: no frame of {frames_read} can be hidden between two others without a"
                f" cut; at least {self.skip + 2} are needed."
            )

    def _pairs_of(self, run: Run, frames: Iterator[RunFrame]) -> Iterator[FramePair]:
        """The pairs of a run; those of a video have a plan."""
        if isinstance(run, VideoRun) and self.kind == "video":
            return run.with_plan(pairs_of(frames, self.skip), self.skip)
        # Only what is scored stays in memory.
        view = self.view or (lambda picture: picture)
        viewed = (replace(frame, source=view(frame.picture())) for frame in frames)
        return pairs_of(viewed, self.skip)

    def _clip(self, pairs: list[FramePair], shown: list[Picture]) -> Clip:
        hidden = [
            [
                Hidden(frame.name, timestep, frame.picture())
                for frame, timestep in zip(pair.hidden, self.timesteps, strict=True)
            ]
            for pair in pairs
        ]
        planned = [pair.planned for pair in pairs if pair.planned]
        return Clip(shown, hidden, ClipPlan(planned, pairs[0].before.colour) if planned else None)
