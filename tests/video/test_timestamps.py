"""Clocks of all kinds: the table of `interp_cli.video.timestamps`, case by case."""

import subprocess
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import clips
import pytest

from interp_cli.errors import DecodeError
from interp_cli.options import DoubleOptions, EncodeOptions
from interp_cli.pipeline.clock import SourceClock
from interp_cli.pipeline.double import double_video
from interp_cli.video.clock_scan import StreamClock
from interp_cli.video.encoding.commands import clock_arguments
from interp_cli.video.ffmpeg import ffmpeg_path
from interp_cli.video.frame_rates import likely_last_duration, likely_rate, usual_rate
from interp_cli.video.probe import VideoInfo, probe
from interp_cli.video.readers.file import VideoReader
from interp_cli.video.readers.pipe import PipeReader
from interp_cli.video.timestamps import GrowingTimes

FAST = DoubleOptions(encode=EncodeOptions(encoder="libx264", preset="ultrafast"))
SMALL = (64, 48)
SECOND = (*("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=1"), *("-f", "lavfi", "-i", "sine=d=1"))
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")


def ffmpeg(*arguments: object) -> None:
    subprocess.run([ffmpeg_path(), "-y", "-v", "error", *map(str, arguments)], check=True)


def joined(folder: Path, ending: str, *arguments: str, parts: int = 2) -> Path:
    """A file of one second, several times one behind the other."""
    part, target = folder / f"part.{ending}", folder / f"joined.{ending}"
    ffmpeg(*SECOND, *arguments, part)
    target.write_bytes(part.read_bytes() * parts)
    return target


def read(path: Path, **more) -> tuple[VideoReader, list[Fraction]]:
    with VideoReader(path, **more) as reader:
        return reader, [frame.seconds for frame in reader]


def steps(times: list[Fraction]) -> set[Fraction]:
    return {after - before for before, after in pairwise(times)}


def sound_times(path: Path) -> list[Fraction]:
    with av.open(path) as container:
        return [p.pts * p.time_base for p in container.demux(audio=0) if p.pts is not None]


@pytest.mark.parametrize(
    ("stamps", "times", "repaired"),
    [
        ([0, 40, 80], [0, 40, 80], 0),
        ([0, 40, 40, 120], [0, 40, 80, 120], 1),
        ([0, 40, 30, 20, 100], [0, 40, 60, 80, 100], 2),
        ([0, 40, 40], [0, 40, 80], 1),
        ([0, 0, 1, 2], [0, 40, 80, 120], 3),
        ([-40, 0, 40], [-40, 0, 40], 0),
        ([9_000_000, 9_000_040], [9_000_000, 9_000_040], 0),
        ([None, None, None], [0, 40, 80], 0),
        ([0, None, 80], [0, 40, 80], 0),
        ([0, 3_600_000], [0, 3_600_000], 0),
    ],
)
def test_times_grow(stamps: list[int | None], times: list[int], repaired: int):
    growing = GrowingTimes[int](40)
    found = [x for n, stamp in enumerate(stamps) for x in growing.add(n, stamp, 0)]
    found += growing.finish()
    assert found == list(enumerate(times))
    assert growing.repaired == repaired


@pytest.mark.parametrize(
    ("stamps", "unit", "rate"),
    [
        (range(0, 1000, 40), Fraction(1, 1000), Fraction(25)),
        ([round(k * 1001 / 30) for k in range(90)], Fraction(1, 1000), Fraction(30000, 1001)),
        ([round(k * 1001 / 24) for k in range(90)], Fraction(1, 1000), Fraction(24000, 1001)),
        ([round(k * 1000 / 60) for k in range(90)], Fraction(1, 1000), Fraction(60)),
        ([0, 40, 80, 120, 160, 5000], Fraction(1, 1000), Fraction(25)),
        ([0, 40], Fraction(1, 1000), None),
    ],
)
def test_the_usual_rate_is_that_of_the_steps(stamps, unit: Fraction, rate: Fraction | None):
    assert usual_rate(stamps, unit) == rate


@pytest.mark.parametrize(
    ("stated", "rate"), [(1000, 25), (Fraction(1, 5), 25), (50, 50), (25, 25), (None, 25)]
)
def test_a_stated_rate_that_no_step_comes_near_loses(stated, rate: int):
    assert likely_rate(stated and Fraction(stated), range(0, 1000, 40), Fraction(1, 1000)) == rate


@pytest.mark.parametrize(
    ("stated", "length"), [(1, 40), (19, 40), (20, 20), (40, 40), (5000, 5000), (0, None)]
)
def test_a_tick_is_no_duration(stated: int, length: int | None):
    tail = [(0, 40), (80, stated), (40, 40)]
    assert likely_last_duration(tail, Fraction(25), Fraction(1, 1000)) == length


