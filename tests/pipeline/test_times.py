"""Time stamps, rates and durations of what `double_video` writes, read back."""

import subprocess
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import clips
import numpy as np
import pytest
from conftest import VFR_PTS
from networks import Blur

from interp_cli.errors import DecodeError, EncodeError, OptionError, WeightsError
from interp_cli.inference.interpolator import Interpolator
from interp_cli.options import DoubleOptions, EncodeOptions
from interp_cli.pipeline.double import DoubleResult, double_video
from interp_cli.video.ffmpeg import ffmpeg_path
from interp_cli.video.probe import probe

LOSSLESS = DoubleOptions(encode=EncodeOptions(encoder="ffv1"))
FAST = DoubleOptions(encode=EncodeOptions(preset="ultrafast"))
NTSC = [Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60000, 1001)]


@pytest.fixture
def double(interpolator, tmp_path):
    """Double into a file of that name in an empty folder."""

    def run(source: Path, name: str = "out.mp4", options=FAST, **more) -> DoubleResult:
        options = replace(options, **more)
        return double_video(source, tmp_path / name, options, interpolator=interpolator)

    return run


def same(path0: Path, number0: int, path1: Path, number1: int) -> bool:
    frames = (clips.decoded(path0)[number0], clips.decoded(path1)[number1])
    planes = zip(*map(clips.planes, frames), strict=True)
    return all(np.array_equal(a, b) for a, b in planes)


def sound_seconds(path: Path) -> float:
    """How long the sound is, from its samples."""
    with av.open(path) as container:
        frames = list(container.decode(audio=0))
        return sum(frame.samples for frame in frames) / frames[0].sample_rate


def ffmpeg(*arguments: object) -> None:
    subprocess.run([ffmpeg_path(), "-y", "-v", "error", *map(str, arguments)], check=True)


@pytest.mark.parametrize("factor", [3, 4, 8])
def test_a_factor_puts_so_many_frames_out(double, h264_clip: Path, factor: int):
    result = double(h264_clip, factor=factor)
    assert result.frames_out == 12 * factor
    assert result.synthesized == 11 * (factor - 1)
    assert clips.times(result.target) == [Fraction(k, 25 * factor) for k in range(12 * factor)]
    assert probe(result.target).frame_rate == result.frame_rate == 25 * factor


def test_each_frame_is_made_for_its_own_time(double, ffv1_clip: Path):
    result = double(ffv1_clip, "out.mkv", LOSSLESS, factor=4)
    before, after = clips.decoded(ffv1_clip), clips.decoded(result.target)
    luma = [clips.planes(f)[0].astype(float) for f in (before[3], before[4])]
    for k in range(5):
        mean = luma[0] + (luma[1] - luma[0]) * k / 4
        assert np.abs(clips.planes(after[12 + k])[0] - mean).mean() < 0.6
    assert all(same(ffv1_clip, i, result.target, 4 * i) for i in (0, 5, 11))


@pytest.mark.parametrize("rate", NTSC)
def test_rates_of_television_stay_exact_in_a_file(double, tmp_path: Path, rate: Fraction):
    source = clips.moving_clip(tmp_path / "in.mp4", frames=150, size=(32, 32), rate=rate)
    result = double(source)
    assert clips.times(result.target) == [k / (2 * rate) for k in range(300)]
    assert probe(result.target).frame_rate == 2 * rate


def test_a_constant_rate_from_a_variable_one(double, vfr_clip: Path):
    result = double(vfr_clip, frame_rate=Fraction(60000, 1001))
    found = clips.times(result.target)
    assert found == [k * Fraction(1001, 60000) for k in range(len(found))]
    end = VFR_PTS[-1] + 40
    assert abs(1000 * len(found) * Fraction(1001, 60000) - end) < 20
    assert result.frame_rate == Fraction(60000, 1001)


def test_a_constant_rate_uses_the_originals_it_meets(double, ffv1_clip: Path):
    result = double(ffv1_clip, "out.mkv", LOSSLESS, frame_rate=Fraction(50))
    assert result.frames_out == 24
    assert all(same(ffv1_clip, i, result.target, 2 * i) for i in range(0, 12, 3))
    fewer = double(ffv1_clip, "fewer.mkv", LOSSLESS, frame_rate=Fraction(10))
    assert fewer.frames_out == 5
    assert fewer.frames_in == 12
    assert fewer.synthesized == 2  # at 100 and 300 ms
    assert same(ffv1_clip, 5, fewer.target, 2)


