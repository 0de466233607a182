"""Kinds of picture files: PNG, TIFF, OpenEXR, JPEG and WebP."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from interp_cli.video.images.float_curve import FLOAT_FORMATS

_INTEGER_FORMATS = ("gray", "ya8", "rgb24", "rgba")


@dataclass(frozen=True, slots=True)
class ImageCodec:
    """A kind of picture file.

    Attributes:
        name: Name in messages.
        endings: Suffixes of its files; the first is the usual one.
        codec: FFmpeg's decoder.
        encoder: FFmpeg's encoder.
        stores: FFmpeg's names of the pixel formats that it stores.
        signature: Possible first bytes of a file.
        arguments: Options of the encoder.
    """

    name: str
    endings: tuple[str, ...]
    codec: str
    encoder: str
    stores: tuple[str, ...]
    signature: tuple[bytes, ...]
    arguments: dict[str, str] = field(default_factory=dict)

    @property
    def holds_floats(self) -> bool:
        """Whether it stores floating-point numbers."""
        return FLOAT_FORMATS[0] in self.stores


PNG = ImageCodec(
    "PNG",
    (".png",),
    "png",
    "png",
    (*_INTEGER_FORMATS, "gray16be", "ya16be", "rgb48be", "rgba64be"),
    (b"\x89PNG",),
)
TIFF = ImageCodec(
    "TIFF",
    (".tif", ".tiff"),
    "tiff",
    "tiff",
    (*_INTEGER_FORMATS, "gray16le", "ya16le", "rgb48le", "rgba64le", *FLOAT_FORMATS),
    (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    {"compression_algo": "deflate"},
)
EXR = ImageCodec(
    "OpenEXR",
    (".exr",),
    "exr",
    "exr",
    FLOAT_FORMATS,
    (b"v/1\x01",),
    {"compression": "zip16"},
)
JPEG = ImageCodec(
    "JPEG",
    (".jpg", ".jpeg"),
    "mjpeg",
    "mjpeg",
    ("gray", "yuvj420p", "yuvj422p", "yuvj444p"),
    (b"\xff\xd8\xff",),
    {"flags": "+qscale", "global_quality": str(2 * 118)},  # the second best of its scale
)
WEBP = ImageCodec(
    "WebP",
    (".webp",),
    "webp",
    "libwebp",
    ("bgra", "yuv420p", "yuva420p"),
    (b"RIFF",),
)
IMAGE_FORMATS = (PNG, TIFF, EXR, JPEG, WEBP)


def image_codec_of(path: Path) -> ImageCodec | None:
    """The kind of picture by the suffix of a file; `None`: not a picture."""
    ending = path.suffix.lower()
    return next((kind for kind in IMAGE_FORMATS if ending in kind.endings), None)
