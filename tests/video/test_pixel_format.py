import av
import clips
import numpy as np
import pytest

from interp_cli.errors import OpenError
from interp_cli.video.pixel_format import cropped, native_format, pixel_format_of, planes_of
from interp_cli.video.probe import ColourTags


@pytest.mark.parametrize(("size", "matrix"), [((1280, 720), 0.2126), ((720, 576), 0.299)])
def test_an_untagged_matrix_is_guessed_by_size(size, matrix):
    layout = pixel_format_of(av.VideoFrame(*size, "yuv420p"), ColourTags())
    assert layout.luma_weights[0] == matrix
    assert not layout.full_range


REPACKED = """
    nv12 nv21 nv16 nv24 nv42 nv20le p010le p010be p012le p016le p210le p212le p216le p410le p412le
    p416le yuyv422 yvyu422 uyvy422 y210le y212le y216le vuyx vyu444 vuya ayuv uyva ayuv64le xv30le
    xv36le xv48le x2rgb10le x2bgr10le rgb8 bgr8 gray10be gray16be rgb48be rgba64be bgr48be gbrp12be
    gbrap16be yuv420p10be yuv422p12be yuv444p16be yuva444p10be
""".split()  # noqa: SIM905


@pytest.mark.parametrize("name", REPACKED)
def test_repacking_loses_nothing(name: str):
    """Back in its own format, the samples are those that were there."""
    image = av.VideoFrame(32, 16, name)
    random = np.random.default_rng(3)
    for plane in image.planes:
        codes = np.frombuffer(memoryview(plane), np.uint8)
        codes[...] = random.integers(0, 256, codes.shape)
    once = native_format(image)
    pixel_format_of(once, ColourTags())  # it is one that we read
    twice = native_format(once.reformat(format=name))
    for plane, expected in zip(planes_of(twice), planes_of(once), strict=True):
        np.testing.assert_array_equal(plane, expected)
        assert len(np.unique(plane)) > 4


@pytest.mark.parametrize(
    ("name", "shifts", "bits"),
    [
        ("rgb555le", (10, 5, 0), (5, 5, 5)),
        ("bgr555le", (0, 5, 10), (5, 5, 5)),
        ("rgb565le", (11, 5, 0), (5, 6, 5)),
        ("bgr565le", (0, 5, 11), (5, 6, 5)),
    ],
)
def test_few_bits_come_to_lie_on_top_of_eight(name: str, shifts, bits):
    image = av.VideoFrame(256, 256, name)
    plane = image.planes[0]
    codes = np.frombuffer(memoryview(plane), np.uint16).reshape(256, -1)[:, :256]
    codes[...] = np.arange(65536).reshape(256, 256)
    colours = planes_of(native_format(image))[0]
    for channel, (shift, count) in enumerate(zip(shifts, bits, strict=True)):
        wanted = codes >> shift & (1 << count) - 1
        np.testing.assert_array_equal(colours[..., channel] >> 8 - count, wanted)
    assert (colours.min(), colours.max()) == (0, 255)


def test_grey_with_opacity_of_16_bits_travels_as_rgb():
    for name, order in (("ya16le", "<u2"), ("ya16be", ">u2")):
        image = av.VideoFrame(5, 3, name)
        codes = np.frombuffer(memoryview(image.planes[0]), order).reshape(3, -1, 2)[:, :5]
        codes[...] = np.random.default_rng(4).integers(0, 65536, codes.shape)
        read = native_format(image)
        assert read.format.name == "gbrap16le"
        for plane, channel in zip(planes_of(read), (0, 0, 0, 1), strict=True):
            np.testing.assert_array_equal(plane, codes[..., channel])


def test_full_range_4_1_1_keeps_its_codes():
    image = clips.noise_image("yuvj411p", 32, 8)
    for plane, expected in zip(planes_of(native_format(image)), planes_of(image), strict=True):
        np.testing.assert_array_equal(plane, expected)


@pytest.mark.parametrize("name", ["yuv420p", "yuv422p10le", "yuv411p", "gray", "gbrp", "rgb24"])
def test_cropping_takes_whole_chroma_samples(name: str):
    image = clips.noise_image(name, 40, 30)
    smaller = cropped(image, (5, 3, 3, 6))
    assert (smaller.width, smaller.height) == (32, 21)
    for plane, original in zip(planes_of(smaller), planes_of(image), strict=True):
        across, down = -(-40 // original.shape[1]), -(-30 // original.shape[0])
        widest = {"yuv420p": 2, "yuv422p10le": 2, "yuv411p": 4}.get(name, 1)
        tallest = 2 if name == "yuv420p" else 1
        x, y = 5 // widest * widest, 3 // tallest * tallest
        rows = slice(y // down, -(-(y + 21) // down))
        columns = slice(x // across, -(-(x + 32) // across))
        np.testing.assert_array_equal(plane, original[rows, columns])


def test_a_format_that_is_not_read_is_named():
    with pytest.raises(OpenError, match="bayer_bggr8 is not supported"):
        native_format(av.VideoFrame(8, 8, "bayer_bggr8"))