def test_slow_motion_keeps_the_rate_and_stretches_the_sound(double, h264_clip: Path):
    result = double(h264_clip, slow_motion=3)
    assert clips.times(result.target) == [Fraction(k, 25) for k in range(36)]
    assert result.frame_rate == 25
    assert result.video_seconds == pytest.approx(36 / 25)
    assert sound_seconds(result.target) == pytest.approx(3 * sound_seconds(h264_clip), abs=0.06)
    assert [s.codec for s in probe(result.target).streams] == ["aac"]
    silent = double(h264_clip, "silent.mp4", slow_motion=3, audio=False)
    assert probe(silent.target).streams == ()


@pytest.mark.parametrize("sound", ["sine=1000:duration=0.3", "anoisesrc=duration=0.3:seed=1"])
def test_stretched_sound_stays_with_the_picture(double, tmp_path: Path, sound: str):
    """A burst from 0.5 to 0.8 s, four times as long: its middle at 2.6 s, as EBU R37 allows."""
    picture = clips.moving_clip(tmp_path / "picture.mkv", frames=38, size=(32, 32))
    source = tmp_path / "burst.mkv"
    burst = ["-f", "lavfi", "-i", f"{sound},adelay=500:all=1,apad=whole_dur=1.5"]
    ffmpeg("-i", picture, *burst, "-map", 0, "-map", 1, "-c:v", "copy", "-c:a", "flac", source)
    with av.open(double(source, "slow.mkv", slow_motion=4).target) as container:
        frames = list(container.decode(audio=0))
    samples = np.concatenate([f.to_ndarray().reshape(-1) for f in frames]).astype(np.float64)
    rate = frames[0].sample_rate
    times = float(frames[0].pts * frames[0].time_base) + np.arange(samples.size) / rate
    middle = (times * samples**2).sum() / (samples**2).sum()
    assert -0.04 < middle - 4 * 0.65 < 0.06


def test_slow_motion_of_a_part_at_a_rate(double, tmp_path: Path):
    source = clips.moving_clip(tmp_path / "long.mkv", frames=50, audio="flac")
    options = replace(LOSSLESS, start_seconds=0.4, end_seconds=1.2)
    result = double(source, "out.mkv", options, slow_motion=5, frame_rate=Fraction(50))
    assert result.frames_out == 200
    assert clips.times(result.target)[:3] == [0, Fraction(1, 50), Fraction(1, 25)]
    assert sound_seconds(result.target) == pytest.approx(5 * 0.84, abs=0.1)


def test_an_offset_is_stretched_too(double, tmp_path: Path):
    source = clips.moving_clip(
        tmp_path / "late.mkv", pts=[200 + 40 * k for k in range(12)], audio="flac"
    )
    assert clips.times(double(source, "out.mkv", LOSSLESS).target)[0] == Fraction(1, 5)
    slow = double(source, "slow.mkv", LOSSLESS, slow_motion=2)
    assert clips.times(slow.target)[:2] == [Fraction(2, 5), Fraction(11, 25)]
    steady = double(source, "steady.mkv", LOSSLESS, frame_rate=Fraction(100))
    assert clips.times(steady.target)[:2] == [Fraction(1, 5), Fraction(21, 100)]


def test_subtitles_and_chapters_are_stretched(double, h264_clip: Path, tmp_path: Path):
    (tmp_path / "s.srt").write_text(
        "1\n00:00:00,100 --> 00:00:00,200\none\n\n2\n00:00:00,300 --> 00:00:00,400\ntwo\n"
    )
    (tmp_path / "c.txt").write_text(
        ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=240\ntitle=a=b\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=240\nEND=480\ntitle=end\n"
    )
    source = tmp_path / "in.mkv"
    inputs = ("-i", h264_clip, "-i", tmp_path / "s.srt", "-i", tmp_path / "c.txt")
    ffmpeg(*inputs, "-map", 0, "-map", 1, "-map_chapters", 2, "-c", "copy", source)
    for name in ("out.mkv", "out.mp4"):
        result = double(source, name, slow_motion=4)
        with av.open(result.target) as container:
            chapters = container.chapters()
            shown = [
                (float(p.pts * p.time_base), float(p.duration * p.time_base))
                for p in container.demux(subtitles=0)
                if p.size > 2  # MP4 fills the pauses with empty ones
            ]
        assert shown == [(0.4, 0.4), (1.2, 0.4)]
        ends = [float(c["end"] * c["time_base"]) for c in chapters]
        assert ends == pytest.approx([0.96, 1.92], abs=0.001)
        assert [c["metadata"]["title"] for c in chapters] == ["a=b", "end"]


