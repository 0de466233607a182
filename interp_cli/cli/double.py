"""`interp double`: videos at twice their frame rate, or at another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from interp_cli.cli import flags
from interp_cli.cli.doubling import double_all, double_one
from interp_cli.cli.output_names import (
    refuse_one_folder_for_two,
    result_of,
    results_of,
    usual_suffix,
)
from interp_cli.cli.parsing import parse_ffmpeg_output, parse_frame_rate, parse_pair
from interp_cli.cli.progress import ProgressStyle
from interp_cli.options import (
    DEFAULT_INPUT_RATE,
    MAX_DUPLICATE_RUN,
    AtCut,
    DoubleOptions,
    Duplicates,
    EncodeOptions,
    OutputFormat,
)

_DEFAULTS = DoubleOptions()
# Headings of `interp double --help`, in this order.
_RATE, _SCENES, _ENCODING = "Frame rate", "Scenes", "Encoding"
_INPUT, _RESUME, _OUTPUT = "Input", "Resume", "Output"


# Longer than other functions because typer takes every flag from a parameter.
def double(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="IN [OUT]",
            help="Input video and output file (.mp4, .mkv, .mov or .webm). Without OUT, clip.mp4 "
            "becomes clip_2x.mp4 in the same folder. With --output-dir, any number of inputs. "
            "Image sequences (a folder, or 'frames/%04d.png'), animations (.gif, .apng, .webp) and "
            "pipes (-) are read and written too.",
        ),
    ],
    factor: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Output frames per input frame (default 2).", rich_help_panel=_RATE
        ),
    ] = None,
    fps: Annotated[
        str | None,
        typer.Option(
            metavar="RATE",
            help="Exact constant output rate, such as 60, 59.94 or 60000/1001.",
            rich_help_panel=_RATE,
        ),
    ] = None,
    slow_motion: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Slow down N times, keeping the frame rate. Audio is time-stretched.",
            rich_help_panel=_RATE,
        ),
    ] = None,
    model: flags.Model = _DEFAULTS.inference.model,
    device: flags.Device = _DEFAULTS.inference.device,
    precision: flags.PrecisionName = _DEFAULTS.inference.precision,
    quality: flags.QualityName = _DEFAULTS.inference.quality,
    trajectory: flags.TrajectoryName = _DEFAULTS.inference.trajectory,
    batch: flags.Batch = str(_DEFAULTS.inference.batch),
    tile: flags.Tile = str(_DEFAULTS.inference.tile),
    scene_threshold: Annotated[
        float,
        typer.Option(
            metavar="0..1",
            help="Likelihood from which a pair of frames is a cut.",
            rich_help_panel=_SCENES,
        ),
    ] = _DEFAULTS.scene_threshold or 1.0,
    no_scenes: Annotated[
        bool,
        typer.Option(
            "--no-scenes",
            help="Detect no cuts and interpolate every pair of frames.",
            rich_help_panel=_SCENES,
        ),
    ] = False,
    scene_detector: Annotated[
        str,
        typer.Option(metavar="NAME", help="Name of the scene detector.", rich_help_panel=_SCENES),
    ] = _DEFAULTS.scene_detector,
    at_cut: Annotated[
        AtCut,
        typer.Option(
            help="Frames at cuts and flashes: the nearest original, or a blend of both.",
            rich_help_panel=_SCENES,
        ),
    ] = _DEFAULTS.at_cut,
    duplicates: Annotated[
        Duplicates,
        typer.Option(
            help="Repeated frames, as in animation: keep them, or retime runs of up to "
            f"{MAX_DUPLICATE_RUN} so that motion is even.",
            rich_help_panel=_SCENES,
        ),
    ] = _DEFAULTS.duplicates,
    max_gap: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            help="Longest gap between frames that is interpolated. In longer gaps the earlier "
            "frame is held.",
            rich_help_panel=_SCENES,
        ),
    ] = _DEFAULTS.max_gap_seconds,
    encoder: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="ffmpeg encoder, or auto-hw for a hardware encoder that works here. By default "
            "the output's file type decides.",
            rich_help_panel=_ENCODING,
        ),
    ] = None,
    crf: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Constant quality on the encoder's scale. Lower is usually better.",
            rich_help_panel=_ENCODING,
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Preset of the encoder.", rich_help_panel=_ENCODING),
    ] = None,
    pixel_format: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Pixel format of the output (default: that of the input).",
            rich_help_panel=_ENCODING,
        ),
    ] = None,
    encoder_option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Further option of the encoder. May be repeated.",
            rich_help_panel=_ENCODING,
        ),
    ] = None,
    ffmpeg_output: Annotated[
        str,
        typer.Option(
            metavar="'-NAME VALUE …'",
            help="Options of ffmpeg's encoders and muxer.",
            rich_help_panel=_ENCODING,
        ),
    ] = "",
    no_audio: Annotated[
        bool, typer.Option("--no-audio", help="Omit the audio.", rich_help_panel=_ENCODING)
    ] = False,
    start: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", help="Start, from the first frame.", rich_help_panel=_INPUT
        ),
    ] = None,
    end: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="End, from the first frame.", rich_help_panel=_INPUT),
    ] = None,
    deinterlace: Annotated[
        bool,
        typer.Option(
            "--deinterlace",
            help="Turn the fields of interlaced video into frames (bwdif).",
            rich_help_panel=_INPUT,
        ),
    ] = False,
    detelecine: Annotated[
        bool,
        typer.Option(
            "--detelecine",
            help="Restore the 24 frames per second of film from 30 of television.",
            rich_help_panel=_INPUT,
        ),
    ] = False,
    input_fps: Annotated[
        str | None,
        typer.Option(
            metavar="RATE",
            help=f"Frame rate of an image sequence (default {DEFAULT_INPUT_RATE}).",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    white_level: Annotated[
        float,
        typer.Option(
            metavar="VALUE",
            help="Value of white in floating-point images.",
            rich_help_panel=_INPUT,
        ),
    ] = _DEFAULTS.white_level,
    keep_going: Annotated[
        bool,
        typer.Option(
            "--keep-going",
            help="Leave out the bad frames of a damaged input.",
            rich_help_panel=_INPUT,
        ),
    ] = False,
    max_pixels: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Largest number of pixels of an input frame (default 2^27, 16384x8192).",
            show_default=False,
            rich_help_panel=_INPUT,
        ),
    ] = _DEFAULTS.max_pixels,
    max_memory: Annotated[
        float | None,
        typer.Option(
            metavar="GB",
            help="Largest memory that the job may take by estimate (default: the machine's).",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    allow_playlist_files: Annotated[
        bool,
        typer.Option(
            "--allow-playlist-files",
            help="Let a playlist (.m3u8, concat) name files outside its own folder.",
            rich_help_panel=_INPUT,
        ),
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue the same command after it was stopped or failed.",
            rich_help_panel=_RESUME,
        ),
    ] = False,
    segment_frames: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Output frames per segment. Finished segments survive an interruption.",
            rich_help_panel=_RESUME,
        ),
    ] = _DEFAULTS.segment_frames,
    checkpoint_seconds: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            help="Work after which frames survive an interruption within a segment too; 0: never.",
            rich_help_panel=_RESUME,
        ),
    ] = _DEFAULTS.checkpoint_seconds or 0.0,
    output_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder for the results of many inputs.", rich_help_panel=_OUTPUT
        ),
    ] = None,
    suffix: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Added to each result's name (default _2x, _4x, _slow2x, _60fps …). May end in "
            "a file type, such as .mkv.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace an existing output.", rich_help_panel=_OUTPUT),
    ] = False,
    output_format: Annotated[
        OutputFormat | None,
        typer.Option(
            help="Format of an output pipe (default: that of the input pipe, or nut).",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    save_flow: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Save the optical flow as .flo files and as images.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    flow_scale: Annotated[
        float | None,
        typer.Option(
            metavar="PX",
            help="Vector length in pixels with full colour in those images.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    json: flags.Json = False,
    quiet: flags.Quiet = False,
    progress: flags.Progress = ProgressStyle.AUTO,
) -> None:
    """Double the frame rate of videos.

    Every original frame is kept, unchanged and at its own time, and a new frame is placed exactly
    halfway to the next one. Audio, subtitles, chapters and metadata are carried over.
    """
    if deinterlace and detelecine:
        raise typer.BadParameter("give one of --deinterlace and --detelecine")
    if no_scenes and scene_threshold != _DEFAULTS.scene_threshold:
        raise typer.BadParameter("give one of --no-scenes and --scene-threshold")
    options = DoubleOptions(
        start_seconds=start,
        end_seconds=end,
        factor=factor,
        frame_rate=parse_frame_rate(fps) if fps else None,
        slow_motion=slow_motion,
        fields="deinterlace" if deinterlace else "detelecine" if detelecine else "refuse",
        max_gap_seconds=max_gap,
        scene_threshold=None if no_scenes else scene_threshold,
        scene_detector=scene_detector,
        at_cut=at_cut,
        duplicates=duplicates,
        audio=not no_audio,
        overwrite=overwrite,
        resume=resume,
        segment_frames=segment_frames,
        checkpoint_seconds=checkpoint_seconds or None,
        keep_going=keep_going,
        max_pixels=max_pixels,
        max_memory_gb=max_memory,
        allow_playlist_files=allow_playlist_files,
        input_frame_rate=parse_frame_rate(input_fps) if input_fps else None,
        white_level=white_level,
        output_format=output_format,
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
            options=tuple(parse_pair(text) for text in encoder_option or ()),
            ffmpeg_output=parse_ffmpeg_output(ffmpeg_output),
        ),
    )
    style = ProgressStyle.OFF if quiet else progress
    if output_dir is None:
        source, target = _source_and_target(paths, options, suffix)
        double_one(source, target, options, style, json=json, quiet=quiet)
        return
    jobs = results_of(paths, output_dir, usual_suffix(options) if suffix is None else suffix)
    if save_flow:
        refuse_one_folder_for_two(jobs, save_flow)
    if double_all(jobs, options, style, json=json, quiet=quiet):
        raise typer.Exit(1)


def _source_and_target(
    paths: list[Path], options: DoubleOptions, suffix: str | None
) -> tuple[Path, Path]:
    """The two files of a single job; without an output, it is named after the input."""
    if len(paths) == 2 and suffix is not None:
        raise typer.BadParameter("OUT is given already", param_hint="--suffix")
    if len(paths) == 2:
        return paths[0], paths[1]
    if len(paths) == 1 and str(paths[0]) != "-":
        return paths[0], result_of(paths[0], options, suffix)
    if len(paths) == 1:
        raise typer.BadParameter("a pipe as input needs OUT", param_hint="IN [OUT]")
    raise typer.BadParameter(
        f"{len(paths)} files without --output-dir: give it, or one IN and one OUT. Quote a pattern "
        "of images, so that the shell does not expand it.",
        param_hint="IN [OUT]",
    )
