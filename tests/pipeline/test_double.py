import json
import os
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import clips
import numpy as np
import pytest
import torch
from conftest import VFR_PTS

from interp_cli.errors import DecodeError, EncodeError, InterpError, OpenError, WeightsError
from interp_cli.evaluation.metrics import psnr
from interp_cli.inference.interpolator import Interpolator
from interp_cli.options import DoubleOptions, EncodeOptions, InferenceOptions
from interp_cli.pipeline.double import DoubleResult, double_video
from interp_cli.pipeline.flow_export import read_flo
from interp_cli.video.colour import from_rgb, to_rgb
from interp_cli.video.pixel_format import pixel_format_of, planes_of
from interp_cli.video.probe import probe
from interp_cli.video.writers.file import Encoding

LOSSLESS = DoubleOptions(encode=EncodeOptions(encoder="ffv1"))
FAST = DoubleOptions(encode=EncodeOptions(preset="ultrafast"))


@pytest.fixture
def double(interpolator, tmp_path):
    """Double into a file of that name in an empty folder."""

    def run(source: Path, name: str = "out.mkv", options=LOSSLESS, **more) -> DoubleResult:
        return double_video(source, tmp_path / name, options, interpolator=interpolator, **more)

    return run


def frames(path: Path) -> list[av.VideoFrame]:
    with av.open(path) as container:
        return list(container.decode(video=0))


def times(path: Path) -> list[Fraction]:
    return [frame.pts * frame.time_base for frame in frames(path)]


def same(image0: av.VideoFrame, image1: av.VideoFrame) -> bool:
    pairs = zip(planes_of(image0), planes_of(image1), strict=True)
    return image0.format.name == image1.format.name and all(np.array_equal(a, b) for a, b in pairs)


def sound(path: Path) -> list[tuple[int, bytes]]:
    with av.open(path) as container:
        stream = container.streams.audio[0]
        scale = 1000 * stream.time_base
        return [
            (round(float(packet.pts * scale)), bytes(packet))
            for packet in container.demux(stream)
            if packet.size
        ]


def test_two_frames_out_for_each_in_and_originals_untouched(double, any_clip):
    result = double(any_clip)
    before, after = frames(any_clip), frames(result.target)
    assert result.frames_in == len(before)
    assert result.frames_out == len(after) == 2 * len(before)
    assert [same(a, b) for a, b in zip(before, after[::2], strict=True)] == [True] * len(before)
    assert same(after[-1], before[-1])  # the last has no successor and is repeated


@pytest.fixture(params=["h264", "vfr", "ten_bit", "ffv1", "odd", "one_frame"])
def any_clip(request) -> Path:
    return request.getfixturevalue(f"{request.param}_clip")


def test_a_middle_is_what_the_model_makes(double, ffv1_clip: Path):
    result = double(ffv1_clip)
    before, after = frames(ffv1_clip), frames(result.target)
    luma = [planes_of(f)[0].astype(float) for f in (before[3], before[4], after[7])]
    assert np.abs((luma[0] + luma[1]) / 2 - luma[2]).mean() < 0.6
    assert result.synthesized == 11


def test_a_still_scene_does_not_flicker(interpolator, tmp_path: Path):
    # --no-scenes does not turn repeats off, so a model is asked for the middle directly.
    still = clips.moving_clip(tmp_path / "still.mkv", frames=2, codec="ffv1", still=True)

    first, second = frames(still)
    layout = pixel_format_of(first, probe(still).colour)
    pictures = [
        to_rgb(tuple(torch.from_numpy(p.copy())[None] for p in planes_of(f)), layout)[0]
        for f in (first, second)
    ]
    made = from_rgb(interpolator.middle(*pictures), None, layout)
    for plane, expected in zip(made, planes_of(first), strict=True):
        np.testing.assert_array_equal(plane[0].numpy(), expected)


