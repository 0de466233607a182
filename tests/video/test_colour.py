import av
import numpy as np
import pytest
import torch

from interp_cli.errors import OpenError
from interp_cli.video.colour import from_rgb, to_rgb, to_rgb8
from interp_cli.video.planes import cropped, image_of, native_format, picture_format, planes_of
from interp_cli.video.probe import ColourTags

FORMATS = """
    yuv420p yuvj420p yuv422p yuv444p yuv411p yuv420p10le yuv422p12le yuv444p16le gray gray10le
    gray16le gbrp gbrp10le gbrap rgb24 bgra rgb48le rgba64le yuva420p yuva444p10le ya8 nv12 p010le
    yuyv422
""".split()  # noqa: SIM905 - a list of strings would be longer to read


def noise(name: str, width: int, height: int) -> av.VideoFrame:
    """A frame of random codes, all of them legal."""
    random = np.random.default_rng(1)
    image = av.VideoFrame(width, height, name)
    bits = image.format.components[0].bits
    for plane in image.planes:
        codes = np.frombuffer(memoryview(plane), np.uint16 if bits > 8 else np.uint8)
        codes[...] = random.integers(0, 1 << bits, codes.shape)
        if name.startswith("p0"):  # P010 keeps its ten bits at the top
            codes <<= 16 - bits
    return image


def tensors(image: av.VideoFrame) -> tuple[torch.Tensor, ...]:
    return tuple(torch.from_numpy(plane.copy())[None] for plane in planes_of(image))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("size", [(17, 5), (1, 1)])
@pytest.mark.parametrize("full_range", [True, False, None])
@pytest.mark.parametrize("matrix", [1, 6, 9])
def test_there_and_back_changes_no_code(name, size, full_range, matrix):
    image = native_format(noise(name, *size))
    layout = picture_format(image, ColourTags(matrix=matrix, full_range=full_range))
    planes = tensors(image)
    rgb, alpha = to_rgb(planes, layout)
    assert rgb.shape == (1, 3, size[1], size[0])
    for back, plane in zip(from_rgb(rgb, alpha, layout), planes, strict=True):
        np.testing.assert_array_equal(back.numpy(), plane.numpy())
    for copied, plane in zip(planes_of(image_of(planes_of(image), layout)), planes, strict=True):
        np.testing.assert_array_equal(copied, plane[0].numpy())


@pytest.mark.parametrize(
    ("tags", "codes", "expected"),
    [
        (ColourTags(1, False), (16, 128, 128), (0, 0, 0)),
        (ColourTags(1, False), (235, 128, 128), (1, 1, 1)),
        (ColourTags(1, True), (255, 128, 128), (1, 1, 1)),
        # Pure red in each matrix, from the standards' own tables of 8-bit colour bars.
        (ColourTags(1, False), (63, 102, 240), (1, 0, 0)),
        (ColourTags(6, False), (81, 90, 240), (1, 0, 0)),
    ],
)
def test_codes_mean_the_standard_colours(tags, codes, expected):
    image = av.VideoFrame(4, 4, "yuv444p")
    for plane, code in zip(planes_of(image), codes, strict=True):
        plane[...] = code
    rgb, _ = to_rgb(tensors(image), picture_format(image, tags))
    np.testing.assert_allclose(rgb[0, :, 0, 0].numpy(), expected, atol=0.006)


@pytest.mark.parametrize(("size", "matrix"), [((1280, 720), 0.2126), ((720, 576), 0.299)])
def test_an_untagged_matrix_is_guessed_by_size(size, matrix):
    layout = picture_format(av.VideoFrame(*size, "yuv420p"), ColourTags())
    assert layout.luma_weights[0] == matrix
    assert not layout.full_range


def test_grey_stays_grey():
    image = av.VideoFrame(8, 8, "yuv420p")
    for plane, code in zip(planes_of(image), (77, 128, 128), strict=True):
        plane[...] = code
    picture = to_rgb8(image, ColourTags(1, False))
    assert picture.shape == (8, 8, 3)
    assert np.unique(picture).tolist() == [71]


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
    picture_format(once, ColourTags())  # it is one that we read
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
    image = noise("yuvj411p", 32, 8)
    for plane, expected in zip(planes_of(native_format(image)), planes_of(image), strict=True):
        np.testing.assert_array_equal(plane, expected)


@pytest.mark.parametrize("name", ["yuv420p", "yuv422p10le", "yuv411p", "gray", "gbrp", "rgb24"])
def test_cropping_takes_whole_chroma_samples(name: str):
    image = noise(name, 40, 30)
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
