from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from interp_cli.errors import EncodeError, ResourceError
from interp_cli.options import EncodeOptions
from interp_cli.video.encoding.encoders import choose_encoder
from interp_cli.video.encoding.frame_tags import FrameTags
from interp_cli.video.ffmpeg import FfmpegRun
from interp_cli.video.pixel_format import pixel_format_of, planes_of
from interp_cli.video.probe import ColourTags, probe
from interp_cli.video.writers.file import VideoWriter

TIMES = (0, 3, 4, 11)
LOSSLESS = EncodeOptions(encoder="ffv1")


def images(name: str = "yuv420p") -> list[av.VideoFrame]:
    made = []
    for code in (30, 90, 150, 210):
        image = av.VideoFrame(32, 16, name)
        for plane in planes_of(image):
            plane[...] = code
        made.append(image)
    return made


def write(target: Path, options: EncodeOptions = LOSSLESS, **described) -> VideoWriter:
    frames = images()
    layout = pixel_format_of(frames[0], described.get("colour", ColourTags()))
    picture = FrameTags(layout, **described)
    with VideoWriter(target, picture, Fraction(1, 30), Fraction(30), options) as writer:
        for image, pts in zip(frames, TIMES, strict=True):
            writer.write(image, pts)
    return writer


def test_planes_and_times_arrive_as_they_were(tmp_path: Path):
    write(tmp_path / "out.mkv")
    with av.open(tmp_path / "out.mkv") as container:
        frames = list(container.decode(video=0))
    assert [round(frame.time * 30, 1) for frame in frames] == list(TIMES)
    for frame, image in zip(frames, images(), strict=True):
        for plane, expected in zip(planes_of(frame), planes_of(image), strict=True):
            np.testing.assert_array_equal(plane, expected)


@pytest.mark.parametrize("full_range", [True, False])
def test_the_description_arrives_and_changes_no_plane(tmp_path: Path, full_range: bool):
    tags = ColourTags(matrix=9, full_range=full_range, primaries=9, transfer=16)
    write(tmp_path / "out.mkv", colour=tags, sample_aspect=Fraction(4, 3), rotation=90)
    info = probe(tmp_path / "out.mkv")
    assert info.colour == tags
    assert info.sample_aspect == Fraction(4, 3)
    assert info.rotation == 90
    with av.open(tmp_path / "out.mkv") as container:
        first = next(container.decode(video=0))
    assert np.unique(planes_of(first)[0]).tolist() == [30]


def test_only_the_finished_file_has_the_name(tmp_path: Path):
    write(tmp_path / "out.mp4", EncodeOptions(preset="ultrafast"))
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_an_error_leaves_nothing(tmp_path: Path):
    layout = pixel_format_of(images()[0], ColourTags())
    with (
        pytest.raises(RuntimeError, match="elsewhere"),
        VideoWriter(
            tmp_path / "out.mkv", FrameTags(layout), Fraction(1, 30), Fraction(30)
        ) as writer,
    ):
        writer.write(images()[0], 0)
        raise RuntimeError("elsewhere")
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_that_cannot_be_fed_leaves_nothing(tmp_path: Path):
    picture = FrameTags(pixel_format_of(images()[0], ColourTags()))
    with pytest.raises(OverflowError):  # a rate that FFmpeg cannot say
        VideoWriter(tmp_path / "out.mkv", picture, Fraction(1, 30), Fraction(2**32, 7))
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_that_cannot_be_started_costs_one_line(tmp_path: Path, monkeypatch):
    write(tmp_path / "first.mkv")  # from now on it is known what the encoder can store
    monkeypatch.setattr("interp_cli.video.ffmpeg.ffmpeg_path", lambda: str(tmp_path / "none"))
    with pytest.raises(ResourceError, match=r"none: cannot be run as ffmpeg \(No such file"):
        write(tmp_path / "out.mkv")
    assert [path.name for path in tmp_path.iterdir()] == ["first.mkv"]


def test_a_finished_file_that_cannot_take_its_name_stays(tmp_path: Path):
    (tmp_path / "out.mkv").mkdir()
    with pytest.raises(EncodeError, match=r"exists by now and was not replaced\.") as caught:
        write(tmp_path / "out.mkv")
    kept = tmp_path / "out.finished.mkv"
    assert str(caught.value).endswith(f" The finished output is kept as {kept}.")
    with av.open(kept) as container:
        assert len(list(container.decode(video=0))) == len(TIMES)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("out.mkv", EncodeOptions(encoder="nope"), "unknown encoder 'nope'"),
        ("out.mkv", EncodeOptions(encoder="ffv1", crf=3), "ffv1 has no crf setting"),
        ("out.mkv", EncodeOptions(pixel_format="rgba"), "libx264 cannot store rgba; it takes"),
        ("out.xyz", EncodeOptions(), "cannot write .xyz; the output's name must end in .mp4"),
        ("no/out.mkv", EncodeOptions(), "the folder .*no does not exist"),
        ("out.mkv", EncodeOptions(options=(("aq-mode", "x"),)), r"cannot encode this \(Undef"),
        ("out.mkv", EncodeOptions(ffmpeg_output=("-level", "x")), r"cannot encode this \(Err"),
    ],
)
def test_what_cannot_be_written_costs_one_line(tmp_path, name, options, message):
    with pytest.raises(EncodeError, match=message) as caught:
        write(tmp_path / name, options)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("encoder", "given", "stored"),
    [
        ("libx264", "yuv420p", "yuv420p"),
        ("libx264", "yuvj420p", "yuv420p"),
        ("libx264", "yuv422p12le", "yuv422p10le"),
        ("libx264", "rgb24", "yuv444p"),
        ("libx265", "gray10le", "gray10le"),
        ("libsvtav1", "yuv420p", "yuv420p"),
        ("ffv1", "bgra", "bgra"),
    ],
)
def test_the_pixel_format_that_loses_least_is_stored(encoder, given, stored):
    layout = pixel_format_of(av.VideoFrame(16, 16, given), ColourTags())
    choice = choose_encoder(encoder, layout, EncodeOptions())
    assert choice.pixel_format == stored
    changed = stored != given.replace("yuvj", "yuv")
    assert bool(choice.warnings) == changed


@pytest.mark.parametrize(("short", "well"), [(1, True), (0, False)])
def test_an_encoder_that_wrote_less_or_failed_is_noticed(tmp_path, monkeypatch, short, well):
    wait = FfmpegRun.wait

    def ended(run, timeout_seconds=None):
        done = wait(run, timeout_seconds)
        run.frames -= short
        return done and well

    monkeypatch.setattr(FfmpegRun, "wait", ended)
    with pytest.raises(EncodeError, match=f"wrote {4 - short} of 4 frames"):
        write(tmp_path / "out.mkv")
    assert list(tmp_path.iterdir()) == []
