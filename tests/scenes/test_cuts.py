import json
import os
import subprocess
import sys
from pathlib import Path

import av
import clips
import cv2
import numpy as np
import pytest

from interp_cli.pipeline.frames import SourceFrame
from interp_cli.pipeline.pairs import PairClassifier
from interp_cli.scenes.base import PairKind, split_at_cuts
from interp_cli.scenes.cuts import CutDetector
from interp_cli.scenes.duplicates import (
    RECENT_PAIRS,
    is_duplicate,
    is_near_duplicate,
    luma_difference,
)
from interp_cli.scenes.registry import create_detector
from interp_cli.scenes.thumbnails import luma_thumbnail


def image(picture: np.ndarray) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")


def drawn(time: float, scene: int = 0) -> np.ndarray:
    return clips.true_frame(time, scene=scene).astype(np.float32)


def between(pictures: list[np.ndarray]) -> dict[int, PairKind]:
    """What lies before each picture that does not go on from the one before it."""
    judge = CutDetector(0.5)
    for picture in pictures:
        judge.add(luma_thumbnail(image(np.rint(picture).clip(0, 255).astype(np.uint8))))
    found = {i + 1: judge.judge(i) for i in range(len(pictures) - 1)}
    return {i: kind for i, kind in found.items() if kind is not PairKind.CONTINUOUS}


def test_cuts_stand_out_from_motion(cut_clip: Path):
    with av.open(cut_clip) as container:
        images = container.decode(video=0)
        found = [cut for _, cut in split_at_cuts(images, luma_thumbnail, CutDetector(0.5))]
    assert [i for i, cut in enumerate(found) if cut] == [5, 11]


def test_without_a_threshold_there_are_no_cuts(cut_clip: Path):
    with av.open(cut_clip) as container:
        detector = create_detector(None)
        found = list(split_at_cuts(container.decode(video=0), luma_thumbnail, detector))
    assert [cut for _, cut in found] == [False] * 16


def test_a_cut_is_found_at_either_end():
    shots = [drawn(0), *(drawn(i, scene=1) for i in range(5)), drawn(0, scene=2)]
    assert between(shots) == {1: PairKind.CUT, 6: PairKind.CUT}
    assert between([drawn(0), drawn(0, scene=1)]) == {1: PairKind.CUT}
    assert between([drawn(0), drawn(1)]) == {}


@pytest.mark.parametrize("length", [1, 2])
def test_a_flash_is_told_from_a_cut(length: int):
    frames = [drawn(i) for i in range(12)]
    for i in range(5, 5 + length):
        frames[i] = 0.4 * frames[i] + 150
    assert between(frames) == {5: PairKind.FLASH, 5 + length: PairKind.FLASH}


@pytest.mark.parametrize("length", [6, 12])
def test_fades_and_dissolves_are_no_cuts(length: int):
    shares = [i / length for i in range(length + 1)]
    faded = [(1 - a) * drawn(i) + a * 16 for i, a in enumerate(shares)]
    assert between([*faded, faded[-1], faded[-1]]) == {}
    assert between([faded[-1], faded[-1], *faded[::-1]]) == {}
    mixed = [(1 - a) * drawn(i) + a * drawn(i, scene=1) for i, a in enumerate(shares)]
    assert between([drawn(0), *mixed, drawn(length, scene=1)]) == {}


def test_a_fast_pan_is_no_cut():
    wide = clips.true_frame(0, (600, 128)).astype(np.float32)
    assert between([np.ascontiguousarray(wide[:, x : x + 192]) for x in range(0, 400, 24)]) == {}


