"""Files with facts that no encoder here writes: boxes in MP4, messages and flags in streams."""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

from interp_cli.video.ffmpeg import ffmpeg_path

# Bytes before the boxes inside a box: a sample description, and a picture's entry in it.
_SKIPPED = {b"stsd": 8, b"avc1": 78, b"hvc1": 78, b"hev1": 78}


def ffmpeg(*arguments: object) -> None:
    """Run ffmpeg and fail where it does."""
    command = [ffmpeg_path(), "-v", "error", "-y", *map(str, arguments)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def with_box(source: Path, target: Path, entry: bytes, box: bytes) -> Path:
    """Copy an MP4 file whose index stands last, with a box added to its picture's sample entry."""
    data = bytearray(source.read_bytes())
    start, end, sizes = 0, len(data), []
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", entry):
        position, length = next((p, n) for p, n, kind in _boxes(data, start, end) if kind == name)
        sizes.append(position)
        start, end = position + 8 + _SKIPPED.get(name, 0), position + length
    data[end:end] = box
    for position in sizes:
        (length,) = struct.unpack_from(">I", data, position)
        struct.pack_into(">I", data, position, length + len(box))
    target.write_bytes(data)
    return target


def _boxes(data: bytes, position: int, end: int) -> Iterator[tuple[int, int, bytes]]:
    while position + 8 <= end:
        (length,) = struct.unpack_from(">I", data, position)
        yield position, length, bytes(data[position + 4 : position + 8])
        position += length


def clean_aperture(width: int, height: int, right: int, down: int) -> bytes:
    """The box that crops a picture; its centre lies so far off the picture's."""
    return struct.pack(">I4s8i", 40, b"clap", width, 1, height, 1, right, 1, down, 1)


def dolby_vision(profile: int = 8) -> bytes:
    """The box that says that the frames carry Dolby Vision metadata."""
    record = bytes([1, 0, profile << 1, 1 << 3 | 0b101, 1 << 4]) + bytes(19)
    return struct.pack(">I4s", 32, b"dvvC") + record


def stereo() -> bytes:
    """The box that says that left and right eye stand side by side."""
    return struct.pack(">I4sIB", 13, b"st3d", 0, 2)


def hdr10_plus() -> bytes:
    """A T.35 message of SMPTE ST 2094-40, with one window and no curves."""
    fields = [(1, 2), (1000, 27), (0, 1), *[(500, 17)] * 3, (200, 17), (0, 4), (0, 10), (0, 3)]
    bits = "".join(f"{value:0{length}b}" for value, length in fields)
    body = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2)
    return bytes.fromhex("b5003c00010401") + body.to_bytes(-(-len(bits) // 8), "big")


def closed_captions() -> bytes:
    """A T.35 message of ATSC A/53 with one pair of CEA-608 bytes."""
    return bytes.fromhex("b5003147413934 03 41 ff fc9420 ff")


def with_sei(source: Path, target: Path, message: bytes, *, hevc: bool) -> Path:
    """Copy an Annex B stream with a T.35 message before each picture."""
    header = b"\x4e\x01" if hevc else b"\x06"
    body = bytes([4, len(message)]) + message + b"\x80"
    escaped, zeros = bytearray(), 0
    for byte in body:
        if zeros == 2 and byte <= 3:
            escaped.append(3)
            zeros = 0
        escaped.append(byte)
        zeros = 0 if byte else zeros + 1
    sei = b"\0\0\0\1" + header + bytes(escaped)
    data = source.read_bytes().replace(b"\0\0\0\1", b"\0\0\1")
    made = b""
    for unit in data.split(b"\0\0\1")[1:]:
        kind = unit[0] >> 1 & 63 if hevc else unit[0] & 31
        is_slice = kind < 32 if hevc else kind in (1, 5)
        made += (sei if is_slice else b"") + b"\0\0\0\1" + unit
    target.write_bytes(made)
    return target


def picture_subtitles() -> bytes:
    """A stream of PGS, the pictures of Blu-ray: three that show nothing, a tenth apart."""

    def segment(ticks: int, kind: int, payload: bytes) -> bytes:
        return b"PG" + struct.pack(">IIBH", ticks, 0, kind, len(payload)) + payload

    return b"".join(
        segment(9000 * n, 0x16, struct.pack(">HHBHBBBB", 128, 96, 0x10, n, 0x80, 0, 0, 0))
        + segment(9000 * n, 0x80, b"")
        for n in (1, 2, 3)
    )


def with_pulldown(source: Path, target: Path) -> Path:
    """Copy an MPEG-2 stream of 24000/1001 whole frames as film on DVDs is: soft telecine.

    The sequence says 30000/1001 (ISO 13818-2, table 6-4), and flags have a player show frames for
    three and two fields in turn, the first field being the top one where that fits.
    """
    data = bytearray(source.read_bytes())
    # Frames before this group of pictures, frames so far, and the present one's place on screen.
    before, count, place = 0, 0, 0
    for start in (match.start() for match in re.finditer(b"\0\0\1", data)):
        kind = data[start + 3]
        if kind == 0xB3:  # sequence header
            data[start + 7] = data[start + 7] & 0xF0 | 4
        elif kind == 0xB8:  # group of pictures
            before = count
        elif kind == 0x00:  # picture
            place = before + (data[start + 4] << 2 | data[start + 5] >> 6)
            count += 1
        elif kind == 0xB5 and data[start + 4] >> 4 == 1:  # extension of the sequence
            data[start + 5] &= ~0x08  # it is no progressive one
        elif kind == 0xB5 and data[start + 4] >> 4 == 8:  # of the picture
            top_first, repeats = ((1, 1), (0, 0), (0, 1), (1, 0))[place % 4]
            data[start + 7] = data[start + 7] & ~0x82 | top_first << 7 | repeats << 1
    target.write_bytes(data)
    return target


def interlaced(source: Path, target: Path) -> Path:
    """Half as many frames, without loss, each of two moments, the upper field first."""
    woven = ("-vf", "tinterlace=interleave_top,setfield=tff", "-c:v", "ffv1")
    ffmpeg("-i", source, *woven, "-flags", "+ilme+ildct", target)
    return target


def telecined(source: Path, target: Path) -> Path:
    """Five frames for four with 3:2 pulldown, both fields of each marked."""
    pulled = ("-vf", "telecine=pattern=23,setfield=tff", "-c:v", "libx264", "-qp", "2")
    marked = ("-x264-params", "tff=1", "-flags", "+ilme+ildct")
    ffmpeg("-i", source, *pulled, *marked, target)
    return target


def soft_telecined(source: Path, target: Path) -> Path:
    """Whole frames of MPEG-2 that are to be shown for three and two fields in turn."""
    plain = target.with_name(f"{target.stem}_plain.m2v")
    ffmpeg("-i", source, "-c:v", "mpeg2video", "-q:v", "2", plain)
    flagged = with_pulldown(plain, target.with_name(f"{target.stem}_flagged.m2v"))
    ffmpeg("-fflags", "+genpts", "-i", flagged, "-c", "copy", target)
    return target


def with_teletext(source: Path, target: Path) -> Path:
    """Copy an MPEG-TS file whose stream of private data becomes German teletext in its table."""
    descriptor = bytes.fromhex("5605 6465750901")
    out = b""
    data = source.read_bytes()
    for start in range(0, len(data), 188):
        packet = data[start : start + 188]
        if packet[1] & 0x5F == 0x50 and packet[2] == 0x00:  # the start of a program's table
            length = (packet[6] & 15) << 8 | packet[7]
            section = bytearray(packet[5 : 8 + length - 4])  # without its checksum
            entry = section.index(b"\x06", 12)
            size = (section[entry + 3] & 15) << 8 | section[entry + 4]
            section[entry + 3 : entry + 5 + size] = bytes([0xF0, len(descriptor)]) + descriptor
            length = len(section) + 4 - 3
            section[1:3] = bytes([0xB0 | length >> 8, length & 255])
            checksum = 0xFFFFFFFF
            for byte in section:
                checksum ^= byte << 24
                for _ in range(8):
                    carry = 0x04C11DB7 if checksum >> 31 else 0
                    checksum = (checksum << 1 & 0xFFFFFFFF) ^ carry
            packet = packet[:5] + section + checksum.to_bytes(4, "big")
        out += packet.ljust(188, b"\xff")
    target.write_bytes(out)
    return target
