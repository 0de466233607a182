"""What a network is compared with: averaging, FFmpeg's minterpolate, and classical optical flow.

Each is a predictor: it has a `name`, and `between(frames, timesteps)` returns the pictures between
each two neighbours of a sequence. They take the whole sequence rather than a pair because
minterpolate is a video filter, which carries motion from one pair to the next.
"""

from __future__ import annotations

import math
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from interp_cli.errors import VideoError
from interp_cli.video.ffmpeg import ffmpeg_path

__all__ = [
    "BASELINES",
    "MINTERPOLATE",
    "Blend",
    "DisFlow",
    "Frames",
    "Minterpolate",
    "Picture",
    "Predictor",
]

Picture = npt.NDArray[np.uint8]
Frames = Sequence[Picture]
_Plane = npt.NDArray[Any]  # float32: (H, W), or (H, W, channels)

# The settings that people use for the best picture: both directions of motion, adaptive overlapped
# blocks of variable size. Scene-change detection is off: it would repeat a frame.
MINTERPOLATE = "mi_mode=mci:mc_mode=aobmc:me_mode=bidir:vsbmc=1:scd=none"


class Predictor(Protocol):
    """Anything that can guess the pictures between others.

    Attributes:
        name: How tables call it.
    """

    name: str

    def can_make(self, timestep: Fraction) -> bool:
        """Whether it can make the picture at that time."""

    def between(self, frames: Frames, timesteps: Sequence[Fraction]) -> list[Frames]:
        """Return the pictures between each two neighbours.

        Args:
            frames: At least two of (H, W, 3) uint8 RGB, all of one size.
            timesteps: Between 0 and 1, rising; those that `can_make` allows.

        Returns:
            One list fewer than `frames`, each with a picture for each timestep.
        """


class _AnyTimestep:
    def can_make(self, timestep: Fraction) -> bool:
        """Every one between 0 and 1."""
        return 0 < timestep < 1


class Blend(_AnyTimestep):
    """The weighted mean of the two neighbours: what there is without any idea of motion."""

    name = "blend"

    def between(self, frames: Frames, timesteps: Sequence[Fraction]) -> list[Frames]:
        """Average each two neighbours, rounded."""
        return [[_mean(a, b, timestep) for timestep in timesteps] for a, b in pairwise(frames)]


class Minterpolate(_AnyTimestep):
    """FFmpeg's minterpolate filter, run over the sequence as over a video (4:4:4, lossless).

    Its time includes starting ffmpeg, which a single pair notices and a video does not.
    """

    name = "minterpolate"

    def between(self, frames: Frames, timesteps: Sequence[Fraction]) -> list[Frames]:
        """Run one ffmpeg over all frames.

        The filter looks one frame back and one ahead, so the first and the last frame are fed
        twice. At q times the rate it then makes qn + 1 pictures from n frames, of which number
        q(i + 1) + p stands at p / q between frames i and i + 1.

        Raises:
            VideoError: ffmpeg refused the pictures or returned another number of them.
        """
        height, width = frames[0].shape[:2]
        size = f"{width}x{height}"
        rate = math.lcm(*(timestep.denominator for timestep in timesteps))
        places = [int(timestep * rate) for timestep in timesteps]
        wanted = (len(frames) - 1) * len(places)
        raw = ["-f", "rawvideo", "-pix_fmt", "rgb24"]
        chosen = "+".join(rf"eq(mod(n\,{rate})\,{place})" for place in places)
        filters = (
            f"format=yuv444p,minterpolate=fps={rate}:{MINTERPOLATE},"
            rf"select=gte(n\,{rate})*({chosen}),format=rgb24"
        )
        command = [ffmpeg_path(), "-v", "error", "-nostdin"]
        command += [*raw, "-s", size, "-r", "1", "-i", "pipe:0"]
        command += ["-vf", filters, "-fps_mode", "passthrough", *raw, "pipe:1"]
        done = subprocess.run(
            command,
            input=b"".join(frame.tobytes() for frame in (frames[0], *frames, frames[-1])),
            capture_output=True,
            check=False,
        )
        found = len(done.stdout) / frames[0].nbytes
        if done.returncode or found != wanted:
            # The first line says why, those after it only who else stopped.
            said = done.stderr.decode(errors="replace").partition("\n")[0].split("] ")[-1].strip()
            raise VideoError(
                f"ffmpeg's minterpolate made {found:g} of {wanted} pictures of {size}"
                f" ({said or 'no reason given'}). Compare without it."
            )
        shape = (len(frames) - 1, len(places), height, width, 3)
        return [list(row) for row in np.frombuffer(done.stdout, np.uint8).reshape(shape)]


