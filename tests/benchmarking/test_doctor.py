import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from interp_cli.benchmarking import doctor as environment
from interp_cli.benchmarking.doctor import Check, describe_machine, diagnose, self_test
from interp_cli.devices import available_cores
from interp_cli.errors import EncodeError, WeightsError
from interp_cli.inference.interpolator import Interpolator
from interp_cli.options import DoubleOptions, EncodeOptions
from interp_cli.pipeline.double import double_video


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_every_part_is_looked_at() -> None:
    checks = by_name(list(diagnose()))
    assert {"interp", "python", "torch", "av", "ffmpeg", "encoders", "cpu"} <= set(checks)
    assert torch.__version__ in checks["torch"].found
    assert "libavcodec" in checks["av"].found
    assert checks["numpy"].found == np.__version__
    assert checks["ffmpeg"].found.startswith("ffmpeg version")
    assert {"libx264", "libx265", "libvpx-vp9", "ffv1"} <= set(checks["encoders"].found.split(", "))
    assert "GB free" in checks["disk, this folder"].found
    assert all(check.remedy for check in checks.values() if check.status == "broken")


def test_a_package_that_does_not_load_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_PACKAGES", {"numpy": "numpy", "torch": "no_such_module"})
    checks = list(diagnose())
    assert checks[-1].name == "torch"
    assert checks[-1].status == "broken"
    assert checks[-1].found == "does not load (No module named 'no_such_module')"
    assert "docs/install.md" in checks[-1].remedy


def test_an_ffmpeg_that_cannot_be_run_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interp_cli.video.ffmpeg.ffmpeg_path", lambda: "/no/such/ffmpeg")
    check = by_name(list(environment._check_ffmpeg()))["ffmpeg"]
    assert check.status == "broken"
    assert "/no/such/ffmpeg" in check.found


def test_a_missing_encoder_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_NEEDED_ENCODERS", ("ffv1", "no_such_encoder"))
    *_, broken = environment._check_ffmpeg()
    assert (broken.status, broken.found) == ("broken", "no_such_encoder: cannot encode here")


def test_damaged_weights_are_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(name: str) -> None:
        raise WeightsError(f"{name}: SHA-256 is other than expected")

    monkeypatch.setattr(
        "interp_cli.models.weights.bundled_models", lambda: {"bad": tmp_path / "bad"}
    )
    monkeypatch.setattr("interp_cli.models.weights.load_model", refuse)
    checks = by_name(list(environment._check_weights()))
    assert checks["weights bad"].status == "broken"
    assert "SHA-256" in checks["weights bad"].found
    assert checks["weights flow"].found == "the default model is missing"


def test_a_full_disk_is_worth_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(".")._replace(free=5_000_000)
    monkeypatch.setattr("interp_cli.benchmarking.doctor.shutil.disk_usage", lambda _: usage)
    assert by_name(list(environment._check_disk()))["disk, this folder"].status == "note"


def test_the_machine_fits_in_a_line() -> None:
    line = describe_machine()
    assert "\n" not in line
    assert f"torch {torch.__version__}" in line
    assert f"{available_cores()} core" in line


@pytest.mark.parametrize(("cores", "text"), [(1, "1 core"), (8, "8 cores")])
def test_cores_are_counted_in_english(monkeypatch: pytest.MonkeyPatch, cores, text) -> None:
    monkeypatch.setattr("interp_cli.devices.available_cores", lambda: cores)
    assert f", {text}, torch" in describe_machine()
    assert f", {text}, with" in by_name(list(environment._check_devices()))["cpu"].found


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """Pretend to be another machine; gives the function that describes it."""

    def describe(cores=8, bf16=True, gpu="", driver=False, cuda=None) -> dict[str, Check]:
        monkeypatch.setattr("interp_cli.devices.available_cores", lambda: cores)
        monkeypatch.setattr("interp_cli.devices.cpu_has_bf16", lambda: bf16)
        monkeypatch.setattr("torch.backends.mps.is_available", lambda: gpu == "mps")
        monkeypatch.setattr("torch.cuda.is_available", lambda: gpu == "cuda")
        monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
        monkeypatch.setattr(environment, "_NVIDIA_DRIVER", Path("/nothing/there"))
        monkeypatch.setattr(
            "interp_cli.benchmarking.doctor.shutil.which",
            lambda name: "/bin/nvidia-smi" if driver else None,
        )
        monkeypatch.setattr("torch.version.cuda", cuda)
        return by_name(list(environment._check_devices()))

    return describe


