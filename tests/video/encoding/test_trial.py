"""Settings are tried before any work: what ffmpeg or the container refuses costs one line."""

import re
import sys
from fractions import Fraction
from pathlib import Path

import av
import pytest

from interp_cli.errors import EncodeError, ResourceError
from interp_cli.options import EncodeOptions
from interp_cli.video import ffmpeg
from interp_cli.video.encoding import hardware, trial
from interp_cli.video.encoding.frame_tags import FrameTags
from interp_cli.video.encoding.values import take_token
from interp_cli.video.pixel_format import pixel_format_of
from interp_cli.video.probe import ColourTags
from interp_cli.video.writers.file import VideoWriter

LAYOUT = pixel_format_of(av.VideoFrame(64, 48, "yuv420p"), ColourTags())
RATE = Fraction(25)


def open_writer(target: Path, **options) -> VideoWriter:
    """A writer before its first frame."""
    return VideoWriter(target, FrameTags(LAYOUT), 1 / RATE, RATE, EncodeOptions(**options))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("out.mp4", {"encoder": "rawvideo"}, "Could not find tag for codec rawvideo"),
        ("out.webm", {"encoder": "ffv1"}, "Only VP8 or VP9 or AV1 video"),
        ("out.mkv", {"encoder": "wrapped_avframe"}, "No bmp codec tag found"),
        (
            "out.mp4",
            {"ffmpeg_output": ("-bsf:v", "h264_metadata=crop_right=16")},
            "the finished file holds 48x48 pixels instead of 64x48",
        ),
        (
            "out.mp4",
            {"ffmpeg_output": ("-video_track_timescale", "10")},
            "the last frame of the finished file is at 0.3 s instead of 0.16 s",
        ),
        (
            "out.mp4",
            {"ffmpeg_output": ("-movflags", "+frag_keyframe+empty_moov")},
            "the first frame of the finished file is at 0.08 s instead of 0 s",
        ),
        ("out.mp4", {"ffmpeg_output": ("-vf", "subtitles=none.srt")}, "Unable to open none.srt"),
    ],
)
def test_what_cannot_be_written_is_refused_before_any_frame(tmp_path, name, options, message):
    with pytest.raises(EncodeError, match=re.escape(message)) as caught:
        open_writer(tmp_path / name, **options)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        *(
            (key, "x.mkv", f"libx264 has no option '{key}'")
            for key in ("y", "an", "dump", "report")
        ),
        *((key, "9", f"libx264 has no option '{key}'") for key in ("s", "t", "pass", "crf:a")),
        ("vstats_file", "v.log", "libx264 has no option 'vstats_file'"),
        ("vf", "scale=32:24", "libx264 has no option 'vf'"),
        ("bsf:v", "setts=pts=0", "libx264 has no option 'bsf:v'"),
        ("stats", "x.mkv", "the option stats: its value may name a file that is written"),
        ("passlogfile", "x", "the option passlogfile: its value may name a file"),
        ("x264-params", "ref=1:dump-yuv=y", "the option x264-params: 'dump-yuv' is not among"),
        ("x264-params", "opencl-clbin=x", "the option x264-params: 'opencl-clbin' is not among"),
        ("x264-params", "crop-rect=16,0,0,0", "the option x264-params: 'crop-rect' is not among"),
        ("aspect", "2:1", "aspect is no option for encoding"),
        ("avoid_negative_ts", "1", "avoid_negative_ts is no option for encoding"),
    ],
)
def test_an_encoder_gets_its_own_options_only(tmp_path, key, value, message):
    with pytest.raises(EncodeError, match=re.escape(message)):
        open_writer(tmp_path / "out.mp4", options=((key, value),))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("encoder", "key", "value", "message"),
    [
        ("libx265", "x265-params", "log-level=error:csv=f", "'csv' is not among"),
        ("libx265", "x265-params", "analysis-save=f", "'analysis-save' is not among"),
        ("libx265", "x265-stats", "f", "its value may name a file"),
        ("libaom-av1", "aom-params", "partition-info-path=f", "'partition-info-path' is not"),
        ("libsvtav1", "svtav1-params", "resize-mode=1", "'resize-mode' is not among"),
        ("libvvenc", "vvenc-params", "statsfile=f", "its value may name a file"),
    ],
)
def test_parameters_of_a_library_write_no_file(tmp_path, encoder, key, value, message):
    with pytest.raises(EncodeError, match=re.escape(message)):
        open_writer(tmp_path / "out.mkv", encoder=encoder, options=((key, value),))


@pytest.mark.parametrize(
    ("encoder", "options"),
    [
        ("libx264", (("preset", "fast"), ("tune", "film"), ("x264-params", "no-mbtree=1:ref=2"))),
        ("libx265", (("x265-params", "aq-mode=3:no-sao=1:psy-rd=1.5"), ("flags", "+psnr"))),
        ("libsvtav1", (("svtav1-params", "tune=0:enable-overlays=1"),)),
        ("ffv1", (("coder:v", "1"), ("g", "1"))),
    ],
)
def test_options_of_an_encoder_pass(tmp_path, encoder, options):
    with open_writer(tmp_path / "out.mkv", encoder=encoder, options=options) as writer:
        writer.write(av.VideoFrame(64, 48, "yuv420p"), 0)
    assert (tmp_path / "out.mkv").stat().st_size


@pytest.fixture
def hanging_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that says that it is ffmpeg, and answers nothing else."""
    program = tmp_path / "ffmpeg"
    code = "import sys, time; print('ffmpeg version 9', flush=True); "
    code += "'-version' in sys.argv or time.sleep(600)"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{code}" "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(program))
    return program


def test_an_ffmpeg_that_hangs_costs_one_line(hanging_ffmpeg, monkeypatch):
    ffmpeg.ffmpeg_path()  # it says its version
    monkeypatch.setattr(ffmpeg, "_ANSWER_SECONDS", 0.1)
    arguments = ("-f", "lavfi", "-i", "nullsrc")
    with pytest.raises(ResourceError, match=r"ffmpeg: did not answer within 0.1 s; ") as caught:
        trial.trial_fault(arguments, ".mkv", 64, 48, RATE)
    assert "\n" not in str(caught.value)


def test_hardware_that_hangs_is_passed_over(monkeypatch):
    def hang(choice, layout):
        raise ResourceError("ffmpeg: did not answer within 60 s.")

    monkeypatch.setattr(hardware, "why_not", hang)
    name, (warning,) = hardware.hardware_encoder("libx264", LAYOUT, EncodeOptions())
    assert name == "libx264"
    assert "h264_nvenc: ffmpeg: did not answer within 60 s; " in warning


@pytest.mark.parametrize(
    ("text", "ends", "expected"),
    [
        (" eq =gamma", "=,", ("eq", "=gamma")),
        ("'a,b'c,d", ",", ("a,bc", ",d")),
        (r"sc\ale=3", "=", ("scale", "=3")),
        (r"a\ ,b", ",", ("a ", ",b")),
        (r"'it\s'", ",", (r"it\s", "")),
        ("'open", ",", ("open", "")),
    ],
)
def test_words_are_read_as_ffmpeg_reads_them(text, ends, expected):
    assert take_token(text, ends) == expected
