"""A job that is stopped, and what it is compared with."""

import time
from fractions import Fraction
from pathlib import Path

import clips
import pytest
import torch
from children import (
    LIMIT_SECONDS,
)

from interp_cli.inference.interpolator import Interpolator
from interp_cli.options import DoubleOptions, EncodeOptions
from interp_cli.pipeline.double import double_video
from interp_cli.video.writers.kept_frames import completed_frames

EVERY = 8
OPTIONS = DoubleOptions(segment_frames=EVERY, encode=EncodeOptions(preset="ultrafast"))
LOSSLESS = DoubleOptions(segment_frames=EVERY, encode=EncodeOptions(encoder="ffv1"))
COUNTS = (
    "frames_in",
    "frames_out",
    "synthesized",
    "cuts",
    "duplicates",
    "retimed",
    "video_seconds",
)


class Counting(torch.nn.Module):
    """The mean of two frames, and how many were asked for."""

    supports_timestep = True
    asked = 0

    def size_multiple(self, height: int, width: int) -> int:
        return 1

    def forward(self, frame0, frame1, timestep):
        self.asked += len(frame0)
        return (1 - timestep) * frame0 + timestep * frame1


def interrupted(source: Path, target: Path, options: DoubleOptions, counting: Interpolator) -> None:
    """Begin a job and stop it once two segments are safe."""

    def stop(done: int, total: int | None) -> None:
        if done < 2 * (EVERY + 4):  # not all frames of two segments are handed over
            return
        deadline = time.monotonic() + LIMIT_SECONDS  # of which it needs a hundredth
        while completed_frames(target) < 2 * EVERY:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        double_video(source, target, options, interpolator=counting, progress=stop)
    assert completed_frames(target) >= 2 * EVERY
    assert not target.exists()


def shown(path: Path) -> list[tuple[Fraction, bytes]]:
    """When each frame is shown, and its planes."""
    return [
        (frame.pts * frame.time_base, b"".join(plane.tobytes() for plane in clips.planes(frame)))
        for frame in clips.decoded(path)
    ]


# Every frame is worth keeping.
AT_ONCE = 1e-9


def stopped_after(
    frames: int, source: Path, target: Path, options: DoubleOptions, counting: Interpolator
) -> int:
    """Stop a job after so many frames of the output; the number of frames that are kept."""

    def stop(done: int, total: int | None) -> None:
        if done >= frames:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        double_video(source, target, options, interpolator=counting, progress=stop)
    kept = completed_frames(target)
    assert caught.value.__notes__ == [
        f"{kept} finished frames are kept: the same job with `resume` goes on."
    ]
    return kept
