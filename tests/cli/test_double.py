import json
import re
import signal
from fractions import Fraction
from pathlib import Path

import clips
import pytest
import torch
from children import await_line, ended_by, running_interp
from children import run_interp as interp

from interp_cli.cli import app
from interp_cli.cli.output_names import (
    refuse_one_folder_for_two,
    result_of,
    results_of,
    usual_suffix,
)
from interp_cli.errors import EncodeError
from interp_cli.models.registry import create_model
from interp_cli.models.weights import save_weights
from interp_cli.options import DoubleOptions


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    save_weights(path, create_model("fusion"), "fusion", {})
    return path


def test_a_clip_is_doubled_and_summed_up(h264_clip: Path, weights: Path, tmp_path: Path):
    run = interp("double", h264_clip, tmp_path / "out.mp4", "--model", weights, "--start", 0.2)
    assert run.returncode == 0, run.stderr
    assert "7 frames in, 14 out at 50/s" in run.stdout
    assert f" {weights.parent / 'untrained'} on cpu in " in run.stdout  # which of many
    assert "h264.mp4: 14 of 14 frames" in run.stderr  # plain lines: stderr is no terminal


def test_json_is_all_that_stands_on_stdout(h264_clip: Path, weights: Path, tmp_path: Path):
    target = tmp_path / "out.mkv"
    run = interp("double", h264_clip, target, "--model", weights, "--json", "-q", "--end", 0.1)
    facts = json.loads(run.stdout)
    assert (facts["frames_in"], facts["frames_out"], facts["frame_rate"]) == (3, 6, "50")
    assert facts["output_bytes"] == target.stat().st_size
    assert run.stderr == ""


@pytest.mark.parametrize("trajectory", ["cubic", "linear"])
def test_ways_are_bent_or_straight(h264_clip: Path, tmp_path: Path, trajectory: str):
    asked = ("--trajectory", trajectory) if trajectory == "linear" else ()
    run = interp("double", h264_clip, tmp_path / "out.mkv", *asked, "--json", "-q", "--end", 0.2)
    assert json.loads(run.stdout)["trajectory"] == trajectory


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["{dir}/none.mp4", "out.mkv"], 1, "error: .*none.mp4: no such file."),
        (["{clip}", "out.avi"], 1, "error: out.avi: cannot write .avi"),
        (["{clip}", "{dir}/out.mkv", "--model", "nothing"], 1, "nothing: no model of that name"),
        (["{clip}", "out.mkv", "--device", "gpu"], 2, "--device must be auto, cpu, cuda"),
        (
            ["{clip}", "out.mkv", "--precision", "fp8"],
            2,
            "'--precision'.* 'fp8'",
        ),
        (
            ["{clip}", "{dir}/out.mkv", "--model", "fusion", "--save-flow", "{dir}/m"],
            1,
            "error: model fusion makes frames without motion, .*such as flow",
        ),
        (["{clip}", "out.mkv", "--flow-scale", "0"], 2, "--flow-scale must be greater than 0"),
        (
            ["{clip}", "out.mkv", "--start", "2", "--end", "1"],
            2,
            "--end must be greater than --start .2",
        ),
        (["{clip}", "out.mkv", "--batch", "many"], 2, "'many' is neither"),
        (["{clip}", "out.mkv", "--encoder-option", "fast"], 2, "is not KEY=VALUE"),
        (["-"], 2, "a pipe as input needs OUT"),
        (["{dir}/%04d.png"], 1, "a pattern of images needs an output"),
        (["{clip}", "out.mkv", "--suffix", "_x"], 2, "OUT is given already"),
        (["{clip}", "--suffix", "/x"], 1, "--suffix is added to a name"),
        (["{clip}", "out.mkv", "--flow-scale", "3"], 2, "--flow-scale is for .* give --save-flow"),
        (
            ["{clip}", "out.mkv", "--no-scenes", "--scene-threshold", "0.3"],
            2,
            "give one of --no-scenes and --scene-threshold",
        ),
        (["{clip}", "{clip}", "out.mkv"], 2, "3 files without --output-dir"),
        (["{clip}", "out.mkv", "--deinterlace", "--detelecine"], 2, "give one of --deinterlace"),
        (["{clip}", "out.mkv", "--ffmpeg-output", "-map 0"], 2, "-map is not for you to set"),
        (["{clip}", "o.gif", "--encoder-option", "time_base=1/3"], 1, "gif has no option"),
        (
            ["{clip}", "o.webp", "--encoder-option", "video_size=8x8"],
            1,
            "libwebp_anim has no option",
        ),
    ],
)
def test_a_mistake_costs_one_line(h264_clip, tmp_path, arguments, code, message):
    filled = [a.format(clip=h264_clip, dir=tmp_path) for a in arguments]
    run = interp("double", *filled, COLUMNS="300")
    assert run.returncode == code
    assert run.stdout == ""
    assert "Traceback" not in run.stderr
    assert re.search(message, run.stderr)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_nothing(tmp_path: Path, weights: Path):
    source = clips.moving_clip(tmp_path / "long.mp4", frames=100, size=(320, 240))
    arguments = ("double", source, tmp_path / "out.mp4", "--model", weights, "--progress", "plain")
    every_frame = "import interp_cli.cli.progress as p; p.PLAIN_LINE_SECONDS = 0\n"
    with running_interp(*arguments, before=every_frame) as process:
        await_line(process, " of 200 frames")
        assert (tmp_path / ".out.mp4.interp" / "whole.mp4").exists()
        assert ended_by(process, signal.SIGTERM)[0] == 130
    assert [path.name for path in tmp_path.iterdir()] == ["long.mp4"]


