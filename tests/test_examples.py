"""The scripts in examples/ run as their documentation says."""

import subprocess
from fractions import Fraction
from pathlib import Path

import av
import clips
import cv2
import numpy as np
import pytest
from children import run_script

EXAMPLES = Path(__file__).parent.parent / "examples"


def run_example(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return run_script(EXAMPLES / name, *arguments)


def test_the_committed_clip_is_what_the_documentation_says() -> None:
    with av.open(str(EXAMPLES / "clip.mp4")) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.width, video.height) == (640, 360)
        assert (video.frames, video.average_rate) == (45, 15)
        assert video.duration * video.time_base == audio.duration * audio.time_base == 3
    assert (EXAMPLES / "clip.mp4").stat().st_size < 1_500_000


@pytest.mark.slow
def test_render_clip_draws_the_committed_clip_again(tmp_path: Path) -> None:
    done = run_example("render_clip.py", tmp_path / "clip.mp4", "--seconds", 0.14)
    assert done.returncode == 0, done.stderr
    drawn = [frame.to_ndarray(format="rgb24") for frame in clips.decoded(tmp_path / "clip.mp4")]
    known = clips.decoded(EXAMPLES / "clip.mp4")[: len(drawn)]
    assert len(drawn) == 2
    # Not bit for bit: the encoder looks ahead, and machines differ in how they round.
    for frame, other in zip(drawn, known, strict=True):
        assert cv2.PSNR(frame, other.to_ndarray(format="rgb24")) > 34
    # And it moves: that is what the clip is for.
    assert cv2.PSNR(drawn[0], drawn[1]) < 30


def test_double_a_clip(tmp_path: Path) -> None:
    source = clips.moving_clip(tmp_path / "in.mp4", frames=4, audio="aac")
    target = tmp_path / "new" / "out.mp4"
    done = run_example("double_a_clip.py", source, target)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{target}: 4 frames became 8 at 50 a second, in ")
    assert done.stderr.splitlines()[-1].endswith("8 of 8 frames")
    assert clips.times(target) == [Fraction(index, 50) for index in range(8)]
    assert clips.packets(target) == clips.packets(source)


def test_double_a_clip_says_in_one_line_what_is_wrong(tmp_path: Path) -> None:
    done = run_example("double_a_clip.py", tmp_path / "missing.mp4", tmp_path / "out.mp4")
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"{tmp_path / 'missing.mp4'}: ")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_interpolate_two_pictures(tmp_path: Path, dtype: type[np.generic]) -> None:
    scale = 257 if dtype is np.uint16 else 1
    paths = [tmp_path / "0.png", tmp_path / "1.png"]
    for time, path in enumerate(paths):
        picture = clips.true_frame(time).astype(dtype) * dtype(scale)
        cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    done = run_example("interpolate_two_pictures.py", *paths, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'out' / 'middle.png'}: 128x96, {np.dtype(dtype)}\n"
    middle = cv2.imread(str(tmp_path / "out" / "middle.png"), cv2.IMREAD_UNCHANGED)
    assert (middle.shape, middle.dtype) == ((96, 128, 3), dtype)
    truth = cv2.cvtColor(clips.true_frame(0.5), cv2.COLOR_RGB2BGR)
    assert cv2.PSNR((middle / scale).round().astype(np.uint8), truth) > 25
    both = cv2.imread(str(tmp_path / "out" / "side_by_side.png"), cv2.IMREAD_UNCHANGED)
    assert both.shape == (96, 3 * 128, 3)
    np.testing.assert_array_equal(both[:, 128:256], middle)


def test_interpolate_two_pictures_takes_its_own_from_the_clip(tmp_path: Path) -> None:
    done = run_example("interpolate_two_pictures.py", tmp_path)
    assert done.returncode == 0, done.stderr
    assert cv2.imread(str(tmp_path / "middle.png")).shape == (360, 640, 3)
