"""One picture file to a frame and back: PNG, TIFF, OpenEXR, JPEG and WebP, without loss of depth.

Pictures of floating-point numbers have no largest value. The network sees them through
`FloatCurve`, which brings 0 to white to 0 to 1; only synthesized pictures go through it and back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import av
import av.error
import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from interp_cli.errors import DecodeError, EncodeError, OpenError
from interp_cli.video.colour import (
    PictureFormat,
    from_rgb,
    image_of,
    native_format,
    picture_format,
    planes_of,
    to_rgb,
)
from interp_cli.video.probe import ColourTags

# Its decoders write to stderr whatever they think of a file.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

FloatPlanes = tuple[NDArray[np.float32], ...]

_FLOAT_FORMATS = ("grayf32le", "gbrpf32le", "gbrapf32le")
_INTEGER_FORMATS = ("gray", "ya8", "rgb24", "rgba")
# JPEG's own colours (JFIF).
_JFIF = ColourTags(matrix=5, full_range=True)


@dataclass(frozen=True, slots=True)
class ImageFormat:
    """A kind of picture file.

    Attributes:
        name: For people.
        endings: Of its files' names; the first is the usual one.
        codec: FFmpeg's decoder.
        encoder: FFmpeg's encoder.
        stores: Pixel formats that it holds, as FFmpeg names them.
        signature: What each file begins with.
        arguments: For the encoder.
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
        return _FLOAT_FORMATS[0] in self.stores


