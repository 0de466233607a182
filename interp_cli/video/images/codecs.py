"""A picture file to a frame and back: PNG, TIFF, OpenEXR, JPEG and WebP, of any depth."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import av
import av.error
import cv2
import numpy as np
import torch

from interp_cli.errors import DecodeError, EncodeError, OpenError
from interp_cli.video.colour import from_rgb, to_rgb
from interp_cli.video.images.float_curve import (
    FLOAT_FORMATS,
    FloatCurve,
    FloatPlanes,
    float_image,
    float_planes,
)
from interp_cli.video.images.metadata import (
    is_whole_exr,
    is_whole_jpeg,
    with_shown_chunks,
    with_shown_segments,
)
from interp_cli.video.pixel_format import (
    PixelFormat,
    image_of,
    native_format,
    pixel_format_of,
    planes_of,
)
from interp_cli.video.probe import ColourTags

# Its decoders would write to stderr.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

_INTEGER_FORMATS = ("gray", "ya8", "rgb24", "rgba")
# JPEG's own colours (JFIF).
_JFIF = ColourTags(matrix=5, full_range=True)


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


def read_image(path: Path) -> av.VideoFrame:
    """Decode a picture file, in its own pixel format.

    Raises:
        OpenError: Its suffix is wrong, or its contents are not supported.
        DecodeError: It is damaged.
    """
    kind = image_codec_of(path)
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


class FrameStorage:
    """Converts frames of one layout to the pixel format that a kind of file stores.

    Attributes:
        kind: The kind of file.
        layout: Layout of the frames.
        pixel_format: FFmpeg's name of the stored pixel format.
        warnings: What is lost.
    """

    def __init__(self, kind: ImageCodec, layout: PixelFormat, source_format: str = "") -> None:
        """Choose how frames are stored.

        Args:
            kind: The kind of file.
            layout: Layout of the frames.
            source_format: Pixel format of the input's picture files; empty: it has none.

        Raises:
            EncodeError: The file would need a mapping between integers and floating point.
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
        """The frame in the stored pixel format."""
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
        warnings: What the files cannot hold.
    """

    def __init__(
        self,
        kind: ImageCodec,
        layout: PixelFormat,
        source_format: str = "",
        curve: FloatCurve | None = None,
    ) -> None:
        """Choose how frames are stored; see `FrameStorage`.

        Args:
            kind: The kind of file.
            layout: Layout of the frames.
            source_format: Pixel format of the input's picture files; empty: it has none.
            curve: Mapping from floating-point values to those of the frames.
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
        """The file for one of the input's floating-point files, without the curve."""
        planes = float_planes(read_image(path))
        assert planes is not None  # by the layout
        return self._encode_floats(planes)

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


def with_colours_of(original: bytes, made: bytes, kind: ImageCodec) -> bytes:
    """Give a synthesized file the metadata by which viewers show its original.

    These are colour profile, gamma, pixel density and orientation of PNG and JPEG. Without them a
    viewer would show the two differently.
    """
    if kind is PNG:
        return with_shown_chunks(original, made)
    if kind is JPEG:
        return with_shown_segments(original, made)
    return made


def _decoded(path: Path, kind: ImageCodec, content: bytes) -> av.VideoFrame:
    context = av.CodecContext.create(kind.codec, "r")
    context.thread_type = "SLICE"
    assert isinstance(context, av.VideoCodecContext)
    try:
        frames = [*context.decode(av.Packet(content)), *context.decode(None)]
    except av.error.FFmpegError as error:
        raise DecodeError(f"{path}: cannot be decoded ({error.strerror}).") from error
    if not frames or frames[0].is_corrupt or not _is_whole(kind, content):
        raise DecodeError(f"{path}: is damaged or cut off; copy it again.")
    return frames[0]


def _is_whole(kind: ImageCodec, content: bytes) -> bool:
    """Whether a file is complete; FFmpeg would fill in what is missing without an error."""
    try:
        if kind is JPEG:
            return is_whole_jpeg(content)
        return kind is not EXR or is_whole_exr(content)
    except (KeyError, IndexError, ValueError):  # not even its header is complete
        return False


