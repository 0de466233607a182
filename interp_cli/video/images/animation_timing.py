"""Delays and number of plays of animations, read from the files themselves.

FFmpeg rounds the delays of APNG and does not offer the number of plays.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

# Meaning of a delay of 0, in seconds: in APNG as FFmpeg takes it, in WebP as browsers do.
_NO_DELAY = {"apng": Fraction(1, 15), "webp": Fraction(1, 10)}


@dataclass(frozen=True, slots=True)
class AnimationTiming:
    """Timing of an animation.

    Attributes:
        plays: Number of times that it is shown; 0: without end.
        delays: Duration of each frame, in seconds; empty where FFmpeg reads them exactly.
    """

    plays: int
    delays: tuple[Fraction, ...] = ()


def read_animation_timing(path: Path) -> AnimationTiming | None:
    """Read the timing of an animation; `None`: the file is not one."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        head = file.read(12)
        file.seek(0)
        try:
            if head.startswith(b"GIF8"):
                return AnimationTiming(_gif_plays(file))
            if head.startswith(b"\x89PNG"):
                return _apng_timing(file)
            if head.startswith(b"RIFF") and head[8:] == b"WEBP":
                return _webp_timing(file)
        except IndexError:  # cut off, which the decoder reports
            pass
    return None


def missing_bytes(path: Path) -> int:
    """Number of bytes that an animation lacks of the block within which it ends."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        if head.startswith(b"RIFF"):
            return max(0, int.from_bytes(head[4:], "little") + 8 - size)
        end = _gif_blocks(file)[0] if head.startswith(b"GIF8") else _png_end(file)
    return max(0, end - size)


def strange_bytes(path: Path) -> int:
    """Number of bytes behind the frames of a GIF or a WebP that are none of its blocks."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(4)
        if head == b"GIF8":
            return max(0, size - _gif_blocks(file)[1])
        if head == b"RIFF":
            for name, position, _ in riff_chunks(file):
                if not name.isalnum() and not name.strip().isalnum():
                    return size - position + 8
    return 0


def _gif_blocks(file: BinaryIO) -> tuple[int, int]:
    """Least end of the block that is not whole, or 0; and the end of the blocks that are known.

    Some files end between two blocks, without a trailer.
    """
    file.seek(0)
    try:
        _skip_colours(file, file.read(13)[10])
        while (kind := file.read(1)) in (b"!", b","):
            if kind == b",":
                _skip_colours(file, file.read(9)[8])
            file.seek(1, os.SEEK_CUR)
            while length := file.read(1)[0]:
                file.seek(length, os.SEEK_CUR)
    except IndexError:  # no byte there
        end = file.tell() + 1
        return end, end
    known = file.tell() - len(kind)
    rest = kind + file.read()
    # Some writers put zeros before the trailer. What stands behind the trailer is of no account.
    is_whole = not rest or rest.lstrip(b"\0").startswith(b";")
    return 0, known + len(rest) if is_whole else known


def _png_end(file: BinaryIO) -> int:
    """End of the last chunk that begins in the file; 0 where that chunk is the final one."""
    position = 8
    while True:
        file.seek(position)
        head = file.read(8)
        if head[4:] == b"IEND":
            return 0
        if len(head) < 8:
            return position + 12  # an empty chunk
        position += 12 + int.from_bytes(head[:4], "big")


def _skip_colours(file: BinaryIO, flags: int) -> None:
    if flags & 0x80:
        file.seek(3 << ((flags & 7) + 1), os.SEEK_CUR)


def _gif_plays(file: BinaryIO) -> int:
    """One more than the repetitions, which an extension before the first picture holds."""
    _skip_colours(file, file.read(13)[10])
    while file.read(1) == b"!":  # an extension
        file.read(1)
        blocks = []
        while length := file.read(1)[0]:
            blocks.append(file.read(length))
        if len(blocks) < 2:  # as in an empty comment
            continue
        if blocks[0][:11] in (b"NETSCAPE2.0", b"ANIMEXTS1.0") and blocks[1][:1] == b"\1":
            repetitions = int.from_bytes(blocks[1][1:3], "little")
            return repetitions + 1 if repetitions else 0
    return 1


def _apng_timing(file: BinaryIO) -> AnimationTiming | None:
    plays, delays = None, []
    position = 8
    while True:
        file.seek(position)
        head = file.read(8 + 26)
        if len(head) < 8:
            break
        if head[4:8] == b"acTL":
            plays = int.from_bytes(head[12:16], "big")
        elif head[4:8] == b"IDAT" and plays is None:
            return None
        elif head[4:8] == b"fcTL":
            numerator, denominator = (int.from_bytes(head[i : i + 2], "big") for i in (28, 30))
            delay = Fraction(numerator, denominator or 100)
            delays.append(delay or _NO_DELAY["apng"])
        position += 12 + int.from_bytes(head[:4], "big")
    return None if plays is None else AnimationTiming(plays, tuple(delays))


def _webp_timing(file: BinaryIO) -> AnimationTiming | None:
    plays, delays = None, []
    for name, position, size in riff_chunks(file):
        file.seek(position)
        if name == b"ANIM":
            plays = int.from_bytes(file.read(size)[4:6], "little")
        elif name == b"ANMF":
            delay = Fraction(int.from_bytes(file.read(16)[12:15], "little"), 1000)
            delays.append(delay or _NO_DELAY["webp"])
    return None if plays is None or not delays else AnimationTiming(plays, tuple(delays))


def riff_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Name of each chunk of a WebP file, with position and size of its content."""
    position = 12
    while True:
        file.seek(position)
        head = file.read(8)
        if len(head) < 8:
            return
        size = int.from_bytes(head[4:], "little")
        yield head[:4], position + 8, size
        position += 8 + size + size % 2
