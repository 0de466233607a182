"""What is opened as a video, what is refused in one line, and which stream is the video."""

import io
import os
import random
import threading
from pathlib import Path

import clips
import crafted
import pytest

from interp_cli.errors import DecodeError, OpenError
from interp_cli.options import DoubleOptions, InputLimits, OptionError
from interp_cli.video.images.read import read_image
from interp_cli.video.probe import probe
from interp_cli.video.readers.file import VideoReader
from interp_cli.video.readers.open import identify_source, open_source
from interp_cli.video.truncation import _matroska_end


def _unknown_codec(path: Path, audio: str | None = None) -> Path:
    whole = clips.moving_clip(path, 3, audio=audio)
    data = whole.read_bytes()
    assert b"avc1" in data
    whole.write_bytes(data.replace(b"avc1", b"zzzz"))
    return whole


@pytest.mark.parametrize("audio", [None, "aac"])
def test_a_codec_that_ffmpeg_does_not_know_costs_one_line(tmp_path: Path, audio: str | None):
    path = _unknown_codec(tmp_path / "a.mp4", audio)
    with pytest.raises(OpenError, match=r"a\.mp4: FFmpeg has no decoder for its video \(in the"):
        probe(path)


def test_a_vector_picture_costs_one_line(tmp_path: Path):
    path = tmp_path / "x.svg"
    path.write_text('<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9"/>')
    with pytest.raises(OpenError, match="FFmpeg has no decoder for its video"):
        probe(path)


def test_a_video_that_can_be_decoded_is_taken_beside_one_that_cannot(tmp_path: Path):
    first = clips.moving_clip(tmp_path / "first.mp4", 6, (96, 64))
    second = clips.moving_clip(tmp_path / "second.mp4", 6, (64, 48))
    both = tmp_path / "both.mp4"
    crafted.ffmpeg("-i", first, "-i", second, "-map", "0", "-map", "1", "-c", "copy", both)
    data = both.read_bytes()
    place = data.index(b"avc1", data.index(b"moov"))
    both.write_bytes(data[:place] + b"zzzz" + data[place + 4 :])
    info = probe(both)
    assert (info.video_index, info.width, info.frame_count) == (1, 64, 6)
    assert [stream.codec for stream in info.streams] == [""]


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts"])
def test_a_thumbnail_before_the_film_is_not_the_video(tmp_path: Path, ending: str):
    picture = clips.moving_clip(tmp_path / "p.mkv", 1, (192, 128))
    film = clips.moving_clip(tmp_path / "f.mkv", 6, (64, 48))
    both = tmp_path / f"both.{ending}"
    crafted.ffmpeg("-i", picture, "-i", film, "-map", "0", "-map", "1", "-c", "copy", both)
    info = probe(both)
    assert (info.video_index, info.width, info.height) == (1, 64, 48)
    with VideoReader(both) as reader:
        assert sum(1 for _ in reader) == 6


@pytest.mark.parametrize(("default", "index"), [("0", 0), ("1", 1), (None, 1)])
def test_of_two_films_the_default_one_is_taken_then_the_larger(
    tmp_path: Path, default: str | None, index: int
):
    small = clips.moving_clip(tmp_path / "s.mkv", 6, (64, 48))
    large = clips.moving_clip(tmp_path / "l.mkv", 6, (128, 96))
    both = tmp_path / "both.mkv"
    roles = [f"-disposition:v:{i}" for i in (0, 1)]
    values = ["default" if default in (str(i), None) else "0" for i in (0, 1)]
    marks = [word for pair in zip(roles, values, strict=True) for word in pair]
    crafted.ffmpeg("-i", small, "-i", large, "-map", "0", "-map", "1", "-c", "copy", *marks, both)
    assert probe(both).video_index == index


