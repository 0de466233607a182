"""Metadata of picture files: whether a file is complete, and how it is shown."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

# Chunks of a PNG file that say how it is shown.
_PNG_SHOWN = (b"iCCP", b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"pHYs", b"eXIf")


def is_whole_jpeg(content: bytes) -> bool:
    """Whether an end marker follows the start of the pixels, among which there can be none."""
    return content.find(b"\xff\xd9", _segments(content)[1]) > 0


def is_whole_exr(content: bytes) -> bool:
    """Whether each block of lines is there; a renderer that was stopped leaves some out.

    Files with tiles or several parts count as complete.
    """
    if content[5] & 0b10010:
        return True
    attributes, position = {}, 8
    while content[position] != 0:  # attributes: name, type, size, value
        name_end = content.index(b"\0", position)
        type_end = content.index(b"\0", name_end + 1)
        size = int.from_bytes(content[type_end + 1 : type_end + 5], "little")
        attributes[content[position:name_end]] = content[type_end + 5 : type_end + 5 + size]
        position = type_end + 5 + size
    top, bottom = (
        int.from_bytes(attributes[b"dataWindow"][i : i + 4], "little", signed=True) for i in (4, 12)
    )
    lines = {3: 16, 4: 32, 5: 16, 6: 32, 7: 32, 8: 32, 9: 256}.get(attributes[b"compression"][0], 1)
    blocks = -(-(bottom - top + 1) // lines)
    offsets = np.frombuffer(content, "<u8", blocks, position + 1)
    last = int(offsets.max())
    size = int.from_bytes(content[last + 4 : last + 8], "little")
    return bool(offsets.min() > 0) and last + 8 + size <= len(content)


def with_shown_chunks(original: bytes, made: bytes) -> bytes:
    """Copy colours, density and orientation from an original PNG file to a new one."""
    shown = [chunk for name, chunk in _chunks(original) if name in _PNG_SHOWN]
    own = [chunk for name, chunk in _chunks(made) if name not in _PNG_SHOWN]
    pixels = made[8 + sum(len(chunk) for _, chunk in _chunks(made)) :]
    return made[:8] + own[0] + b"".join(shown) + b"".join(own[1:]) + pixels


def with_shown_segments(original: bytes, made: bytes) -> bytes:
    """Copy the Exif and ICC segments of an original JPEG file to a new one."""
    kept = [s for s in _segments(original)[0] if s[4:].startswith((b"Exif\0\0", b"ICC_PROFILE\0"))]
    # The JFIF segment, where there is one, stays the first.
    first = 2
    if made[2:4] == b"\xff\xe0":
        first += 2 + int.from_bytes(made[4:6], "big")
    return made[:first] + b"".join(kept) + made[first:]


def _segments(content: bytes) -> tuple[list[bytes], int]:
    """The segments of a JPEG file before its first scan, and the position of that."""
    found, position = [], 2
    while content[position : position + 1] == b"\xff" and content[position + 1] != 0xDA:
        length = int.from_bytes(content[position + 2 : position + 4], "big")
        found.append(content[position : position + 2 + length])
        position += 2 + length
    return found, position


def _chunks(content: bytes) -> Iterable[tuple[bytes, bytes]]:
    """Name and bytes of each chunk of a PNG file, up to its pixels."""
    position = 8
    while position + 12 <= len(content):
        length = int.from_bytes(content[position : position + 4], "big")
        name = content[position + 4 : position + 8]
        if name == b"IDAT":
            return
        yield name, content[position : position + 12 + length]
        position += 12 + length