def test_a_long_gap_is_kept_and_held(double, tmp_path: Path):
    pts = [0, 40, 80, 3080, 3120, 3160]
    source = clips.moving_clip(tmp_path / "screen.mkv", frames=6, codec="ffv1", pts=pts)
    result = double(source, "out.mkv", LOSSLESS)
    assert (result.gaps, result.synthesized, result.frames_out) == (1, 4, 12)
    assert [1000 * t for t in clips.times(result.target)[::2]] == pts
    assert same(source, 2, result.target, 5)
    steady = double(source, "steady.mkv", LOSSLESS, frame_rate=Fraction(50))
    assert steady.frames_out == 160
    assert same(source, 2, steady.target, 153)
    assert not same(source, 2, steady.target, 154)
    assert double(source, "filled.mkv", LOSSLESS, max_gap_seconds=5).gaps == 0


def test_an_edit_list_is_obeyed(double, h264_clip: Path, tmp_path: Path):
    source = tmp_path / "edited.mp4"
    ffmpeg("-ss", 0.2, "-i", h264_clip, "-c", "copy", source)
    before = clips.times(source)
    assert 0 < len(before) < 12
    result = double(source, "out.mkv", LOSSLESS)
    assert result.frames_in == len(before)
    found = clips.times(result.target)[::2]
    assert all(abs(a - b) <= Fraction(1, 2000) for a, b in zip(found, before, strict=True))


@pytest.mark.parametrize("name", ["b.mp4", "b.ts", "b.mkv"])
def test_b_frames_with_negative_dts(double, tmp_path: Path, name: str):
    source = clips.moving_clip(tmp_path / name, frames=12, options={"bf": "3"})
    with av.open(source) as container:
        stamps = [p.dts for p in container.demux(video=0) if p.dts is not None]
        first = min(p for p in stamps)
    if name == "b.mp4":
        assert first < 0
    before = clips.times(source)
    origin = probe(source).start_seconds if name == "b.ts" else 0
    assert clips.times(double(source).target)[::2] == [t - origin for t in before]


def test_avi_without_time_stamps(double, tmp_path: Path):
    source = clips.moving_clip(
        tmp_path / "old.avi", frames=12, rate=Fraction(30000, 1001), codec="mpeg4",
        options={"bf": "2"},
    )  # fmt: skip
    result = double(source)
    steps = {b - a for a, b in pairwise(clips.times(result.target))}
    assert steps == {Fraction(1001, 60000)}
    assert result.frames_out == 24


def test_a_model_of_middles_makes_powers_of_two(h264_clip: Path, tmp_path: Path):
    interpolator = Interpolator(Blur(), device="cpu")
    options = replace(FAST, factor=4)
    result = double_video(h264_clip, tmp_path / "4.mp4", options, interpolator=interpolator)
    assert result.synthesized == 33
    for more in ({"factor": 3}, {"frame_rate": Fraction(50)}, {"slow_motion": 6}):
        with pytest.raises(
            WeightsError, match=r"Blur makes only the frame halfway.*use `model=\"flow\"`"
        ):
            double_video(
                h264_clip, tmp_path / "out.mp4", replace(FAST, **more), interpolator=interpolator
            )
    assert [path.name for path in tmp_path.iterdir()] == ["4.mp4"]


def test_matroska_cannot_count_above_a_thousand(double, h264_clip: Path):
    with pytest.raises(EncodeError, match="1025 frames a second do not fit"):
        double(h264_clip, "out.mkv", factor=41)
    assert double(h264_clip, "out.mp4", factor=41).frames_out == 12 * 41


def test_converted_sound_of_a_part_begins_with_it(double, tmp_path: Path):
    source = clips.moving_clip(tmp_path / "long.mkv", frames=50, audio="flac")
    result = double(source, "out.mp4", start_seconds=0.8, end_seconds=1.6)
    assert [s.codec for s in probe(result.target).streams] == ["flac"]
    options = DoubleOptions(
        start_seconds=0.8,
        end_seconds=1.6,
        encode=EncodeOptions(options=(("deadline", "realtime"), ("cpu-used", "8"))),
    )
    result = double(source, "out.webm", options)
    assert sound_seconds(result.target) == pytest.approx(0.84, abs=0.05)


