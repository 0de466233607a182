"""A job that the memory cannot hold is refused before its work begins."""

from dataclasses import replace
from pathlib import Path

import clips
import numpy as np
import pytest

from interp_cli import devices
from interp_cli.errors import ResourceError
from interp_cli.inference.interpolator import Interpolator
from interp_cli.options import DoubleOptions, EncodeOptions
from interp_cli.pipeline import memory
from interp_cli.pipeline.double import double_video

OPTIONS = DoubleOptions(encode=EncodeOptions(encoder="ffv1"))


def frame_of(width: int, height: int) -> tuple[np.ndarray, ...]:
    """Planes of 8-bit 4:2:0, which take no memory."""
    sizes = ((height, width), (height // 2, width // 2), (height // 2, width // 2))
    return tuple(np.broadcast_to(np.uint8(0), size) for size in sizes)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return clips.moving_clip(tmp_path / "in.mkv", frames=3, size=(64, 48), codec="ffv1")


def test_more_than_the_machine_has_is_refused(clip, averaging, monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "total_bytes", lambda: 100_000_000)
    interpolator = Interpolator(averaging)
    with pytest.raises(
        ResourceError,
        match=r"in.mkv: frames of 64x48 take about 0.\d GB of memory, and this machine has 0.1",
    ):
        double_video(clip, tmp_path / "out.mkv", OPTIONS, interpolator=interpolator)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mkv"]
    raised = replace(OPTIONS, max_memory_gb=1.0)
    assert (
        double_video(clip, tmp_path / "out.mkv", raised, interpolator=interpolator).frames_out == 6
    )


def test_the_limit_can_be_lowered(clip, averaging, tmp_path):
    options = replace(OPTIONS, max_memory_gb=0.2)
    with pytest.raises(ResourceError, match=r"and `max_memory_gb` is 0.2. .*raise the limit"):
        double_video(clip, tmp_path / "out.mkv", options, interpolator=Interpolator(averaging))


def test_nothing_is_refused_where_the_memory_is_unknown(clip, averaging, monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "total_bytes", lambda: None)
    double_video(clip, tmp_path / "out.mkv", OPTIONS, interpolator=Interpolator(averaging))


@pytest.mark.parametrize(
    ("size", "frames", "measured_gb"),
    [((1920, 1080), 80, 1.5), ((3840, 2160), 60, 4.3), ((7680, 4320), 24, 9.9)],
)
def test_the_estimate_is_near_what_was_measured(size, frames, measured_gb, monkeypatch):
    """Two workers, libx264, `balanced`; our peak and the encoder's."""
    monkeypatch.setattr("torch.get_num_threads", lambda: 2)
    interpolator = Interpolator("flow", device="cpu", precision="fp32", quality="balanced")
    estimate = memory.estimated_bytes(frame_of(*size), interpolator, frames) / 1e9
    assert 0.8 * measured_gb < estimate < 1.4 * measured_gb


def test_a_container_has_less_than_its_machine(monkeypatch, tmp_path):
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(devices, "_CONTAINER_LIMIT", limit)
    installed = devices.total_bytes()
    assert installed is not None
    limit.write_text("max\n")
    assert devices.total_bytes() == installed
    limit.write_text("1000000\n")
    assert devices.total_bytes() == 1_000_000
