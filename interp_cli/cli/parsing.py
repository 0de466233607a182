"""Values of flags as people write them."""

from __future__ import annotations

import shlex
from fractions import Fraction

import typer

from interp_cli.errors import OptionError


def parse_ffmpeg_output(text: str) -> tuple[str, ...]:
    """Split words as a shell does.

    Raises:
        OptionError: A quotation mark has no partner.
    """
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise OptionError(f"`ffmpeg_output`: {error} in {text!r}") from None


def parse_frame_rate(text: str) -> Fraction:
    """A frame rate as people write it: `60`, `12.5`, `60000/1001`, and `59.94` for the latter.

    Raises:
        OptionError: The text is not a number.
    """
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise OptionError(
            f"a frame rate must be like 60, 59.94 or 60000/1001, not {text!r}"
        ) from None
    # Decimals round the rates of television, which are whole rates slowed by 1000/1001.
    television = Fraction(round(rate * Fraction(1001, 1000)) * 1000, 1001)
    if rate.denominator > 1 and "/" not in text and abs(rate - television) < Fraction(1, 200):
        return television
    return rate


def parse_pair(text: str) -> tuple[str, str]:
    """A name and a value, from `KEY=VALUE`."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise typer.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="--encoder-option")
    return key, value
