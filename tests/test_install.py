"""Every way of installing that the documentation names takes the right build of torch."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
INSTALL = ROOT / "docs" / "install.md"
PYTORCH = "https://download.pytorch.org/whl"
NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
CPU, CUDA, PYPI = "2.14.1+cpu", "2.14.1+cu130", "2.14.1"
UV = shutil.which(
    "uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
)

needs_make = pytest.mark.skipif(not shutil.which("make"), reason="no make")
needs_uv = pytest.mark.skipif(not UV, reason="no uv: it is one of the development tools")


def documented(page: Path) -> list[tuple[str, str]]:
    """(heading, command) of each installing command in a page's code blocks."""
    found, heading, inside = [], "", False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            inside = not inside
        elif not inside and line.startswith("#"):
            heading = line.strip("# ")
        elif inside and re.match(r"(pip|pipx|uv tool|uv pip) install ", line):
            found.append((heading, line))
    return found


COMMANDS = documented(INSTALL)
EXPECTED = {
    "Linux without an NVIDIA GPU": CPU,
    "Linux with an NVIDIA GPU": PYPI,
    "Windows without an NVIDIA GPU": PYPI,
    "Windows with an NVIDIA GPU": CUDA,
    "macOS": PYPI,
    "Extras": CPU,
}
PIP_COMMANDS = [(heading, line) for heading, line in COMMANDS if line.startswith("pip")]
UV_COMMANDS = sorted({line for _, line in COMMANDS if line.startswith("uv")})


def add_wheel(index: Path, name: str, version: str, requires: tuple[str, ...] = ()) -> None:
    """An empty wheel in a folder that pip and uv read as an index."""
    folder = index / re.sub(r"[-_.]+", "-", name).lower()
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{re.sub(r'[-.]+', '_', name)}-{version}"
    metadata = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {r}" for r in requires)]
    files = {
        "METADATA": "\n".join(["Metadata-Version: 2.1", *metadata, ""]),
        "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as wheel:
        for file, text in files.items():
            wheel.writestr(f"{stem}.dist-info/{file}", text)
    links = (f'<a href="{path.name}">{path.name}</a>' for path in sorted(folder.glob("*.whl")))
    (folder / "index.html").write_text(f"<!DOCTYPE html><body>{' '.join(links)}</body>")


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if re.match(r"[\w-]+==", line))


