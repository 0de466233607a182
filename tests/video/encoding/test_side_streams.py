"""Side streams that few containers hold or no decoder knows: copied, converted or named."""

from dataclasses import replace
from pathlib import Path

import av
import clips
import crafted
import pytest

from interp_cli.options import DoubleOptions, EncodeOptions
from interp_cli.pipeline.double import double_video
from interp_cli.video.probe import probe

FAST = DoubleOptions(encode=EncodeOptions(preset="ultrafast"))
REALTIME = DoubleOptions(encode=EncodeOptions(options=(("deadline", "realtime"),)))
WORDS = "1\n00:00:00,000 --> 00:00:00,400\nHello there\n"


@pytest.fixture
def double(tmp_path: Path, interpolator):
    def run(source: Path, ending: str):
        options = REALTIME if ending == "webm" else FAST
        return double_video(source, tmp_path / f"out.{ending}", options, interpolator=interpolator)

    return run


def _no_decoder(folder: Path, ending: str = "mov") -> Path:
    """A video with a sound, and a second sound of a codec that nothing decodes."""
    picture = clips.moving_clip(folder / "picture.mkv", 5)
    tone = ["-f", "lavfi", "-i", "sine=440:duration=0.2", "-map", 0, "-map", 1, "-map", 1]
    sounds = ["-c:v", "copy", "-c:a:0", "aac", "-c:a:1", "pcm_s16le"]
    crafted.ffmpeg("-i", picture, *tone, *sounds, folder / "two.mov")
    before, _, after = (folder / "two.mov").read_bytes().rpartition(b"sowt")
    source = folder / f"source.{ending}"
    source.write_bytes(before + b"apac" + after)
    return source


@pytest.mark.parametrize("target", ["mkv", "mp4", "mov"])
def test_a_sound_that_nothing_decodes_is_left_out_and_named(double, tmp_path: Path, target: str):
    result = double(_no_decoder(tmp_path), target)
    assert [stream.codec for stream in probe(result.target).streams] == ["aac"]
    assert result.warnings == (
        f"audio stream 2 (apple_apac) is left out: .{target} does not hold it, and it cannot be "
        "converted (Decoding requested, but no decoder found for: apple_apac).",
    )


def test_slow_motion_leaves_out_a_sound_that_nothing_decodes(interpolator, tmp_path: Path):
    options = replace(FAST, slow_motion=2)
    target = tmp_path / "slow.mov"
    result = double_video(_no_decoder(tmp_path), target, options, interpolator=interpolator)
    assert [stream.codec for stream in probe(target).streams] == ["aac"]
    assert [w for w in result.warnings if "left out" in w]


@pytest.mark.parametrize(
    ("codec", "source", "target", "found"),
    [
        ("pcm_bluray", "source.m2ts", "mkv", "flac"),
        ("pcm_bluray", "source.m2ts", "mov", "aac"),
        ("nellymoser", "source.flv", "mkv", "flac"),
        ("nellymoser", "source.flv", "mov", "nellymoser"),
        ("libopencore_amrnb", "source.3gp", "mp4", "aac"),
        ("libopencore_amrnb", "source.3gp", "mkv", "amr_nb"),
    ],
)
def test_sound_is_converted_where_the_container_refuses_it(
    double, tmp_path, codec: str, source: str, target: str, found: str
):
    rate = {"pcm_bluray": 48000, "nellymoser": 22050}.get(codec, 8000)
    picture = clips.moving_clip(tmp_path / "picture.mkv", 5)
    video = {"flv": "flv", "m2ts": "mpeg2video", "3gp": "h263"}[source.partition(".")[2]]
    size = ["-s", "128x96", "-c:v", video, "-c:a", codec, "-ar", rate, "-b:a", "12.2k"]
    tone = ["-f", "lavfi", "-i", "sine=440:duration=0.2", "-ac", 2 if rate == 48000 else 1]
    crafted.ffmpeg("-i", picture, *tone, *size, tmp_path / source)
    result = double(tmp_path / source, target)
    assert [stream.codec for stream in probe(result.target).streams] == [found]
    named = [w for w in result.warnings if f"is converted with {found}, since .{target}" in w]
    assert bool(named) == (found in ("flac", "aac"))
    with av.open(result.target) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) >= rate * 0.1


def test_more_channels_than_an_encoder_takes_are_converted(double, tmp_path: Path):
    picture = clips.moving_clip(tmp_path / "picture.mkv", 5)
    tone = ["-f", "lavfi", "-i", "sine=440:duration=0.2,aformat=channel_layouts=5.1(side)"]
    source = tmp_path / "source.mkv"
    crafted.ffmpeg("-i", picture, *tone, "-c:v", "copy", "-c:a", "ac3", source)
    result = double(source, "webm")
    assert result.warnings == (
        "audio stream 1 (ac3) is converted with libopus in another channel layout, since .webm "
        "does not hold it.",
    )
    with av.open(result.target) as container:
        assert container.streams.audio[0].channels == 6


@pytest.mark.parametrize("target", ["mkv", "mp4", "mov"])
def test_teletext_is_left_out_and_named(double, tmp_path: Path, target: str):
    picture = clips.moving_clip(tmp_path / "picture.mkv", 5)
    (tmp_path / "data").write_bytes(bytes(500))
    data = ["-f", "data", "-i", tmp_path / "data", "-map", 0, "-map", 1, "-c", "copy"]
    crafted.ffmpeg("-i", picture, *data, tmp_path / "data.ts")
    source = crafted.with_teletext(tmp_path / "data.ts", tmp_path / "source.ts")
    result = double(source, target)
    assert probe(result.target).streams == ()
    assert [w for w in result.warnings if "stream 1" in w] == [
        f"subtitle stream 1 (dvb_teletext) is left out: .{target} does not hold it."
    ]


@pytest.mark.parametrize(("target", "kept"), [("mp4", False), ("mov", False), ("webm", True)])
def test_a_second_video_is_copied_or_left_out(double, tmp_path: Path, target: str, kept: bool):
    one = clips.moving_clip(tmp_path / "one.mkv", 5)
    second = ["-f", "lavfi", "-i", "testsrc=s=64x48:r=10:d=0.3", "-map", 0, "-map", 1]
    source = tmp_path / "both.mkv"
    crafted.ffmpeg("-i", one, *second, "-c:v:0", "copy", "-c:v:1", "libvpx", source)
    result = double(source, target)
    assert [stream.codec for stream in probe(result.target).streams] == ["vp8"] * kept
    said = "is a second video: it is copied as it is, at its own rate."
    left_out = f"is left out: .{target} does not hold it (.mkv does)."
    assert result.warnings == (f"video stream 1 (vp8) {said if kept else left_out}",)


def test_timed_text_markup_stays_in_the_mp4_family(double, tmp_path: Path):
    picture = clips.moving_clip(tmp_path / "picture.mkv", 25)
    (tmp_path / "words.srt").write_text(WORDS)
    source = tmp_path / "source.mp4"
    maps = ["-i", tmp_path / "words.srt", "-map", 0, "-map", 1, "-c:v", "copy", "-c:s", "ttml"]
    crafted.ffmpeg("-i", picture, *maps, source)
    assert double(source, "mp4").warnings == ()
    assert clips.packets(double(source, "mov").target, "subtitle") != []
    assert double(source, "mkv").warnings == (
        "subtitle stream 1 (ttml) is left out: .mkv does not hold it.",
    )
