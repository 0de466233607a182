"""The parts of this installation, whether each works, and what makes this machine slow.

Heavy packages are imported inside the functions: a package that does not load is reported, and
does not make the report fail.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from interp_cli.atomic import temporary_folder
from interp_cli.errors import InterpError

__all__ = ["Check", "describe_machine", "diagnose", "self_test"]

Status = Literal["ok", "note", "slow", "broken"]

# Distributions, and the module of each that shows whether it loads.
_PACKAGES = {
    "numpy": "numpy",
    "opencv-python-headless": "cv2",
    "av": "av",
    "imageio-ffmpeg": "imageio_ffmpeg",
    "safetensors": "safetensors",
    "torch": "torch",
}
# The first are the defaults of output files; the others are optional.
_NEEDED_ENCODERS = ("libx264", "libx265", "libvpx-vp9", "ffv1")
_OTHER_ENCODERS = (
    "libsvtav1",
    "prores_ks",
    "h264_nvenc",
    "hevc_nvenc",
    "av1_nvenc",
    "h264_videotoolbox",
    "hevc_videotoolbox",
)
_REINSTALL = "remove it and install it again, as docs/install.md says"
_LITTLE_DISK_BYTES = 1 << 30
# With fewer cores the encoder and the network wait for each other.
_FEW_CORES = 4
_NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
_TEST_FRAMES = 6


@dataclass(frozen=True, slots=True)
class Check:
    """The finding on one part.

    Attributes:
        name: Name of the part.
        status: `ok`; `note` if there is something to know; `slow` if work takes longer because of
            it; `broken` if something will fail.
        found: What was found.
        remedy: What to do about it; empty if nothing.
        essential: Whether nothing can be doubled without the part.
    """

    name: str
    status: Status
    found: str
    remedy: str = ""
    essential: bool = False


def describe_machine() -> str:
    """Processor, cores, GPUs and torch in one line, for reports of measurements."""
    import torch

    from interp_cli.devices import available_cores

    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    parts = [_cpu_model(), cores_text(available_cores()), *gpus, f"torch {torch.__version__}"]
    return ", ".join(parts)


def diagnose() -> Iterator[Check]:
    """Check every part in turn; each finding is yielded at once."""
    yield Check("interp", "ok", _version_of("interp-cli"))
    yield Check("python", "ok", f"{platform.python_version()} on {platform.platform()}")
    packages = [_check_package(name, module) for name, module in _PACKAGES.items()]
    yield from packages
    if any(check.status == "broken" for check in packages):
        return  # the checks below need these packages
    yield from _check_devices()
    yield from _check_ffmpeg()
    yield from _check_weights()
    yield from _check_disk()


def cores_text(cores: int) -> str:
    """A number of cores, in words."""
    return "1 core" if cores == 1 else f"{cores} cores"


def self_test(double: Callable[[Path, Path], object]) -> Check:
    """Double a drawn clip and compare every frame of the result.

    Args:
        double: Function that doubles a video losslessly, from source to target.

    Returns:
        `ok` if the result has twice the frames, and every original is bit for bit the decoded one
        and has its own time.
    """
    started = time.perf_counter()
    with temporary_folder("interp-doctor-") as folder:
        source, target = Path(folder) / "drawn.mkv", Path(folder) / "doubled.mkv"
        _draw_clip(source)
        try:
            double(source, target)
        except InterpError as error:
            return Check("self-test", "broken", str(error), "fix what the message names")
        fault = _compare(source, target)
    if fault:
        return Check(
            "self-test", "broken", fault, "report this with the output of `interp doctor --json`"
        )
    seconds = time.perf_counter() - started
    return Check(
        "self-test",
        "ok",
        f"{_TEST_FRAMES} frames in, {2 * _TEST_FRAMES} out, originals untouched, {seconds:.1f} s",
    )


def _version_of(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed as a package"


def _check_package(name: str, module: str) -> Check:
    try:
        loaded = import_module(module)
    except (ImportError, OSError) as error:
        reason = str(error).partition("\n")[0]
        return Check(name, "broken", f"does not load ({reason})", _REINSTALL, essential=True)
    found = str(getattr(loaded, "__version__", "")) or _version_of(name)
    if module == "av":
        libavcodec = ".".join(map(str, loaded.library_versions["libavcodec"]))
        found += f", libavcodec {libavcodec}"
    return Check(name, "ok", found, essential=True)


def _check_devices() -> Iterator[Check]:
    import torch

    has_gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
    yield _check_cpu(has_gpu=has_gpu)
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        memory = f"{properties.total_memory / 2**30:.0f} GiB"
        yield Check(f"cuda:{index}", "ok", f"{properties.name}, {memory}")
    if torch.backends.mps.is_available():
        yield Check("mps", "ok", "Apple GPU")
    if not has_gpu:
        yield _check_missing_gpu()


def _check_cpu(*, has_gpu: bool) -> Check:
    """The processor, and what makes it slow; with a GPU it does not run the network."""
    from interp_cli.devices import available_cores, cpu_has_bf16

    cores, has_bf16 = available_cores(), cpu_has_bf16()
    found = f"{_cpu_model()}, {cores_text(cores)}, {'with' if has_bf16 else 'without'} bf16"
    found += " arithmetic"
    reasons = []
    if not has_bf16 and not has_gpu:
        reasons.append("the network takes about twice as long without it")
    if cores < _FEW_CORES:
        reasons.append("decoding, the network and encoding share few cores")
    if not reasons:
        return Check("cpu", "ok", found)
    remedy = "" if has_gpu else 'a GPU or another processor is faster, and so is `quality="fast"`'
    return Check("cpu", "slow", f"{found}; {'; '.join(reasons)}", remedy)


def _check_missing_gpu() -> Check:
    """Why torch finds no GPU."""
    import torch

    build = f"torch {torch.__version__}"
    if not (shutil.which("nvidia-smi") or _NVIDIA_DRIVER.exists()):
        found = f"{build} finds none, and no NVIDIA driver is installed: the CPU does all the work"
        return Check("gpu", "note", found)
    if torch.version.cuda is None:
        found = f"an NVIDIA driver is installed, but {build} is a build for the CPU alone"
        remedy = "install a CUDA build of torch (pytorch.org/get-started) to use the GPU"
    else:
        found = (
            f"an NVIDIA driver is installed, but {build}, for CUDA {torch.version.cuda}, finds no "
            "device"
        )
        remedy = "see whether `nvidia-smi` lists the GPU, and update the driver"
    return Check("gpu", "slow", found, remedy)


def _check_ffmpeg() -> Iterator[Check]:
    from interp_cli.video.ffmpeg import ffmpeg_path, run_ffmpeg

    try:
        said = run_ffmpeg("-version").stdout
    except InterpError as error:
        yield Check("ffmpeg", "broken", str(error), "see docs/install.md", essential=True)
        return
    yield Check("ffmpeg", "ok", f"{said.partition('Copyright')[0].strip()}, {ffmpeg_path()}")
    usable = {name: _can_encode(name) for name in (*_NEEDED_ENCODERS, *_OTHER_ENCODERS)}
    yield Check("encoders", "ok", ", ".join(name for name, works in usable.items() if works))
    missing = [name for name in _NEEDED_ENCODERS if not usable[name]]
    if missing:
        yield Check(
            "encoders",
            "broken",
            f"{', '.join(missing)}: cannot encode here",
            "unset IMAGEIO_FFMPEG_EXE, or let it name an ffmpeg that has them",
        )


def _check_weights() -> Iterator[Check]:
    from interp_cli.models.weights import bundled_models, load_model
    from interp_cli.options import DEFAULT_MODEL

    models = bundled_models()
    for name, path in models.items():
        try:
            loaded = load_model(name)
        except InterpError as error:
            yield Check(f"weights {name}", "broken", str(error), _REINSTALL)
            continue
        parameters = sum(parameter.numel() for parameter in loaded.net.parameters())
        found = f"{parameters / 1e6:.2f} M parameters, SHA-256 as recorded, {path}"
        yield Check(f"weights {name}", "ok", found)
    if DEFAULT_MODEL not in models:
        yield Check(
            f"weights {DEFAULT_MODEL}", "broken", "the default model is missing", _REINSTALL
        )


def _check_disk() -> Iterator[Check]:
    places = {"this folder": Path.cwd(), "temporary files": Path(tempfile.gettempdir())}
    for name, path in places.items():
        free = shutil.disk_usage(path).free
        found = f"{free / 1e9:.1f} GB free in {path}"
        if free < _LITTLE_DISK_BYTES:
            yield Check(f"disk, {name}", "note", found, "make room, or write elsewhere")
        else:
            yield Check(f"disk, {name}", "ok", found)


def _cpu_model() -> str:
    """The processor's name as its maker writes it."""
    try:
        if platform.system() == "Darwin":
            return _run("sysctl", "-n", "machdep.cpu.brand_string").stdout.strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # another system: what Python knows has to do
    return platform.processor() or platform.machine()


