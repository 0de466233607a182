"""What every encoder makes of every kind of picture: the same colours, or a word about it."""

from fractions import Fraction
from itertools import product
from pathlib import Path

import av
import clips
import numpy as np
import pytest
import torch

from interp_cli.errors import EncodeError
from interp_cli.inference.interpolator import Interpolator
from interp_cli.options import DoubleOptions, EncodeOptions
from interp_cli.pipeline.double import double_video
from interp_cli.video.colour import from_rgb, to_rgb
from interp_cli.video.encoding import hardware
from interp_cli.video.encoding.encoders import choose_encoder, why_not
from interp_cli.video.encoding.frame_tags import FrameTags
from interp_cli.video.pixel_format import (
    PixelFormat,
    image_of,
    native_format,
    pixel_format_of,
    planes_of,
)
from interp_cli.video.probe import ColourTags, probe
from interp_cli.video.readers.file import VideoReader
from interp_cli.video.writers.file import VideoWriter

PATCH = 32
# Black, white, greys and colours, 0 to 1, three rows of four.
COLOURS = torch.tensor(
    [
        *((0, 0, 0), (1, 1, 1), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
        *((0.75, 0.75, 0.75), (0.8, 0.2, 0.2), (0.2, 0.7, 0.2), (0.2, 0.2, 0.8)),
        *((0.7, 0.7, 0.2), (0.2, 0.7, 0.7), (0.7, 0.2, 0.7), (0.1, 0.1, 0.1)),
    ]
)
SOURCES = {
    "yuv420p-709": ("yuv420p", ColourTags(1, False, 1, 1)),
    "yuv420p-601-full": ("yuv420p", ColourTags(6, True, 6, 6)),
    "yuv420p10-2020-pq": ("yuv420p10le", ColourTags(9, False, 9, 16)),
    "yuv444p12-2020-full-hlg": ("yuv444p12le", ColourTags(9, True, 9, 18)),
    "yuv422p-untagged": ("yuv422p", ColourTags()),
    "gray": ("gray", ColourTags()),
    "gray-limited": ("gray", ColourTags(full_range=False)),
    "gray16": ("gray16le", ColourTags(full_range=True)),
    "rgb": ("bgr0", ColourTags(0, True)),
    "gbr12": ("gbrp12le", ColourTags(0, True)),
    "gbr16": ("gbrp16le", ColourTags(0, True)),
    "yuva420p": ("yuva420p", ColourTags(1, False)),
    "rgba": ("bgra", ColourTags(0, True)),
}
TARGETS = {
    "libx264": "mp4",
    "libx265": "mkv",
    "libsvtav1": "mp4",
    "libvpx-vp9": "webm",
    "prores_ks": "mov",
    "ffv1": "mkv",
    "utvideo": "mkv",
    "libx264rgb": "mkv",
}


def some(cases, every: int):
    """Every so many cases by default; with `--slow`, all."""
    return [
        pytest.param(*case, marks=() if index % every == 0 else pytest.mark.slow)
        for index, case in enumerate(cases)
    ]


def patches(size: tuple[int, int] = (4 * PATCH, 3 * PATCH)) -> torch.Tensor:
    """`COLOURS` as a picture, (1, 3, height, width)."""
    picture = COLOURS.reshape(3, 4, 3).permute(2, 0, 1)[None]
    return torch.nn.functional.interpolate(picture, (size[1], size[0]), mode="nearest")


def drawn(name: str, tags: ColourTags, size: tuple[int, int] = (4 * PATCH, 3 * PATCH)):
    """The patches in a pixel format, opacity 3/4, and their layout."""
    layout = pixel_format_of(native_format(av.VideoFrame(*size, name)), tags)
    alpha = torch.full((1, 1, size[1], size[0]), 0.75) if layout.has_alpha else None
    planes = from_rgb(patches(size), alpha, layout)
    return image_of(tuple(p[0].numpy().astype(layout.dtype) for p in planes), layout), layout


def write(target: Path, image: av.VideoFrame, layout: PixelFormat, tags: ColourTags, **options):
    picture = FrameTags(layout, tags)
    rate = Fraction(25)
    with VideoWriter(target, picture, 1 / rate, rate, EncodeOptions(**options)) as writer:
        for pts in range(3):
            writer.write(image, pts)
    return writer


def colours_of(image: av.VideoFrame, tags: ColourTags) -> tuple[torch.Tensor, torch.Tensor | None]:
    image = native_format(image)
    planes = tuple(torch.from_numpy(plane.copy())[None] for plane in planes_of(image))
    return to_rgb(planes, pixel_format_of(image, tags))


@pytest.mark.parametrize(("encoder", "source"), some(product(TARGETS, SOURCES), every=5))
def test_colours_stay_what_they_were(tmp_path: Path, source: str, encoder: str):
    name, tags = SOURCES[source]
    image, layout = drawn(name, tags)
    target = tmp_path / f"out.{TARGETS[encoder]}"
    writer = write(target, image, layout, tags, encoder=encoder)
    with VideoReader(target) as reader:
        frame = next(iter(reader))
    seen, opacity = colours_of(frame.image, reader.info.colour)
    expected, _ = colours_of(image, tags)
    inner = [slice(PATCH * i + 8, PATCH * i + 24) for i in range(4)]
    for row in range(3):
        for column in range(4):
            at = (0, slice(None), inner[row], inner[column])
            # One code of 8 bits, and what a lossy encoder adds to it.
            error = (seen[at] - expected[at]).mean((1, 2)).abs().max() * 255
            assert error < (3.0 if encoder == "libsvtav1" else 1.3), (row, column)
    kept = layout.has_alpha and encoder not in ("libx264", "libx265", "libsvtav1", "libx264rgb")
    assert (opacity is not None) == kept
    if opacity is not None:
        assert abs(opacity.mean() - 0.75) < 0.004
    lost = layout.has_alpha and not kept
    assert any("without its opacity" in warning for warning in writer.warnings) == lost


@pytest.mark.parametrize("depth", [9, 10, 12, 14, 16])
@pytest.mark.parametrize("kind", ["yuv444p", "gbrp", "gray"])
def test_fewer_bits_are_rounded_not_cut_off(tmp_path: Path, depth: int, kind: str):
    """The mean error of random codes is none where one rounds, half a code where one cuts."""
    tags = ColourTags(0 if kind == "gbrp" else 1, kind != "yuv444p")
    image = av.VideoFrame(128, 96, f"{kind}{depth}le")
    layout = pixel_format_of(image, tags)
    random = np.random.default_rng(depth)
    for plane in planes_of(image):
        plane[...] = random.integers(0, 1 << depth, plane.shape)
    target = tmp_path / "out.mkv"
    form = {"yuv444p": "yuv444p", "gbrp": "gbrp", "gray": "gray"}[kind]
    encoder = "utvideo" if kind == "gbrp" else "ffv1"
    write(target, image, layout, tags, encoder=encoder, pixel_format=form)
    stored = next(iter(clips.decoded(target)))
    for plane, original in zip(planes_of(stored), planes_of(image), strict=True):
        ratio = 2 ** (depth - 8) if kind == "yuv444p" else ((1 << depth) - 1) / 255
        error = plane - original / ratio
        assert abs(error.mean()) < 0.02
        assert np.abs(error[original < 254 * ratio]).max() <= 0.51


@pytest.mark.parametrize(
    ("encoder", "given", "stored"),
    [
        ("libx264", "yuv440p", "yuv444p"),
        ("libx264", "yuv411p", "yuv422p"),
        ("libvpx-vp9", "yuva444p10le", "yuva420p"),  # opacity before depth
        ("libx265", "yuva444p10le", "yuv444p10le"),  # whose opacity no player shows
        ("libx264", "gbrp", "yuv444p"),
        ("prores_ks", "gray16le", "yuv422p10le"),
        ("utvideo", "yuva420p", "gbrap"),
        ("ffv1", "rgb24", "bgr0"),
    ],
)
def test_what_loses_least_is_stored(encoder: str, given: str, stored: str):
    layout = pixel_format_of(native_format(av.VideoFrame(16, 16, given)), ColourTags())
    choice = choose_encoder(encoder, layout, EncodeOptions())
    assert choice.pixel_format == stored
    assert bool(choice.warnings) == (choice.traits != layout.traits)


@pytest.mark.parametrize(
    ("size", "encoder", "name"),
    some(
        product(
            ((17, 3), (853, 480), (1, 1)),
            ("libx264", "libsvtav1", "libvpx-vp9", "prores_ks", "ffv1", "utvideo"),
            ("yuv420p", "yuv422p", "yuv444p", "gray", "bgr0"),
        ),
        every=4,
    ),
)
def test_odd_sizes(tmp_path: Path, name: str, size: tuple[int, int], encoder: str):
    if encoder == "libsvtav1" and size == (1, 1):
        pytest.skip("SVT-AV1 cannot: the next test")
    image, layout = drawn(name, ColourTags(1, False), size)
    target = tmp_path / f"out.{TARGETS[encoder]}"
    writer = write(target, image, layout, ColourTags(1, False), encoder=encoder)
    info = probe(target)
    assert (info.width, info.height) == size
    even = encoder in ("libx264", "utvideo") and name in ("yuv420p", "yuv422p")
    if even:  # whose chroma samples do not divide the picture
        assert info.pixel_format == "yuv444p"
        message = f"{encoder} cannot store {name} at {size[0]}x{size[1]}: frames are converted to"
        assert any(warning.startswith(message) for warning in writer.warnings)
    if encoder == "ffv1":
        stored = next(iter(clips.decoded(target)))
        for plane, expected in zip(planes_of(stored), planes_of(image), strict=True):
            colours = np.s_[..., :3] if name == "bgr0" else np.s_[:]  # without the unused byte
            np.testing.assert_array_equal(plane[colours], expected[colours])


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ("libx265", r"libx265 cannot encode this \(Image size is too small \(1x1\)\)"),
        ("libsvtav1", r"libsvtav1 cannot encode this \(TU size > 8 raw frame size"),
    ],
)
def test_a_picture_too_small_for_an_encoder_costs_one_line(tmp_path, encoder, message):
    image, layout = drawn("yuv444p", ColourTags(1, False), (1, 1))
    with pytest.raises(EncodeError, match=message) as caught:
        write(tmp_path / "out.mkv", image, layout, ColourTags(1, False), encoder=encoder)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_pixel_format_asked_for_is_stored_or_refused(tmp_path: Path):
    image, layout = drawn("yuv420p10le", ColourTags(9, False))
    write(
        tmp_path / "out.mp4",
        *(image, layout, ColourTags(9, False)),
        encoder="libx264",
        pixel_format="yuv420p",
    )
    assert probe(tmp_path / "out.mp4").pixel_format == "yuv420p"
    odd, odd_layout = drawn("yuv444p", ColourTags(1, False), (17, 3))
    for frame, described, wanted, message in (
        (image, layout, "rgba", "libx264 cannot store rgba; it takes yuv420p, "),
        (odd, odd_layout, "yuv420p", "libx264 cannot store yuv420p at 17x3; it takes yuv444p, "),
    ):
        with pytest.raises(EncodeError, match=message):
            write(
                tmp_path / "refused.mp4",
                *(frame, described, ColourTags(9, False)),
                encoder="libx264",
                pixel_format=wanted,
            )
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


