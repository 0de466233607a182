"""The names that users import, and how little it costs to have them."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

import interp_cli

EXPORTED = {
    "__version__",
    # What the package does
    "Interpolator",
    "benchmark",
    "double_video",
    "evaluate",
    "probe",
    "read_flo",
    "train",
    "write_flo",
    # What it returns
    "BenchReport",
    "DoubleResult",
    "EvalReport",
    "OpticalFlow",
    "TrainResult",
    # Its options
    "BenchOptions",
    "DoubleOptions",
    "EncodeOptions",
    "EvalOptions",
    "InferenceOptions",
    "PrepareOptions",
    "TrainOptions",
    "train_preset",
    "tune_process",
    # What can go wrong
    "DecodeError",
    "EncodeError",
    "InterpError",
    "OpenError",
    "OptionError",
    "ResourceError",
    "TrainingError",
    "VideoError",
    "WeightsError",
}

# Seconds each of these takes to import, and none of them is needed to show a help page.
HEAVY = ["torch", "cv2", "av", "numpy"]


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_exported_names_are_exactly_these() -> None:
    assert set(interp_cli.__all__) == EXPORTED
    assert len(interp_cli.__all__) == len(EXPORTED)
    assert set(dir(interp_cli)) >= EXPORTED


@pytest.mark.parametrize("name", sorted(EXPORTED))
def test_every_exported_name_is_there_and_documented(name: str) -> None:
    value = getattr(interp_cli, name)
    assert name == "__version__" or value.__doc__


# Imports every module, and prints the exported names that a module of that name has replaced.
SHADOWED = """
import importlib, pkgutil, types, interp_cli
for found in pkgutil.walk_packages(interp_cli.__path__, "interp_cli."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
print([n for n in interp_cli.__all__ if isinstance(getattr(interp_cli, n), types.ModuleType)])
"""


def test_no_module_takes_the_place_of_a_name() -> None:
    done = run_python(SHADOWED)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_the_flow_of_a_pair_is_written_and_read(tmp_path: Path) -> None:
    flow = np.arange(24, dtype=np.float32).reshape(3, 4, 2)
    interp_cli.write_flo(tmp_path / "a.flo", flow)
    np.testing.assert_array_equal(interp_cli.read_flo(tmp_path / "a.flo"), flow)


def test_the_package_is_marked_as_typed() -> None:
    assert (Path(interp_cli.__file__).parent / "py.typed").is_file()


def test_version_is_that_of_the_installed_package() -> None:
    assert interp_cli.__version__ == version("interp-cli")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'interp_cli' has no attribute 'triple_video'"):
        interp_cli.triple_video  # noqa: B018


def test_importing_the_package_loads_nothing_heavy() -> None:
    done = run_python(
        f"import sys, interp_cli; print([m for m in {HEAVY} if m in sys.modules], end='')"
    )
    assert (done.stdout, done.stderr) == ("[]", "")


@pytest.mark.parametrize("arguments", [["--help"], ["double", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    done = run_python(
        "import sys\n"
        "from interp_cli.cli.app import main\n"
        f"sys.argv = ['interp', *{arguments}]\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as stop:\n"
        "    code = stop.code or 0\n"
        f"print('loaded', code, [m for m in {HEAVY} if m in sys.modules])\n"
    )
    assert done.stdout.endswith("loaded 0 []\n"), done.stdout + done.stderr


def test_help_answers_quickly() -> None:
    before = os.times()
    done = subprocess.run(
        [sys.executable, "-m", "interp_cli", "--help"], capture_output=True, text=True
    )
    after = os.times()
    seconds = after.children_user - before.children_user  # of a core, however busy it is
    assert done.returncode == 0
    assert "double" in done.stdout
    # About 0.3 s on one core; with torch it would be 2 s and more.
    assert seconds < 3