def _can_encode(encoder: str) -> bool:
    """Try it: an encoder that is compiled in may still lack its hardware."""
    from interp_cli.video.ffmpeg import run_ffmpeg

    source = "color=gray:size=256x256:rate=25:duration=0.08"
    arguments = ["-f", "lavfi", "-i", source, "-c:v", encoder, "-f", "null", "-"]
    return run_ffmpeg("-v", "error", *arguments).returncode == 0


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )


def _draw_clip(path: Path) -> None:
    """A bright square that moves over a slope of grey, lossless."""
    import av
    import numpy as np

    from interp_cli.video.ffmpeg import file_url

    with av.open(file_url(path), "w") as container:
        stream = container.add_stream("ffv1", rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        ground = np.tile(np.linspace(40, 160, 96).astype(np.uint8)[None, :, None], (64, 1, 3))
        for index in range(_TEST_FRAMES):
            picture = ground.copy()
            picture[20:44, 4 + 8 * index : 28 + 8 * index] = (230, 90, 60)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def _compare(source: Path, target: Path) -> str:
    """What is wrong with a doubled video; empty where nothing is."""
    import numpy as np

    from interp_cli.video.pixel_format import planes_of
    from interp_cli.video.readers.file import VideoReader

    with VideoReader(source) as reader:
        originals = list(reader)
    with VideoReader(target) as reader:
        doubled = list(reader)
    if len(doubled) != 2 * len(originals):
        return f"{len(originals)} frames in, but {len(doubled)} out"
    for index, (before, after) in enumerate(zip(originals, doubled[::2], strict=True)):
        if before.seconds != after.seconds:
            return f"frame {index} moved from {before.seconds} s to {after.seconds} s"
        planes = zip(planes_of(before.image), planes_of(after.image), strict=True)
        if not all(np.array_equal(a, b) for a, b in planes):
            return f"frame {index} is not what it was"
    return ""