def test_a_fast_machine_without_a_gpu_is_told_that_it_has_none(machine) -> None:
    checks = machine()
    assert checks["cpu"].status == "ok"
    assert checks["gpu"].status == "note"
    assert checks["gpu"].found.endswith(
        "finds none, and no NVIDIA driver is installed: the CPU does all the work"
    )


def test_what_makes_a_machine_slow_is_named(machine) -> None:
    cpu = machine(bf16=False)["cpu"]
    assert cpu.status == "slow"
    assert "without bf16 arithmetic; the network takes about twice as long without it" in cpu.found
    assert '`quality="fast"`' in cpu.remedy
    cpu = machine(cores=2)["cpu"]
    assert (cpu.status, "share few cores" in cpu.found) == ("slow", True)


def test_a_gpu_makes_bf16_of_the_cpu_irrelevant(machine) -> None:
    checks = machine(bf16=False, gpu="mps")
    assert (checks["cpu"].status, checks["mps"].status) == ("ok", "ok")
    assert "gpu" not in checks


def test_a_gpu_that_torch_cannot_use_is_named_with_the_remedy(machine) -> None:
    gpu = machine(driver=True)["gpu"]
    assert (gpu.status, "is a build for the CPU alone" in gpu.found) == ("slow", True)
    assert "install a CUDA build of torch" in gpu.remedy
    gpu = machine(driver=True, cuda="12.8")["gpu"]
    assert "for CUDA 12.8, finds no device" in gpu.found
    assert "update the driver" in gpu.remedy


def lossless(interpolator: Interpolator):
    options = DoubleOptions(encode=EncodeOptions(encoder="ffv1"))
    return lambda source, target: double_video(
        source, target, options=options, interpolator=interpolator
    )


def test_the_self_test_passes_with_a_sound_pipeline(interpolator) -> None:
    check = self_test(lossless(interpolator))
    assert (check.status, check.remedy) == ("ok", "")
    assert check.found.startswith("6 frames in, 12 out, originals untouched")


def test_the_self_test_finds_what_an_encoder_lost(interpolator) -> None:
    lossy = DoubleOptions(encode=EncodeOptions(encoder="libx264", crf=40))
    check = self_test(lambda a, b: double_video(a, b, options=lossy, interpolator=interpolator))
    assert (check.status, check.found) == ("broken", "frame 0 is not what it was")


def test_the_self_test_counts_frames() -> None:
    check = self_test(lambda source, target: shutil.copy(source, target))
    assert (check.status, check.found) == ("broken", "6 frames in, but 6 out")


def test_the_self_test_looks_at_times() -> None:
    def twice_at_wrong_times(source: Path, target: Path) -> None:
        with av.open(str(source)) as read, av.open(str(target), "w") as write:
            stream = write.add_stream("ffv1", rate=25)
            stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
            for index, image in enumerate(read.decode(video=0)):
                for pts in (2 * index, 2 * index + 1):
                    image.pts, image.time_base = pts, Fraction(1, 25)
                    write.mux(stream.encode(image))
            write.mux(stream.encode(None))

    check = self_test(twice_at_wrong_times)
    assert (check.status, check.found) == ("broken", "frame 1 moved from 1/25 s to 2/25 s")


def test_the_self_test_says_what_the_pipeline_says() -> None:
    def fails(source: Path, target: Path) -> None:
        raise EncodeError("libx264 failed")

    assert self_test(fails) == Check(
        "self-test", "broken", "libx264 failed", "fix what the message names"
    )
