import mmap
import subprocess
from pathlib import Path

import pytest
from children import await_that

from interp_cli.benchmarking import peak_memory as memory
from interp_cli.benchmarking.peak_memory import MemoryWatch
from interp_cli.video.ffmpeg import ffmpeg_path

MEGABYTE = 1 << 20
needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")


def take_and_give_back(size: int) -> None:
    """Fill memory that the system gets back at once, whatever malloc keeps."""
    with mmap.mmap(-1, size) as block:
        for start in range(0, size, MEGABYTE):
            block[start : start + MEGABYTE] = b"1" * MEGABYTE


def test_a_peak_is_found_though_it_is_over() -> None:
    with MemoryWatch() as before:
        pass
    with MemoryWatch() as watch:
        take_and_give_back(200 * MEGABYTE)
    assert before.host_bytes is not None
    assert watch.host_bytes is not None
    assert watch.host_bytes >= before.host_bytes + 150 * MEGABYTE
    assert watch.device_bytes is None


@needs_proc
def test_each_watch_begins_anew() -> None:
    with MemoryWatch() as first:
        take_and_give_back(200 * MEGABYTE)
    with MemoryWatch() as second:
        pass
    assert first.host_bytes is not None
    assert second.host_bytes is not None
    assert second.host_bytes <= first.host_bytes - 150 * MEGABYTE


def _largest(watch: MemoryWatch) -> int:
    return max((sample.children_bytes for sample in list(watch.samples)), default=0)


@needs_proc
def test_the_course_has_this_process_and_its_children() -> None:
    source = "color=gray:size=640x360:rate=25:duration=20"
    command = [ffmpeg_path(), "-v", "error", "-re", "-f", "lavfi", "-i", source]
    with MemoryWatch(every_seconds=0.01) as watch:
        child = subprocess.Popen([*command, "-c:v", "libx264", "-f", "null", "-"])
        await_that(lambda: _largest(watch) > 10 * MEGABYTE and len(watch.samples) > 1, child)
        child.kill()
        child.wait()
    assert watch.children_bytes is not None
    # An encoder with its look-ahead, not a copy of this process with torch.
    assert 10 * MEGABYTE < watch.children_bytes < 150 * MEGABYTE
    times = [sample.seconds for sample in watch.samples]
    assert times == sorted(times)
    assert len(times) > 1
    assert all(0 < s.host_bytes <= (watch.host_bytes or 0) for s in watch.samples)


def test_without_proc_the_system_tells_the_peaks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(memory, "_PROCESS", tmp_path / "none")
    with MemoryWatch() as watch:
        pass
    assert watch.samples == []
    assert watch.host_bytes is not None
    assert watch.host_bytes > 20 * MEGABYTE
    assert watch.children_bytes is not None
