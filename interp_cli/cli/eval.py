"""`interp eval`: scores on frames with ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from interp_cli.cli import flags
from interp_cli.cli.messages import with_flags
from interp_cli.cli.progress import ProgressStyle, frame_progress
from interp_cli.cli.render import print_json, results, say
from interp_cli.options import DEFAULT_MODEL, EvalOptions

if TYPE_CHECKING:
    from interp_cli.evaluation.report import EvalReport


_DEFAULTS = EvalOptions()
_DATA, _COMPARISON = "Data", "Comparison"


# Its length is that of the options: typer reads them from the parameters.
def eval(
    data: Annotated[
        list[Path],
        typer.Argument(
            metavar="DATA...",
            help="Published data sets, folders of triplets (im1.png, im2.png, im3.png) or of"
            " numbered frames, and videos.",
        ),
    ],
    only: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="Names of the sets to score, separated by commas; * matches anything.",
            rich_help_panel=_DATA,
        ),
    ] = ",".join(_DEFAULTS.only),
    skip: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Hidden frames between two shown ones in videos and numbered frames. Default: 7"
            " in GoPro and Adobe240, 1 elsewhere.",
            rich_help_panel=_DATA,
        ),
    ] = _DEFAULTS.skip,
    limit: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Score only the first N pictures of each set.", rich_help_panel=_DATA
        ),
    ] = _DEFAULTS.limit,
    compare: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="Methods to compare with, separated by commas: blend, minterpolate, dis, other"
            " models or .safetensors files.",
            rich_help_panel=_COMPARISON,
        ),
    ] = ",".join(_DEFAULTS.compare),
    predictions: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Pictures of other tools to score, named SET/TOOL/ITEM.png.",
            rich_help_panel=_COMPARISON,
        ),
    ] = _DEFAULTS.predictions,
    vmaf: Annotated[
        bool, typer.Option(help="Measure VMAF of videos.", rich_help_panel=_COMPARISON)
    ] = _DEFAULTS.vmaf,
    model: flags.Model = DEFAULT_MODEL,
    device: flags.Device = "auto",
    precision: flags.PrecisionName = "auto",
    quality: flags.QualityName = "best",
    trajectory: flags.TrajectoryName = "cubic",
    tta: Annotated[
        bool,
        typer.Option(
            "--tta",
            help="Average the predictions for the frames and for the frames rotated by 180"
            " degrees, as RGB pictures. Slightly better at twice the time.",
            rich_help_panel=flags.MODEL_PANEL,
        ),
    ] = _DEFAULTS.tta,
    worst: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Number of pictures with the lowest PSNR to list for each set.",
            rich_help_panel=flags.OUTPUT_PANEL,
        ),
    ] = _DEFAULTS.worst,
    output_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Save the predicted pictures as SET/PREDICTOR/ITEM.png.",
            rich_help_panel=flags.OUTPUT_PANEL,
        ),
    ] = _DEFAULTS.output_dir,
    json: flags.Json = False,
    progress: flags.Progress = ProgressStyle.AUTO,
    quiet: flags.NoProgress = False,
) -> None:
    """Evaluate a model against ground-truth frames.

    Frames are hidden, predicted from their neighbours and compared: the middle
    one of each triplet, every second one of videos and numbered frames. The
    frames of a video are those that double would write.

    Known data sets are Vimeo-90K, UCF101, Middlebury, SNU-FILM, DAVIS, Xiph,
    X4K1000FPS (X-TEST), Adobe240 and GoPro.

    PSNR (dB) is measured on rounded 8-bit RGB. SSIM is the mean over the RGB
    channels. IE is the mean absolute error, 0 to 255. VMAF (vmaf_v0.6.1) is
    measured on predicted frames alone.

    A model that makes only the frame halfway makes quarters and eighths from
    middles of middles. It is left out where that is impossible.
    """
    options = EvalOptions(
        inference=flags.inference_options(model, device, precision, quality, trajectory),
        compare=flags.names(compare),
        only=flags.names(only),
        skip=skip,
        limit=limit,
        tta=tta,
        vmaf=vmaf,
        worst=worst,
        output_dir=output_dir,
        predictions=predictions,
    )
    from interp_cli.benchmarking.doctor import describe_machine
    from interp_cli.evaluation.evaluate import evaluate

    with frame_progress(ProgressStyle.OFF if quiet else progress, "eval") as update:
        report = evaluate(data, options=options, progress=update)
    machine = describe_machine()
    if json:
        print_json({"machine": machine, **report.as_dict(options.worst)})
        return
    results.print(_table(report))
    if any(row.vmaf is not None for each in report.sets for row in each.predictors):
        results.print(_vmaf_table(report))
    if any(len(row.psnr_db_by_timestep) > 1 for each in report.sets for row in each.predictors):
        results.print(_timestep_table(report))
    if options.worst:
        results.print(_worst_table(report, options.worst))
    for each in report.sets:
        for text in (f"{each.kind}, {each.protocol}.", *each.notes):
            say(escape(f"{each.name}: {with_flags(text)}"), results)
    say(f"Seconds per picture on {machine}.", results)


def _table(report: EvalReport) -> Table:
    table = Table()
    table.add_column("set", overflow="fold")
    table.add_column("predictor", overflow="fold")
    for heading in ("PSNR dB", "SSIM", "IE", "s/picture"):
        table.add_column(heading, justify="right")
    for each in report.sets:
        for number, row in enumerate(each.predictors):
            table.add_row(
                escape(f"{each.name} ({len(row.items)})") if number == 0 else "",
                escape(row.name),
                f"{row.psnr_db:.2f}",
                f"{row.ssim:.4f}",
                f"{row.interpolation_error:.2f}",
                _number(row.seconds_per_picture, 3),
            )
        table.add_section()
    return table


def _vmaf_table(report: EvalReport) -> Table:
    """VMAF of predicted frames; the first percentile says how bad the worst ones are."""
    table = Table(title="VMAF of predicted frames")
    table.add_column("set", overflow="fold")
    table.add_column("predictor", overflow="fold")
    for heading in ("mean", "harmonic mean", "1st percentile"):
        table.add_column(heading, justify="right")
    for each in report.sets:
        rows = [row for row in each.predictors if row.vmaf is not None]
        for number, row in enumerate(rows):
            pooled = (row.vmaf, row.vmaf_harmonic_mean, row.vmaf_low)
            table.add_row(
                escape(each.name) if number == 0 else "",
                escape(row.name),
                *(_number(value, 1) for value in pooled),
            )
        table.add_section()
    return table


def _timestep_table(report: EvalReport) -> Table:
    """Mean PSNR at each timestep, where a set has several."""
    sets = [
        (each, [row.psnr_db_by_timestep for row in each.predictors])
        for each in report.sets
        if any(len(row.psnr_db_by_timestep) > 1 for row in each.predictors)
    ]
    timesteps = sorted({timestep for _, rows in sets for row in rows for timestep in row})
    table = Table(title="PSNR dB at each timestep")
    table.add_column("set", overflow="fold")
    table.add_column("predictor", overflow="fold")
    for timestep in timesteps:
        table.add_column(f"{timestep:.3g}", justify="right")
    for each, rows in sets:
        for number, (row, means) in enumerate(zip(each.predictors, rows, strict=True)):
            values = [_number(means.get(timestep), 2) for timestep in timesteps]
            table.add_row(escape(each.name) if number == 0 else "", escape(row.name), *values)
        table.add_section()
    return table


def _worst_table(report: EvalReport, count: int) -> Table:
    """The model's worst pictures, and its PSNR less that of the best other predictor."""
    table = Table(title="Worst pictures")
    for heading in ("set", "picture"):
        table.add_column(heading, overflow="fold")
    for heading in ("timestep", "model", "PSNR dB", "best other", "gap dB"):
        table.add_column(heading, justify="right")
    for each in report.sets:
        for number, item in enumerate(each.worst(count)):
            table.add_row(
                escape(each.name) if number == 0 else "",
                escape(item.name),
                f"{item.timestep:.3g}",
                escape(each.predictors[0].name),
                f"{item.psnr_db:.2f}",
                escape(item.best_other or "-"),
                "-" if item.gap_db is None else f"{item.gap_db:+.2f}",
            )
        table.add_section()
    return table


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
