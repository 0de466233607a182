"""What a network is compared with: averaging, FFmpeg's minterpolate, and classical optical flow.

Each is a predictor: it has a `name`, and `middles(frames)` returns the picture halfway between
each two neighbours of a sequence. They take the whole sequence rather than a pair because
minterpolate is a video filter, which carries motion from one pair to the next.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
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

    def middles(self, frames: Frames) -> Frames:
        """Return the picture halfway between each two neighbours.

        Args:
            frames: At least two of (H, W, 3) uint8 RGB, all of one size.

        Returns:
            One picture fewer than `frames`.
        """


class Blend:
    """The mean of the two neighbours: what there is without any idea of motion."""

    name = "blend"

    def middles(self, frames: Frames) -> Frames:
        """Average each two neighbours, rounded."""
        return [((a.astype(np.uint16) + b + 1) // 2).astype(np.uint8) for a, b in pairwise(frames)]


class Minterpolate:
    """FFmpeg's minterpolate filter, run over the sequence as over a video (4:4:4, lossless).

    Its time includes starting ffmpeg, which a single pair notices and a video does not.
    """

    name = "minterpolate"

    def middles(self, frames: Frames) -> Frames:
        """Run one ffmpeg over all frames.

        The filter looks one frame back and one ahead, so the first and the last frame are fed
        twice. From n frames it then makes 2n + 1, of which 3, 5, 7 … are the middles.

        Raises:
            VideoError: ffmpeg refused the pictures or returned another number of them.
        """
        height, width = frames[0].shape[:2]
        size = f"{width}x{height}"
        raw = ["-f", "rawvideo", "-pix_fmt", "rgb24"]
        filters = (
            f"format=yuv444p,minterpolate=fps=2:{MINTERPOLATE},"
            r"select=gte(n\,3)*mod(n\,2),format=rgb24"
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
        wanted, found = len(frames) - 1, len(done.stdout) / frames[0].nbytes
        if done.returncode or found != wanted:
            # The first line says why, those after it only who else stopped.
            said = done.stderr.decode(errors="replace").partition("\n")[0].split("] ")[-1].strip()
            raise VideoError(
                f"ffmpeg's minterpolate made {found:g} of {wanted} pictures of {size}"
                f" ({said or 'no reason given'}). Compare without it."
            )
        pictures = np.frombuffer(done.stdout, np.uint8).reshape(wanted, height, width, 3)
        return list(pictures)


class DisFlow:
    """OpenCV's DIS optical flow (medium) both ways, with an occlusion-aware blend.

    Kroeger et al. (2016), "Fast optical flow using dense inverse search". Each of the two flows
    gives every pixel of the middle a motion, hence a place in each neighbour. Of these four
    samples, those count that both flows agree upon at their source (so what is hidden in the other
    neighbour counts little), and whose two ends look alike.
    """

    name = "dis"

    # Half weight at a disagreement of the flows of 4 px, at a difference of the ends of 8 of 255.
    _FLOW_SCALE_PX = 4.0
    _COLOUR_SCALE = 8.0
    _LEAST_SIDE_PX = 8  # the side of its patches

    def __init__(self) -> None:
        self._flow: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def middles(self, frames: Frames) -> Frames:
        """Find both flows of each two neighbours, warp and blend.

        Raises:
            VideoError: The pictures are too small for OpenCV.
        """
        height, width = frames[0].shape[:2]
        if min(height, width) < self._LEAST_SIDE_PX:
            raise VideoError(
                f"dis needs pictures of {self._LEAST_SIDE_PX} pixels a side and more, not"
                f" {width}x{height}. Compare without it."
            )
        return [self._middle(a, b) for a, b in pairwise(frames)]

    def _middle(self, frame0: Picture, frame1: Picture) -> Picture:
        grey0, grey1 = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (frame0, frame1))
        flow_01 = self._flow.calc(grey0, grey1, None)
        flow_10 = self._flow.calc(grey1, grey0, None)
        trust0 = _trust(_length(flow_01 + _sample(flow_10, flow_01)), self._FLOW_SCALE_PX)
        trust1 = _trust(_length(flow_10 + _sample(flow_01, flow_10)), self._FLOW_SCALE_PX)
        image0, image1 = frame0.astype(np.float32), frame1.astype(np.float32)
        total = np.zeros_like(image0)
        weights = np.full(grey0.shape, 1e-9, np.float32)
        for motion in (_at_middle(flow_01), -_at_middle(flow_10)):
            half = motion / 2
            end0 = _sample(image0, -half, cv2.INTER_CUBIC)
            end1 = _sample(image1, half, cv2.INTER_CUBIC)
            difference = cv2.blur(np.mean(np.abs(end0 - end1), axis=-1), (5, 5))
            alike = _trust(difference, self._COLOUR_SCALE)
            for end, weight in (
                (end0, alike * _sample(trust0, -half)),
                (end1, alike * _sample(trust1, half)),
            ):
                total += end * weight[..., None]
                weights += weight
        middle: Picture = np.clip(np.rint(total / weights[..., None]), 0, 255).astype(np.uint8)
        return middle


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


def _at_middle(flow: _Plane) -> _Plane:
    """The flow seen from the pixels halfway along it: m(x) = flow(x - m(x) / 2), iterated."""
    motion = flow
    for _ in range(2):
        motion = _sample(flow, -motion / 2)
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
