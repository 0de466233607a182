"""Training: it learns, goes on exactly, stops cleanly, and says what is wrong."""

import csv
import errno
import math
import os
import signal
from dataclasses import replace
from pathlib import Path

import clips
import cv2
import numpy as np
import pytest
import torch

from interp_cli.errors import ResourceError, TrainingError, WeightsError
from interp_cli.models.weights import load_model
from interp_cli.training import loop, validation
from interp_cli.training import state as state_module
from interp_cli.training.checkpoint import load_checkpoint
from interp_cli.training.curve import Curve
from interp_cli.training.device import choose_device, choose_precision
from interp_cli.training.distributed import ProcessGroup
from interp_cli.training.loop import train
from interp_cli.training.losses import fusion_loss, labeller, objective
from interp_cli.training.options import (
    PrepareOptions,
    fine_tune_preset,
    flow_preset,
    train_preset,
)
from interp_cli.training.state import TrainingState, scheduled_rate, step_seed
from interp_cli.training.triplets import TripletBatch
from interp_cli.training.validation import predict


def assert_same(first, second):
    """Two checkpoints hold the same numbers, bit for bit."""
    for name in ("net", "ema"):
        one, two = getattr(first, name), getattr(second, name)
        assert one.keys() == two.keys()
        assert all(torch.equal(one[key], two[key]) for key in one)
    assert len(first.optimizers) == len(second.optimizers)
    for one, two in zip(first.optimizers, second.optimizers, strict=True):
        assert one["state"].keys() == two["state"].keys()
        for key, values in one["state"].items():
            for name, value in values.items():
                assert torch.equal(value, two["state"][key][name])


@pytest.mark.parametrize("muon", [0.0, 1.5])
def test_goes_on_exactly_where_it_stopped(prepared_folder, options, tmp_path, muon):
    options = replace(options, muon=muon)
    whole = train([prepared_folder], tmp_path / "whole", options)
    half = train([prepared_folder], tmp_path / "parts", replace(options, steps=3))
    assert (half.last.step, half.interrupted) == (3, False)
    rest = train([prepared_folder], tmp_path / "parts", options, resume=True)
    assert (rest.last.step, rest.last.triplets) == (whole.last.step, whole.last.triplets) == (6, 12)
    assert_same(load_checkpoint(tmp_path / "whole"), load_checkpoint(tmp_path / "parts"))


@pytest.mark.parametrize(("muon", "fraction"), [(0.0, 0.05), (1.5, 0.25)])
@pytest.mark.slow
def test_two_processes_take_the_same_steps_as_one(
    prepared_folder, options, tmp_path, muon, fraction
):
    """But where a gradient is hardly more than rounding: both optimizers divide by its size."""
    options = replace(options, muon=muon)
    results = {
        name: train(
            [prepared_folder], tmp_path / name, replace(options, processes=processes, steps=steps)
        )
        for name, processes, steps in (("start", 1, 1), ("one", 1, 3), ("two", 2, 3))
    }
    assert results["one"].last.triplets == results["two"].last.triplets == 6
    assert results["two"].best_db == pytest.approx(results["one"].best_db, abs=1e-2)
    start, one, two = (load_checkpoint(tmp_path / name).net for name in results)
    for name, value in one.items():
        assert (two[name] - value).norm() < fraction * (value - start[name]).norm(), name


