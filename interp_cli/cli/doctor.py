"""`interp doctor`: does everything work here?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from interp_cli.cli.render import print_json, results

if TYPE_CHECKING:
    from interp_cli.doctor import Check

_STYLES = {"ok": "green", "note": "yellow", "broken": "red"}


def doctor(
    json: Annotated[
        bool, typer.Option("--json", help="Print the findings as one JSON object on stdout.")
    ] = False,
) -> None:
    """Check versions, devices, ffmpeg, weights and disk, and double a drawn clip.

    Ends with exit code 1 where something is broken, and says what to do.
    """
    from interp_cli.doctor import diagnose, self_test

    checks = []
    for check in diagnose():
        checks.append(check)
        if not json:
            _show(check)
    # Without its packages nothing could be doubled; that has been said.
    if any(check.name.startswith("disk") for check in checks):
        checks.append(self_test(_double))
        if not json:
            _show(checks[-1])
    broken = any(check.status == "broken" for check in checks)
    if json:
        print_json({"works": not broken, "checks": [asdict(check) for check in checks]})
    raise typer.Exit(1 if broken else 0)


def _double(source: Path, target: Path) -> None:
    from interp_cli.options import DoubleOptions, EncodeOptions
    from interp_cli.pipeline.double import double_video

    double_video(source, target, options=DoubleOptions(encode=EncodeOptions(encoder="ffv1")))


def _show(check: Check) -> None:
    style = _STYLES[check.status]
    results.print(
        f"[{style}]{check.status:7}[/] {check.name}: {escape(check.found)}", soft_wrap=True
    )
    if check.remedy:
        results.print(f"        [bold]{escape(check.remedy)}[/]", soft_wrap=True)
