"""A few frames written with the user's settings before any work begins."""

from __future__ import annotations

import functools
from fractions import Fraction
from pathlib import Path

from interp_cli.atomic import temporary_folder
from interp_cli.video.encoding.finished import Expected, finished_fault
from interp_cli.video.ffmpeg import ask_ffmpeg, file_url, first_reason

# With fewer frames, some encoders do not change their order, and their times are not tried.
_FRAMES = 5


@functools.cache
def trial_fault(
    arguments: tuple[str, ...], ending: str, width: int, height: int, frame_rate: Fraction
) -> str:
    """Write a few frames into a file that is thrown away.

    Args:
        arguments: Command line of ffmpeg without the output.
        ending: Ending of the output, such as `.mp4`.
        width: Width of the frames, in pixels.
        height: Height of the frames, in pixels.
        frame_rate: Their rate.

    Returns:
        Why that fails, or what is wrong with the file; empty if nothing is.

    Raises:
        ResourceError: ffmpeg cannot be started, or it did not answer in time.
    """
    with temporary_folder("interp-trial-") as folder:
        path = Path(folder) / f"trial{ending}"
        limits = ("-frames:v", str(_FRAMES), "-y", file_url(path))
        run = ask_ffmpeg("-v", "error", "-nostdin", "-copyts", *arguments, *limits)
        if run.returncode != 0:
            return first_reason(run)
        last = (_FRAMES - 1) / frame_rate
        return finished_fault(path, Expected(width, height, _FRAMES, Fraction(0), last)) or ""
