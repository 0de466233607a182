"""The watch for what a test leaves running would be worth nothing if it saw nothing."""

import subprocess
import sys
import threading
from pathlib import Path

import leaks
import pytest

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/task").is_dir(), reason="the system has no /proc to find children in"
)


@needs_proc
def test_a_running_child_is_named_until_it_is_waited_for() -> None:
    before = leaks.running()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        (left,) = leaks.left_since(before, grace_seconds=0)
        assert left.startswith(f"process {child.pid} (")
    finally:
        child.communicate(b"\n")
    assert leaks.left_since(before) == []


@needs_proc
def test_a_child_that_ended_without_a_wait_is_named() -> None:
    before = leaks.running()
    child = subprocess.Popen(
        [sys.executable, "-c", "print('over')"], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    with child.stdout as output:
        assert output.read() == "over\n"
    assert leaks.left_since(before, grace_seconds=0.3) == [
        f"process {child.pid} (ended, not waited for)"
    ]
    child.wait()
    assert leaks.left_since(before) == []


@pytest.mark.parametrize("daemon", [False, True])
def test_a_running_thread_is_named_until_it_ends(daemon: bool) -> None:
    before = leaks.running()
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="decoder", daemon=daemon)
    thread.start()
    assert leaks.left_since(before, grace_seconds=0) == ["thread decoder"]
    end.set()
    thread.join()
    assert leaks.left_since(before) == []
