"""Training triplets: draws (see `draws`) cropped from the footage with OpenCV.

The loader uses this on a CPU. `resident` crops the same draws on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from interp_cli.training.draws import Draw, TripletSampler
from interp_cli.training.planes import RGB_FROM_YUV, frame_planes
from interp_cli.training.prepare import Shot

# Crops with a smaller mean absolute difference have too little motion.
LIVELY = 2.5
# Crops with a larger mean absolute difference show a flash or a missed cut.
UNRELATED = 70.0
_DRAWS = 30


@dataclass(frozen=True, slots=True)
class TripletBatch:
    """Triplets of one step.

    Attributes:
        frame0: Earlier frames, (N, 3, H, W), float32 in [0, 1].
        target: True frames between, (N, 3, H, W), float32 in [0, 1].
        frame1: Later frames, (N, 3, H, W), float32 in [0, 1].
        timestep: Times of the targets between the frames, (N, 1, 1, 1), 0 to 1.
        labels: Further labels by name (see `labels` and `synthetic`), first axis N.
    """

    frame0: Tensor
    target: Tensor
    frame1: Tensor
    timestep: Tensor
    labels: dict[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of triplets."""
        return len(self.frame0)

    def __getitem__(self, numbers: Tensor) -> TripletBatch:
        """The triplets of these numbers."""
        numbers = numbers.to(self.target.device)
        return self._mapped(lambda tensor: tensor[numbers])

    def to(self, device: torch.device) -> TripletBatch:
        """Return the batch on another device."""
        return self._mapped(lambda tensor: tensor.to(device))

    def _mapped(self, function: Callable[[Tensor], Tensor]) -> TripletBatch:
        return TripletBatch(
            function(self.frame0),
            function(self.target),
            function(self.frame1),
            function(self.timestep),
            {name: function(label) for name, label in self.labels.items()},
        )


class FrameInterpolationDataset(Dataset[tuple[NDArray[np.uint8], float]]):
    """Triplets of prepared shots by number: `dataset[k]`.

    An item is the earlier frame, the target and the later frame, (3, S, S, 3) uint8 RGB, and the
    target's timestep.
    """

    def __init__(
        self, sampler: TripletSampler, crop: int, length: int = 2000, *, plain: bool = False
    ) -> None:
        """Create a data set.

        Args:
            sampler: Sampler of the triplets.
            crop: Side of the crops in pixels.
            length: Number of items in an epoch. Larger numbers are valid. Default 2000.
            plain: Whether to leave out augmentation, for validation. Default `False`.
        """
        self.sampler = sampler
        self.crop = crop
        self.plain = plain
        self._length = length

    def __len__(self) -> int:
        """Number of triplets in an epoch."""
        return self._length

    def __getitem__(self, number: int) -> tuple[NDArray[np.uint8], float]:
        """Crop triplet `number`. If `plain`, it is smaller than `crop` where the shot is."""
        return self.cut(number, self.crop)

    def cut(self, number: int, crop: int) -> tuple[NDArray[np.uint8], float]:
        """Crop triplet `number` at another size."""
        if self.plain:
            draw = self.sampler.plain(number, crop)
            return _square(self.sampler.shots[draw.shot], draw, _place(self.sampler, draw)[0]), 0.5
        draw = self.sampler.draw(number, crop)
        for attempt in range(1, _DRAWS):
            place, difference = _place(self.sampler, draw)
            if difference <= UNRELATED and (difference > LIVELY or draw.anything):
                break
            draw = self.sampler.draw(number, crop, attempt)
        else:
            place, _ = _place(self.sampler, draw)
        return _changed(_square(self.sampler.shots[draw.shot], draw, place), draw, crop), (
            draw.shown_timestep
        )

    def batch(self, numbers: Sequence[int], crop: int) -> TripletBatch:
        """Crop the triplets of these numbers, (N, 3, crop, crop) each."""
        return to_batch([self.cut(number, crop) for number in numbers])


