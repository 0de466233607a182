"""Flags that several commands have, so that they read and mean the same everywhere."""

from __future__ import annotations

from typing import Annotated, Literal, cast

import typer

from interp_cli.cli.render import ProgressStyle
from interp_cli.options import InferenceOptions, Precision, Quality, Trajectory

Model = Annotated[str, typer.Option(help="Name of a bundled model, or a .safetensors file.")]
Device = Annotated[
    str, typer.Option(help="auto (CUDA, else Apple's GPU, else the CPU), cpu, cuda, cuda:N or mps.")
]
PrecisionName = Annotated[str, typer.Option(help="auto, fp32, fp16 or bf16.")]
QualityName = Annotated[
    str,
    typer.Option(help="auto, fast, balanced or best: how finely motion is sought in large frames."),
]
TrajectoryName = Annotated[
    Trajectory,
    typer.Option(
        help="Between two frames, motion goes on as before and after them, or evenly (linear)."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Progress = Annotated[
    ProgressStyle, typer.Option(help="A bar on terminals, plain lines, or nothing.")
]
NoProgress = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the results.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary.")]


def inference_options(
    model: str,
    device: str,
    precision: str,
    quality: str,
    trajectory: Trajectory,
    batch: str = "auto",
    tile: str = "auto",
) -> InferenceOptions:
    """What the flags of inference say; `InferenceOptions` checks the names among them."""
    return InferenceOptions(
        model=model,
        device=device,
        precision=cast(Precision, precision),
        quality=cast(Quality, quality),
        trajectory=trajectory,
        batch="auto" if batch == "auto" else whole_number(batch, "--batch"),
        tile=cast(Literal["auto", "off"], tile)
        if tile in ("auto", "off")
        else whole_number(tile, "--tile"),
    )


def names(text: str) -> tuple[str, ...]:
    """What stands between commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def whole_number(text: str, flag: str, otherwise: str = "a word it knows") -> int:
    """The number that a flag says, which may be `otherwise`, too.

    Raises:
        BadParameter: It is no number.
    """
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is neither {otherwise} nor a number", param_hint=flag
        ) from None