@pytest.fixture(scope="module")
def indexes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `pypi`, `cpu` and `cu130`: every dependency, and each build of torch.

    As on PyPI, the plain torch brings CUDA along.
    """
    folder = tmp_path_factory.mktemp("indexes")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    names = {Requirement(line).name for lines in lists for line in lines} - {"torch"}
    for name in names:
        add_wheel(folder / "pypi", name, pins()[name])
    add_wheel(folder / "pypi", "nvidia-cublas", "13.1.1.3")
    for version in (PYPI, pins()["torch"]):
        add_wheel(folder / "pypi", "torch", version, ("nvidia-cublas",))
        add_wheel(folder / "cpu", "torch", f"{version}+cpu")
        add_wheel(folder / "cu130", "torch", f"{version}+cu130", ("nvidia-cublas",))
    return folder


def pip_arguments(command: str) -> list[str]:
    """What pip gets from a `pip install` or `pipx install` command."""
    words = shlex.split(command)[2:]
    given = [word.removeprefix("--pip-args=") for word in words if word.startswith("--pip-args=")]
    rest = [word for word in words if not word.startswith("--pip-args=")]
    return [word for line in given for word in shlex.split(line)] + rest


@pytest.fixture(scope="module")
def resolved(indexes: Path) -> Callable[[Sequence[str]], dict[str, str]]:
    """The versions that `pip install` with some arguments would install.

    pip sees the local indexes only, whatever it is set to on this machine.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
    own = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": f"file://{indexes}/pypi"}
    options = ["--dry-run", "--report", "-", "--ignore-installed", "--no-build-isolation"]
    options += ["--disable-pip-version-check", "--quiet"]

    @cache
    def run(arguments: tuple[str, ...]) -> dict[str, str]:
        local = [word.replace(PYTORCH, f"file://{indexes}") for word in arguments]
        done = subprocess.run(
            [sys.executable, "-m", "pip", "install", *options, *local],
            cwd=ROOT, env=kept | own, capture_output=True, text=True, timeout=240,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found = (item["metadata"] for item in json.loads(done.stdout)["install"])
        return {item["name"]: item["version"] for item in found}

    return lambda arguments: run(tuple(arguments))


def test_each_system_has_its_commands() -> None:
    assert {heading for heading, _ in COMMANDS} == set(EXPECTED)
    for heading in EXPECTED:
        tools = {line.split()[0] for found, line in COMMANDS if found == heading}
        assert tools == {"pip", "pipx", "uv"}, heading


@pytest.mark.parametrize(("heading", "command"), PIP_COMMANDS)
@pytest.mark.slow
def test_a_command_takes_the_right_build_of_torch(heading: str, command: str, resolved) -> None:
    versions = resolved(pip_arguments(command))
    assert versions["torch"] == EXPECTED[heading]
    assert ("nvidia-cublas" in versions) == (EXPECTED[heading] != CPU)
    assert "interp-cli" in versions


def test_the_readme_has_the_same_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:pip|pipx|uv tool) install [^`]+)`", text)
    assert {"pip", "pipx", "uv"} == {command.split()[0] for command in named}
    assert set(named) <= {command for _, command in COMMANDS}


def test_the_tested_versions_include_the_cpu_build(resolved) -> None:
    arguments = ["-c", "constraints.txt", "--extra-index-url", f"{PYTORCH}/cpu", "."]
    versions = resolved(arguments)
    assert versions["torch"] == f"{pins()['torch']}+cpu"


@pytest.fixture
def nvidia_gpu(tmp_path: Path) -> Path:
    """A folder with an `nvidia-smi` that finds one GPU."""
    script = tmp_path / "gpu" / "nvidia-smi"
    script.parent.mkdir()
    script.write_text(
        """#!/bin/sh
case "$*" in
-L) echo "GPU 0: NVIDIA H200 (UUID: GPU-0)" ;;
*) echo 580.65.06 ;;
esac
"""
    )
    script.chmod(0o755)
    return script.parent


@needs_uv
@pytest.mark.parametrize("gpu", [False, True], ids=["no GPU", "GPU"])
@pytest.mark.parametrize("command", UV_COMMANDS)
def test_uv_asks_the_index_of_the_right_build(
    command: str, gpu: bool, indexes: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    kept = {key: value for key, value in os.environ.items() if not re.match("PIP_|UV_", key)}
    if gpu:
        kept["PATH"] = f"{request.getfixturevalue('nvidia_gpu')}{os.pathsep}{kept['PATH']}"
    elif NVIDIA_DRIVER.exists():
        pytest.skip("there is an NVIDIA GPU")
    # The proxy does not exist: uv says which of torch's indexes it would have asked.
    own = {"UV_DEFAULT_INDEX": f"file://{indexes}/pypi", "UV_HTTP_RETRIES": "0"}
    own |= {"UV_NO_CONFIG": "1", "UV_PYTHON": sys.executable, "UV_PYTHON_DOWNLOADS": "never"}
    own |= {"HTTPS_PROXY": "http://127.0.0.1:1", "ALL_PROXY": "http://127.0.0.1:1"}
    own |= {f"UV_{name}_DIR": str(tmp_path / name) for name in ("CACHE", "TOOL", "TOOL_BIN")}
    done = subprocess.run(
        [UV, *shlex.split(command)[1:], "--verbose"],
        cwd=ROOT, env=kept | own, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode != 0
    asked = set(re.findall(rf"GET request for: {PYTORCH}/(\w+)/torch/", done.stderr))
    assert asked, done.stderr
    assert all(name.startswith("cu1") for name in asked) if gpu else asked == {"cpu"}


@pytest.fixture
def make(tmp_path: Path):
    """Run the Makefile's installing rule with a pip that only notes what it is asked for.

    `make` finds no NVIDIA GPU on this machine, whatever there is, unless `path` has one.
    """
    bin_folder = tmp_path / "venv" / "bin"
    bin_folder.mkdir(parents=True)
    calls = tmp_path / "calls"
    pip = tmp_path / "pip"
    pip.write_text(f'#!/bin/sh\necho "$@" >> {calls}\ncase "$*" in *$REFUSED*) exit 1 ;; esac\n')
    pip.chmod(0o755)
    for tool in ("sh", "sed", "uname", "grep", "touch"):
        (tmp_path / "tools").mkdir(exist_ok=True)
        (tmp_path / "tools" / tool).symlink_to(shutil.which(tool))

    def run(*settings: str, path: Path | None = None, refused: str = "nothing") -> tuple[str, str]:
        for stamp in ("python", ".pip"):
            (bin_folder / stamp).touch()
        calls.unlink(missing_ok=True)
        folders = [str(folder) for folder in (path, tmp_path / "tools") if folder]
        done = subprocess.run(
            [
                shutil.which("make"), f"{bin_folder}/.installed", f"VENV={tmp_path / 'venv'}",
                f"PIP={pip}", f"NVIDIA_DRIVER={tmp_path / 'none'}", *settings,
            ],
            cwd=ROOT, env={"PATH": os.pathsep.join(folders), "REFUSED": refused},
            capture_output=True, text=True, timeout=240,
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert (done.returncode == 0) == (bin_folder / ".installed").exists(), said
        return said, calls.read_text() if calls.exists() else ""

    return run


CPU_BUILD = f"{PYTORCH}/cpu torch=={pins()['torch']}+cpu"
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems have one build")


@needs_make
@on_linux
def test_make_takes_the_cpu_build_without_a_gpu(make, resolved) -> None:
    said, calls = make()
    first, second = calls.splitlines()
    assert said.startswith("Installing") and "390 MB" in said
    assert first.endswith(CPU_BUILD)
    assert second.endswith("-e .")
    # What that first line resolves to, beside an index that has the build with CUDA as well.
    arguments = shlex.split(first.replace("--build-constraint constraints.txt", ""))[1:]
    assert resolved(arguments) == {"torch": f"{pins()['torch']}+cpu"}


@needs_make
@on_linux
def test_make_takes_cuda_with_a_gpu_or_on_request(make, nvidia_gpu: Path, tmp_path: Path) -> None:
    said, calls = make(path=nvidia_gpu)
    assert "2.9 GB" in said.splitlines()[0]
    assert calls.splitlines()[0].endswith("-e .")
    (tmp_path / "venv" / "bin" / ".installed").unlink()
    assert CPU_BUILD in make("TORCH=cpu", path=nvidia_gpu)[1]
    (tmp_path / "venv" / "bin" / ".installed").unlink()
    assert CPU_BUILD not in make("TORCH=cuda")[1]


@needs_make
@on_linux
def test_make_says_where_the_cpu_build_cannot_be_had(make) -> None:
    said, calls = make(refused="+cpu")
    assert "No CPU build of torch was found" in said
    assert "up to 2.9 GB" in said
    assert calls.splitlines()[1].endswith("-e .")


@needs_make
@on_linux
def test_make_refuses_an_unknown_build(make) -> None:
    said, calls = make("TORCH=rocm")
    assert "TORCH=rocm: expected cpu or cuda" in said
    assert not calls


def test_the_makefile_and_the_page_name_the_same_sizes() -> None:
    named = re.findall(r"[\d.]+ [MG]B", (ROOT / "Makefile").read_text())
    page = INSTALL.read_text(encoding="utf-8")
    assert set(named) == {"390 MB", "2.9 GB", "230 MB", "85 MB"}
    assert all(size in page for size in named)


def test_a_pinned_build_satisfies_the_pin() -> None:
    pin = Requirement(f"torch=={pins()['torch']}")
    assert pin.specifier.contains(f"{pins()['torch']}+cpu")
