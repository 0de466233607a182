from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from interp_cli.errors import DecodeError, EncodeError, OpenError
from interp_cli.video.images.codecs import EXR, JPEG, PNG, TIFF, WEBP
from interp_cli.video.images.float_curve import FloatCurve, float_image, float_planes
from interp_cli.video.images.read import read_image
from interp_cli.video.images.write import ImageEncoder, with_colours_of
from interp_cli.video.pixel_format import native_format, pixel_format_of, planes_of
from interp_cli.video.probe import ColourTags

JFIF = ColourTags(matrix=5, full_range=True)
SIZE = (31, 17)


def drawn(name: str) -> av.VideoFrame:
    """A picture of noise in a pixel format."""
    random = np.random.default_rng(1)
    width, height = SIZE
    planes = av.VideoFormat(name, *SIZE).components
    if "f32" in name:
        noise = random.normal(0, 3, (len(planes), height, width)).astype(np.float32)
        return float_image(tuple(noise))
    image = av.VideoFrame(width, height, name)
    for plane in planes_of(image):
        plane[...] = random.integers(1, np.iinfo(plane.dtype).max + 1, plane.shape)
    return image


def file_of(path: Path, kind, name: str) -> av.VideoFrame:
    """Write a drawn picture; the frame that was written."""
    image = drawn(name)
    encoder = ImageEncoder(kind, pixel_format_of(image, JFIF))
    if "f32" in name:  # what a program that knows nothing of curves would write
        curve = FloatCurve()
        colours = 1 if name.startswith("gray") else 3
        planes = float_planes(image)
        codes = (*(curve.to_codes(p) for p in planes[:colours]), *planes[colours:])
        path.write_bytes(encoder.encode(float_image(codes)))
    else:
        path.write_bytes(encoder.encode(image))
    return image


@pytest.mark.parametrize("kind", [PNG, TIFF], ids=lambda kind: kind.name)
@pytest.mark.parametrize(
    "name",
    ["gray", "gray16le", "ya8", "rgb24", "rgba", "rgb48le", "rgba64le"],
)
def test_integers_come_back_exactly(tmp_path: Path, kind, name: str):
    path = tmp_path / f"a{kind.endings[0]}"
    image = file_of(path, kind, name)
    back = native_format(read_image(path))
    assert back.format.name == name
    for plane, expected in zip(planes_of(back), planes_of(image), strict=True):
        np.testing.assert_array_equal(plane, expected)


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_sixteen_bits_of_grey_with_opacity_stay_grey(tmp_path: Path, ending: str):
    kind = {".png": PNG, ".tif": TIFF}[ending]
    image = drawn("rgba64le")
    samples = planes_of(image)[0]
    samples[..., 1] = samples[..., 2] = samples[..., 0]
    encoder = ImageEncoder(kind, pixel_format_of(image, JFIF), "ya16be")
    path = tmp_path / f"a{ending}"
    path.write_bytes(encoder.encode(image))
    back = read_image(path)
    assert back.format.name.startswith("ya16")
    green, _, _, alpha = planes_of(native_format(back))
    np.testing.assert_array_equal(green, samples[..., 0])
    np.testing.assert_array_equal(alpha, samples[..., 3])


@pytest.mark.parametrize("kind", [TIFF, EXR], ids=lambda kind: kind.name)
@pytest.mark.parametrize("name", ["grayf32le", "gbrpf32le", "gbrapf32le"])
def test_floating_point_values_survive_the_curve(tmp_path: Path, kind, name: str):
    path = tmp_path / f"a{kind.endings[0]}"
    image = file_of(path, kind, name)
    back = read_image(path)
    assert back.format.name == name
    for plane, expected in zip(float_planes(back), float_planes(image), strict=True):
        np.testing.assert_allclose(plane, expected, rtol=1e-5, atol=1e-6)


def test_an_input_file_of_another_kind_keeps_its_values_exactly(tmp_path: Path):
    values = np.random.default_rng(2).normal(0, 3, (17, 31)).astype(np.float32)
    source = tmp_path / "a.tif"
    cv2.imwrite(str(source), values)
    layout = pixel_format_of(float_image((values,)), ColourTags())
    target = tmp_path / "a.exr"
    target.write_bytes(ImageEncoder(EXR, layout).encode_file(source))
    np.testing.assert_array_equal(float_planes(read_image(target))[0], values)


def test_half_precision_stays_half(tmp_path: Path):
    image = drawn("gbrpf32le")
    encoder = ImageEncoder(EXR, pixel_format_of(image, ColourTags()), "gbrpf16le")
    path = tmp_path / "a.exr"
    path.write_bytes(encoder.encode(image))
    assert read_image(path).format.name == "gbrpf16le"


