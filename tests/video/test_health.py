"""Damaged inputs are told with their counts, and whole ones are not called damaged."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.logging
import clips
import crafted
import pytest

from interp_cli.errors import DecodeError
from interp_cli.options import DoubleOptions
from interp_cli.video.ffmpeg import all_packets
from interp_cli.video.libav_log import ErrorLog
from interp_cli.video.readers.base import FrameReader
from interp_cli.video.readers.file import VideoReader
from interp_cli.video.readers.open import open_source

PACKET = 188  # bytes of a packet of a transport stream


def read(path: Path, *, keep_going: bool = False) -> tuple[list[Fraction], FrameReader]:
    with open_source(path, DoubleOptions(keep_going=keep_going)) as reader:
        return [frame.seconds - reader.info.video_start_seconds for frame in reader], reader


def packets_of(path: Path, kind: str = "video") -> list[tuple[int, int]]:
    """Position and size of a stream's packets."""
    with av.open(path) as container:
        stream = next(s for s in container.streams if s.type == kind)
        return [(p.pos, p.size) for p in container.demux(stream) if p.size and p.pos is not None]


def spoiled(path: Path, number: int, size_bytes: int) -> Path:
    """Overwrite a part in the middle of one packet of the video."""
    content = bytearray(path.read_bytes())
    position, size = packets_of(path)[number]
    for at in range(position + size // 2, position + min(size // 2 + size_bytes, size)):
        content[at] ^= 0x55
    path.write_bytes(content)
    return path


def assert_told(path: Path, good: int, total: int | None, reason: str) -> None:
    """Assert that a file is refused with these counts, and that `keep_going` gives as many."""
    counts = f"{good}" if total is None else f"{good} of {total}"
    told = rf"{path.name}: decoded {counts} frames \(.*{reason}.*`keep_going`"
    with pytest.raises(DecodeError, match=told):
        read(path)
    times, reader = read(path, keep_going=True)
    assert len(times) == good
    assert (reader.damage or "").startswith(f"{counts} frames are good")


@pytest.mark.parametrize(
    ("codec", "ending", "size_bytes", "reason"),
    [
        ("mjpeg", "avi", 999, "overread|error"),
        ("ffv1", "mkv", 2, "CRC mismatch"),  # the decoder goes on, and only its log tells
        ("png", "mov", 2, "."),
        ("libx264", "mp4", 99, "."),
    ],
)
def test_a_bad_frame_is_left_out_at_its_time(
    tmp_path: Path, codec: str, ending: str, size_bytes: int, reason: str
):
    pix_fmt = {"mjpeg": "yuvj420p", "png": "rgb24"}.get(codec, "yuv420p")
    options = {"slicecrc": "1", "level": "3"} if codec == "ffv1" else {"g": "1"}
    clip = tmp_path / f"clip.{ending}"
    clips.moving_clip(clip, 8, codec=codec, pix_fmt=pix_fmt, options=options)
    spoiled(clip, 4, size_bytes)
    assert_told(clip, 7, 8, f"({reason})")
    times, _ = read(clip, keep_going=True)
    assert times == [Fraction(n, 25) for n in range(8) if n != 4]


def test_a_lost_packet_of_a_transport_stream_costs_one_frame(tmp_path: Path):
    options = {"g": "5", "bf": "0", "qmax": "2"}
    clip = clips.moving_clip(tmp_path / "clip.ts", 20, codec="mpeg2video", options=options)
    content = clip.read_bytes()
    parts = [content[at : at + PACKET] for at in range(0, len(content), PACKET)]
    # Those of the video that do not begin a frame.
    later = [n for n, part in enumerate(parts) if part[1] == 1 and part[2] == 0]
    del parts[later[len(later) // 2]]
    clip.write_bytes(b"".join(parts))
    assert_told(clip, 19, 20, ".")


@pytest.mark.parametrize(
    ("ending", "codec", "reason"),
    [
        ("nut", "ffv1", "."),
        ("flv", "flv", "announces|incomplete|missing"),
        ("asf", "wmv2", "bytes shorter"),
        ("mkv", "libx264", "bytes shorter"),
        ("avi", "mpeg4", "bytes shorter"),
        ("mov", "mpeg4", "bytes shorter"),
    ],
)
def test_a_container_that_ends_too_early_is_told(
    tmp_path: Path, ending: str, codec: str, reason: str
):
    whole = clips.moving_clip(tmp_path / f"whole.{ending}", 40, codec=codec, options={"g": "10"})
    if ending == "mov":
        crafted.ffmpeg("-i", whole, "-c", "copy", "-movflags", "+faststart", tmp_path / "fast.mov")
        whole = tmp_path / "fast.mov"
    assert len(read(whole)[0]) == 40
    part = tmp_path / f"part.{ending}"
    part.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    with pytest.raises(DecodeError, match=rf"part.{ending}: decoded \d+ .*({reason})"):
        read(part)
    times, reader = read(part, keep_going=True)
    assert 3 <= len(times) < 40
    assert reader.damage is not None


def test_an_ogg_file_that_ends_within_a_page_is_told(tmp_path: Path):
    source = clips.moving_clip(tmp_path / "in.mkv", 12, codec="ffv1")
    clip = tmp_path / "clip.ogv"
    crafted.ffmpeg("-i", source, "-c:v", "libtheora", "-q:v", "9", clip)
    assert len(read(clip)[0]) == 12
    clip.write_bytes(clip.read_bytes()[:-99])
    with pytest.raises(DecodeError, match=r"clip.ogv: decoded \d+ frames \(the file is 99 bytes s"):
        read(clip)


def test_a_hole_in_a_file_without_an_index_is_told(tmp_path: Path):
    clip = clips.moving_clip(tmp_path / "clip.nut", 20, codec="ffv1", options={"g": "1"})
    packets = packets_of(clip)
    content = bytearray(clip.read_bytes())
    (begin, _), (end, _) = packets[8], packets[11]
    content[begin - 12 : end - 12] = bytes(end - begin)
    clip.write_bytes(content)
    with pytest.raises(DecodeError, match=r"clip.nut: decoded \d+ "):
        read(clip)


def test_data_behind_the_last_box_is_no_damage(tmp_path: Path):
    clip = clips.moving_clip(tmp_path / "clip.mp4", 5)
    with clip.open("ab") as file:  # as an action camera adds it
        file.write(b"8db42d694ccc418790edff439fe026bf" * 4)
    times, reader = read(clip)
    assert (len(times), reader.damage, reader.info.missing_bytes) == (5, None, 0)


def test_an_outermost_size_that_is_a_little_wrong_is_no_damage(tmp_path: Path):
    clip = clips.moving_clip(tmp_path / "clip.avi", 5, codec="mjpeg", pix_fmt="yuvj420p")
    content = bytearray(clip.read_bytes())
    content[4:8] = len(content).to_bytes(4, "little")  # the header counts itself in
    clip.write_bytes(content)
    assert len(read(clip)[0]) == 5


def test_an_empty_packet_is_the_picture_before_it_again(tmp_path: Path):
    source = clips.moving_clip(tmp_path / "in.mkv", 9, codec="ffv1", duplicates=(3, 4))
    clip = tmp_path / "clip.ogv"
    crafted.ffmpeg("-i", source, "-c:v", "libtheora", "-q:v", "7", clip)
    with av.open(clip) as container:
        empty = [p.pts for p in container.demux(video=0) if not p.size and p.pts is not None]
    assert empty == [3, 4]
    times, _ = read(clip)
    assert times == [Fraction(n, 25) for n in range(9)]
    with VideoReader(clip) as reader:
        frames = [frame.image.to_ndarray(format="gray") for frame in reader]
    assert (frames[2] == frames[3]).all()


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
def test_a_recording_that_begins_anywhere_is_whole(tmp_path: Path, codec: str):
    options = {"g": "10", "bf": "2"}
    whole = clips.moving_clip(tmp_path / "whole.ts", 40, codec=codec, options=options)
    content = whole.read_bytes()
    part = tmp_path / "part.ts"
    part.write_bytes(content[packets_of(whole)[13][0] // PACKET * PACKET :])
    times, reader = read(part)
    assert 18 <= len(times) <= 21
    assert any("at its start need others from before it" in text for text in reader.warnings)


def test_joined_recordings_and_a_variable_rate_are_whole(tmp_path: Path):
    pts = [0, 1, 2, 7, 8, 9, 10, 20]
    clip = clips.moving_clip(tmp_path / "a.ts", 8, pts=pts, time_base=Fraction(1, 25))
    assert len(read(clip)[0]) == 8
    joined = tmp_path / "joined.ts"
    joined.write_bytes(2 * clip.read_bytes())
    assert len(read(joined)[0]) == 16


@pytest.mark.parametrize("ending", ["mp4", "avi", "mkv", "flv"])
def test_a_part_that_was_cut_without_encoding_is_whole(tmp_path: Path, ending: str):
    codec = "mpeg4" if ending == "avi" else "libx264"
    options = {"g": "12", "bf": "0"}
    whole = clips.moving_clip(tmp_path / "whole.mkv", 50, codec=codec, options=options)
    part = tmp_path / f"part.{ending}"
    crafted.ffmpeg("-ss", "0.7", "-i", whole, "-t", "0.9", "-c", "copy", part)
    assert len(read(part)[0]) >= 22


def test_zeros_instead_of_frames_of_a_gif_are_told(tmp_path: Path):
    clip = clips.moving_clip(tmp_path / "clip.gif", 6, (32, 32), 10, "gif", "rgb8")
    whole = clip.read_bytes()
    assert len(read(clip)[0]) == 6
    position = packets_of(clip)[4][0]
    clip.write_bytes(whole[:position] + bytes(len(whole) - position))
    with pytest.raises(DecodeError, match=r"clip.gif: decoded 4 frames \(its last .* bytes are no"):
        read(clip)
    clip.write_bytes(whole[:-1] + b"\0\0;")  # as some writers end it
    assert len(read(clip)[0]) == 6


def test_a_log_is_switched_off_again_and_hears_its_own_decoder(tmp_path: Path):
    assert av.logging.get_level() is None
    with ErrorLog("h264") as log, ErrorLog("vp9") as other:
        log.observe(lambda: av.logging.log(av.logging.ERROR, "h264", "bad"))
        av.logging.log(av.logging.ERROR, "vp9", "from a thread of a decoder")
        av.logging.log(av.logging.ERROR, "gif", "of something else")
        assert (log.take(), other.take()) == (["bad"], ["from a thread of a decoder"])
    assert av.logging.get_level() is None


def test_what_another_input_logs_meanwhile_is_no_damage(tmp_path: Path):
    clip = clips.moving_clip(tmp_path / "clip.mkv", 8)
    with VideoReader(clip) as reader:
        count = 0
        for _ in reader:  # as a thread of the decoder of another input does
            av.logging.log(av.logging.ERROR, "h264", "error while decoding MB 1 1")
            count += 1
    assert count == 8


def test_a_stream_that_appears_within_the_file_stops_nothing():
    class Container:
        """Fails as PyAV does at a packet of a stream that it does not know, and goes on."""

        def __init__(self) -> None:
            self.packets = iter(["first", None, "second"])

        def demux(self) -> Iterator[str]:
            for packet in self.packets:
                if packet is None:
                    raise IndexError("list index out of range")
                yield packet

    assert list(all_packets(Container())) == ["first", "second"]  # type: ignore[arg-type]