def test_a_padded_matroska_head_is_read_and_its_end_found(tmp_path: Path):
    whole = clips.moving_clip(tmp_path / "whole.mkv", 5)
    data = whole.read_bytes()
    assert data[4] == 0xA3 or data[4] & 0x80 or data[4] == 0x01
    length = 8 if data[4] == 0x01 else 1
    size = int.from_bytes(data[4 : 4 + length], "big") & ((1 << 7 * length) - 1)
    head = data[4 + length : 4 + length + size]
    # A Void of 1,100 bytes within the EBML header, and another behind it.
    void = b"\xec\x48\x4c" + bytes(0x84C)
    padded = data[:4] + b"\x01" + (len(head) + len(void)).to_bytes(7, "big") + head + void
    padded += void + data[4 + length + size :]
    path = tmp_path / "padded.mkv"
    path.write_bytes(padded)
    assert probe(path).missing_bytes == 0
    with path.open("rb") as file:
        assert _matroska_end(file, len(padded) - 100) == len(padded)


def test_no_head_of_matroska_breaks_the_reader():
    noise = random.Random(7)
    marks = (b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67", b"\xec", b"\x01", b"\x00", b"\xff")
    for _ in range(300):
        parts = [noise.choice(marks) + noise.randbytes(noise.randrange(9)) for _ in range(4)]
        head = marks[0] + b"".join(parts)
        assert _matroska_end(io.BytesIO(head), len(head)) >= 0


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
def test_a_webm_with_opacity_keeps_its_colour_tags(tmp_path: Path, codec: str):
    path = tmp_path / "a.webm"
    tags = "setparams=range=pc:colorspace=bt709:color_primaries=bt709:color_trc=bt709"
    crafted.ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=0.2", "-vf", f"format=yuva420p,{tags}"),
        *("-c:v", codec, "-auto-alt-ref", "0", path),
    )  # fmt: skip
    info = probe(path)
    colour = info.colour
    assert info.pixel_format == "yuva420p"
    assert (colour.matrix, colour.full_range, colour.primaries, colour.transfer) == (1, True, 1, 1)


def _read_pipe(path: Path, content: bytes) -> list[int]:
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_bytes(content))
    writer.start()
    try:
        source = identify_source(path)
        assert (source.kind.name, source.kind.can_repeat, source.files) == ("pipe", False, ())
        with open_source(source, DoubleOptions()) as reader:
            return [frame.pts for frame in reader]
    finally:
        writer.join()


def test_a_named_pipe_is_read_as_a_pipe(tmp_path: Path):
    clip = clips.moving_clip(tmp_path / "a.mkv", 5, codec="ffv1")
    assert _read_pipe(tmp_path / "fifo.mkv", clip.read_bytes()) == [0, 40, 80, 120, 160]


def test_a_pipe_where_a_file_is_needed_is_called_a_pipe(tmp_path: Path):
    os.mkfifo(tmp_path / "fifo.mkv")
    with pytest.raises(OpenError, match=r"fifo\.mkv: is a pipe, and a file is expected"):
        probe(tmp_path / "fifo.mkv")
    with pytest.raises(OpenError, match="is a device or a socket"):
        probe("/dev/zero")


def test_pictures_above_the_limit_are_refused_before_they_are_decoded(tmp_path: Path):
    clip = clips.moving_clip(tmp_path / "a.mkv", 3, (64, 48))
    with pytest.raises(OpenError, match=r"64x48, 3,072 pixels each, and at most 3,071 .*max_pix"):
        VideoReader(clip, limits=InputLimits(max_pixels=3071))
    with VideoReader(clip, limits=InputLimits(max_pixels=3072)) as reader:
        assert sum(1 for _ in reader) == 3
    with pytest.raises(OptionError, match="`max_pixels` must be a whole number of at least 1"):
        DoubleOptions(max_pixels=0)


def test_a_tiny_file_with_a_huge_canvas_costs_one_line(tmp_path: Path):
    path = tmp_path / "g.gif"
    side = (16000).to_bytes(2, "little")
    block = b"\x2c" + bytes(4) + side + side + b"\x00\x02\x02\x4c\x01\x00"
    delay = b"\x21\xf9\x04\x00\x0a\x00\x00\x00"
    path.write_bytes(
        b"GIF89a" + side + side + b"\x80\x00\x00" + bytes(6) + (delay + block) * 2 + b"\x3b"
    )
    with pytest.raises(OpenError, match="16000x16000, 256,000,000 pixels each"):
        open_source(path, DoubleOptions())
    with pytest.raises(OpenError, match="at most 255 are accepted"):
        webp = tmp_path / "a.webp"
        crafted.ffmpeg("-f", "lavfi", "-i", "testsrc2=s=16x16:d=0.2", "-loop", "0", webp)
        open_source(webp, DoubleOptions(max_pixels=255))