def to_batch(items: Sequence[tuple[NDArray[np.uint8], float]]) -> TripletBatch:
    """Stack items of a `FrameInterpolationDataset` of one size."""
    frames = torch.from_numpy(np.stack([frames for frames, _ in items]))  # (N, 3, S, S, 3)
    frame0, target, frame1 = frames.permute(1, 0, 4, 2, 3).contiguous().float().div_(255).unbind(0)
    timestep = torch.tensor([t for _, t in items], dtype=torch.float32).view(-1, 1, 1, 1)
    return TripletBatch(frame0, target, frame1, timestep)


def frames_of(shot: Shot) -> NDArray[np.uint8]:
    """All frames of a shot, (frames, bytes of a frame), mapped from its file."""
    size = shot.frames * shot.frame_bytes
    return _mapped(shot.file)[shot.offset : shot.offset + size].reshape(shot.frames, -1)


# A mapped file counts as open, and some systems allow 256. Mapping it again takes microseconds.
@lru_cache(maxsize=128)
def _mapped(file: Path) -> NDArray[np.uint8]:
    return np.memmap(file, np.uint8, "r")


def _place(sampler: TripletSampler, draw: Draw) -> tuple[tuple[int, int], float]:
    """Choose the place of a draw: the first with motion, else the last.

    With `hardest` it is the place with the largest difference.

    Returns:
        (top, left), and the mean absolute difference of the frames there.
    """
    shot = sampler.shots[draw.shot]
    first, _, last = draw.frames
    luma0, luma1 = (
        frame_planes(frames_of(shot)[index], shot.width, shot.height)[0] for index in (first, last)
    )
    difference = -1.0
    place = draw.places[0]
    for top, left in draw.places:
        area = (slice(top, top + draw.side, 4), slice(left, left + draw.side, 4))
        here = float(cv2.absdiff(luma0[area].copy(), luma1[area].copy()).mean())
        if here > difference or not draw.hardest:
            place, difference = (top, left), here
        if not draw.hardest and (difference > LIVELY or draw.anything):
            break
    return place, difference


def _square(shot: Shot, draw: Draw, place: tuple[int, int]) -> NDArray[np.uint8]:
    """Read the square of the three frames, (3, side, side, 3) RGB."""
    top, left = place
    side = draw.side
    pictures = []
    for index in draw.frames:
        luma, *chroma = frame_planes(frames_of(shot)[index], shot.width, shot.height)
        yuv = np.empty((side, side, 3), np.uint8)
        yuv[..., 0] = luma[top : top + side, left : left + side]
        rows = np.arange(top, top + side) // 2
        columns = np.arange(left, left + side) // 2
        for channel, plane in enumerate(chroma, 1):
            # Chroma goes up by repetition, as everywhere in this package (video.colour).
            yuv[..., channel] = plane[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1][
                (rows - rows[0])[:, None], (columns - columns[0])[None]
            ]
        pictures.append(cv2.transform(yuv, RGB_FROM_YUV))
    return np.stack(pictures).astype(np.uint8, copy=False)


def _changed(frames: NDArray[np.uint8], draw: Draw, crop: int) -> NDArray[np.uint8]:
    """Apply the same resizing, flips and colour changes to the three frames."""
    if draw.side != crop:
        kind = cv2.INTER_CUBIC if draw.side < crop else cv2.INTER_AREA
        frames = np.stack([cv2.resize(f, (crop, crop), interpolation=kind) for f in frames]).astype(
            np.uint8, copy=False
        )
    if draw.flip_x:
        frames = frames[:, :, ::-1]
    if draw.flip_y:
        frames = frames[:, ::-1]
    if draw.transpose:
        frames = frames.transpose(0, 2, 1, 3)
    if draw.reverse:
        frames = frames[::-1]
    frames = frames[..., draw.channels]
    if draw.gain != 1 or draw.gamma != 1:
        values = draw.gain * (np.arange(256) / 255) ** draw.gamma
        frames = np.clip(np.rint(255 * values), 0, 255).astype(np.uint8)[frames]
    if draw.quality:
        frames = np.stack([_recompressed(frame, draw.quality) for frame in frames])
    return np.ascontiguousarray(frames)


def _recompressed(frame: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    written, data = cv2.imencode(
        ".jpg", np.ascontiguousarray(frame), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if written else None
    return frame if picture is None else np.asarray(picture, np.uint8)
