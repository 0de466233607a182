"""Runs the jobs of `interp double`, with their progress, warnings and results."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from interp_cli import forced_exit
from interp_cli.cli.interruption import is_first_to_say
from interp_cli.cli.messages import with_flags
from interp_cli.cli.progress import Label, ProgressStyle, batch_progress, frame_progress
from interp_cli.cli.render import console, error_text, print_json, results, say, say_error, warn
from interp_cli.cli.summary import speed_hint, summary_text
from interp_cli.errors import InterpError
from interp_cli.options import DoubleOptions

if TYPE_CHECKING:
    from interp_cli.inference.interpolator import Interpolator
    from interp_cli.pipeline.double import DoubleResult


def double_one(
    source: Path,
    target: Path,
    options: DoubleOptions,
    style: ProgressStyle,
    *,
    json: bool,
    quiet: bool,
) -> None:
    """Double one video and show the result."""
    from interp_cli.pipeline.double import double_video

    resumed = _announce_resume(target, options)
    real_time = _real_time(source, options)
    hint = speed_hint(options.inference)
    with (
        _notes_shown(target),
        frame_progress(style, source.name, real_time, resumed, hint) as update,
    ):
        result = double_video(source, target, options, progress=update)
    _show_warnings(result)
    on_stdout = str(target) != "-"  # otherwise stdout carries the video
    if json:
        print_json(result, on_stdout=on_stdout)
    elif not quiet:
        say(escape(summary_text(result, real_time)), results if on_stdout else console)


def double_all(
    jobs: dict[Path, Path],
    options: DoubleOptions,
    style: ProgressStyle,
    *,
    json: bool,
    quiet: bool,
) -> int:
    """Double one video after the other, also after a failure; the number of failures."""
    from interp_cli.inference.interpolator import Interpolator
    from interp_cli.pipeline.double import DoubleResult

    interpolator = Interpolator.from_options(options.inference)
    outcomes: list[DoubleResult | dict[str, object]] = []
    failed: list[str] = []
    with batch_progress(style, len(jobs), speed_hint(options.inference)) as label:
        for source, target in jobs.items():
            if options.resume and target.exists() and not options.overwrite:
                say(f"{escape(str(target))}: already finished")
                outcomes.append({"source": source, "target": target, "skipped": True})
                continue
            try:
                result = _double_in_batch(source, target, options, interpolator, label)
            except (InterpError, OSError) as error:
                failed.append(escape(str(source)))
                outcomes.append({"source": source, "target": target, "error": error_text(error)})
                say_error(error)
            else:
                outcomes.append(result)
                _show_warnings(result)
    if json:
        print_json([item if isinstance(item, dict) else asdict(item) for item in outcomes])
    elif not quiet:
        for item in outcomes:
            if isinstance(item, DoubleResult):
                say(escape(summary_text(item, _real_time(item.source, options))), results)
    if not quiet:
        names = f"; [red]failed:[/] {', '.join(failed)}" if failed else ""
        say(f"{len(jobs) - len(failed)} of {len(jobs)} videos done{names}")
    return len(failed)


def _double_in_batch(
    source: Path, target: Path, options: DoubleOptions, interpolator: Interpolator, label: Label
) -> DoubleResult:
    """Double one of several videos."""
    from interp_cli.pipeline.double import double_video

    resumed = _announce_resume(target, options)
    target.parent.mkdir(parents=True, exist_ok=True)
    if options.save_flow:  # each video has its own folder in it
        options.save_flow.mkdir(parents=True, exist_ok=True)
        options = replace(options, save_flow=options.save_flow / target.stem)
    with _notes_shown(target), label(source.name, _real_time(source, options), resumed) as update:
        return double_video(source, target, options, interpolator=interpolator, progress=update)


def _real_time(source: Path, options: DoubleOptions) -> Fraction | None:
    """Output frames per second of the input, `None` if unknown.

    What is wrong with the input is reported by `double_video`.
    """
    from interp_cli.video.probe import frame_rate_of

    if options.frame_rate is not None:
        return options.frame_rate * (options.slow_motion or 1)
    try:
        rate = frame_rate_of(source, options.input_limits)
    except InterpError:
        return None
    return rate and rate * options.frames_for_each


def _announce_resume(target: Path, options: DoubleOptions) -> bool:
    """Say where a resumed job continues; whether frames of an earlier run are used."""
    if not options.resume or (target.exists() and not options.overwrite):
        return False  # a finished target is refused in a moment
    from interp_cli.video.writers.kept_frames import completed_frames

    frames = completed_frames(target, verify=True)  # what is damaged is not gone on from
    text = (
        f"continues after {frames} finished frames"
        if frames
        else "no finished frames to continue from: starts"
    )
    say(f"{escape(str(target))}: {text}")
    return frames > 0


@contextmanager
def _notes_shown(target: Path) -> Iterator[None]:
    """Show what an interruption has kept."""
    try:
        yield
    except KeyboardInterrupt as stop:
        if is_first_to_say():
            for note in getattr(stop, "__notes__", ("stopped; no frames are kept.",)):
                say(f"{escape(str(target))}: {escape(with_flags(note))}")
        forced_exit.cancel_all()  # all has been done, and said
        raise


def _show_warnings(result: DoubleResult) -> None:
    for warning in result.warnings:
        warn(f"{result.source.name}: {warning}")
