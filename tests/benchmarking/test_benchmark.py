import shlex
import sys
from itertools import pairwise
from pathlib import Path

import clips
import pytest

from interp_cli.benchmarking import stages
from interp_cli.benchmarking.benchmark import benchmark, draw_clip
from interp_cli.benchmarking.report import Spread
from interp_cli.errors import InterpError, OpenError
from interp_cli.inference.interpolator import Interpolator
from interp_cli.options import BenchOptions

COPY = f"{shlex.join([sys.executable, '-c', 'import shutil, sys; shutil.copy(*sys.argv[1:])'])}"
COPY += " {input} {output}"


@pytest.fixture(autouse=True)
def short_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "_ROUND_SECONDS", 0.02)
    monkeypatch.setattr(stages, "_MATRIX_SIDE", {"cpu": 256})
    monkeypatch.setattr("interp_cli.benchmarking.benchmark._RUN_SECONDS", 0.5)


@pytest.fixture
def small(averaging) -> Interpolator:
    return Interpolator(averaging, device="cpu", precision="fp32", batch=2)


def test_all_run_in_turns_beside_each_stage(small: Interpolator, h264_clip: Path) -> None:
    calls: list[tuple[int, int, str]] = []
    compare = ("minterpolate", "blend")
    options = BenchOptions(
        input=h264_clip, compare=compare, compare_commands=(COPY,), rounds=2, preset="ultrafast"
    )
    report = benchmark(
        options,
        interpolator=small,
        progress=lambda done, total, what: calls.append((done, total, what)),
    )
    rows = ["interp", *compare, COPY]
    turn = [f"h264.mp4 128x96: {name}" for name in (*rows, "each stage alone")]
    assert calls == [(n, 10, what) for n, what in enumerate(turn * 2)]
    assert (report.model, report.device, report.precision) == ("Averaging", "cpu", "fp32")
    assert report.peak_teraflops > 0
    (clip,) = report.clips
    assert (clip.clip, clip.width, clip.height) == ("h264.mp4", *clips.SIZE)
    assert (clip.frames_in, clip.synthesized) == (12, 11)
    assert clip.encoder == "libx264 preset ultrafast crf 17"
    assert [row.name for row in clip.contenders] == rows
    # minterpolate drops the ends, and a copy stays what it was.
    ours, filtered, blended, copied = (row.frames_out for row in clip.contenders)
    assert (ours, blended, copied) == (24, 24, 12)
    assert 18 <= filtered <= 24
    for each in (*clip.contenders, *clip.stages):
        assert 0 < each.fps.low <= each.fps.median <= each.fps.high
    # All but the copy take more than a tick of the clock.
    assert all(row.core_seconds > 0 for row in clip.contenders[:-1])
    assert clip.whole.times_interp == Spread(1, 1, 1)
    for row in clip.contenders[1:]:
        slowest = row.fps.low / clip.whole.fps.high
        fastest = row.fps.high / clip.whole.fps.low
        assert slowest <= row.times_interp.low <= row.times_interp.high <= fastest


def test_the_network_has_a_row_in_its_own_unit(small: Interpolator, h264_clip: Path) -> None:
    (clip,) = benchmark(BenchOptions(input=h264_clip, rounds=1), interpolator=small).clips
    fps = next(stage.fps for stage in clip.stages if stage.name == "network")
    assert clip.network.batch == 2
    assert clip.network.pairs_per_second.median == pytest.approx(fps.median * 11 / 24)
    # Averaging multiplies no matrices.
    assert (clip.network.gmac_per_pair, clip.network.fraction_of_peak) == (0, 0)
    assert clip.memory.host_bytes is not None
    assert clip.memory.host_bytes > 50 << 20
    assert clip.cores is not None
    assert clip.cores >= 1