def _read_tiff(path: Path, content: bytes) -> av.VideoFrame:
    """Read a TIFF file: with FFmpeg, or with OpenCV if it is big, tiled or floating-point."""
    pages = cv2.imcount(str(path))
    if pages > 1:
        raise OpenError(
            f"{path}: holds {pages} pictures; one per file is expected. Split it first, for "
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
    if samples.dtype == np.uint8 and channels == 4:  # OpenCV multiplies colours by opacity
        raise OpenError(
            f"{path}: 8 bits with opacity are read from ordinary TIFF files alone, not from tiled "
            "or BigTIFF ones. Convert it first."
        )
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


def _encoded(image: av.VideoFrame, kind: ImageCodec, arguments: dict[str, str]) -> bytes:
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


def _storage(kind: ImageCodec, layout: PixelFormat, source_format: str) -> str:
    """The pixel format that holds most of a layout."""
    if layout.is_float:
        return layout.name
    if len(kind.stores) == 1:
        return kind.stores[0]
    if source_format.startswith("ya16"):  # decoded as three equal colours
        layout = replace(layout, kind="gray")
    if kind is JPEG:
        if layout.kind == "gray":
            return "gray"
        shared = {(1, 1): "yuvj444p", (2, 1): "yuvj422p", (2, 2): "yuvj420p"}
        return shared.get((layout.chroma_width, layout.chroma_height), "yuvj444p")
    if kind is WEBP:
        # Lossless WebP stores only RGB. Lossy input stays lossy in new pictures.
        lossy = layout.name == source_format and source_format in ("yuv420p", "yuva420p")
        return source_format if lossy else "bgra"
    deep = "64" if layout.has_alpha else "48"
    order = "be" if kind is PNG else "le"
    if layout.kind == "gray":
        name = "ya" if layout.has_alpha else "gray"
        return f"{name}16{order}" if layout.depth > 8 else {"ya": "ya8"}.get(name, name)
    name = "rgba" if layout.has_alpha else "rgb"
    return f"{name}{deep}{order}" if layout.depth > 8 else {"rgb": "rgb24"}.get(name, name)


def _lost(pixel_format: str, layout: PixelFormat) -> str:
    """Names of what a pixel format does not hold of a layout; empty: nothing."""
    components = av.VideoFormat(pixel_format, 8, 8).components
    lost = []
    if components[0].bits < layout.depth:
        lost.append(f"more than {components[0].bits} of the {layout.depth} bits")
    if layout.has_alpha and not any(c.is_alpha for c in components):
        lost.append("opacity")
    return " or ".join(lost)


def _layout_of(stored: av.VideoFrame, kind: ImageCodec, layout: PixelFormat) -> PixelFormat:
    """The layout of a stored frame, before its bytes are put into the file's order."""
    name = stored.format.name
    if name.startswith("ya16"):
        return replace(layout, name="rgba64le", depth=16, kind="rgb", order="RGBA", packed=True)
    if kind is WEBP and name != "bgra":
        return layout
    if layout.kind == "yuv" and layout.name.replace("yuvj", "yuv") == name.replace("yuvj", "yuv"):
        same = layout.full_range and layout.luma_weights[0] == 0.299
        if same:
            return layout
    return pixel_format_of(native_format(stored), _JFIF)


def _grey_with_opacity(image: av.VideoFrame, name: str) -> av.VideoFrame:
    """A frame with 16 bits of grey and of opacity, from one of `rgba64le`."""
    samples = planes_of(image)[0]
    made = av.VideoFrame(image.width, image.height, name)
    plane = made.planes[0]
    dtype = np.dtype(">u2" if name.endswith("be") else "<u2")
    rows = np.frombuffer(memoryview(plane), dtype).reshape(-1, plane.line_size // 2)
    rows[: image.height, : 2 * image.width] = samples[..., [0, 3]].reshape(image.height, -1)
    return made
