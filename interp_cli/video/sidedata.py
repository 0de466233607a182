"""Metadata of a video's pictures: HDR10 data, mirroring, cropping, chroma location.

Most of it is in the side data of the first picture. PyAV does not know all that FFmpeg knows; the
remainder is read from the output of `ffmpeg -i`.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import av.sidedata.sidedata

from interp_cli.errors import ResourceError
from interp_cli.video.ffmpeg import input_arguments, run_ffmpeg

# Side data that cannot be kept, by FFmpeg's names. Some of it describes single frames and would be
# wrong for new ones; for the others ffmpeg has no option.
_DROPPED = {
    "DOVI_METADATA": "Dolby Vision metadata",
    "DOVI_RPU_BUFFER": "Dolby Vision metadata",
    "DYNAMIC_HDR_PLUS": "HDR10+ metadata",
    "DYNAMIC_HDR_VIVID": "HDR Vivid metadata",
    "A53_CC": "closed captions within the picture (CEA-608/708)",
    "AMBIENT_VIEWING_ENVIRONMENT": "the ambient viewing environment",
    "ICC_PROFILE": "the ICC colour profile",
    "STEREO3D": "the 3D arrangement",
    "SPHERICAL": "the 360° projection",
}
# The same in ffmpeg's listing of a stream.
_LISTED = {
    "DOVI configuration record": "Dolby Vision metadata",
    "Stereo 3D": "the 3D arrangement",
    "Spherical Mapping": "the 360° projection",
    "ICC Profile": "the ICC colour profile",
    "Ambient viewing environment": "the ambient viewing environment",
}


@dataclass(frozen=True, slots=True)
class MasteringDisplay:
    """The display that an HDR picture was graded on (SMPTE ST 2086).

    Attributes:
        red: Chromaticity (x, y) of its red primary.
        green: Chromaticity (x, y) of its green primary.
        blue: Chromaticity (x, y) of its blue primary.
        white_point: Chromaticity (x, y) of its white.
        darkest: Least luminance, in cd/m².
        brightest: Greatest luminance, in cd/m².
    """

    red: tuple[Fraction, Fraction]
    green: tuple[Fraction, Fraction]
    blue: tuple[Fraction, Fraction]
    white_point: tuple[Fraction, Fraction]
    darkest: Fraction
    brightest: Fraction

    def __str__(self) -> str:
        """In whole units of the standard, as ffmpeg's `-mastering_display` and x265 take them."""

        def point(xy: tuple[Fraction, Fraction]) -> str:
            return ",".join(str(round(50_000 * value)) for value in xy)

        colours = f"G({point(self.green)})B({point(self.blue)})R({point(self.red)})"
        levels = ",".join(str(round(10_000 * value)) for value in (self.brightest, self.darkest))
        return f"{colours}WP({point(self.white_point)})L({levels})"


@dataclass(frozen=True, slots=True)
class LightLevel:
    """The greatest brightness of HDR content (CTA-861.3), in cd/m².

    Attributes:
        brightest_pixel: Maximum over all pixels, MaxCLL.
        brightest_frame: Maximum of the averages over a frame, MaxFALL.
    """

    brightest_pixel: int
    brightest_frame: int

    def __str__(self) -> str:
        """As ffmpeg's `-content_light` takes it."""
        return f"{self.brightest_pixel},{self.brightest_frame}"


@dataclass(frozen=True, slots=True)
class SideData:
    """Contents of the side data of a picture.

    Attributes:
        mastering_display: The display that the video was graded on; `None` where not given.
        light_level: The greatest brightness; `None` where not given.
        rotation: Degrees counter-clockwise that a player turns the picture.
        mirrored: Whether a player then swaps left and right.
        dropped_metadata: Names of what cannot be kept.
    """

    mastering_display: MasteringDisplay | None
    light_level: LightLevel | None
    rotation: int
    mirrored: bool
    dropped_metadata: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """What `ffmpeg -i` prints and PyAV does not offer.

    Attributes:
        chroma_location: Place of chroma samples: `left`, `topleft`, ...; empty where unknown.
        cropping: Columns and rows that the container cuts off: left, right, top, bottom.
        dropped_metadata: Names of what cannot be kept.
        tags: Four-letter codes of the streams that have one, by index.
        codecs: Names of the codecs that are known, by index.
    """

    chroma_location: str
    cropping: tuple[int, int, int, int]
    dropped_metadata: tuple[str, ...]
    tags: dict[int, str]
    codecs: dict[int, str]