def test_fields_are_filled_up_or_refused(double, tmp_path: Path):
    source = clips.moving_clip(
        tmp_path / "tff.mkv", options={"x264-params": "tff=1", "flags": "+ilme+ildct"}
    )
    with pytest.raises(DecodeError, match=r"is interlaced.*deinterlace.*detelecine"):
        double(source)
    result = double(source, fields="deinterlace")
    assert clips.times(result.target) == [Fraction(k, 50) for k in range(24)]
    with av.open(result.target) as container:
        assert not any(frame.interlaced_frame for frame in container.decode(video=0))


def test_a_filter_and_options_of_the_user_reach_ffmpeg(double, ffv1_clip: Path):
    words = ("-vf", "negate", "-metadata", "title=Mine", "-c:a", "pcm_s16le")
    options = replace(LOSSLESS, encode=EncodeOptions(encoder="ffv1", ffmpeg_output=words))
    result = double(ffv1_clip, "out.mkv", options)
    info = probe(result.target)
    assert info.metadata["title"] == "Mine"
    assert [s.codec for s in info.streams] == ["pcm_s16le"]
    assert info.colour == probe(ffv1_clip).colour
    before, after = clips.decoded(ffv1_clip)[4], clips.decoded(result.target)[8]
    assert set(np.unique(clips.planes(before)[0] + clips.planes(after)[0].astype(int))) == {255}


def test_what_ffmpeg_does_not_know_costs_one_line(double, h264_clip: Path, tmp_path: Path):
    options = replace(FAST, encode=EncodeOptions(ffmpeg_output=("-bogus", "1")))
    with pytest.raises(OptionError, match="-bogus is no option of the encoders"):
        double(h264_clip, options=options)
    assert list(tmp_path.iterdir()) == []


def test_slow_motion_does_not_stretch_what_is_before_the_start(double, tmp_path: Path):
    plain = clips.moving_clip(tmp_path / "plain.mkv", audio="flac")
    source = tmp_path / "late.mkv"
    ffmpeg("-itsoffset", 2, "-i", plain, "-c", "copy", source)
    assert clips.times(source)[0] == 2
    result = double(source, "slow.mkv", LOSSLESS, slow_motion=2)
    assert clips.times(result.target)[:2] == [0, Fraction(1, 25)]


def test_a_part_of_a_variable_rate_ends_a_usual_step_after_its_last_frame(double, vfr_clip: Path):
    part = clips.moving_clip(vfr_clip.with_name("slow_start.mkv"), frames=6, codec="ffv1",
                             pts=[0, 200, 240, 280, 320, 360])  # fmt: skip
    result = double(part, "out.mkv", LOSSLESS, end_seconds=0.3)
    assert [1000 * t for t in clips.times(result.target)] == [0, 100, 200, 220, 240, 260, 280, 300]
    assert result.frame_rate == 50


@pytest.mark.slow
@pytest.mark.parametrize("rate", NTSC)
def test_ten_thousand_frames_are_exact_in_a_file(double, tmp_path: Path, rate: Fraction):
    options = {"preset": "ultrafast"}
    source = clips.moving_clip(
        tmp_path / "in.mp4", frames=10_000, size=(32, 32), rate=rate, options=options
    )
    target = double(source, audio=False).target
    assert clips.times(target) == [k / (2 * rate) for k in range(20_000)]


def test_fields_that_come_later_are_told(double, tmp_path: Path):
    whole = clips.moving_clip(tmp_path / "whole.ts", frames=6)
    fields = {"x264-params": "tff=1", "flags": "+ilme+ildct"}
    mixed = clips.moving_clip(tmp_path / "fields.ts", frames=6, options=fields)
    source = tmp_path / "both.mkv"
    ffmpeg("-i", f"concat:{whole}|{mixed}", "-c", "copy", source)
    result = double(source, "out.mkv", LOSSLESS)
    assert result.warnings[-1] == (
        '6 of 12 frames are marked as interlaced; if they look combed, use `fields="deinterlace"`.'
    )
    assert double(source, "out2.mkv", LOSSLESS, fields="deinterlace").warnings == ()
