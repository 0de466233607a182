"""`interp double`: videos at twice their frame rate, or at another."""

from __future__ import annotations

from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.markup import escape

from interp_cli.cli import flags
from interp_cli.cli.output_names import refuse_one_folder_for_two, results_of, usual_suffix
from interp_cli.cli.render import (
    ProgressStyle,
    batch_progress,
    console,
    error_text,
    frame_progress,
    print_json,
    results,
    say_error,
    size_text,
    warn,
)
from interp_cli.errors import InterpError
from interp_cli.options import (
    DEFAULT_MODEL,
    MAX_DUPLICATE_RUN,
    AtCut,
    DoubleOptions,
    Duplicates,
    EncodeOptions,
    OutputFormat,
    parse_ffmpeg_output,
    parse_frame_rate,
)
from interp_cli.video.writers.journal import completed_frames

if TYPE_CHECKING:
    from interp_cli.pipeline.double import DoubleResult

_DEFAULTS = DoubleOptions()


def double(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="IN OUT",
            help="The video to read and the one to make (.mp4, .mkv, .mov or .webm); "
            "with --output-dir any number of videos to read. Either may be pictures (a folder, or "
            "'frames/%04d.png'), an animation (.gif, .apng, .webp) or a pipe (-).",
        ),
    ],
    output_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the results of many inputs go.")
    ] = None,
    suffix: Annotated[
        str | None,
        typer.Option(
            help="With --output-dir: added to each result's name (default _2x, _4x, _slow2x, "
            "_60fps, ...); may end in .mkv, .mp4, ..."
        ),
    ] = None,
    factor: Annotated[
        int | None, typer.Option(metavar="N", help="Frames out for each frame in, 2 if not given.")
    ] = None,
    fps: Annotated[
        str | None,
        typer.Option(metavar="RATE", help="An exact constant rate: 60, 59.94, 60000/1001."),
    ] = None,
    slow_motion: Annotated[
        int | None,
        typer.Option(metavar="N", help="Keep the rate and last N times as long, sound too."),
    ] = None,
    model: flags.Model = DEFAULT_MODEL,
    device: flags.Device = "auto",
    precision: flags.PrecisionName = "auto",
    quality: flags.QualityName = "auto",
    trajectory: flags.TrajectoryName = "cubic",
    batch: Annotated[str, typer.Option(help="Pairs a step: auto or a number.")] = "auto",
    tile: Annotated[
        str,
        typer.Option(
            help="Side of tiles, in pixels of the picture in which motion is sought (--quality "
            "reduces it); auto: as the memory asks for; off."
        ),
    ] = "auto",
    start: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Where to begin, counted from the first frame."),
    ] = None,
    end: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Where to stop, counted likewise.")
    ] = None,
    max_gap: Annotated[
        float,
        typer.Option(metavar="SECONDS", help="Longer gaps between frames are held, not filled."),
    ] = _DEFAULTS.max_gap_seconds,
    deinterlace: Annotated[
        bool, typer.Option("--deinterlace", help="Make whole frames of interlaced video (bwdif).")
    ] = False,
    detelecine: Annotated[
        bool, typer.Option("--detelecine", help="Take 24 frames of film out of 30 of television.")
    ] = False,
    scene_threshold: Annotated[
        float, typer.Option(metavar="0..1", help="How likely a cut must be to count as one.")
    ] = _DEFAULTS.scene_threshold or 1.0,
    no_scenes: Annotated[
        bool,
        typer.Option("--no-scenes", help="Look for no cuts: make frames across them as anywhere."),
    ] = False,
    at_cut: Annotated[
        AtCut, typer.Option(help="At cuts and flashes, show the nearest frame or a blend of both.")
    ] = _DEFAULTS.at_cut,
    duplicates: Annotated[
        Duplicates,
        typer.Option(
            help="Keep repeated frames, or retime: replace all but the first of up to "
            f"{MAX_DUPLICATE_RUN} equal ones by frames that follow the motion."
        ),
    ] = _DEFAULTS.duplicates,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="An ffmpeg encoder, or auto-hw for hardware that works here; by default OUT's "
            "ending chooses."
        ),
    ] = None,
    crf: Annotated[
        int | None,
        typer.Option(help="Constant quality in the encoder's scale; in most, lower is better."),
    ] = None,
    preset: Annotated[str | None, typer.Option(help="The encoder's preset.")] = None,
    pixel_format: Annotated[
        str | None, typer.Option(help="Store another pixel format than the input's.")
    ] = None,
    encoder_option: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Any further encoder option; may be repeated."),
    ] = None,
    ffmpeg_output: Annotated[
        str, typer.Option(metavar="'-NAME VALUE …'", help="Options for ffmpeg's encoder and muxer.")
    ] = "",
    no_audio: Annotated[bool, typer.Option("--no-audio", help="Leave the sound out.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace OUT if it exists.")
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on where the same command was stopped, killed or out of disk."
        ),
    ] = False,
    segment_frames: Annotated[
        int,
        typer.Option(metavar="N", help="Frames of OUT after which those made so far are safe."),
    ] = _DEFAULTS.segment_frames,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Double the good part of a damaged input.")
    ] = False,
    input_fps: Annotated[
        str | None,
        typer.Option(
            metavar="RATE", help="Pictures a second of a picture sequence; 25 if not given."
        ),
    ] = None,
    white_level: Annotated[
        float,
        typer.Option(metavar="VALUE", help="What is white in floating-point pictures."),
    ] = _DEFAULTS.white_level,
    output_format: Annotated[
        str | None,
        typer.Option(metavar="y4m|nut", help="What a pipe carries: as the input's, else nut."),
    ] = None,
    save_flow: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Keep the motion as .flo files and as pictures."),
    ] = None,
    flow_scale: Annotated[
        float | None,
        typer.Option(metavar="PX", help="Length of motion that its pictures show in full colour."),
    ] = None,
    json: flags.Json = False,
    quiet: flags.Quiet = False,
    progress: flags.Progress = ProgressStyle.AUTO,
) -> None:
    """Double the frame rate of videos.

    Two frames come out for each that goes in: every original, untouched and at its own time,
    and a new one halfway to the next. Sound, subtitles, chapters and metadata come along into
    another video.
    """
    if deinterlace and detelecine:
        raise typer.BadParameter("give one of --deinterlace and --detelecine")
    options = DoubleOptions(
        start_seconds=start,
        end_seconds=end,
        factor=factor,
        frame_rate=parse_frame_rate(fps) if fps else None,
        slow_motion=slow_motion,
        fields="deinterlace" if deinterlace else "detelecine" if detelecine else "refuse",
        max_gap_seconds=max_gap,
        scene_threshold=None if no_scenes else scene_threshold,
        at_cut=at_cut,
        duplicates=duplicates,
        audio=not no_audio,
        overwrite=overwrite,
        resume=resume,
        segment_frames=segment_frames,
        keep_going=keep_going,
        input_frame_rate=parse_frame_rate(input_fps) if input_fps else None,
        white_level=white_level,
        output_format=cast(OutputFormat | None, output_format),
        save_flow=save_flow,
        flow_scale_px=flow_scale,
        inference=flags.inference_options(
            model, device, precision, quality, trajectory, batch, tile
        ),
        encode=EncodeOptions(
            encoder=encoder,
            crf=crf,
            preset=preset,
            pixel_format=pixel_format,
            options=tuple(_pair(text) for text in encoder_option or ()),
            ffmpeg_output=parse_ffmpeg_output(ffmpeg_output),
        ),
    )
    style = ProgressStyle.OFF if quiet else progress
    if output_dir is None:
        from interp_cli.pipeline.double import double_video

        source, target = _pair_of_files(paths)
        resumed = _goes_on(target, options)
        try:
            with frame_progress(style, source.name, _frame_rate(source), resumed) as update:
                result = double_video(source, target, options, progress=update)
        except KeyboardInterrupt as stop:
            _say_notes(target, stop)
            raise
        _warn(result)
        on_stdout = str(target) != "-"  # which then is the video
        if json:
            print_json(result, on_stdout=on_stdout)
        elif not quiet:
            _sum_up(result, on_stdout=on_stdout)
        return
    jobs = results_of(paths, output_dir, usual_suffix(options) if suffix is None else suffix)
    if save_flow:
        refuse_one_folder_for_two(jobs, save_flow)
    if _double_all(jobs, options, style, json=json, quiet=quiet):
        raise typer.Exit(1)


