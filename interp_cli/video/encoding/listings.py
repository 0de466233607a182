"""What the ffmpeg at hand offers: options of encoders, muxers and the program, and its filters."""

from __future__ import annotations

import functools
import re

from interp_cli.errors import EncodeError, UnknownEncoderError
from interp_cli.video.ffmpeg import ask_ffmpeg

_COMMON = ("libx264", "libx265", "libsvtav1", "libvpx-vp9", "prores_ks", "ffv1", "utvideo")
# What the program takes and its help leaves out.
_UNLISTED = ("i", "s", "vsync")


@functools.cache
def encoder_help(name: str) -> str:
    """Ffmpeg's description of an encoder.

    Raises:
        UnknownEncoderError: This ffmpeg has no such encoder.
    """
    run = ask_ffmpeg("-h", f"encoder={name}")
    if not run.stdout.startswith("Encoder "):
        raise UnknownEncoderError(
            f"unknown encoder {name!r}. Common ones: {', '.join(_COMMON)}; "
            f"all of them: ffmpeg -encoders"
        )
    return run.stdout


def is_encoder(name: str) -> bool:
    """Whether this ffmpeg has an encoder of this name."""
    try:
        return bool(encoder_help(name))
    except UnknownEncoderError:
        return False


def has_option(name: str, option: str) -> bool:
    """Whether an encoder has an option of its own of this name."""
    return option in encoder_options(name)


@functools.cache
def encoder_options(name: str) -> dict[str, str]:
    """An encoder's own options, each with its type, such as `int` or `string`.

    Raises:
        UnknownEncoderError: This ffmpeg has no such encoder.
    """
    return options_in(encoder_help(name))


@functools.cache
def muxer_options(muxer: str) -> dict[str, str]:
    """A muxer's own options, each with its type.

    Raises:
        EncodeError: This ffmpeg has no such muxer.
    """
    run = ask_ffmpeg("-h", f"muxer={muxer}")
    if not run.stdout.startswith("Muxer "):
        raise EncodeError(f"this ffmpeg has no muxer {muxer}.")
    return options_in(run.stdout)


@functools.cache
def generic_options() -> dict[str, str]:
    """The options that ffmpeg passes to any encoder and any muxer, each with its type."""
    sections = re.split(r"^(\S.*) AVOptions:$", ask_ffmpeg("-h", "full").stdout, flags=re.MULTILINE)
    found = dict(zip(sections[1::2], sections[2::2], strict=True))
    return options_in(found.get("AVCodecContext", "") + found.get("AVFormatContext", ""))


def options_in(text: str) -> dict[str, str]:
    """The options for encoding in a list that ffmpeg printed, each with its type."""
    rows = re.findall(r"^  -(\S+) .*?<(\w+) *>.*?[ \]]E[D.]\S{9}(?: |$)", text, re.MULTILINE)
    return dict(rows)


@functools.cache
def program_options() -> frozenset[str]:
    """Options of the ffmpeg program itself, those included that its help leaves out."""
    named = re.findall(r"^--?([\w?]+)", ask_ffmpeg("-h", "long").stdout, re.MULTILINE)
    return frozenset({*named, *_UNLISTED})


@functools.cache
def filters() -> dict[str, tuple[str, str]]:
    """Each filter of this ffmpeg with its marks and its kind, such as `T.` and `V->V`."""
    text = ask_ffmpeg("-filters").stdout
    rows = re.findall(r"^ ?([T.][S.][C.]?) +(\w+) +(\S+->\S+)", text, re.MULTILINE)
    return {name: (marks, kind) for marks, name, kind in rows}


@functools.cache
def packet_filters() -> frozenset[str]:
    """The bitstream filters of this ffmpeg."""
    return frozenset(ask_ffmpeg("-bsfs").stdout.partition(":")[2].split())