class DisFlow(_AnyTimestep):
    """OpenCV's DIS optical flow (medium) both ways, with an occlusion-aware blend.

    Kroeger et al. (2016), "Fast optical flow using dense inverse search". Each of the two flows
    gives every pixel of the new picture a motion, hence a place in each neighbour. Of these four
    samples, those count that both flows agree upon at their source (so what is hidden in the other
    neighbour counts little), whose two ends look alike, and whose neighbour is the nearer one.
    """

    name = "dis"

    # Half weight at a disagreement of the flows of 4 px, at a difference of the ends of 8 of 255.
    _FLOW_SCALE_PX = 4.0
    _COLOUR_SCALE = 8.0
    _MIN_SIDE_PX = 8  # the side of its patches

    def __init__(self) -> None:
        self._flow: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def between(self, frames: Frames, timesteps: Sequence[Fraction]) -> list[Frames]:
        """Find both flows of each two neighbours, warp and blend.

        Raises:
            VideoError: The pictures are too small for OpenCV.
        """
        height, width = frames[0].shape[:2]
        if min(height, width) < self._MIN_SIDE_PX:
            raise VideoError(
                f"dis needs pictures of {self._MIN_SIDE_PX} pixels a side and more, not"
                f" {width}x{height}. Compare without it."
            )
        return [self._between(a, b, timesteps) for a, b in pairwise(frames)]

    def _between(self, frame0: Picture, frame1: Picture, timesteps: Sequence[Fraction]) -> Frames:
        grey0, grey1 = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (frame0, frame1))
        flow_01 = self._flow.calc(grey0, grey1, None)
        flow_10 = self._flow.calc(grey1, grey0, None)
        trust0 = _trust(_length(flow_01 + _sample(flow_10, flow_01)), self._FLOW_SCALE_PX)
        trust1 = _trust(_length(flow_10 + _sample(flow_01, flow_10)), self._FLOW_SCALE_PX)
        image0, image1 = frame0.astype(np.float32), frame1.astype(np.float32)
        made = []
        for timestep in timesteps:
            t = np.float32(timestep)
            total = np.zeros_like(image0)
            weights = np.full(grey0.shape, 1e-9, np.float32)
            for motion in (_along(flow_01, t), -_along(flow_10, 1 - t)):
                end0 = _sample(image0, -t * motion, cv2.INTER_CUBIC)
                end1 = _sample(image1, (1 - t) * motion, cv2.INTER_CUBIC)
                difference = cv2.blur(np.mean(np.abs(end0 - end1), axis=-1), (5, 5))
                alike = _trust(difference, self._COLOUR_SCALE)
                for end, weight in (
                    (end0, 2 * (1 - t) * alike * _sample(trust0, -t * motion)),
                    (end1, 2 * t * alike * _sample(trust1, (1 - t) * motion)),
                ):
                    total += end * weight[..., None]
                    weights += weight
            picture = np.clip(np.rint(total / weights[..., None]), 0, 255)
            made.append(picture.astype(np.uint8))
        return made


def _mean(frame0: Picture, frame1: Picture, timestep: Fraction) -> Picture:
    """The picture at `timestep` on the straight way from one to the other, rounded."""
    part, whole = timestep.numerator, timestep.denominator
    total = frame0.astype(np.uint32) * (whole - part) + frame1.astype(np.uint32) * part
    return ((total + whole // 2) // whole).astype(np.uint8)


def _sample(image: _Plane, flow: _Plane, interpolation: int = cv2.INTER_LINEAR) -> _Plane:
    """Backward warping: look up `image` where each flow vector (dx, dy) points."""
    height, width = flow.shape[:2]
    columns = np.arange(width, dtype=np.float32)
    rows = np.arange(height, dtype=np.float32)[:, None]
    return np.asarray(
        cv2.remap(
            image,
            columns + flow[..., 0],
            rows + flow[..., 1],
            interpolation,
            borderMode=cv2.BORDER_REPLICATE,
        ),
        np.float32,
    )


def _along(flow: _Plane, share: np.float32) -> _Plane:
    """The flow seen from that share of the way along it: m(x) = flow(x - share m(x)), iterated."""
    motion = flow
    for _ in range(2):
        motion = _sample(flow, -share * motion)
    return motion


def _length(vectors: _Plane) -> _Plane:
    return np.asarray(np.linalg.norm(vectors, axis=-1), np.float32)


def _trust(error: _Plane, scale: float) -> _Plane:
    """1 without error, a half at `scale`, falling with its square."""
    return np.asarray(1 / (1 + (error / scale) ** 2), np.float32)


BASELINES: dict[str, type[Predictor]] = {
    "blend": Blend,
    "minterpolate": Minterpolate,
    "dis": DisFlow,
}
