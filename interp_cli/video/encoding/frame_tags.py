"""What a player must know of frames besides their samples, as arguments for ffmpeg."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from interp_cli.video.encoding.encoders import EncoderChoice
from interp_cli.video.pixel_format import UNTAGGED, PixelFormat, SampleLayout, usual_matrix
from interp_cli.video.probe import ColourTags, VideoInfo
from interp_cli.video.sidedata import LightLevel, MasteringDisplay

_BT709, _RGB = 1, 0


class _Meaning(NamedTuple):
    """What numbers in planes mean.

    Attributes:
        matrix: Code of the colour matrix, as in FFmpeg.
        full_range: Whether the range is full; `None` where nothing says so.
    """

    matrix: int
    full_range: bool | None


@dataclass(frozen=True, slots=True)
class FrameTags:
    """What a player must know of frames besides their samples.

    Attributes:
        pixel_format: Layout and size.
        colour: Matrix, range, primaries and transfer.
        sample_aspect: Width of a pixel over its height.
        rotation: Degrees counter-clockwise that a player turns the picture.
        mirrored: Whether a player then swaps left and right.
        chroma_location: FFmpeg's name of the place of chroma samples; empty where unknown.
        mastering_display: The display that the video was graded on.
        light_level: The greatest brightness of the video.
        warnings: What cannot be kept as it was.
    """

    pixel_format: PixelFormat
    colour: ColourTags = field(default_factory=ColourTags)
    sample_aspect: Fraction = Fraction(1)
    rotation: int = 0
    mirrored: bool = False
    chroma_location: str = ""
    mastering_display: MasteringDisplay | None = None
    light_level: LightLevel | None = None
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, info: VideoInfo, pixel_format: PixelFormat) -> FrameTags:
        """The tags of a file's video, whose frames have this pixel format."""
        warnings = []
        if info.dropped_metadata:
            warnings.append(
                f"not carried over: {', '.join(info.dropped_metadata)} (made for the original "
                "frames only, or ffmpeg cannot write it)."
            )
        if any(info.cropping):
            warnings.append(
                f"the container crops the picture to {info.width}x{info.height}: the output holds "
                "what it shows, and no more."
            )
        subsampled = pixel_format.chroma_width * pixel_format.chroma_height > 1
        return cls(
            pixel_format,
            info.colour,
            info.sample_aspect,
            info.rotation,
            info.mirrored,
            info.chroma_location if subsampled else "",
            info.mastering_display,
            info.light_level,
            tuple(warnings),
        )

    def input_arguments(self) -> list[str]:
        """Arguments for ffmpeg's raw input, before `-i`, with what NUT cannot store."""
        arguments = ["-noautorotate"]
        if self.rotation:
            arguments += ["-display_rotation", str(self.rotation)]
        if self.mirrored:
            arguments += ["-display_hflip"]
        if self.mastering_display:
            arguments += ["-mastering_display", str(self.mastering_display)]
        if self.light_level:
            arguments += ["-content_light", str(self.light_level)]
        return arguments

    def output_arguments(self, choice: EncoderChoice, user_filter: str | None = None) -> list[str]:
        """Arguments for the first video stream of ffmpeg's output.

        The raw frames are tagged by a filter: colour tags as output options would make ffmpeg
        convert them. What the encoder cannot store is converted by zscale, which rounds; FFmpeg's
        own scaler was off by up to 7 codes of 12 bits on average, and takes RGB for BT.601.

        Args:
            choice: The encoder.
            user_filter: Filters of the user, which get the frames as they are.
        """
        own, stored = self._meanings(choice)
        filters = [*self._tags(own), *([user_filter] if user_filter else [])]
        if self.pixel_format.traits != choice.traits or own != stored:
            filters += self._conversion(choice, own, stored)
        if self.sample_aspect != 1:
            filters.append(f"setsar=r={self.sample_aspect}:max=100000")
        if choice.upload:
            filters += [f"format={choice.pixel_format}", choice.upload]
        arguments = ["-filter:v:0", ",".join(filters)] if filters else []
        # The only tag that is repeated: encoders that know no range would be given limited range.
        if stored.full_range:
            arguments += ["-color_range:v:0", "pc"]
        if choice.name == "libx264" and choice.traits.grey and not stored.full_range:
            # Without this, a stream with no other tag has no range, and grey counts as full.
            arguments += ["-x264-params", "videoformat=component"]
        return arguments if choice.upload else [*arguments, "-pix_fmt:v:0", choice.pixel_format]

    def says_usual_range(self, choice: EncoderChoice) -> bool:
        """Whether what is stored has the range that players assume for untagged pictures."""
        full_range = self._meanings(choice)[1].full_range
        return choice.traits.rgb or bool(full_range) == choice.traits.grey or full_range is None

    def _meanings(self, choice: EncoderChoice) -> tuple[_Meaning, _Meaning]:
        """The meaning of the frames, and that of what the encoder stores."""
        own = _Meaning(self.colour.matrix, self.colour.full_range)
        if self.pixel_format.kind == "rgb":
            own = _Meaning(_RGB, full_range=True)
        elif self.pixel_format.kind == "gray" and own.full_range is None:
            own = own._replace(full_range=True)
        if choice.traits.rgb:
            return own, _Meaning(_RGB, full_range=True)
        if self.pixel_format.kind == "rgb":
            return own, _Meaning(_BT709, full_range=False)
        if choice.limited_range and own.full_range:
            return own, own._replace(full_range=False)
        if choice.matrices and own.matrix not in choice.matrices:
            if own.matrix != UNTAGGED:
                return own, own._replace(matrix=_BT709)
            # The encoder has to store a matrix: the one that players would assume.
            own = own._replace(matrix=self._usual_matrix)
        return own, own

    def _conversion(self, choice: EncoderChoice, own: _Meaning, stored: _Meaning) -> list[str]:
        """Filters from the tagged frames to those that the encoder takes, with their tags."""
        # Grey frames become the luma of coloured ones. FFmpeg does that exactly only for full
        # range, so that is their tag meanwhile.
        plain = "setparams=colorspace=unknown:range=full"
        # Opacity that is not stored is dropped first: zscale would lay the picture on black.
        alpha = choice.traits.alpha and self.pixel_format.has_alpha
        source = self.pixel_format.traits._replace(alpha=alpha)
        # zscale takes whole chroma samples only; odd sizes meet at full chroma.
        taken, made = (self._whole_chroma(traits) for traits in (source, choice.traits))
        filters = [plain] if self.pixel_format.kind == "gray" else []
        for traits in dict.fromkeys((source, taken)):
            filters.append(f"format={traits.planar_name}")
        if own.matrix == UNTAGGED and stored.matrix != UNTAGGED:  # unknown to zscale
            own = own._replace(matrix=self._usual_matrix)
        options = ["dither=none"]
        if stored.matrix != own.matrix:
            options.append(f"matrix={'gbr' if stored.matrix == _RGB else stored.matrix}")
        if stored.full_range != own.full_range and stored.full_range is not None:
            options.append(f"range={'full' if stored.full_range else 'limited'}")
        filters += [*self._tags(own), f"zscale={':'.join(options)}"]
        filters.append(f"format={made.planar_name}")
        if choice.traits.grey:
            filters.append(plain)
        for name in dict.fromkeys((choice.traits.planar_name, choice.pixel_format)):
            filters.append(f"format={name}")
        return [*filters, *self._tags(stored)]

    @property
    def _usual_matrix(self) -> int:
        return usual_matrix(self.pixel_format.width, self.pixel_format.height)

    def _whole_chroma(self, traits: SampleLayout) -> SampleLayout:
        frame = self.pixel_format
        odd = frame.width % traits.chroma_width or frame.height % traits.chroma_height
        return traits._replace(chroma_width=1, chroma_height=1) if odd else traits

    def _tags(self, meaning: _Meaning) -> list[str]:
        tags = [
            f"{name}={value}"
            for name, value in (
                ("colorspace", meaning.matrix),
                ("color_primaries", self.colour.primaries),
                ("color_trc", self.colour.transfer),
            )
            if value != UNTAGGED
        ]
        if meaning.full_range is not None:
            tags.append(f"range={'full' if meaning.full_range else 'limited'}")
        if self.chroma_location:
            tags.append(f"chroma_location={self.chroma_location}")
        return [f"setparams={':'.join(tags)}"] if tags else []
