"""Slow motion of audio, subtitles and chapters, by ffmpeg."""

from __future__ import annotations

import base64
import re
from fractions import Fraction
from pathlib import Path

from interp_cli.video.ffmpeg import open_input

# atempo takes no less in one step.
_SLOWEST_TEMPO = Fraction(1, 2)
# Audio comes out of atempo too early, by an amount that depends on the sound. Measured at 2, 4
# and 8 times the length: 3, 12 and 27 ms for a voice-like tone, 18, 48 and 101 ms for noise.
# Delayed by this, in the input's time, it is at most 41 ms early and 46 ms late; EBU R37 allows 40
# and 60.
_DELAY_MS = 8
# atempo also drops its last window: 30 ms of the input where that was measured.
_DROPPED_MS = 30
# Audio codecs and ffmpeg's encoder for each.
_ENCODERS = {"mp3": "libmp3lame", "opus": "libopus", "vorbis": "libvorbis"}
_ENCODERS |= {name: name for name in ("aac", "ac3", "eac3", "mp2", "flac", "alac")}


def sound_encoder(codec: str) -> str | None:
    """The encoder for the same codec; `None`: there is none."""
    return codec if codec.startswith("pcm_") else _ENCODERS.get(codec)


def sound_filter(stretch: int) -> str:
    """A filter that stretches audio to `stretch` times its length, at the same pitch."""
    tempo = Fraction(1, stretch)
    steps = []
    while tempo < _SLOWEST_TEMPO:
        steps.append(_SLOWEST_TEMPO)
        tempo /= _SLOWEST_TEMPO
    steps.append(tempo)
    # atempo counts samples: gaps are filled first, and the start is moved like everything else.
    parts = ["aresample=async=1", f"adelay={_DELAY_MS}:all=1"]
    parts += [f"apad=pad_dur={_DROPPED_MS - _DELAY_MS}ms", f"asetpts=PTS+{stretch - 1}*STARTPTS"]
    return ",".join([*parts, *(f"atempo={float(step):.12g}" for step in steps)])


def packet_filter(stretch: int, end_seconds: Fraction | None) -> str:
    """A bitstream filter that moves packets, such as subtitles, to their stretched times.

    Args:
        stretch: Factor of slow motion.
        end_seconds: Time from which packets are left out; `None`: all are kept.
    """
    scale = f"setts=pts=PTS*{stretch}:dts=DTS*{stretch}:duration=DURATION*{stretch}"
    if end_seconds is None:
        return scale
    return rf"noise=drop=gte(pts*tb\,{float(end_seconds):.6f}),{scale}"


def chapters_url(
    path: Path, shift_seconds: Fraction, stretch: int, end_seconds: Fraction | None
) -> str | None:
    """A file's chapters at their stretched times, as an input for ffmpeg.

    Args:
        path: The file with the chapters.
        shift_seconds: Time that is subtracted first.
        stretch: Factor of slow motion.
        end_seconds: End of what is kept, on the shifted clock; `None`: that of the file.

    Returns:
        URL of an input in the format `ffmetadata`; `None`: there is no chapter.
    """
    with open_input(path) as container:
        chapters = container.chapters()
    lines = [";FFMETADATA1"]
    for chapter in chapters:
        unit = chapter["time_base"] or Fraction(1)
        begin = max(Fraction(0), chapter["start"] * unit - shift_seconds)
        end = chapter["end"] * unit - shift_seconds
        end = end if end_seconds is None else min(end, end_seconds)
        if begin >= end:
            continue
        lines += ["[CHAPTER]", "TIMEBASE=1/1000000"]
        lines += [f"START={round(begin * stretch * 10**6)}", f"END={round(end * stretch * 10**6)}"]
        lines += [f"{_escaped(key)}={_escaped(text)}" for key, text in chapter["metadata"].items()]
    if len(lines) == 1:
        return None
    content = base64.b64encode("\n".join(lines).encode()).decode()
    return f"data:text/plain;base64,{content}"


def _escaped(text: str) -> str:
    return re.sub(r"([=;#\\\n])", r"\\\1", text)
