import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import clips
import pytest
import torch

from interp_cli.models.registry import create_model
from interp_cli.weights import save_weights


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    save_weights(path, create_model("fusion"), "fusion", {})
    return path


def interp(*arguments: object, **more) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "interp_cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", **more},
    )


def test_a_clip_is_doubled_and_summed_up(h264_clip: Path, weights: Path, tmp_path: Path):
    run = interp("double", h264_clip, tmp_path / "out.mp4", "--model", weights, "--start", 0.2)
    assert run.returncode == 0, run.stderr
    assert "7 frames in, 14 out at 50/s" in run.stdout
    assert "h264.mp4: 7 of 7 frames" in run.stderr  # plain lines: stderr is no terminal


def test_json_is_all_that_stands_on_stdout(h264_clip: Path, weights: Path, tmp_path: Path):
    target = tmp_path / "out.mkv"
    run = interp("double", h264_clip, target, "--model", weights, "--json", "-q", "--end", 0.1)
    facts = json.loads(run.stdout)
    assert (facts["frames_in"], facts["frames_out"], facts["frame_rate"]) == (3, 6, "50")
    assert facts["output_bytes"] == target.stat().st_size
    assert run.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["{dir}/none.mp4", "out.mkv"], 1, "error: .*none.mp4: no such file."),
        (["{clip}", "out.avi"], 1, "error: out.avi: cannot write .avi"),
        (["{clip}", "{dir}/out.mkv", "--model", "nothing"], 1, "nothing: no model of that name"),
        (["{clip}", "out.mkv", "--precision", "fp8"], 2, "precision must be one of auto"),
        (
            ["{clip}", "{dir}/out.mkv", "--model", "fusion", "--save-motion", "{dir}/m"],
            1,
            "error: model fusion makes frames without motion, .*such as flow",
        ),
        (["{clip}", "out.mkv", "--motion-scale", "0"], 2, "motion scale must be above 0 pixels"),
        (["{clip}", "out.mkv", "--start", "2", "--end", "1"], 2, "end must lie after start"),
        (["{clip}", "out.mkv", "--batch", "many"], 2, "'many' is neither"),
        (["{clip}", "out.mkv", "--encoder-option", "fast"], 2, "is not KEY=VALUE"),
        (["{clip}"], 2, "Missing argument 'OUT'"),
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing(tmp_path: Path, weights: Path, number: signal.Signals):
    source = clips.moving_clip(tmp_path / "long.mp4", frames=100, size=(320, 240))
    arguments = ["double", source, tmp_path / "out.mp4", "--model", weights]
    process = subprocess.Popen(
        [sys.executable, "-m", "interp_cli", *arguments],
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    waited = time.monotonic() + 60
    while not list(tmp_path.glob(".*.part.mp4")) and time.monotonic() < waited:
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(number)
    assert process.wait(30) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["long.mp4"]
