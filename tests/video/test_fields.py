import subprocess
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import clips
import numpy as np
import pytest

from interp_cli.errors import DecodeError
from interp_cli.video.ffmpeg import ffmpeg_path
from interp_cli.video.fields import FieldReader
from interp_cli.video.reader import Frame, VideoReader

FILM = Fraction(24000, 1001)


def through_ffmpeg(source: Path, target: Path, *arguments: str) -> Path:
    command = [ffmpeg_path(), "-y", "-v", "error", "-i", source, *arguments, target]
    subprocess.run(command, check=True)
    return target


@pytest.fixture(scope="module")
def film_clip(clip_folder: Path) -> Path:
    """48 frames of film, lossless."""
    return clips.moving_clip(clip_folder / "film.mkv", frames=48, rate=FILM, codec="ffv1")


@pytest.fixture(scope="module")
def telecined_clip(clip_folder: Path, film_clip: Path) -> Path:
    """The same at 30000/1001 with 3:2 pulldown, 60 frames with both fields marked."""
    return through_ffmpeg(
        film_clip,
        clip_folder / "telecined.mov",
        *("-vf", "telecine=pattern=23,setfield=tff", "-c:v", "libx264", "-qp", "2"),
        *("-x264-params", "tff=1", "-flags", "+ilme+ildct"),
    )


@pytest.fixture(scope="module")
def interlaced_clip(clip_folder: Path, film_clip: Path) -> Path:
    """24 frames, each of two moments of the film."""
    return through_ffmpeg(
        film_clip,
        clip_folder / "interlaced.mkv",
        *("-vf", "tinterlace=interleave_top,setfield=tff", "-c:v", "ffv1"),
        *("-flags", "+ilme+ildct"),
    )


def read(path: Path, fields) -> list[Frame]:
    with FieldReader(VideoReader(path), fields) as reader:
        return list(reader)


def grey(frame) -> np.ndarray:
    return clips.planes(frame)[0].astype(float)


def test_a_deinterlaced_frame_keeps_its_time(interlaced_clip: Path):
    before = clips.times(interlaced_clip)
    frames = read(interlaced_clip, "deinterlace")
    assert len(before) == 24
    assert [frame.seconds for frame in frames] == before
    assert not any(frame.image.interlaced_frame for frame in frames)
    assert {frame.image.format.name for frame in frames} == {"yuv420p"}


def test_no_comb_is_left(interlaced_clip: Path, film_clip: Path):
    def comb(picture: np.ndarray) -> float:
        """How much every second row stands out from the rows beside it."""
        return float(np.abs(picture[1:-1] - (picture[:-2] + picture[2:]) / 2).mean())

    combed = comb(grey(clips.decoded(interlaced_clip)[10]))
    whole = comb(grey(read(interlaced_clip, "deinterlace")[10].image))
    film = comb(grey(clips.decoded(film_clip)[20]))
    assert combed > 1.3 * film
    assert whole < 1.1 * film


def test_film_is_found_again_with_its_times(telecined_clip: Path, film_clip: Path):
    assert len(clips.decoded(telecined_clip)) == 60
    frames = read(telecined_clip, "detelecine")
    assert [frame.seconds for frame in frames] == [k / FILM for k in range(48)]
    film = [grey(frame) for frame in clips.decoded(film_clip)]
    differences = [
        [np.abs(grey(frame.image) - picture).mean() for picture in film] for frame in frames
    ]
    assert [int(np.argmin(row)) for row in differences] == list(range(48))
    assert max(min(row) for row in differences) < 1


def test_what_comes_out_is_told(telecined_clip: Path, interlaced_clip: Path):
    with FieldReader(VideoReader(telecined_clip), "detelecine") as reader:
        info = reader.info
    assert (info.interlaced, info.frame_rate, info.frame_count) == (False, FILM, 48)
    assert info.last_duration * info.time_base == 1 / FILM
    with FieldReader(VideoReader(interlaced_clip), "deinterlace") as reader:
        assert reader.info == replace(reader._source, interlaced=False)


def test_film_at_another_rate_is_refused(h264_clip: Path):
    with pytest.raises(DecodeError, match=r"has 25 frames a second.*Use --deinterlace"):
        FieldReader(VideoReader(h264_clip), "detelecine")


@pytest.mark.parametrize("fields", ["deinterlace", "detelecine"])
def test_one_frame_is_enough(tmp_path: Path, fields):
    source = clips.moving_clip(tmp_path / "one.mkv", frames=1, rate=30, codec="ffv1")
    assert [frame.seconds for frame in read(source, fields)] == [0]
