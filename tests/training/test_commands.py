"""`interp train` and `interp prepare` as they are typed."""

import json
import re
import signal
import sys
from dataclasses import replace

import pytest
import torch
import typer
from children import await_line, ended_by, running_interp
from typer.testing import CliRunner

from interp_cli.cli.app import main
from interp_cli.cli.prepare import prepare
from interp_cli.cli.train import train
from interp_cli.errors import TrainingError
from interp_cli.training import options as train_options
from interp_cli.training.checkpoint import load_checkpoint
from interp_cli.training.loop import TrainProgress, TrainResult

app = typer.Typer()
app.command("train")(train)
app.command("prepare")(prepare)

SMALL = (
    "--crop",
    "16",
    "--batch",
    "2",
    "--processes",
    "1",
    "--device",
    "cpu",
    "--precision",
    "fp32",
)


@pytest.fixture(autouse=True)
def short_validation(monkeypatch):
    """Two held-out triplets instead of many."""
    for name in ("train_preset", "fine_tune_preset"):
        preset = getattr(train_options, name)
        monkeypatch.setattr(
            f"interp_cli.cli.train.{name}",
            lambda model, p=preset, **more: replace(p(model, **more), val_samples=2),
        )


def interp(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def result_of(*arguments):
    result = interp(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_prepare_then_train_then_resume(footage_folder, tmp_path):
    made = result_of("prepare", footage_folder, tmp_path / "prepared")
    assert (made["shots"], made["frames"]) == (4, 56)
    assert made["bytes"] == sum(f.stat().st_size for f in (tmp_path / "prepared").glob("*.yuv"))

    out = tmp_path / "run"
    recipe = ("--steps", "2", *SMALL, "--muon", "0.5", "--ema", "0.9")
    first = result_of("train", tmp_path / "prepared", "--out", out, *recipe)
    assert (first["last"]["step"], first["interrupted"]) == (2, False)
    again = result_of("train", tmp_path / "prepared", "--out", out, "--resume", "--steps", "3")
    assert (again["last"]["step"], again["last"]["triplets"]) == (3, 6)
    # What was not given again is what the run began with.
    options = load_checkpoint(out).options
    assert (options.crop, options.muon, options.ema) == (16, 0.5, 0.9)


def test_train_says_where_it_stands(prepared_folder, tmp_path):
    result = interp(
        "train", prepared_folder, "--out", tmp_path, "--steps", "2", *SMALL, "--progress", "plain"
    )
    assert result.exit_code == 0
    assert re.search(
        # One step, which warms up, is no basis for an estimate.
        r"50.0%  step 1  loss 0\.\d+  not yet validated\n",
        result.stderr,
    )
    assert re.search(
        r"done after 2 steps, 4 triplets, \d\.\d min; held-out \d+\.\d\d dB; best \d+\.\d\d dB in"
        r" best.safetensors",
        result.stdout,
    )


def test_a_network_that_was_not_compiled_is_told(prepared_folder, tmp_path, monkeypatch):
    def fail(*inputs):
        raise RuntimeError("no [compiler]")

    monkeypatch.setattr(torch, "compile", lambda function, dynamic: fail)
    preset = train_options.train_preset
    monkeypatch.setattr(
        "interp_cli.cli.train.train_preset",
        lambda model, **more: replace(preset(model, **more), val_samples=2, compile=True),
    )
    result = interp("train", prepared_folder, "--out", tmp_path, "--steps", "1", *SMALL)
    assert result.exit_code == 0
    assert "warning: the network could not be compiled" in result.stderr
    assert "no [compiler]" in result.stderr


def test_brackets_in_paths_are_no_markup(footage_folder, tmp_path, monkeypatch):
    made = interp("prepare", footage_folder / "clip0.mp4", tmp_path / "[raw]x")
    assert made.exit_code == 0
    assert "[raw]x: 14 frames in 1 shots" in made.stdout.replace("\n", "")

    out = tmp_path / "a[" / "b]"
    last = TrainProgress(4, 8, 0.1, 0.5, 1.0, 0.1, 2.0, 1e-4, {"own [raw]": 30.0})
    stopped = TrainResult(out, out / "best.safetensors", 30.0, {"own [raw]": 29.0}, True, last, ())
    monkeypatch.setattr("interp_cli.training.loop.train", lambda *_, **__: stopped)
    result = interp(
        "train", footage_folder, "--out", out, "--model", "flow", "--init", "[i]/x.safetensors"
    )
    assert result.exit_code == 130
    assert "a[/b]: stopped after 4 steps" in result.stdout
    assert "own [raw] 30.00 dB; best 30.00 dB in best.safetensors" in result.stdout
    assert "[i]/x.safetensors had own [raw] 29.00 dB" in result.stdout
    assert "a[/b] --resume" in result.stderr.replace("\n", "")


def test_quiet_says_nothing(prepared_folder, tmp_path):
    result = interp("train", prepared_folder, "--out", tmp_path, "--steps", "1", *SMALL, "--quiet")
    assert (result.exit_code, result.output) == (0, "")


def test_weights_to_start_from_name_the_network(prepared_folder, tmp_path):
    other = ("--model", "fusion")  # not the default
    first = result_of(
        "train", prepared_folder, "--out", tmp_path / "a", "--steps", "1", *other, *SMALL
    )
    result_of(
        "train",
        prepared_folder,
        *("--out", tmp_path / "b", "--steps", "1", "--init", first["weights"]),
        *SMALL,
    )
    options = load_checkpoint(tmp_path / "b").options
    assert (options.model, options.init) == ("fusion", first["weights"])
    assert (options.learning_rate, options.warmup_steps) == (1e-4, 20)  # to fine-tune


def test_fine_tuning_shows_what_it_gained(prepared_folder, tmp_path):
    first = result_of("train", prepared_folder, "--out", tmp_path / "a", "--steps", "1", *SMALL)
    assert first["start_psnr_db"] == {}
    command = ("train", prepared_folder, "--out", tmp_path / "b", "--steps", "2", *SMALL)
    result = interp(*command, "--init", first["weights"])
    start, best = first["best_db"], re.search(r"best (\d+\.\d\d) dB", result.stdout)
    assert f"{first['weights']} had held-out {start:.2f} dB" in result.stdout.replace("\n", "")
    assert best is not None
    assert float(best[1]) >= round(start, 2)  # the start itself is kept if nothing is better


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--steps", "2", "--minutes", "1"), "exactly one of --steps, --epochs and --minutes"),
        (("--steps", "0"), "exactly one of --steps, --epochs and --minutes must be given and be"),
        (("--crop", "100"), "--crop must be a multiple of 8 pixels and at least 16, not 100"),
        (("--model", "nosuch"), "--model must be one of fusion, flow, not 'nosuch'"),
        (("--device", "gpu"), "--device must be auto, cpu, cuda, cuda:N or mps, not 'gpu'"),
        (("--synthetic", "1.5"), "--synthetic must be between 0 and 1, not 1.5"),
        (("--synthetic-end", "-1"), "--synthetic-end must be between 0 and 1, not -1.0"),
        (("--muon", "-1"), "--muon must not be negative, not -1.0"),
        (("--ema", "1"), "--ema must be at least 0 and below 1, not 1.0"),
        (("--hard-mining", "2"), "--hard-mining must be between 0 and 1, not 2.0"),
        (
            ("--batch", "16", "--processes", "3"),
            "--batch must be a multiple of --processes (3), not 16",
        ),
    ],
)
def test_wrong_values_are_named(tmp_path, monkeypatch, capsys, flags, message):
    # Before the footage is looked at, which is not there.
    command = ["interp", "train", tmp_path / "nosuch", "--out", tmp_path / "run", *flags]
    monkeypatch.setattr(sys, "argv", list(map(str, command)))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {message}")
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_an_unknown_precision_is_a_usage_error(prepared_folder, tmp_path):
    result = interp("train", prepared_folder, "--out", tmp_path, "--precision", "fp7")
    assert result.exit_code == 2
    assert "'fp7' is not one of 'auto', 'fp32', 'fp16', 'bf16'" in " ".join(
        result.stderr.replace("│", "").split()
    )


