"""`interp bench`: how fast it is here, and how fast minterpolate is beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.table import Table

from interp_cli.cli import flags
from interp_cli.cli.render import console, print_json, results
from interp_cli.options import DEFAULT_MODEL, BenchOptions, InferenceOptions, Precision, Quality

if TYPE_CHECKING:
    from interp_cli.benchmark import BenchReport, Spread

_DEFAULTS = BenchOptions()


def bench(
    size: Annotated[
        list[str] | None,
        typer.Option(metavar="WIDTHxHEIGHT", help="A frame size to measure; may be repeated."),
    ] = None,
    input: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Measure on this video, not a drawn one.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Take only the video's beginning.")
    ] = None,
    against: Annotated[
        str, typer.Option(metavar="NAMES", help="Double the same clip with it too: minterpolate.")
    ] = "",
    model: flags.Model = DEFAULT_MODEL,
    device: flags.Device = "auto",
    precision: flags.PrecisionName = "auto",
    quality: flags.QualityName = "auto",
    repeats: Annotated[
        int, typer.Option(metavar="N", help="Rounds, of which the medians are shown.")
    ] = _DEFAULTS.repeats,
    frames: Annotated[
        int, typer.Option(metavar="N", help="Frames of a drawn clip.")
    ] = _DEFAULTS.frames,
    json: flags.Json = False,
) -> None:
    """Measure speed: the network alone, and the whole from file to file.

    What is compared runs in turns on the same clip with the same encoder. Medians are shown,
    with the slowest and the fastest round.
    """
    options = BenchOptions(
        inference=InferenceOptions(
            model=model,
            device=device,
            precision=cast(Precision, precision),
            quality=cast(Quality, quality),
        ),
        sizes=tuple(_size(text) for text in size or ()),
        input=input,
        seconds=seconds,
        against=tuple(name.strip() for name in against.split(",") if name.strip()),
        repeats=repeats,
        frames=frames,
    )
    from interp_cli.benchmark import benchmark
    from interp_cli.environment import describe_machine

    with console.status("loading the model") as status:
        report = benchmark(
            options, progress=lambda done, total: status.update(f"{done} of {total} rounds done")
        )
    machine = describe_machine()
    if json:
        print_json({"machine": machine, **report.as_dict()})
        return
    results.print(_network_table(report))
    results.print(_clip_table(report))
    results.print(
        f"{report.model} ({report.parameters / 1e6:.2f} M parameters) on {report.device} in"
        f" {report.precision}; medians of {report.repeats} (slowest to fastest); {machine}.",
        soft_wrap=True,
    )


def _network_table(report: BenchReport) -> Table:
    table = Table("size", title="The network alone")
    for heading in ("batch", "GMAC/pair", "pairs/s"):
        table.add_column(heading, justify="right")
    for speed in report.network:
        table.add_row(
            f"{speed.width}x{speed.height}",
            str(speed.batch),
            f"{speed.gmac_per_pair:.1f}",
            _text(speed.pairs_per_second),
        )
    return table


def _clip_table(report: BenchReport) -> Table:
    encoders = ", ".join({clip.encoder: None for clip in report.clips})
    table = Table(title=f"From file to file, {encoders}")
    table.add_column("clip", overflow="fold")
    table.add_column("by")
    for heading in ("frames out", "frames/s", "times interp"):
        table.add_column(heading, justify="right")
    for clip in report.clips:
        for number, row in enumerate(clip.rows):
            table.add_row(
                f"{clip.clip} {clip.width}x{clip.height}" if number == 0 else "",
                row.name,
                str(row.frames_out),
                _text(row.frames_per_second),
                _text(row.times_interp) if number else "",
            )
        table.add_section()
    return table


def _text(spread: Spread) -> str:
    return f"{spread.median:.3g} ({spread.low:.3g} to {spread.high:.3g})"


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise typer.BadParameter(f"{text!r} is not WIDTHxHEIGHT", param_hint="--size")
    return int(width), int(height)
