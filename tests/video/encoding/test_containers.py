"""Sound, subtitles, chapters, covers, fonts and tags: from each container into each other."""

import subprocess
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import clips
import crafted
import pytest

from interp_cli.options import DoubleOptions, EncodeOptions
from interp_cli.pipeline.double import double_video
from interp_cli.video.ffmpeg import ffmpeg_path
from interp_cli.video.probe import probe

FAST = DoubleOptions(encode=EncodeOptions(preset="ultrafast"))
REALTIME = DoubleOptions(encode=EncodeOptions(options=(("deadline", "realtime"),)))
WORDS = """1
00:00:00,000 --> 00:00:00,400
Hello there

2
00:00:00,500 --> 00:00:00,900
World

"""
FACTS = """;FFMETADATA1
title=The film
artist=Someone
comment=A comment
[CHAPTER]
TIMEBASE=1/1000
START=0
END=500
title=One
[CHAPTER]
TIMEBASE=1/1000
START=500
END=1000
title=Two
"""


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two sound and two subtitle tracks with languages, titles and roles, chapters, a font, a
    cover and tags, in Matroska; the same without the font in MP4 and, but for the cover, MOV."""
    folder = tmp_path_factory.mktemp("rich")
    picture = clips.moving_clip(folder / "picture.mkv", 25)
    for name, text in (("words.srt", WORDS), ("facts.txt", FACTS), ("font.ttf", "a font")):
        (folder / name).write_text(text)
    crafted.ffmpeg("-f", "lavfi", "-i", "color=red:size=64x64", "-frames:v", 1, folder / "c.jpg")
    tones = [x for hertz in (440, 660) for x in ("-f", "lavfi", "-i", f"sine={hertz}:duration=1")]
    tags = {
        "s:v:0": ["title=Picture", "language=eng", "BPS-eng=1234"],
        "s:a:0": ["language=eng", "title=Main"],
        "s:a:1": ["language=deu", "title=Kommentar"],
        "s:s:0": ["language=fra"],
        "s:s:1": ["language=jpn", "title=Signs"],
        "s:t:0": ["mimetype=font/ttf"],
        "s:t:1": ["mimetype=image/jpeg", "filename=cover.jpg"],
    }
    roles = {"v:0": "default", "a:0": "default", "a:1": "comment", "s:0": "forced"}
    roles["s:1"] = "default+hearing_impaired"
    words = ["-i", folder / "words.srt", "-i", folder / "facts.txt"]
    crafted.ffmpeg(
        *("-i", picture, *tones, *words, "-map", "0:v", "-map", 1, "-map", 2, "-map", 3),
        *("-map", 3, "-map_metadata", 4, "-map_chapters", 4, "-c:v", "copy", "-c:a:0", "aac"),
        *("-c:a:1", "ac3", "-c:s:0", "srt", "-c:s:1", "ass"),
        *("-attach", folder / "font.ttf", "-attach", folder / "c.jpg"),
        *(x for key, values in tags.items() for v in values for x in (f"-metadata:{key}", v)),
        *(x for key, value in roles.items() for x in (f"-disposition:{key}", value)),
        folder / "rich.mkv",
    )
    maps = [x for n in range(5) for x in ("-map", f"0:{n}")]
    copy = ["-i", folder / "rich.mkv", "-i", folder / "c.jpg", *maps]
    text = ["-c", "copy", "-c:s", "mov_text"]
    cover = ["-map", 1, *text, "-disposition:v:1", "attached_pic"]
    crafted.ffmpeg(*copy, *cover, folder / "rich.mp4")
    clock = ["-timecode", "01:00:00:12"]
    crafted.ffmpeg(*copy, *text, *clock, folder / "rich.mov")
    return {ending: folder / f"rich.{ending}" for ending in ("mkv", "mp4", "mov")}


@pytest.fixture
def double(tmp_path: Path, interpolator):
    def run(source: Path, ending: str):
        options = REALTIME if ending == "webm" else FAST
        return double_video(source, tmp_path / f"out.{ending}", options, interpolator=interpolator)

    return run


# What each target calls the same things.
SOUND = {"mkv": ("aac", "ac3"), "mp4": ("aac", "ac3"), "mov": ("aac", "ac3")}
SOUND["webm"] = ("opus", "opus")
TEXT = {"mp4": "mov_text", "mov": "mov_text", "webm": "webvtt"}
ROLES = {
    "mkv": [("default",), ("comment",), ("forced",), ("default", "hearing_impaired")],
    "mp4": [("default",), ("comment",), ("forced",), ("default", "hearing_impaired", "captions")],
    "mov": [("default",), (), (), ("default",)],
    "webm": [("default",), (), ("forced",), ("default",)],
}


@pytest.mark.parametrize("target", ["mkv", "mp4", "mov", "webm"])
@pytest.mark.parametrize("source", ["mkv", "mp4"])
def test_streams_arrive_with_their_names_languages_and_roles(double, rich, source, target):
    result = double(rich[source], target)
    info = probe(result.target)
    sound, words = info.streams_of("audio"), info.streams_of("subtitle")
    assert [s.codec for s in sound] == list(SOUND[target])
    kept = ["subrip", "ass"] if source == "mkv" else ["subrip", "subrip"]
    assert [s.codec for s in words] == ([TEXT[target]] * 2 if target in TEXT else kept)
    # QuickTime's code for German is the other one of ISO 639-2.
    german = "ger" if target == "mov" else "deu"
    assert [s.language for s in (*sound, *words)] == ["eng", german, "fra", "jpn"]
    assert [s.title for s in (*sound, *words)] == ["Main", "Kommentar", "", "Signs"]
    roles = [
        tuple(r for r in s.roles if r != "captions" or target == "mp4") for s in (*sound, *words)
    ]
    assert roles == ROLES[target]
    assert info.chapters == 2
    tags = {key.lower(): value for key, value in info.metadata.items()}
    assert (tags["title"], tags["artist"], tags["comment"]) == ("The film", "Someone", "A comment")
    assert "major_brand" not in tags or target in ("mp4", "mov")
    video = {key.lower(): value for key, value in info.video_metadata.items()}
    assert (video.get("title") or video.get("name")) == "Picture"
    assert not any(name.startswith("bps") for name in video)
    assert "default" in info.video_roles
    assert info.streams_of("data") == () or target in ("mp4", "mov")  # chapters, there


@pytest.mark.parametrize("target", ["mkv", "mp4", "mov", "webm"])
def test_words_arrive_at_their_times(double, rich, target: str):
    result = double(rich["mkv"], target)
    for number in (0, 1):
        command = ["-i", result.target, "-map", f"0:s:{number}", "-f", "srt", "-"]
        text = subprocess.run([ffmpeg_path(), "-v", "error", *command], capture_output=True).stdout
        lines = text.decode().splitlines()
        starts = [line[:12] for line in lines if "-->" in line]
        assert starts == ["00:00:00,000", "00:00:00,500"]
        assert "Hello there" in text.decode()


@pytest.mark.parametrize("source", ["mkv", "mp4"])
@pytest.mark.parametrize("target", ["mkv", "mp4"])
def test_a_cover_stays_one(double, rich, source: str, target: str):
    result = double(rich[source], target)
    covers = [s for s in probe(result.target).streams if s.is_cover]
    assert [cover.codec for cover in covers] == ["mjpeg"]
    data = []
    for path in (rich[source], result.target):
        with av.open(path) as container:
            stream = container.streams.video[1]
            data.append(next(bytes(packet) for packet in container.demux(stream) if packet.size))
    assert data[0] == data[1]
    assert len(clips.decoded(result.target)) == 50


def test_a_font_is_kept_by_matroska_and_named_elsewhere(double, rich, tmp_path: Path):
    result = double(rich["mkv"], "mkv")
    assert [s.title for s in probe(result.target).streams_of("attachment")] == ["font.ttf"]
    crafted.ffmpeg("-dump_attachment:t:0", tmp_path / "f", "-i", result.target, "-f", "null", "-")
    assert (tmp_path / "f").read_text() == "a font"
    assert result.warnings == ()
    warnings = double(rich["mkv"], "webm").warnings
    assert warnings == (
        "audio stream 1 (aac) is converted with libopus, since .webm does not hold it.",
        "audio stream 2 (ac3) is converted with libopus, since .webm does not hold it.",
        "audio stream 2 (ac3): .webm cannot say comment.",
        "subtitle stream 3 (subrip) is converted to webvtt, since .webm does not hold it.",
        "subtitle stream 4 (ass) is converted to webvtt, since .webm does not hold it.",
        "subtitle stream 4 (ass): .webm cannot say hearing impaired.",
        "attachment stream 5 (unknown) is left out: .webm does not hold it (.mkv does).",
        "video stream 6 (mjpeg) is left out: .webm does not hold it (.mkv does).",
    )


@pytest.mark.parametrize("target", ["mov", "mp4", "mkv"])
def test_a_time_code_counts_in_the_new_frames(double, rich, target: str):
    result = double(rich["mov"], target)
    info = probe(result.target)
    video = {key.lower(): value for key, value in info.video_metadata.items()}
    assert video["timecode"] == "01:00:00:24"  # frame 12 of 25 is frame 24 of 50
    assert ("tmcd" in [s.tag for s in info.streams]) == (target != "mkv")
    assert not [w for w in result.warnings if "data stream" in w]


def test_telemetry_stays_in_the_mp4_family(double, tmp_path: Path):
    picture = clips.moving_clip(tmp_path / "picture.mp4", 25)
    (tmp_path / "words.srt").write_text(WORDS)
    words = tmp_path / "words.mp4"
    inputs = ["-i", picture, "-i", tmp_path / "words.srt", "-map", 0, "-map", 1]
    crafted.ffmpeg(*inputs, "-c", "copy", "-c:s", "mov_text", words)
    source = tmp_path / "camera.mp4"
    data = words.read_bytes().replace(b"tx3g", b"gpmd").replace(b"sbtl", b"meta")
    source.write_bytes(data)
    assert clips.packets(double(source, "mp4").target, "data") == clips.packets(source, "data")
    assert double(source, "mkv").warnings == (
        "data stream 1 (gpmd) is left out: .mkv does not hold it.",
    )


def test_picture_subtitles_are_copied_or_named(double, tmp_path: Path):
    picture = clips.moving_clip(tmp_path / "picture.mkv", 10)
    (tmp_path / "words.sup").write_bytes(crafted.picture_subtitles())
    source = tmp_path / "disc.mkv"
    inputs = ["-i", picture, "-i", tmp_path / "words.sup", "-map", 0, "-map", 1]
    crafted.ffmpeg(*inputs, "-c", "copy", source)
    kept = double(source, "mkv")
    assert clips.packets(kept.target, "subtitle") == clips.packets(source, "subtitle")
    assert kept.warnings == ()
    assert double(source, "mp4").warnings == (
        "subtitle stream 1 (hdmv_pgs_subtitle) is left out: .mp4 does not hold it (.mkv does).",
    )


@pytest.mark.parametrize("target", ["mov", "mp4", "mkv"])
def test_a_phones_own_tags_arrive(double, tmp_path: Path, target: str):
    source = tmp_path / "phone.mov"
    picture = clips.moving_clip(tmp_path / "picture.mkv", 3)
    tags = {
        "com.apple.quicktime.model": "iPhone 15",
        "com.apple.quicktime.location.ISO6709": "+48.1000+011.5000+520.000/",
        "creation_time": "2024-05-06T07:08:09.000000Z",
        "title": "Lake",
    }
    words = [x for tag in tags.items() for x in ("-metadata", "=".join(tag))]
    keep = ["-movflags", "use_metadata_tags"]
    crafted.ffmpeg("-i", picture, "-c", "copy", *words, *keep, source)
    found = {k.lower(): v for k, v in probe(double(source, target).target).metadata.items()}
    assert {name: found.get(name.lower()) for name in tags} == tags


@pytest.mark.parametrize("codec", ["mp3", "dts", "opus", "flac", "pcm_s24le", "alac", "vorbis"])
@pytest.mark.parametrize("target", ["mkv", "mp4", "mov"])
def test_sound_is_not_encoded_anew_where_it_need_not(double, tmp_path, codec: str, target: str):
    picture = clips.moving_clip(tmp_path / "picture.mkv", 5)
    encoder = {"mp3": "libmp3lame", "dts": "dca"}.get(codec, codec)
    source = tmp_path / "source.mkv"
    tone = ["-f", "lavfi", "-i", "sine=440:duration=0.2", "-ac", 2, "-ar", 48000]
    strict = ["-strict", "-2", "-c:a", encoder]
    crafted.ffmpeg("-i", picture, *tone, "-map", 0, "-map", 1, "-c:v", "copy", *strict, source)
    result = double(source, target)
    converted = target == "mov" and codec in ("opus", "flac")
    assert [s.codec for s in probe(result.target).streams] == ["aac" if converted else codec]
    rare = target == "mp4" and codec in ("opus", "vorbis")
    assert bool(result.warnings) == (converted or rare)
    # PCM has no packets of its own: containers cut it as they like.
    data = [b"".join(clips.packets(path)) for path in (result.target, source)]
    assert (data[0] == data[1]) != converted


def test_sound_that_some_players_do_not_play_is_named_once(double, interpolator, tmp_path: Path):
    picture = clips.moving_clip(tmp_path / "picture.mkv", 5)
    tone = ["-f", "lavfi", "-i", "sine=440:duration=0.2"]
    maps = ["-map", 0, "-map", 1, "-map", 1, "-c:v", "copy", "-c:a", "libopus"]
    crafted.ffmpeg("-i", picture, *tone, *maps, tmp_path / "source.mkv")
    result = double(tmp_path / "source.mkv", "mp4")
    assert [stream.codec for stream in probe(result.target).streams] == ["opus", "opus"]
    assert result.warnings == (
        ".mp4 holds the sound as opus, which QuickTime and many televisions do not play: "
        '`ffmpeg_output="-c:a aac"` converts it.',
    )
    encode = replace(FAST.encode, ffmpeg_output=("-c:a", "aac"))
    options = replace(FAST, encode=encode)
    result = double_video(
        tmp_path / "source.mkv", tmp_path / "aac.mp4", options, interpolator=interpolator
    )
    assert [stream.codec for stream in probe(result.target).streams] == ["aac", "aac"]
    assert result.warnings == ()


def test_a_language_that_quicktime_has_no_code_for_is_named(double, tmp_path: Path):
    picture = clips.moving_clip(tmp_path / "picture.mkv", 3, audio="aac")
    source = tmp_path / "swedish.mkv"
    crafted.ffmpeg("-i", picture, "-c", "copy", "-metadata:s:a:0", "language=swe", source)
    assert double(source, "mov").warnings == (
        "audio stream 1 (aac): .mov has no code for its language, swe.",
    )
    assert probe(double(source, "mp4").target).streams[0].language == "swe"


def test_a_second_video_is_copied_and_named(double, tmp_path: Path):
    one = clips.moving_clip(tmp_path / "one.mkv", 5)
    two = clips.moving_clip(tmp_path / "two.mkv", 5, size=(64, 48))
    source = tmp_path / "both.mkv"
    crafted.ffmpeg("-i", one, "-i", two, "-map", 0, "-map", 1, "-c", "copy", source)
    result = double(source, "mkv")
    assert result.warnings == (
        "video stream 1 (h264) is a second video: it is copied as it is, at its own rate.",
    )
    assert clips.packets(result.target, "video")[-1:] != []
    with av.open(result.target) as container:
        sizes = [(s.codec_context.width, s.codec_context.height) for s in container.streams.video]
    assert sizes == [(128, 96), (64, 48)]
    assert probe(result.target).frame_rate == Fraction(50)