def test_times_stay_and_middles_stand_halfway(double, vfr_clip: Path):
    result = double(vfr_clip)
    after = [round(t * 1000, 1) for t in times(result.target)]
    assert after[::2] == list(VFR_PTS)
    halves = [(a + b) / 2 for a, b in pairwise(VFR_PTS)]
    # Matroska counts whole milliseconds.
    assert all(abs(t - half) <= 0.5 for t, half in zip(after[1:-1:2], halves, strict=True))


def test_mp4_holds_halves_exactly(double, h264_clip: Path):
    result = double(h264_clip, "out.mp4", FAST)
    assert times(result.target) == [Fraction(i, 50) for i in range(24)]
    assert result.frame_rate == 50
    assert result.video_seconds == pytest.approx(12 / 25)
    assert probe(result.target).frame_rate == 50


def test_a_rate_of_ntsc_stays_exact(double, ten_bit_clip: Path):
    result = double(ten_bit_clip, "out.mov", FAST)
    assert result.frame_rate == Fraction(48000, 1001)
    # Matroska rounded the input to milliseconds; the output repeats its times to the tick.
    assert times(result.target)[::2] == times(ten_bit_clip)


def test_a_long_last_frame_keeps_its_length(double, tmp_path: Path):
    source = clips.moving_clip(tmp_path / "slow.mkv", frames=4, rate=2, codec="ffv1")
    result = double(source, "out.mp4", FAST)
    assert probe(result.target).duration_seconds == pytest.approx(2.0, abs=1e-3)


@pytest.mark.parametrize("name", ["out.mkv", "out.mp4", "out.mov"])
def test_sound_is_copied_and_stays_in_time(double, h264_clip: Path, name: str):
    result = double(h264_clip, name, FAST)
    assert sound(result.target) == sound(h264_clip)


def test_sound_can_be_left_out(double, h264_clip: Path):
    result = double(h264_clip, "out.mp4", replace(FAST, audio=False))
    assert probe(result.target).streams == ()


def test_webm_converts_what_it_cannot_hold(double, h264_clip: Path):
    options = DoubleOptions(encode=EncodeOptions(options=(("deadline", "realtime"),)))
    result = double(h264_clip, "out.webm", options)
    assert [s.codec for s in probe(result.target).streams] == ["opus"]
    assert result.warnings == (
        "audio stream 1 (aac) is converted with libopus, since .webm does not hold it.",
    )


def test_a_clock_that_starts_anywhere_starts_at_zero(double, tmp_path: Path):
    source = clips.moving_clip(tmp_path / "a.ts", audio="aac")
    info = probe(source)
    assert info.start_seconds > 0
    result = double(source)
    after = probe(result.target)
    offset = info.video_start_seconds - info.start_seconds
    assert abs(after.video_start_seconds - offset) < Fraction(1, 1000)


def test_no_ghost_across_a_cut(double, cut_clip: Path):
    result = double(cut_clip)
    after = frames(result.target)
    assert result.cuts == 2
    for cut in (5, 11):
        assert same(after[2 * cut - 1], after[2 * cut - 2])
    assert double(cut_clip, "blended.mkv", replace(LOSSLESS, scene_threshold=None)).cuts == 0


def test_a_cut_may_be_blended(double, cut_clip: Path):
    result = double(cut_clip, options=replace(LOSSLESS, at_cut="blend"))
    after = frames(result.target)
    assert (result.cuts, result.synthesized) == (2, 13)
    for cut in (5, 11):
        planes = [planes_of(after[2 * cut - 1 + step]) for step in (-1, 0, 1)]
        for before, blend, behind in zip(*planes, strict=True):
            np.testing.assert_array_equal(blend, np.rint((before.astype(float) + behind) / 2))


