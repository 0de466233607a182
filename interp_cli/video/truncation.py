"""Whether the end of a video file is missing, which FFmpeg does not report."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from interp_cli.video.health import all_within

# More than any header of YUV4MPEG2.
Y4M_HEAD_BYTES = 1024
_Y4M_FRAME = b"FRAME\n"
_OGG_PAGE = b"OggS"
_MAX_OGG_PAGE_BYTES = 27 + 255 + 255 * 255
# Identifiers of ASF's header and of the object within it that has the file's size.
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
# Elements of Matroska; a Void pads.
_EBML, _SEGMENT, _VOID = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67", b"\xec"


def y4m_missing_bytes(head: bytes, size: int, first: av.VideoFrame) -> int:
    """Number of bytes that the last frame of a YUV4MPEG2 stream lacks.

    Args:
        head: Its first `Y4M_HEAD_BYTES`.
        size: Its length.
        first: One of its frames; all have the same size.
    """
    begin = head.find(b"\n" + _Y4M_FRAME) + 1
    if not head.startswith(b"YUV4MPEG2") or not begin:
        return 0
    samples = (c.width * c.height * -(-c.bits // 8) for c in first.format.components)
    return -(size - begin) % (len(_Y4M_FRAME) + sum(samples))


def missing_bytes(
    container: InputContainer, stream: VideoStream, first: av.VideoFrame, path: Path
) -> int:
    """Number of bytes that the container announces beyond the end of the file.

    0 where an index lists every frame and all of them lie within the file: cameras put data behind
    the last box, and some writers count the outermost size wrongly.
    """
    missing = _missing_bytes(path, first)
    return 0 if missing and all_within(container, stream, path.stat().st_size) else missing


def _missing_bytes(path: Path, first: av.VideoFrame) -> int:
    """Number of bytes that the outermost sizes announce beyond the end of the file.

    FFmpeg treats the end of a truncated file as a normal end and reports no error, so this is
    read from the outermost elements: Matroska's Segment, MP4's boxes, RIFF's chunk, ASF's header,
    the last page of Ogg, YUV4MPEG2's frames. Formats without such a size, and live recordings that
    leave it open, count as complete.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(Y4M_HEAD_BYTES)
        if head.startswith(b"YUV4MPEG2"):
            return y4m_missing_bytes(head, size, first)
        if head.startswith(_EBML):
            return max(0, _matroska_end(file, size) - size)
        if head.startswith(_ASF):
            return max(0, _asf_end(head) - size)
        if head.startswith(_OGG_PAGE):
            return max(0, _ogg_end(file, size) - size)
        if head.startswith(b"RIFF"):
            return max(0, int.from_bytes(head[4:8], "little") + 8 - size)
        if head[4:8] not in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
            return 0
        position = 0
        while position + 8 <= size:
            file.seek(position)
            box = file.read(16)
            length = int.from_bytes(box[:4], "big")
            if length == 1:
                length = int.from_bytes(box[8:16], "big")
            if length < 8:  # 0: the last box runs to the end of the file
                return 0
            position += length
        return max(0, position - size)


def _asf_end(head: bytes) -> int:
    """Size of an ASF file by its file properties; 0 where it was written to a stream."""
    properties = head.find(_ASF_PROPERTIES)
    flags = int.from_bytes(head[properties + 88 : properties + 92], "little")
    if properties < 0 or flags & 1:
        return 0
    return int.from_bytes(head[properties + 40 : properties + 48], "little")


def _ogg_end(file: BinaryIO, size: int) -> int:
    """End of the last page of an Ogg file, by the lengths in its header; 0 where none is found."""
    start = max(0, size - _MAX_OGG_PAGE_BYTES)
    file.seek(start)
    tail = file.read()
    page = tail.rfind(_OGG_PAGE)
    if page < 0 or page + 27 > len(tail):
        return size + 1 if page >= 0 else 0
    count = tail[page + 26]
    return start + page + 27 + count + sum(tail[page + 27 : page + 27 + count])


def _matroska_end(file: BinaryIO, size_bytes: int) -> int:
    """End of the Segment of a Matroska file; 0 where its size is left open or cannot be read."""
    position, value = 0, b""
    while value != _SEGMENT:
        if position >= size_bytes:
            return 0
        file.seek(position)
        value = file.read(4)
        width = 4
        if value[:1] == _VOID:
            value, width = _VOID, 1
        if value not in (_EBML, _VOID, _SEGMENT):
            return 0
        file.seek(position + width)
        number = file.read(8)
        # An EBML variable-length size (RFC 8794, section 4): zeros before the first 1 count bytes.
        length = 9 - number[0].bit_length() if number else 9
        if length > len(number):
            return 0
        size = int.from_bytes(number[:length], "big") & ((1 << 7 * length) - 1)
        if size == (1 << 7 * length) - 1:
            return 0
        position += width + length + size
    return position