@pytest.mark.parametrize(
    ("ending", "arguments"),
    [
        ("ts", (*H264, "-c:a", "aac")),
        ("m2ts", ("-c:v", "libx264", "-bf", "3", "-c:a", "ac3", "-mpegts_m2ts_mode", "1")),
        ("vob", ("-c:v", "mpeg2video", "-bf", "2", "-c:a", "mp2")),
        ("mpg", ("-c:v", "mpeg1video", "-c:a", "mp2")),
        ("mkv", (*H264, "-c:a", "aac")),
    ],
)
def test_joined_parts_follow_one_another(tmp_path: Path, ending: str, arguments: tuple[str, ...]):
    reader, times = read(joined(tmp_path, ending, *arguments))
    assert len(times) == 50
    assert steps(times) == {Fraction(1, 25)}
    assert reader.info.discontinuities == 1
    assert reader.repaired_times == 0
    assert reader.warnings == (
        "the input's clock starts anew once: its parts follow one another without a gap.",
    )
    # The sound moves as the picture does.
    (clock,) = reader.info.side_clocks
    assert [offset for _, offset in clock.offsets] == [1]


def test_sound_of_joined_parts_stays_in_step(tmp_path: Path, interpolator):
    source = joined(tmp_path, "ts", *H264, "-c:a", "aac", parts=3)
    target = tmp_path / "out.mp4"
    result = double_video(source, target, FAST, interpolator=interpolator)
    assert (result.frames_in, result.frames_out, result.frame_rate) == (75, 150, 50)
    assert steps(clips.times(target)) == {Fraction(1, 50)}
    sound = sound_times(target)
    assert sound[-1] - sound[0] == pytest.approx(3, abs=0.025)
    assert max(steps(sound)) < 0.03  # a block of AAC is 23 ms
    assert min(steps(sound)) > 0.02


def test_a_clock_may_start_anew_hundreds_of_times(tmp_path: Path):
    """A dashcam's day: ffmpeg takes the corrections, and applies each from its packet on."""
    offsets = tuple((packet, Fraction(packet)) for packet in range(1, 301))
    clock = StreamClock(0, offsets, tuple((packet, packet) for packet in range(301, 601)))
    sound, moved = clips.tone_file(tmp_path / "tone.mka", 1, "flac"), tmp_path / "moved.mka"
    ffmpeg(*clock_arguments(clock, None, None), "-i", sound, "-c", "copy", moved)
    count = len(sound_times(sound))
    assert count > 10
    assert [int(time) for time in sound_times(moved)] == list(range(count))


@pytest.mark.parametrize(
    "options",
    [
        {"start_seconds": 0.8, "end_seconds": 2.2},
        {"start_seconds": 1.2, "slow_motion": 2},
        {"end_seconds": 1.5, "frame_rate": Fraction(50)},
    ],
)
def test_parts_of_joined_parts(tmp_path: Path, interpolator, options):
    source = joined(tmp_path, "ts", *H264, "-c:a", "aac", parts=3)
    options = replace(FAST, **options)
    result = double_video(source, tmp_path / "out.mp4", options, interpolator=interpolator)
    span = (options.end_seconds or 3) - (options.start_seconds or 0)
    span *= options.slow_motion or 1
    assert result.video_seconds == pytest.approx(span, abs=0.021)
    sound = sound_times(result.target)
    assert sound[0] == pytest.approx(0, abs=0.03)
    assert sound[-1] == pytest.approx(span, abs=0.12)


def test_a_clock_that_leaps_by_hours(tmp_path: Path):
    first, later = tmp_path / "first.ts", tmp_path / "later.ts"
    for path, offset in ((first, 0), (later, 7200)):
        ffmpeg(*SECOND, *H264, "-c:a", "aac", "-output_ts_offset", offset, path)
    source = tmp_path / "source.ts"
    source.write_bytes(first.read_bytes() + later.read_bytes() + first.read_bytes())
    reader, times = read(source)
    assert len(times) == 75
    assert steps(times) == {Fraction(1, 25)}
    moved = [float(offset) for _, offset in reader.info.side_clocks[0].offsets]
    assert moved == pytest.approx([-7199, 2], abs=0.05)
    assert reader.info.duration_seconds == pytest.approx(3.02, abs=0.02)


def test_a_clock_that_wraps_goes_on(tmp_path: Path):
    source = tmp_path / "wrap.ts"
    # 33 bits of 1/90000 s; the muxer adds 1.4 s.
    offset = 2**33 / 90000 - 1.4 - 0.5
    ffmpeg(*SECOND, *H264, "-c:a", "aac", "-output_ts_offset", offset, source)
    reader, times = read(source)
    assert len(times) == 25
    assert steps(times) == {Fraction(1, 25)}
    assert reader.info.discontinuities == 0


