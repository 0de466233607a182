"""Flags that several commands share, so that they read and mean the same everywhere."""

from __future__ import annotations

from typing import Annotated, Literal, cast

import typer

from interp_cli.cli.progress import ProgressStyle
from interp_cli.options import InferenceOptions, Precision, Quality, Trajectory

# Headings of a command's help.
MODEL_PANEL, OUTPUT_PANEL = "Model", "Output"

Model = Annotated[
    str,
    typer.Option(
        metavar="NAME|FILE",
        help="Name of a bundled model, or a .safetensors file.",
        rich_help_panel=MODEL_PANEL,
    ),
]
Device = Annotated[
    str,
    typer.Option(
        metavar="auto|cpu|cuda|cuda:N|mps",
        help="auto is CUDA, else Apple's GPU, else the CPU.",
        rich_help_panel=MODEL_PANEL,
    ),
]
PrecisionName = Annotated[
    Precision,
    typer.Option(
        help="Arithmetic of the network. auto is the fastest safe one.", rich_help_panel=MODEL_PANEL
    ),
]
QualityName = Annotated[
    Quality,
    typer.Option(
        help="Resolution of motion estimation. fast is quickest; auto is balanced on a CPU and "
        "best on a GPU.",
        rich_help_panel=MODEL_PANEL,
    ),
]
TrajectoryName = Annotated[
    Trajectory,
    typer.Option(
        help="Motion between two frames: cubic also uses the frames before and after, linear "
        "only the two.",
        rich_help_panel=MODEL_PANEL,
    ),
]
Batch = Annotated[
    str,
    typer.Option(
        metavar="auto|N",
        help="Batch size in frame pairs, or auto.",
        rich_help_panel=MODEL_PANEL,
    ),
]
Tile = Annotated[
    str,
    typer.Option(
        metavar="auto|off|PX",
        help="Tile side in pixels at the resolution of motion estimation, which --quality sets. "
        "auto uses tiles where memory requires them.",
        rich_help_panel=MODEL_PANEL,
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json", help="Print the result as JSON on stdout.", rich_help_panel=OUTPUT_PANEL
    ),
]
Progress = Annotated[
    ProgressStyle,
    typer.Option(help="A bar on terminals, plain lines, or nothing.", rich_help_panel=OUTPUT_PANEL),
]
OnlyProblems = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Show only what is not ok.", rich_help_panel=OUTPUT_PANEL),
]
Silent = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        help="Print nothing. The exit code says whether the file can be read.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]
NoProgress = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", help="No progress, only the results.", rich_help_panel=OUTPUT_PANEL
    ),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="No progress and no summary.", rich_help_panel=OUTPUT_PANEL),
]


def inference_options(
    model: str,
    device: str,
    precision: Precision,
    quality: Quality,
    trajectory: Trajectory,
    batch: str = "auto",
    tile: str = "auto",
) -> InferenceOptions:
    """The options of inference that these flags set."""
    return InferenceOptions(
        model=model,
        device=device,
        precision=precision,
        quality=quality,
        trajectory=trajectory,
        batch="auto" if batch == "auto" else whole_number(batch, "--batch", "auto"),
        tile=cast(Literal["auto", "off"], tile)
        if tile in ("auto", "off")
        else whole_number(tile, "--tile", "auto, off"),
    )


def names(text: str) -> tuple[str, ...]:
    """The names in a list with commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def whole_number(text: str, flag: str, otherwise: str) -> int:
    """The whole number that a flag has as its value.

    Args:
        text: The value.
        flag: The flag, for the message.
        otherwise: The words that the flag accepts too.

    Raises:
        BadParameter: The value is not a whole number.
    """
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is neither {otherwise} nor a number", param_hint=flag
        ) from None
