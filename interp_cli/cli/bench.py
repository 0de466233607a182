"""`interp bench`: the speed of each stage, of the whole, and of other programs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from interp_cli.benchmarking.report import BenchReport, ClipSpeed, GraphUse, Spread, three_digits
from interp_cli.cli import flags
from interp_cli.cli.render import console, print_json, results, say
from interp_cli.options import DEFAULT_MODEL, BenchOptions

if TYPE_CHECKING:
    from rich.status import Status

_DEFAULTS = BenchOptions()
_CLIP, _COMPARISON = "Clip", "Comparison"


# Its length is that of the options: typer reads them from the parameters.
def bench(
    size: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WIDTHxHEIGHT",
            help="Frame size of a drawn clip; may be repeated. Default: "
            + ", ".join(f"{width}x{height}" for width, height in _DEFAULTS.sizes)
            + ".",
            rich_help_panel=_CLIP,
        ),
    ] = None,
    frames: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Length of a drawn clip in frames. Default: about 8 seconds of work.",
            rich_help_panel=_CLIP,
        ),
    ] = _DEFAULTS.frames,
    input: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Video to use instead of a drawn clip.", rich_help_panel=_CLIP
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Use only the first SECONDS of the video.",
            rich_help_panel=_CLIP,
        ),
    ] = None,
    compare: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="Methods to compare with, separated by commas: minterpolate, dis, blend, other"
            " models or .safetensors files.",
            rich_help_panel=_COMPARISON,
        ),
    ] = ",".join(_DEFAULTS.compare),
    compare_command: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COMMAND",
            help="Other program to compare with, such as 'rife -i {input} -o {output}'; may be"
            " repeated.",
            rich_help_panel=_COMPARISON,
        ),
    ] = None,
    preset: Annotated[
        str, typer.Option(help="x264 preset of every output.", rich_help_panel=_COMPARISON)
    ] = _DEFAULTS.preset,
    rounds: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Number of rounds. The tables show medians.",
            rich_help_panel=_COMPARISON,
        ),
    ] = _DEFAULTS.rounds,
    model: flags.Model = DEFAULT_MODEL,
    device: flags.Device = "auto",
    precision: flags.PrecisionName = "auto",
    quality: flags.QualityName = "auto",
    trajectory: flags.TrajectoryName = "cubic",
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Chart of the speeds, .png, .svg or .pdf. Needs matplotlib.",
            rich_help_panel=flags.OUTPUT_PANEL,
        ),
    ] = None,
    json: flags.Json = False,
    quiet: flags.NoProgress = False,
) -> None:
    """Measure the speed of each stage alone and of the whole, from file to file.

    Every speed is in output frames a second, so stages compare: the slowest
    one is the bottleneck. Core-ms are milliseconds of processor time per output
    frame, summed over all cores. They hardly depend on other work on the
    machine.

    Everything that is compared doubles the same clip, in turns. Methods that
    are compared by name use the same encoder. The tables show medians with the
    slowest and the fastest round.
    """
    options = BenchOptions(
        inference=flags.inference_options(model, device, precision, quality, trajectory),
        sizes=tuple(_size(text) for text in size or ()) or _DEFAULTS.sizes,
        input=input,
        seconds=seconds,
        compare=flags.names(compare),
        compare_commands=tuple(compare_command or ()),
        preset=preset,
        rounds=rounds,
        frames=frames,
    )
    from interp_cli.benchmarking.plot import check_chart, plot_speeds, save_figure

    if plot is not None:
        check_chart(plot)
    from interp_cli.benchmarking.benchmark import benchmark
    from interp_cli.benchmarking.doctor import describe_machine

    if quiet:
        report = benchmark(options)
    else:
        with console.status("loading the model") as status:
            report = benchmark(options, progress=_shown_in(status))
    machine = describe_machine()
    about = (
        f"{report.model} ({report.parameters / 1e6:.2f} M parameters) on {report.device} in"
        f" {report.precision}; medians of {report.rounds} (slowest to fastest); {machine}."
    )
    if plot is not None:
        save_figure(plot_speeds(report, about), plot)
    if json:
        print_json({"machine": machine, **report.as_dict()})
        return
    for clip in report.clips:
        results.print(_speed_table(clip))
        for line in _findings(clip, report):
            say(line, results)
        results.print()
    if report.cuda_graphs is not None:
        say(_graphs_text(report.cuda_graphs), results)
    say(escape(about), results)


def _shown_in(status: Status) -> Callable[[int, int, str], None]:
    """A progress callback: a status line on terminals, plain lines elsewhere."""

    def show(done: int, total: int, what: str) -> None:
        text = f"{done} of {total} runs done, now {escape(what)}"
        if console.is_terminal:
            status.update(text)
        else:
            say(text)

    return show


def _speed_table(clip: ClipSpeed) -> Table:
    """Each stage, the whole, and what is compared."""
    table = Table(title=escape(f"{clip.title}, {clip.encoder}"))
    table.add_column("", overflow="fold", min_width=18)
    for heading in ("frames/s", "slowest to fastest", "core-ms", "× interp"):
        table.add_column(heading, justify="right", no_wrap=True)
    for stage in clip.stages:
        mark = " [dim]bottleneck[/]" if stage is clip.bottleneck else ""
        cost = three_digits(stage.core_seconds * 1000)
        table.add_row(stage.name + mark, *_numbers(stage.fps), cost)
    table.add_section()
    for row in clip.contenders:
        ours = row is clip.whole
        table.add_row(
            "interp, the whole" if ours else escape(row.name),
            *_numbers(row.fps),
            three_digits(row.core_seconds * 1000),
            "" if ours else three_digits(row.times_interp.median),
            style="bold" if ours else None,
        )
    return table


def _findings(clip: ClipSpeed, report: BenchReport) -> list[str]:
    """What follows from the numbers, one line each."""
    from interp_cli.benchmarking.doctor import cores_text

    whole = (
        f"The whole reaches {clip.fraction_of_bottleneck:.2f} of {clip.bottleneck.name} alone"
        f" ({clip.frames_in} frames in, {clip.whole.frames_out} out)"
    )
    if clip.cores is not None and clip.cores_allow_fps is not None:
        whole += (
            f", and {clip.fraction_of_cores:.2f} of the {three_digits(clip.cores_allow_fps)}"
            f" frames/s that {cores_text(clip.cores)} would allow if never idle and if every stage"
            " cost what it costs alone"
        )
    network = clip.network
    made = (
        f"Network: {network.gmac_per_pair:.1f} GMAC a pair, batch {network.batch},"
        f" {_text(network.pairs_per_second)} pairs/s, {three_digits(network.teraflops)} TFLOP/s:"
        f" {network.fraction_of_peak:.0%} of what a matrix product reaches here"
        f" ({three_digits(report.peak_teraflops)})"
    )
    memory = clip.memory
    peaks = [
        f"{name} {size / 1e6:,.0f} MB"
        for name, size in (
            ("interp", memory.host_bytes),
            ("its encoder", memory.children_bytes),
            ("the GPU", memory.device_bytes),
        )
        if size is not None
    ]
    return [f"{line}." for line in (whole, made, f"Peak memory: {', '.join(peaks)}")]


def _graphs_text(cuda_graphs: GraphUse) -> str:
    made = (
        f"CUDA graphs: {cuda_graphs.recorded}, recorded in {three_digits(cuda_graphs.seconds)} s"
        if cuda_graphs.recorded
        else "CUDA graphs: none"
    )
    return " ".join((f"{made}.", *map(escape, cuda_graphs.notes)))


def _numbers(spread: Spread) -> tuple[str, str]:
    return three_digits(
        spread.median
    ), f"({three_digits(spread.low)} to {three_digits(spread.high)})"


def _text(spread: Spread) -> str:
    return " ".join(_numbers(spread))


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise typer.BadParameter(f"{text!r} is not WIDTHxHEIGHT", param_hint="--size")
    return int(width), int(height)
