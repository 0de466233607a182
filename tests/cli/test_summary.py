from fractions import Fraction
from pathlib import Path

import pytest

from interp_cli.cli.summary import speed_hint, summary_text
from interp_cli.options import InferenceOptions
from interp_cli.pipeline.double import DoubleResult


def result(**more) -> DoubleResult:
    values = {
        "source": Path("in.mp4"), "target": Path("out.mp4"), "frames_in": 50, "frames_out": 100,
        "frames_resumed": 0, "synthesized": 49, "cuts": 1, "flashes": 0, "duplicates": 0,
        "retimed": 0, "gaps": 0, "frame_rate": Fraction(50), "video_seconds": 2.0,
        "seconds": 20.0, "output_bytes": 3_400_000, "model": "flow", "device": "cpu",
        "precision": "bf16", "quality": "balanced", "trajectory": "cubic", "encoder": "libx264",
        "warnings": (),
    }  # fmt: skip
    return DoubleResult(**{**values, **more})


def test_the_summary_has_the_unit_of_the_bar_and_explains_the_speed():
    assert summary_text(result(), Fraction(50)) == (
        "out.mp4: 50 frames in, 100 out at 50/s (49 synthesized, 1 cuts, 0 duplicates) in 20.0 s "
        "(5.0 frames/s, 0.10x real time), 3.4 MB; flow on cpu in bf16, quality balanced; libx264"
    )


def test_frames_of_an_earlier_run_do_not_count_for_the_speed():
    text = summary_text(result(frames_resumed=60, gaps=2, output_bytes=0), None)
    assert "0 duplicates, 60 from an earlier run, 2 gaps held) in 20.0 s (2.0 frames/s); " in text


@pytest.mark.parametrize(
    ("quality", "start"), [("auto", "--quality fast is quicker, and `interp"), ("fast", "`interp")]
)
def test_a_slow_cpu_gets_one_hint(quality, start):
    hint = speed_hint(InferenceOptions(device="cpu", quality=quality))
    assert hint() == f"This is slow on a CPU: {start} doctor` says what slows this machine."
    assert hint() == ""
