"""The wheel is all that a user needs: weights inside, and it runs where no checkout is."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path

import clips
import pytest

ROOT = Path(__file__).parent.parent


def run(command: list[object], **how: object) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=240, **how
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT])
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the `interp` of an environment that has the wheel and no checkout."""
    place = tmp_path_factory.mktemp("environment")
    venv.create(place, with_pip=False)
    python = place / "bin" / "python"
    site = run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).strip()
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    run([*pip, "install", "--no-deps", "--no-index", wheel])
    # The dependencies are the ones of this environment, but for our own editable install, whose
    # .pth file a path named in a .pth file does not follow.
    (Path(site) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place / "bin"


def test_the_wheel_holds_the_package_and_its_weights_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    bundled = {name for name in names if name.startswith("interp_cli/bundled_weights/")}
    assert bundled == {f"interp_cli/bundled_weights/{path.name}" for path in ROOT.glob("weights/*")}
    assert "interp_cli/bundled_weights/fusion.safetensors" in bundled
    # Weights, their records and their cards; experiments are in research/.
    assert {Path(name).suffix for name in bundled} == {".safetensors", ".json", ".md"}
    assert not [name for name in names if "experiments" in name or "research" in name]
    assert "interp_cli/py.typed" in names
    modules = {str(path.relative_to(ROOT)) for path in ROOT.glob("interp_cli/**/*.py")}
    assert {name for name in names if name.endswith(".py")} == modules
    record = f"interp_cli-{version('interp-cli')}.dist-info"
    assert {name.split("/")[0] for name in names} == {"interp_cli", record}


@pytest.mark.slow
def test_the_wheel_doubles_a_clip_from_an_empty_folder(
    installed: Path, h264_clip: Path, tmp_path: Path
) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    here = {"cwd": tmp_path, "env": environment}
    where = "import interp_cli; print(interp_cli.__file__)"
    assert str(installed.parent) in run([installed / "python", "-c", where], **here)

    run([installed / "interp", "double", h264_clip, "out.mp4"], **here)

    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    assert clips.times(tmp_path / "out.mp4") == [Fraction(index, 50) for index in range(24)]
    assert clips.packets(tmp_path / "out.mp4") == clips.packets(h264_clip)
