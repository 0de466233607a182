"""How much memory a job takes, estimated before its work begins."""

from __future__ import annotations

from pathlib import Path

from interp_cli.devices import total_bytes
from interp_cli.errors import ResourceError
from interp_cli.inference.interpolator import Interpolator
from interp_cli.video.pixel_format import Planes

# Measured with libx264 on clips of 12 to 40 frames at 1920x1080, 3840x2160 and 7680x4320: Python,
# torch and the model; bytes for each pixel of a batch whose planes are warped; decoded and finished
# frames that wait; frames that the encoder looks ahead, and its copies and references.
_BASE_BYTES = 400 << 20
_WARP_BYTES = 90
_WAITING = 45
_ENCODING, _ENCODER_COPIES = 75, 50


def estimated_bytes(frame: Planes, interpolator: Interpolator, frames: int | None) -> int:
    """Memory that a job takes at most, the encoder's included, without that of a GPU.

    Args:
        frame: Planes of one of its frames.
        interpolator: The model, which settles batches and workers.
        frames: Number of frames of the output; `None`: unknown, so many.
    """
    frame_bytes = sum(plane.nbytes for plane in frame)
    height, width = frame[0].shape[:2]
    waiting, encoding = (
        most if frames is None else min(frames, most) for most in (_WAITING, _ENCODING)
    )
    total = _BASE_BYTES + (waiting + encoding + _ENCODER_COPIES) * frame_bytes
    if interpolator.device.type == "cpu":
        total += height * width * _WARP_BYTES * interpolator.workers(height, width)
        total += interpolator.activation_bytes(height, width)
    return total


def check_memory(
    path: Path,
    frame: Planes,
    interpolator: Interpolator,
    frames: int | None,
    max_memory_gb: float | None,
) -> None:
    """Refuse a job that the memory cannot hold.

    Args:
        path: The input, for the message.
        frame: Planes of one of its frames.
        interpolator: The model.
        frames: Number of frames of the output; `None`: unknown.
        max_memory_gb: Largest estimate, in GB (10^9 bytes); `None`: the machine's memory.

    Raises:
        ResourceError: The estimate exceeds the limit.
    """
    installed = total_bytes()
    limit_gb = max_memory_gb if max_memory_gb or not installed else installed / 1e9
    needed_gb = estimated_bytes(frame, interpolator, frames) / 1e9
    if limit_gb is None or needed_gb <= limit_gb:
        return
    height, width = frame[0].shape[:2]
    whose = "`max_memory_gb` is" if max_memory_gb else "this machine has"
    raise ResourceError(
        f"{path}: frames of {width}x{height} take about {needed_gb:.1f} GB of memory, and {whose}"
        f" {limit_gb:.1f}. Make the video smaller, or raise the limit with `max_memory_gb`."
    )