def test_many_inputs_go_on_after_a_failure(tmp_path: Path, weights: Path):
    for name in ("a.mp4", "c.avi"):
        codec = "mpeg4" if name.endswith("avi") else "libx264"
        clips.moving_clip(tmp_path / name, frames=2, size=(64, 48), codec=codec)
    (tmp_path / "b.mp4").write_bytes(b"no video")
    out = tmp_path / "out" / "deep"
    sources = [tmp_path / name for name in ("a.mp4", "b.mp4", "c.avi")]
    run = interp("double", *sources, "--output-dir", out, "--model", weights)
    assert run.returncode == 1
    assert sorted(path.name for path in out.iterdir()) == ["a_2x.mp4", "c_2x.mkv"]
    assert [line.split(":")[0] for line in run.stdout.splitlines()] == [
        str(out / "a_2x.mp4"), str(out / "c_2x.mkv"),
    ]  # fmt: skip
    assert "error: " in run.stderr
    last = run.stderr.splitlines()[-1]
    assert last == f"2 of 3 videos done; failed: {tmp_path / 'b.mp4'}"
    again = interp(
        "double", *sources[:2], "--output-dir", out, "--suffix", "_twice.mkv", "--json", "-q",
        "--model", weights,
    )  # fmt: skip
    facts = json.loads(again.stdout)
    assert [item["target"] for item in facts] == [str(out / f"{n}_twice.mkv") for n in "ab"]
    assert facts[0]["frames_out"] == 4
    assert "is no video" in facts[1]["error"]
    assert again.returncode == 1


