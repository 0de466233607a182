"""Results that are no finite numbers: the nearest original frame instead, counted."""

from fractions import Fraction

import clips
import numpy as np
import pytest
import torch
from networks import Blur, Sliding

from interp_cli.evaluation.evaluate import evaluate
from interp_cli.evaluation.predictors import ModelPredictor
from interp_cli.inference.interpolator import Interpolator
from interp_cli.models.base import SynthesisParams
from interp_cli.options import DoubleOptions, EncodeOptions
from interp_cli.pipeline.double import double_video

FIELDS = SynthesisParams._fields


class Failing(Sliding):
    """Returns one bad value for each pair whose first frame is black."""

    def __init__(self, value: float, field: str) -> None:
        super().__init__()
        self.value, self.field = value, field

    def synthesize(self, features0, features1, motion, timestep):
        params = super().synthesize(features0, features1, motion, timestep)
        part = getattr(params, self.field).clone()
        is_black = features0[0].amax((1, 2, 3)) == 0
        part[:, -1, 3, 5] = torch.where(is_black, self.value, part[:, -1, 3, 5])
        return params._replace(**{self.field: part})


class Always(Failing):
    """Returns a bad value for each pair."""

    def encode(self, frame):
        return (frame * 0,)


class FailingPictures(Blur):
    """Returns NaN for each pair whose first frame is black."""

    def forward(self, frame0, frame1, timestep):
        is_black = frame0.amax((1, 2, 3), keepdim=True) == 0
        return torch.where(is_black, torch.nan, super().forward(frame0, frame1, timestep))


@pytest.mark.parametrize("tile", ["off", 256])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("field", FIELDS)
def test_the_nearest_frame_takes_the_place_of_a_bad_result(field, value, tile):
    interpolator = Interpolator(Failing(value, field), precision="fp32", tile=tile)
    size = (3, 24, 40) if tile == "off" else (3, 264, 40)
    frame0 = torch.stack([torch.zeros(size), torch.full(size, 0.25)])
    frame1 = torch.rand(2, *size, generator=torch.Generator().manual_seed(0))
    bad, good = interpolator.between(frame0, frame1, [(0.25, 0.5, 0.75), (0.5,)])
    torch.testing.assert_close(bad, torch.stack([frame0[0], frame0[0], frame1[0]]))
    sound = Interpolator(Sliding(), tile=tile).between(frame0, frame1, [(0.5,), (0.5,)])[1]
    torch.testing.assert_close(good, sound)
    assert interpolator.runner.fallback.count == 3
    assert interpolator.warnings == [
        "3 results of Failing were not finite numbers, so the nearest original frame is shown"
        " there."
    ]


def test_so_it_does_for_a_network_of_pictures():
    interpolator = Interpolator(FailingPictures())
    frame0 = torch.stack([torch.zeros(3, 16, 16), torch.full((3, 16, 16), 0.5)])
    frame1 = torch.ones(2, 3, 16, 16)
    rows = interpolator.between(frame0, frame1, [(Fraction(1, 2), Fraction(3, 4)), (0.5,)])
    assert [row.mean((1, 2, 3)).tolist() for row in rows] == [[0, 1], [0.75]]
    assert interpolator.runner.fallback.count == 2


def test_nothing_is_said_of_finite_results(averaging):
    interpolator = Interpolator(averaging)
    interpolator.middle(torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8))
    assert interpolator.warnings == []


def test_double_shows_the_nearest_frame_and_says_so(tmp_path):
    source = clips.moving_clip(tmp_path / "in.mkv", frames=3, codec="ffv1")
    options = DoubleOptions(encode=EncodeOptions(encoder="ffv1"))
    interpolator = Interpolator(Always(float("nan"), "flow_t0"), trajectory="linear")
    result = double_video(source, tmp_path / "out.mkv", options, interpolator=interpolator)
    assert any("2 results of Always were not finite numbers" in text for text in result.warnings)
    made = [clips.planes(frame)[0] for frame in clips.decoded(tmp_path / "out.mkv")]
    for number in range(0, 6, 2):
        assert np.array_equal(made[number], made[number + 1])


def test_a_score_of_such_results_has_a_note(tmp_path):
    clips.write_triplet(tmp_path / "set" / "one", *(np.zeros((3, 16, 16, 3), np.uint8)))
    report = evaluate(
        tmp_path / "set",
        predictors=[
            ModelPredictor(Interpolator(Failing(float("nan"), "residual"), trajectory="linear"))
        ],
    )
    assert any("were not finite numbers" in note for note in report.sets[0].notes)
