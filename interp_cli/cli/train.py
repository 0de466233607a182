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
from interp_cli.cli.render import console, print_json, results, warn
from interp_cli.options import DEFAULT_MODEL, Precision
from interp_cli.training.options import TrainOptions, fine_tune_preset, train_preset

if TYPE_CHECKING:
    from interp_cli.training.loop import TrainProgress


def train(
    videos: Annotated[
        list[Path],
        typer.Argument(
            metavar="VIDEOS...",
            help="Videos in any codec, folders of them, a data set in the layout of Vimeo-90K,"
            " folders of triplets, or what `interp prepare` made.",
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(help=f"Network to train (default: that of --init, or {DEFAULT_MODEL})."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run (default: runs/MODEL).")
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Weights to start from; without a length, rate and batch of your own, those for"
            " minutes of fine-tuning hold.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out, with its own options.")
    ] = False,
    steps: Annotated[int | None, typer.Option(help="Length of the run in steps.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Length of the run in epochs.")] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Length of the run in minutes, over all sittings.")
    ] = None,
    crop: Annotated[int | None, typer.Option(help="Side of the crops in pixels.")] = None,
    batch: Annotated[int | None, typer.Option(help="Triplets a step, over all ranks.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Highest learning rate.")] = None,
    muon: Annotated[
        float | None,
        typer.Option(
            metavar="FACTOR",
            help="Rate of Muon for large kernels, times that; 0: Adam has all.",
        ),
    ] = None,
    ema: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="What a step keeps of the averaged weights, below 1."),
    ] = None,
    val: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder of triplets (im1, im2, im3) to validate on; may be repeated. Without it,"
            " footage that is held out decides which weights are best.",
        ),
    ] = None,
    validate_minutes: Annotated[
        float | None, typer.Option(help="Minutes between validations.")
    ] = None,
    synthetic: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Share of drawn motion in each batch, 0 to 1."),
    ] = None,
    synthetic_end: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="What that share moves to by the end of the run."),
    ] = None,
    hard_mining: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Share of crops taken where most moves, 0 to 1."),
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, fp32, fp16 or bf16.")] = None,
    ranks: Annotated[
        str | None, typer.Option(help="Processes that share a step on a CPU: auto or a number.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="All random choices follow from it.")] = None,
    cache: Annotated[
        Path, typer.Option(help="Where prepared footage is kept for the next time.")
    ] = Path("data/prepared"),
    json: flags.Json = False,
    quiet: flags.Quiet = False,
    progress: Annotated[
        ProgressStyle, typer.Option(help="A live line on terminals, plain lines, or nothing.")
    ] = ProgressStyle.AUTO,
) -> None:
    """Train a network on videos, or fine-tune one to them.

    The run's folder gets best.safetensors (for `interp double --model`), last.pt (to go on with
    --resume), curve.csv and pictures of validation triplets. Ctrl-C saves before it ends.
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
        "precision": cast(Precision | None, precision),
        "ranks": _ranks(ranks),
        "seed": seed,
    }
    given = {name: value for name, value in given.items() if value is not None}
    lengths = {"steps": steps, "epochs": epochs, "minutes": minutes}
    if any(value is not None for value in lengths.values()):
        given |= lengths  # one that is given takes the place of the preset's

    from interp_cli.training.loop import train as run
    from interp_cli.training.ranks import Ranks

    if not Ranks.of_environment().leads:  # torchrun started several of us; one speaks
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
    for note in result.notes:
        warn(note)
    last = result.last
    if json:
        print_json(_finite(asdict(result)))
    elif not quiet:
        end = "stopped" if result.interrupted else "done"
        results.print(
            f"{escape(str(result.folder))}: {end} after {last.step} steps,"
            f" {last.triplets} triplets, {last.minutes:.1f} min; {_scores_text(last.psnr_db)};"
            f" best {result.best_db:.2f} dB in {result.weights.name}",
            soft_wrap=True,
        )
        if result.start_psnr_db:
            had = _scores_text(result.start_psnr_db)
            results.print(f"{escape(str(init))} had {had}", soft_wrap=True)
    if result.interrupted:
        if not quiet:
            run_text = escape(str(folder))
            console.print(f"saved; go on with: interp train … --out {run_text} --resume")
        raise typer.Exit(130)


def _start(
    model: str | None, out: Path | None, init: str | None, resume: bool, device: str
) -> tuple[Path, TrainOptions]:
    """The run's folder, and the options before any flag."""
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


def _ranks(text: str | None) -> int | Literal["auto"] | None:
    if text is None or text == "auto":
        return cast(Literal["auto"] | None, text)
    return flags.whole_number(text, "--ranks", otherwise="auto")


@contextmanager
def _prepare_progress(style: ProgressStyle) -> Iterator[Callable[[int, int], None] | None]:
    """Lines for what takes long only the first time."""
    begun = last = time.monotonic()

    def update(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= PLAIN_LINE_SECONDS or (done == total and now - begun > 1):
            last = now
            console.print(f"preparing: {done} of {total} sources", soft_wrap=True)

    yield None if style is ProgressStyle.OFF else update


@contextmanager
def _train_progress(style: ProgressStyle) -> Iterator[Callable[[TrainProgress], None] | None]:
    if style is ProgressStyle.OFF:
        yield None
    elif style is ProgressStyle.AUTO and console.is_terminal:
        columns = (BarColumn(20), TaskProgressColumn(), TextColumn("{task.fields[now]}"))
        with Progress(*columns, console=console, transient=True) as bars:
            task = bars.add_task("", total=1.0, now="starting")
            yield lambda now: bars.update(task, completed=now.share, now=_now_text(now))
    else:
        last = 0.0

        def update(now: TrainProgress) -> None:
            nonlocal last
            if time.monotonic() - last >= PLAIN_LINE_SECONDS:
                last = time.monotonic()
                console.print(f"{now.share:.1%}  {_now_text(now)}", soft_wrap=True)

        yield update


def _now_text(now: TrainProgress) -> str:
    return (
        f"step {now.step}  loss {now.loss:.5f}  {_scores_text(now.psnr_db)}"
        f"  {now.triplets_per_second:.1f} triplets/s  {_left_text(now.seconds_left)} left"
    )


def _scores_text(psnr_db: Mapping[str, float]) -> str:
    if not psnr_db:
        return "not yet validated"
    return ", ".join(f"{escape(name)} {value:.2f} dB" for name, value in psnr_db.items())


def _left_text(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _finite(value: Any) -> Any:
    """JSON has no number for what was not measured."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
