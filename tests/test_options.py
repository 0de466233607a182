from fractions import Fraction

import pytest

from interp_cli.cli.parsing import parse_ffmpeg_output, parse_frame_rate
from interp_cli.errors import OptionError
from interp_cli.options import (
    DoubleOptions,
    EncodeOptions,
    InferenceOptions,
)
from interp_cli.training.options import TrainOptions


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("60", Fraction(60)),
        ("12.5", Fraction(25, 2)),
        ("60000/1001", Fraction(60000, 1001)),
        ("59.94", Fraction(60000, 1001)),
        ("23.976", Fraction(24000, 1001)),
        ("23.98", Fraction(24000, 1001)),
        ("29.97", Fraction(30000, 1001)),
        ("119.88", Fraction(120000, 1001)),
        ("47.952", Fraction(48000, 1001)),
        ("59.9", Fraction(599, 10)),
        ("60.0", Fraction(60)),
    ],
)
def test_a_rate_is_read_as_people_write_it(text: str, rate: Fraction):
    assert parse_frame_rate(text) == rate


@pytest.mark.parametrize("text", ["fast", "60/0", "", "60fps"])
def test_no_rate_is_refused(text: str):
    with pytest.raises(OptionError, match=r"must be like 60, 59\.94 or 60000/1001"):
        parse_frame_rate(text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factor": 1}, "`factor` must be a whole number of at least 2, not 1"),
        ({"slow_motion": 0}, "`slow_motion` must be a whole number of at least 2, not 0"),
        ({"factor": 2, "frame_rate": Fraction(60)}, "`factor` and `frame_rate` both set"),
        ({"factor": 2, "slow_motion": 2}, "`factor` and `slow_motion` both set"),
        ({"frame_rate": Fraction(0)}, "`frame_rate` must be a fraction from 1/3600"),
        ({"frame_rate": 59.94}, "`frame_rate` must be a fraction from 1/3600"),
        ({"frame_rate": Fraction(1, 3601)}, "`frame_rate` must be a fraction from 1/3600"),
        ({"frame_rate": Fraction(1001)}, "`frame_rate` must be a fraction .* to 1000"),
        ({"frame_rate": Fraction(2**31 + 1, 2**31)}, "`frame_rate` must be a fraction"),
        (
            {"input_frame_rate": Fraction(1, 3601)},
            "`input_frame_rate` must be a fraction from 1/3600",
        ),
        ({"max_gap_seconds": 0}, "`max_gap_seconds` must be greater than 0"),
        ({"fields": "weave"}, "`fields` must be refuse, deinterlace or detelecine, not 'weave'"),
        (
            {"slow_motion": 2, "encode": EncodeOptions(ffmpeg_output=("-af", "volume=2"))},
            "`slow_motion` already filters the audio",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(options, message):
    with pytest.raises(OptionError, match=message):
        DoubleOptions(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (lambda: InferenceOptions(precision="fp8"), "`precision` must be auto, fp32, fp16 or bf16"),
        (lambda: InferenceOptions(batch="many"), "`batch` must be auto or a whole number"),
        (lambda: InferenceOptions(batch=True), "`batch` must be auto or a whole number, not True"),
        (lambda: InferenceOptions(batch=0), "`batch` must be auto or at least 1, not 0"),
        (lambda: InferenceOptions(tile=16), "`tile` must be auto, off or at least 128 pixels"),
        (lambda: DoubleOptions(output_format="avi"), "`output_format` must be y4m or nut"),
        (lambda: TrainOptions("flow", steps=1, compile="no"), "`compile` must be auto or True or"),
    ],
)
def test_a_choice_is_one_that_its_field_lists(options, message):
    with pytest.raises(OptionError, match=message):
        options()


def test_choices_may_be_left_open():
    assert DoubleOptions().output_format is None
    assert InferenceOptions(batch=4, tile="off").batch == 4


def test_a_missing_quotation_mark_is_named():
    with pytest.raises(OptionError, match="`ffmpeg_output`: No closing quotation"):
        parse_ffmpeg_output("-metadata title='x")