def side_data_of(frame: av.VideoFrame) -> SideData:
    """Read the side data of a decoded picture."""
    # PyAV's stubs take the container of side data for one of them.
    try:
        items = cast(Iterable[av.sidedata.sidedata.SideData], frame.side_data)
    except ValueError:  # PyAV gives none where it does not know one of them, such as Exif in a TIFF
        return SideData(None, None, frame.rotation, False, ())
    found = {item.type.name: bytes(item) for item in items if item.type is not None}
    dropped = [text for name, text in _DROPPED.items() if name in found]
    display, light = None, None
    if "MASTERING_DISPLAY_METADATA" in found:
        display = _mastering_display(found["MASTERING_DISPLAY_METADATA"])
        if display is None:
            dropped.append("incomplete mastering display data")
    if "CONTENT_LIGHT_LEVEL" in found:
        light = LightLevel(*struct.unpack_from("<2I", found["CONTENT_LIGHT_LEVEL"]))
    rotation, mirrored = frame.rotation, False
    if "DISPLAYMATRIX" in found:
        rotation, mirrored = _orientation(found["DISPLAYMATRIX"], rotation)
    return SideData(display, light, rotation, mirrored, tuple(dict.fromkeys(dropped)))


def read_listing(path: Path, video_index: int, container: str = "") -> Listing:
    """Ask ffmpeg for what PyAV does not offer (about 20 ms).

    What ffmpeg does not print counts as unknown, so a file that it cannot open is no error here.

    Args:
        path: A file that was opened already.
        video_index: Number of its video stream.
        container: FFmpeg's name of its format.
    """
    try:
        text = run_ffmpeg("-v", "verbose", *input_arguments(path, container)).stderr
    except ResourceError:  # no ffmpeg: the encoder will report that
        text = ""
    blocks = re.split(r"^ +Stream #0:(\d+)", text, flags=re.MULTILINE)
    # Groups of streams name a stream twice, first without its description.
    streams = dict(zip(map(int, blocks[1::2]), blocks[2::2], strict=True))
    video = streams.get(video_index, "")
    place = re.search(r"[(,] ?(left|center|topleft|top|bottomleft|bottom)\)", video)
    crop = re.search(r"Frame Cropping: (\d+)/(\d+)/(\d+)/(\d+)", video)
    tags = {
        index: tag[1].strip()
        for index, block in streams.items()
        if (tag := re.search(r"\((.{4}) / 0x[0-9A-F]+\)", block.partition("\n")[0]))
    }
    codecs = {
        index: name[1]
        for index, block in streams.items()
        if (name := re.search(r": (?:Audio|Video|Subtitle|Data|Attachment): (\w+)", block))
    }
    left, right, top, bottom = map(int, crop.groups()) if crop else (0, 0, 0, 0)
    return Listing(
        chroma_location=place[1] if place else "",
        cropping=(left, right, top, bottom),
        dropped_metadata=tuple(
            text for name, text in _LISTED.items() if f"\n      {name}:" in video
        ),
        tags=tags,
        codecs={index: name for index, name in codecs.items() if name not in ("none", "unknown")},
    )


def _mastering_display(data: bytes) -> MasteringDisplay | None:
    """Read FFmpeg's AVMasteringDisplayMetadata; `None` where a part of it is missing."""
    *numbers, has_primaries, has_luminance = struct.unpack_from("<22i", data)
    pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
    if not (has_primaries and has_luminance and all(low for _, low in pairs)):
        return None
    values = [Fraction(*pair) for pair in pairs]
    red, green, blue, white_point = zip(values[:8:2], values[1:8:2], strict=True)
    return MasteringDisplay(red, green, blue, white_point, *values[8:])


def _orientation(data: bytes, rotation: int) -> tuple[int, bool]:
    """Degrees counter-clockwise and whether left and right are swapped after that."""
    matrix = struct.unpack_from("<9i", data)
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    if a * d - b * c >= 0:
        return rotation, False
    # FFmpeg flips a matrix by its first column, and measures the angle as below.
    a, c = -a, -c
    angle = math.degrees(math.atan2(b / math.hypot(b, d), a / math.hypot(a, c)))
    return round(-angle), True
