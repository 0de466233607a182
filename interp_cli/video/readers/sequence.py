"""Frames out of a picture sequence."""

from __future__ import annotations

from collections.abc import Generator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from interp_cli.errors import DecodeError
from interp_cli.options import DEFAULT_LIMITS
from interp_cli.video.images.float_curve import FloatCurve, float_image, float_planes
from interp_cli.video.images.read import read_image
from interp_cli.video.images.sequence_names import PictureFiles, find_pictures
from interp_cli.video.pixel_format import native_format
from interp_cli.video.probe import VideoInfo, tags_of
from interp_cli.video.readers.base import Frame, ThreadedReader
from interp_cli.video.sidedata import side_data_of

# Largest usual value of floating-point pictures, as a multiple of white: two stops. A network sees
# little of what is above.
_MAX_WHITES = 4.0


class SequenceReader(ThreadedReader):
    """Reads the pictures of a folder or a pattern, at a constant rate.

    Attributes:
        pictures: The files.
        curve: Mapping from floating-point values to those of the frames.
    """

    def __init__(
        self,
        source: Path | PictureFiles,
        frame_rate: Fraction,
        start_seconds: float | None = None,
        end_seconds: float | None = None,
        *,
        white_level: float = 1.0,
        max_pixels: int = DEFAULT_LIMITS.max_pixels,
        keep_going: bool = False,
        depth: int = 8,
    ) -> None:
        """Find the files and look at the first one.

        Args:
            source: A folder or a pattern with `%04d` or `*`, or the files that were found there.
            frame_rate: Pictures per second.
            start_seconds: See `VideoReader`.
            end_seconds: See `VideoReader`.
            white_level: The floating-point value that the network sees as white.
            max_pixels: Largest number of pixels of a picture.
            keep_going: See `VideoReader`.
            depth: See `VideoReader`.

        Raises:
            OpenError: There is no picture, or the first one cannot be read.
        """
        self.pictures = find_pictures(source) if isinstance(source, Path) else source
        self.curve = FloatCurve(white_level)
        self._max_pixels = max_pixels
        first = read_image(self.pictures.files[0], max_pixels)
        super().__init__(
            _info(self.pictures, first, frame_rate), keep_going=keep_going, depth=depth
        )
        warnings = (self.pictures.warning, self._brightness_warning(first))
        self.warnings = tuple(warning for warning in warnings if warning)
        self._size = (first.width, first.height)
        self._format = self._native(first).format.name
        start = Fraction(str(start_seconds or 0))
        end = None if end_seconds is None else Fraction(str(end_seconds))
        self._wanted = [
            (path, place)
            for path, place in zip(self.pictures.files, self.pictures.places, strict=True)
            if start <= place / frame_rate and (end is None or place / frame_rate < end)
        ]

    def _frames(self) -> Generator[Frame]:
        self.health.announced = len(self._wanted)
        for path, place in self._wanted:
            try:
                image = read_image(path, self._max_pixels)
            except DecodeError as error:
                if not self._keep_going:
                    raise self._damaged_picture(error) from error
                seconds = place * self.info.time_base
                self.health.leave_out(str(error).removesuffix("."), seconds)
                continue
            native = self._native(self._fitting(image, path))
            native.opaque = path
            self.health.good += 1
            yield Frame(native, place, 1, self.info.time_base)

    def _damaged_picture(self, error: DecodeError) -> DecodeError:
        return DecodeError(
            f"{str(error).removesuffix('.')}. The {self.health.good} pictures before it are good: "
            "`keep_going` leaves bad ones out."
        )

    def _native(self, image: av.VideoFrame) -> av.VideoFrame:
        """The picture in a native format, with floating-point values through the curve."""
        planes = float_planes(image)
        if planes is None:
            return native_format(image)
        colours = 1 if len(planes) == 1 else 3
        codes = [self.curve.to_codes(plane) for plane in planes[:colours]]
        return float_image((*codes, *planes[colours:]))

    def _fitting(self, image: av.VideoFrame, path: Path) -> av.VideoFrame:
        """The picture in the format of the first one, if that holds the same samples.

        Raises:
            DecodeError: Its size or format differs.
        """
        size = (image.width, image.height)
        name = self._native(image).format.name if size == self._size else ""
        if name == self._format:
            return image
        wanted = av.VideoFormat(self._format, *self._size)
        if name and _traits(av.VideoFormat(name, *size)) == _traits(wanted):
            return native_format(image).reformat(format=self._format)
        raise DecodeError(
            f"{path}: is {size[0]}x{size[1]} {image.format.name}, but the sequence began with "
            f"{self._size[0]}x{self._size[1]} {self.info.pixel_format} "
            f"({self.pictures.files[0].name}); all pictures must be alike."
        )

    def _brightness_warning(self, first: av.VideoFrame) -> str | None:
        planes = float_planes(first)
        if planes is None:
            return None
        sizes = np.abs(planes[0][np.isfinite(planes[0])])
        usual = float(np.percentile(sizes, 99)) if sizes.size else 0.0
        if usual <= _MAX_WHITES * self.curve.white_level:
            return None
        return (
            f"its values go up to about {usual:.3g}; with `white_level={usual:.3g}` instead of "
            f"{self.curve.white_level:g} the network would see them better."
        )


def _info(pictures: PictureFiles, first: av.VideoFrame, frame_rate: Fraction) -> VideoInfo:
    length = Fraction(pictures.places[-1] + 1) / frame_rate
    side = side_data_of(first)
    return VideoInfo(
        path=pictures.source,
        container=f"{pictures.kind.name} sequence",
        codec=pictures.kind.codec,
        width=first.width,
        height=first.height,
        pixel_format=first.format.name,
        colour=tags_of(first),
        sample_aspect=Fraction(1),
        rotation=side.rotation,
        interlaced=False,
        frame_rate=frame_rate,
        time_base=1 / frame_rate,
        frame_count=len(pictures.files),
        duration_seconds=float(length),
        start_seconds=Fraction(0),
        video_start_seconds=Fraction(0),
        last_duration=1,
        missing_bytes=0,
        clock_is_arbitrary=False,
        video_index=0,
        streams=(),
        chapters=0,
        metadata={},
        mirrored=side.mirrored,
    )


def _traits(video_format: av.VideoFormat) -> tuple[bool, list[tuple[int, bool, int, int]]]:
    """What two formats have in common that hold the same samples in different orders."""
    components = video_format.components
    return video_format.is_rgb, [(c.bits, bool(c.is_alpha), c.width, c.height) for c in components]
