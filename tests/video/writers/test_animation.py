"""GIF, APNG and animated WebP through the whole pipeline, with a model that averages."""

from fractions import Fraction
from pathlib import Path

import av
import clips
import cv2
import numpy as np
import pytest

from interp_cli.atomic import AtomicPath
from interp_cli.errors import DecodeError, EncodeError
from interp_cli.options import DoubleOptions, EncodeOptions
from interp_cli.pipeline.double import DoubleResult, double_video
from interp_cli.video.images.animation_timing import missing_bytes, read_animation_timing
from interp_cli.video.readers.open import open_source

ENDINGS = (".gif", ".apng", ".webp")
SIZE = (40, 24)


@pytest.fixture
def double(interpolator, tmp_path):
    def run(source: Path, name: str, **options) -> DoubleResult:
        return double_video(
            source, tmp_path / name, DoubleOptions(**options), interpolator=interpolator
        )

    return run


def drawn(index: int) -> np.ndarray:
    """Few colours, partly clear; nothing stands still: BGRA, (24, 40, 4)."""
    width, height = SIZE
    picture = np.zeros((height, width, 4), np.uint8)
    picture[4:, :, 3] = 255
    for step in range(8):
        picture[4:, (5 * step + 2 * index) % width :, step % 3] = 20 * step + index
    picture[..., :3][picture[..., 3] == 0] = 0
    return picture


def animation(path: Path, delays: list[Fraction], plays: int) -> Path:
    """Write one with PyAV alone (FFmpeg's own muxers)."""
    kind = path.suffix[1:]
    encoder, name, pixels = {
        "gif": ("gif", "gif", "pal8"),
        "apng": ("apng", "apng", "rgba"),
        "webp": ("libwebp_anim", "webp", "bgra"),
    }[kind]
    unit = Fraction(1, 100) if kind == "gif" else Fraction(1, 1000)
    last = delays[-1]
    options = {
        "gif": {"loop": str({0: 0, 1: -1}.get(plays, plays - 1)), "final_delay": str(last * 100)},
        "apng": {"plays": str(plays), "final_delay": str(last)},
        "webp": {"loop": str(plays)},
    }[kind]
    with av.open(str(path), "w", format=name, options=options) as file:
        stream = file.add_stream(encoder, options={"lossless": "1"} if kind == "webp" else {})
        stream.width, stream.height = SIZE
        stream.pix_fmt = pixels
        stream.time_base = stream.codec_context.time_base = unit
        begin = Fraction(0)
        for index, delay in enumerate(delays):
            image = av.VideoFrame.from_ndarray(drawn(index), format="bgra")
            image = _paletted(image) if kind == "gif" else image.reformat(format=pixels)
            image.pts, image.time_base = int(begin / unit), unit
            file.mux(stream.encode(image))
            begin += delay
        file.mux(stream.encode(None))
    if kind == "webp":  # libwebp guesses the last delay
        content = bytearray(path.read_bytes())
        place = content.rfind(b"ANMF") + 8 + 12
        content[place : place + 3] = int(last * 1000).to_bytes(3, "little")
        path.write_bytes(content)
    return path


def _paletted(image: av.VideoFrame) -> av.VideoFrame:
    codes = image.to_ndarray().view("<u4")[..., 0]
    colours, indices = np.unique(codes, return_inverse=True)
    made = av.VideoFrame(*SIZE, "pal8")
    rows = np.frombuffer(made.planes[0], np.uint8).reshape(SIZE[1], -1)
    rows[:, : SIZE[0]] = indices.reshape(codes.shape)
    np.frombuffer(made.planes[1], np.uint32)[: len(colours)] = colours
    return made


def frames(path: Path) -> list[tuple[Fraction, Fraction, np.ndarray]]:
    """When each frame begins, how long it stands, and its picture (BGRA)."""
    found = []
    with open_source(path, DoubleOptions()) as reader:
        for frame in reader:
            picture = frame.image.reformat(format="bgra").to_ndarray()
            picture[picture[..., 3] == 0] = 0  # what is clear has no colour
            found.append((frame.seconds, frame.duration * frame.time_base, picture))
    return found


def seconds(*hundredths: int) -> list[Fraction]:
    return [Fraction(n, 100) for n in hundredths]


@pytest.mark.parametrize("plays", [0, 1, 3])
@pytest.mark.parametrize("ending", ENDINGS)
def test_delays_plays_transparency_and_originals_are_kept(
    double, tmp_path: Path, ending: str, plays: int
):
    delays = seconds(8, 9, 13, 7)
    source = animation(tmp_path / f"in{ending}", delays, plays)
    assert [delay for _, delay, _ in frames(source)] == delays
    result = double(source, f"out{ending}", scene_threshold=None)  # all are synthesized
    assert (result.frames_in, result.frames_out, result.synthesized) == (4, 8, 3)
    assert result.video_seconds == pytest.approx(0.37)
    facts = read_animation_timing(tmp_path / f"out{ending}")
    assert facts is not None
    assert facts.plays == plays
    made = frames(tmp_path / f"out{ending}")
    assert sum(delay for _, delay, _ in made) == sum(delays)
    shown = {begin: picture for begin, _, picture in made}
    begin = Fraction(0)
    for index, delay in enumerate(delays):
        np.testing.assert_array_equal(shown[begin], drawn(index))
        begin += delay
    half = Fraction(1, 2)
    expected = [half * d for d in delays for _ in range(2)]
    if ending == ".gif":  # each frame begins at the nearest hundredth
        expected = seconds(4, 4, 5, 4, 7, 6, 4, 3)
    if ending == ".webp":  # which stores a repeated frame once
        expected[-2:] = [sum(expected[-2:])]
    assert [delay for _, delay, _ in made] == expected
    assert (made[1][2][:4, :, 3] == 0).all()
    assert (made[1][2][4:, :, 3] == 255).all()


