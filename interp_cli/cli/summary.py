"""What `interp double` says of a finished video, and of a slow one."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING

from interp_cli.cli.progress import fps_text
from interp_cli.cli.render import size_text
from interp_cli.options import InferenceOptions

if TYPE_CHECKING:
    from interp_cli.pipeline.double import DoubleResult


def summary_text(result: DoubleResult, real_time: Fraction | None) -> str:
    """What was done, how fast and how.

    Args:
        result: The outcome of a job.
        real_time: Output frames per second of the input; `None`: unknown.
    """
    fps = (result.frames_out - result.frames_resumed) / result.seconds
    rare = (
        (result.frames_resumed, "from an earlier run"),
        (result.flashes, "flashes"),
        (result.retimed, "retimed"),
        (result.gaps, "gaps held"),
    )
    more = "".join(f", {count} {name}" for count, name in rare if count)
    size = f", {size_text(result.output_bytes)}" if result.output_bytes else ""
    return (
        f"{result.target}: {result.frames_in} frames in, {result.frames_out} out at "
        f"{float(result.frame_rate):.6g}/s ({result.synthesized} synthesized, "
        f"{result.cuts} cuts, {result.duplicates} duplicates{more}) in {result.seconds:.1f} s "
        f"({fps_text(fps, real_time)}){size}; {result.model} on {result.device} in "
        f"{result.precision}, quality {result.quality}; {result.encoder}"
    )


def speed_hint(options: InferenceOptions) -> Callable[[], str]:
    """Give the line to show when a job is far slower than real time; empty on a GPU.

    The line is given once, also for many videos.
    """
    is_given = False

    def hint() -> str:
        from interp_cli.devices import choose_device

        nonlocal is_given
        if is_given or choose_device(options.device).type != "cpu":
            return ""
        is_given = True
        faster = "" if options.quality == "fast" else "--quality fast is quicker, and "
        return f"This is slow on a CPU: {faster}`interp doctor` says what slows this machine."

    return hint
