"""What a player must know of a picture beside its samples, and how ffmpeg is told."""

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
        full_range: Or limited; `None` where nothing says so.
    """

    matrix: int
    full_range: bool | None


@dataclass(frozen=True, slots=True)
class FrameTags:
    """What a player must know beside the samples.

    Attributes:
        layout: Pixel format and size.
        colour: Matrix, range, primaries and transfer.
        sample_aspect: Width of a pixel over its height.
        rotation: Degrees counter-clockwise that a player turns the picture.
        mirrored: Whether a player then swaps left and right.
        chroma_location: Where chroma samples sit, as FFmpeg names it; empty where unknown.
        mastering_display: The display that it was graded on.
        light_level: How bright it gets.
        warnings: What could not be kept as it was, or had to be guessed.
    """

    layout: PixelFormat
    colour: ColourTags = field(default_factory=ColourTags)
    sample_aspect: Fraction = Fraction(1)
    rotation: int = 0
    mirrored: bool = False
    chroma_location: str = ""
    mastering_display: MasteringDisplay | None = None
    light_level: LightLevel | None = None
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, info: VideoInfo, layout: PixelFormat) -> FrameTags:
        """The description of a file's video, whose frames have `layout`."""
        warnings = []
        if info.dropped_metadata:
            warnings.append(
                f"not carried over: {', '.join(info.dropped_metadata)} (made for the original "
                "frames alone, or ffmpeg has no way to write it)."
            )
        if any(info.cropping):
            warnings.append(
                f"the container crops the picture to {info.width}x{info.height}: the output holds "
                "what it shows, and no more."
            )
        return cls(
            layout,
            info.colour,
            info.sample_aspect,
            info.rotation,
            info.mirrored,
            info.chroma_location if layout.chroma_width * layout.chroma_height > 1 else "",
            info.mastering_display,
            info.light_level,
            tuple(warnings),
        )

    def input_arguments(self) -> list[str]:
        """For ffmpeg's raw input, before its `-i`: what NUT has no place for."""
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

    def output_arguments(self, choice: EncoderChoice, wished: str | None = None) -> list[str]:
        """For the first video stream of ffmpeg's output.

        The raw frames are tagged by a filter: colour tags as output options would make ffmpeg
        convert them. What the encoder cannot store is converted by zscale, which rounds; FFmpeg's
        own scaler was off by up to 7 codes of 12 bits on average, and takes RGB for BT.601.

        Args:
            choice: The encoder.
            wished: A filter of the user's for the frames as they are.
        """
        own, stored = self._meanings(choice)
        filters = [*self._tags(own), *([wished] if wished else [])]
        if self.layout.traits != choice.traits or own != stored:
            filters += self._conversion(choice, own, stored)
        if self.sample_aspect != 1:
            filters.append(f"setsar=r={self.sample_aspect}:max=100000")
        if choice.upload:
            filters += [f"format={choice.pixel_format}", choice.upload]
        arguments = ["-filter:v:0", ",".join(filters)] if filters else []
        # The one tag that must be said twice: encoders that know no range would be given limited.
        if stored.full_range:
            arguments += ["-color_range:v:0", "pc"]
        if choice.name == "libx264" and choice.traits.grey and not stored.full_range:
            # Without this, a stream with no other tag says no range, and grey counts as full.
            arguments += ["-x264-params", "videoformat=component"]
        return arguments if choice.upload else [*arguments, "-pix_fmt:v:0", choice.pixel_format]

    def says_usual_range(self, choice: EncoderChoice) -> bool:
        """Whether what is stored has the range that players take untagged pictures to have."""
        full_range = self._meanings(choice)[1].full_range
        return choice.traits.rgb or bool(full_range) == choice.traits.grey or full_range is None

    def _meanings(self, choice: EncoderChoice) -> tuple[_Meaning, _Meaning]:
        """Of the frames, and of what the encoder stores."""
        own = _Meaning(self.colour.matrix, self.colour.full_range)
        if self.layout.kind == "rgb":
            own = _Meaning(_RGB, full_range=True)
        elif self.layout.kind == "gray" and own.full_range is None:
            own = own._replace(full_range=True)
        if choice.traits.rgb:
            return own, _Meaning(_RGB, full_range=True)
        if self.layout.kind == "rgb":
            return own, _Meaning(_BT709, full_range=False)
        if choice.limited_range and own.full_range:
            return own, own._replace(full_range=False)
        if choice.matrices and own.matrix not in choice.matrices:
            if own.matrix != UNTAGGED:
                return own, own._replace(matrix=_BT709)
            # The encoder must say something: what players would assume.
            own = own._replace(matrix=usual_matrix(self.layout.width, self.layout.height))
        return own, own

    def _conversion(self, choice: EncoderChoice, own: _Meaning, stored: _Meaning) -> list[str]:
        """Filters from the tagged frames to those that the encoder takes, tagged in turn."""
        # Grey frames become the luma of coloured ones, which FFmpeg does exactly for full range
        # alone, and so they are called while their layout changes.
        plain = "setparams=colorspace=unknown:range=full"
        # Opacity that is not stored is dropped first: zscale would lay the picture on black.
        source = self.layout.traits._replace(alpha=choice.traits.alpha and self.layout.has_alpha)
        # zscale takes whole chroma samples only; odd sizes meet at full chroma.
        taken, made = (self._whole_chroma(traits) for traits in (source, choice.traits))
        filters = [plain] if self.layout.kind == "gray" else []
        for traits in dict.fromkeys((source, taken)):
            filters.append(f"format={traits.planar_name}")
        if (
            own.matrix == UNTAGGED and stored.matrix != UNTAGGED
        ):  # zscale cannot convert from what is unknown
            own = own._replace(matrix=usual_matrix(self.layout.width, self.layout.height))
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

    def _whole_chroma(self, traits: SampleLayout) -> SampleLayout:
        odd = self.layout.width % traits.chroma_width or self.layout.height % traits.chroma_height
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
