"""`interp double`: a video at twice its frame rate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from interp_cli.cli import flags
from interp_cli.cli.render import (
    ProgressStyle,
    console,
    frame_progress,
    print_json,
    results,
    size_text,
)
from interp_cli.options import (
    DEFAULT_MODEL,
    DoubleOptions,
    EncodeOptions,
    InferenceOptions,
    Precision,
)

_DEFAULTS = DoubleOptions()


def double(
    source: Annotated[Path, typer.Argument(metavar="IN", help="The video to read.")],
    target: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="The video to make: .mp4, .mkv, .mov or .webm."),
    ],
    model: flags.Model = DEFAULT_MODEL,
    device: flags.Device = "auto",
    precision: flags.PrecisionName = "auto",
    batch: Annotated[str, typer.Option(help="Pairs a step: auto or a number.")] = "auto",
    tile: Annotated[
        str, typer.Option(help="Side of tiles for large frames: auto, off or pixels.")
    ] = "auto",
    start: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Where to begin in the input.")
    ] = None,
    end: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Where to stop in the input.")
    ] = None,
    scene_threshold: Annotated[
        float, typer.Option(metavar="0..1", help="How much change counts as a cut.")
    ] = _DEFAULTS.scene_threshold or 1.0,
    no_scenes: Annotated[
        bool, typer.Option("--no-scenes", help="Look for no cuts: blend across all of them.")
    ] = False,
    encoder: Annotated[
        str | None, typer.Option(help="An ffmpeg encoder; by default OUT's ending chooses.")
    ] = None,
    crf: Annotated[
        int | None, typer.Option(help="Constant quality; lower is better and larger.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="The encoder's preset.")] = None,
    pixel_format: Annotated[
        str | None, typer.Option(help="Store another pixel format than the input's.")
    ] = None,
    encoder_option: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Any further encoder option; may be repeated."),
    ] = None,
    no_audio: Annotated[bool, typer.Option("--no-audio", help="Leave the sound out.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace OUT if it exists.")
    ] = False,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Double the good part of a damaged input.")
    ] = False,
    save_motion: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Keep the motion as .flo files and as pictures."),
    ] = None,
    motion_scale: Annotated[
        float | None,
        typer.Option(metavar="PX", help="Length of motion that its pictures show in full colour."),
    ] = None,
    json: flags.Json = False,
    quiet: flags.Quiet = False,
    progress: Annotated[
        ProgressStyle, typer.Option(help="A bar on terminals, plain lines, or nothing.")
    ] = ProgressStyle.AUTO,
) -> None:
    """Double the frame rate of a video.

    Two frames come out for each that goes in: every original, untouched and at its own time,
    and a new one halfway to the next. Sound, subtitles, chapters and metadata come along.
    """
    options = DoubleOptions(
        start_seconds=start,
        end_seconds=end,
        scene_threshold=None if no_scenes else scene_threshold,
        audio=not no_audio,
        overwrite=overwrite,
        keep_going=keep_going,
        save_motion=save_motion,
        motion_scale_px=motion_scale,
        inference=InferenceOptions(
            model=model,
            device=device,
            precision=cast(Precision, precision),
            batch="auto" if batch == "auto" else _whole(batch, "--batch"),
            tile=cast(Literal["auto", "off"], tile)
            if tile in ("auto", "off")
            else _whole(tile, "--tile"),
        ),
        encode=EncodeOptions(
            encoder=encoder,
            crf=crf,
            preset=preset,
            pixel_format=pixel_format,
            options=tuple(_pair(text) for text in encoder_option or ()),
        ),
    )
    from interp_cli.pipeline import double_video
    from interp_cli.video.probe import probe

    style = ProgressStyle.OFF if quiet else progress
    with frame_progress(style, source.name, probe(source).frame_rate) as update:
        result = double_video(source, target, options, progress=update)
    for warning in result.warnings:
        console.print(f"[yellow]warning:[/] {source.name}: {warning}", soft_wrap=True)
    if json:
        print_json(result)
    elif not quiet:
        fps = result.frames_out / result.seconds
        results.print(
            f"{result.target}: {result.frames_in} frames in, {result.frames_out} out at "
            f"{float(result.frame_rate):.6g}/s ({result.synthesized} synthesized, "
            f"{result.cuts} cuts, {result.repeats} repeats) in {result.seconds:.1f} s "
            f"({fps:.1f} frames/s), {size_text(result.output_bytes)}, {result.model} on "
            f"{result.device} in {result.precision}, {result.encoder}",
            soft_wrap=True,
        )


def _whole(text: str, flag: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is neither a word it knows nor a number", param_hint=flag
        ) from None


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise typer.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="--encoder-option")
    return key, value
