"""Encoders in graphics hardware. Which one works here is found by trying each."""

from __future__ import annotations

from interp_cli.errors import EncodeError, ResourceError, UnknownEncoderError
from interp_cli.options import EncodeOptions
from interp_cli.video.encoding.encoders import choose_encoder, encoder_named, why_not
from interp_cli.video.pixel_format import PixelFormat

# The name that asks for the first hardware encoder that works here.
AUTO_HARDWARE = "auto-hw"

_MAKERS = ("nvenc", "qsv", "videotoolbox", "vaapi")
_CODECS = {"libx264": "h264", "libx265": "hevc", "libvpx-vp9": "vp9"}


def possible_encoders(requested: str, *usual: str) -> list[str]:
    """Every encoder that a request may lead to, in the order in which they are tried.

    Args:
        requested: Name of an encoder or of a codec, or `AUTO_HARDWARE`.
        usual: Software encoders to fall back to.
    """
    if requested != AUTO_HARDWARE:
        return [encoder_named(requested)]
    codecs = [_CODECS[name] for name in usual if name in _CODECS]
    return [*(f"{codec}_{maker}" for codec in codecs for maker in _MAKERS), *usual]


def hardware_encoder(
    usual: str, layout: PixelFormat, options: EncodeOptions
) -> tuple[str, tuple[str, ...]]:
    """Find a hardware encoder that takes these frames, by opening a session with each.

    Args:
        usual: The default software encoder, which determines the codec.
        layout: The frames.
        options: Encoder settings, which the encoder must support.

    Returns:
        The first that works, or `usual` with one warning that says why no other does.
    """
    names = possible_encoders(AUTO_HARDWARE, usual)[:-1]
    if not names:
        return usual, (f"no hardware encodes what {usual} does, so that is used.",)
    reasons = []
    for name in names:
        try:
            reason = why_not(choose_encoder(name, layout, options), layout)
        except UnknownEncoderError:
            reason = "not in this ffmpeg"
        except (EncodeError, ResourceError) as error:  # a driver that hangs is none either
            reason = str(error).rstrip(".")
        if not reason:
            return name, ()
        reasons.append(f"{name}: {reason}")
    why = "; ".join(reasons)
    return usual, (f"no hardware encoder works here ({why}), so {usual} is used.",)
