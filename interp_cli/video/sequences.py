"""Picture sequences: frames out of a folder or a pattern of picture files, and into one.

Where input and output are of one kind, the input's own files are copied, byte for byte; a frame
carries the path of its file in `opaque`, so that the writer knows an original when it sees one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Generator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from interp_cli.errors import DecodeError, EncodeError
from interp_cli.resume import KeptWork
from interp_cli.video.floats import FloatCurve, float_image, float_planes
from interp_cli.video.images import (
    ImageEncoder,
    ImageFormat,
    read_image,
    with_colours_of,
)
from interp_cli.video.picture import PictureDescription
from interp_cli.video.planes import native_format
from interp_cli.video.probe import VideoInfo, tags_of
from interp_cli.video.reader import Frame, FrameReader
from interp_cli.video.sequence_names import NumberedNames, PictureFiles, find_pictures
from interp_cli.video.sidedata import side_data_of
from interp_cli.video.writer import FrameWriter, reserving

# The largest usual value of floating-point pictures, as a multiple of white, beyond which the
# network would see little of them: two stops.
_USUAL_WHITES = 4.0


class SequenceReader(FrameReader):
    """Reads the pictures of a folder or a pattern, at a constant rate.

    Attributes:
        pictures: The files.
        curve: How floating-point values become what the frames hold.
    """

    def __init__(
        self,
        source: Path,
        frame_rate: Fraction,
        start_seconds: float | None = None,
        end_seconds: float | None = None,
        *,
        white: float = 1.0,
        keep_going: bool = False,
        depth: int = 8,
    ) -> None:
        """Find the files and look at the first one.

        Args:
            source: A folder, or a pattern with `%04d` or `*`.
            frame_rate: Pictures a second.
            start_seconds: As for `VideoReader`.
            end_seconds: As for `VideoReader`.
            white: The floating-point value that the network shall see as white.
            keep_going: As for `VideoReader`.
            depth: As for `VideoReader`.

        Raises:
            OpenError: No picture is there, or the first one cannot be read.
        """
        self.pictures = find_pictures(source)
        self.curve = FloatCurve(white)
        first = read_image(self.pictures.files[0])
        super().__init__(
            _info(self.pictures, first, frame_rate), keep_going=keep_going, depth=depth
        )
        notes = (self.pictures.warning, self._brightness_note(first))
        self.warnings = tuple(note for note in notes if note)
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
        for count, (path, place) in enumerate(self._wanted):
            try:
                image = read_image(path)
            except DecodeError as error:
                self.damage = str(error).removesuffix(".")
                if self._keep_going:
                    return
                raise DecodeError(
                    f"{self.damage}. The {count} pictures before it are good: --keep-going takes "
                    "those."
                ) from error
            native = self._native(self._fitting(image, path))
            native.opaque = path
            yield Frame(native, place, 1, self.info.time_base)

    def _native(self, image: av.VideoFrame) -> av.VideoFrame:
        """In a format that the pipeline reads; floating-point values through the curve."""
        planes = float_planes(image)
        if planes is None:
            return native_format(image)
        colours = 1 if len(planes) == 1 else 3
        codes = [self.curve.to_codes(plane) for plane in planes[:colours]]
        return float_image((*codes, *planes[colours:]))

    def _fitting(self, image: av.VideoFrame, path: Path) -> av.VideoFrame:
        """The picture in the format of the first one, where that holds the same samples.

        Raises:
            DecodeError: It is of another size or format.
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

    def _brightness_note(self, first: av.VideoFrame) -> str | None:
        planes = float_planes(first)
        if planes is None:
            return None
        sizes = np.abs(planes[0][np.isfinite(planes[0])])
        usual = float(np.percentile(sizes, 99)) if sizes.size else 0.0
        if usual <= _USUAL_WHITES * self.curve.white:
            return None
        return (
            f"its values go up to about {usual:.3g}; with --white {usual:.3g} instead of "
            f"{self.curve.white:g} the network would see them better."
        )


