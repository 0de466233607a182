import json

import pytest

from interp_cli.benchmarking.report import (
    BenchReport,
    ClipSpeed,
    ContenderSpeed,
    NetworkSpeed,
    PeakMemory,
    Spread,
    StageSpeed,
)


def clip(cores: int | None = 2) -> ClipSpeed:
    """Of two stages that cost 30 and 70 ms of one core a frame out; the whole makes 12 a second."""
    network = Spread(14, 13, 15)
    return ClipSpeed(
        clip="drawn",
        width=64,
        height=32,
        frames_in=6,
        synthesized=5,
        encoder="libx264",
        stages=(
            StageSpeed("decode", Spread(30, 20, 40), 0.03),
            StageSpeed("network", network, 0.07),
        ),
        network=NetworkSpeed(1, network, 0.5, 0.01, 0.1),
        memory=PeakMemory(1, 2, None),
        rows=(
            ContenderSpeed("interp", 12, Spread(12, 11, 13), Spread(1, 1, 1), 0.11),
            ContenderSpeed("blend", 12, Spread(48, 40, 50), Spread(4, 4, 4), 0.02),
        ),
        cores=cores,
    )


def test_a_spread_is_the_median_and_the_ends() -> None:
    assert Spread.of([4, 1, 2]) == Spread(median=2, low=1, high=4)


def test_the_slowest_stage_is_the_bottleneck() -> None:
    assert clip().bottleneck.name == "network"
    assert clip().whole.name == "interp"
    assert clip().fraction_of_bottleneck == pytest.approx(12 / 14)


def test_the_cores_allow_what_the_stages_cost_together() -> None:
    # Two cores have 2000 ms a second, a frame costs 30 + 70.
    assert clip().cores_allow_fps == pytest.approx(20)
    assert clip().fraction_of_cores == pytest.approx(12 / 20)
    # Where the network has a device of its own, the cores do not share it.
    assert clip(cores=None).cores_allow_fps is None
    assert clip(cores=None).fraction_of_cores is None


def test_json_has_what_follows_too() -> None:
    report = BenchReport("flow", 9, "cpu", "fp32", 1, 3, 0.1, None, (clip(),))
    read = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert read["parameters"] == 9
    assert read["clips"][0]["bottleneck"] == "network"
    assert read["clips"][0]["fraction_of_cores"] == pytest.approx(0.6)
    assert read["clips"][0]["stages"][1]["fps"] == {"median": 14, "low": 13, "high": 15}
