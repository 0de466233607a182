"""A still scene comes out still: what is synthesized between two equal frames equals them.

Where a frame's way through RGB is not exact, originals and synthesized frames alternate in tone,
and that is seen as flicker.
"""

from pathlib import Path

import av
import clips
import numpy as np
import pytest
import torch

from interp_cli.inference.interpolator import Interpolator
from interp_cli.options import InferenceOptions
from interp_cli.video.colour import from_rgb, to_rgb
from interp_cli.video.pixel_format import image_of, native_format, pixel_format_of, planes_of
from interp_cli.video.probe import ColourTags
from interp_cli.video.readers.file import VideoReader

FORMATS = """
    yuv420p yuv422p yuv444p yuv420p9le yuv420p10le yuv422p10le yuv444p10le yuv420p12le yuv444p12le
    yuv420p14le yuv420p16le yuv444p16le nv12 p010le gray gray10le gray16le gbrp gbrp10le gbrp12le
    gbrp16le rgb24 bgra yuva420p yuva444p10le ya8 ya16le
""".split()  # noqa: SIM905 - a list of strings would be longer to read


def difference(image: av.VideoFrame, tags: ColourTags, interpolator: Interpolator) -> list[float]:
    """Mean difference of each plane of a frame to what is made between it and itself, of 255."""
    layout = pixel_format_of(image, tags)
    planes = tuple(torch.from_numpy(plane.copy())[None] for plane in planes_of(image))
    rgb, alpha = to_rgb(planes, layout)
    pictures = rgb if alpha is None else torch.cat((rgb, alpha.expand_as(rgb)))
    made = interpolator.middle(pictures, pictures)
    opacity = None if alpha is None else made[1:].mean(1, keepdim=True)
    scale = 255 / ((1 << layout.depth) - 1)
    return [
        float((plane.double() - original.double()).abs().mean() * scale)
        for plane, original in zip(from_rgb(made[:1], opacity, layout), planes, strict=True)
    ]


def drawn_still(name: str, tags: ColourTags) -> av.VideoFrame:
    """The drawing of `clips` in a pixel format, with the finest steps that its depth has."""
    layout = pixel_format_of(native_format(av.VideoFrame(96, 64, name)), tags)
    picture = torch.from_numpy(clips.true_frame(0, (96, 64)).transpose(2, 0, 1).copy())[None] / 255
    picture = picture + torch.linspace(0, 1 / 255, 96)
    alpha = picture[:, :1] if layout.has_alpha else None
    planes = from_rgb(picture, alpha, layout)
    return image_of(tuple(plane[0].numpy().astype(layout.dtype) for plane in planes), layout)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("matrix", [1, 6, 9])
@pytest.mark.parametrize("full_range", [False, True])
def test_drawn_stills(averaging, name: str, matrix: int, full_range: bool):
    tags = ColourTags(matrix, full_range)
    assert max(difference(drawn_still(name, tags), tags, Interpolator(averaging))) == 0


@pytest.mark.parametrize("name", ["yuv420p", "yuv420p10le", "bgra"])
def test_the_default_model_leaves_stills_alone(name: str):
    tags = ColourTags(1, False)
    interpolator = Interpolator.from_options(InferenceOptions(device="cpu"))
    assert max(difference(drawn_still(name, tags), tags, interpolator)) < 0.5


@pytest.mark.needs_footage
def test_stills_of_real_clips(footage: Path, averaging):
    interpolator = Interpolator(averaging)
    names = sorted(p.name for p in (footage / "clips").iterdir() if p.suffix not in ("", ".md"))
    assert len(names) >= 20
    for name in names:
        with VideoReader(footage / "clips" / name) as reader:
            still = next(iter(reader)).image
            assert max(difference(still, reader.info.colour, interpolator)) == 0, name


def test_grey_stays_grey_and_nothing_gets_darker(averaging):
    """Every grey of 8 bits, which must neither gain colour nor lose a code by truncation."""
    image = av.VideoFrame(256, 2, "yuv420p")
    luma, blue, red = planes_of(image)
    luma[...], blue[...], red[...] = np.arange(256, dtype=np.uint8), 128, 128
    for tags in (ColourTags(1, False), ColourTags(6, True), ColourTags(9, False)):
        rgb, _ = to_rgb(
            tuple(torch.from_numpy(p.copy())[None] for p in planes_of(image)),
            pixel_format_of(image, tags),
        )
        assert float((rgb - rgb.mean(1, keepdim=True)).abs().max()) < 1e-6
        assert difference(image, tags, Interpolator(averaging)) == [0, 0, 0]
