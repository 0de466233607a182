from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import clips
import numpy as np
import pytest
from conftest import VFR_PTS

from interp_cli.errors import DecodeError
from interp_cli.video.pixel_format import planes_of
from interp_cli.video.readers.file import VideoReader


def test_frames_come_in_order_with_exact_times(h264_clip: Path):
    with VideoReader(h264_clip) as reader:
        seconds = [frame.seconds for frame in reader]
    assert [s * 25 for s in seconds] == list(range(12))
    assert reader.frames_read == 12
    assert reader.damage is None


def test_variable_times_are_kept(vfr_clip: Path):
    with VideoReader(vfr_clip) as reader:
        assert [frame.pts for frame in reader] == list(VFR_PTS)


def test_part_of_a_video_is_counted_from_its_first_frame(h264_clip: Path):
    with VideoReader(h264_clip, start_seconds=0.12, end_seconds=0.24) as reader:
        assert [float(frame.seconds) for frame in reader] == [0.12, 0.16, 0.2]


@pytest.mark.parametrize("start", [0.2, 0.84, 1.0, 1.16])
def test_a_part_of_a_transport_stream_begins_between_keyframes(tmp_path: Path, start: float):
    """There FFmpeg finds any packet before the start, and the decoder only the next keyframe."""
    source = clips.moving_clip(
        tmp_path / "long.ts", frames=50, options={"g": "25", "bf": "2", "sc_threshold": "0"}
    )
    with VideoReader(source) as reader:
        every = [frame.pts for frame in reader]
    first = round(start * clips.RATE)
    with VideoReader(source, start_seconds=start, end_seconds=start + 0.12) as reader:
        assert [frame.pts for frame in reader] == every[first : first + 3]


def test_planes_are_those_that_were_written(ten_bit_clip: Path):
    with VideoReader(ten_bit_clip) as reader:
        frame = next(iter(reader))
    luma, blue, _ = planes_of(frame.image)
    assert luma.shape == (96, 128)
    assert blue.shape == (96, 64)
    assert luma.dtype == np.uint16
    assert 255 < luma.max() < 1024


def test_a_reader_reads_once(h264_clip: Path):
    with VideoReader(h264_clip) as reader:
        list(reader)
        with pytest.raises(ValueError, match="only once"):
            next(iter(reader))


def test_leaving_early_joins_the_thread(h264_clip: Path):
    with VideoReader(h264_clip, depth=2) as reader:
        next(iter(reader))
    # The fixture that watches for threads does the rest.


def truncated(tmp_path: Path) -> Path:
    whole = clips.moving_clip(tmp_path / "whole.mkv", frames=20, codec="ffv1")
    part = tmp_path / "part.mkv"
    part.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    return part


def test_a_truncated_file_says_how_many_frames_were_good(tmp_path: Path):
    part = truncated(tmp_path)
    with (
        VideoReader(part) as reader,
        pytest.raises(DecodeError, match=r"part.mkv: decoded \d+ frames \(the file is .* shorter"),
    ):
        list(reader)
    assert reader.frames_read == 0


def test_the_good_part_can_be_had(tmp_path: Path):
    with VideoReader(truncated(tmp_path), keep_going=True) as reader:
        frames = list(reader)
    assert 5 <= len(frames) <= 11
    assert "shorter than it says" in (reader.damage or "")


def test_a_frame_that_a_decoder_made_up_is_damage(tmp_path: Path):
    """Decoders hide damage by what was there before, and only a flag tells."""
    clip = clips.moving_clip(tmp_path / "clip.mkv", 8, codec="mpeg4")
    with av.open(clip) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    content = bytearray(clip.read_bytes())
    position, size = packets[4]
    for at in range(position + size // 2, position + size):
        content[at] ^= 0x55
    clip.write_bytes(content)
    with av.open(clip) as container:
        assert len(list(container.decode(video=0))) == 8  # nothing is said
    with VideoReader(clip, keep_going=True) as reader:
        times = [frame.seconds for frame in reader]
    assert times == [Fraction(n, 25) for n in range(8) if n != 4]
    assert (reader.damage or "").startswith("7 of 8 frames are good, 1 is left out (")


def joined(folder: Path, *sizes) -> Path:
    """Transport streams of six frames, one behind the other."""
    parts = [clips.moving_clip(folder / f"{n}.ts", 6, size) for n, size in enumerate(sizes)]
    target = folder / "joined.ts"
    target.write_bytes(b"".join(part.read_bytes() for part in parts))
    return target


def test_a_picture_that_changes_its_size_is_refused_as_that(tmp_path: Path):
    source = joined(tmp_path, (128, 96), (64, 48))
    told = r"joined.ts: changes its size from 128x96 to 64x48 at 0.\d\d s"
    with VideoReader(source) as reader, pytest.raises(DecodeError, match=told):
        list(reader)
    with VideoReader(source, keep_going=True) as reader:
        frames = list(reader)
    assert {(f.image.width, f.image.height) for f in frames} == {(128, 96)}
    assert len(frames) == 6


def test_a_clock_that_starts_anew_is_no_repair(tmp_path: Path):
    with VideoReader(joined(tmp_path, (128, 96), (128, 96))) as reader:
        stamps = [frame.pts for frame in reader]
    assert [b - a for a, b in pairwise(stamps)] == [3600] * 11
    assert reader.repaired_times == 0
