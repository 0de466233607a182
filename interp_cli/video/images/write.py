"""A frame to a picture file, with as little loss as the kind of file allows."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import av.error
import cv2
import numpy as np
import torch

from interp_cli.errors import EncodeError
from interp_cli.video.colour import from_rgb, to_rgb
from interp_cli.video.images.codecs import EXR, JPEG, PNG, WEBP, ImageCodec
from interp_cli.video.images.float_curve import (
    FloatCurve,
    FloatPlanes,
    float_image,
    float_planes,
)
from interp_cli.video.images.metadata import with_shown_chunks, with_shown_segments
from interp_cli.video.images.read import read_image
from interp_cli.video.pixel_format import (
    PixelFormat,
    image_of,
    native_format,
    pixel_format_of,
    planes_of,
)
from interp_cli.video.probe import ColourTags

# JPEG's own colours (JFIF).
_JFIF = ColourTags(matrix=5, full_range=True)


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
