"""What ffmpeg's encoders take, and defaults for the common ones."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from interp_cli.errors import EncodeError
from interp_cli.options import EncodeOptions
from interp_cli.video.encoding.listings import (
    encoder_help,
    encoder_options,
    generic_options,
    has_option,
)
from interp_cli.video.encoding.values import value_fault
from interp_cli.video.ffmpeg import ask_ffmpeg, first_reason
from interp_cli.video.pixel_format import PixelFormat, SampleLayout, format_traits, luma_weights

# Smallest side of a picture that FFV1 can cut into slices.
_MIN_SLICED = 32
# Options that set the quality, so that the default must not.
_RATE_CONTROL = {"b", "qp", "q", "qscale", "crf", "cq", "global_quality", "lossless", "rc"}
# Options of the program that set the quality of any encoder.
_PROGRAM_QUALITY = frozenset({"q", "qscale"})
# Generic options for the muxer, and those that change the shape or the times of the picture.
_NOT_ENCODING = frozenset(
    {"aspect", "sar", "ar", "ab", "ch_layout", "output_ts_offset", "avoid_negative_ts", "fflags"}
)
_VIDEO_SPECIFIERS = frozenset({"", "v", "v:0"})


@dataclass(frozen=True, slots=True)
class EncoderDefaults:
    """Visually lossless settings of an encoder, and its limits: one row of `ENCODERS`.

    Attributes:
        crf: Default quality, on the encoder's own scale.
        preset: Default preset.
        arguments: Arguments that it always gets.
        quality: Its option for constant quality.
        global_arguments: Arguments that ffmpeg needs before its inputs.
        refused: Pattern of the pixel formats that it lists and no player shows.
        pixel_formats: Pixel formats that it takes, where ffmpeg's list is wrong.
        even: Whether a size must be a multiple of the chroma samples.
        upload: Filter that brings frames to the device.
        limited_range: Whether it takes only limited range.
        matrices: Colour matrices that it can store itself (H.273); none: all.
        says_range: Whether it stores the range itself, without the container.
        aliases: Names of the codec that stand for this encoder.
    """

    crf: int | None = None
    preset: str | None = None
    arguments: tuple[str, ...] = ()
    quality: str = "-crf"
    global_arguments: tuple[str, ...] = ()
    refused: str | None = None
    pixel_formats: tuple[str, ...] = ()
    even: bool = False
    upload: str = ""
    limited_range: bool = False
    matrices: tuple[int, ...] = ()
    says_range: bool = True
    aliases: tuple[str, ...] = ()


def _device_encoders() -> dict[str, EncoderDefaults]:
    """The encoders in graphics hardware, each with its vendor's option for constant quality."""
    makers = {
        # It lists more, but stores at most 10 bits, and some formats with fewer bits than given.
        "nvenc": EncoderDefaults(
            19,
            "p5",
            ("-rc:v:0", "vbr", "-b:v:0", "0"),
            "-cq",
            pixel_formats=("yuv420p", "p010le", "yuv444p", "yuv444p10msble", "gbrp"),
            even=True,
        ),
        "qsv": EncoderDefaults(20, "slower", (), "-global_quality", even=True),
        "videotoolbox": EncoderDefaults(65, None, (), "-q", even=True),
        # Its frames must be uploaded; the first render node is the usual one.
        "vaapi": EncoderDefaults(
            20,
            None,
            ("-rc_mode:v:0", "CQP"),
            "-global_quality",
            ("-vaapi_device", "/dev/dri/renderD128"),
            pixel_formats=("nv12", "p010le"),
            even=True,
            upload="hwupload",
        ),
    }
    found = {
        f"{codec}_{maker}": encoder
        for maker, encoder in makers.items()
        for codec in ("h264", "hevc", "av1", "vp9")
    }
    for name, encoder in found.items():
        if name.startswith("hevc"):
            found[name] = replace(encoder, arguments=(*encoder.arguments, "-tag:v:0", "hvc1"))
    return found