def _double_all(
    jobs: dict[Path, Path],
    options: DoubleOptions,
    style: ProgressStyle,
    *,
    json: bool,
    quiet: bool,
) -> int:
    """Double one video after the other, whatever becomes of each; the number that failed."""
    from interp_cli.inference.interpolator import Interpolator
    from interp_cli.pipeline.double import DoubleResult, double_video

    interpolator = Interpolator.from_options(options.inference)
    outcomes: list[DoubleResult | dict[str, object]] = []
    failed: list[str] = []
    with batch_progress(style, len(jobs)) as one:
        for source, target in jobs.items():
            its = options
            if options.resume and target.exists() and not options.overwrite:
                console.print(f"{escape(str(target))}: is there already", soft_wrap=True)
                outcomes.append({"source": source, "target": target, "skipped": True})
                continue
            try:
                resumed = _goes_on(target, options)
                target.parent.mkdir(parents=True, exist_ok=True)
                if options.save_flow:  # a folder in it for each
                    options.save_flow.mkdir(parents=True, exist_ok=True)
                    its = replace(options, save_flow=options.save_flow / target.stem)
                with one(source.name, _frame_rate(source), resumed) as update:
                    result = double_video(
                        source, target, its, interpolator=interpolator, progress=update
                    )
                outcomes.append(result)
                _warn(result)
            except KeyboardInterrupt as stop:
                _say_notes(target, stop)
                raise
            except (InterpError, OSError) as error:
                failed.append(escape(str(source)))
                outcomes.append({"source": source, "target": target, "error": error_text(error)})
                say_error(error)
    if json:
        print_json([item if isinstance(item, dict) else asdict(item) for item in outcomes])
    elif not quiet:
        for item in outcomes:
            if isinstance(item, DoubleResult):
                _sum_up(item)
    if not quiet:
        names = f"; [red]failed:[/] {', '.join(failed)}" if failed else ""
        done = len(jobs) - len(failed)
        console.print(f"{done} of {len(jobs)} videos done{names}", soft_wrap=True)
    return len(failed)