def test_the_curve_is_the_root_up_to_white_and_clips_nothing():
    curve = FloatCurve(white_level=4.0)
    values = np.array([0, 1, 4, -1, 65504, np.nan], np.float32)
    codes = curve.to_codes(values)
    np.testing.assert_allclose(codes[:4], [0, 0.5, 1, -0.5])
    assert 5 < codes[4] < 7
    assert codes[5] == 0
    np.testing.assert_allclose(curve.to_values(codes)[:5], values[:5], rtol=1e-5)


@pytest.mark.parametrize("name", ["gray", "yuvj420p", "yuvj422p", "yuvj444p"])
def test_jpeg_keeps_its_own_pixel_format(tmp_path: Path, name: str):
    path = tmp_path / "a.jpg"
    image = drawn(name)
    for plane in planes_of(image):  # smooth, so that only the coding shows
        plane[...] = np.arange(plane.shape[1])[None] * 4 + 20
    path.write_bytes(ImageEncoder(JPEG, pixel_format_of(image, JFIF)).encode(image))
    back = read_image(path)
    assert back.format.name == name
    for plane, expected in zip(planes_of(back), planes_of(image), strict=True):
        assert np.abs(plane.astype(int) - expected).mean() < 1


@pytest.mark.parametrize("source", ["", "yuv420p"])
def test_webp_loses_nothing_of_a_video_but_as_much_as_one_that_did(source: str):
    image = drawn("yuv420p")
    layout = pixel_format_of(image, ColourTags(matrix=6, full_range=False))
    content = ImageEncoder(WEBP, layout, source).encode(image)
    assert content[12:16] == (b"VP8 " if source else b"VP8L")


def test_webp_is_lossless_for_rgb(tmp_path: Path):
    path = tmp_path / "a.webp"
    image = file_of(path, WEBP, "rgba")
    back = read_image(path).reformat(format="rgba")
    np.testing.assert_array_equal(planes_of(back)[0], planes_of(image)[0])


@pytest.mark.parametrize(
    ("kind", "name", "lost"),
    [
        (JPEG, "gray16le", "JPEG does not store more than 8 of the 16 bits."),
        (JPEG, "rgba", "JPEG does not store opacity."),
        (WEBP, "rgb48le", "WebP does not store more than 8 of the 16 bits."),
    ],
)
def test_what_a_kind_cannot_hold_is_named(kind, name: str, lost: str):
    assert ImageEncoder(kind, pixel_format_of(drawn(name), JFIF)).warnings == (lost,)


@pytest.mark.parametrize(("kind", "name"), [(PNG, "grayf32le"), (EXR, "rgb24")])
def test_no_one_decides_unasked_what_white_is(kind, name: str):
    with pytest.raises(EncodeError, match=rf"{kind.name} does not hold the input's .* choose "):
        ImageEncoder(kind, pixel_format_of(drawn(name), JFIF))


@pytest.mark.parametrize(
    ("kind", "name"),
    [(PNG, "rgb24"), (TIFF, "rgb24"), (TIFF, "grayf32le"), (EXR, "gbrpf32le"), (JPEG, "gray"),
     (JPEG, "yuvj420p"), (WEBP, "rgba")],
)  # fmt: skip
def test_a_cut_off_file_is_damaged(tmp_path: Path, kind, name: str):
    path = tmp_path / f"a{kind.endings[0]}"
    file_of(path, kind, name)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(DecodeError, match=rf"a\{kind.endings[0]}: "):
        read_image(path)


def test_what_is_no_single_picture_of_its_kind_is_refused(tmp_path: Path):
    file_of(tmp_path / "a.png", PNG, "gray")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    with pytest.raises(OpenError, match="is no JPEG file, whatever its name says"):
        read_image(tmp_path / "a.jpg")
    pages = [np.zeros((8, 8), np.uint16)] * 3
    cv2.imwritemulti(str(tmp_path / "stack.tif"), pages)
    with pytest.raises(OpenError, match="holds 3 pictures; one per file is expected"):
        read_image(tmp_path / "stack.tif")
    cv2.imwrite(str(tmp_path / "f64.tif"), np.zeros((8, 8), np.float64))
    with pytest.raises(OpenError, match="holds float64 samples"):
        read_image(tmp_path / "f64.tif")


def test_a_synthesized_file_is_shown_as_its_neighbours_are():
    image = drawn("rgb24")
    layout = pixel_format_of(image, JFIF)
    made = ImageEncoder(PNG, layout).encode(image)
    gamma = b"\0\0\0\4gAMA\0\0\xb1\x8f\x0b\xfc\x61\x05"
    original = made[:33] + gamma + made[33:]
    assert with_colours_of(original, made, PNG) == original

    encoder = ImageEncoder(JPEG, replace(layout))
    made = encoder.encode(image)
    exif = b"\xff\xe1\0\x0aExif\0\0ab"
    assert with_colours_of(made[:2] + exif + made[2:], made, JPEG).count(exif) == 1
