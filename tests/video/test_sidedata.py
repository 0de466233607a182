"""HDR10 data, mirroring, cropping and siting: read, written, and read again by PyAV and ffmpeg."""

import struct
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import clips
import crafted
import numpy as np
import pytest
from typer.testing import CliRunner

from interp_cli.cli.app import app
from interp_cli.options import DoubleOptions, EncodeOptions
from interp_cli.pipeline.double import double_video
from interp_cli.video.ffmpeg import ffmpeg_path
from interp_cli.video.pixel_format import planes_of
from interp_cli.video.probe import probe
from interp_cli.video.readers.file import VideoReader
from interp_cli.video.sidedata import LightLevel, MasteringDisplay

# In the standard's units: 1/50000 for colours, 1/10000 cd/m² for levels. No number is a round one.
MASTERING = "G(13251,34499)B(7501,2999)R(34001,15999)WP(15635,16451)L(9990001,53)"
LIGHT = "993,401"


@pytest.fixture
def double(tmp_path: Path, interpolator):
    def run(source: Path, name: str = "out.mkv", encoder: str = "ffv1", **more):
        options = DoubleOptions(encode=EncodeOptions(encoder=encoder, **more))
        target = tmp_path / name
        return double_video(source, target, options, interpolator=interpolator)

    return run