def _pair_of_files(paths: list[Path]) -> tuple[Path, Path]:
    if len(paths) == 2:
        return paths[0], paths[1]
    if len(paths) == 1:
        raise typer.BadParameter("Missing argument 'OUT'", param_hint="IN OUT")
    raise typer.BadParameter(
        f"{len(paths)} files without --output-dir: give it, or one IN and one OUT (a pattern of "
        "pictures in quotation marks, which keep the shell from taking it apart)",
        param_hint="IN OUT",
    )


def _frame_rate(source: Path) -> Fraction | None:
    """For the speed beside the bar; what is wrong with the input is said by `double_video`."""
    from interp_cli.video.probe import frame_rate_of

    try:
        return frame_rate_of(source)
    except InterpError:
        return None


def _goes_on(target: Path, options: DoubleOptions) -> bool:
    """Whether a job goes on, and say where; what else is wrong is said by `double_video`."""
    if not options.resume:
        return False
    frames = completed_frames(target)
    text = f"goes on after {frames} finished frames" if frames else "begins: nothing was kept"
    console.print(f"{escape(str(target))}: {text}", soft_wrap=True)
    return frames > 0


def _say_notes(target: Path, stop: KeyboardInterrupt) -> None:
    for note in getattr(stop, "__notes__", ()):
        console.print(f"{escape(str(target))}: {escape(note)}", soft_wrap=True)


def _warn(result: DoubleResult) -> None:
    for warning in result.warnings:
        warn(f"{result.source.name}: {warning}")


def _sum_up(result: DoubleResult, *, on_stdout: bool = True) -> None:
    fps = (result.frames_out - result.frames_resumed) / result.seconds
    rare = (
        (result.frames_resumed, "made before"),
        (result.flashes, "flashes"),
        (result.retimed, "retimed"),
        (result.gaps, "gaps held"),
    )
    more = "".join(f", {count} {name}" for count, name in rare if count)
    size = f" {size_text(result.output_bytes)}," if result.output_bytes else ""
    (results if on_stdout else console).print(
        f"{escape(str(result.target))}: {result.frames_in} frames in, {result.frames_out} out at "
        f"{float(result.frame_rate):.6g}/s ({result.synthesized} synthesized, "
        f"{result.cuts} cuts, {result.duplicates} repeats{more}) in {result.seconds:.1f} s "
        f"({fps:.1f} frames/s out),{size} {escape(result.model)} on "
        f"{result.device} in {result.precision}, {result.quality}, {result.encoder}",
        soft_wrap=True,
    )


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise typer.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="--encoder-option")
    return key, value
