"""`interp prepare`: training triplets out of videos, once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from interp_cli.cli import flags
from interp_cli.cli.render import console, print_json, results, say, size_text
from interp_cli.training.options import PrepareOptions

_DEFAULTS = PrepareOptions()


def prepare(
    videos: Annotated[
        list[Path],
        typer.Argument(metavar="VIDEOS...", help="Videos and folders, as for `interp train`."),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the prepared footage.")],
    scene_threshold: Annotated[
        float,
        typer.Option(metavar="0..1", help="Likelihood from which a pair of frames is a cut."),
    ] = _DEFAULTS.scene_threshold or 1.0,
    no_scenes: Annotated[
        bool, typer.Option("--no-scenes", help="Detect no cuts: every video is one shot.")
    ] = False,
    short_side: Annotated[
        int, typer.Option(metavar="PX", help="Scale larger frames down to this shorter side.")
    ] = _DEFAULTS.short_side_px,
    min_motion: Annotated[
        float,
        typer.Option(help="Minimum mean difference of adjacent frames in a shot, of 255 levels."),
    ] = _DEFAULTS.min_motion,
    json: flags.Json = False,
    quiet: flags.Quiet = False,
) -> None:
    """Prepare training footage: split videos into shots, drop duplicates and stills, store frames.

    `interp train OUT` then starts at once. Videos that are already in OUT are not prepared again.
    """
    options = PrepareOptions(None if no_scenes else scene_threshold, short_side, min_motion)
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
        say(f"{escape(str(out))}: {made}", results)