@pytest.mark.parametrize("segment_frames", [8, 1000])
@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"preset": "nonsense"}, "libx264 .*invalid preset 'nonsense'"),
        ({"encoder": "libsvtav1", "preset": "99"}, "libsvtav1 .*'preset' out of range"),
        ({"options": (("no-such", "1"),)}, "libx264 has no option 'no-such'"),
        # What follows an option of the program that has no value would be a second output.
        ({"options": (("an", "x2.mkv"),)}, "libx264 has no option 'an'"),
    ],
)
def test_settings_that_do_not_work_are_refused_before_a_frame_is_made(
    tmp_path: Path, averaging, monkeypatch, settings, reason, segment_frames
):
    asked: list[object] = []
    monkeypatch.setattr(averaging, "forward", lambda *frames: asked.append(frames))
    source = clips.moving_clip(tmp_path / "in.mkv", 9, size=(64, 48))
    options = DoubleOptions(segment_frames=segment_frames, encode=EncodeOptions(**settings))
    with pytest.raises(EncodeError, match=reason):
        double_video(source, tmp_path / "out.mkv", options, interpolator=Interpolator(averaging))
    assert asked == []
    assert [path.name for path in tmp_path.iterdir()] == ["in.mkv"]


def test_hardware_is_tried_and_its_lack_told(tmp_path: Path, averaging, monkeypatch):
    """No session can be opened: each says why, and the software's choice is taken."""
    monkeypatch.setattr(hardware, "why_not", lambda choice, layout: f"no {choice.name} here")
    source = clips.moving_clip(tmp_path / "in.mkv", 3)
    options = DoubleOptions(encode=EncodeOptions(encoder="auto-hw", preset="ultrafast"))
    result = double_video(source, tmp_path / "o.mp4", options, interpolator=Interpolator(averaging))
    assert result.encoder == "libx264"
    assert result.warnings[0].startswith("no hardware encoder works here (h264_nvenc: ")
    assert result.warnings[0].endswith("), so libx264 is used.")


