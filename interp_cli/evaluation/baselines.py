"""Baselines: averaging, FFmpeg's minterpolate, and classical optical flow.

Each is a predictor: it has a `name`, and `between(frames, timesteps)` returns the pictures between
each two consecutive frames. A predictor gets a sequence rather than a pair, because minterpolate is
a video filter that carries motion from one pair to the next.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from interp_cli.errors import VideoError
from interp_cli.evaluation.dis_flow import MIN_SIDE_PX, BidirectionalFlow, Plane, sample
from interp_cli.video.ffmpeg import feed_ffmpeg

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

# The settings that people use for the best picture: both directions of motion, adaptive overlapped
# blocks of variable size. Scene-change detection is off: it would repeat a frame.
MINTERPOLATE = "mi_mode=mci:mc_mode=aobmc:me_mode=bidir:vsbmc=1:scd=none"


class Predictor(Protocol):
    """Anything that predicts the pictures between others.

    Attributes:
        name: Name in tables.
    """

    name: str

    def can_make(self, timestep: Fraction) -> bool:
        """Whether it can predict the picture at `timestep`."""

    def between(self, frames: Frames, timesteps: Sequence[Fraction]) -> list[Frames]:
        """Predict the pictures between each two consecutive frames.

        Args:
            frames: At least two pictures, (H, W, 3) uint8 RGB, all of one size.
            timesteps: Positions between 0 and 1, rising; those that `can_make` allows.

        Returns:
            One list for each pair, with a picture for each timestep.
        """


class _AnyTimestep:
    def can_make(self, timestep: Fraction) -> bool:
        """Whether the timestep lies between 0 and 1."""
        return 0 < timestep < 1


class Blend(_AnyTimestep):
    """The weighted mean of the two neighbours, without any estimate of motion."""

    name = "blend"

    def between(self, frames: Frames, timesteps: Sequence[Fraction]) -> list[Frames]:
        """Average each two consecutive frames, rounded."""
        return [[_mean(a, b, timestep) for timestep in timesteps] for a, b in pairwise(frames)]


class Minterpolate(_AnyTimestep):
    """FFmpeg's minterpolate filter, run over the sequence as over a video (4:4:4, lossless).

    Its time includes the start of ffmpeg, which matters for single pairs and not for videos.
    """

    name = "minterpolate"

    def between(self, frames: Frames, timesteps: Sequence[Fraction]) -> list[Frames]:
        """Run one ffmpeg over all frames.

        The filter looks one frame back and one ahead, so the first and the last frame are fed
        twice. At q times the rate it makes qn + 1 pictures from n frames, and picture q(i + 1) + p
        lies at timestep p / q between frames i and i + 1.

        Raises:
            VideoError: ffmpeg refused the pictures or returned a wrong number of them.
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
        command = ["-v", "error", "-nostdin"]
        command += [*raw, "-s", size, "-r", "1", "-i", "pipe:0"]
        command += ["-vf", filters, "-fps_mode", "passthrough", *raw, "pipe:1"]
        content = b"".join(frame.tobytes() for frame in (frames[0], *frames, frames[-1]))
        done = feed_ffmpeg(content, *command)
        found = len(done.stdout) / frames[0].nbytes
        if done.returncode or found != wanted:
            # The first line has the reason, the others only what stopped because of it.
            reason = done.stderr.decode(errors="replace").partition("\n")[0]
            reason = reason.split("] ")[-1].strip() or "no reason given"
            raise VideoError(
                f"ffmpeg's minterpolate made {found:g} of {wanted} pictures of {size} ({reason})."
                " Leave `minterpolate` out of `compare`."
            )
        shape = (len(frames) - 1, len(places), height, width, 3)
        return [list(row) for row in np.frombuffer(done.stdout, np.uint8).reshape(shape)]


class DisFlow(_AnyTimestep):
    """OpenCV's DIS optical flow (medium) both ways, with an occlusion-aware blend.

    Kroeger et al. (2016), "Fast optical flow using dense inverse search". Each of the two flows
    gives every pixel of the new picture a motion, hence a position in each neighbour. The four
    samples are weighted: more where both flows agree at the source (so occluded parts count
    little), where both ends look alike, and where the neighbour is nearer in time.
    """

    name = "dis"

    # Half weight at a disagreement of the flows of 4 px, at a difference of the ends of 8 of 255.
    _FLOW_SCALE_PX = 4.0
    _COLOUR_SCALE = 8.0

    def __init__(self) -> None:
        self._flow = BidirectionalFlow()

    def between(self, frames: Frames, timesteps: Sequence[Fraction]) -> list[Frames]:
        """Estimate both flows of each two consecutive frames, warp and blend.

        Raises:
            VideoError: The pictures are too small for OpenCV.
        """
        height, width = frames[0].shape[:2]
        if min(height, width) < MIN_SIDE_PX:
            raise VideoError(
                f"dis needs pictures of at least {MIN_SIDE_PX} pixels a side, not"
                f" {width}x{height}. Leave `dis` out of `compare`."
            )
        return [self._between(a, b, timesteps) for a, b in pairwise(frames)]

    def _between(self, frame0: Picture, frame1: Picture, timesteps: Sequence[Fraction]) -> Frames:
        (flow_01, flow_10), misses = self._flow.between(frame0, frame1)
        trust0, trust1 = (_trust(miss, self._FLOW_SCALE_PX) for miss in misses)
        image0, image1 = frame0.astype(np.float32), frame1.astype(np.float32)
        made = []
        for timestep in timesteps:
            t = np.float32(timestep)
            total = np.zeros_like(image0)
            weights = np.full(frame0.shape[:2], 1e-9, np.float32)
            for motion in (_along(flow_01, t), -_along(flow_10, 1 - t)):
                end0 = sample(image0, -t * motion, cv2.INTER_CUBIC)
                end1 = sample(image1, (1 - t) * motion, cv2.INTER_CUBIC)
                difference = cv2.blur(np.mean(np.abs(end0 - end1), axis=-1), (5, 5))
                alike = _trust(difference, self._COLOUR_SCALE)
                for end, weight in (
                    (end0, 2 * (1 - t) * alike * sample(trust0, -t * motion)),
                    (end1, 2 * t * alike * sample(trust1, (1 - t) * motion)),
                ):
                    total += end * weight[..., None]
                    weights += weight
            picture = np.clip(np.rint(total / weights[..., None]), 0, 255)
            made.append(picture.astype(np.uint8))
        return made


def _mean(frame0: Picture, frame1: Picture, timestep: Fraction) -> Picture:
    """The mean of two pictures, weighted by the timestep, rounded."""
    part, whole = timestep.numerator, timestep.denominator
    total = frame0.astype(np.uint32) * (whole - part) + frame1.astype(np.uint32) * part
    return ((total + whole // 2) // whole).astype(np.uint8)


def _along(flow: Plane, timestep: np.float32) -> Plane:
    """The flow at a point on its way: m(x) = flow(x - timestep m(x)), iterated."""
    motion = flow
    for _ in range(2):
        motion = sample(flow, -timestep * motion)
    return motion


def _trust(error: Plane, scale: float) -> Plane:
    """A weight: 1 without error, 0.5 at `scale`, falling with the square of the error."""
    return np.asarray(1 / (1 + (error / scale) ** 2), np.float32)


BASELINES: dict[str, type[Predictor]] = {
    "blend": Blend,
    "minterpolate": Minterpolate,
    "dis": DisFlow,
}
