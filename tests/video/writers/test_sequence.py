"""Picture sequences through the whole pipeline, with a model that averages."""

from fractions import Fraction
from pathlib import Path

import av
import clips
import cv2
import numpy as np
import pytest

from interp_cli.errors import DecodeError, EncodeError, OpenError
from interp_cli.options import DoubleOptions, EncodeOptions
from interp_cli.pipeline.double import DoubleResult, double_video
from interp_cli.video.images.read import read_image
from interp_cli.video.readers.file import VideoReader


@pytest.fixture
def double(interpolator, tmp_path, monkeypatch):
    """Double from and to names in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(source: str, target: str, **options) -> DoubleResult:
        return double_video(source, target, DoubleOptions(**options), interpolator=interpolator)

    return run


def pictures(folder: Path, names: list[str], dtype=np.uint8, channels: int = 1, scale=1.0) -> None:
    """Noise that moves from file to file, so that nothing is a repeat."""
    folder.mkdir()
    noise = np.random.default_rng(0).random((24, 40 + len(names), 3))
    top = 1.0 if dtype == np.float32 else np.iinfo(dtype).max
    for index, name in enumerate(names):
        samples = (noise[:, index : index + 32, :channels] * top * scale).astype(dtype)
        assert cv2.imwrite(str(folder / name), samples.squeeze())


def numbered(count: int, ending: str) -> list[str]:
    return [f"f_{n:03d}{ending}" for n in range(1, count + 1)]


def read(path: Path) -> np.ndarray:
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize("ending", [".png", ".tif", ".jpg", ".webp"])
def test_originals_are_copied_byte_for_byte(double, tmp_path: Path, ending: str):
    pictures(tmp_path / "in", numbered(4, ending), channels=3)
    result = double("in", "out")
    assert (result.frames_in, result.frames_out) == (4, 8)
    names = numbered(8, ending)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == names
    for index, name in enumerate(numbered(4, ending)):
        original = (tmp_path / "in" / name).read_bytes()
        assert (tmp_path / "out" / names[2 * index]).read_bytes() == original
    assert (tmp_path / "out" / names[7]).read_bytes() == original  # the last is repeated
    assert result.output_bytes == sum(p.stat().st_size for p in (tmp_path / "out").iterdir())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out"]


@pytest.mark.parametrize(
    ("ending", "dtype", "channels"),
    [(".png", np.uint16, 1), (".png", np.uint16, 3), (".tif", np.uint16, 1), (".png", np.uint8, 1)],
)
def test_synthesized_pictures_are_as_deep_as_the_originals(
    double, tmp_path: Path, ending: str, dtype, channels: int
):
    pictures(tmp_path / "in", numbered(2, ending), dtype, channels)
    double("in", "out")
    before, middle, after = (read(tmp_path / "out" / name) for name in numbered(3, ending))
    assert (middle.dtype, middle.shape) == (before.dtype, before.shape)
    mean = (before.astype(np.float64) + after) / 2
    assert np.abs(middle - mean).max() <= 0.51


def test_from_one_kind_to_another_values_are_exact(double, tmp_path: Path):
    pictures(tmp_path / "in", numbered(3, ".png"), np.uint16)
    double("in/f_%03d.png", "x_%d.tif")
    for index, name in enumerate(numbered(3, ".png")):
        np.testing.assert_array_equal(
            read(tmp_path / f"x_{2 * index + 1}.tif"), read(tmp_path / "in" / name)
        )


def test_the_same_samples_in_another_order_are_one_format(double, tmp_path: Path):
    (tmp_path / "in").mkdir()
    noise = np.random.default_rng(0).integers(0, 2, (2, 8, 16, 1), np.uint8)
    blue, clear = np.array([250, 20, 10, 255], np.uint8), np.array([3, 2, 1, 100], np.uint8)
    drawn = np.where(noise, blue, clear)
    codes = noise[0, ..., 0]
    palette = av.VideoFrame(16, 8, "pal8")
    np.frombuffer(palette.planes[0], np.uint8).reshape(8, -1)[:, :16] = codes
    np.frombuffer(palette.planes[1], np.uint32)[:2] = np.stack([clear, blue]).view("<u4")[:, 0]
    context = av.CodecContext.create("png", "w")
    context.width, context.height, context.pix_fmt = 16, 8, "pal8"
    context.time_base = Fraction(1, 25)
    palette.pts = 0
    packets = [*context.encode(palette), *context.encode(None)]
    (tmp_path / "in" / "1.png").write_bytes(b"".join(map(bytes, packets)))
    cv2.imwrite(str(tmp_path / "in" / "2.png"), drawn[1])
    double("in", "out/%d.tif")
    for number, expected in ((1, drawn[0]), (3, drawn[1])):
        # OpenCV multiplies the colours of such a TIFF by the opacity.
        made = read_image(tmp_path / "out" / f"{number}.tif").reformat(format="bgra")
        np.testing.assert_array_equal(made.to_ndarray(), expected)


@pytest.mark.parametrize("scale", [1.0, 50.0])
def test_floating_point_values_beyond_white_are_kept(double, tmp_path: Path, scale: float):
    pictures(tmp_path / "in", numbered(2, ".tif"), np.float32, 3, scale)
    result = double("in", "out/%03d.exr", white_level=scale / 2)
    back, middle, _ = (_exr(tmp_path / "out" / f"{n:03d}.exr") for n in (1, 2, 3))
    before, after = (read(tmp_path / "in" / name) for name in numbered(2, ".tif"))
    np.testing.assert_array_equal(back, before[..., ::-1])
    assert middle.max() > 0.8 * scale
    # The mean of roots lies between the geometric and the arithmetic mean.
    assert (middle <= (before + after)[..., ::-1] / 2 + 1e-4 * scale).all()
    assert (middle >= np.sqrt(before * after)[..., ::-1] - 1e-4 * scale).all()
    assert result.warnings == ()


def test_values_far_above_white_are_pointed_out(double, tmp_path: Path):
    pictures(tmp_path / "in", numbered(2, ".tif"), np.float32, 1, 4095.0)
    (warning,) = double("in", "out").warnings
    assert warning.startswith("its values go up to about 4.0")
    assert "`white_level=" in warning


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("numbers", "warnings"), [(0.8, 1), (0.0, 0)])
def test_only_numbers_count_as_values_far_above_white(
    double, tmp_path: Path, numbers: float, warnings: int
):
    pictures(tmp_path / "in", numbered(2, ".tif"), np.float32, 1, 4095.0)
    for name in numbered(2, ".tif"):
        samples = read(tmp_path / "in" / name)
        samples[int(numbers * len(samples)) :] = np.inf
        samples[-1] = np.nan
        cv2.imwrite(str(tmp_path / "in" / name), samples)
    said = double("in", "out").warnings
    assert len(said) == warnings
    assert all(text.startswith("its values go up to about 4.0") for text in said)


def _exr(path: Path) -> np.ndarray:
    from interp_cli.video.images.float_curve import float_planes

    green, blue, red = float_planes(read_image(path))
    return np.dstack([red, green, blue])


def test_a_missing_number_is_a_gap_in_time_and_in_the_names(double, tmp_path: Path):
    pictures(tmp_path / "in", ["1.png", "2.png", "4.png"])
    result = double("in", "out")
    assert result.warnings == (
        "1 of the numbers is missing (3): the gap stays, in time and in the names of a new "
        "sequence.",
    )
    assert sorted(int(p.stem) for p in (tmp_path / "out").iterdir()) == [1, 2, 3, 5, 7, 8]
    for number, original in ((1, 1), (3, 2), (7, 4)):
        made = (tmp_path / "out" / f"{number}.png").read_bytes()
        assert made == (tmp_path / "in" / f"{original}.png").read_bytes()


def test_a_sequence_becomes_a_video_at_the_rate_that_is_said(double, tmp_path: Path):
    pictures(tmp_path / "in", numbered(3, ".png"), np.uint16)
    lossless = EncodeOptions(encoder="ffv1")
    result = double("in", "a.mkv", input_frame_rate=Fraction(10), encode=lossless)
    assert (result.frame_rate, result.video_seconds, result.warnings) == (20, 0.3, ())
    with VideoReader(tmp_path / "a.mkv") as reader:
        frames = [np.array(frame.image.to_ndarray()) for frame in reader]
    assert len(frames) == 6
    for index, name in enumerate(numbered(3, ".png")):
        np.testing.assert_array_equal(frames[2 * index], read(tmp_path / "in" / name))
    (warning,) = double("in", "b.mkv", encode=lossless).warnings
    assert warning == "25 pictures a second are assumed; `input_frame_rate` says otherwise."


def test_a_part_of_a_sequence_keeps_its_own_numbers_from_the_first(double, tmp_path: Path):
    pictures(tmp_path / "in", numbered(6, ".png"))
    result = double("in", "out", start_seconds=0.04, end_seconds=0.12)
    assert (result.frames_in, result.frames_out) == (2, 4)
    original = (tmp_path / "in" / "f_002.png").read_bytes()
    assert sorted(p.name for p in (tmp_path / "out").iterdir())[0] == "f_001.png"
    assert (tmp_path / "out" / "f_001.png").read_bytes() == original


def test_a_video_becomes_pictures(double, tmp_path: Path):
    clips.moving_clip(
        tmp_path / "in.mkv", frames=3, codec="libx264rgb", pix_fmt="rgb24", options={"qp": "0"}
    )
    (tmp_path / "out").mkdir()
    result = double("in.mkv", "out/%02d.png")
    assert result.frames_out == 6
    for index, picture in enumerate(clips.drawn_frames(3)):
        made = read(tmp_path / "out" / f"{2 * index + 1:02d}.png")
        np.testing.assert_array_equal(made[..., ::-1], picture)


def test_pictures_of_another_size_or_format_are_named(double, tmp_path: Path):
    pictures(tmp_path / "in", numbered(3, ".png"))
    cv2.imwrite(str(tmp_path / "in" / "f_003.png"), np.zeros((24, 33), np.uint8))
    with pytest.raises(DecodeError, match=r"f_003.png: is 33x24 gray, but .* 32x24 gray \(f_001"):
        double("in", "out")
    cv2.imwrite(str(tmp_path / "in" / "f_002.png"), np.zeros((24, 32), np.uint16))
    with pytest.raises(DecodeError, match=r"f_002.png: is 32x24 gray16be, but"):
        double("in", "out")
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_a_damaged_picture_is_named_and_can_be_left_out(double, tmp_path: Path):
    pictures(tmp_path / "in", numbered(4, ".png"))
    damaged = tmp_path / "in" / "f_003.png"
    damaged.write_bytes(damaged.read_bytes()[:200])
    with pytest.raises(DecodeError, match=r"f_003.png: .* The 2 pictures before it are good"):
        double("in", "out")
    assert not (tmp_path / "out").exists()
    result = double("in", "out", keep_going=True)
    assert (result.frames_in, result.frames_out) == (3, 6)
    told = "the input is damaged: 3 of 4 frames are good, 1 is left out (in/f_003.png: cannot"
    assert result.warnings[-1].startswith(told)


def test_nothing_is_written_over_unasked(double, tmp_path: Path):
    pictures(tmp_path / "in", numbered(2, ".png"))
    double("in", "out")
    with pytest.raises(EncodeError, match="out: 4 such PNG files exist; use `overwrite`"):
        double("in", "out")
    with pytest.raises(EncodeError, match="is the input itself"):
        double("in", "in/f_%03d.png", overwrite=True)
    (tmp_path / "out" / "f_009.png").touch()
    (tmp_path / "out" / "notes.txt").touch()
    double("in", "out", overwrite=True)
    found = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert found == [*numbered(4, ".png"), "notes.txt"]


def test_pictures_that_cannot_take_their_places_stay_and_so_do_the_old_ones(double, tmp_path: Path):
    pictures(tmp_path / "in", numbered(2, ".png"))
    out = tmp_path / "out"
    (out / "f_003.png").mkdir(parents=True)  # is no picture, and in the way
    for name in ("f_001.png", "f_002.png", "f_009.png"):
        (out / name).write_bytes(name.encode())
    with pytest.raises(EncodeError, match=r"f_003.png exists by now and was .* kept as"):
        double("in", "out", overwrite=True)
    kept = tmp_path / "out.finished"
    assert sorted(p.name for p in kept.iterdir()) == numbered(4, ".png")
    assert {p.name: p.read_bytes().decode() for p in out.iterdir() if p.is_file()} == {
        name: name for name in ("f_001.png", "f_002.png", "f_009.png")
    }


@pytest.mark.parametrize(
    ("source", "target", "options", "message"),
    [
        ("in", "a.tif", {}, "one TIFF file holds one picture; give a pattern, such as a_%06d.tif"),
        ("in", "none/a/%d.png", {}, "the folder none does not exist"),
        ("in", "o", {"encode": EncodeOptions(crf=3)}, "`crf` cannot be used, since the kind of"),
        ("in", "o/%d.exr", {}, "OpenEXR does not hold the input's integer values"),
        ("float", "a.mkv", {}, "holds no floating-point values; write .exr or .tif"),
        ("none/%d.png", "o", {}, "no picture is there"),
        ("in", "a.mkv", {"output_format": "nut"}, "`output_format` is for a pipe"),
    ],
)
def test_a_mistake_costs_one_line(double, tmp_path: Path, source, target, options, message):
    pictures(tmp_path / "in", numbered(2, ".png"))
    pictures(tmp_path / "float", numbered(2, ".tif"), np.float32)
    with pytest.raises((EncodeError, OpenError), match=message):
        double(source, target, **options)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["float", "in"]


def test_a_rate_is_for_pictures_alone(double, tmp_path: Path):
    clips.moving_clip(tmp_path / "in.mkv", frames=2, codec="ffv1")
    with pytest.raises(OpenError, match="has times of its own; `input_frame_rate` is for picture"):
        double("in.mkv", "a.mkv", input_frame_rate=Fraction(10))


@pytest.mark.needs_footage
def test_a_microscope_sequence_survives(footage: Path, double, tmp_path: Path):
    source = footage / "clips" / "gray16_png"
    result = double(str(source), "out")
    assert (result.frames_in, result.frames_out, result.synthesized) == (12, 24, 11)
    for index, original in enumerate(sorted(source.iterdir())):
        made = tmp_path / "out" / f"frame_{2 * index + 1:04d}.png"
        assert made.read_bytes() == original.read_bytes()
        synthesized = read(tmp_path / "out" / f"frame_{2 * index + 2:04d}.png")
        assert (synthesized.dtype, synthesized.shape) == (np.uint16, (180, 320))
