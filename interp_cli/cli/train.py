"""`interp train`: weights from videos."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from interp_cli.cli import flags
from interp_cli.cli.progress import PLAIN_LINE_SECONDS, ProgressStyle
from interp_cli.cli.render import console, print_json, results, say, warn
from interp_cli.options import DEFAULT_MODEL, Precision
from interp_cli.training.options import TrainOptions, fine_tune_preset, train_preset

if TYPE_CHECKING:
    from interp_cli.training.progress import TrainProgress


# Headings of the help.
_LENGTH, _NETWORK, _DATA = "Length and output", "Network and optimization", "Training data"
_VALIDATION, _DEVICE = "Validation", "Device"


# The options of a run are many, and typer reads them off the parameters: hence the length.
def train(
    videos: Annotated[
        list[Path],
        typer.Argument(
            metavar="VIDEOS...",
            help="Videos in any codec, folders of them, a data set in the layout of Vimeo-90K, "
            "folders of triplets, or a folder of `interp prepare`.",
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"Network to train (default: that of --init, or {DEFAULT_MODEL}).",
            rich_help_panel=_NETWORK,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder of the run (default: runs/MODEL).",
            rich_help_panel=_LENGTH,
        ),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Initial weights. The defaults are then those for minutes of fine-tuning.",
            rich_help_panel=_NETWORK,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue the run in --out with its own options.",
            rich_help_panel=_LENGTH,
        ),
    ] = False,
    steps: Annotated[
        int | None, typer.Option(help="Length of the run in steps.", rich_help_panel=_LENGTH)
    ] = None,
    epochs: Annotated[
        float | None, typer.Option(help="Length of the run in epochs.", rich_help_panel=_LENGTH)
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="Length of the run in minutes, over all its sessions.", rich_help_panel=_LENGTH
        ),
    ] = None,
    crop: Annotated[
        int | None,
        typer.Option(metavar="PX", help="Side of the square crops.", rich_help_panel=_DATA),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Batch size in triplets, over all processes.",
            rich_help_panel=_NETWORK,
        ),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Maximum learning rate.", rich_help_panel=_NETWORK)
    ] = None,
    muon: Annotated[
        float | None,
        typer.Option(
            metavar="FACTOR",
            help="Learning rate of Muon for large kernels, as a multiple of --learning-rate. "
            "0 trains all parameters with Adam.",
            rich_help_panel=_NETWORK,
        ),
    ] = None,
    ema: Annotated[
        float | None,
        typer.Option(metavar="DECAY", help="EMA decay, below 1.", rich_help_panel=_NETWORK),
    ] = None,
    val: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder of triplets (im1, im2, im3) to validate on. May be repeated. Without it, "
            "held-out footage decides which weights are best.",
            rich_help_panel=_VALIDATION,
        ),
    ] = None,
    validate_minutes: Annotated[
        float | None,
        typer.Option(help="Minutes between validations.", rich_help_panel=_VALIDATION),
    ] = None,
    synthetic: Annotated[
        float | None,
        typer.Option(
            metavar="FRACTION",
            help="Fraction of each batch that is synthetic motion, 0 to 1.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    synthetic_end: Annotated[
        float | None,
        typer.Option(
            metavar="FRACTION",
            help="Fraction of synthetic motion at the end of the run, approached linearly.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    hard_mining: Annotated[
        float | None,
        typer.Option(
            metavar="FRACTION",
            help="Fraction of crops taken where the frames differ most, 0 to 1.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="auto|cpu|cuda|cuda:N|mps",
            help="Device to train on (default: auto).",
            rich_help_panel=_DEVICE,
        ),
    ] = None,
    precision: Annotated[
        Precision | None,
        typer.Option(
            help="Arithmetic of the network (default: auto, the fastest safe one).",
            rich_help_panel=_DEVICE,
        ),
    ] = None,
    processes: Annotated[
        str | None,
        typer.Option(
            metavar="auto|N",
            help="Processes that share a step on a CPU (default: auto, one per core).",
            rich_help_panel=_DEVICE,
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of all random choices.", rich_help_panel=_DATA)
    ] = None,
    cache: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER",
            help="Folder for prepared footage, which the next run reuses.",
            rich_help_panel=_DATA,
        ),
    ] = Path("data/prepared"),
    json: flags.Json = False,
    quiet: flags.Quiet = False,
    progress: flags.Progress = ProgressStyle.AUTO,
) -> None:
    """Train a network on videos, or fine-tune one to them.

    The run's folder gets best.safetensors (for `interp double --model`), last.pt (to continue with
    --resume), curve.csv and pictures of validation triplets. Ctrl-C saves a checkpoint and stops.
    """
    given: dict[str, Any] = {
        "init": init,
        "crop": crop,
        "batch": batch,
        "learning_rate": learning_rate,
        "muon": muon,
        "ema": ema,
        "validate_minutes": validate_minutes,
        "synthetic": synthetic,
        "synthetic_end": synthetic_end,
        "hard_mining": hard_mining,
        "device": device,
        "precision": precision,
        "processes": _processes(processes),
        "seed": seed,
    }
    given = {name: value for name, value in given.items() if value is not None}
    lengths = {"steps": steps, "epochs": epochs, "minutes": minutes}
    if any(value is not None for value in lengths.values()):
        given |= lengths  # they replace the preset's

    from interp_cli.training.distributed import ProcessGroup
    from interp_cli.training.loop import train as run

    if (
        not ProcessGroup.of_environment().is_main
    ):  # of the processes that torchrun started, one speaks
        quiet, json = True, False
    folder, base = _start(model, out, init, resume, device or "auto")
    options = replace(base, **given)
    style = ProgressStyle.OFF if quiet else progress
    with _prepare_progress(style) as prepared, _train_progress(style) as stepped:
        result = run(
            videos,
            folder,
            options,
            validate_on=val or (),
            cache=cache,
            resume=resume,
            progress=stepped,
            prepare_progress=prepared,
        )
    for warning in result.warnings:
        warn(warning)
    last = result.last
    if json:
        print_json(_finite(asdict(result)))
    elif not quiet:
        end = "stopped" if result.interrupted else "done"
        has_best = math.isfinite(result.best_db)
        say(
            f"{escape(str(result.folder))}: {end} after {last.step} steps,"
            f" {last.triplets} triplets, {last.minutes:.1f} min; {_scores_text(last.psnr_db)}"
            + (f"; best {result.best_db:.2f} dB in {result.weights.name}" if has_best else ""),
            results,
        )
        if result.start_psnr_db:
            had = _scores_text(result.start_psnr_db)
            say(f"{escape(str(init))} had {had}", results)
    if result.interrupted:
        if not quiet:
            run_text = escape(str(folder))
            say(f"saved; continue with: interp train … --out {run_text} --resume")
        raise typer.Exit(130)


def _start(
    model: str | None, out: Path | None, init: str | None, resume: bool, device: str
) -> tuple[Path, TrainOptions]:
    """The folder of the run, and its options before those of the command line."""
    from interp_cli.models.weights import load_model
    from interp_cli.training.checkpoint import load_checkpoint
    from interp_cli.training.device import choose_device

    if model is None and init is not None and (out is None or not resume):
        model = load_model(init).architecture
    folder = out or Path("runs") / (model or DEFAULT_MODEL)
    if not resume:
        if init is not None:
            return folder, fine_tune_preset(model or DEFAULT_MODEL)
        on_gpu = choose_device(device).type == "cuda"
        return folder, train_preset(model or DEFAULT_MODEL, large_batch=on_gpu)
    options = load_checkpoint(folder).options
    return folder, replace(options, model=model or options.model)


def _processes(text: str | None) -> int | Literal["auto"] | None:
    if text is None or text == "auto":
        return cast(Literal["auto"] | None, text)
    return flags.whole_number(text, "--processes", otherwise="auto")


@contextmanager
def _prepare_progress(style: ProgressStyle) -> Iterator[Callable[[int, int], None] | None]:
    """Lines about the preparation, which takes long only the first time."""
    begun = last = time.monotonic()

    def update(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= PLAIN_LINE_SECONDS or (done == total and now - begun > 1):
            last = now
            say(f"preparing: {done} of {total} sources")

    yield None if style is ProgressStyle.OFF else update


@contextmanager
def _train_progress(style: ProgressStyle) -> Iterator[Callable[[TrainProgress], None] | None]:
    if style is ProgressStyle.OFF:
        yield None
    elif style is ProgressStyle.AUTO and console.is_terminal:
        columns = (BarColumn(20), TaskProgressColumn(), TextColumn("{task.fields[now]}"))
        with Progress(*columns, console=console, transient=True) as bars:
            task = bars.add_task("", total=1.0, now="starting")
            yield lambda now: bars.update(task, completed=now.fraction, now=_now_text(now))
    else:
        last = 0.0

        def update(now: TrainProgress) -> None:
            nonlocal last
            if time.monotonic() - last >= PLAIN_LINE_SECONDS:
                last = time.monotonic()
                say(f"{now.fraction:.1%}  {_now_text(now)}")

        yield update


def _now_text(now: TrainProgress) -> str:
    parts = [f"step {now.step}", f"loss {now.loss:.5f}", _scores_text(now.psnr_db)]
    if now.triplets_per_second:
        parts.append(f"{now.triplets_per_second:.1f} triplets/s")
    if math.isfinite(now.seconds_left):
        parts.append(f"{_duration_text(now.seconds_left)} left")
    return "  ".join(parts)


def _scores_text(psnr_db: Mapping[str, float]) -> str:
    if not psnr_db:
        return "not yet validated"
    return ", ".join(f"{escape(name)} {value:.2f} dB" for name, value in psnr_db.items())


def _duration_text(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _finite(value: Any) -> Any:
    """Replace numbers that JSON does not have by null."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