@pytest.mark.parametrize("ending", ["mkv", "mp4", "ts"])
def test_a_pause_of_the_picture_stays(tmp_path: Path, ending: str):
    """Also where the clock is arbitrary: there the sound tells a pause from a new clock."""
    pts = [0, 40, 80, 15_080, 15_120, 15_160]
    picture = clips.moving_clip(tmp_path / "picture.mkv", 6, SMALL, pts=pts)
    source = tmp_path / f"source.{ending}"
    sound = ("-f", "lavfi", "-i", "sine=d=15.2")
    ffmpeg("-i", picture, *sound, "-c:v", "copy", "-c:a", "mp2", "-b:a", "32k", source)
    reader, times = read(source)
    assert [1000 * (time - times[0]) for time in times] == pts
    assert reader.info.discontinuities == 0


def test_a_clock_that_starts_anew_unseen_is_refused(tmp_path: Path):
    source = joined(tmp_path, "mkv", *H264, "-c:a", "aac")
    info = replace(probe(source), discontinuities=0, side_clocks=())
    with (
        VideoReader(source, info=info) as reader,
        pytest.raises(DecodeError, match=r"joined.mkv: its clock starts anew after 1.00 s, and "),
    ):
        list(reader)
    reader, times = read(source, info=info, end_seconds=1.0)
    assert len(times) == 25


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("b.avi", ("-c:v", "libx264", "-bf", "3", "-pix_fmt", "yuv420p", "-c:a", "mp3")),
        ("pyramid.avi", ("-c:v", "libx264", "-bf", "7", "-b-pyramid", "2", "-pix_fmt", "yuv420p")),
        ("open.avi", ("-c:v", "libx264", "-bf", "3", "-x264opts", "open-gop=1:keyint=8")),
    ],
)
def test_pictures_with_decoding_times_alone(tmp_path: Path, name: str, arguments):
    source = tmp_path / name
    ffmpeg(*SECOND, *arguments, source)
    _, times = read(source)
    assert times == [Fraction(k, 25) for k in range(25)]
    _, late = read(source, start_seconds=0.4)
    assert late == [Fraction(k, 25) for k in range(10, 25)]


def ms_clock(path: Path, step: Fraction | int, count: int = 25) -> Path:
    """A recording whose encoder counts milliseconds and says so as its rate."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=1000, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = *SMALL, "yuv420p"
        for index, image in enumerate(clips.drawn_frames(count, SMALL)):
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = round(step * index), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("name", ["ms.mkv", "ms.flv", "ms.mp4", "ms.mov", "ms.ts", "ms.nut"])
def test_clocks_in_milliseconds_have_the_usual_rate(tmp_path: Path, interpolator, name: str):
    source = ms_clock(tmp_path / name, 40)
    result = double_video(source, tmp_path / "out.mkv", FAST, interpolator=interpolator)
    assert (result.frames_out, result.frame_rate) == (50, 50)
    assert steps(clips.times(result.target)) == {Fraction(1, 50)}
    assert probe(result.target).frame_rate == 50


@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(24000, 1001), Fraction(60)])
@pytest.mark.parametrize("ending", ["mkv", "flv", "mp4"])
def test_rates_of_television_on_a_clock_in_milliseconds(tmp_path: Path, rate, ending: str):
    info = probe(ms_clock(tmp_path / f"ms.{ending}", 1000 / rate, 60))
    assert info.frame_rate == pytest.approx(rate, rel=0.001)
    step = 1 / (rate * info.time_base)
    assert (info.last_duration or step) == pytest.approx(step, rel=0.03)


def last_tick(folder: Path, ticks: int) -> VideoInfo:
    clip = clips.moving_clip(folder / "clip.mp4", 12, SMALL, options={"bf": "0"})
    # In units of the clip, 1/12800 s.
    setts = rf"setts=pts=PTS:dts=DTS:duration=if(eq(N\,11)\,{ticks}\,DURATION)"
    source = folder / f"{ticks}.mp4"
    ffmpeg("-i", clip, "-c", "copy", "-video_track_timescale", 90000, "-bsf:v", setts, source)
    return probe(source)


@pytest.mark.parametrize("ticks", [1, 2, 512])
def test_a_last_frame_of_a_tick_lasts_the_usual_step(tmp_path: Path, interpolator, ticks: int):
    info = last_tick(tmp_path, ticks)
    assert (info.last_duration, info.frame_rate) == (3600, 25)
    result = double_video(info.path, tmp_path / "out.mkv", FAST, interpolator=interpolator)
    assert (result.frame_rate, result.video_seconds) == (50, 12 / 25)


def test_a_long_last_frame_keeps_its_length(tmp_path: Path):
    assert last_tick(tmp_path, 12_800).last_duration == 90_000


def test_a_tick_in_a_pipe_is_no_duration(tmp_path: Path):
    with (
        ms_clock(tmp_path / "ms.mkv", 40).open("rb") as file,
        PipeReader(file.fileno()) as reader,
    ):
        first = next(iter(reader))
        times = SourceClock(reader.info, DoubleOptions(), first).times
    assert (times.frame_rate, times.last_duration) == (25, 40)