PNG = ImageFormat(
    "PNG",
    (".png",),
    "png",
    "png",
    (*_INTEGER_FORMATS, "gray16be", "ya16be", "rgb48be", "rgba64be"),
    (b"\x89PNG",),
)
TIFF = ImageFormat(
    "TIFF",
    (".tif", ".tiff"),
    "tiff",
    "tiff",
    (*_INTEGER_FORMATS, "gray16le", "ya16le", "rgb48le", "rgba64le", *_FLOAT_FORMATS),
    (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    {"compression_algo": "deflate"},
)
EXR = ImageFormat(
    "OpenEXR",
    (".exr",),
    "exr",
    "exr",
    _FLOAT_FORMATS,
    (b"v/1\x01",),
    {"compression": "zip16"},
)
JPEG = ImageFormat(
    "JPEG",
    (".jpg", ".jpeg"),
    "mjpeg",
    "mjpeg",
    ("gray", "yuvj420p", "yuvj422p", "yuvj444p"),
    (b"\xff\xd8\xff",),
    {"flags": "+qscale", "global_quality": str(2 * 118)},  # the best but one of its scale
)
WEBP = ImageFormat(
    "WebP",
    (".webp",),
    "webp",
    "libwebp",
    ("bgra", "yuv420p", "yuva420p"),
    (b"RIFF",),
)
IMAGE_FORMATS = (PNG, TIFF, EXR, JPEG, WEBP)


def image_format_of(path: Path) -> ImageFormat | None:
    """The kind of picture that a file's name promises; `None`: no picture."""
    ending = path.suffix.lower()
    return next((kind for kind in IMAGE_FORMATS if ending in kind.endings), None)


@dataclass(frozen=True, slots=True)
class FloatCurve:
    """Floating-point values to the range that networks know, and back.

    The square root up to white, as a camera's gamma does and as evens out photon noise;
    logarithmic above it, so that nothing is clipped; mirrored below zero.

    Attributes:
        white: The value that becomes 1.
    """

    white: float = 1.0

    def to_codes(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Any values to about -7 to 7; what is not a number becomes 0."""
        limit = 1e30
        scaled = np.nan_to_num(values / self.white, nan=0.0, posinf=limit, neginf=-limit)
        size = np.abs(scaled)
        codes = np.where(size <= 1, np.sqrt(size), 1 + 0.5 * np.log(np.maximum(size, 1)))
        return np.asarray(np.copysign(codes, scaled), np.float32)

    def to_values(self, codes: NDArray[np.float32]) -> NDArray[np.float32]:
        """The inverse of `to_codes`."""
        size = np.abs(codes)
        values = np.where(size <= 1, size * size, np.exp(2 * (np.clip(size, 1, 36) - 1)))
        return np.asarray(np.copysign(values, codes) * self.white, np.float32)


def read_image(path: Path) -> av.VideoFrame:
    """Decode a picture file, in its own pixel format.

    Raises:
        OpenError: It is not what its name says, or holds something that is not read.
        DecodeError: It is damaged.
    """
    kind = image_format_of(path)
    assert kind is not None  # for the type checker: callers pick files by their endings
    try:
        content = path.read_bytes()
    except OSError as error:
        raise OpenError(f"{path}: cannot be read ({error.strerror}).") from error
    if not content.startswith(kind.signature):
        raise OpenError(
            f"{path}: is no {kind.name} file, whatever its name says; save it again or rename it."
        )
    if b"acTL" in content[:100] or (kind is WEBP and b"ANIM" in content[:64]):
        raise OpenError(f"{path}: is an animation, not one picture; double it by itself.")
    if kind is TIFF:
        return _read_tiff(path, content)
    return _decoded(path, kind, content)


def float_planes(image: av.VideoFrame) -> FloatPlanes | None:
    """The samples of a floating-point frame: Y, or G, B, R and A; `None` for integers."""
    name = image.format.name
    half = name.replace("f16le", "f32le")
    if half not in _FLOAT_FORMATS:
        return None
    dtype = np.dtype("<f2" if name != half else "<f4")
    return tuple(
        np.frombuffer(memoryview(plane), dtype)
        .reshape(-1, plane.line_size // dtype.itemsize)[: image.height, : image.width]
        .astype(np.float32)
        for plane in image.planes
    )


def float_image(planes: FloatPlanes) -> av.VideoFrame:
    """The inverse of `float_planes`, always with 32 bits a sample."""
    name = {1: "grayf32le", 3: "gbrpf32le", 4: "gbrapf32le"}[len(planes)]
    height, width = planes[0].shape
    image = av.VideoFrame(width, height, name)
    for plane, samples in zip(image.planes, planes, strict=True):
        rows = np.frombuffer(memoryview(plane), np.float32).reshape(-1, plane.line_size // 4)
        rows[:height, :width] = samples
    return image


class FrameStorage:
    """Brings the frames of one layout into the pixel format that a kind of file stores.

    Attributes:
        kind: The kind of file.
        layout: Of the frames.
        pixel_format: What is stored.
        warnings: What is lost.
    """

    def __init__(self, kind: ImageFormat, layout: PictureFormat, source_format: str = "") -> None:
        """Settle how frames are stored.

        Args:
            kind: The kind of file.
            layout: Of the frames.
            source_format: Pixel format of the input's own picture files.

        Raises:
            EncodeError: Values of this kind cannot be stored without a decision about them.
        """
        if layout.is_float != (kind.holds_floats and (layout.is_float or kind is EXR)):
            found = "floating-point" if layout.is_float else "integer"
            fitting = ".exr or .tif" if layout.is_float else ".png or .tif"
            raise EncodeError(
                f"{kind.name} does not hold the input's {found} values; choose {fitting}."
            )
        self.kind = kind
        self.layout = layout
        self.pixel_format = _storage(kind, layout, source_format)
        lost = _lost(self.pixel_format, layout)
        self.warnings = (f"{kind.name} does not store {lost}.",) if lost else ()
        stored = av.VideoFrame(layout.width, layout.height, self.pixel_format)
        self._stored = layout if layout.is_float else _layout_of(stored, kind, layout)

    def stored(self, image: av.VideoFrame) -> av.VideoFrame:
        """The frame as it is stored; nothing is lost where that holds it."""
        layout, stored = self.layout, self._stored
        if layout != stored:
            planes = tuple(torch.from_numpy(plane.copy())[None] for plane in planes_of(image))
            rgb, alpha = to_rgb(planes, layout)
            made = [plane.numpy() for plane in from_rgb(rgb, alpha, stored)]
            image = image_of(
                tuple(plane[0].astype(stored.dtype, copy=False) for plane in made), stored
            )
        if self.pixel_format.startswith("ya16"):
            return _grey_with_opacity(image, self.pixel_format)
        if image.format.name != self.pixel_format:
            return image.reformat(format=self.pixel_format)
        return image


class ImageEncoder:
    """Turns the frames of one layout into picture files of one kind.

    Attributes:
        kind: The kind of file.
        warnings: What they cannot hold.
    """

    def __init__(
        self,
        kind: ImageFormat,
        layout: PictureFormat,
        source_format: str = "",
        curve: FloatCurve | None = None,
    ) -> None:
        """Settle how frames are stored; see `FrameStorage`.

        Args:
            kind: The kind of file.
            layout: Of the frames.
            source_format: Pixel format of the input's own picture files.
            curve: How a floating-point input's values became codes.
        """
        self.kind = kind
        self._storage = FrameStorage(kind, layout, source_format)
        self.warnings = self._storage.warnings
        self._curve = curve or FloatCurve()
        self._half = "f16" in source_format

    def encode(self, image: av.VideoFrame) -> bytes:
        """The file for a frame of the pipeline."""
        planes = float_planes(image)
        if planes is None:
            return self._encode_integers(image)
        colours = 1 if len(planes) == 1 else 3
        values = [self._curve.to_values(plane) for plane in planes[:colours]]
        return self._encode_floats((*values, *planes[colours:]))

    def encode_file(self, path: Path) -> bytes:
        """The file for one of the input's own picture files: the same values exactly."""
        image = read_image(path)
        planes = float_planes(image)
        if planes is not None:
            return self._encode_floats(planes)
        return self._encode_integers(native_format(image))

    def _encode_floats(self, planes: FloatPlanes) -> bytes:
        if self.kind is EXR:
            precision = "half" if self._half else "float"
            return _encoded(float_image(planes), EXR, {"format": precision})
        order = (0,) if len(planes) == 1 else (1, 0, 2, 3)[: len(planes)]  # B, G, R, A
        samples = np.dstack([planes[index] for index in order])
        done, content = cv2.imencode(".tif", samples)
        if not done:
            raise EncodeError("a TIFF picture could not be written.")
        return bytes(content)

    def _encode_integers(self, image: av.VideoFrame) -> bytes:
        image = self._storage.stored(image)
        name = image.format.name
        if self.kind is JPEG and name == "gray":  # FFmpeg's encoder has no grey
            grey = planes_of(image)[0]
            done, content = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, 98])
            if not done:
                raise EncodeError("a JPEG picture could not be written.")
            return bytes(content)
        arguments = {}
        if self.kind is WEBP:
            arguments = {"lossless": "1"} if name == "bgra" else {"quality": "95"}
        return _encoded(image, self.kind, arguments)


