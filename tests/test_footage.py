"""The promises on real footage: every clip of `INTERP_DATA/clips` through `double_video`.

The short clips run by default; `scripts/test tests/test_footage.py --slow` runs them all. The
checks are in tests/footage.py, which is also a script for other folders.
"""

from pathlib import Path

import pytest
from footage import broken_promises

from interp_cli.errors import DecodeError
from interp_cli.inference.interpolator import Interpolator
from interp_cli.pipeline.double import double_video

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


@pytest.mark.parametrize("ending", ["mkv", "mp4"])
@pytest.mark.parametrize(
    "name", [*SHORT, *(pytest.param(name, marks=pytest.mark.slow) for name in LONG)]
)
def test_a_real_clip_keeps_every_promise(
    footage: Path, tmp_path: Path, averaging, name: str, ending: str
):
    clip = footage / "clips" / name
    assert list(broken_promises(clip, tmp_path, ending, Interpolator(averaging))) == []


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