ENCODERS = {
    "libx264": EncoderDefaults(17, "medium", even=True, aliases=("h264", "avc", "x264")),
    "libx264rgb": EncoderDefaults(15, "medium"),
    # hvc1: the tag without which Apple's players refuse HEVC; x265 logs to stderr by itself. No
    # decoder of FFmpeg's shows the opacity that it can store as a second layer.
    "libx265": EncoderDefaults(
        18,
        "fast",
        ("-tag:v:0", "hvc1", "-x265-params", "log-level=error"),
        refused="yuva",
        even=True,
        aliases=("h265", "hevc", "x265"),
    ),
    "libsvtav1": EncoderDefaults(22, "8", aliases=("av1",)),
    # Of formats with opacity, browsers know yuva420p alone, and libvpx refuses the others.
    "libvpx-vp9": EncoderDefaults(
        22,
        None,
        ("-b:v", "0", "-row-mt", "1", "-deadline", "good", "-cpu-used", "4"),
        refused="yuva4[24][24]|yuva420p1|gbrap",
        aliases=("vp9",),
    ),
    # Version 3, so that damage can be found slice by slice.
    "ffv1": EncoderDefaults(None, None, ("-level", "3", "-slicecrc", "1"), says_range=False),
    "prores_ks": EncoderDefaults(
        None, None, ("-vendor", "apl0"), limited_range=True, aliases=("prores",)
    ),
    # Its variants are BT.601 and BT.709.
    "utvideo": EncoderDefaults(even=True, matrices=(1, 5, 6), says_range=False),
    **_device_encoders(),
}


@dataclass(frozen=True, slots=True)
class EncoderChoice:
    """An encoder with its arguments.

    Attributes:
        name: ffmpeg's name of the encoder.
        pixel_format: Pixel format that it stores.
        traits: Samples of that pixel format.
        arguments: Arguments for ffmpeg, after `-c:v:0`.
        global_arguments: Arguments for ffmpeg, before its inputs.
        upload: Filter that brings frames to the encoder's device; empty for software.
        limited_range: Whether it takes only limited range.
        matrices: Colour matrices that it can store itself (H.273); none: all.
        says_range: Whether it stores the range itself, without the container.
        warnings: What is not stored as it was.
    """

    name: str
    pixel_format: str
    traits: SampleLayout
    arguments: tuple[str, ...]
    global_arguments: tuple[str, ...]
    upload: str
    limited_range: bool
    matrices: tuple[int, ...]
    says_range: bool
    warnings: tuple[str, ...]


def choose_encoder(name: str, layout: PixelFormat, options: EncodeOptions) -> EncoderChoice:
    """Choose an encoder's arguments for frames of a given layout.

    Args:
        name: ffmpeg's name of the encoder.
        layout: Layout of the frames that it will get.
        options: Encoder settings, which override the defaults.

    Raises:
        EncodeError: There is no such encoder, or it has no such setting or pixel format.
    """
    encoder = ENCODERS.get(name, EncoderDefaults(says_range=False))
    pixel_format, warnings = _choose_format(name, encoder, layout, options.pixel_format)
    if layout.kind != "rgb" and not format_traits(pixel_format).rgb:
        if encoder.limited_range and layout.full_range:
            warnings.append(f"{name} stores limited range: frames are converted to it.")
        weights = (luma_weights(matrix) for matrix in encoder.matrices)
        if encoder.matrices and layout.kind == "yuv" and layout.luma_weights not in weights:
            warnings.append(f"{name} cannot say the colour matrix: frames are converted to BT.709.")
    arguments = [*encoder.arguments]
    if name == "ffv1" and min(layout.width, layout.height) < _MIN_SLICED:
        arguments = ["-level", "1"]
    requested = {key.partition(":")[0] for key, _ in options.options}
    requested |= {word[1:].partition(":")[0] for word in options.ffmpeg_output[::2]}
    for flag, value, default in (
        (encoder.quality, options.crf, None if requested & _RATE_CONTROL else encoder.crf),
        ("-preset", options.preset, encoder.preset),
    ):
        known = has_option(name, flag[1:]) or flag in ("-global_quality", "-q")  # of all encoders
        if value is not None and not known:
            raise EncodeError(f"{name} has no {flag[1:]} setting; use `options`.")
        if value is not None or default is not None:
            arguments += [f"{flag}:v:0", str(default if value is None else value)]
    arguments += further_options(name, options.options)
    return EncoderChoice(
        name,
        pixel_format,
        format_traits(pixel_format),
        tuple(arguments),
        encoder.global_arguments,
        encoder.upload,
        encoder.limited_range,
        encoder.matrices,
        encoder.says_range,
        tuple(warnings),
    )