def test_a_flash_is_not_smeared_over_time(double, tmp_path: Path):
    pictures = [clips.true_frame(i) for i in range(9)]
    pictures[4] = np.clip(pictures[4].astype(int) + 150, 0, 255).astype(np.uint8)
    source = clips.moving_clip(tmp_path / "flash.mkv", 9, codec="ffv1", pictures=pictures)
    result = double(source)
    after = frames(result.target)
    assert (result.flashes, result.cuts, result.synthesized) == (1, 0, 6)
    assert same(after[7], after[6]) and same(after[9], after[8])
    # With more times than the middle, the nearer one is shown.
    after = frames(double(source, "x4.mkv", replace(LOSSLESS, factor=4)).target)
    assert [same(after[i], after[16]) for i in (13, 14, 15, 17, 18, 19)] == [
        *(False, False, True),
        *(True, True, False),
    ]


def test_retimed_repeats_follow_the_motion(double, repeats_clip: Path):
    result = double(repeats_clip, options=replace(LOSSLESS, duplicates="retime"))
    before, after = frames(repeats_clip), frames(result.target)
    # Of the runs 2, 3, 4 and 7, 8 the first frame stays; 11 has no successor.
    assert (result.duplicates, result.retimed, result.frames_out) == (3, 3, 24)
    for i in (0, 1, 2, 5, 6, 7, 9, 10, 11):
        assert same(after[2 * i], before[i])
    for first, next_ in ((2, 5), (7, 9)):
        luma = [planes_of(before[i])[0].astype(float) for i in (first, next_)]
        for i in range(2 * first + 1, 2 * next_):
            share = Fraction(i - 2 * first, 2 * (next_ - first))
            expected = (1 - float(share)) * luma[0] + float(share) * luma[1]
            assert np.abs(planes_of(after[i])[0] - expected).mean() < 0.6


def test_a_still_is_not_retimed(double, tmp_path: Path):
    source = clips.moving_clip(
        tmp_path / "still.mkv", frames=14, codec="ffv1", duplicates=range(2, 11), rate=100
    )
    result = double(source, options=replace(LOSSLESS, duplicates="retime"))
    assert (result.duplicates, result.retimed) == (9, 0)


def test_a_model_of_middles_retimes_nothing(double, interpolator, repeats_clip, monkeypatch):
    monkeypatch.setattr(interpolator.net, "supports_timestep", False)
    with pytest.raises(
        WeightsError, match="only the frame halfway between two, which does not make a run"
    ):
        double(repeats_clip, options=replace(LOSSLESS, duplicates="retime"))


