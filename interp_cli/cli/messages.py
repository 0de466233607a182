"""The library's messages in the command line's words: options become flags.

A message of the library names an option in backticks, as Python spells it: `resume`,
`device="cpu"`, `encode.crf`. A terminal shows --resume, --device cpu and --crf instead.
"""

from __future__ import annotations

import re
import shlex
from functools import cache

# `name`, `group.name` or `name=value`, where the value is a word, a number or a quoted text.
_OPTION = re.compile(r"`(?:\w+\.)?(?P<name>[a-z]\w*)(?:=(?P<value>\"[^\"`]*\"|[\w.+-]+))?`")

# Values that have a flag of their own.
_VALUES = {
    ("audio", "False"): "--no-audio",
    ("fields", "deinterlace"): "--deinterlace",
    ("fields", "detelecine"): "--detelecine",
    ("scene_threshold", "None"): "--no-scenes",
}
# Options whose flag has another name; the others differ by a unit or a plural at most.
_RENAMED = {
    "audio": "no_audio",
    "fields": "deinterlace",
    "frame_rate": "fps",
    "input_frame_rate": "input_fps",
    "options": "encoder_option",
}
_UNITS = ("_seconds", "_px", "_gb", "s")


def with_flags(text: str) -> str:
    """A message of the library with flags in place of its options.

    What stands in backticks and is no option stays as it is.
    """
    return _OPTION.sub(lambda match: _flag(match) or match[0], text)


def flag_of(option: str) -> str | None:
    """The flag that sets an option, such as `--max-gap` for `max_gap_seconds`.

    Returns:
        The flag; `None` where no command has one.
    """
    return _first(_flags(), option)


def _flag(match: re.Match[str]) -> str | None:
    name, value = match["name"], match["value"]
    if value is None:
        return flag_of(name)
    value = value.strip('"')
    if own := _VALUES.get((name, value)):
        return own
    if value == "False":
        return _first(_negations(), name)
    flag = flag_of(name)
    if flag is None or value == "True":
        return flag
    return f"{flag} {shlex.quote(value)}"


def _first(flags: dict[str, str], option: str) -> str | None:
    name = _RENAMED.get(option, option)
    names = (name, *(name.removesuffix(unit) for unit in _UNITS))
    return next((flags[name] for name in names if name in flags), None)


@cache
def _flags() -> dict[str, str]:
    """The flag of each parameter of each command; those of `double` win."""
    return {name: flag for name, flag, _ in reversed(_parameters())}


@cache
def _negations() -> dict[str, str]:
    """The flags that switch something off, such as `--no-vmaf` for `vmaf`."""
    return {name: negation for name, _, negation in reversed(_parameters()) if negation}


def _parameters() -> list[tuple[str, str, str]]:
    """Name, flag and negating flag of all parameters that are options."""
    import typer

    from interp_cli.cli.app import app

    group = typer.main.get_command(app)
    return [
        (parameter.name or "", parameter.opts[0], next(iter(parameter.secondary_opts), ""))
        for command in group.commands.values()  # type: ignore[attr-defined]
        for parameter in command.params
        if parameter.param_type_name == "option"
    ]
