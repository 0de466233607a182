"""Commands that were killed or given other weights go on, or say why not."""

import signal
from dataclasses import replace
from pathlib import Path

import clips
import pytest
import torch
from children import (
    PAUSE_AFTER_SEGMENT,
    await_line,
    ended_by,
    run_interp,
    running_interp,
)
from resuming import EVERY, OPTIONS, interrupted, shown

from interp_cli.errors import EncodeError
from interp_cli.inference.interpolator import Interpolator
from interp_cli.models.registry import create_model
from interp_cli.models.weights import save_weights
from interp_cli.options import InferenceOptions
from interp_cli.pipeline.double import double_video
from interp_cli.video.writers.kept_frames import completed_frames


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_command_goes_on(tmp_path: Path, weights: Path, number: signal.Signals):
    source = clips.moving_clip(tmp_path / "in.mp4", 40, audio="aac", cuts=(20,))
    target, whole = tmp_path / "out.mp4", tmp_path / "whole.mp4"
    asked = (
        "--model",
        weights,
        "--segment-frames",
        "16",
        "--preset",
        "ultrafast",
        "-q",
        "--precision",
        "fp32",
    )
    with running_interp("double", source, target, *asked, before=PAUSE_AFTER_SEGMENT) as process:
        await_line(process, "paused")
        code, said = ended_by(process, number)
    frames = completed_frames(target)
    assert 16 <= frames < 80
    assert not target.exists()
    options = replace(
        OPTIONS,
        segment_frames=16,
        inference=InferenceOptions(str(weights), precision="fp32"),
    )
    if number is signal.SIGINT:
        assert code == 130
        assert f"out.mp4: {frames} finished frames are kept: the same " in said
        double_video(source, target, replace(options, resume=True))
    else:
        again = run_interp("double", source, target, *asked, "--resume")
        said = again.stderr
        assert again.returncode == 0, said
        assert f"out.mp4: continues after {frames} finished frames" in said
    double_video(source, whole, options)
    assert target.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4", "whole.mp4"]


def test_weights_may_lie_elsewhere_when_a_job_goes_on(source, tmp_path, weights):
    other = tmp_path / weights.name
    other.write_bytes(weights.read_bytes())
    target = tmp_path / "out.mp4"
    interrupted(source, target, OPTIONS, Interpolator(weights, device="cpu", quality="fast"))
    moved = Interpolator(other, device="cpu", quality="fast")
    result = double_video(source, target, replace(OPTIONS, resume=True), interpolator=moved)
    assert result.frames_resumed >= 2 * EVERY
    assert result.model == str(other.with_suffix(""))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_automatic_precision_is_that_of_the_first_run(source, tmp_path, weights, precision):
    inference = InferenceOptions(str(weights), device="cpu")
    first = Interpolator.from_options(replace(inference, precision=precision))
    interrupted(source, tmp_path / "out.mp4", OPTIONS, first)
    again = replace(OPTIONS, resume=True, inference=inference)
    assert double_video(source, tmp_path / "out.mp4", again).precision == precision


def test_many_videos_go_on(source: Path, tmp_path: Path, weights: Path):
    clip = clips.moving_clip(tmp_path / "b.mp4", 6, size=(64, 48))
    done = tmp_path / "out" / "resume_2x.mp4"
    done.parent.mkdir()
    done.write_bytes(b"done")
    run = run_interp(
        "double",
        source,
        clip,
        "--output-dir",
        done.parent,
        "--model",
        weights,
        "--resume",
    )
    said = run.stderr
    assert run.returncode == 0, said
    assert "resume_2x.mp4: already finished" in said
    assert "b_2x.mp4: no finished frames to continue from: starts" in said
    assert "2 of 2 videos done" in said
    assert done.read_bytes() == b"done"
    assert len(shown(done.parent / "b_2x.mp4")) == 12


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"quality": "best"}, "`quality`: fast, now best"),
        ({"precision": "bf16"}, "`precision`: fp32, now bf16"),
        ({"seed": 1}, "`model`: "),
    ],
)
def test_frames_of_another_network_are_not_gone_on_with(source, tmp_path, changed, named):
    def made(seed=0, **how):
        torch.manual_seed(seed)
        save_weights(tmp_path / "w.safetensors", create_model("flow"), "flow", {})
        how = {"quality": "fast", "precision": "fp32", **how}
        return Interpolator(tmp_path / "w.safetensors", "cpu", **how)

    interrupted(source, tmp_path / "o.mp4", OPTIONS, made())
    with pytest.raises(EncodeError, match=named):
        options = replace(OPTIONS, resume=True)
        double_video(source, tmp_path / "o.mp4", options, interpolator=made(**changed))
