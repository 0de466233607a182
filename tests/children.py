"""Commands that tests run as processes of their own, and wait for by what they say and write."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# Nothing is expected to take so long: it ends a test that would wait for ever.
LIMIT_SECONDS = 240

# Shells start jobs in the background with signals ignored, and children inherit that.
_USUAL_SIGNALS = (
    "import signal\n"
    "for name in ('SIGINT', 'SIGTERM', 'SIGHUP'):\n"
    "    number = getattr(signal, name)\n"
    "    signal.signal(number, signal.SIG_DFL)\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
)
# For `before`: the main thread waits once a segment of the output, the third word, is finished, so
# that there is time to do something to it.
PAUSE_AFTER_SEGMENT = """
import sys, threading
from pathlib import Path
import interp_cli.pipeline.job as job
from interp_cli.video.writers.journal import completed_frames
def pause():
    print("paused", file=sys.stderr, flush=True)
    threading.Event().wait()
def write(self, *arguments, usual=job.ResumedOutput.write):
    usual(self, *arguments)
    if completed_frames(Path(sys.argv[3])):
        pause()
job.ResumedOutput.write = write
"""
_MAIN = "from interp_cli.cli.app import main\nif __name__ == '__main__':\n    main()\n"


@contextmanager
def running_interp(
    *arguments: object, before: str = "", **environment: str
) -> Iterator[subprocess.Popen[str]]:
    """Run the command while the block lasts, with its output in pipes.

    Args:
        arguments: Its arguments.
        before: Python code that runs first.
        environment: Further variables.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", _USUAL_SIGNALS + before + _MAIN, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "300", **environment},
    )
    try:
        yield process
    finally:
        if process.poll() is None:  # the test has failed
            process.kill()
        process.communicate()


def await_line(process: subprocess.Popen[str], text: str) -> str:
    """Read the messages of a process up to a line that holds a text, and return that line."""
    assert process.stderr is not None
    read: list[str] = []
    for line in process.stderr:
        read.append(line)
        if text in line:
            return line
    raise AssertionError(f"ended without {text!r}: {''.join(read)}")


def await_that(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait until something has happened, which a process that still runs brings about."""
    begun = time.monotonic()
    while not condition():
        assert process.poll() is None, f"ended first: {process.communicate()}"
        assert time.monotonic() - begun < LIMIT_SECONDS
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def ended_by(process: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str]:
    """Send a signal; returns the exit code and what was said from then on."""
    process.send_signal(number)
    said = process.communicate(timeout=LIMIT_SECONDS)[1]
    return process.returncode, said
