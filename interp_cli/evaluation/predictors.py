"""Predictions of hidden frames: by a method, by the pipeline of `double`, or from files."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Protocol
from weakref import WeakValueDictionary

import numpy as np
import torch

from interp_cli.errors import OpenError
from interp_cli.evaluation.baselines import Frames, Predictor
from interp_cli.evaluation.datasets import Clip, ClipPlan, Hidden
from interp_cli.evaluation.runs import Picture, read_picture
from interp_cli.inference.interpolator import Interpolator
from interp_cli.pipeline.frames import SourceFrame
from interp_cli.pipeline.planner import PlannedFrame
from interp_cli.pipeline.synthesizer import Synthesizer
from interp_cli.video.colour import to_rgb8
from interp_cli.video.pixel_format import pixel_format_of

__all__ = [
    "ClipPredictor",
    "FilePredictor",
    "ModelPredictor",
    "PicturePredictor",
    "VideoPredictor",
]


class ModelPredictor:
    """A network that predicts RGB pictures, through the `Interpolator` of `double`."""

    def __init__(self, interpolator: Interpolator, tta: bool = False) -> None:
        """Wrap a network.

        Args:
            interpolator: Loaded network.
            tta: Whether each picture is the mean of the prediction and of the prediction for the
                frames rotated by 180 degrees, rotated back.
        """
        linear = interpolator.has_flow and interpolator.trajectory == "linear"
        self.name = interpolator.name + ("-linear" if linear else "") + ("-tta" if tta else "")
        self.interpolator = interpolator
        self.tta = tta

    @property
    def halves(self) -> bool:
        """Whether it makes only the frame halfway, and other times from middles of middles."""
        return not self.interpolator.net.supports_timestep

    def can_make(self, timestep: Fraction) -> bool:
        """Whether the network makes that timestep, directly or by halving."""
        return self.interpolator.can_make(timestep)

    def between(self, frames: Frames, timesteps: Sequence[Fraction]) -> list[Frames]:
        """Predict the pictures between each two consecutive frames."""
        predictions = self._predict(frames, timesteps)
        if self.tta:
            rotated = self._predict([frame[::-1, ::-1] for frame in frames], timesteps)
            both = zip(predictions, rotated, strict=True)
            predictions = ((one + other.flip(-2, -1)) / 2 for one, other in both)
        made: list[Frames] = []
        for prediction in predictions:
            rounded = (prediction * 255).round().clamp(0, 255).to(torch.uint8)
            made.append(list(rounded.permute(0, 2, 3, 1).cpu().numpy()))
        return made

    def _predict(self, frames: Frames, timesteps: Sequence[Fraction]) -> Iterator[torch.Tensor]:
        """Pictures (T, 3, H, W) between each two of `frames`."""
        tensors = (
            torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None].float().div_(255)
            for frame in frames
        )
        return self.interpolator.sequence(tensors, timesteps)


class ClipPredictor(Protocol):
    """Whatever predicts the hidden pictures of a set, clip by clip.

    Attributes:
        name: Name in tables.
        timesteps: Timesteps of the set that it makes.
    """

    name: str
    timesteps: tuple[Fraction, ...]

    def predict(self, clip: Clip) -> tuple[list[Frames], float | None]:
        """Predict a clip.

        Returns:
            Pictures at `timesteps` between each two shown frames, and the time in seconds that
            the predictions took; `None` where it is unknown.
        """


class PicturePredictor:
    """A method on RGB pictures."""

    def __init__(self, predictor: Predictor, timesteps: tuple[Fraction, ...]) -> None:
        self.name = predictor.name
        self.timesteps = timesteps
        self._predictor = predictor
        self._is_warm = False

    def predict(self, clip: Clip) -> tuple[list[Frames], float | None]:
        """See `ClipPredictor`; the first call warms up before the time is taken."""
        if not self._is_warm:
            self._predictor.between(clip.shown[:2], self.timesteps)
            self._is_warm = True
        started = time.perf_counter()
        made = self._predictor.between(clip.shown, self.timesteps)
        return made, time.perf_counter() - started


class VideoPredictor:
    """A model on a video: it makes the frames that `double` writes.

    The frames come from the planner and the synthesizer of `double`, in the video's own pixel
    format. Only finished frames become RGB, once, to be compared. So a duplicate is repeated, black
    bars stay, and chroma is moved at its own size, as in the file that a user gets.
    """

    def __init__(
        self, predictor: ModelPredictor, places: Sequence[int], timesteps: tuple[Fraction, ...]
    ) -> None:
        """Wrap a model.

        Args:
            predictor: The model.
            places: Index of each timestep among the hidden frames of a pair.
            timesteps: Timesteps of the set that the model makes.
        """
        self.name = predictor.name
        self.timesteps = timesteps
        self._interpolator = predictor.interpolator
        self._places = places
        self._synthesizer: Synthesizer | None = None

    def predict(self, clip: Clip) -> tuple[list[Frames], float | None]:
        """See `ClipPredictor`; the first call warms up before the time is taken."""
        if clip.plan is None:
            raise ValueError("only a clip of a video has a plan")
        plan = [[pair[place] for place in self._places] for pair in clip.plan.pairs]
        if self._synthesizer is None:
            list(self._create_synthesizer(clip.plan).synthesize(_with_own_frames(plan[0])))
            self._synthesizer = self._create_synthesizer(clip.plan)
        started = time.perf_counter()
        made = self._synthesizer.synthesize(_with_own_frames(chain.from_iterable(plan)))
        images = [image for image, _, _ in made]
        seconds = time.perf_counter() - started
        pictures = iter([to_rgb8(image, clip.plan.colour) for image in images])
        return [[next(pictures) for _ in pair] for pair in plan], seconds

    def _create_synthesizer(self, plan: ClipPlan) -> Synthesizer:
        first: PlannedFrame = plan.pairs[0][0]
        pixel_format = pixel_format_of(first.before.image, plan.colour)
        return Synthesizer(self._interpolator, pixel_format, with_flow=False)


def _with_own_frames(plan: Iterable[PlannedFrame]) -> Iterator[PlannedFrame]:
    """A plan whose frames are released as it is worked off.

    What the synthesizer computes from a frame lives as long as the frame, and a clip holds its
    frames for all predictors.
    """
    frames: WeakValueDictionary[int, SourceFrame] = WeakValueDictionary()

    def own(frame: SourceFrame) -> SourceFrame:
        found = frames.get(frame.index)
        if found is None:
            found = frames[frame.index] = SourceFrame(frame.index, frame.pts, frame.image)
        return found

    for planned in plan:
        # The loop variable keeps the frames that the next pair shares.
        planned = replace(
            planned,
            before=own(planned.before),
            after=planned.after and own(planned.after),
            earlier=planned.earlier and own(planned.earlier),
            later=planned.later and own(planned.later),
        )
        yield planned


class FilePredictor:
    """Pictures that another tool made, in files named as `evaluate` names its own."""

    def __init__(self, folder: Path, timesteps: tuple[Fraction, ...]) -> None:
        self.name = f"{folder.name} (files)"
        self.timesteps = timesteps
        self._folder = folder

    def predict(self, clip: Clip) -> tuple[list[Frames], float | None]:
        """See `ClipPredictor`.

        Raises:
            OpenError: A file is missing, or its picture has another size.
        """
        return [[self._read(item) for item in items] for items in clip.hidden], None

    def _read(self, item: Hidden) -> Picture:
        path = self._folder / f"{item.name}.png"
        picture = read_picture(path)
        if picture.shape != item.picture.shape:
            height, width = picture.shape[:2]
            expected = f"{item.picture.shape[1]}x{item.picture.shape[0]}"
            raise OpenError(f"{path}: is {width}x{height}, but the hidden frame is {expected}.")
        return picture
