"""The promises on real footage: every clip of `INTERP_DATA/clips` through `double_video`.

The short clips run by default; `scripts/test tests/test_footage.py --slow` runs them all. The
model is an average: what is tested is everything but the network.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import zip_longest
from pathlib import Path

import av
import numpy as np
import pytest

from interp_cli.errors import DecodeError
from interp_cli.interpolator import Interpolator
from interp_cli.options import DoubleOptions, EncodeOptions
from interp_cli.pipeline import double_video
from interp_cli.video.colour import native_format, planes_of
from interp_cli.video.probe import probe
from interp_cli.video.reader import VideoReader

pytestmark = pytest.mark.needs_footage

SHORT = (
    "gesture_fullrange.mkv",
    "odd_853x479_444_sar.mkv",
    "offset_start.mkv",
    "park_joy_50.y4m",
    "toy.gif",
    "toy_dropped_vfr.mp4",
    "toy_mpeg4_bframes.avi",
)
LONG = (
    "drive_720p25.ts",
    "drone_hevc.mp4",
    "fpv_cuts_hevc.mov",
    "fpv_vp9.webm",
    "hdr10_pq.mp4",
    "phone_repeats.mp4",
    "phone_vfr_480p.mp4",
    "phone_rotated_vfr.mp4",
    "toy_bt601.mp4",
    "promo_cuts.mp4",
    "robot_1080p60.mp4",
    "tracks_chapters.mkv",
)


def images(path: Path):
    """Time and planes of every frame."""
    with VideoReader(path) as reader:
        for frame in reader:
            yield frame.seconds, planes_of(native_format(frame.image))


def sound(path: Path) -> list[list[bytes]]:
    """The packets of every sound stream, without the header that MPEG-TS puts before each."""
    with av.open(path) as container:
        packets = {stream.index: [] for stream in container.streams.audio}
        for packet in container.demux(*container.streams.audio) if packets else ():
            data = bytes(packet)
            if data:
                adts = data[:1] == b"\xff" and data[1] & 0xF6 == 0xF0
                packets[packet.stream.index].append(data[7:] if adts else data)
    return list(packets.values())


@pytest.mark.parametrize(
    "name", [*SHORT, *(pytest.param(name, marks=pytest.mark.slow) for name in LONG)]
)
def test_a_real_clip_keeps_every_promise(footage: Path, tmp_path: Path, averaging, name: str):
    source, target = footage / "clips" / name, tmp_path / "out.mkv"
    options = DoubleOptions(encode=EncodeOptions(encoder="ffv1"))
    result = double_video(source, target, options, interpolator=Interpolator(averaging))
    before, after = probe(source), probe(target)

    # Two out for each in; originals bit-exact, at their own times on the milliseconds that
    # Matroska counts in; a clock that may start anywhere (MPEG-TS) starts at zero.
    shift = before.start_seconds if before.clock_is_arbitrary else Fraction(0)
    count = 0
    outputs = images(target)
    for original, doubled in zip_longest(images(source), outputs):
        assert original is not None, f"{name}: more frames out than twice those in"
        assert doubled is not None, f"{name}: frame {count} is missing"
        assert abs(doubled[0] - (original[0] - shift)) <= Fraction(1, 1000)
        for plane, expected in zip(doubled[1], original[1], strict=True):
            np.testing.assert_array_equal(plane, expected)
        assert next(outputs, None) is not None, f"{name}: middle {count} is missing"
        count += 1
        last = original[0]
    assert (result.frames_in, result.frames_out) == (count, 2 * count)

    # As long as the input's video, within the millisecond that Matroska rounds to.
    step = before.last_duration * before.time_base
    length = last + step - before.video_start_seconds
    assert result.video_seconds == pytest.approx(float(length), abs=1e-3)
    assert sound(target) == sound(source)
    for fact in ("width", "height", "sample_aspect", "rotation", "chapters"):
        assert getattr(after, fact) == getattr(before, fact), fact
    kinds = [[s.kind for s in info.streams] for info in (before, after)]
    assert kinds[0] == kinds[1]
    tags = before.colour
    assert after.colour.matrix in (tags.matrix, 0)  # RGB says so of itself
    assert (after.colour.primaries, after.colour.transfer) == (tags.primaries, tags.transfer)
    assert tags.full_range is None or after.colour.full_range == tags.full_range


def test_interlaced_footage_is_recognised(footage: Path, tmp_path: Path, averaging):
    with pytest.raises(DecodeError, match="is interlaced"):
        double_video(
            footage / "clips" / "robot_1080i.ts",
            tmp_path / "out.mkv",
            interpolator=Interpolator(averaging),
        )


def test_every_clip_is_tested(footage: Path):
    files = {p.name for p in (footage / "clips").iterdir() if p.is_file() and p.suffix != ".md"}
    assert files == {*SHORT, *LONG, "robot_1080i.ts"}