def test_motion_on_twos_is_no_cut_and_a_cut_in_it_is():
    frames = [drawn(4 * (i // 2)) for i in range(10)]
    assert between(frames) == {}
    assert between([*frames, *(drawn(4 * (i // 2), scene=1) for i in range(10))]) == {
        10: PairKind.CUT
    }


def test_slides_are_cuts_however_many_follow():
    slides = [drawn(0, scene=i // 5) for i in range(20)]
    assert between(slides) == dict.fromkeys((5, 10, 15), PairKind.CUT)


def test_a_dark_shot_is_cut_like_a_bright_one():
    frames = [16 + 0.1 * drawn(i, scene=i // 6) for i in range(12)]
    assert between(frames) == {6: PairKind.CUT}


def test_bars_hide_no_cut():
    frames = [drawn(i, scene=i // 6) for i in range(12)]
    for frame in frames:
        frame[:, :44] = frame[:, -44:] = 0
    assert between(frames) == {6: PairKind.CUT}


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
    assert is_duplicate(image(still), image(still))
    assert is_duplicate(image(still), image(noisy))
    assert not is_duplicate(image(still), image(clips.true_frame(1)))


def test_a_small_moving_thing_is_no_repeat():
    still = np.full((720, 1280, 3), 100, np.uint8)
    moved = still.copy()
    moved[300:312, 300:312] = 180
    assert not is_duplicate(image(still), image(moved))


def noisy(picture: np.ndarray, seed: int) -> av.VideoFrame:
    noise = np.random.default_rng(seed).normal(0, 2, picture.shape[:2])[..., None]
    return image(np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8))


def panned(x: float) -> np.ndarray:
    matrix = np.array([[1.0, 0, -x], [0, 1, 0]])
    size, borders = (320, 192), cv2.BORDER_REFLECT
    picture = clips.true_frame(0, size).astype(np.float32)
    return cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_CUBIC, borderMode=borders)


def test_a_near_repeat_differs_by_noise_alone():
    still = panned(0)
    assert is_near_duplicate(noisy(still, 0), noisy(still, 1))
    assert not is_duplicate(noisy(still, 0), noisy(still, 1))
    assert not is_near_duplicate(noisy(still, 0), noisy(panned(2), 1))
    small = still.copy()
    small[64:80, 64:80] += 12
    assert not is_near_duplicate(noisy(still, 0), noisy(small, 1))


@pytest.mark.parametrize("change", ["pan", "noisy pan", "fade", "fade of a part"])
def test_slow_change_is_no_repeat(change: str):
    first, second = panned(0), panned(0.5 if change == "noisy pan" else 0.25)
    if change.startswith("fade"):
        second = first.copy()
        second[:, 0 if change == "fade" else 200 :] += 1
    if change == "noisy pan":
        pair = (noisy(first, 0), noisy(second, 1))
    else:
        pair = tuple(image(np.rint(p).clip(0, 255).astype(np.uint8)) for p in (first, second))
    assert not is_near_duplicate(*pair)


def repeats_in(pictures: list[np.ndarray]) -> list[int]:
    """Which pictures the planner takes for a repeat of the one before."""
    images = [image(picture.clip(0, 255).astype(np.uint8)) for picture in pictures]
    judge = PairClassifier(None, 10)
    found = [judge.add(SourceFrame(n, n, i)) for n, i in enumerate(images)]
    return [number for number, what in enumerate(found) if what is PairKind.DUPLICATE]


def test_motion_is_told_by_the_last_pairs_alone():
    moving = [clips.true_frame(i, (320, 192)).astype(np.float32) for i in (0, 1)]

    def refined(picture: np.ndarray, codes: int) -> np.ndarray:
        picture = picture.copy()
        picture[32:48, 64:80] += codes
        return picture

    # One that differs too much does not hide those after it.
    missed = refined(moving[1], 9)
    assert repeats_in([*moving, missed, refined(missed, -5), missed, missed]) == [3, 4, 5]
    # After a still, motion is long ago.
    still = [moving[1]] * RECENT_PAIRS
    assert repeats_in([*moving, *still, refined(moving[1], 5)]) == [2, 3, 4, 5, 6]


def test_a_refined_repeat_is_told_by_the_motion_before_it():
    first = clips.true_frame(0, (320, 192)).astype(np.float32)
    second = first.copy()
    second[32:48, 64:80] += 5  # a block that the codec has refined
    pair = tuple(image(p.clip(0, 255).astype(np.uint8)) for p in (first, second))
    motion = luma_difference(image(clips.true_frame(0)), image(clips.true_frame(1)))
    assert motion > 3
    assert is_near_duplicate(*pair, motion)
    assert not is_near_duplicate(*pair)
    assert not is_near_duplicate(*pair, 0.1)


def test_repeats_are_scored_where_one_part_has_no_footage(tmp_path):
    clips.moving_clip(tmp_path / "a.mkv", 12, size=(64, 48))
    (tmp_path / "manifest.json").write_text(json.dumps([{"source": "drawn", "file": "a.mkv"}]))
    script = Path(__file__).parents[2] / "scripts" / "score_repeats.py"
    run = subprocess.run(
        [sys.executable, script, tmp_path],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert run.returncode == 0, run.stderr
    tuning, test = run.stdout.split("test part")
    assert "precision none, recall none" in tuning
    assert "motion                  11        0" in test
    assert "recall 1.000" in test


@pytest.mark.parametrize(("step", "jump"), [(2, 12), (3, 17), (6, 24)])
def test_a_dropped_frame_in_a_pan_is_no_cut(step: int, jump: int):
    wide = clips.true_frame(0, (600, 128)).astype(np.float32)
    places = [step * n + (jump - step) * (n > 5) for n in range(11)]
    assert between([np.ascontiguousarray(wide[:, x : x + 192]) for x in places]) == {}


def test_a_repeat_of_ten_bits_is_measured_in_codes_of_255():
    still, noisy, other = (
        image(clips.true_frame(0)).reformat(format="yuv420p10le") for _ in range(3)
    )

    def luma(frame):
        return np.frombuffer(memoryview(frame.planes[0]), np.uint16).reshape(96, -1)

    luma(noisy)[::12] += 3
    luma(other)[16:32, 16:32] += 8
    assert is_duplicate(still, noisy)
    assert not is_duplicate(still, other)
