"""Side streams that break far behind their start: the video never fails with them."""

from dataclasses import replace
from pathlib import Path

import av
import clips
import crafted
import pytest

from interp_cli.options import DoubleOptions, EncodeOptions
from interp_cli.pipeline.double import double_video

FAST = DoubleOptions(encode=EncodeOptions(preset="ultrafast"))
# The output in one go, and in segments that are joined.
LENGTHS = [FAST, replace(FAST, segment_frames=8)]


def _broken_sound(folder: Path, first: int = 20) -> Path:
    """A transport stream whose AAC has no headers from some frame on, which stops every muxer."""
    picture = clips.moving_clip(folder / "picture.mkv", 10)
    tone = ["-f", "lavfi", "-i", "sine=440:duration=1", "-c:v", "mpeg2video", "-c:a", "aac"]
    crafted.ffmpeg("-i", picture, *tone, folder / "whole.ts")
    data, headers = bytearray((folder / "whole.ts").read_bytes()), 0
    for packet in range(0, len(data), 188):
        if (data[packet + 1] & 31) << 8 | data[packet + 2] == 0x101:
            place = data.find(b"\xff\xf1", packet + 4, packet + 188)
            headers += place > 0
            if place > 0 and headers >= first:
                data[place : place + 2] = b"\x12\x34"
    assert headers > first
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