class SequenceWriter(FrameWriter):
    """Writes a picture file for each frame, all or nothing.

    The files are written into a hidden folder and take their places when all are complete.

    Attributes:
        frames_written: Frames handed over so far.
        warnings: What the files cannot hold.
        encoder: FFmpeg's name of the encoder at work.
    """

    def __init__(
        self,
        names: NumberedNames,
        kind: ImageFormat,
        picture: PictureDescription,
        time_base: Fraction,
        frame_rate: Fraction,
        source: SequenceReader | None = None,
        kept: KeptWork | None = None,
    ) -> None:
        """Make the hidden folder.

        Args:
            names: Where the files go, and how they are called.
            kind: Their kind.
            picture: What the frames are.
            time_base: Unit of the time stamps, in seconds.
            frame_rate: Of the output: the numbers in the names count its frames.
            source: Where the frames come from, if from pictures.
            kept: Where finished pictures are kept; `None`: they are not.

        Raises:
            EncodeError: The folder cannot be written, or the kind cannot hold such frames.
        """
        self.names = names
        self.frames_written = 0
        self._output_bytes = 0
        self.encoder = kind.encoder
        own_format = source.info.pixel_format if source else ""
        self._encoder = ImageEncoder(
            kind, picture.layout, own_format, source.curve if source else None
        )
        self.warnings = (*picture.warnings, *self._encoder.warnings)
        self._copies = source is not None and source.pictures.kind is kind
        # Numbers of an input sequence are times and go on to be; others count.
        self._first_number = source.pictures.first_number if source else 1
        self._step = time_base * frame_rate if source else None
        self._first_pts: int | None = None
        self._is_float = picture.layout.is_float
        self._look: Path | None = None  # the original that was copied last
        folder = names.folder
        home = folder if folder.is_dir() else folder.parent
        self._part = home / f".{folder.name or 'frames'}.{os.getpid()}.part"
        self._kept = kept
        self._fresh: list[Path] = []  # not yet kept
        if kept is not None:
            self._part = kept.folder / "pictures"
        with reserving(folder, home):
            self._part.mkdir(exist_ok=kept is not None)

    @property
    def output_bytes(self) -> int:
        """See `FrameWriter`."""
        return self._output_bytes

    def write(self, image: av.VideoFrame, pts: int) -> None:
        """Write the file of one frame.

        Raises:
            EncodeError: The disk is full, or the picture could not be encoded.
        """
        target = self._part / self.names.name(self._number(pts))
        original = image.opaque if isinstance(image.opaque, Path) else None
        try:
            if original and self._copies:
                shutil.copyfile(original, target)
                self._look = original
            elif original and self._is_float:
                target.write_bytes(self._encoder.encode_file(original))
            else:
                target.write_bytes(self._like_the_originals(self._encoder.encode(image)))
            self._fresh.append(target)
            if self._kept is not None and len(self._fresh) == self._kept.every:
                self._kept.keep_files(self._fresh, self._part)
                self._fresh = []
        except OSError as error:
            raise EncodeError(
                f"{self.names.folder}: cannot be written ({error.strerror})."
                + ("" if self._kept and self._kept.segments else " No output was kept.")
            ) from error
        self.frames_written += 1

    def skip(self, image: av.VideoFrame | None, pts: int) -> None:
        """See `FrameWriter`."""
        self._number(pts)
        if image is not None and isinstance(image.opaque, Path) and self._copies:
            self._look = image.opaque
        self.frames_written += 1

    def close(self) -> None:
        """Give the files their places.

        Raises:
            EncodeError: That was not possible; the finished pictures stay, and what they were to
                replace, too.
        """
        folder = self.names.folder
        try:
            if self._kept is not None and self._fresh:
                self._kept.keep_files(self._fresh, self._part)
            files = sorted(self._part.iterdir())
            if len(files) != self.frames_written:
                raise EncodeError(
                    f"{folder}: {len(files)} of {self.frames_written} pictures are there; use "
                    "--overwrite in place of --resume to begin anew."
                )
            self._output_bytes = sum(path.stat().st_size for path in files)
            if folder.is_dir():
                self._move(files)
            else:
                self._part.replace(folder)
        except OSError as error:
            raise EncodeError(
                f"{folder}: the finished pictures cannot be put there ({error.strerror}); they are "
                f"kept in {self._part}."
            ) from error

    def kill(self) -> None:
        """Nothing runs beside this: a `write` under way ends by itself."""

    def abort(self) -> None:
        """Leave nothing behind; safe to call twice."""
        if self._kept is None:
            with contextlib.suppress(OSError):
                shutil.rmtree(self._part)

    def _move(self, files: list[Path]) -> None:
        """Put the files in the place of those that are there, all or none of them."""
        folder = self.names.folder
        replaced = folder / f".replaced.{os.getpid()}"
        replaced.mkdir()
        moves = [(path, replaced / path.name) for path in self.names.existing().values()]
        moves += [(path, folder / path.name) for path in files]
        moved = []
        try:
            for source, target in moves:
                source.replace(target)
                moved.append((source, target))
        except BaseException:
            for source, target in reversed(moved):
                target.replace(source)
            replaced.rmdir()
            raise
        for path in (replaced, self._part):
            shutil.rmtree(path, ignore_errors=True)

    def _number(self, pts: int) -> int:
        if self._step is None:
            return self._first_number + self.frames_written
        if self._first_pts is None:
            self._first_pts = pts
        return self._first_number + round((pts - self._first_pts) * self._step)

    def _like_the_originals(self, made: bytes) -> bytes:
        """With the colour profile and orientation of the original before."""
        if self._look is None:
            return made
        return with_colours_of(self._look.read_bytes(), made, self._encoder.kind)


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
    """What two formats of the same samples in another order have in common."""
    components = video_format.components
    return video_format.is_rgb, [(c.bits, bool(c.is_alpha), c.width, c.height) for c in components]
