"""A video in, the same video at twice its frame rate, or at another, out."""

from __future__ import annotations

from pathlib import Path

from interp_cli.inference.interpolator import Interpolator
from interp_cli.options import DoubleOptions
from interp_cli.pipeline.job import Job, Progress
from interp_cli.pipeline.result import DoubleResult

__all__ = ["DoubleResult", "Progress", "double_video"]


def double_video(
    source: str | Path,
    target: str | Path,
    options: DoubleOptions | None = None,
    *,
    interpolator: Interpolator | None = None,
    progress: Progress | None = None,
) -> DoubleResult:
    """Double the frame rate of a video, or do with it what `options` say.

    Every original frame stays, at its own time. Only an output at an exact `frame_rate` drops the
    originals that do not coincide with one of its frames.

    Args:
        source: The video to read, a folder or a pattern of pictures, or `-`, the standard input.
        target: The file to make; its ending chooses the container. A folder or a pattern of
            pictures, or `-`, the standard output.
        options: See `DoubleOptions`.
        interpolator: One that is already loaded; otherwise `options.inference` describes it.
        progress: See `Job.run`.

    Raises:
        InterpError: The input, the output or the model cannot be used; no output is left. See
            `Job.run` for what is kept of a long one.
    """
    with Job.open(source, target, options) as job:
        return job.run(interpolator, progress)
