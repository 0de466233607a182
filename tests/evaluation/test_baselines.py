from fractions import Fraction

import clips
import numpy as np
import pytest

from interp_cli.errors import VideoError
from interp_cli.evaluation.baselines import BASELINES, Blend, DisFlow, Minterpolate, Predictor
from interp_cli.evaluation.metrics import psnr

HALF = Fraction(1, 2)


def drawing(frames: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Frames 0, 1, 2 … of the drawn motion, and what stands halfway between them."""
    return (
        [clips.true_frame(index) for index in range(frames)],
        [clips.true_frame(index + 0.5) for index in range(frames - 1)],
    )


def mean_psnr(predictor: Predictor, frames: int = 4) -> float:
    shown, hidden = drawing(frames)
    middles = [middle for (middle,) in predictor.between(shown, [HALF])]
    return float(np.mean([psnr(a, b) for a, b in zip(middles, hidden, strict=True)]))


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_makes_one_picture_fewer_than_it_gets(name: str) -> None:
    predictor = BASELINES[name]()
    for count in (2, 3, 5):
        for timesteps in ([HALF], [Fraction(1, 4), Fraction(2, 3)]):
            rows = predictor.between(drawing(count)[0], timesteps)
            assert [len(row) for row in rows] == [len(timesteps)] * (count - 1)
            assert all(m.dtype == np.uint8 and m.shape == (96, 128, 3) for row in rows for m in row)
    assert predictor.name == name


@pytest.mark.parametrize("name", BASELINES)
def test_between_equal_frames_stands_the_same_frame(name: str) -> None:
    picture = clips.true_frame(0)
    ((early, middle),) = BASELINES[name]().between([picture, picture], [Fraction(1, 8), HALF])
    # minterpolate goes through 8-bit YUV and back.
    for made in (early, middle):
        assert np.abs(made.astype(int) - picture).max() <= (3 if name == "minterpolate" else 0)


def test_blend_is_the_rounded_mean() -> None:
    a = np.array([[[0, 1, 254]]], np.uint8)
    b = np.array([[[1, 1, 255]]], np.uint8)
    ((early, middle),) = Blend().between([a, b], [Fraction(1, 4), HALF])
    assert early.tolist() == [[[0, 1, 254]]]
    assert middle.tolist() == [[[1, 1, 255]]]
    ((late,),) = Blend().between([a, np.full_like(a, 8)], [Fraction(7, 8)])
    assert late.tolist() == [[[7, 7, 39]]]  # 7, 7.125, 38.75


@pytest.mark.parametrize("name", ["minterpolate", "dis"])
def test_each_timestep_is_where_it_belongs(name: str) -> None:
    # Every second frame is shown, so that what stands at each quarter between them is drawn.
    shown = [clips.true_frame(time) for time in (0, 2, 4)]
    rows = BASELINES[name]().between(shown, [Fraction(k, 4) for k in (1, 2, 3)])
    truths = [clips.true_frame(time / 2) for time in (1, 2, 3, 5, 6, 7)]
    for place, picture in enumerate(picture for row in rows for picture in row):
        assert int(np.argmax([psnr(picture, truth) for truth in truths])) == place


def test_motion_is_worth_decibels() -> None:
    blend = mean_psnr(Blend())
    assert mean_psnr(Minterpolate()) > blend + 1
    assert mean_psnr(DisFlow()) > blend + 8


@pytest.mark.parametrize("predictor", [Minterpolate(), DisFlow()])
def test_each_middle_belongs_to_its_own_pair(predictor: Predictor) -> None:
    shown, hidden = drawing(5)
    for index, (middle,) in enumerate(predictor.between(shown, [HALF])):
        scores = [psnr(middle, truth) for truth in hidden]
        assert int(np.argmax(scores)) == index


@pytest.mark.parametrize(
    ("predictor", "side", "message"),
    [
        (Minterpolate(), 16, r"made 0 of 1 pictures of 16x16 \(Height or width < 32\)"),
        (DisFlow(), 7, "dis needs pictures of at least 8 pixels a side, not 7x7"),
    ],
)
def test_pictures_too_small_are_one_clear_error(
    predictor: Predictor, side: int, message: str
) -> None:
    picture = np.zeros((side, side, 3), np.uint8)
    with pytest.raises(VideoError, match=message):
        predictor.between([picture, picture], [HALF])
