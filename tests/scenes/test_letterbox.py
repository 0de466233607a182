import av
import clips
import numpy as np
import pytest

from interp_cli.scenes import letterbox as bars
from interp_cli.scenes.letterbox import Region, paste, picture_region
from interp_cli.video.images.float_curve import float_image
from interp_cli.video.pixel_format import PixelFormat, image_of, pixel_format_of, planes_of
from interp_cli.video.probe import ColourTags

SIZE = (128, 96)


def framed(region: Region, pix_fmt: str = "yuv420p") -> av.VideoFrame:
    """A drawn frame that is black around the area."""
    image = av.VideoFrame.from_ndarray(clips.true_frame(0, SIZE), "rgb24").reformat(
        format=pix_fmt, dst_colorspace="ITU709", dst_color_range="MPEG"
    )
    yuv, code = pix_fmt.startswith("yuv"), 1 << (image.format.components[0].bits - 8)
    for index, plane in enumerate(planes_of(image)):
        down, across = SIZE[1] // plane.shape[0], SIZE[0] // plane.shape[1]
        inside = np.zeros(plane.shape, np.bool_)
        rows = slice(region.top // down, -(-region.bottom // down))
        inside[rows, region.left // across : -(-region.right // across)] = True
        plane[~inside] = 0 if not yuv else (128 if index else 16) * code
    return image


def layout_of(image: av.VideoFrame) -> PixelFormat:
    return pixel_format_of(image, ColourTags(matrix=1))


def found(image: av.VideoFrame) -> Region | None:
    return picture_region(image, layout_of(image))


WHOLE = Region(0, 96, 0, 128)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "yuv444p12le", "rgb24", "gbrp"])
@pytest.mark.parametrize(
    "region", [Region(12, 84, 0, 128), Region(0, 96, 20, 110), Region(8, 90, 4, 120)]
)
def test_bars_are_found(region: Region, pix_fmt: str):
    assert found(framed(region, pix_fmt)) == region


def test_the_picture_begins_on_a_whole_sample_of_chroma():
    assert found(framed(Region(13, 83, 0, 128), "yuv444p")) == Region(13, 83, 0, 128)
    found_region = found(framed(Region(13, 83, 0, 128), "yuv420p"))
    assert found_region == Region(12, 84, 0, 128)


def test_a_codec_may_leave_two_codes_in_a_bar():
    image = framed(Region(12, 84, 0, 128))
    planes_of(image)[0][:12] += 2
    assert found(image) == Region(12, 84, 0, 128)
    planes_of(image)[0][5, 60] += 1  # a speck: above it is all that is surely black
    assert found(image) == Region(4, 84, 0, 128)


def test_a_line_of_fractions_below_white_is_not_black():
    samples = np.full((96, 128), 0.5, np.float32)
    samples[:12] = samples[84:] = 1 / 255
    image = float_image((samples,))
    assert found(image) == Region(12, 84, 0, 128)
    black = bars._Black(planes_of(image), layout_of(image))
    assert [black.row(y) for y in (0, 11, 12, 83, 84)] == [True, True, False, False, True]
    assert not black.column(0)


@pytest.mark.parametrize(
    "region",
    [
        WHOLE,
        Region(12, 96, 0, 128),
        Region(0, 84, 0, 128),
        Region(0, 96, 20, 128),
        Region(1, 95, 0, 128),
    ],
    ids=["none", "above alone", "below alone", "left alone", "a line"],
)
def test_in_doubt_there_are_no_bars(region: Region):
    assert found(framed(region)) == WHOLE


def test_coloured_bars_and_a_small_thing_in_the_dark_are_no_bars():
    image = framed(Region(12, 84, 0, 128))
    planes_of(image)[1][:6] = 160
    assert found(image) == WHOLE
    assert found(framed(Region(40, 56, 50, 70))) == WHOLE


def test_nobody_knows_the_bars_of_a_black_frame():
    assert found(framed(Region(0, 0, 0, 0))) is None


def test_no_bars_are_looked_for_behind_opacity():
    assert found(framed(Region(12, 84, 0, 128), "rgba")) == WHOLE


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "rgb24"])
def test_a_picture_is_pasted_between_the_bars_of_the_original(pix_fmt: str):
    region, other = Region(12, 84, 20, 110), framed(WHOLE, pix_fmt)
    original = framed(region, pix_fmt)
    layout = layout_of(original)
    parts = []
    for plane in planes_of(other):
        step = 96 // plane.shape[0]
        parts.append(plane[12 // step : 84 // step, 20 // step : 110 // step])
    pasted = image_of(paste(tuple(parts), region, original, layout), layout)
    for plane, before, made in zip(*map(planes_of, (pasted, original, other)), strict=True):
        step = 96 // plane.shape[0]
        inside = np.zeros(plane.shape, np.bool_)
        inside[12 // step : 84 // step, 20 // step : 110 // step] = True
        np.testing.assert_array_equal(plane, np.where(inside, made, before))


def test_dark_grey_of_full_range_is_no_bar():
    image = framed(Region(0, 96, 0, 128), "gray")
    planes_of(image)[0][:12] = planes_of(image)[0][84:] = 16
    assert found(image) == WHOLE


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_bars_of_one_colour_are_no_bars(channel):
    image = framed(Region(12, 84, 0, 128), "gbrp")
    plane = planes_of(image)[channel]
    plane[:12] = plane[84:] = 90
    assert found(image) == WHOLE
