"""Pipes in and out; those between programs run the real ffmpeg and the real command."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import clips
import numpy as np
import pytest
import torch
from children import LIMIT_SECONDS
from conftest import VFR_PTS

from interp_cli.errors import DecodeError, EncodeError, OpenError, PipeClosedError
from interp_cli.models.registry import create_model
from interp_cli.models.weights import save_weights
from interp_cli.options import DoubleOptions
from interp_cli.video.encoding.frame_tags import FrameTags
from interp_cli.video.ffmpeg import ffmpeg_path
from interp_cli.video.pixel_format import PixelFormat, pixel_format_of, planes_of
from interp_cli.video.probe import probe
from interp_cli.video.readers.file import VideoReader
from interp_cli.video.readers.pipe import PipeReader
from interp_cli.video.writers.pipe import PipeWriter

RAW = ["-strict", "-1", "-f", "yuv4mpegpipe", "-"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    save_weights(path, create_model("fusion"), "fusion", {})
    return path


@contextmanager
def ffmpeg_output(*arguments: object) -> Iterator[int]:
    """The reading end of a pipe into which ffmpeg writes."""
    command = [ffmpeg_path(), "-v", "error", "-nostdin", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        yield process.stdout.fileno()
        process.stdout.close()


def stamps(pipe: int, **options) -> tuple[list[Fraction], PipeReader]:
    with PipeReader(pipe, **options) as reader:
        return [frame.seconds for frame in reader], reader


def test_y4m_is_read_with_its_rate_depth_and_aspect(ten_bit_clip: Path):
    with ffmpeg_output("-i", ten_bit_clip, "-vf", "setsar=4/3", *RAW) as pipe:
        times, reader = stamps(pipe)
    assert times == [n * Fraction(1001, 24000) for n in range(8)]
    info = reader.info
    assert (info.container, info.pixel_format) == ("yuv4mpegpipe", "yuv422p10le")
    assert (info.frame_rate, info.sample_aspect) == (Fraction(24000, 1001), Fraction(4, 3))
    assert (info.frame_count, str(info.path)) == (None, "standard input")


def test_nut_keeps_variable_times(vfr_clip: Path):
    exact = ("-fps_mode", "passthrough", "-enc_time_base", "demux")
    copy = (*exact, "-an", "-c:v", "rawvideo", "-f", "nut", "-")
    with ffmpeg_output("-i", vfr_clip, *copy) as pipe:
        times, reader = stamps(pipe)
    assert times == [Fraction(pts, 1000) for pts in VFR_PTS]
    assert reader.warnings == ()


def test_what_stands_beside_the_video_is_named(vfr_clip: Path):
    with ffmpeg_output("-i", vfr_clip, "-c", "copy", "-f", "matroska", "-") as pipe:
        times, reader = stamps(pipe)
    assert len(times) == len(VFR_PTS)
    assert reader.warnings == ("a pipe is read once, so its audio (aac) is left out.",)


def test_a_part_of_a_pipe(h264_clip: Path):
    with ffmpeg_output("-i", h264_clip, *RAW) as pipe:
        times, _ = stamps(pipe, start_seconds=0.12, end_seconds=0.24)
    assert times == [Fraction(n, 25) for n in (3, 4, 5)]


def test_a_stream_that_ends_within_a_frame_is_damaged(tmp_path: Path):
    clip = clips.moving_clip(tmp_path / "a.y4m", frames=4, size=(32, 32), codec="wrapped_avframe")
    content = clip.read_bytes()
    for keep_going, rest in ((False, content), (True, content[:-1])):
        reading, writing = os.pipe()
        os.write(writing, rest)
        os.close(writing)
        times, reader = stamps(reading, keep_going=keep_going)
        os.close(reading)
        assert (len(times), reader.damage is not None) == (4 - keep_going, keep_going)
    reading, writing = os.pipe()
    os.write(writing, content[:-1])
    os.close(writing)
    with pytest.raises(DecodeError, match=r"decoded 3 frames \(the stream ends within a frame"):
        stamps(reading)
    os.close(reading)


def test_no_video_is_an_error():
    reading, writing = os.pipe()
    os.write(writing, b"no video at all" * 99)
    os.close(writing)
    with pytest.raises(OpenError, match="standard input: is no video that FFmpeg can read from a"):
        PipeReader(reading)
    os.close(reading)


def test_a_reader_stops_though_its_pipe_stays_silent(tmp_path: Path):
    clip = clips.moving_clip(tmp_path / "a.y4m", frames=2, codec="wrapped_avframe")
    reading, writing = os.pipe()
    feeder = threading.Thread(target=os.write, args=(writing, clip.read_bytes()))
    feeder.start()
    reader = PipeReader(reading)
    assert next(iter(reader)).pts == 0
    feeder.join()
    closing = threading.Thread(target=reader.close)
    closing.start()
    closing.join(LIMIT_SECONDS)
    was_closed = not closing.is_alive()
    os.close(writing)  # which would end a reader that waits for more
    closing.join()
    os.close(reading)
    assert was_closed


def description(name: str = "yuv420p") -> tuple[FrameTags, list]:
    images = [_grey(name, 40 * n) for n in range(3)]
    layout: PixelFormat = pixel_format_of(images[0], probe_tags())
    return FrameTags(layout, sample_aspect=Fraction(4, 3)), images


def probe_tags():
    from interp_cli.video.probe import ColourTags

    return ColourTags()


def _grey(name: str, code: int):
    import av

    image = av.VideoFrame(16, 8, name)
    for plane in planes_of(image):
        plane[...] = code
    return image


def written(output_format: str, name: str, pts: list[int], path: Path, rate=25) -> PipeWriter:
    picture, images = description(name)
    with path.open("wb") as file:
        unit = Fraction(1, 1000)
        with PipeWriter(file.fileno(), output_format, picture, unit, Fraction(rate)) as writer:
            for image, stamp in zip(images, pts, strict=True):
                writer.write(image, stamp)
    return writer


@pytest.mark.parametrize("name", ["yuv420p", "yuv422p10le", "gray16le", "yuva444p"])
def test_y4m_holds_header_and_planes_and_nothing_else(tmp_path: Path, name: str):
    path = tmp_path / "a.y4m"
    writer = written("y4m", name, [0, 40, 80], path)
    assert (writer.frames_written, writer.warnings) == (3, ())
    header, rest = path.read_bytes().split(b"\n", 1)
    assert header.startswith(b"YUV4MPEG2 W16 H8 F25:1 Ip A4:3 C")
    planes = [b"".join(p.tobytes() for p in planes_of(_grey(name, 40 * n))) for n in range(3)]
    assert rest == b"".join(b"FRAME\n" + plane for plane in planes)


def test_nut_is_written_with_exact_times(tmp_path: Path):
    writer = written("nut", "yuv444p12le", [0, 33, 101], tmp_path / "a.nut")
    assert writer.warnings == (
        "nut does not carry the picture's pixel aspect: set it in the program that reads it.",
    )
    with VideoReader(tmp_path / "a.nut") as reader:
        frames = list(reader)
    assert [frame.seconds for frame in frames] == [Fraction(n, 1000) for n in (0, 33, 101)]
    assert frames[2].image.format.name == "yuv444p12le"
    assert (planes_of(frames[2].image)[0] == 80).all()


def test_y4m_refuses_times_that_it_cannot_say(tmp_path: Path):
    written("y4m", "yuv420p", [0, 42, 79], tmp_path / "a.y4m")  # rounded: the same rate
    with pytest.raises(EncodeError, match=r"frame 2 stands 0\.101 s after the first, but y4m has"):
        written("y4m", "yuv420p", [0, 33, 101], tmp_path / "a.y4m")
    with pytest.raises(EncodeError, match=r"y4m holds no rgb24 frames; use `output_format=.nut.`"):
        written("y4m", "rgb24", [0, 40, 80], tmp_path / "a.y4m")


def test_a_closed_pipe_is_told_apart():
    reading, writing = os.pipe()
    os.close(reading)
    picture, images = description()
    with (
        pytest.raises(PipeClosedError, match="was closed by its reader"),
        PipeWriter(writing, "y4m", picture, Fraction(1, 25), Fraction(25)) as writer,
    ):
        for pts, image in enumerate(images * 9999):
            writer.write(image, pts)
    os.close(writing)


def interp(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "interp_cli", *map(str, arguments)]


@pytest.mark.slow
def test_ffmpeg_to_interp_to_ffmpeg_with_ten_bits(ten_bit_clip: Path, weights, tmp_path: Path):
    target = tmp_path / "out.nut"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    feed = [ffmpeg_path(), "-v", "error", "-i", str(ten_bit_clip), *RAW]
    take = [ffmpeg_path(), "-v", "error", "-i", "-", "-c:v", "ffv1", str(target)]
    with (
        subprocess.Popen(feed, stdout=subprocess.PIPE) as feeder,
        subprocess.Popen(
            interp("double", "-", "-", "--model", weights),
            stdin=feeder.stdout,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        ) as middle,
        subprocess.Popen(take, stdin=middle.stdout) as taker,
    ):
        feeder.stdout.close()
        middle.stdout.close()
        said = middle.stderr.read().decode()
    assert (feeder.returncode, middle.returncode, taker.returncode) == (0, 0, 0)
    assert "-: 8 frames in, 16 out at 47.952/s" in said
    info = probe(target)
    assert (info.pixel_format, info.frame_rate) == ("yuv422p10le", Fraction(48000, 1001))
    with VideoReader(ten_bit_clip) as before, VideoReader(target) as after:
        originals, doubled = ([f.image for f in reader] for reader in (before, after))
    assert len(doubled) == 16
    for original, made in zip(originals, doubled[::2], strict=True):
        for plane, expected in zip(planes_of(made), planes_of(original), strict=True):
            np.testing.assert_array_equal(plane, expected)


def test_a_reader_that_leaves_ends_it_quietly(weights, tmp_path: Path):
    clip = clips.moving_clip(tmp_path / "a.mkv", frames=40, size=(160, 120))
    with subprocess.Popen(
        interp("double", clip, "-", "-q", "--model", weights, "--output-format", "y4m"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:
        assert process.stdout.read(9) == b"YUV4MPEG2"
        process.stdout.close()
        said = process.stderr.read().decode()
    assert process.returncode == 141
    assert "error" not in said
    assert "Traceback" not in said


def test_the_rate_of_pictures_is_no_pipe_option():
    with pytest.raises(ValueError, match="`output_format` must be y4m or nut, not 'avi'"):
        DoubleOptions(output_format="avi")