def with_colours_of(original: bytes, made: bytes, kind: ImageFormat) -> bytes:
    """A synthesized file with what the original's says about how it is to be shown.

    Colour profile, gamma, pixel density and orientation, of PNG and JPEG; a viewer that heeds
    them would show the two differently.
    """
    if kind is PNG:
        return _with_chunks(original, made)
    if kind is JPEG:
        return _with_segments(original, made)
    return made


def _decoded(path: Path, kind: ImageFormat, content: bytes) -> av.VideoFrame:
    context = av.CodecContext.create(kind.codec, "r")
    context.thread_type = "SLICE"
    assert isinstance(context, av.VideoCodecContext)
    try:
        frames = [*context.decode(av.Packet(content)), *context.decode(None)]
    except av.error.FFmpegError as error:
        raise DecodeError(f"{path}: cannot be decoded ({error.strerror}).") from error
    # FFmpeg fills up what is missing of a JPEG or an EXR file without a word.
    whole = {JPEG.name: _is_whole_jpeg, EXR.name: _is_whole_exr}.get(kind.name)
    if not frames or frames[0].is_corrupt or (whole and not whole(content)):
        raise DecodeError(f"{path}: is damaged or cut off; copy it again.")
    return frames[0]


def _is_whole_jpeg(content: bytes) -> bool:
    """Whether an end marker follows the last scan, within which there can be none."""
    return content.rfind(b"\xff\xd9") > content.rfind(b"\xff\xda")


