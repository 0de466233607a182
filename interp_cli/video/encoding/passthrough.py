"""Options that a user hands to ffmpeg's encoders and muxer, and no others.

The ffmpeg at hand lists what its encoders and its muxer take. Options of the program itself change
inputs, frames, times or files, so only a few of them are allowed. Filters and texts are allowed
that are known to keep sizes, numbers and times, and to write no file. What an encoder makes of all
that is tried before any work, and checked in the finished file.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from interp_cli.errors import OptionError
from interp_cli.options import EncodeOptions
from interp_cli.video.encoding.allowed import (
    AUDIO_FILTERS,
    PACKET_FILTERS,
    VIDEO_FILTERS,
    WRITING_OPTIONS,
)
from interp_cli.video.encoding.containers import Container
from interp_cli.video.encoding.hardware import possible_encoders
from interp_cli.video.encoding.listings import (
    encoder_options,
    filters,
    generic_options,
    is_encoder,
    muxer_options,
    packet_filters,
    program_options,
)
from interp_cli.video.encoding.values import take_token, value_fault

_OPTION = re.compile(r"-([A-Za-z_0-9][\w-]*)((?::[\w#-]+)*)")


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Options of the program that describe a stream or set an encoder; each has a value.
_PROGRAM = _names("""
    metadata program disposition timestamp timecode tag vtag atag c codec acodec filter vf af bsf
    q qscale b ab aq ar ac channel_layout ch_layout sample_fmt guess_layout_max profile
    force_key_frames bits_per_raw_sample rc_override intra_matrix inter_matrix chroma_intra_matrix
    max_muxing_queue_size muxing_queue_data_threshold
""")
# What muxers list and must not get: it changes times.
_REFUSED = _names("""
    output_ts_offset avoid_negative_ts fflags use_editlist
