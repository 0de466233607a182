from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import clips
import crafted
import numpy as np
import pytest

from interp_cli.errors import DecodeError
from interp_cli.inference.interpolator import Interpolator
from interp_cli.options import DoubleOptions, EncodeOptions
from interp_cli.pipeline.double import double_video
from interp_cli.video.probe import probe
from interp_cli.video.readers.base import Frame
from interp_cli.video.readers.file import VideoReader
from interp_cli.video.readers.interlaced import FieldReader, is_soft_telecine

FILM = Fraction(24000, 1001)


@pytest.fixture(scope="module")
def film_clip(clip_folder: Path) -> Path:
    """48 frames of film, lossless."""
    return clips.moving_clip(clip_folder / "film.mkv", frames=48, rate=FILM, codec="ffv1")


@pytest.fixture(scope="module")
def telecined_clip(clip_folder: Path, film_clip: Path) -> Path:
    """The same at 30000/1001 with 3:2 pulldown, 60 frames with both fields marked."""
    return crafted.telecined(film_clip, clip_folder / "telecined.mov")


@pytest.fixture(scope="module")
def interlaced_clip(clip_folder: Path, film_clip: Path) -> Path:
    """24 frames, each of two moments of the film."""
    return crafted.interlaced(film_clip, clip_folder / "interlaced.mkv")


@pytest.fixture(scope="module", params=["mpg", "mkv"])
def soft_clip(request, clip_folder: Path, film_clip: Path) -> Path:
    """The film as 48 whole frames of MPEG-2 that are to be shown for 3 and 2 fields in turn."""
    return crafted.soft_telecined(film_clip, clip_folder / f"soft.{request.param}")


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


def test_soft_telecine_gets_even_times_and_keeps_its_pictures(soft_clip: Path):
    before = clips.times(soft_clip)
    unit = probe(soft_clip).time_base
    steps = [round(float(b - a) * 59.94) for a, b in pairwise(before)]
    assert steps[:6] == [3, 2, 3, 2, 3, 2]
    frames = read(soft_clip, "detelecine")
    assert len(frames) == 48
    even = [b.seconds - a.seconds for a, b in pairwise(frames[:46])]
    assert max(abs(step - 1 / FILM) for step in even) <= unit
    # The first of two stays where it was.
    assert [frame.seconds for frame in frames[:46:2]] == before[:46:2]
    for frame, original in zip(frames, clips.decoded(soft_clip), strict=True):
        for plane, expected in zip(clips.planes(frame.image), clips.planes(original), strict=True):
            np.testing.assert_array_equal(plane, expected)


def test_soft_telecine_is_told_and_doubled(soft_clip: Path, tmp_path: Path, averaging):
    options = DoubleOptions(encode=EncodeOptions(preset="ultrafast"))
    model = Interpolator(averaging)
    result = double_video(soft_clip, tmp_path / "uneven.mp4", options, interpolator=model)
    assert result.frames_out == 96
    assert result.warnings == (
        "it is film whose frames are shown for three and two fields in turn, as on television; "
        '`fields="detelecine"` gives them even times.',
    )
    even = replace(options, fields="detelecine")
    result = double_video(soft_clip, tmp_path / "even.mp4", even, interpolator=model)
    assert (result.frames_out, result.frame_rate, result.warnings) == (96, 2 * FILM, ())


def test_a_jittered_rate_is_no_telecine(vfr_clip: Path):
    assert not is_soft_telecine([*range(0, 24 * 1001, 1001)], Fraction(1, 30_000))
    assert not is_soft_telecine([0, 50, 83], Fraction(1, 1000))
    with pytest.raises(DecodeError, match="film can only be recovered from 30"):
        FieldReader(VideoReader(vfr_clip), "detelecine")


def test_film_at_another_rate_is_refused(h264_clip: Path):
    with pytest.raises(DecodeError, match=r"has 25 frames a second.*Use `fields=.deinterlace.`"):
        FieldReader(VideoReader(h264_clip), "detelecine")


@pytest.mark.parametrize("fields", ["deinterlace", "detelecine"])
def test_one_frame_is_enough(tmp_path: Path, fields):
    source = clips.moving_clip(tmp_path / "one.mkv", frames=1, rate=30, codec="ffv1")
    assert [frame.seconds for frame in read(source, fields)] == [0]
