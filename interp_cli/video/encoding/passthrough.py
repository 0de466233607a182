"""Options that a user hands to ffmpeg's encoders and muxer, and no others.

The ffmpeg at hand lists what its encoders and its muxer take. Options of the program itself change
inputs, frames, times or files, so only a few of them are allowed. Of the filters for the video,
those are allowed that can be switched on and off between two frames: they keep a frame's size.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Sequence

from interp_cli.errors import EncodeError, OptionError
from interp_cli.options import EncodeOptions
from interp_cli.video.encoding.containers import Container
from interp_cli.video.encoding.encoders import (
    encoder_options,
    generic_options,
    is_encoder,
    options_in,
)
from interp_cli.video.encoding.hardware import possible_encoders
from interp_cli.video.ffmpeg import run_ffmpeg

_OPTION = re.compile(r"-([A-Za-z_][\w-]*)((?::[\w#-]+)*)")


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
# Filters that can be switched, but mix, drop or move frames, or bend the picture.
_REFUSED_VIDEO = _names("""
    framestep thumbnail shuffleframes random tblend tmix tmedian metadata sidedata fillborders
    rotate perspective shear lenscorrection scroll il yadif bwdif estdif w3fdif nnedi yadif_cuda
    bwdif_cuda bwdif_vulkan
""")
# Filters that cannot be switched and change neither size nor number nor times.
_PLAIN_VIDEO = _names("""
    null copy format noformat setparams setrange setfield setsar setdar ass subtitles tonemap
    deflicker scdet showinfo siti hwupload
""")
# Filters of one sound after which it would be longer, shorter or elsewhere.
_REFUSED_AUDIO = _names("""
    adelay aloop apad areverse asetpts asetrate asettb atempo atrim rubberband silenceremove
    aselect acue arealtime asendcmd azmq
""")
_REFUSED_PACKETS = _names("setts noise dts2pts")


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
        program = _program_options()
        if name in _REFUSED or (name in program and name not in _PROGRAM):
            instead = _INSTEAD.get(name)
            return f"{word} is not for you to set" + (f"; use {instead}" if instead else "")
        if name.startswith("no") and name[2:] in program:
            return f"{word} is not for you to set"
        if name not in _PROGRAM and not _is_listed(name, encoders, muxer):
            known = ", ".join(sorted(encoders))
            return f"{word} is no option of the encoders ({known}) or of the muxer ({muxer})"
        if i + 1 == len(words):
            return f"{word} has no value"
        if fault := _filter_fault(word, name, specifier, words[i + 1]):
            return fault
    return None


def _is_listed(name: str, encoders: Collection[str], muxer: str) -> bool:
    if name in generic_options() or name in _muxer_options(muxer):
        return True
    return any(name in encoder_options(encoder) for encoder in encoders)


def _filter_fault(word: str, name: str, specifier: str, value: str) -> str | None:
    """What is wrong with the filters of an option; `None`: nothing, or it has none."""
    if name == "bsf" and (bad := next(iter(filter_names(value) & _REFUSED_PACKETS), "")):
        return f"{word}: {bad} changes the packets' times"
    if name not in ("vf", "af", "filter"):
        return None
    if "[" in value or ";" in value:
        return f"{word}: a graph with labels may change the number, the times or the size of frames"
    audio = name == "af" or specifier[1:2] == "a"
    for found in sorted(filter_names(value)):
        if found not in (_audio_filters() if audio else _video_filters()):
            known = found in _filters()
            why = "changes the number, the times or the size of the frames"
            return f"{word}: {found} {why if known else 'is no filter of this ffmpeg'}"
    return None


@functools.cache
def _program_options() -> frozenset[str]:
    """Options of the ffmpeg program itself, those included that its help leaves out."""
    text = run_ffmpeg("-h", "long").stdout
    named = re.findall(r"^--?([\w?]+)", text, re.MULTILINE)
    return frozenset({*named, *_UNLISTED})


@functools.cache
def _muxer_options(muxer: str) -> frozenset[str]:
    run = run_ffmpeg("-h", f"muxer={muxer}")
    if not run.stdout.startswith("Muxer "):
        raise EncodeError(f"this ffmpeg has no muxer {muxer}.")
    return options_in(run.stdout)


@functools.cache
def _filters() -> dict[str, tuple[str, str]]:
    """Each filter of this ffmpeg with its marks and its kind, such as `T.` and `V->V`."""
    text = run_ffmpeg("-filters").stdout
    rows = re.findall(r"^ ?([T.][S.][C.]?) +(\w+) +(\S+->\S+)", text, re.MULTILINE)
    return {name: (marks, kind) for marks, name, kind in rows}


@functools.cache
def _video_filters() -> frozenset[str]:
    switched = {n for n, (marks, kind) in _filters().items() if marks[0] == "T" and kind == "V->V"}
    return frozenset((switched | (_PLAIN_VIDEO & _filters().keys())) - _REFUSED_VIDEO)


@functools.cache
def _audio_filters() -> frozenset[str]:
    return frozenset(n for n, (_, kind) in _filters().items() if kind == "A->A") - _REFUSED_AUDIO


def filter_names(chain: str) -> set[str]:
    """The filters of a chain such as `eq=gamma=1.1,unsharp`."""
    bare = re.sub(r"\\.|'[^']*'", "", chain)
    return {re.split("[=@]", part.strip())[0] for part in bare.split(",")}


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
