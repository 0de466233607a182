"""Side streams that break far behind their start: the video never fails with them."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import clips
import crafted
import pytest

from interp_cli.options import DoubleOptions, EncodeOptions
from interp_cli.pipeline.double import double_video
from interp_cli.video.encoding import commands
from interp_cli.video.encoding.frame_tags import FrameTags
from interp_cli.video.ffmpeg import FfmpegRun
from interp_cli.video.pixel_format import pixel_format_of
from interp_cli.video.probe import VideoInfo, probe

FAST = DoubleOptions(encode=EncodeOptions(preset="ultrafast"))
# The output in one go, and in segments that are joined.
LENGTHS = [FAST, replace(FAST, segment_frames=8)]


def _broken_sound(folder: Path, *tracks: str) -> Path:
    """A transport stream whose AAC has no headers from some frame on, which stops every muxer."""
    tracks = tracks or ("aac",)
    picture = clips.moving_clip(folder / "picture.mkv", 10)
    arguments = ["-f", "lavfi", "-i", "sine=440:duration=1", "-map", 0, "-c:v", "mpeg2video"]
    for number, codec in enumerate(tracks):
        arguments += ["-map", 1, f"-c:a:{number}", codec]
    crafted.ffmpeg("-i", picture, *arguments, folder / "whole.ts")
    data, headers = bytearray((folder / "whole.ts").read_bytes()), 0
    for packet in range(0, len(data), 188):
        if (data[packet + 1] & 31) << 8 | data[packet + 2] == 0x101 + tracks.index("aac"):
            place = data.find(b"\xff\xf1", packet + 4, packet + 188)
            headers += place > 0
            if place > 0 and headers >= 20:
                data[place : place + 2] = b"\x12\x34"
    assert headers > 20
    (folder / "source.ts").write_bytes(data)
    return folder / "source.ts"


@pytest.mark.parametrize("options", LENGTHS, ids=["whole", "segments"])
@pytest.mark.parametrize(("target", "encoder"), [("mp4", "aac"), ("mkv", "flac")])
def test_a_sound_whose_copy_breaks_is_converted(
    interpolator, tmp_path: Path, options: DoubleOptions, target: str, encoder: str
):
    source = _broken_sound(tmp_path)
    result = double_video(source, tmp_path / f"out.{target}", options, interpolator=interpolator)
    assert result.frames_out == 20
    assert [w for w in result.warnings if "stream 1" in w] == [
        f"audio stream 1 (aac) is converted with {encoder}, since a copy fails "
        "(aac_adtstoasc: Error parsing ADTS frame header)."
    ]
    with av.open(result.target) as container:
        assert sum(1 for _ in container.decode(video=0)) == 20
    with av.open(result.target) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) >= 18 * 1024


@pytest.mark.parametrize("options", LENGTHS, ids=["whole", "segments"])
def test_a_sound_that_only_may_be_copied_is_left_out_alone(
    interpolator, tmp_path: Path, options: DoubleOptions
):
    source = _broken_sound(tmp_path, "mp2", "aac", "ac3")
    options = replace(options, encode=replace(options.encode, ffmpeg_output=("-c:a", "copy")))
    result = double_video(source, tmp_path / "out.mkv", options, interpolator=interpolator)
    assert [stream.codec for stream in probe(result.target).streams] == ["mp2", "ac3"]
    assert [w for w in result.warnings if "audio stream" in w] == [
        "audio stream 2 (aac) is left out: it cannot be written (aac_adtstoasc: Error parsing "
        "ADTS frame header)."
    ]


@pytest.mark.parametrize(
    ("fails", "left", "said"),
    [
        ({"aac"}, ["flac"], "is converted with flac, since a copy fails (it cannot be read)."),
        ({"aac", "flac"}, [], "is left out: it cannot be written (it cannot be read)."),
    ],
)
def test_without_a_name_in_the_log_each_stream_is_tried_alone(
    tmp_path: Path, monkeypatch, fails: set[str], left: list[str], said: str
):
    source = probe(_broken_sound(tmp_path))
    made = _commands(source, tmp_path / "out.mkv")

    def why_failed(inputs: object, arguments: list[str], *_: object) -> str:
        codec = arguments[arguments.index("-c:a:0") + 1].replace("copy", "aac")
        return "it cannot be read" if codec in fails else ""

    monkeypatch.setattr(commands, "why_failed", why_failed)
    while made.side_fault([]):
        assert made.change_streams([])
    codecs = [word for word in made.joining([], tmp_path / "list") if word in ("flac", "aac")]
    assert codecs == left
    assert any(warning.endswith(said) for warning in made.warnings)
    made.close()


def test_chapters_are_left_out_before_streams_that_do_not_fail(tmp_path: Path):
    (tmp_path / "chapters").write_text(";FFMETADATA1\n[CHAPTER]\nSTART=0\nEND=10\n")
    source = _broken_sound(tmp_path, "mp2", "aac").with_name("whole.ts")
    chapters = ["-f", "ffmetadata", "-i", tmp_path / "chapters", "-map_chapters", 1]
    crafted.ffmpeg("-i", source, *chapters, "-map", 0, "-c", "copy", tmp_path / "chapters.mkv")
    made = _commands(probe(tmp_path / "chapters.mkv"), tmp_path / "out.mkv")
    assert made.change_streams(["Invalid chapter."])
    assert made.warnings == (
        "the chapters are left out: they cannot be written (Invalid chapter).",
    )
    assert made.change_streams(["Out of luck."])
    assert [w for w in made.warnings if "is left out" in w] == [
        "audio stream 1 (mp2) is left out: it cannot be written (Out of luck).",
        "audio stream 2 (aac) is left out: it cannot be written (Out of luck).",
    ]
    assert not made.change_streams(["Out of luck."])
    made.close()


def _commands(source: VideoInfo, target: Path) -> commands.VideoCommands:
    picture = av.VideoFrame(source.width, source.height, source.pixel_format)
    tags = FrameTags(pixel_format_of(picture, source.colour))
    side = commands.SideStreams(source)
    return commands.VideoCommands(target, tags, Fraction(20), EncodeOptions(), side)


def test_a_malformed_chapter_is_no_damage(interpolator, tmp_path: Path):
    picture = clips.moving_clip(tmp_path / "picture.mkv", 5)
    unit = "[CHAPTER]\nTIMEBASE=1/1000\n"
    listed = f";FFMETADATA1\n{unit}START=0\nEND=100\n{unit}START=100\nEND=300\n"
    (tmp_path / "chapters").write_text(listed)
    chapters = ["-f", "ffmetadata", "-i", tmp_path / "chapters", "-map_chapters", 1]
    crafted.ffmpeg("-i", picture, *chapters, "-map", 0, "-c", "copy", tmp_path / "source.mkv")
    data, end = (tmp_path / "source.mkv").read_bytes(), (300 * 10**6).to_bytes(4, "big")
    assert data.count(end) == 1
    (tmp_path / "source.mkv").write_bytes(data.replace(end, (10**6).to_bytes(4, "big")))
    target = tmp_path / "out.mkv"
    result = double_video(tmp_path / "source.mkv", target, FAST, interpolator=interpolator)
    assert result.frames_out == 10
    assert probe(target).chapters == 1


def test_a_malformed_attachment_is_no_damage(interpolator, tmp_path: Path):
    picture = clips.moving_clip(tmp_path / "picture.mkv", 5)
    (tmp_path / "note").write_text("a note")
    attached = ["-attach", tmp_path / "note", "-metadata:s:t", "mimetype=text/plain"]
    crafted.ffmpeg("-i", picture, *attached, "-c", "copy", tmp_path / "source.mkv")
    data = (tmp_path / "source.mkv").read_bytes()
    kind = b"\x46\x60\x8atext/plain"  # Matroska's FileMediaType, and an element that is void
    assert data.count(kind) == 1
    (tmp_path / "source.mkv").write_bytes(data.replace(kind, b"\xec\x8b" + bytes(11)))
    target = tmp_path / "out.mkv"
    result = double_video(tmp_path / "source.mkv", target, FAST, interpolator=interpolator)
    assert result.frames_out == 10


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_no_fault_of_a_stream():
    picture = ["-f", "lavfi", "-i", "color=s=64x64:d=1", "-f", "rawvideo"]
    run = FfmpegRun(picture, Path("/dev/full"))
    assert not run.wait()
    assert run.was_refused_by_system


def test_a_video_that_fails_is_not_blamed_on_a_sound(tmp_path: Path):
    whole = _broken_sound(tmp_path).with_name("whole.ts")
    made = _commands(probe(whole), tmp_path / "out.mkv")
    assert made.side_fault(["libx264: Error while encoding.", "stream #0 fails"]) == ""
    assert made.side_fault(["aost#0:1/copy: Invalid data."]) == "aost#0:1/copy: Invalid data"
    made.close()
