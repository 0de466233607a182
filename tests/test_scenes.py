from itertools import pairwise
from pathlib import Path

import av
import clips
import numpy as np
import pytest

from interp_cli.options import DoubleOptions
from interp_cli.scenes import change, is_repeat, luma_thumbnail

THRESHOLD = DoubleOptions().scene_threshold


def image(picture: np.ndarray) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")


def changes(path: Path) -> list[float]:
    with av.open(path) as container:
        thumbnails = [luma_thumbnail(frame) for frame in container.decode(video=0)]
    return [change(a, b) for a, b in pairwise(thumbnails)]


def test_cuts_stand_out_from_motion(cut_clip: Path):
    found = [i + 1 for i, c in enumerate(changes(cut_clip)) if c > THRESHOLD]
    assert found == [5, 11]


def test_a_fast_pan_is_no_cut():
    wide = clips.true_frame(0, (400, 128))
    frames = [luma_thumbnail(image(np.ascontiguousarray(wide[:, x : x + 192]))) for x in (0, 18)]
    assert change(*frames) < THRESHOLD / 2


def test_a_thumbnail_is_small_and_in_codes_of_255():
    frame = av.VideoFrame(1920, 1080, "yuv420p10le")
    np.frombuffer(memoryview(frame.planes[0]), np.uint16)[...] = 1023
    thumbnail = luma_thumbnail(frame)
    assert thumbnail.shape == (36, 64)
    assert thumbnail.max() == pytest.approx(255)


def test_a_repeat_may_differ_by_codec_noise_but_not_by_motion():
    still = clips.true_frame(0)
    noisy = still.copy()
    noisy[::16, ::16] += 1
    assert is_repeat(image(still), image(still))
    assert is_repeat(image(still), image(noisy))
    assert not is_repeat(image(still), image(clips.true_frame(1)))


def test_a_small_moving_thing_is_no_repeat():
    still = np.full((720, 1280, 3), 100, np.uint8)
    moved = still.copy()
    moved[300:312, 300:312] = 180
    assert not is_repeat(image(still), image(moved))
