import json
from itertools import pairwise
from pathlib import Path

import clips
import pytest
import torch

from interp_cli.benchmark import Spread, _draw_clip, benchmark
from interp_cli.errors import OpenError
from interp_cli.interpolator import Interpolator
from interp_cli.options import BenchOptions


class OneConvolution(torch.nn.Module):
    """3x3, 6 to 3 channels, of which the multiplications are counted by hand."""

    supports_timestep = False

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(6, 3, 3, padding=1, bias=False)

    def size_multiple(self, height: int, width: int) -> int:
        return 1

    def forward(
        self, frame0: torch.Tensor, frame1: torch.Tensor, timestep: torch.Tensor
    ) -> torch.Tensor:
        return self.layer(torch.cat((frame0, frame1), 1))


@pytest.fixture(autouse=True)
def short_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interp_cli.benchmark._ROUND_SECONDS", 0.02)


@pytest.fixture
def small() -> Interpolator:
    return Interpolator(OneConvolution(), device="cpu", precision="fp32", batch=2)


def test_operations_and_parameters_are_counted(small: Interpolator) -> None:
    report = benchmark(BenchOptions(sizes=((96, 64),), repeats=1, frames=2), interpolator=small)
    (network,) = report.network
    assert report.parameters == 6 * 3 * 9
    assert network.gmac_per_pair == pytest.approx(6 * 3 * 9 * 96 * 64 / 1e9)
    assert (network.width, network.height, network.batch) == (96, 64, 2)
    assert (report.model, report.device, report.precision) == ("OneConvolution", "cpu", "fp32")


def test_the_whole_is_timed_beside_minterpolate(small: Interpolator, h264_clip: Path) -> None:
    calls: list[tuple[int, int]] = []
    report = benchmark(
        BenchOptions(input=h264_clip, against=("minterpolate",), repeats=3),
        interpolator=small,
        progress=lambda done, total: calls.append((done, total)),
    )
    # Three rounds of the network at the clip's own size, three of each doubler.
    assert calls == [(n, 9) for n in range(1, 10)]
    assert [(n.width, n.height) for n in report.network] == [clips.SIZE]
    (clip,) = report.clips
    assert (clip.clip, clip.width, clip.height, clip.frames_in) == ("h264.mp4", *clips.SIZE, 12)
    ours, theirs = clip.rows
    assert (ours.name, ours.frames_out) == ("interp", 24)
    # minterpolate drops the ends, where it has no neighbours to look at.
    assert theirs.name == "minterpolate"
    assert 18 <= theirs.frames_out <= 24
    for row in clip.rows:
        speed = row.frames_per_second
        assert 0 < speed.low <= speed.median <= speed.high
    assert ours.times_interp == Spread(1, 1, 1)
    ratio = theirs.times_interp
    assert ratio.low <= ratio.median <= ratio.high
    slowest = theirs.frames_per_second.low / ours.frames_per_second.high
    fastest = theirs.frames_per_second.high / ours.frames_per_second.low
    assert slowest <= ratio.median <= fastest


def test_the_beginning_of_a_video_is_enough(small: Interpolator, h264_clip: Path) -> None:
    options = BenchOptions(input=h264_clip, seconds=0.28, against=("minterpolate",), repeats=1)
    (clip,) = benchmark(options, interpolator=small).clips
    assert clip.frames_in == 7
    assert clip.rows[0].frames_out == 14
    assert 9 <= clip.rows[1].frames_out <= 14


def test_sizes_are_drawn(small: Interpolator) -> None:
    options = BenchOptions(sizes=((64, 32), (32, 96)), repeats=1, frames=6)
    report = benchmark(options, interpolator=small)
    assert [(c.clip, c.width, c.height, c.frames_in) for c in report.clips] == [
        ("drawn", 64, 32, 6),
        ("drawn", 32, 96, 6),
    ]
    read = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert read["clips"][1]["rows"][0]["frames_out"] == 12
    assert read["clips"][1]["synthesized"] == 5
    assert read["network"][0]["pairs_per_second"]["median"] > 0


@pytest.mark.parametrize("size", [(64, 32), (180, 320), (1280, 720)])
def test_a_drawn_clip_moves_and_has_no_cut(tmp_path: Path, size: tuple[int, int]) -> None:
    from interp_cli.scenes import change, is_repeat, luma_thumbnail

    frames = clips.decoded(_draw_clip(tmp_path / "clip.mp4", *size, 4))
    assert len(frames) == 4
    for before, after in pairwise(frames):
        assert not is_repeat(before, after)
        assert change(luma_thumbnail(before), luma_thumbnail(after)) < 0.2


def test_a_spread_is_the_median_and_the_ends() -> None:
    assert Spread.of([4, 1, 2]) == Spread(median=2, low=1, high=4)


def test_a_missing_input_is_refused(small: Interpolator, tmp_path: Path) -> None:
    with pytest.raises(OpenError, match=r"none\.mp4"):
        benchmark(BenchOptions(input=tmp_path / "none.mp4"), interpolator=small)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sizes": ((33, 64),)}, "even and at least 32x32, not 33x64"),
        ({"sizes": ((16, 64),)}, "even and at least 32x32, not 16x64"),
        ({"against": ("rife",)}, "against must be minterpolate, not 'rife'"),
        ({"repeats": 0}, "repeats must be at least 1"),
        ({"seconds": 0}, "seconds must be above 0, not 0"),
        ({"frames": 1}, "frames must be at least 2"),
    ],
)
def test_wrong_options_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BenchOptions(**wrong)
