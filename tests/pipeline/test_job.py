"""A job: decided once, described as plain data, rebuilt by another process, run once."""

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import clips
import pytest

from interp_cli.errors import EncodeError, OpenError
from interp_cli.options import DoubleOptions, EncodeOptions, InferenceOptions
from interp_cli.pipeline.description import JobDescription
from interp_cli.pipeline.job import Job

# Every field is another than its default.
ALL_OPTIONS = DoubleOptions(
    start_seconds=0.1,
    end_seconds=2.7,
    frame_rate=Fraction(60_000, 1001),
    slow_motion=3,
    fields="deinterlace",
    max_gap_seconds=0.5,
    scene_threshold=None,
    at_cut="blend",
    duplicates="retime",
    audio=False,
    overwrite=True,
    resume=True,
    segment_frames=77,
    keep_going=True,
    input_frame_rate=Fraction(24),
    white_level=4.5,
    output_format="y4m",
    save_flow=Path("flow"),
    flow_scale_px=12.5,
    inference=InferenceOptions(device="cpu", batch=3, tile=256, quality="fast"),
    encode=EncodeOptions(
        encoder="libx265",
        crf=20,
        preset="fast",
        pixel_format="yuv420p10le",
        options=(("x265-params", "aq-mode=3"), ("g", "50")),
        ffmpeg_output=("-movflags", "+faststart"),
    ),
)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    clips.moving_clip(folder / "shot_%03d.png", 6, codec="png", pix_fmt="rgb24", size=(64, 48))
    return folder


@pytest.mark.parametrize("name", ["out.mp4", "out", "out_%04d.png"])
@pytest.mark.parametrize("pattern", ["", "shot_%03d.png", "shot_*.png"])
def test_a_picture_folder_is_listed_once_a_job(
    pictures: Path, pattern: str, name: str, interpolator, monkeypatch: pytest.MonkeyPatch
):
    listed: Counter[str] = Counter()

    def count(original):
        def listing(path=".", *rest):
            listed[str(path)] += 1
            return original(path, *rest)

        return listing

    monkeypatch.setattr(os, "listdir", count(os.listdir))
    monkeypatch.setattr(os, "scandir", count(os.scandir))
    with Job.open(pictures / pattern, pictures.parent / name, DoubleOptions()) as job:
        result = job.run(interpolator)
    assert result.frames_out == 12
    assert listed[str(pictures)] == 1


@pytest.mark.parametrize(
    ("name", "kind", "resumable"),
    [
        ("out.mkv", "video", True),
        ("out.gif", "animation", False),
        ("out_%03d.png", "picture sequence", True),
        ("-", "pipe", False),
    ],
)
def test_kinds_are_decided_when_a_job_is_opened(
    h264_clip: Path, tmp_path: Path, name: str, kind: str, resumable: bool
):
    target = name if name == "-" else tmp_path / name
    with Job.open(h264_clip, target) as job:
        assert (job.source.kind.name, job.target.kind.name) == ("video", kind)
        assert job.target.is_resumable is resumable
        assert (job.pixel_format.name, job.pixel_format.width) == ("yuv420p", clips.SIZE[0])
        assert job.clock.expected_output_frames == 24
    assert list(tmp_path.iterdir()) == []


def test_pictures_into_a_pipe_go_into_the_pipe(pictures: Path):
    with Job.open(pictures, "-") as job:
        assert (job.source.kind.name, job.target.kind.name) == ("picture sequence", "pipe")


def test_a_job_that_cannot_be_opened_leaves_nothing_open(tmp_path: Path, h264_clip: Path):
    with pytest.raises(OpenError, match="no such file"):
        Job.open(tmp_path / "none.mp4", tmp_path / "out.mp4")
    with pytest.raises(EncodeError, match=r"cannot write \.avi"):
        Job.open(h264_clip, tmp_path / "out.avi")
    with pytest.raises(OpenError, match="`input_frame_rate` is for picture sequences"):
        Job.open(h264_clip, tmp_path / "out.mp4", DoubleOptions(input_frame_rate=Fraction(24)))