def test_apng_delays_are_exact_fractions(double, tmp_path: Path):
    source = animation(tmp_path / "in.apng", [Fraction(1, 8)] * 2, 0)
    content = source.read_bytes()
    # 1/30 s, which FFmpeg's demuxer would round to 0.03333 s; the decoders here check no CRC.
    source.write_bytes(content.replace(b"\0\1\0\x08", b"\0\1\0\x1e"))
    assert [delay for _, delay, _ in frames(source)] == [Fraction(1, 30)] * 2
    double(source, "out.apng")
    assert [delay for _, delay, _ in frames(tmp_path / "out.apng")] == [Fraction(1, 60)] * 4


def test_sixteen_bits_survive_in_apng(double, tmp_path: Path):
    folder = tmp_path / "in"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 65536, (2, 24, 40), np.uint16)
    for index, picture in enumerate(noise):
        cv2.imwrite(str(folder / f"{index}.png"), picture)
    double(folder, "out.apng")
    with open_source(tmp_path / "out.apng", DoubleOptions()) as reader:
        made = [frame.image.to_ndarray() for frame in reader]
    assert reader.info.pixel_format == "gray16be"
    np.testing.assert_array_equal(made[0], noise[0])
    np.testing.assert_array_equal(made[2], noise[1])


def test_more_colours_than_a_gif_holds_are_dithered(double, h264_clip: Path, tmp_path: Path):
    result = double(h264_clip, "out.gif", end_seconds=0.1)
    assert result.frames_out == 6
    assert "6 of 6 frames have more and are dithered; .webp and .apng keep" in result.warnings[-1]
    with open_source(h264_clip, DoubleOptions()) as reader:
        original = next(iter(reader)).image.reformat(format="bgra").to_ndarray()
    made = frames(tmp_path / "out.gif")
    assert [delay for _, delay, _ in made] == seconds(2, 2, 2, 2, 2, 2)
    assert len(np.unique(made[0][2].reshape(-1, 4), axis=0)) > 200
    assert np.abs(made[0][2][..., :3].astype(int) - original[..., :3]).mean() < 6