def test_a_wrong_number_of_processes_is_a_usage_error(prepared_folder, tmp_path):
    result = interp("train", prepared_folder, "--out", tmp_path, "--processes", "many")
    assert result.exit_code == 2
    assert "'many' is neither auto nor a number" in result.stderr


def test_videos_that_are_not_there(tmp_path):
    result = interp("train", tmp_path / "nosuch", "--out", tmp_path / "run", "--steps", "1", *SMALL)
    assert isinstance(result.exception, TrainingError)
    assert "nosuch: missing; expected a video or a folder of videos" in str(result.exception)


# Code that says when a part of the training begins.
SAY_STEP = """
import sys
from interp_cli.training.state import TrainingState
def train_on(*arguments, usual=TrainingState.train_on):
    print("stepping", file=sys.stderr, flush=True)
    return usual(*arguments)
TrainingState.train_on = train_on
"""
SAY_VALIDATION = """
import sys
from interp_cli.training import validation
def predict(*arguments, usual=validation.predict):
    print("validating", file=sys.stderr, flush=True)
    return usual(*arguments)
validation.predict = predict
"""


@pytest.mark.parametrize(
    ("processes", "before", "line", "steps"),
    [("1", SAY_STEP, "stepping", "100000"), ("2", SAY_VALIDATION, "validating", "1")],
)
def test_ctrl_c_saves_and_says_how_to_go_on(
    prepared_folder, tmp_path, processes, before, line, steps
):
    command = ("train", prepared_folder, "--out", tmp_path, *SMALL, "--steps", steps)
    with running_interp(*command, "--processes", processes, before=before) as process:
        await_line(process, line)
        code, rest = ended_by(process, signal.SIGINT, with_children=True)
    assert code == 130, rest
    assert "Traceback" not in rest
    assert rest.rstrip().endswith(f"--out {tmp_path} --resume")
    assert load_checkpoint(tmp_path).step == 1
    assert not (tmp_path / "best.safetensors").exists()  # it was not validated to the end


