import json

import pytest
from measured import clip_speed

from interp_cli.benchmarking.report import BenchReport, Spread


def test_a_spread_is_the_median_and_the_ends() -> None:
    assert Spread.of([4, 1, 2]) == Spread(median=2, low=1, high=4)


def test_the_slowest_stage_is_the_bottleneck() -> None:
    assert clip_speed().bottleneck.name == "network"
    assert clip_speed().whole.name == "interp"
    assert clip_speed().fraction_of_bottleneck == pytest.approx(12 / 14)


def test_the_cores_allow_what_the_stages_cost_together() -> None:
    # Two cores have 2000 ms a second, a frame costs 30 + 70.
    assert clip_speed().cores_allow_fps == pytest.approx(20)
    assert clip_speed().fraction_of_cores == pytest.approx(12 / 20)
    # Where the network has a device of its own, the cores do not share it.
    assert clip_speed(cores=None).cores_allow_fps is None
    assert clip_speed(cores=None).fraction_of_cores is None


def test_json_has_what_follows_too() -> None:
    report = BenchReport("flow", 9, "cpu", "fp32", 1, 3, 0.1, None, (clip_speed(),))
    read = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert read["parameters"] == 9
    assert read["clips"][0]["bottleneck"] == "network"
    assert read["clips"][0]["fraction_of_cores"] == pytest.approx(0.6)
    assert read["clips"][0]["stages"][1]["fps"] == {"median": 14, "low": 13, "high": 15}
