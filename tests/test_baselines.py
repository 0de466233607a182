import clips
import numpy as np
import pytest

from interp_cli.baselines import BASELINES, Blend, DisFlow, Minterpolate, Predictor
from interp_cli.errors import VideoError
from interp_cli.metrics import psnr


def drawing(frames: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Frames 0, 1, 2 … of the drawn motion, and what stands halfway between them."""
    return (
        [clips.true_frame(index) for index in range(frames)],
        [clips.true_frame(index + 0.5) for index in range(frames - 1)],
    )


def mean_psnr(predictor: Predictor, frames: int = 4) -> float:
    shown, hidden = drawing(frames)
    middles = predictor.middles(shown)
    return float(np.mean([psnr(a, b) for a, b in zip(middles, hidden, strict=True)]))


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_makes_one_picture_fewer_than_it_gets(name: str) -> None:
    predictor = BASELINES[name]()
    for count in (2, 3, 5):
        middles = predictor.middles(drawing(count)[0])
        assert len(middles) == count - 1
        assert all(m.dtype == np.uint8 and m.shape == (96, 128, 3) for m in middles)
    assert predictor.name == name


@pytest.mark.parametrize("name", BASELINES)
def test_between_equal_frames_stands_the_same_frame(name: str) -> None:
    picture = clips.true_frame(0)
    (middle,) = BASELINES[name]().middles([picture, picture])
    # minterpolate goes through 8-bit YUV and back.
    assert np.abs(middle.astype(int) - picture).max() <= (3 if name == "minterpolate" else 0)


def test_blend_is_the_rounded_mean() -> None:
    a = np.array([[[0, 1, 254]]], np.uint8)
    b = np.array([[[1, 1, 255]]], np.uint8)
    (middle,) = Blend().middles([a, b])
    assert middle.tolist() == [[[1, 1, 255]]]


def test_motion_is_worth_decibels() -> None:
    blend = mean_psnr(Blend())
    assert mean_psnr(Minterpolate()) > blend + 1
    assert mean_psnr(DisFlow()) > blend + 8


@pytest.mark.parametrize("predictor", [Minterpolate(), DisFlow()])
def test_each_middle_belongs_to_its_own_pair(predictor: Predictor) -> None:
    shown, hidden = drawing(5)
    for index, middle in enumerate(predictor.middles(shown)):
        scores = [psnr(middle, truth) for truth in hidden]
        assert int(np.argmax(scores)) == index


@pytest.mark.parametrize(
    ("predictor", "side", "message"),
    [
        (Minterpolate(), 16, r"made 0 of 1 pictures of 16x16 \(Height or width < 32\)"),
        (DisFlow(), 7, "dis needs pictures of 8 pixels a side and more, not 7x7"),
    ],
)
def test_pictures_too_small_are_one_clear_error(
    predictor: Predictor, side: int, message: str
) -> None:
    picture = np.zeros((side, side, 3), np.uint8)
    with pytest.raises(VideoError, match=message):
        predictor.middles([picture, picture])
