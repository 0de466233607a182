"""`interp bench`: how fast every stage is here, and how fast others are beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from interp_cli.cli import flags
from interp_cli.cli.render import console, print_json, results
from interp_cli.options import DEFAULT_MODEL, BenchOptions

if TYPE_CHECKING:
    from interp_cli.benchmarking.report import BenchReport, ClipSpeed, GraphUse, Spread

_DEFAULTS = BenchOptions()


def bench(
    size: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WIDTHxHEIGHT",
            help="A frame size to measure; may be repeated. By default "
            + ", ".join(f"{width}x{height}" for width, height in _DEFAULTS.sizes)
            + ".",
        ),
    ] = None,
    input: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Measure on this video, not a drawn one.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Take only the video's beginning.")
    ] = None,
    compare: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="Double the same clip with them too: minterpolate, dis, blend, other models or"
            " .safetensors files; with commas.",
        ),
    ] = ",".join(_DEFAULTS.compare),
    compare_command: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COMMAND",
            help="Double it with another program too, such as 'rife -i {input} -o {output}'; may"
            " be repeated.",
        ),
    ] = None,
    model: flags.Model = DEFAULT_MODEL,
    device: flags.Device = "auto",
    precision: flags.PrecisionName = "auto",
    quality: flags.QualityName = "auto",
    trajectory: flags.TrajectoryName = "cubic",
    preset: Annotated[
        str, typer.Option(help="x264's preset, for us and for what is compared by name.")
    ] = _DEFAULTS.preset,
    rounds: Annotated[
        int, typer.Option(metavar="N", help="Rounds, of which the medians are shown.")
    ] = _DEFAULTS.rounds,
    frames: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Frames of a drawn clip; without it as many as take some seconds."
        ),
    ] = _DEFAULTS.frames,
    plot: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Draw the speeds into this file too.")
    ] = None,
    json: flags.Json = False,
) -> None:
    """Measure speed: each stage alone, and the whole from file to file.

    Every speed is in frames out a second, so that stages compare: the slowest
    one is the bottleneck. Core-ms are milliseconds of processor time that a
    frame out costs, over all cores: other work on the machine hardly changes
    them. What is compared runs in turns on the same clip, for us and for what
    is compared by name with the same encoder. Medians are shown, with the
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
    from interp_cli.benchmarking.benchmark import benchmark
    from interp_cli.doctor import describe_machine

    with console.status("loading the model") as status:

        def show(done: int, total: int, what: str) -> None:
            text = f"{done} of {total} runs done, now {escape(what)}"
            if console.is_terminal:
                status.update(text)
            else:
                console.print(text, soft_wrap=True)

        report = benchmark(options, progress=show)
    machine = describe_machine()
    about = (
        f"{report.model} ({report.parameters / 1e6:.2f} M parameters) on {report.device} in"
        f" {report.precision}; medians of {report.rounds} (slowest to fastest); {machine}."
    )
    if plot is not None:
        _plot(report, about, plot)
    if json:
        print_json({"machine": machine, **report.as_dict()})
        return
    for clip in report.clips:
        results.print(_speed_table(clip))
        for line in _findings(clip, report):
            results.print(line, soft_wrap=True)
        results.print()
    if report.cuda_graphs is not None:
        results.print(_graphs_text(report.cuda_graphs), soft_wrap=True)
    results.print(escape(about), soft_wrap=True)


def _speed_table(clip: ClipSpeed) -> Table:
    """Each stage, the whole, and what is compared."""
    table = Table(title=escape(f"{_title(clip)}, {clip.encoder}"))
    table.add_column("", overflow="fold", min_width=18)
    for heading in ("frames/s out", "slowest to fastest", "core-ms", "times interp"):
        table.add_column(heading, justify="right", no_wrap=True)
    for stage in clip.stages:
        mark = " [dim]bottleneck[/]" if stage is clip.bottleneck else ""
        table.add_row(stage.name + mark, *_numbers(stage.fps), _figure(stage.core_seconds * 1000))
    table.add_section()
    for row in clip.rows:
        ours = row is clip.whole
        table.add_row(
            "interp, the whole" if ours else escape(row.name),
            *_numbers(row.fps),
            _figure(row.core_seconds * 1000),
            "" if ours else _figure(row.times_interp.median),
            style="bold" if ours else None,
        )
    return table


def _findings(clip: ClipSpeed, report: BenchReport) -> list[str]:
    """What follows from the numbers, a line each."""
    from interp_cli.doctor import cores_text

    whole = (
        f"The whole reaches {clip.fraction_of_bottleneck:.2f} of {clip.bottleneck.name} alone"
        f" ({clip.frames_in} frames in, {clip.whole.frames_out} out)"
    )
    if clip.cores is not None and clip.cores_allow_fps is not None:
        whole += (
            f", and {clip.fraction_of_cores:.2f} of the {_figure(clip.cores_allow_fps)} frames/s that"
            f" {cores_text(clip.cores)} would allow if never idle and if every stage cost what it"
            " costs alone"
        )
    network = clip.network
    made = (
        f"Network: {network.gmac_per_pair:.1f} GMAC a pair, batch {network.batch},"
        f" {_text(network.pairs_per_second)} pairs/s, {_figure(network.teraflops)} TFLOP/s:"
        f" {network.fraction_of_peak:.0%} of what a matrix product reaches here"
        f" ({_figure(report.peak_teraflops)})"
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
        f"CUDA graphs: {cuda_graphs.recorded}, recorded in {_figure(cuda_graphs.seconds)} s"
        if cuda_graphs.recorded
        else "CUDA graphs: none"
    )
    return " ".join((f"{made}.", *map(escape, cuda_graphs.notes)))


def _plot(report: BenchReport, about: str, path: Path) -> None:
    from interp_cli.benchmarking.plot import (
        BLUE,
        GREY,
        LIGHT_BLUE,
        ORANGE,
        Bar,
        BarPanel,
        draw_bars,
        save_chart,
    )

    def bar(label: str, fps: Spread, colour: tuple[int, int, int]) -> Bar:
        return Bar(label, fps.median, fps.low, fps.high, _figure(fps.median), colour)

    panels = []
    for clip in report.clips:
        bars = []
        for stage in clip.stages:
            colour = BLUE if stage is clip.bottleneck else LIGHT_BLUE
            bars.append(bar(stage.name, stage.fps, colour))
        for row in clip.rows:
            ours = row is clip.whole
            name = "interp, the whole" if ours else row.name
            bars.append(bar(name, row.fps, ORANGE if ours else GREY))
        panels.append(BarPanel(_title(clip), bars))
    title = "Frames out a second: each stage alone, and the whole (logarithmic)"
    save_chart(draw_bars(title, about, panels), path)


def _title(clip: ClipSpeed) -> str:
    return f"{clip.clip} {clip.width}x{clip.height}"


def _numbers(spread: Spread) -> tuple[str, str]:
    return _figure(spread.median), f"({_figure(spread.low)} to {_figure(spread.high)})"


def _figure(value: float) -> str:
    """Three digits that count, without an exponent."""
    return f"{float(f'{value:.3g}'):,.10g}"


def _text(spread: Spread) -> str:
    return " ".join(_numbers(spread))


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise typer.BadParameter(f"{text!r} is not WIDTHxHEIGHT", param_hint="--size")
    return int(width), int(height)
