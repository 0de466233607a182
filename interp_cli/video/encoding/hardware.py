"""The encoders in graphics hardware: which one works here is tried, never guessed."""

from __future__ import annotations

from interp_cli.errors import EncodeError
from interp_cli.options import EncodeOptions
from interp_cli.video.encoding.encoders import choose_encoder, why_not
from interp_cli.video.pixel_format import PixelFormat

# What `--encoder` takes for "whatever hardware works here".
AUTO_HARDWARE = "auto-hw"

_MAKERS = ("nvenc", "qsv", "videotoolbox", "vaapi")
_CODECS = {"libx264": "h264", "libx265": "hevc", "libvpx-vp9": "vp9"}


def hardware_encoder(
    usual: str, layout: PixelFormat, options: EncodeOptions
) -> tuple[str, tuple[str, ...]]:
    """Find a hardware encoder that takes these frames, by opening a session with each.

    Args:
        usual: The software encoder that would be used; it says which codec is wanted.
        layout: The frames.
        options: The user's wishes, which the encoder must be able to fulfil.

    Returns:
        The first that works, or `usual`; and why each before it does not, as one warning.
    """
    codec = _CODECS.get(usual)
    if codec is None:
        return usual, (f"no hardware encodes what {usual} does, so that is used.",)
    reasons = []
    for maker in _MAKERS:
        name = f"{codec}_{maker}"
        try:
            reason = why_not(choose_encoder(name, layout, options), layout)
        except EncodeError as error:
            reason = "not in this ffmpeg" if "unknown encoder" in str(error) else str(error)
        if not reason:
            return name, ()
        reasons.append(f"{name}: {reason}")
    why = "; ".join(reasons)
    return usual, (f"no hardware encoder works here ({why}), so {usual} is used.",)