def test_a_picture_above_the_limit_is_refused(tmp_path: Path):
    path = tmp_path / "a.png"
    crafted.ffmpeg("-f", "lavfi", "-i", "testsrc2=s=32x16", "-frames:v", "1", path)
    assert read_image(path, 512).width == 32
    with pytest.raises(OpenError, match=r"exceeds 511 pixels\. Doubling accepts more with `max_"):
        read_image(path, 511)


@pytest.fixture(scope="module")
def playlist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("playlist") / "own"
    folder.mkdir()
    clip = clips.moving_clip(folder / "clip.mkv", 10, options={"g": "5", "bf": "0"})
    path = folder / "good.m3u8"
    kinds = ("-hls_time", "0.2", "-hls_playlist_type", "vod", "-hls_segment_filename")
    crafted.ffmpeg("-i", clip, "-c", "copy", *kinds, folder / "part%d.ts", path)
    (folder / "good.ffconcat").write_text("ffconcat version 1.0\nfile part0.ts\nfile part1.ts\n")
    (folder.parent / "other.ts").write_bytes((folder / "part1.ts").read_bytes())
    return path


def _count(path: Path, limits: InputLimits | None = None) -> int:
    with VideoReader(path, limits=limits or InputLimits()) as reader:
        return sum(1 for _ in reader)


@pytest.mark.parametrize("ending", ["m3u8", "ffconcat"])
def test_a_playlist_beside_its_own_files_is_read(playlist: Path, ending: str):
    assert _count(playlist.with_suffix(f".{ending}")) == 10


@pytest.mark.parametrize("ending", ["m3u8", "ffconcat"])
@pytest.mark.parametrize("form", ["{}", "file:{}", "file://{}", "../other.ts"])
def test_a_playlist_that_names_other_files_is_refused_unless_allowed(
    playlist: Path, tmp_path: Path, ending: str, form: str
):
    good = playlist.with_suffix(f".{ending}")
    path = playlist.parent / f"{tmp_path.name}.{ending}"
    other = form.format(playlist.parent.parent / "other.ts")
    path.write_text(good.read_text().replace("part1.ts", other))
    with pytest.raises(OpenError, match=r"names a file outside its folder .*allow_playlist_files"):
        _count(path)
    assert _count(path, InputLimits(allow_playlist_files=True)) == 10


def test_a_playlist_in_a_list_or_a_pipe_reaches_no_other_file(playlist: Path, tmp_path: Path):
    bad = playlist.parent / "absolute.m3u8"
    other = playlist.parent.parent / "other.ts"
    bad.write_text(playlist.read_text().replace("part1.ts", str(other)))
    nested = playlist.parent / "nested.ffconcat"
    nested.write_text("ffconcat version 1.0\nfile absolute.m3u8\n")
    with pytest.raises(OpenError, match="is no video that FFmpeg can read"):
        _count(nested)
    with pytest.raises(OpenError, match="can read from a pipe"):
        _read_pipe(tmp_path / "fifo", bad.read_bytes())


def test_a_playlist_without_one_of_its_files_names_it(playlist: Path):
    path = playlist.parent / "missing.m3u8"
    path.write_text(playlist.read_text().replace("part1.ts", "part7.ts"))
    with pytest.raises(OpenError, match=r"whose file part7\.ts cannot be read \(No such file"):
        _count(path)


def test_an_animation_beyond_ffmpeg_is_not_called_damaged(tmp_path: Path):
    path = tmp_path / "a.apng"
    crafted.ffmpeg("-f", "lavfi", "-i", "testsrc2=s=32x32:d=0.2", "-pix_fmt", "rgba64be", path)
    with (
        open_source(path, DoubleOptions()) as reader,
        pytest.raises(DecodeError, match=r"FFmpeg has no decoder for a feature of the others"),
    ):
        list(reader)
