"""`interp prepare`: training triplets out of videos, once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from interp_cli.cli import flags
from interp_cli.cli.render import console, print_json, results, size_text
from interp_cli.training.options import PrepareOptions

_DEFAULTS = PrepareOptions()


def prepare(
    videos: Annotated[
        list[Path],
        typer.Argument(metavar="VIDEOS...", help="As for `interp train`."),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the prepared footage.")],
    scene_threshold: Annotated[
        float, typer.Option(metavar="0..1", help="How much change counts as a cut.")
    ] = _DEFAULTS.scene_threshold,
    short_side: Annotated[
        int, typer.Option(metavar="PX", help="Scale larger frames down to this shorter side.")
    ] = _DEFAULTS.short_side_px,
    min_motion: Annotated[
        float, typer.Option(help="Drop shots that change less than this, of 255.")
    ] = _DEFAULTS.min_motion,
    json: flags.Json = False,
    quiet: flags.Quiet = False,
) -> None:
    """Cut videos into shots, drop repeats and stills, and store the frames for training.

    `interp train OUT` then starts at once. What is in OUT already is not prepared again.
    """
    options = PrepareOptions(scene_threshold, short_side, min_motion)
    from interp_cli.training.prepare import prepare as prepare_sources

    with console.status("preparing") as status:

        def update(done: int, total: int) -> None:
            status.update(f"preparing: {done} of {total} sources")

        shots = prepare_sources(videos, out, options, None if quiet else update)
    frames = sum(shot.frames for shot in shots)
    size_bytes = sum(shot.frames * shot.frame_bytes for shot in shots)
    if json:
        print_json({"folder": out, "shots": len(shots), "frames": frames, "bytes": size_bytes})
    elif not quiet:
        made = f"{frames} frames in {len(shots)} shots, {size_text(size_bytes)}"
        results.print(f"{escape(str(out))}: {made}", soft_wrap=True)
