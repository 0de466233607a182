"""What the encoders of the bundled ffmpeg take, and good defaults for the common ones."""

from __future__ import annotations

import functools
import subprocess
from dataclasses import dataclass

import av
import imageio_ffmpeg

from interp_cli.errors import EncodeError
from interp_cli.options import EncodeOptions
from interp_cli.video.colour import PictureFormat


@dataclass(frozen=True, slots=True)
class _Defaults:
    """Visually lossless settings of an encoder, and what it needs besides."""

    crf: int | None = None
    preset: str | None = None
    arguments: tuple[str, ...] = ()


_DEFAULTS = {
    "libx264": _Defaults(17, "medium"),
    "libx264rgb": _Defaults(15, "medium"),
    # hvc1: the tag without which Apple's players refuse HEVC; x265 logs to stderr by itself.
    "libx265": _Defaults(18, "fast", ("-tag:v:0", "hvc1", "-x265-params", "log-level=error")),
    "libsvtav1": _Defaults(22, "8"),
    "libvpx-vp9": _Defaults(
        22, None, ("-b:v", "0", "-row-mt", "1", "-deadline", "good", "-cpu-used", "4")
    ),
    # Version 3, so that damage can be found slice by slice.
    "ffv1": _Defaults(None, None, ("-level", "3", "-slicecrc", "1")),
}


@dataclass(frozen=True, slots=True)
class EncoderChoice:
    """An encoder with its arguments.

    Attributes:
        name: ffmpeg's name of the encoder.
        pixel_format: What it stores.
        arguments: For ffmpeg's command line, after `-c:v:0`.
        warnings: What is not stored as it was.
    """

    name: str
    pixel_format: str
    arguments: tuple[str, ...]
    warnings: tuple[str, ...]


def ffmpeg_path() -> str:
    """The ffmpeg binary that encodes (the one that imageio-ffmpeg brings)."""
    return str(imageio_ffmpeg.get_ffmpeg_exe())


def choose_encoder(name: str, layout: PictureFormat, options: EncodeOptions) -> EncoderChoice:
    """Settle an encoder's arguments for frames of a given layout.

    Args:
        name: ffmpeg's name of the encoder.
        layout: The frames that it will get.
        options: The user's wishes; they win over the defaults.

    Raises:
        EncodeError: There is no such encoder, or it has no such setting or pixel format.
    """
    text = _help(name)
    accepted = _pixel_formats(text)
    warnings: list[str] = []
    wanted = layout.name.replace("yuvj", "yuv")  # full range is a tag of its own nowadays
    if options.pixel_format:
        pixel_format = options.pixel_format
        if accepted and pixel_format not in accepted:
            raise EncodeError(
                f"{name} cannot store {pixel_format}; it takes {', '.join(accepted)}."
            )
    else:
        pixel_format = _nearest(wanted, accepted)
        if pixel_format != wanted:
            warnings.append(
                f"{name} cannot store {wanted}: frames are converted to {pixel_format}; "
                "choose another --encoder (ffv1 stores nearly everything) to keep them as they are."
            )
    defaults = _DEFAULTS.get(name, _Defaults())
    arguments = [*defaults.arguments]
    for flag, wish, default in (
        ("-crf", options.crf, defaults.crf),
        ("-preset", options.preset, defaults.preset),
    ):
        if wish is not None and f"  {flag} " not in text:
            raise EncodeError(f"{name} has no {flag[1:]} setting; use --encoder-option KEY=VALUE.")
        if wish is not None or default is not None:
            arguments += [flag, str(default if wish is None else wish)]
    for key, value in options.options:
        arguments += [f"-{key}", value]
    return EncoderChoice(name, pixel_format, tuple(arguments), tuple(warnings))


@functools.cache
def _help(name: str) -> str:
    """What ffmpeg says about an encoder."""
    run = subprocess.run(
        [ffmpeg_path(), "-hide_banner", "-h", f"encoder={name}"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if not run.stdout.startswith("Encoder "):
        raise EncodeError(
            f"unknown encoder {name!r}. Common ones: {', '.join(sorted(_DEFAULTS))}; "
            f"all of them: {ffmpeg_path()} -encoders"
        )
    return run.stdout


def _pixel_formats(text: str) -> tuple[str, ...]:
    marker = "Supported pixel formats:"
    lines = (line.partition(marker) for line in text.splitlines() if marker in line)
    return next((tuple(rest.split()) for _, _, rest in lines), ())


def _nearest(name: str, accepted: tuple[str, ...]) -> str:
    """The accepted format that loses least, in this order: depth, alpha, chroma, kind."""
    if not accepted or name in accepted:
        return name
    wanted = _traits(name)
    depth, alpha, chroma, rgb = wanted

    def loss(candidate: str) -> tuple[int, bool, bool, bool, int]:
        other_depth, other_alpha, other_chroma, other_rgb = _traits(candidate)
        return (
            max(0, depth - other_depth),
            other_alpha < alpha,
            other_chroma < chroma,
            other_rgb != rgb,
            # Nothing lost beyond that: the smallest that does it.
            other_depth + 8 * other_alpha + 4 * other_chroma,
        )

    known = [candidate for candidate in accepted if _traits(candidate)[0]]
    return min(known, key=loss) if known else accepted[0]


@functools.cache
def _traits(name: str) -> tuple[int, bool, int, bool]:
    """Bits a sample (0: not for us), alpha, chroma resolution (0 for grey, 3 for full), RGB."""
    try:
        form = av.VideoFormat(name, 64, 64)
    except ValueError:  # a format of the encoder's ffmpeg that ours does not know
        return 0, False, 0, False
    components = form.components
    if not components or form.is_bit_stream or name.startswith("yuvj"):
        return 0, False, 0, False
    colours = [c for c in components if not c.is_alpha]
    chroma = 0
    if len(colours) >= 3:
        share = colours[1].width * colours[1].height / (64 * 64)
        chroma = 3 if share == 1 else 2 if share == 0.5 else 1
    return components[0].bits, len(components) > len(colours), chroma, bool(form.is_rgb)