def test_a_second_signal_does_not_wait_for_the_step(prepared_folder, tmp_path):
    before = """
import sys, threading
from interp_cli.training.state import TrainingState
def stay(*_):
    while True:
        try:
            print("stepping", file=sys.stderr, flush=True)
            threading.Event().wait()
        except KeyboardInterrupt:
            pass
TrainingState.train_on = stay
"""
    command = ("train", prepared_folder, "--out", tmp_path, *SMALL, "--steps", "2")
    with running_interp(*command, before=before) as process:
        await_line(process, "stepping")
        process.send_signal(signal.SIGTERM)
        code, rest = ended_by(process, signal.SIGINT)
    assert code == 130
    assert rest.splitlines()[-1] == "stopped."
    assert not list(tmp_path.glob(".*"))


def test_prepare_without_scenes_makes_one_shot(cut_clip, tmp_path):
    assert result_of("prepare", cut_clip, tmp_path / "cut")["shots"] == 3
    assert result_of("prepare", cut_clip, tmp_path / "whole", "--no-scenes")["shots"] == 1


def test_a_run_that_stopped_early_names_no_best_weights(footage_folder, tmp_path, monkeypatch):
    last = TrainProgress(1, 2, 0.1, 0.5, float("inf"), 0.1, 0.0, 1e-4)
    stopped = TrainResult(
        tmp_path, tmp_path / "best.safetensors", -float("inf"), {}, True, last, ()
    )
    monkeypatch.setattr("interp_cli.training.loop.train", lambda *_, **__: stopped)
    result = interp("train", footage_folder, "--out", tmp_path)
    assert result.exit_code == 130
    assert result.stdout.rstrip().endswith("0.1 min; not yet validated")
