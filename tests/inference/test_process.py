"""What the library changes in the process that uses it (nothing), and what `tune_process` does."""

import json
import os
import resource
import subprocess
import sys
import threading

import cv2
import pytest
import torch

from interp_cli.inference import process
from interp_cli.inference.process import keep_freed_memory, tune_process, worker_pool

_STATE = """
import json, os, threading
import cv2, torch

def in_new_thread(function):
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]

def state():
    return {
        "torch": torch.get_num_threads(),
        "torch in a new thread": in_new_thread(torch.get_num_threads),
        "OpenCV": cv2.getNumThreads(),
        "OpenCV's log": cv2.utils.logging.getLogLevel(),
        "environment": dict(os.environ),
    }

torch.set_num_threads(4)
in_new_thread(lambda: torch.set_num_threads(4))
cv2.setNumThreads(4)
before = state()
"""


def run_python(code: str, *arguments: str) -> dict[str, object]:
    """What a program without any settings prints as JSON."""
    ours = ("OMP_WAIT_POLICY", "OPENCV_LOG_LEVEL", "OMP_NUM_THREADS")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_importing_changes_nothing():
    code = _STATE + (
        "import interp_cli\n"
        "for name in interp_cli.__all__:\n"
        "    getattr(interp_cli, name)\n"
        "import interp_cli.video.images.read\n"
        "print(json.dumps([before, state()]))\n"
    )
    before, after = run_python(code)
    assert after == before


def test_overlapping_jobs_change_nothing(h264_clip, tmp_path):
    """Neither while two of them run in threads of a program, nor afterwards."""
    code = _STATE + (
        "import sys\n"
        "import interp_cli\n"
        "from interp_cli.inference import process\n"
        "process._set_mallopt = lambda: sys.exit('mallopt')\n"
        "options = interp_cli.DoubleOptions(audio=False)\n"
        "together, states = threading.Barrier(2), []\n"
        "class Mean(torch.nn.Module):\n"
        "    supports_timestep = True\n"
        "    def size_multiple(self, height, width):\n"
        "        return 1\n"
        "    def forward(self, frame0, frame1, timestep):\n"
        "        return torch.lerp(frame0, frame1, timestep)\n"
        "def job(number):\n"
        "    def progress(done, total):\n"
        "        if done == 2:\n"
        "            together.wait(240)\n"
        "            states.append(state())\n"
        "    interpolator = interp_cli.Interpolator(Mean(), 'cpu')\n"
        "    target = f'{sys.argv[2]}/{number}.mkv'\n"
        "    interp_cli.double_video(\n"
        "        sys.argv[1], target, options, interpolator=interpolator, progress=progress)\n"
        "    states.append({**state(), 'torch': torch.get_num_threads()})\n"
        "threads = [threading.Thread(target=job, args=(n,)) for n in range(2)]\n"
        "for thread in threads:\n"
        "    thread.start()\n"
        "for thread in threads:\n"
        "    thread.join()\n"
        "print(json.dumps([before, *states, state()]))\n"
    )
    before, *states = run_python(code, str(h264_clip), str(tmp_path))
    assert len(states) == 5
    for state in states:
        assert state == before


def test_tuning_is_what_the_command_does_before_torch_is_loaded():
    code = (
        "import json, os, sys\n"
        "import interp_cli\n"
        "interp_cli.tune_process()\n"
        "interp_cli.tune_process()\n"
        "loaded = [name for name in ('torch', 'cv2') if name in sys.modules]\n"
        "import cv2\n"
        "level = cv2.utils.logging.getLogLevel() == cv2.utils.logging.LOG_LEVEL_SILENT\n"
        "print(json.dumps([loaded, level, os.environ['OMP_WAIT_POLICY']]))\n"
    )
    assert run_python(code) == [[], True, "passive"]


@pytest.mark.parametrize("is_tuned", [False, True])
def test_workers_share_the_cores_and_nobody_else_notices(monkeypatch, is_tuned):
    """In a tuned process other threads have fewer while a pool is open, and no longer."""
    monkeypatch.setattr(process, "_is_tuned", is_tuned)
    threads = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        with worker_pool(2) as pool:
            assert {pool.submit(torch.get_num_threads).result() for _ in range(4)} == {2}
            assert torch.get_num_threads() == 4
            if not is_tuned:
                assert number_in_new_thread() == 4
        assert (torch.get_num_threads(), number_in_new_thread()) == (4, 4)
    finally:
        torch.set_num_threads(threads)


def number_in_new_thread() -> int:
    """Torch's threads in a thread that has not used torch yet."""
    found = []
    other = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    other.start()
    other.join()
    return found[0]


def test_the_last_of_overlapping_pools_sets_opencv_back():
    original = cv2.getNumThreads()
    cv2.setNumThreads(4)
    try:
        first, second = worker_pool(2), worker_pool(2)
        first.__enter__()
        second.__enter__()
        assert cv2.getNumThreads() == 2
        first.__exit__(None, None, None)
        assert cv2.getNumThreads() == 2
        second.__exit__(None, None, None)
        assert cv2.getNumThreads() == 4
    finally:
        cv2.setNumThreads(original)


def test_a_program_that_was_not_tuned_keeps_its_memory_settings(monkeypatch):
    calls = []
    monkeypatch.setattr(process, "_set_mallopt", lambda: calls.append(1))
    monkeypatch.setattr(process, "_is_tuned", False)
    keep_freed_memory()
    assert calls == []
    tune_process()
    keep_freed_memory()
    assert calls == [1]


@pytest.mark.skipif(sys.platform != "linux", reason="what glibc does with freed memory")
def test_freed_memory_is_kept_for_the_next_frame():
    """A large block that was freed comes back, in the end, without new pages."""
    keep_freed_memory()
    faults = []
    for _ in range(12):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(100 << 20, dtype=torch.uint8)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    assert min(faults[-3:]) < 100  # a new block has 25,600 pages