def test_a_job_is_run_once(h264_clip: Path, tmp_path: Path, interpolator):
    with Job.open(h264_clip, tmp_path / "out.mkv") as job:
        job.run(interpolator)
        with pytest.raises(ValueError, match="a job can be run only once"):
            job.run(interpolator)


def test_a_description_comes_back_from_json(h264_clip: Path):
    description = JobDescription.of(h264_clip, Path("out.mkv"), [h264_clip], ALL_OPTIONS)
    text = description.to_json()
    again = JobDescription.from_json(text)
    for broken in ("x", "{}", "[1]"):
        with pytest.raises(ValueError, match="no description of a job"):
            JobDescription.from_json(broken)
    assert again == description
    assert again.double_options == ALL_OPTIONS
    assert again.target == str(Path.cwd() / "out.mkv")
    plain = json.loads(text)
    assert plain["options"]["frame_rate"] == "60000/1001"
    assert plain["options"]["encode"]["options"] == [["x265-params", "aq-mode=3"], ["g", "50"]]


@pytest.mark.parametrize(
    "alter",
    [
        lambda plain: plain.pop("versions"),
        lambda plain: plain.update(size=3),
        lambda plain: plain["options"].pop("at_cut"),
        lambda plain: plain["options"].update(at_cut="never"),
        lambda plain: plain["options"]["encode"].update(lossless=True),
    ],
)
def test_a_description_of_another_version_is_refused(h264_clip: Path, alter):
    plain = JobDescription.of(h264_clip, Path("o.mkv"), [h264_clip], DoubleOptions()).to_data()
    alter(plain)
    with pytest.raises(ValueError, match=r"another version of interp|at.cut"):
        JobDescription.from_data(plain)


def test_what_finished_frames_depend_on(tmp_path: Path):
    source = tmp_path / "in.mkv"
    source.write_bytes(b"video")

    def describe(options: DoubleOptions) -> JobDescription:
        found = JobDescription.of(source, tmp_path / "out.mkv", [source], options)
        return replace(found, inference={"model": "flow"})

    options = DoubleOptions(encode=EncodeOptions(preset="fast"))
    before = describe(options).to_data()
    free = replace(options, audio=False, overwrite=True, resume=True, max_pixels=1 << 30)
    assert describe(free).differences(before) == []
    # Which frames of a damaged input are taken depends on it.
    (found,) = describe(replace(options, keep_going=True)).differences(before)
    assert found == "`keep_going`: False, now True"
    other = replace(options, factor=3, encode=EncodeOptions(crf=20))
    assert describe(other).differences(before) == [
        "`crf`: not given, now 20",
        "`factor`: not given, now 3",
        "`preset`: fast, now not given",
    ]
    newer = replace(describe(options), versions={"torch": "99"}, inference={"model": "fusion"})
    assert [text.partition(":")[0] for text in newer.differences(before)] == [
        "`model`",
        "software",
    ]
    os.utime(source, ns=(0, 0))
    (touched,) = describe(options).differences(before)
    assert touched.startswith("input: ")


def test_another_process_rebuilds_a_job_from_its_description(
    h264_clip: Path, tmp_path: Path, interpolator
):
    options = DoubleOptions(factor=3, encode=EncodeOptions(encoder="ffv1"))
    with Job.open(h264_clip, tmp_path / "out.mkv", options) as job:
        text = job.describe(interpolator).to_json()
    code = (
        "import sys\n"
        "from interp_cli.pipeline.job import Job, JobDescription\n"
        "with Job.from_description(JobDescription.from_json(sys.stdin.read())) as job:\n"
        "    print(job.options.factor, job.clock.expected_output_frames, job.info.path)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=text,
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert done.stdout.split() == ["3", "36", str(h264_clip)]


def test_a_job_whose_input_was_changed_is_not_rebuilt(tmp_path: Path):
    source = clips.moving_clip(tmp_path / "in.mp4", frames=3)
    with Job.open(source, tmp_path / "out.mkv") as job:
        description = job.description
    clips.moving_clip(source, frames=4)
    with pytest.raises(OpenError, match="was changed since the job was described"):
        Job.from_description(description)