def test_a_session_is_really_opened(monkeypatch: pytest.MonkeyPatch):
    """An encoder that works is found by encoding, one that cannot is passed over."""
    layout = pixel_format_of(av.VideoFrame(128, 96, "yuv420p"), ColourTags())
    x264 = choose_encoder("libx264", layout, EncodeOptions())
    assert why_not(x264, layout) == ""
    small = pixel_format_of(av.VideoFrame(1, 1, "yuv444p"), ColourTags())
    x265 = choose_encoder("libx265", small, EncodeOptions())
    assert why_not(x265, small) == "Image size is too small (1x1)"
    tried = []

    def only_qsv(choice, layout):
        tried.append(choice.name)
        return "" if choice.name == "h264_qsv" else "no session"

    monkeypatch.setattr(hardware, "why_not", only_qsv)
    assert hardware.hardware_encoder("libx264", layout, EncodeOptions()) == ("h264_qsv", ())
    assert tried == ["h264_nvenc", "h264_qsv"]
    assert hardware.hardware_encoder("gif", layout, EncodeOptions()) == (
        "gif",
        ("no hardware encodes what gif does, so that is used.",),
    )


@pytest.mark.parametrize(
    ("name", "pixel_format", "expected"),
    [
        ("h264_nvenc", "yuv420p", "-rc:v:0 vbr -b:v:0 0 -cq:v:0 21 -preset:v:0 p5"),
        ("hevc_qsv", "yuv420p10le", "-tag:v:0 hvc1 -global_quality:v:0 21 -preset:v:0 slower"),
        ("hevc_vaapi", "yuv420p10le", "-rc_mode:v:0 CQP -tag:v:0 hvc1 -global_quality:v:0 21"),
    ],
)
def test_hardware_gets_quality_in_its_own_words(name: str, pixel_format: str, expected: str):
    layout = pixel_format_of(av.VideoFrame(64, 64, pixel_format), ColourTags())
    choice = choose_encoder(name, layout, EncodeOptions(crf=21))
    assert " ".join(choice.arguments) == expected
    assert choice.warnings == ()
    assert choice.traits == layout.traits


@pytest.mark.parametrize(
    ("alias", "encoder", "codec"),
    [
        ("h264", "libx264", "h264"),
        ("avc", "libx264", "h264"),
        ("h265", "libx265", "hevc"),
        ("hevc", "libx265", "hevc"),
        ("av1", "libsvtav1", "libdav1d"),
        ("vp9", "libvpx-vp9", "vp9"),
        ("prores", "prores_ks", "prores"),
    ],
)
def test_a_codec_names_its_software_encoder(tmp_path: Path, alias, encoder, codec):
    image, layout = drawn("yuv420p", ColourTags(1, False))
    target = tmp_path / f"out.{TARGETS[encoder] if encoder != 'libx265' else 'mp4'}"
    writer = write(target, image, layout, ColourTags(1, False), encoder=alias)
    assert writer.encoder == encoder
    assert probe(target).codec == codec