@pytest.fixture(scope="module")
def hdr10(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """4 frames, PQ, HEVC, the data in the stream and in the container."""
    folder = tmp_path_factory.mktemp("hdr10")
    raw = clips.moving_clip(folder / "raw.nut", 4, codec="rawvideo", pix_fmt="yuv420p10le")
    tags = "colorspace=bt2020nc:color_primaries=bt2020:color_trc=smpte2084:chroma_location=topleft"
    crafted.ffmpeg(
        *("-mastering_display", MASTERING, "-content_light", LIGHT, "-i", raw),
        *("-vf", f"setparams=range=limited:{tags}", "-c:v", "libx265"),
        *("-x265-params", "log-level=error", folder / "hdr10.mp4"),
    )
    return folder / "hdr10.mp4"


def exact(path: Path) -> list[tuple[list[Fraction], tuple[int, ...]]]:
    """Mastering display and light level of each frame as PyAV decodes it."""
    found = []
    with av.open(path) as container:
        for frame in container.decode(video=0):
            data = {item.type.name: bytes(item) for item in frame.side_data}
            numbers = struct.unpack("<20i2i", data["MASTERING_DISPLAY_METADATA"])
            display = [Fraction(*numbers[i : i + 2]) for i in range(0, 20, 2)]
            found.append((display, struct.unpack("<2I", data["CONTENT_LIGHT_LEVEL"])))
    return found


WANTED = [
    *(Fraction(n, 50_000) for n in (34001, 15999, 13251, 34499, 7501, 2999, 15635, 16451)),
    Fraction(53, 10_000),
    Fraction(9990001, 10_000),
]


def test_hdr10_data_are_read(hdr10: Path):
    info = probe(hdr10)
    assert info.mastering_display == MasteringDisplay(
        (WANTED[0], WANTED[1]),
        (WANTED[2], WANTED[3]),
        (WANTED[4], WANTED[5]),
        (WANTED[6], WANTED[7]),
        WANTED[8],
        WANTED[9],
    )
    assert info.light_level == LightLevel(993, 401)
    assert (str(info.mastering_display), str(info.light_level)) == (MASTERING, LIGHT)
    assert info.chroma_location == "topleft"
    assert info.dropped_metadata == ()


@pytest.mark.parametrize(
    ("encoder", "name"),
    [
        ("libx265", "out.mp4"),
        ("libx265", "out.mkv"),
        ("libx265", "out.mov"),
        ("libsvtav1", "out.mp4"),
        ("libsvtav1", "out.mkv"),
        ("libvpx-vp9", "out.webm"),
        ("libvpx-vp9", "out.mp4"),
        ("libx264", "out.mp4"),
        ("prores_ks", "out.mov"),
        ("ffv1", "out.mkv"),
    ],
)
def test_hdr10_data_arrive_exactly_with_every_frame(double, hdr10: Path, encoder: str, name: str):
    result = double(hdr10, name, encoder)
    frames = exact(result.target)
    assert len(frames) == 8
    # AV1 counts in 1/65536, 1/256 (brightest) and 1/16384 (darkest); all others exactly.
    units = [65536] * 8 + [16384, 256] if encoder == "libsvtav1" else [None] * 10
    for display, light in frames:
        assert light == (993, 401)
        for value, wanted, unit in zip(display, WANTED, units, strict=True):
            # Matroska's doubles come back as the nearest small fraction.
            assert abs(value - wanted) <= (Fraction(1, unit) if unit else Fraction(1, 10**9))
    info = probe(result.target)
    assert (info.colour.matrix, info.colour.primaries, info.colour.transfer) == (9, 9, 16)


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_x265_writes_the_exact_integers(double, hdr10: Path, name: str):
    result = double(hdr10, name, "libx265")
    stream = result.target.with_suffix(".hevc")
    crafted.ffmpeg("-i", result.target, "-c", "copy", "-f", "hevc", stream)
    colours = (13251, 34499, 7501, 2999, 34001, 15999, 15635, 16451)
    display = struct.pack(">8H2I", *colours, 9990001, 53)
    # In a stream, two zero bytes are followed by a 3 where the next byte is small.
    data = stream.read_bytes().replace(b"\0\0\3", b"\0\0")
    assert display in data
    assert b"\x90\x04" + struct.pack(">2H", 993, 401) in data


@pytest.mark.parametrize("name", ["out.mkv", "out.mp4", "out.mov", "out.webm"])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.slow
def test_turned_and_mirrored_pictures_look_the_same(double, tmp_path, name, rotation, mirrored):
    plain = clips.moving_clip(tmp_path / "plain.mkv", 2, size=(64, 48))
    source = tmp_path / "turned.mp4"
    flip = ["-display_hflip"] if mirrored else []
    crafted.ffmpeg("-display_rotation", rotation, *flip, "-i", plain, "-c", "copy", source)
    encoder = "libvpx-vp9" if name.endswith("webm") else "libx264"
    result = double(source, name, encoder)
    before, after = probe(source), probe(result.target)
    assert (after.rotation, after.mirrored) == (before.rotation, before.mirrored)
    assert before.mirrored == mirrored
    # What ffmpeg shows of the file, turned as the file says, is the drawing, turned.
    shown = shown_by_ffmpeg(result.target)
    drawn = np.rot90(clips.true_frame(0, (64, 48)), rotation // 90)
    drawn = drawn[:, ::-1] if mirrored else drawn
    assert shown.shape == drawn.shape
    assert np.abs(shown.astype(int) - drawn).mean() < 6


def shown_by_ffmpeg(path: Path) -> np.ndarray:
    """The first frame as ffmpeg turns and crops it, RGB."""
    run = subprocess.run(
        [
            *(ffmpeg_path(), "-v", "error", "-i", path, "-frames:v", "1"),
            *("-vf", "scale=out_range=full", "-pix_fmt", "rgb24"),
            *("-c:v", "ppm", "-f", "image2pipe", "-"),
        ],
        capture_output=True,
        check=True,
    )
    header, size, _, pixels = run.stdout.split(b"\n", 3)
    assert header == b"P6"
    width, height = map(int, size.split())
    return np.frombuffer(pixels, np.uint8).reshape(height, width, 3)


@pytest.fixture
def cropped_clip(tmp_path: Path) -> Path:
    """128x96 of which the container takes 4 columns left, 2 right, 6 rows above and 8 below."""
    plain = clips.moving_clip(tmp_path / "plain.mp4", 4)
    box = crafted.clean_aperture(122, 82, 1, -1)
    return crafted.with_box(plain, tmp_path / "cropped.mp4", b"avc1", box)


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_what_a_container_crops_is_not_shown(double, cropped_clip: Path, ending: str):
    source = cropped_clip
    if ending == "mkv":
        source = cropped_clip.with_suffix(".mkv")
        crafted.ffmpeg("-i", cropped_clip, "-c", "copy", source)
    info = probe(source)
    assert info.cropping == (4, 2, 6, 8)
    assert (info.width, info.height) == (122, 82)
    result = double(source)
    assert result.warnings == (
        "the container crops the picture to 122x82: the output holds what it shows, and no more.",
    )
    whole = clips.decoded(source)
    with VideoReader(result.target) as reader:
        originals = list(reader)[::2]
    for frame, original in zip(whole, originals, strict=True):
        luma, blue, red = planes_of(frame)
        for plane, uncropped in zip(
            planes_of(original.image),
            (luma[6:88, 4:126], blue[3:44, 2:63], red[3:44, 2:63]),
            strict=True,
        ):
            np.testing.assert_array_equal(plane, uncropped)


def test_cropping_within_the_stream_is_the_decoders(double, tmp_path: Path):
    # 1080 rows are coded as 1088; here 96 as 90.
    plain = clips.moving_clip(tmp_path / "plain.mp4", 2)
    source = tmp_path / "sps.mp4"
    bits = "h264_metadata=crop_left=2:crop_bottom=6"
    crafted.ffmpeg("-i", plain, "-c", "copy", "-bsf:v", bits, source)
    result = double(source)
    info = probe(result.target)
    assert (info.width, info.height, info.cropping) == (126, 90, (0, 0, 0, 0))
    assert result.warnings == ()


@pytest.mark.parametrize(
    ("box", "name"),
    [
        (crafted.dolby_vision(), "Dolby Vision metadata"),
        (crafted.stereo(), "the 3D arrangement"),
    ],
)
def test_what_cannot_be_kept_is_named(double, hdr10: Path, tmp_path: Path, box: bytes, name: str):
    source = crafted.with_box(hdr10, tmp_path / "boxed.mp4", b"hev1", box)
    result = double(source)
    assert result.warnings == (
        f"not carried over: {name} (made for the original frames only, or ffmpeg cannot write it).",
    )
    assert probe(source).mastering_display == probe(result.target).mastering_display


@pytest.mark.parametrize(
    ("message", "hevc", "name"),
    [
        (crafted.hdr10_plus(), True, "HDR10+ metadata"),
        (crafted.closed_captions(), False, "closed captions within the picture (CEA-608/708)"),
    ],
)
def test_messages_within_the_stream_are_named(double, tmp_path, message, hevc, name):
    plain = tmp_path / ("plain.hevc" if hevc else "plain.h264")
    codec = "libx265" if hevc else "libx264"
    clips.moving_clip(plain.with_suffix(".mkv"), 4, codec=codec, options={"bf": "0"})
    crafted.ffmpeg("-i", plain.with_suffix(".mkv"), "-c", "copy", plain)
    source = crafted.with_sei(plain, tmp_path / f"sei{plain.suffix}", message, hevc=hevc)
    assert probe(source).dropped_metadata == (name,)
    assert f"not carried over: {name} " in double(source).warnings[0]


def test_an_untagged_matrix_stays_untagged_without_a_word(double, tmp_path: Path):
    source = tmp_path / "untagged.mkv"
    with av.open(source, "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for code in (40, 90):
            image = av.VideoFrame(64, 48, "yuv420p")
            for plane in planes_of(image):
                plane[...] = code
            container.mux(stream.encode(image))
        container.mux(stream.encode(None))
    result = double(source)
    assert result.warnings == ()
    assert probe(result.target).colour.matrix == 2


def test_info_tells_hdr10_data(hdr10: Path):
    done = CliRunner().invoke(app, ["info", str(hdr10)])
    words = " ".join(done.stdout.split())
    assert "mastered on a display of 0.0053 to 999 cd/m²" in words
    assert "light level a pixel up to 993, a frame up to 401 cd/m²" in words
