"""Flags that several commands have, so that they read and mean the same everywhere."""

from __future__ import annotations

from typing import Annotated

import typer

Model = Annotated[str, typer.Option(help="Name of a bundled model, or a .safetensors file.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
PrecisionName = Annotated[str, typer.Option(help="auto, fp32, fp16 or bf16.")]
QualityName = Annotated[
    str,
    typer.Option(help="auto, fast, balanced or best: how finely motion is sought in large frames."),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print the result as one JSON object on stdout.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary.")]