def test_a_model_of_middles_does_factors_up_to_64(double, interpolator, tmp_path, monkeypatch):
    monkeypatch.setattr(interpolator.net, "supports_timestep", False)
    source = clips.moving_clip(tmp_path / "in.mkv", 2, codec="ffv1", size=(64, 48))
    result = double(source, "out.mp4", replace(FAST, factor=64))
    assert result.frames_out == 128
    for factor in (3, 128):
        with pytest.raises(WeightsError, match="2, 4, 8 and so on up to 64, not for others"):
            double(source, "other.mkv", replace(LOSSLESS, factor=factor))


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "gray"])
def test_black_bars_stay_and_the_picture_is_made_between_them(
    double, interpolator, tmp_path: Path, pix_fmt
):
    pictures = [clips.true_frame(i).copy() for i in range(6)]
    for number, picture in enumerate(pictures):
        picture[:16] = picture[80:] = number % 2  # noise in the bars, which a mean would change
    source = clips.moving_clip(
        tmp_path / "bars.mkv", 6, codec="ffv1", pix_fmt=pix_fmt, pictures=pictures
    )
    heights: list[int] = []
    hook = interpolator.net.register_forward_pre_hook(
        lambda _, given: heights.append(given[0].shape[-2])
    )
    result = double(source)
    hook.remove()
    before, after = frames(source), frames(result.target)
    assert (result.cuts, result.duplicates, result.synthesized) == (0, 0, 5)
    assert set(heights) == {68 if pix_fmt == "yuv420p" else 64}
    for i in range(5):
        for made, original in zip(planes_of(after[2 * i + 1]), planes_of(before[i]), strict=True):
            step = 96 // made.shape[0]
            for rows in (slice(0, 12 // step), slice(84 // step, 96)):
                np.testing.assert_array_equal(made[rows], original[rows])


def test_repeats_pass_through(double, repeats_clip: Path):
    result = double(repeats_clip)
    after = frames(result.target)
    assert result.duplicates == 3
    assert result.synthesized == 8
    for repeat in (3, 4, 8):
        assert same(after[2 * repeat - 1], after[2 * repeat])


def test_a_part_starts_at_zero_with_its_sound(double, tmp_path: Path):
    source = clips.moving_clip(tmp_path / "long.mkv", frames=50, audio="flac")
    options = replace(LOSSLESS, start_seconds=0.4, end_seconds=1.2)
    result = double(source, options=options)
    assert result.frames_in == 20
    assert times(result.target)[:3] == [0, Fraction(1, 50), Fraction(1, 25)]
    assert same(frames(result.target)[0], frames(source)[10])
    heard = sound(result.target)
    assert abs(heard[0][0]) <= 100
    assert 600 <= heard[-1][0] <= 850


def test_progress_counts_frames(double, h264_clip: Path):
    encoded = []
    double(h264_clip, progress=lambda done, total: encoded.append((done, total)))
    assert encoded == [(i, 24) for i in range(1, 25)]


def test_the_last_progress_is_complete_at_any_rate(double, h264_clip: Path):
    calls = []
    options = DoubleOptions(frame_rate=Fraction(60000, 1001))
    result = double(h264_clip, options=options, progress=lambda *call: calls.append(call))
    assert calls[-1] == (result.frames_out, result.frames_out)


def test_what_exists_is_not_replaced(double, h264_clip: Path, tmp_path: Path):
    (tmp_path / "out.mkv").write_text("mine")
    with pytest.raises(EncodeError, match=r"out.mkv: exists; use `overwrite`"):
        double(h264_clip)
    assert (tmp_path / "out.mkv").read_text() == "mine"
    assert double(h264_clip, options=replace(LOSSLESS, overwrite=True)).frames_out == 24


def test_the_input_is_never_the_output(interpolator, tmp_path: Path):
    source = clips.moving_clip(tmp_path / "a.mkv", frames=2, codec="ffv1")
    (tmp_path / "b.mkv").symlink_to(source)
    for target in (source, tmp_path / "b.mkv"):
        with pytest.raises(EncodeError, match="is the input itself"):
            double_video(source, target, replace(LOSSLESS, overwrite=True))


def test_a_damaged_input_is_refused_or_doubled_as_far_as_it_goes(double, tmp_path: Path):
    whole = clips.moving_clip(tmp_path / "whole.mkv", frames=20, codec="ffv1")
    part = tmp_path / "part.mkv"
    part.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(DecodeError, match=r"decoded \d+ frames"):
        double(part)
    assert not (tmp_path / "out.mkv").exists()
    result = double(part, options=replace(LOSSLESS, keep_going=True))
    assert result.frames_out == 2 * result.frames_in >= 10
    assert f"the input is damaged: {result.frames_in} frames are good (" in result.warnings[0]


def test_an_interlaced_input_names_the_fix(double, tmp_path: Path):
    source = clips.moving_clip(
        tmp_path / "tff.mkv", options={"x264-params": "tff=1", "flags": "+ilme+ildct"}
    )
    with pytest.raises(DecodeError, match=r"is interlaced.*bwdif"):
        double(source)


def test_an_empty_part_is_refused(double, h264_clip: Path):
    with pytest.raises(DecodeError, match="no frame lies between"):
        double(h264_clip, options=replace(LOSSLESS, start_seconds=9))


def test_a_failing_model_leaves_nothing(h264_clip: Path, tmp_path: Path, averaging):
    interpolator = Interpolator(averaging)
    calls = []

    def fail(*pair):
        calls.append(pair)
        if len(calls) == 3:
            raise OpenError("out of something")
        return Interpolator.between(interpolator, *pair)

    interpolator.between = fail
    with pytest.raises(OpenError, match="out of something"):
        double_video(h264_clip, tmp_path / "out.mkv", LOSSLESS, interpolator=interpolator)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_memory_does_not_grow_with_length(tmp_path: Path):
    """Peak memory of a process for a short and a ten times longer clip."""
    script = (
        "import sys, resource, torch\n"
        "from interp_cli.pipeline.double import double_video\n"
        "from interp_cli.inference.interpolator import Interpolator\n"
        "from interp_cli.options import DoubleOptions, EncodeOptions\n"
        "class Mean(torch.nn.Module):\n"
        "    supports_timestep = True\n"
        "    def size_multiple(self, height, width): return 1\n"
        "    def forward(self, a, b, t): return (a + b) / 2\n"
        "options = DoubleOptions(encode=EncodeOptions(preset='ultrafast'))\n"
        "double_video(*sys.argv[1:], options, interpolator=Interpolator(Mean()))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    peaks = []
    for count in (40, 400):
        source = clips.moving_clip(
            tmp_path / f"{count}.mp4",
            frames=count,
            size=(320, 240),
            options={"preset": "ultrafast"},
        )
        run = subprocess.run(
            [sys.executable, "-c", script, source, tmp_path / f"out{count}.mp4"],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        peaks.append(int(run.stdout))
    assert peaks[1] < 1.1 * peaks[0]


def moved_names(folder: Path) -> set[str]:
    return {path.name[:6] for path in folder.glob("*.flo")}


def test_motion_is_kept_for_each_synthesized_frame(cut_clip, tmp_path):
    """Of 16 frames with two cuts, 13 pairs are made; their output frames are the odd ones."""
    folder = tmp_path / "motion"
    options = DoubleOptions(save_flow=folder, flow_scale_px=4.0)
    interpolator = Interpolator("flow", device="cpu", precision="fp32", batch=3)
    result = double_video(cut_clip, tmp_path / "out.mkv", options, interpolator=interpolator)
    assert result.synthesized == 13
    synthesized = [n for n in range(1, 31, 2) if n not in (9, 21)]
    assert moved_names(folder) == {f"{n:06d}" for n in synthesized}
    assert len(list(folder.iterdir())) == 13 * 5 + 2
    index = json.loads((folder / "flow.json").read_text())
    assert [frame["number"] for frame in index["frames"]] == synthesized
    assert (index["video"], index["source"], index["model"]) == ("out.mkv", cut_clip.name, "flow")
    assert (index["width"], index["height"], index["full_colour_px"]) == (128, 96, 4.0)
    first = index["frames"][0]
    assert first == {"number": 1, "seconds": 0.02, "timestep": 0.5, "interval_seconds": 0.04}
    # What the square does from frame 0 to 1, seen halfway between.
    flow_t0, flow_t1 = (read_flo(folder / f"000001_flow_t{k}.flo") for k in (0, 1))
    square = np.s_[20:36, 8:26]
    np.testing.assert_allclose(np.median(flow_t0[square], (0, 1)), (-2, 0), atol=0.3)
    np.testing.assert_allclose(np.median(flow_t1[square], (0, 1)), (2, 0), atol=0.3)
    # The pictures are those that come without the motion.
    double_video(cut_clip, tmp_path / "plain.mkv", interpolator=interpolator)
    kept, plain = (clips.decoded(tmp_path / name) for name in ("out.mkv", "plain.mkv"))
    for one, other in zip(kept, plain, strict=True):
        for plane0, plane1 in zip(clips.planes(one), clips.planes(other), strict=True):
            np.testing.assert_array_equal(plane0, plane1)


def test_motion_at_several_timesteps_and_beside_opacity(tmp_path):
    """Opacity is made as a picture of its own, whose motion is not the picture's."""
    clip = clips.moving_clip(tmp_path / "a.mkv", frames=3, codec="ffv1", pix_fmt="yuva420p")
    folder = tmp_path / "m"
    options = replace(LOSSLESS, save_flow=folder, factor=4)
    interpolator = Interpolator("flow", device="cpu", precision="fp32", batch=2)
    assert double_video(clip, tmp_path / "o.mkv", options, interpolator=interpolator).frames_out
    frames = json.loads((folder / "flow.json").read_text())["frames"]
    assert [frame["number"] for frame in frames] == [1, 2, 3, 5, 6, 7]
    assert [frame["timestep"] for frame in frames] == [0.25, 0.5, 0.75] * 2
    assert {frame["interval_seconds"] for frame in frames} == {0.04}
    square = np.s_[20:36, 10:26]
    for frame in frames:
        flow_t0, flow_t1 = (
            read_flo(folder / f"{frame['number']:06d}_flow_t{k}.flo")[square] for k in (0, 1)
        )
        way = np.array([4 * frame["timestep"], 0])
        np.testing.assert_allclose(np.median(flow_t0, (0, 1)), -way, atol=0.3)
        np.testing.assert_allclose(np.median(flow_t1, (0, 1)), (4, 0) - way, atol=0.3)


def test_the_network_runs_once_for_picture_and_motion(h264_clip, tmp_path):
    interpolator = Interpolator("flow", device="cpu", precision="fp32")
    calls = []
    piece = interpolator.net.synthesize
    interpolator.net.synthesize = lambda *inputs: calls.append(len(inputs[-1])) or piece(*inputs)
    options = DoubleOptions(save_flow=tmp_path / "m", end_seconds=0.2)
    double_video(h264_clip, tmp_path / "out.mkv", options, interpolator=interpolator)
    assert sum(calls) == 4


def test_motion_of_a_failed_job_is_not_kept(h264_clip, tmp_path, monkeypatch):
    def fail(encoding: Encoding) -> None:
        raise EncodeError("it broke")

    monkeypatch.setattr(Encoding, "finish", fail)
    options = DoubleOptions(save_flow=tmp_path / "m")
    with pytest.raises(EncodeError, match=r"libx264 failed \(it broke\)"):
        double_video(h264_clip, tmp_path / "out.mkv", options)
    assert list(tmp_path.iterdir()) == []


def test_motion_is_refused_before_any_work(averaging, h264_clip, tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "notes.txt").write_text("mine")
    options = DoubleOptions(save_flow=tmp_path / "m", overwrite=True)
    with pytest.raises(InterpError, match=r"holds other files than flow, such as notes\.txt"):
        double_video(h264_clip, tmp_path / "out.mkv", options)
    options = DoubleOptions(save_flow=tmp_path / "new")
    with pytest.raises(WeightsError, match="makes frames without motion"):
        double_video(h264_clip, tmp_path / "out.mkv", options, interpolator=Interpolator(averaging))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m"]


def test_a_fade_moves_with_the_picture_though_it_is_seen_small(tmp_path):
    """Through planes, and with motion bent by the pairs beside; 42 dB before fades were undone."""

    def faded(time: float) -> np.ndarray:
        picture = clips.true_frame(time, (400, 304)) * (1 - time / 5)
        return np.rint(picture).astype(np.uint8)

    shown, hidden = ([faded(time + late) for time in range(4)] for late in (0, 0.5))
    source, truth = (
        clips.moving_clip(tmp_path / name, 4, (400, 304), codec="ffv1", pictures=pictures)
        for name, pictures in (("in.mkv", shown), ("truth.mkv", hidden))
    )
    options = replace(LOSSLESS, inference=InferenceOptions("flow", quality="fast"))
    double_video(source, tmp_path / "out.mkv", options)
    made, true = frames(tmp_path / "out.mkv")[1::2], frames(truth)
    for number in (1, 2):
        lumas = [np.asarray(planes_of(f[number])[0], np.uint8) for f in (made, true)]
        assert psnr(*lumas) > 48
