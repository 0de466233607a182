import av
import clips
import numpy as np
import pytest
import torch

from interp_cli.video.colour import from_rgb, to_rgb, to_rgb8
from interp_cli.video.pixel_format import image_of, native_format, pixel_format_of, planes_of
from interp_cli.video.probe import ColourTags

FORMATS = """
    yuv420p yuvj420p yuv422p yuv444p yuv411p yuv420p10le yuv422p12le yuv444p16le gray gray10le
    gray16le gbrp gbrp10le gbrap rgb24 bgra rgb48le rgba64le yuva420p yuva444p10le ya8 nv12 p010le
    yuyv422
""".split()  # noqa: SIM905 - a list of strings would be longer to read


def tensors(image: av.VideoFrame) -> tuple[torch.Tensor, ...]:
    return tuple(torch.from_numpy(plane.copy())[None] for plane in planes_of(image))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("size", [(17, 5), (1, 1)])
@pytest.mark.parametrize("full_range", [True, False, None])
@pytest.mark.parametrize("matrix", [1, 6, 9])
def test_there_and_back_changes_no_code(name, size, full_range, matrix):
    image = native_format(clips.noise_image(name, *size))
    layout = pixel_format_of(image, ColourTags(matrix=matrix, full_range=full_range))
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
    rgb, _ = to_rgb(tensors(image), pixel_format_of(image, tags))
    np.testing.assert_allclose(rgb[0, :, 0, 0].numpy(), expected, atol=0.006)


def test_grey_stays_grey():
    image = av.VideoFrame(8, 8, "yuv420p")
    for plane, code in zip(planes_of(image), (77, 128, 128), strict=True):
        plane[...] = code
    picture = to_rgb8(image, ColourTags(1, False))
    assert picture.shape == (8, 8, 3)
    assert np.unique(picture).tolist() == [71]