""")
_UNLISTED = ("i", "s", "vsync")
_INSTEAD = {
    "vcodec": "`encoder`",
    "pix_fmt": "`pixel_format`",
    "r": "`frame_rate` or `factor`",
    "an": "`audio=False`",
    "ss": "`start_seconds`",
    "t": "`end_seconds`",
    "to": "`end_seconds`",
    "y": "`overwrite`",
}

# So many options of a filter come before the one in `WRITING_OPTIONS`.
_MAX_UNNAMED = 7


def check_ffmpeg_output(options: EncodeOptions, container: Container) -> None:
    """Refuse words for ffmpeg that would change more than the encoding.

    Args:
        options: Encoder settings.
        container: Kind of the output file.

    Raises:
        OptionError: A word is refused; the message says why.
        EncodeError: A named encoder does not exist.
    """
    words = options.ffmpeg_output
    if not words:
        return
    usual = (container.encoder, container.deep_encoder)
    video = possible_encoders(options.encoder, *usual) if options.encoder else usual
    encoders = {*filter(is_encoder, video), container.audio_fallback}
    for name, value in zip(words[::2], words[1::2], strict=False):
        if re.match(r"-(c|codec):[as]|-acodec", name) and value != "copy":
            encoder_options(value)  # raises where there is no such encoder
            encoders.add(value)
    if fault := find_fault(words, encoders, container.muxer):
        raise OptionError(f"`ffmpeg_output`: {fault}")


def find_fault(words: Sequence[str], encoders: Collection[str], muxer: str) -> str | None:
    """What is wrong with options for ffmpeg's output; `None`: nothing.

    Args:
        words: `-name`, value, `-name`, value and so on.
        encoders: Encoders that may get options.
        muxer: Muxer that may get options.

    Raises:
        EncodeError: One of the encoders does not exist.
    """
    for i in range(0, len(words), 2):
        word = words[i]
        match = _OPTION.fullmatch(word)
        if match is None:
            return f"{word!r} is no option; files and other outputs cannot be given"
        name, specifier = match.groups()
        if name in ("c", "codec") and specifier[1:2] not in ("a", "s"):
            name = "vcodec"
        program = program_options()
        if name in _REFUSED or (name in program and name not in _PROGRAM):
            instead = _INSTEAD.get(name)
            return f"{word} is not for you to set" + (f"; use {instead}" if instead else "")
        if name.startswith("no") and name[2:] in program:
            return f"{word} is not for you to set"
        types = _types(name, encoders, muxer)
        if name not in _PROGRAM and not types:
            known = ", ".join(sorted(encoders))
            return f"{word} is no option of the encoders ({known}) or of the muxer ({muxer})"
        if i + 1 == len(words):
            return f"{word} has no value"
        value = words[i + 1]
        fault = value_fault(name, types, value) or _filter_fault(name, specifier, value)
        if fault:
            return f"{word}: {fault}"
    return None


def _types(name: str, encoders: Collection[str], muxer: str) -> set[str]:
    """The types of an option in the encoders and in the muxer; none: there is no such option."""
    lists = [*map(encoder_options, encoders), muxer_options(muxer), generic_options()]
    return {listed[name] for listed in lists if name in listed}


def _filter_fault(name: str, specifier: str, value: str) -> str | None:
    """What is wrong with the filters of an option; `None`: nothing, or it has none."""
    if name == "bsf":
        return _chain_fault(_packet_chain(value), PACKET_FILTERS, packet_filters())
    if name == "af" or (name == "filter" and specifier[1:2] == "a"):
        return _chain_fault(_chain(value), AUDIO_FILTERS, filters())
    if name not in ("vf", "filter"):
        return None
    if specifier not in ("", ":v", ":v:0"):
        return "the video is stream v:0, and no other can be filtered"
    return _chain_fault(_chain(value), VIDEO_FILTERS, filters())


def _chain_fault(
    chain: list[tuple[str, str]] | None, allowed: Collection[str], known: Collection[str]
) -> str | None:
    """What is wrong with a chain of filters and their arguments; `None`: nothing."""
    if chain is None:
        return "a graph with labels may change the number, the times or the size of frames"
    for found, arguments in chain:
        name = found.partition("@")[0]
        if name not in known:
            return f"{name or repr(name)} is no filter of this ffmpeg"
        if name not in allowed:
            return (
                f"{name} is not among the filters that keep sizes, numbers and times and write no "
                "file; filter the input or the output with ffmpeg itself"
            )
        if fault := _writing_fault(name, arguments):
            return fault
    return None


def _writing_fault(name: str, arguments: str) -> str | None:
    """Say that a filter would write a file."""
    writing = WRITING_OPTIONS.get(name)
    if writing is None:
        return None
    rest, unnamed = arguments, 0
    while rest:
        word, rest = take_token(rest, ":")
        key, equals, _ = word.partition("=")
        unnamed += not equals
        rest = rest[1:]
        # Values without a name go to the options in turn.
        if key.strip().lstrip("/") == writing or unnamed > _MAX_UNNAMED:
            return f"{name} must not write a file ({writing})"
    return None


def _chain(text: str) -> list[tuple[str, str]] | None:
    """The filters of a chain as FFmpeg reads it, each with its arguments; `None`: it is a graph."""
    found, rest = [], text
    while True:
        name, rest = take_token(rest, "=,;[")
        arguments = ""
        if rest.startswith("="):
            arguments, rest = take_token(rest[1:], "[],;")
        found.append((name, arguments))
        if not rest:
            return found
        if not rest.startswith(","):
            return None
        rest = rest[1:]


def _packet_chain(text: str) -> list[tuple[str, str]]:
    """The bitstream filters of a list as FFmpeg reads it, each with its arguments."""
    found, rest = [], text
    while rest:
        one, rest = take_token(rest, ",")
        name, _, arguments = one.partition("=")
        found.append((name, arguments))
        rest = rest[1:]
    return found


def split_video_filter(words: Sequence[str]) -> tuple[str | None, list[str]]:
    """Take the filter for the video out of the options: it has to join our own.

    Returns:
        The chain, or `None`, and the other words.
    """
    chain, rest = None, []
    for name, value in zip(words[::2], words[1::2], strict=True):
        if name in ("-vf", "-filter", "-filter:v", "-filter:v:0"):
            chain = value
        else:
            rest += [name, value]
    return chain, rest