def test_the_loss_falls_and_everything_is_written(prepared_folder, options, tmp_path):
    losses = []
    options = replace(options, steps=80, learning_rate=1e-3, ema=0.9)
    result = train(
        [prepared_folder], tmp_path, options, progress=lambda now: losses.append(now.parts["mse"])
    )
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) / 4
    assert set(result.last.psnr_db) == {"held-out"}
    assert result.best_db == result.last.psnr_db["held-out"] > 12

    loaded = load_model(result.weights)
    assert (loaded.architecture, result.weights) == ("fusion", tmp_path / "best.safetensors")
    torch.testing.assert_close(
        loaded.net.state_dict()["fuse.bias"],
        load_checkpoint(tmp_path).ema["fuse.bias"],
        atol=1e-3,
        rtol=1e-3,
    )
    with (tmp_path / "curve.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["step"], row["triplets"], row["learning_rate"]) == ("80", "160", "0.001")
    assert float(row["psnr_held-out"]) == pytest.approx(result.best_db, abs=1e-4)
    picture = cv2.imread(str(tmp_path / "validation-0000080.png"))
    assert picture.shape == (2 * 64, 4 * 64, 3)
    assert not list(tmp_path.glob("*.part*"))


def test_a_signal_saves_before_it_ends(prepared_folder, options, tmp_path):
    before = signal.getsignal(signal.SIGINT)

    def interrupt(now):
        if now.step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    stopped = train([prepared_folder], tmp_path / "parts", options, progress=interrupt)
    assert (stopped.interrupted, stopped.last.step) == (True, 3)
    assert load_checkpoint(tmp_path / "parts").step == 3
    assert signal.getsignal(signal.SIGINT) is before
    train([prepared_folder], tmp_path / "parts", options, resume=True)
    train([prepared_folder], tmp_path / "whole", options)
    assert_same(load_checkpoint(tmp_path / "whole"), load_checkpoint(tmp_path / "parts"))


@pytest.mark.parametrize("processes", [1, 2])
def test_a_signal_stops_a_validation(prepared_folder, options, tmp_path, monkeypatch, processes):
    """With two processes the other one waits in the middle of it."""
    predicted = []

    def predict_and_signal(*arguments):
        predicted.append(1)
        if len(predicted) == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return predict(*arguments)

    options = replace(options, steps=2, val_samples=12, processes=processes)
    monkeypatch.setattr(validation, "predict", predict_and_signal)
    stopped = train([prepared_folder], tmp_path, options)
    assert (stopped.interrupted, stopped.last.step, len(predicted)) == (True, 2, 1)
    assert load_checkpoint(tmp_path).step == 2
    assert not stopped.weights.exists()
    rest = train([prepared_folder], tmp_path, options, resume=True)
    assert (rest.interrupted, rest.last.step, len(predicted)) == (False, 2, 1 + 12 // processes)
    assert rest.weights.exists()


def test_a_planned_schedule_goes_on_exactly_after_an_interrupt(prepared_folder, options, tmp_path):
    # All that depends on the share done: cosine, larger crops late, labels early; and drawn motion.
    options = replace(
        flow_preset(),
        **{
            name: getattr(options, name) for name in ("batch", "val_samples", "processes", "device")
        },
        minutes=None,
        steps=4,
        crop=32,
        final_crop=48,
        synthetic=0.5,
        synthetic_end=0.0,
        hard_mining=0.5,
        precision="fp32",
    )

    def interrupt(now):
        if now.step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    train([prepared_folder], tmp_path / "parts", options, progress=interrupt)
    train([prepared_folder], tmp_path / "parts", options, resume=True)
    train([prepared_folder], tmp_path / "whole", options)
    assert_same(load_checkpoint(tmp_path / "whole"), load_checkpoint(tmp_path / "parts"))


def test_minutes_count_over_all_sittings(prepared_folder, options, tmp_path):
    options = replace(options, steps=None, minutes=0.02)
    first = train([prepared_folder], tmp_path, options)
    assert 0.02 <= first.last.minutes < 2  # not sooner; later by a step and what ends a run
    again = train([prepared_folder], tmp_path, options, resume=True)
    assert again.last.step == first.last.step >= 1


@pytest.mark.parametrize("names", [("a/set", "b/set"), ("a/set", "a/set/../set"), ("held-out",)])
def test_sets_to_validate_on_need_names_of_their_own(prepared_folder, options, tmp_path, names):
    for name in dict.fromkeys(names):
        if ".." not in name:
            clips.write_triplet(tmp_path / name / "one", *map(clips.true_frame, range(3)))
    sets = [tmp_path / name for name in names]
    with pytest.raises(TrainingError, match=r"another set is called (set|held-out), too; rename"):
        train([prepared_folder], tmp_path / "run", options, validate_on=sets)
    assert not (tmp_path / "run" / "last.pt").exists()


def test_given_triplets_decide_what_is_best(prepared_folder, options, tmp_path):
    for number in range(2):
        # Odd sides: the network's own multiple must not matter.
        pictures = [clips.true_frame(4 * number + frame)[:37, :51] for frame in range(3)]
        clips.write_triplet(tmp_path / "val" / f"item{number}", *pictures)
    result = train(
        [prepared_folder],
        tmp_path / "run",
        replace(options, steps=2),
        validate_on=[tmp_path / "val"],
    )
    assert set(result.last.psnr_db) == {"held-out", "val"}
    assert result.best_db == result.last.psnr_db["val"]


def test_validates_and_saves_on_the_way(prepared_folder, options, tmp_path, monkeypatch):
    options = replace(options, validate_minutes=1e-9, checkpoint_minutes=1e-9)
    saved = []
    real = loop.TrainingState.save
    monkeypatch.setattr(
        loop.TrainingState, "save", lambda self, *a: (saved.append(self.step), real(self, *a))
    )
    train([prepared_folder], tmp_path, options)
    assert saved == [0, 1, 2, 3, 4, 5, 6]
    with (tmp_path / "curve.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == list("0123456")


def test_a_resumed_curve_drops_what_it_writes_again(prepared_folder, options, tmp_path):
    options = replace(options, validate_minutes=1e-9)
    train([prepared_folder], tmp_path, replace(options, steps=2))
    with (tmp_path / "curve.csv").open("a") as file:
        file.write("5,10,,,,,\n")
    train([prepared_folder], tmp_path, replace(options, steps=3), resume=True)
    with (tmp_path / "curve.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["0", "1", "2", "2", "3"]


def test_tensorboard_gets_the_curve_where_it_is_installed(prepared_folder, options, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    result = train([prepared_folder], tmp_path, replace(options, steps=2))
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    (point,) = events.Scalars("psnr_held-out")
    assert (point.step, point.value) == (2, pytest.approx(result.best_db))


def test_starts_from_weights(prepared_folder, options, tmp_path):
    first = train([prepared_folder], tmp_path / "a", replace(options, steps=1))
    tuned = replace(options, steps=1, learning_rate=1e-12, init=str(first.weights))
    train([prepared_folder], tmp_path / "b", tuned)
    torch.testing.assert_close(
        load_checkpoint(tmp_path / "b").net["fuse.weight"],
        load_model(first.weights).net.state_dict()["fuse.weight"],
    )
    with pytest.raises(WeightsError, match="nosuch"):
        train([prepared_folder], tmp_path / "c", replace(options, init="nosuch"))


def test_a_folder_with_a_run_is_not_overwritten(prepared_folder, options, tmp_path):
    train([prepared_folder], tmp_path, replace(options, steps=1))
    with pytest.raises(TrainingError, match=r"holds a run already. Continue it with `resume`"):
        train([prepared_folder], tmp_path, options)


def test_nothing_to_resume_and_a_damaged_checkpoint(prepared_folder, options, tmp_path):
    with pytest.raises(TrainingError, match=r"last.pt: missing; there is no run to resume"):
        train([prepared_folder], tmp_path, options, resume=True)
    (tmp_path / "last.pt").write_bytes(b"half")
    with pytest.raises(WeightsError, match=r"last.pt: not a complete PyTorch file"):
        train([prepared_folder], tmp_path, options, resume=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("net", [1]),
        ("net", {"fuse.bias": torch.tensor([torch.nan])}),
        ("ema", {3: torch.zeros(1)}),
        ("optimizers", {}),
        ("optimizers", [{"state": 7}]),
        ("scaler", "text"),
        ("step", -1),
        ("step", "2"),
        ("minutes", float("nan")),
        ("options", 5),
        ("options", {"prepare": 5}),
    ],
)
def test_a_checkpoint_of_another_content_is_one_error(
    prepared_folder, options, tmp_path, name, value
):
    train([prepared_folder], tmp_path, replace(options, steps=1))
    path = tmp_path / "last.pt"
    content = torch.load(path, weights_only=True)
    torch.save({**content, name: value}, path)
    with pytest.raises(TrainingError, match=r"last.pt: not a checkpoint|of another version"):
        train([prepared_folder], tmp_path, options, resume=True)


OLD_NAMES = {
    "final_crop": "late_crop",
    "warmup_steps": "warm_up_steps",
    "synthetic_end": "late_synthetic",
    "hard_mining": "hard_share",
    "val_samples": "held_out",
    "processes": "ranks",
}


def test_a_checkpoint_with_the_option_names_of_version_1_goes_on(
    prepared_folder, options, tmp_path
):
    first = replace(options, steps=2, final_crop=24, warmup_steps=3, synthetic_end=0.5)
    train([prepared_folder], tmp_path / "parts", first)
    content = torch.load(tmp_path / "parts" / "last.pt", weights_only=True)
    del content["version"]
    content["options"] = {OLD_NAMES.get(k, k): v for k, v in content["options"].items()}
    assert OLD_NAMES.keys().isdisjoint(content["options"])
    # The threshold was an amount of change then, so it is not taken for a likelihood.
    content["options"]["prepare"] = {
        "scene_threshold": 0.27, "short_side_px": 400, "still_below": 0.4
    }  # fmt: skip
    torch.save(content, tmp_path / "parts" / "last.pt")

    migrated = load_checkpoint(tmp_path / "parts").options
    assert replace(migrated, prepare=first.prepare) == first
    assert migrated.prepare == PrepareOptions(short_side_px=400, min_motion=0.4)
    assert load_model(tmp_path / "parts" / "last.pt").architecture == "fusion"
    longer = replace(migrated, steps=3)
    train([prepared_folder], tmp_path / "parts", longer, resume=True)
    train([prepared_folder], tmp_path / "whole", replace(first, steps=3))
    assert_same(load_checkpoint(tmp_path / "whole"), load_checkpoint(tmp_path / "parts"))


def test_a_checkpoint_of_a_later_version_is_refused(prepared_folder, options, tmp_path):
    train([prepared_folder], tmp_path, replace(options, steps=1))
    content = torch.load(tmp_path / "last.pt", weights_only=True)
    torch.save(content | {"version": 9}, tmp_path / "last.pt")
    with pytest.raises(TrainingError, match=r"not a checkpoint of this version \(version 9\)"):
        train([prepared_folder], tmp_path, options, resume=True)


@pytest.mark.parametrize("change", [{"batch": 4}, {"seed": 1}, {"init": "fusion"}, {"crop": 32}])
def test_a_run_goes_on_as_it_began(prepared_folder, options, tmp_path, change):
    train([prepared_folder], tmp_path, replace(options, steps=1))
    (name,) = change
    with pytest.raises(TrainingError, match=rf"this run has `{name}` .*, not .* to its end"):
        train([prepared_folder], tmp_path, replace(options, **change), resume=True)
    again = replace(options, steps=2, validate_minutes=9, checkpoint_minutes=9)
    assert train([prepared_folder], tmp_path, again, resume=True).last.step == 2


@pytest.mark.parametrize("write", ["Path.write_bytes", "Curve.add"])
def test_a_full_disk_leaves_the_last_checkpoint(
    prepared_folder, options, tmp_path, monkeypatch, write
):
    train([prepared_folder], tmp_path, replace(options, steps=1))
    kept = (tmp_path / "last.pt").read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    owner, name = write.split(".")
    monkeypatch.setattr({"Path": Path, "Curve": Curve}[owner], name, full)
    with pytest.raises(ResourceError, match=r"the disk is full\. .* `resume`"):
        train([prepared_folder], tmp_path, options, resume=True)
    assert (tmp_path / "last.pt").read_bytes() == kept
    assert not list(tmp_path.glob("*.part"))


def test_going_on_does_not_need_the_weights_it_began_with(prepared_folder, options, tmp_path):
    start = train([prepared_folder], tmp_path / "start", replace(options, steps=1)).weights
    options = replace(options, init=str(start), steps=1)
    train([prepared_folder], tmp_path / "run", options)
    start.unlink()
    longer = replace(options, steps=2)
    assert train([prepared_folder], tmp_path / "run", longer, resume=True).last.step == 2


def test_labels_are_made_only_for_weights_that_know_nothing(
    prepared_folder, options, tmp_path, monkeypatch
):
    made = []

    def label(frames, fraction):
        made.append(len(frames))
        return {}

    monkeypatch.setattr("interp_cli.training.loop.labeller", lambda _: label)
    start = train([prepared_folder], tmp_path / "start", replace(options, steps=1)).weights
    assert made
    made.clear()
    train([prepared_folder], tmp_path / "run", replace(options, init=str(start), steps=1))
    assert not made


def test_a_checkpoint_of_another_shape_is_named(prepared_folder, options, tmp_path):
    train([prepared_folder], tmp_path, replace(options, steps=1))
    content = torch.load(tmp_path / "last.pt", weights_only=True)
    content["net"]["fuse.bias"] = torch.zeros(3)
    torch.save(content, tmp_path / "last.pt")
    with pytest.raises(TrainingError, match=r"of another version of 'fusion' \(.*fuse.bias"):
        train([prepared_folder], tmp_path, replace(options, steps=2), resume=True)


def test_gradients_that_are_never_finite_end_the_run(
    prepared_folder, options, tmp_path, monkeypatch
):
    def broken(net, batch, progress):
        loss, parts = fusion_loss(net, batch, progress)
        return loss * float("nan"), parts

    monkeypatch.setattr("interp_cli.training.state.objective", lambda _: broken)
    with pytest.raises(TrainingError, match=r"the last 51 gradients were not finite"):
        train([prepared_folder], tmp_path, replace(options, steps=60))


def test_the_objective_of_fusion_is_the_squared_error():
    class Constant(torch.nn.Module):
        def forward(self, frame0, frame1, timestep):
            return torch.full((1, 3, 4, 4), 0.5)

    # The target is resized to the prediction.
    batch = TripletBatch(*(torch.full((1, 3, 8, 8), v) for v in (0.0, 0.75, 1.0)), torch.zeros(1))
    loss, parts = fusion_loss(Constant(), batch, 0.0)
    assert loss.item() == parts["mse"].item() == 0.0625
    assert objective("fusion") is fusion_loss
    assert labeller("fusion") is None
    with pytest.raises(ValueError, match="not 'nosuch'"):
        objective("nosuch")


def test_the_learning_rate_follows_the_plan(options):
    flat = replace(options, learning_rate=1.0)
    assert {scheduled_rate(flat, step, fraction) for step, fraction in ((0, 0), (9, 0.9))} == {1.0}
    apply_trajectory = replace(flat, schedule="cosine", warmup_steps=10)
    assert scheduled_rate(apply_trajectory, 0, 0.0) == pytest.approx(0.1)
    assert scheduled_rate(apply_trajectory, 10, 0.0) == pytest.approx(1.0)
    assert scheduled_rate(apply_trajectory, 500, 0.5) == pytest.approx(0.51)
    assert scheduled_rate(apply_trajectory, 999, 1.0) == pytest.approx(0.02)


def test_every_process_and_step_has_its_own_seed():
    seeds = {step_seed(0, step, rank) for step in range(50) for rank in range(4)}
    assert len(seeds) == 200


def test_devices_and_precisions_that_are_not_there():
    cpu = choose_device("cpu")
    assert choose_precision(cpu, "auto") in ("fp32", "bf16")
    with pytest.raises(ResourceError, match=r"`precision=.fp16.` cannot be trained on a CPU"):
        choose_precision(cpu, "fp16")
    with pytest.raises(ValueError, match="`device` must be"):
        choose_device("tpu9")
    if not torch.cuda.is_available():
        with pytest.raises(ResourceError, match="device cuda:0 is not here"):
            choose_device("cuda")


def test_drawn_motion_takes_its_share_of_each_batch(
    prepared_folder, options, tmp_path, monkeypatch
):
    seen = []

    def watched(net, batch, progress):
        seen.append(batch)
        return fusion_loss(net, batch, progress)

    monkeypatch.setattr("interp_cli.training.state.objective", lambda _: watched)
    options = replace(options, steps=1, crop=32)
    train([prepared_folder], tmp_path / "real", options)
    train([prepared_folder], tmp_path / "half", replace(options, synthetic=0.5))
    real, half = seen
    assert torch.equal(real.target[1], half.target[1])
    assert not torch.equal(real.target[0], half.target[0])


def test_processes_agree_on_parameters_that_an_objective_leaves_unused(
    options, tmp_path, monkeypatch
):
    store = f"file://{tmp_path / 'store'}"
    torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    try:
        # Rank 0 of "two" alone: DDP's bookkeeping is the same, and it must not wait or complain.
        create = state_module.create_model

        def with_spare(name):
            net = create(name)
            net.spare = torch.nn.Linear(3, 3)
            return net

        monkeypatch.setattr(state_module, "create_model", with_spare)
        state = TrainingState(options, ProcessGroup(0, 2), torch.device("cpu"), "fp32")
        batch = TripletBatch(*(torch.rand(1, 3, 8, 8) for _ in range(3)), torch.zeros(1))
        for fraction in (0.0, 0.1, 0.2):
            assert state.train_on(batch, fraction)["loss"] > 0
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.slow  # a quarter of a minute of a core
def test_a_compiled_network_learns_the_same(prepared_folder, options, tmp_path, monkeypatch):
    compiled = []

    def compile_(function, dynamic):
        compiled.append((function.__name__, dynamic))
        return real(function, backend="eager", dynamic=dynamic)

    real = torch.compile
    monkeypatch.setattr(torch, "compile", compile_)
    flow = replace(
        flow_preset(),
        **{name: getattr(options, name) for name in ("val_samples", "processes", "device")},
        minutes=None,
        steps=2,
        batch=2,
        crop=64,
        final_crop=None,
        warmup_steps=0,
        precision="fp32",
    )
    train([prepared_folder], tmp_path / "start", replace(flow, learning_rate=1e-12))
    train([prepared_folder], tmp_path / "plain", flow)
    assert compiled == []  # not on a CPU by itself
    train([prepared_folder], tmp_path / "compiled", replace(flow, compile=True))
    names = ("forward", "training_motion", "training_outputs")
    assert compiled == [(name, False) for name in names]
    nets = [load_checkpoint(tmp_path / name).net for name in ("start", "plain", "compiled")]
    start, plain, other = (torch.cat([v.flatten() for v in net.values()]) for net in nets)
    # Without gradients some pictures are sampled by OpenCV, but not by what is compiled.
    assert (other - plain).norm() < 0.05 * (plain - start).norm()


@pytest.mark.parametrize("fails_in", ["forward", "backward"])
def test_a_network_that_cannot_be_compiled_is_trained_as_it_is(
    fails_in, prepared_folder, options, tmp_path, monkeypatch
):
    class Failing(torch.autograd.Function):
        @staticmethod
        def forward(ctx, image):
            return image.clone()

        @staticmethod
        def backward(ctx, gradient):
            raise RuntimeError("no compiler\nand much more")

    def compile_(function, dynamic):
        def compiled(*inputs):
            if fails_in == "forward":
                raise RuntimeError("no compiler\nand much more")
            return Failing.apply(function(*inputs))

        return compiled

    plain = train([prepared_folder], tmp_path / "plain", options)
    assert plain.warnings == ()
    monkeypatch.setattr(torch, "compile", compile_)
    result = train([prepared_folder], tmp_path / "compiled", replace(options, compile=True))
    (note,) = result.warnings
    assert note.endswith(
        "could not be compiled and was trained uncompiled: RuntimeError: no compiler"
    )
    assert_same(load_checkpoint(tmp_path / "plain"), load_checkpoint(tmp_path / "compiled"))


def test_a_compiled_network_without_finite_gradients_is_trained_as_it_is(
    prepared_folder, options, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        torch, "compile", lambda function, dynamic: lambda *x: function(*x) * math.nan
    )
    result = train([prepared_folder], tmp_path, replace(options, compile=True))
    assert result.warnings == (
        "the network could not be compiled and was trained uncompiled: gradients were not finite",
    )
    assert all(value.isfinite().all() for value in load_checkpoint(tmp_path).net.values())


def test_memory_that_does_not_suffice_is_named(prepared_folder, options, tmp_path, monkeypatch):
    def greedy(*_):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(TrainingState, "_find_gradients", greedy)
    with pytest.raises(ResourceError, match=r"steps of 2 crops of 16 px.* smaller `batch`"):
        train([prepared_folder], tmp_path, options)


def test_a_run_goes_on_in_half_precision(prepared_folder, options, tmp_path):
    train([prepared_folder], tmp_path, replace(options, steps=1))
    kept = load_checkpoint(tmp_path)
    state = TrainingState(options, ProcessGroup(), torch.device("cpu"), "fp16", kept)
    assert (kept.scaler, state.step) == ({}, 1)


def test_a_gpu_gets_larger_batches():
    assert (train_preset("flow").batch, train_preset("flow", large_batch=True).batch) == (16, 64)
    assert fine_tune_preset("fusion").minutes == 15


def test_the_best_weights_are_kept_not_the_last(prepared_folder, options, tmp_path, monkeypatch):
    scores, kept = iter([30.0, 20.0, 25.0, 10.0]), []
    monkeypatch.setattr(loop, "validate", lambda *_: {"held-out": next(scores)})
    monkeypatch.setattr(loop, "save_weights", lambda *_: kept.append(1))
    often = replace(options, steps=3, validate_minutes=1e-9)
    result = train([prepared_folder], tmp_path, often)
    assert (result.best_db, len(kept)) == (30, 1)