def covers(kind: str, index: int, width: int) -> np.ndarray:
    """Opaque in two colours, mostly clear, all clear, or opaque in many colours: BGRA."""
    picture = np.zeros((20, width, 4), np.uint8)
    if kind == "opaque":
        picture[...] = (90 + index, 7, 9, 255)
        picture[10:, : (width + 1) // 2] = (1, 2, index, 255)
    if kind == "clear":
        picture[:, index : index + 3] = (3, 200, index, 255)
    if kind == "noise":
        picture[...] = np.random.default_rng(index).integers(0, 256, picture.shape)
        picture[..., 3] = 255
    return picture


# Rows whose length in memory is and is not what filters and decoders make of it.
@pytest.mark.parametrize("width", [5, 33, 64, 96])
@pytest.mark.parametrize("ending", ENDINGS)
def test_what_was_opaque_is_clear_again(double, tmp_path: Path, ending: str, width: int):
    order = "opaque clear noise noise clear opaque opaque empty clear noise empty"
    kinds = order.split()
    pictures = [covers(kind, index, width) for index, kind in enumerate(kinds)]
    source = tmp_path / "in.mkv"
    with av.open(str(source), "w") as file:
        stream = file.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = width, 20, "bgra"
        for picture in pictures:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgra")))
        file.mux(stream.encode(None))
    double(source, f"out{ending}", scene_threshold=None)
    made_frames = frames(tmp_path / f"out{ending}")
    for index, picture in enumerate(pictures):
        # WebP stores equal frames once.
        made = [made for begin, _, made in made_frames if begin <= Fraction(index, 10)][-1]
        np.testing.assert_array_equal(made[..., 3], picture[..., 3])
        if (ending, kinds[index]) != (".gif", "noise"):
            np.testing.assert_array_equal(made, picture)


def test_delays_that_browsers_lengthen_are_pointed_out(double, tmp_path: Path):
    source = animation(tmp_path / "in.gif", seconds(3, 3), 0)
    (warning,) = double(source, "out.gif").warnings
    assert warning.startswith("most browsers show GIF delays below 2 hundredths")
    assert next(delay for _, delay, _ in frames(tmp_path / "out.gif")) == Fraction(2, 100)


def test_a_frame_too_short_for_gif_is_an_error(double, tmp_path: Path):
    source = animation(tmp_path / "in.apng", [Fraction(1, 100)] * 3, 0)
    with pytest.raises(EncodeError, match="frame 1 would stand for less than 1/100 s"):
        double(source, "out.gif", factor=4)
    assert [p.name for p in tmp_path.iterdir()] == ["in.apng"]
    shortest = animation(tmp_path / "in.gif", seconds(1, 1), 0)
    with pytest.raises(EncodeError, match="frame 2 would stand for less than 1/100 s"):
        double(shortest, "out.gif")


def test_a_finished_animation_that_cannot_take_its_name_stays(double, tmp_path: Path, monkeypatch):
    source = animation(tmp_path / "in.gif", seconds(10, 10), 1)

    def locked(output: AtomicPath) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(AtomicPath, "commit", locked)
    with pytest.raises(EncodeError, match=r"out.gif: .* name \(Permission denied\)\. .* kept as"):
        double(source, "out.gif")
    assert len(frames(tmp_path / "out.finished.gif")) == 4


def test_what_only_a_video_can_hold_is_named(double, tmp_path: Path):
    source = clips.moving_clip(tmp_path / "in.mkv", frames=3, size=(64, 48), audio="aac")
    for name in ("out.gif", "out.webp", "out_%d.png"):
        (said,) = [w for w in double(source, name).warnings if "left out" in w]
        assert said.endswith(f"{name}: holds no more than the video; left out: audio (aac).")
    assert not any("left out" in w for w in double(source, "b.gif", audio=False).warnings)
    assert not any("left out" in w for w in double(source, "out.mp4").warnings)


def test_settings_of_other_encoders_are_refused(double, tmp_path: Path):
    source = animation(tmp_path / "in.apng", seconds(5, 5), 0)
    with pytest.raises(EncodeError, match="since such a file has one encoder, gif"):
        double(source, "out.gif", encode=EncodeOptions(encoder="libx264"))
    lossy = EncodeOptions(encoder="libwebp_anim", options=(("lossless", "0"),))
    result = double(source, "out.webp", encode=lossy)
    assert (result.frames_out, result.encoder) == (4, "libwebp_anim")


def test_a_cut_off_webp_is_damaged(double, tmp_path: Path):
    from interp_cli.errors import VideoError

    source = animation(tmp_path / "in.webp", seconds(8, 8, 8, 8), 0)
    content = source.read_bytes()
    source.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(VideoError, match=r"in\.webp"):
        double(source, "out.webp")
    assert [p.name for p in tmp_path.iterdir()] == ["in.webp"]


@pytest.mark.parametrize("ending", ["gif", "apng"])
@pytest.mark.parametrize("share", [0.6, 0.7, 0.95])
def test_a_cut_off_animation_is_damaged(double, tmp_path: Path, ending: str, share: float):
    source = animation(tmp_path / f"in.{ending}", seconds(8, 8, 8, 8), 0)
    content = source.read_bytes()
    assert missing_bytes(source) == 0
    source.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DecodeError, match=r"decoded .* frames \(the file is .* bytes shorter"):
        double(source, "out.mkv")
    assert [p.name for p in tmp_path.iterdir()] == [source.name]
    result = double(source, "out.mkv", keep_going=True)
    # FFmpeg shows as much of a GIF's last frame as there is, and says that it is not whole.
    assert 1 <= result.frames_in <= 3
    told = f"the input is damaged: {result.frames_in} of {result.frames_in + 1} frames are good"
    assert told in result.warnings[-1]


def test_an_empty_comment_hides_nothing_of_a_gif(double, tmp_path: Path):
    source = animation(tmp_path / "in.gif", seconds(8, 8, 8, 8), 3)
    content = source.read_bytes()
    place = content.index(b"!\xff\x0bNETSCAPE2.0")
    source.write_bytes(content[:place] + b"!\xfe\0" + content[place:])
    facts = read_animation_timing(source)
    assert facts is not None
    assert facts.plays == 3
    source.write_bytes(source.read_bytes()[:-40])
    with pytest.raises(DecodeError, match="bytes shorter than it says"):
        double(source, "out.mkv")


def test_a_gif_without_its_last_byte_is_whole(double, tmp_path: Path):
    source = animation(tmp_path / "in.gif", seconds(8, 8), 0)
    source.write_bytes(source.read_bytes().removesuffix(b";"))
    assert double(source, "out.gif").frames_in == 2


@pytest.mark.needs_footage
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.slow
def test_a_real_gif(footage: Path, double, tmp_path: Path, ending: str):
    source = footage / "clips" / "toy.gif"
    result = double(source, f"out{ending}")
    assert (result.frames_in, result.frames_out) == (24, 48)
    facts = read_animation_timing(tmp_path / f"out{ending}")
    assert facts is not None
    assert facts.plays == 0
    shown = {begin: picture for begin, _, picture in frames(tmp_path / f"out{ending}")}
    originals = frames(source)
    assert sum(delay for _, delay, _ in frames(tmp_path / f"out{ending}")) == 2
    for begin, _, picture in originals:
        np.testing.assert_array_equal(shown[begin], picture)