def _is_whole_exr(content: bytes) -> bool:
    """Whether each block of lines is there; a renderer that was stopped leaves some out.

    Files of tiles or of several parts count as whole.
    """
    if content[5] & 0b10010:
        return True
    facts, position = {}, 8
    while content[position] != 0:  # attributes: name, type, size, value
        name_end = content.index(b"\0", position)
        type_end = content.index(b"\0", name_end + 1)
        size = int.from_bytes(content[type_end + 1 : type_end + 5], "little")
        facts[content[position:name_end]] = content[type_end + 5 : type_end + 5 + size]
        position = type_end + 5 + size
    top, bottom = (
        int.from_bytes(facts[b"dataWindow"][i : i + 4], "little", signed=True) for i in (4, 12)
    )
    lines = {3: 16, 4: 32, 5: 16, 6: 32, 7: 32, 8: 32, 9: 256}.get(facts[b"compression"][0], 1)
    blocks = -(-(bottom - top + 1) // lines)
    offsets = np.frombuffer(content, "<u8", blocks, position + 1)
    last = int(offsets.max())
    size = int.from_bytes(content[last + 4 : last + 8], "little")
    return bool(offsets.min() > 0) and last + 8 + size <= len(content)


def _read_tiff(path: Path, content: bytes) -> av.VideoFrame:
    """FFmpeg reads integers of every layout but big, tiled and most floating-point files."""
    pages = cv2.imcount(str(path))
    if pages > 1:
        raise OpenError(
            f"{path}: holds {pages} pictures; one a file is expected. Split it first, for "
            f"example: tiffsplit {path.name}"
        )
    try:
        image = _decoded(path, TIFF, content)
        if not image.format.name.startswith("rgb") or "f32" not in image.format.name:
            return image
    except DecodeError:
        pass
    samples = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if samples is None:
        raise DecodeError(f"{path}: cannot be decoded; it may be damaged: copy it again.")
    if samples.dtype not in (np.uint8, np.uint16, np.float32):
        raise OpenError(
            f"{path}: holds {samples.dtype} samples; unsigned 8 and 16 bits and 32-bit floating "
            "point are read. Convert it first."
        )
    channels = 1 if samples.ndim == 2 else samples.shape[2]
    samples = samples.reshape(*samples.shape[:2], channels)
    if samples.dtype == np.float32:
        order = (0,) if channels == 1 else (1, 0, 2, 3)[:channels]
        return float_image(tuple(np.asarray(samples[..., i], np.float32) for i in order))
    # Blue comes first in OpenCV.
    samples = samples[..., [2, 1, 0, 3][:channels]] if channels > 1 else samples[..., 0]
    names = {1: ("gray", "gray16le"), 3: ("rgb24", "rgb48le"), 4: ("rgba", "rgba64le")}
    name = names[channels][samples.dtype == np.uint16]
    image = av.VideoFrame(samples.shape[1], samples.shape[0], name)
    planes_of(image)[0][...] = samples
    return image


def _encoded(image: av.VideoFrame, kind: ImageFormat, arguments: dict[str, str]) -> bytes:
    context = av.CodecContext.create(kind.encoder, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height = image.width, image.height
    context.pix_fmt = image.format.name
    context.time_base = Fraction(1, 25)
    context.thread_count = 1
    context.options = {**kind.arguments, **arguments}
    image.pts, image.time_base = 0, context.time_base
    try:
        packets = [*context.encode(image), *context.encode(None)]
    except av.error.FFmpegError as error:
        raise EncodeError(f"a {kind.name} picture failed ({error.strerror}).") from error
    return b"".join(bytes(packet) for packet in packets)


def _storage(kind: ImageFormat, layout: PictureFormat, source_format: str) -> str:
    """The pixel format that holds most of a layout."""
    if layout.is_float:
        return layout.name
    if len(kind.stores) == 1:
        return kind.stores[0]
    if source_format.startswith("ya16"):  # travels as three equal colours
        layout = replace(layout, kind="gray")
    if kind is JPEG:
        if layout.kind == "gray":
            return "gray"
        shared = {(1, 1): "yuvj444p", (2, 1): "yuvj422p", (2, 2): "yuvj420p"}
        return shared.get((layout.chroma_width, layout.chroma_height), "yuvj444p")
    if kind is WEBP:
        native = layout.name if layout.name in ("yuv420p", "yuva420p") else "bgra"
        # WebP's own colours are BT.601 in limited range; others are kept as RGB.
        usual = native == "bgra" or (layout.luma_weights[0] == 0.299 and not layout.full_range)
        return native if usual else "bgra"
    deep = "64" if layout.has_alpha else "48"
    order = "be" if kind is PNG else "le"
    if layout.kind == "gray":
        name = "ya" if layout.has_alpha else "gray"
        return f"{name}16{order}" if layout.depth > 8 else {"ya": "ya8"}.get(name, name)
    name = "rgba" if layout.has_alpha else "rgb"
    return f"{name}{deep}{order}" if layout.depth > 8 else {"rgb": "rgb24"}.get(name, name)


def _lost(pixel_format: str, layout: PictureFormat) -> str:
    """What a pixel format does not hold of a layout, in words; empty: nothing."""
    components = av.VideoFormat(pixel_format, 8, 8).components
    lost = []
    if components[0].bits < layout.depth:
        lost.append(f"more than {components[0].bits} of the {layout.depth} bits")
    if layout.has_alpha and not any(c.is_alpha for c in components):
        lost.append("opacity")
    return " or ".join(lost)


def _layout_of(stored: av.VideoFrame, kind: ImageFormat, layout: PictureFormat) -> PictureFormat:
    """The layout of a frame that is stored, before its bytes are put into the file's order."""
    name = stored.format.name
    if name.startswith("ya16"):
        return replace(layout, name="rgba64le", depth=16, kind="rgb", order="RGBA", packed=True)
    if kind is WEBP and name != "bgra":
        return layout
    if layout.kind == "yuv" and layout.name.replace("yuvj", "yuv") == name.replace("yuvj", "yuv"):
        same = layout.full_range and layout.luma_weights[0] == 0.299
        if same:
            return layout
    return picture_format(native_format(stored), _JFIF)


def _grey_with_opacity(image: av.VideoFrame, name: str) -> av.VideoFrame:
    """16 bits of grey and of opacity, out of a frame of `rgba64le`."""
    samples = planes_of(image)[0]
    made = av.VideoFrame(image.width, image.height, name)
    plane = made.planes[0]
    dtype = np.dtype(">u2" if name.endswith("be") else "<u2")
    rows = np.frombuffer(memoryview(plane), dtype).reshape(-1, plane.line_size // 2)
    rows[: image.height, : 2 * image.width] = samples[..., [0, 3]].reshape(image.height, -1)
    return made


# Chunks of a PNG file that say how it is to be shown.
_PNG_SHOWN = (b"iCCP", b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"pHYs", b"eXIf")


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


def _with_chunks(original: bytes, made: bytes) -> bytes:
    shown = [chunk for name, chunk in _chunks(original) if name in _PNG_SHOWN]
    own = [chunk for name, chunk in _chunks(made) if name not in _PNG_SHOWN]
    rest = made[8 + sum(len(chunk) for _, chunk in _chunks(made)) :]
    return made[:8] + own[0] + b"".join(shown) + b"".join(own[1:]) + rest


def _with_segments(original: bytes, made: bytes) -> bytes:
    """Put the original's Exif and ICC segments behind a JPEG file's first marker."""
    kept, position = [], 2
    while original[position : position + 1] == b"\xff" and original[position + 1] != 0xDA:
        length = int.from_bytes(original[position + 2 : position + 4], "big")
        segment = original[position : position + 2 + length]
        if segment[4:10] == b"Exif\0\0" or segment[4:16] == b"ICC_PROFILE\0":
            kept.append(segment)
        position += 2 + length
    # The JFIF segment, where there is one, stays the first.
    first = 2
    if made[2:4] == b"\xff\xe0":
        first += 2 + int.from_bytes(made[4:6], "big")
    return made[:first] + b"".join(kept) + made[first:]
