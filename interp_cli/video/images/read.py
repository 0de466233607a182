"""A picture file to a frame, in its own pixel format and of any depth."""

from __future__ import annotations

from pathlib import Path

import av
import av.error
import cv2
import numpy as np

from interp_cli.errors import DecodeError, OpenError
from interp_cli.options import DEFAULT_LIMITS, InputLimits
from interp_cli.video.images.codecs import EXR, JPEG, TIFF, WEBP, ImageCodec, image_codec_of
from interp_cli.video.images.float_curve import float_image
from interp_cli.video.images.metadata import is_whole_exr, is_whole_jpeg
from interp_cli.video.pixel_format import planes_of


def read_image(path: Path, max_pixels: int = DEFAULT_LIMITS.max_pixels) -> av.VideoFrame:
    """Decode a picture file, in its own pixel format.

    Args:
        path: The file.
        max_pixels: Largest number of pixels.

    Raises:
        OpenError: Its suffix is wrong, it is too large, or its contents are not supported.
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
        return _read_tiff(path, content, max_pixels)
    return _decoded(path, kind, content, max_pixels)


def _decoded(path: Path, kind: ImageCodec, content: bytes, max_pixels: int) -> av.VideoFrame:
    context = av.CodecContext.create(kind.codec, "r")
    context.thread_type = "SLICE"
    context.options = InputLimits(max_pixels).decoder_options
    assert isinstance(context, av.VideoCodecContext)
    try:
        frames = [*context.decode(av.Packet(content)), *context.decode(None)]
    except av.error.ArgumentError as error:
        raise _too_large(path, max_pixels) from error
    except av.error.FFmpegError as error:
        raise DecodeError(f"{path}: cannot be decoded ({error.strerror}).") from error
    if frames and frames[0].width * frames[0].height > max_pixels:
        raise _too_large(path, max_pixels)
    if not frames or frames[0].is_corrupt or not _is_whole(kind, content):
        raise DecodeError(f"{path}: is damaged or cut off; copy it again.")
    return frames[0]


def _too_large(path: Path, max_pixels: int) -> OpenError:
    return OpenError(
        f"{path}: its size is impossible, or exceeds {max_pixels:,} pixels. Doubling accepts more "
        "with `max_pixels`."
    )


def _is_whole(kind: ImageCodec, content: bytes) -> bool:
    """Whether a file is complete; FFmpeg would fill in what is missing without an error."""
    try:
        if kind is JPEG:
            return is_whole_jpeg(content)
        return kind is not EXR or is_whole_exr(content)
    except (KeyError, IndexError, ValueError):  # not even its header is complete
        return False


def _count_pages(path: Path, content: bytes) -> int:
    try:
        str(path).encode()
    except UnicodeEncodeError:  # bytes that are not UTF-8; OpenCV crashes on such a name
        pages = cv2.imdecodemulti(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)[1]
        return len(pages)
    return cv2.imcount(str(path))


def _read_tiff(path: Path, content: bytes, max_pixels: int) -> av.VideoFrame:
    """Read a TIFF file: with FFmpeg, or with OpenCV if it is big, tiled or floating-point."""
    pages = _count_pages(path, content)
    if pages > 1:
        raise OpenError(
            f"{path}: holds {pages} pictures; one per file is expected. Split it first, for "
            f"example: tiffsplit {path.name}"
        )
    try:
        image = _decoded(path, TIFF, content, max_pixels)
        if not image.format.name.startswith("rgb") or "f32" not in image.format.name:
            return image
    except DecodeError:
        pass
    try:
        samples = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:  # its own limits of width, height and pixels
        raise OpenError(f"{path}: cannot be decoded by OpenCV ({error.err}).") from error
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