def test_names_that_meet_are_refused_before_any_work(tmp_path: Path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        clips.moving_clip(tmp_path / folder / "a.mp4", frames=2, size=(64, 48))
    sources = [tmp_path / "one" / "a.mp4", tmp_path / "two" / "a.mp4"]
    run = interp("double", *sources, "--output-dir", tmp_path / "out")
    assert run.returncode == 1
    assert re.search(r"out.a_2x\.mp4: would be the result of .*two.a\.mp4", run.stderr)
    assert not (tmp_path / "out").exists()
    over = interp(
        "double", sources[0], "--output-dir", tmp_path / "one", "--suffix", "", "--overwrite"
    )
    assert over.returncode == 1
    assert "or an input. Rename" in over.stderr


def test_an_input_given_twice_is_doubled_once():
    one, same = Path("in/a.mp4"), Path("in/./a.mp4")
    assert results_of([one, same], Path("out"), "_2x") == {one: Path("out/a_2x.mp4")}


def test_results_of_one_name_are_refused_also_where_they_may_be_overwritten():
    with pytest.raises(EncodeError, match=r"out.a_2x\.mkv: would be the result of .*two.a\.mov"):
        results_of([Path("one/a.mp4"), Path("two/a.mov")], Path("out"), "_2x.mkv")


def test_two_results_do_not_share_a_folder_of_motion():
    jobs = results_of([Path("a.mp4"), Path("b.mp4")], Path("out"), "_2x")
    refuse_one_folder_for_two(jobs, Path("motion"))
    jobs = results_of([Path("a.mp4"), Path("a.mkv")], Path("out"), "_2x")
    with pytest.raises(EncodeError, match=r"motion.a_2x: would hold .* both .*a_2x\.mp4 and"):
        refuse_one_folder_for_two(jobs, Path("motion"))


@pytest.mark.parametrize(
    ("options", "suffix"),
    [
        ({}, "_2x"),
        ({"factor": 3}, "_3x"),
        ({"slow_motion": 4}, "_slow4x"),
        ({"frame_rate": Fraction(60000, 1001)}, "_59.94fps"),
        ({"slow_motion": 4, "frame_rate": Fraction(30)}, "_slow4x_30fps"),
    ],
)
def test_a_result_is_named_for_what_was_done(options, suffix):
    assert usual_suffix(DoubleOptions(**options)) == suffix


@pytest.mark.parametrize(
    ("source", "options", "suffix", "target"),
    [
        ("clip.mp4", {}, None, "clip_2x.mp4"),
        ("in/clip.MOV", {"factor": 4}, None, "in/clip_4x.mov"),
        ("in/clip.avi", {"slow_motion": 2}, None, "in/clip_slow2x.mkv"),
        ("in/clip.gif", {"frame_rate": Fraction(60)}, None, "in/clip_60fps.gif"),
        ("in/pictures", {}, None, "in/pictures_2x.mkv"),
        ("clip.mp4", {}, "_new.mkv", "clip_new.mkv"),
        ("clip.mp4", {}, ".mkv", "clip.mkv"),
    ],
)
def test_a_single_result_is_named_after_its_input(source, options, suffix, target):
    assert result_of(Path(source), DoubleOptions(**options), suffix) == Path(target)


def test_a_file_with_the_name_of_a_pattern_is_a_file(tmp_path: Path):
    source = tmp_path / "100%d.mp4"
    source.touch()
    assert result_of(source, DoubleOptions()) == tmp_path / "100%d_2x.mp4"
    for pattern in ("%d.png", "a?.png", "*.png"):
        with pytest.raises(EncodeError, match="a pattern of images needs an output"):
            result_of(tmp_path / pattern, DoubleOptions())


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".gif", ".webp"])
def test_a_colon_in_a_name_is_no_protocol(
    h264_clip: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Film: one.mp4").write_bytes(h264_clip.read_bytes())
    arguments = ("double", "Film: one.mp4", f"a:b{ending}", "--model", weights, "--end", 0.1)
    run = interp(*arguments)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(f"a:b{ending}: 3 frames in, 6 out")
    run = interp(*arguments, "--overwrite", "--segment-frames", 4)
    assert run.returncode == 0, run.stderr


def test_one_input_is_enough(h264_clip: Path, weights: Path, tmp_path: Path):
    source = tmp_path / "clip.mp4"
    source.write_bytes(h264_clip.read_bytes())
    arguments = ("double", source, "--model", weights, "--end", 0.1)
    run = interp(*arguments)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(f"{tmp_path / 'clip_2x.mp4'}: 3 frames in, 6 out at 50/s")
    again = interp(*arguments)
    assert again.returncode == 1
    assert "clip_2x.mp4: exists; use --overwrite to replace it." in again.stderr


def test_frames_at_a_rate_and_a_factor_from_the_command_line(h264_clip: Path, tmp_path: Path):
    target = tmp_path / "out.mp4"
    run = interp("double", h264_clip, target, "--fps", "59.94", "--end", 0.1, "--json", "-q")
    facts = json.loads(run.stdout)
    assert (facts["frames_in"], facts["frames_out"], facts["frame_rate"]) == (3, 8, "60000/1001")
    run = interp("double", h264_clip, tmp_path / "4.mp4", "--factor", 4, "--end", 0.1)
    assert "3 frames in, 12 out at 100/s (6 synthesized" in run.stdout


def test_each_of_several_videos_gets_a_folder_for_its_motion(tmp_path: Path):
    sources = [clips.moving_clip(tmp_path / f"{n}.mkv", frames=2, size=(64, 48)) for n in "ab"]
    out, motion = tmp_path / "out", tmp_path / "motion"
    run = interp("double", *sources, "--output-dir", out, "--save-flow", motion)
    assert run.returncode == 0, run.stderr
    folders = sorted(path.name for path in motion.iterdir())
    assert folders == sorted(path.stem for path in out.iterdir())
    assert len(folders) == 2
    for folder in folders:
        assert (motion / folder / "000001_flow_t0.flo").stat().st_size == 12 + 64 * 48 * 8


def test_a_variable_shows_the_traceback_of_a_failure(tmp_path):
    run = interp("info", tmp_path / "none.mp4", INTERP_DEBUG="1")
    assert run.returncode == 1
    assert run.stderr.startswith("Traceback")
    assert "OpenError" in run.stderr
    assert run.stderr.splitlines()[-1].startswith("error: ")
    files = [tmp_path / "none.mp4", tmp_path / "other.mp4", "--output-dir", tmp_path / "out"]
    assert interp("double", *files, INTERP_DEBUG="1").stderr.count("Traceback") == 2


def test_a_defect_is_no_mistake_in_the_usage(monkeypatch):
    monkeypatch.setattr(app, "app", lambda: int("x"))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(ValueError, match="invalid literal"):
        app.main()
