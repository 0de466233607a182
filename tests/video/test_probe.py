from fractions import Fraction
from pathlib import Path

import clips
import crafted
import pytest

from interp_cli.errors import DecodeError, OpenError
from interp_cli.video.probe import frame_rate_of, probe
from interp_cli.video.readers.file import VideoReader


def test_facts_of_a_plain_clip(h264_clip: Path):
    info = probe(h264_clip)
    assert (info.width, info.height, info.pixel_format) == (128, 96, "yuv420p")
    assert info.codec == "h264"
    assert info.frame_rate == 25
    assert info.frame_count == 12
    assert info.video_start_seconds == 0
    assert info.last_duration * info.time_base == Fraction(1, 25)
    assert (info.colour.matrix, info.colour.full_range) == (1, False)
    assert [(s.kind, s.codec) for s in info.streams] == [("audio", "aac")]
    assert info.missing_bytes == 0
    assert not info.interlaced
    assert not info.clock_is_arbitrary


def test_transport_streams_have_an_arbitrary_clock(tmp_path: Path):
    assert probe(clips.moving_clip(tmp_path / "a.ts")).clock_is_arbitrary


@pytest.mark.parametrize("ending", ["mkv", "mp4", "avi"])
def test_a_truncated_file_is_shorter_than_it_says(tmp_path: Path, ending: str):
    # faststart: the index stands first, so that the cut file can still be opened.
    options = {"movflags": "+faststart"} if ending == "mp4" else {}
    codec = "mpeg4" if ending == "avi" else "libx264"
    whole = clips.moving_clip(tmp_path / f"whole.{ending}", codec=codec)
    if options:
        import subprocess

        from interp_cli.video.ffmpeg import ffmpeg_path

        moved = tmp_path / "moved.mp4"
        command = [ffmpeg_path(), "-v", "error", "-i", whole, "-c", "copy", "-movflags"]
        subprocess.run([*command, "+faststart", moved], check=True)
        whole = moved
    data = whole.read_bytes()
    part = tmp_path / f"part.{ending}"
    part.write_bytes(data[:-100])
    assert probe(whole).missing_bytes == 0
    # Matroska counts its closing index in, and MP4 ends with its last picture. An AVI file that
    # lacks the end of its index has all pictures.
    assert probe(part).missing_bytes == (0 if ending == "avi" else 100)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "gray"])
def test_a_y4m_file_that_ends_within_a_frame_is_damaged(tmp_path: Path, pix_fmt: str):
    nut = clips.moving_clip(tmp_path / "a.mkv", 4, (101, 67), codec="ffv1", pix_fmt=pix_fmt)
    whole, part = tmp_path / "whole.y4m", tmp_path / "part.y4m"
    crafted.ffmpeg("-i", nut, "-strict", "-1", whole)
    part.write_bytes(whole.read_bytes()[:-7])
    assert probe(whole).missing_bytes == 0
    assert probe(part).missing_bytes == 7
    with (
        VideoReader(part) as reader,
        pytest.raises(DecodeError, match=r"decoded 3 frames \(the file is 7 bytes shorter"),
    ):
        list(reader)
    with VideoReader(part, keep_going=True) as reader:
        assert len(list(reader)) == 3


def test_the_rate_is_in_the_header(ten_bit_clip: Path):
    assert frame_rate_of(ten_bit_clip) == probe(ten_bit_clip).frame_rate == Fraction(24000, 1001)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"", "the file is empty"),
        (b"just some text\n" * 40, "is no video that FFmpeg can read"),
    ],
)
def test_what_is_no_video(tmp_path: Path, content: bytes | None, message: str):
    path = tmp_path / "clip.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OpenError, match=f"clip.mp4: {message}"):
        probe(path)


def test_a_folder_is_no_video(tmp_path: Path):
    with pytest.raises(OpenError, match="is a folder"):
        probe(tmp_path)


def test_sound_alone_is_no_video(audio_only_file: Path):
    with pytest.raises(OpenError, match=r"has no video stream \(found: audio\)"):
        probe(audio_only_file)
