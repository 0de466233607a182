"""`interp eval`: scores on data whose middle frames are known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.table import Table

from interp_cli.cli import flags
from interp_cli.cli.render import ProgressStyle, frame_progress, print_json, results
from interp_cli.options import DEFAULT_MODEL, EvalOptions, InferenceOptions, Precision

if TYPE_CHECKING:
    from interp_cli.evaluation import EvalReport


def eval(
    data: Annotated[
        list[Path],
        typer.Argument(
            metavar="DATA...",
            help="Folders of triplets (im1.png, im2.png, im3.png), and videos.",
        ),
    ],
    model: flags.Model = DEFAULT_MODEL,
    against: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="What to compare with: blend, minterpolate, dis, other models; with commas.",
        ),
    ] = ",".join(EvalOptions().against),
    device: flags.Device = "auto",
    precision: flags.PrecisionName = "auto",
    limit: Annotated[
        int | None, typer.Option(metavar="N", help="Score the first N pictures of each set.")
    ] = None,
    worst: Annotated[
        int, typer.Option(metavar="N", min=0, help="List the N worst pictures of each set.")
    ] = 0,
    output_dir: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Keep the predicted pictures as SET/ROW/ITEM.png."),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print every score as one JSON object on stdout.")
    ] = False,
    progress: Annotated[
        ProgressStyle, typer.Option(help="A bar on terminals, plain lines, or nothing.")
    ] = ProgressStyle.AUTO,
) -> None:
    """Score a model where the truth is known.

    In a triplet the middle picture is hidden, in a video every second frame; it is made again
    from its neighbours and compared. PSNR (dB) is on rounded 8-bit RGB, SSIM the mean over the
    RGB channels, IE the mean absolute error of 255.
    """
    options = EvalOptions(
        inference=InferenceOptions(
            model=model, device=device, precision=cast(Precision, precision)
        ),
        against=tuple(name.strip() for name in against.split(",") if name.strip()),
        limit=limit,
        output_dir=output_dir,
    )
    from interp_cli.environment import describe_machine
    from interp_cli.evaluation import evaluate

    with frame_progress(progress, "eval") as update:
        report = evaluate(data, options=options, progress=update)
    machine = describe_machine()
    if json:
        print_json({"machine": machine, **report.as_dict()})
        return
    results.print(_table(report))
    if worst:
        results.print(_worst_table(report, worst))
    results.print(f"Seconds a picture on {machine}.", soft_wrap=True)


def _table(report: EvalReport) -> Table:
    table = Table()
    table.add_column("set", overflow="fold")
    table.add_column("row", overflow="fold")
    for heading in ("PSNR dB", "SSIM", "IE", "s/picture"):
        table.add_column(heading, justify="right")
    for each in report.sets:
        for number, row in enumerate(each.rows):
            table.add_row(
                f"{each.name} ({len(row.items)})" if number == 0 else "",
                row.predictor,
                f"{row.psnr_db:.2f}",
                f"{row.ssim:.4f}",
                f"{row.interpolation_error:.2f}",
                f"{row.seconds_per_picture:.3f}",
            )
        table.add_section()
    return table


def _worst_table(report: EvalReport, count: int) -> Table:
    """The first row's worst pictures, with the PSNR of every row."""
    predictors = [row.predictor for row in report.sets[0].rows]
    table = Table(title="PSNR dB of the worst pictures")
    table.add_column("set", overflow="fold")
    table.add_column("worst", overflow="fold")
    for name in predictors:
        table.add_column(name, justify="right")
    for each in report.sets:
        scores = [{item.name: item.psnr_db for item in row.items} for row in each.rows]
        for number, item in enumerate(each.rows[0].worst(count)):
            table.add_row(
                each.name if number == 0 else "",
                item.name,
                *(f"{row[item.name]:.2f}" for row in scores),
            )
        table.add_section()
    return table
