"""`interp doctor`: does everything work here?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.markup import escape

from interp_cli.cli import flags
from interp_cli.cli.messages import with_flags
from interp_cli.cli.render import print_json, results, say

if TYPE_CHECKING:
    from interp_cli.benchmarking.doctor import Check

_STYLES = {"ok": "green", "note": "yellow", "slow": "yellow", "broken": "red"}


def doctor(
    json: flags.Json = False,
    quiet: flags.OnlyProblems = False,
) -> None:
    """Check this installation and what makes this machine slow.

    Versions, devices, ffmpeg, weights and disk are checked, and a drawn clip is doubled. The exit
    code is 1 if something is broken.
    """
    from interp_cli.benchmarking.doctor import diagnose, self_test

    checks: list[Check] = []

    def add(check: Check) -> None:
        checks.append(check)
        if not json and not (quiet and check.status == "ok"):
            _show(check)

    for check in diagnose():
        add(check)
    if not any(check.status == "broken" and check.essential for check in checks):
        add(self_test(_double))
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
    found = escape(with_flags(check.found))
    say(f"[{style}]{check.status:7}[/] {check.name}: {found}", results)
    if check.remedy:
        say(f"        [bold]{escape(with_flags(check.remedy))}[/]", results)
