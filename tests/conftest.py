"""Fixtures for every test: tiny drawn clips, an averaging model, and a watch for what is left."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from interp_cli.inference.process import tune_process

tune_process()  # as the command does, before torch is loaded: the suite has few cores, too

import clips  # noqa: E402
import leaks  # noqa: E402

SAMPLED = 61  # has no factor in common with the numbers of values in tests/matrix.py


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow")
    parser.addoption("--slow-sample", action="store_true", help="also run a fixed part of those")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    skips = {
        "slow": None if config.getoption("--slow") else "slow: run with --slow",
        "needs_footage": _why_no_footage(),
    }
    # torch takes seconds to load, so it is asked only where a test wants a device.
    if any(item.get_closest_marker("needs_cuda") for item in items):
        skips["needs_cuda"] = _why_no_cuda()
    sample = _sample_of_slow(items) if config.getoption("--slow-sample") else set()
    for item in items:
        for marker, reason in skips.items():
            if marker == "slow" and item.nodeid in sample:
                continue
            if reason and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


def _sample_of_slow(items: list[pytest.Item]) -> set[str]:
    """Of the slow cases of each test function, the first and then one in `SAMPLED`."""
    seen: Counter[str] = Counter()
    sample = set()
    for item in items:
        if item.get_closest_marker("slow"):
            function = item.nodeid.partition("[")[0]
            if seen[function] % SAMPLED == 0:
                sample.add(item.nodeid)
            seen[function] += 1
    return sample


def _why_no_footage() -> str | None:
    folder = os.environ.get("INTERP_DATA")
    if not folder:
        return "INTERP_DATA is not set: it names a folder of real footage"
    # Named but not there is a mistake, and must not look like a pass.
    if not Path(folder).is_dir():
        raise pytest.UsageError(f"INTERP_DATA names {folder}, which is no folder")
    return None


def _why_no_cuda() -> str | None:
    import torch

    return None if torch.cuda.is_available() else "no CUDA device"


@pytest.fixture(scope="session")
def footage() -> Path:
    """The folder of real footage; a test that takes it is marked `needs_footage`."""
    return Path(os.environ["INTERP_DATA"]).resolve()  # some tests work in another folder


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    """Fail a test that leaves a child process or a thread behind."""
    before = leaks.running()
    yield
    left = leaks.left_since(before)
    assert not left, f"left running: {', '.join(left)}"


@pytest.fixture(scope="session")
def averaging():
    """A model whose middle frame is the mean of its neighbours: the pipeline without weights."""
    import torch

    class Averaging(torch.nn.Module):
        supports_timestep = True

        def size_multiple(self, height: int, width: int) -> int:
            return 1

        def forward(
            self, frame0: torch.Tensor, frame1: torch.Tensor, timestep: torch.Tensor
        ) -> torch.Tensor:
            return (1 - timestep) * frame0 + timestep * frame1

    return Averaging().eval()


@pytest.fixture(scope="session")
def interpolator(averaging):
    """An `Interpolator` of that model."""
    from interp_cli.inference.interpolator import Interpolator

    return Interpolator(averaging, device="cpu")


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="session")
def h264_clip(clip_folder: Path) -> Path:
    """12 frames at 25/s, H.264 with B-frames, AAC sound, MP4."""
    return clips.moving_clip(clip_folder / "h264.mp4", audio="aac")


# Milliseconds; steps of 20 to 100, as a phone writes them when the light changes.
VFR_PTS = (0, 40, 61, 101, 201, 234, 267, 300, 340, 420, 440, 480)


@pytest.fixture(scope="session")
def vfr_clip(clip_folder: Path) -> Path:
    """12 frames at the irregular times `VFR_PTS`, H.264, AAC sound, Matroska."""
    return clips.moving_clip(clip_folder / "vfr.mkv", pts=VFR_PTS, audio="aac")


@pytest.fixture(scope="session")
def ten_bit_clip(clip_folder: Path) -> Path:
    """8 frames at 24000/1001, 10 bits, 4:2:2, FFV1, Matroska, no sound."""
    return clips.moving_clip(
        clip_folder / "ten_bit.mkv",
        frames=8,
        rate=Fraction(24000, 1001),
        codec="ffv1",
        pix_fmt="yuv422p10le",
    )


@pytest.fixture(scope="session")
def ffv1_clip(clip_folder: Path) -> Path:
    """12 frames at 25/s, lossless FFV1 in 4:4:4, FLAC sound, Matroska."""
    return clips.moving_clip(
        clip_folder / "ffv1.mkv", codec="ffv1", pix_fmt="yuv444p", audio="flac"
    )


@pytest.fixture(scope="session")
def cut_clip(clip_folder: Path) -> Path:
    """16 frames at 25/s with cuts before frames 5 and 11, H.264, MP4, no sound."""
    return clips.moving_clip(clip_folder / "cuts.mp4", frames=16, cuts=(5, 11))


@pytest.fixture(scope="session")
def repeats_clip(clip_folder: Path) -> Path:
    """12 frames at 25/s of which 3, 4 and 8 repeat the one before, lossless FFV1, Matroska."""
    return clips.moving_clip(clip_folder / "repeats.mkv", codec="ffv1", duplicates=(3, 4, 8))


@pytest.fixture(scope="session")
def odd_clip(clip_folder: Path) -> Path:
    """6 frames of 101x67 in 4:2:0, so that the chroma planes are rounded up; FFV1, Matroska."""
    return clips.moving_clip(clip_folder / "odd.mkv", frames=6, size=(101, 67), codec="ffv1")


@pytest.fixture(scope="session")
def one_frame_clip(clip_folder: Path) -> Path:
    """A video of a single frame, FFV1, Matroska."""
    return clips.moving_clip(clip_folder / "one.mkv", frames=1, codec="ffv1")


@pytest.fixture(scope="session")
def audio_only_file(clip_folder: Path) -> Path:
    """Half a second of sound and no picture, M4A."""
    return clips.tone_file(clip_folder / "sound.m4a")