def test_the_beginning_of_a_video_is_enough(small: Interpolator, h264_clip: Path) -> None:
    options = BenchOptions(input=h264_clip, seconds=0.28, compare=("blend",), rounds=1)
    (clip,) = benchmark(options, interpolator=small).clips
    assert 7 <= clip.frames_in <= 9  # packets are copied in the order of decoding
    assert [row.frames_out for row in clip.contenders] == [2 * clip.frames_in] * 2


def test_sizes_are_drawn(small: Interpolator) -> None:
    options = BenchOptions(sizes=((64, 32), (32, 96)), rounds=1, frames=6)
    report = benchmark(options, interpolator=small)
    assert [(c.clip, c.width, c.height, c.frames_in, c.synthesized) for c in report.clips] == [
        ("drawn", 64, 32, 6, 5),
        ("drawn", 32, 96, 6, 5),
    ]


def test_a_drawn_clip_is_as_long_as_time_allows(
    small: Interpolator, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = BenchOptions(sizes=((64, 32),), rounds=1)
    monkeypatch.setattr("interp_cli.benchmarking.benchmark._MAX_FRAMES", 9)
    monkeypatch.setattr("interp_cli.benchmarking.benchmark._RUN_SECONDS", 1000.0)
    assert benchmark(options, interpolator=small).clips[0].frames_in == 9
    monkeypatch.setattr("interp_cli.benchmarking.benchmark._RUN_SECONDS", 0.001)
    assert benchmark(options, interpolator=small).clips[0].frames_in == 3


@pytest.mark.parametrize("size", [(64, 32), (180, 320), (1280, 720)])
def test_a_drawn_clip_moves_and_has_no_cut(tmp_path: Path, size: tuple[int, int]) -> None:
    from interp_cli.scenes.cuts import change
    from interp_cli.scenes.duplicates import is_duplicate
    from interp_cli.scenes.thumbnails import luma_thumbnail

    frames = clips.decoded(draw_clip(tmp_path / "clip.mp4", *size, 4))
    assert len(frames) == 4
    for before, after in pairwise(frames):
        assert not is_duplicate(before, after)
        assert change(luma_thumbnail(before), luma_thumbnail(after)) < 0.2


def test_a_program_that_fails_does_so_before_anything_is_timed(
    small: Interpolator, h264_clip: Path
) -> None:
    calls: list[str] = []
    options = BenchOptions(input=h264_clip, compare_commands=("no-program {input} {output}",))
    with pytest.raises(InterpError, match=r"no-program \{input\} \{output\}: cannot be started"):
        benchmark(options, interpolator=small, progress=lambda *call: calls.append(call[2]))
    assert calls == []


def test_a_missing_input_is_refused(small: Interpolator, tmp_path: Path) -> None:
    with pytest.raises(OpenError, match=r"none\.mp4"):
        benchmark(BenchOptions(input=tmp_path / "none.mp4"), interpolator=small)


def test_a_still_is_refused(small: Interpolator, tmp_path: Path) -> None:
    still = clips.moving_clip(tmp_path / "still.mkv", frames=4, still=True, codec="ffv1")
    with pytest.raises(InterpError, match=r"still\.mkv: no two .* Choose another clip"):
        benchmark(BenchOptions(input=still), interpolator=small)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sizes": ((33, 64),)}, "even and at least 32x32, not 33x64"),
        ({"sizes": ((16, 64),)}, "even and at least 32x32, not 16x64"),
        (
            {"compare_commands": ("rife {input}",)},
            "with both names in braces.*, not 'rife {input}'",
        ),
        ({"compare_commands": ("x '{input} {output}",)}, "quotation marks in pairs"),
        ({"rounds": 0}, "`rounds` must be a whole number of at least 1"),
        ({"input": Path("x"), "seconds": 0}, "`seconds` must be greater than 0, not 0"),
        ({"seconds": 1}, "`seconds` needs `input`"),
        ({"frames": 1}, "`frames` must be a whole number of at least 2"),
    ],
)
def test_wrong_options_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BenchOptions(**wrong)