def further_options(name: str, options: Sequence[tuple[str, str]]) -> list[str]:
    """Arguments for options that the user names; nothing but the encoder may take them.

    Args:
        name: ffmpeg's name of the encoder.
        options: Names and values.

    Raises:
        EncodeError: The encoder has no such option, or it must not be set.
    """
    known = {**generic_options(), **encoder_options(name)}
    arguments = []
    for key, value in options:
        bare, _, specifier = key.partition(":")
        if bare not in known.keys() | _PROGRAM_QUALITY or specifier not in _VIDEO_SPECIFIERS:
            raise EncodeError(
                f"{name} has no option {key!r}; all of them: ffmpeg -h encoder={name}"
            )
        if bare in _NOT_ENCODING:
            raise EncodeError(f"{bare} is no option for encoding: leave it out.")
        types = {known[bare]} if bare in known else set()
        if fault := value_fault(bare, types, value):
            raise EncodeError(f"{name}: the option {bare}: {fault}.")
        arguments += [f"-{key}", value]
    return arguments


def encoder_named(name: str) -> str:
    """Ffmpeg's name of an encoder that may be named by its codec: `libx265` for `hevc`."""
    aliases = {alias: found for found, row in ENCODERS.items() for alias in row.aliases}
    return aliases.get(name, name)


@functools.cache
def why_not(choice: EncoderChoice, layout: PixelFormat) -> str:
    """Try to encode a few frames of this size and format.

    Returns:
        The reason why that fails; empty where it works.
    """
    filters = [f"format={choice.pixel_format}", *([choice.upload] if choice.upload else [])]
    run = ask_ffmpeg(
        *("-v", "error", "-nostdin", *choice.global_arguments),
        *("-f", "lavfi", "-i", f"color=gray:size={layout.width}x{layout.height}:rate=25"),
        *("-frames:v", "3", "-filter:v:0", ",".join(filters)),
        *("-c:v:0", choice.name, *choice.arguments, "-f", "null", "-"),
    )
    return "" if run.returncode == 0 else first_reason(run)


def _choose_format(
    name: str, encoder: EncoderDefaults, layout: PixelFormat, requested: str | None
) -> tuple[str, list[str]]:
    """The pixel format that is stored, and warnings for what that loses."""
    listed = encoder.pixel_formats or _pixel_formats(encoder_help(name))
    listed = tuple(f for f in listed if not re.match(encoder.refused or "$", f))
    accepted = tuple(f for f in listed if _divides(f, layout)) if encoder.even else listed
    wanted = layout.name.replace("yuvj", "yuv")  # full range is a tag of its own nowadays
    size = ""
    if (requested or wanted) in set(listed) - set(accepted):
        size = f" at {layout.width}x{layout.height}"
    if requested and accepted and requested not in accepted:
        raise EncodeError(f"{name} cannot store {requested}{size}; it takes {', '.join(accepted)}.")
    pixel_format = requested or _nearest(wanted, accepted)
    stored = format_traits(pixel_format)
    if requested or (stored == layout.traits and stored.depth):
        return pixel_format, []
    without = " without its opacity" if layout.has_alpha > stored.alpha else ""
    return pixel_format, [
        f"{name} cannot store {wanted}{size}: frames are converted to {pixel_format}{without}; "
        "choose another `encoder` to keep them (ffv1 stores nearly everything)."
    ]


def _pixel_formats(text: str) -> tuple[str, ...]:
    marker = "Supported pixel formats:"
    lines = (line.partition(marker) for line in text.splitlines() if marker in line)
    return next((tuple(rest.split()) for _, _, rest in lines), ())


def _divides(name: str, layout: PixelFormat) -> bool:
    """Whether the frames are a whole number of chroma samples wide and high."""
    traits = format_traits(name)
    return not (layout.width % traits.chroma_width or layout.height % traits.chroma_height)


def _nearest(name: str, accepted: tuple[str, ...]) -> str:
    """The accepted format with the least loss, in this order: opacity, depth, colour, kind."""
    if not accepted or name in accepted:
        return name
    wanted = format_traits(name)

    def loss(candidate: str) -> tuple[int, ...]:
        other = format_traits(candidate)
        chroma = (other.chroma_width, other.chroma_height)
        grey = wanted.grey or (wanted.rgb and other.grey)
        return (
            other.alpha < wanted.alpha,
            max(0, wanted.depth - other.depth),
            not wanted.grey and other.grey,
            0 if grey else max(chroma[0] - wanted.chroma_width, 0),
            0 if grey else max(chroma[1] - wanted.chroma_height, 0),
            other.rgb != wanted.rgb,
            # Among equals, the smallest.
            other.depth + 8 * other.alpha + 8 * (not other.grey) - chroma[0] * chroma[1],
        )

    known = [candidate for candidate in accepted if format_traits(candidate).depth]
    return min(known, key=loss) if known else accepted[0]
