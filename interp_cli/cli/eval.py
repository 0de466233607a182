"""`interp eval`: scores on data whose middle frames are known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from interp_cli.cli import flags
from interp_cli.cli.render import ProgressStyle, frame_progress, print_json, results
from interp_cli.options import DEFAULT_MODEL, EvalOptions

if TYPE_CHECKING:
    from interp_cli.evaluation.report import EvalReport


_DEFAULTS = EvalOptions()


def eval(
    data: Annotated[
        list[Path],
        typer.Argument(
            metavar="DATA...",
            help="Published data sets, folders of triplets (im1.png, im2.png, im3.png) or of"
            " numbered frames, and videos.",
        ),
    ],
    model: flags.Model = DEFAULT_MODEL,
    compare: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="What to compare with: blend, minterpolate, dis, other models; with commas.",
        ),
    ] = ",".join(_DEFAULTS.compare),
    only: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="Score only the sets of these names, such as '*-2k'; with commas.",
        ),
    ] = ",".join(_DEFAULTS.only),
    skip: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Frames hidden between two shown ones, in videos and numbered frames; without"
            " it 7 in GoPro and Adobe240, else 1.",
        ),
    ] = _DEFAULTS.skip,
    tta: Annotated[
        bool,
        typer.Option(
            "--tta",
            help="Networks predict the frames turned by 180 degrees too, and the mean is scored:"
            " a little better at twice the time.",
        ),
    ] = _DEFAULTS.tta,
    vmaf: Annotated[bool, typer.Option(help="Score videos with VMAF too.")] = _DEFAULTS.vmaf,
    device: flags.Device = "auto",
    precision: flags.PrecisionName = "auto",
    quality: flags.QualityName = "best",
    trajectory: flags.TrajectoryName = "cubic",
    limit: Annotated[
        int | None,
        typer.Option(metavar="N", help="Score the first N pictures of each set (whole gaps)."),
    ] = _DEFAULTS.limit,
    worst: Annotated[
        int, typer.Option(metavar="N", help="List the N worst pictures of each set.")
    ] = _DEFAULTS.worst,
    output_dir: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Keep the predicted pictures as SET/ROW/ITEM.png."),
    ] = _DEFAULTS.output_dir,
    predictions: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Score pictures that another tool made too, named SET/ROW/ITEM.png likewise.",
        ),
    ] = _DEFAULTS.predictions,
    json: flags.Json = False,
    progress: flags.Progress = ProgressStyle.AUTO,
) -> None:
    """Score a model where the truth is known.

    Frames are hidden, made again from their neighbours and compared: of
    triplets the middle one, of videos and numbered frames every second one.
    Recognised from the folder are Vimeo-90K, UCF101, Middlebury, SNU-FILM,
    DAVIS, Xiph, X4K1000FPS (X-TEST), Adobe240 and GoPro.

    PSNR (dB) is on rounded 8-bit RGB, SSIM the mean over the RGB channels, IE
    the mean absolute error of 255. VMAF (vmaf_v0.6.1) is that of the frames
    that were made.

    A model that makes only the middle makes quarters and eighths from middles
    of middles, and is left out where that cannot be done.
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
    from interp_cli.doctor import describe_machine
    from interp_cli.evaluation.evaluate import evaluate

    with frame_progress(progress, "eval") as update:
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
            results.print(f"{each.name}: {text}", soft_wrap=True, markup=False)
    results.print(f"Seconds a picture on {machine}.", soft_wrap=True)


def _table(report: EvalReport) -> Table:
    table = Table()
    table.add_column("set", overflow="fold")
    table.add_column("row", overflow="fold")
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
    """How good the made frames of videos look; the last column says how bad the worst are."""
    table = Table(title="VMAF of the frames that were made")
    table.add_column("set", overflow="fold")
    table.add_column("row", overflow="fold")
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
    """The mean PSNR at each time between the neighbours, where there are several."""
    sets = [
        (each, [row.psnr_db_by_timestep for row in each.predictors])
        for each in report.sets
        if any(len(row.psnr_db_by_timestep) > 1 for row in each.predictors)
    ]
    timesteps = sorted({timestep for _, rows in sets for row in rows for timestep in row})
    table = Table(title="PSNR dB at each timestep")
    table.add_column("set", overflow="fold")
    table.add_column("row", overflow="fold")
    for timestep in timesteps:
        table.add_column(f"{timestep:.3g}", justify="right")
    for each, rows in sets:
        for number, (row, means) in enumerate(zip(each.predictors, rows, strict=True)):
            values = [_number(means.get(timestep), 2) for timestep in timesteps]
            table.add_row(escape(each.name) if number == 0 else "", escape(row.name), *values)
        table.add_section()
    return table


def _worst_table(report: EvalReport, count: int) -> Table:
    """The first row's worst pictures, and how far it is above the best other row there."""
    table = Table(title="The worst pictures")
    for heading in ("set", "picture"):
        table.add_column(heading, overflow="fold")
    for heading in ("time", "row", "PSNR dB", "best other", "gap dB"):
        table.add_column(heading, justify="right")
    for each in report.sets:
        for number, item in enumerate(each.worst(count)):
            table.add_row(
                escape(each.name) if number == 0 else "",
                escape(item.name),
                f"{item.timestep:.3g}",
                escape(each.predictors[0].predictor),
                f"{item.psnr_db:.2f}",
                escape(item.best_other or "-"),
                "-" if item.gap_db is None else f"{item.gap_db:+.2f}",
            )
        table.add_section()
    return table


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
