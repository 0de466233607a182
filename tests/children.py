"""The command in this process, and in one of its own that is waited for by what it says."""

from __future__ import annotations

import contextlib
import io
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

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
from typing import Any
import interp_cli.pipeline.job as job
from interp_cli.video.writers.kept_frames import completed_frames
def pause():
    print("paused", file=sys.stderr, flush=True)
    threading.Event().wait()
def write(self, *arguments, usual=job.ResumedOutput.write):
    usual(self, *arguments)
    if completed_frames(Path(sys.argv[3])):
        pause()
job.ResumedOutput.write = write
"""
_MAIN = "from interp_cli.__main__ import main\nif __name__ == '__main__':\n    main()\n"


def run_interp(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, in this process, which has loaded torch already.

    Args:
        arguments: Its arguments.
        environment: Further variables.
    """
    from interp_cli.cli.app import main

    return _run_here(main, ["interp", *map(str, arguments)], environment)


def run_script(path: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a Python script to its end, in this process."""
    command = [str(path), *map(str, arguments)]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(path.parent)  # as Python does for a script
        return _run_here(lambda: runpy.run_path(str(path), run_name="__main__"), command, {})


def _run_here(
    run: Callable[[], object], command: list[str], environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", command)
        for name, value in environment.items():
            patch.setenv(name, value)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                run()
            except SystemExit as end:
                code = end.code
                if isinstance(code, str):  # a script's last words
                    err.write(f"{code}\n")
                    code = 1
    return subprocess.CompletedProcess(command, int(code or 0), out.getvalue(), err.getvalue())


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
        start_new_session=True,
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


def await_that(condition: Callable[[], object], process: subprocess.Popen[Any]) -> None:
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


def ended_by(
    process: subprocess.Popen[str], number: signal.Signals, *, with_children: bool = False
) -> tuple[int, str]:
    """Send a signal; returns the exit code and what was said from then on.

    Args:
        process: A command of `running_interp`.
        number: The signal.
        with_children: Whether its children get it too, as from a terminal.
    """
    if with_children:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    said = process.communicate(timeout=LIMIT_SECONDS)[1]
    return process.returncode, said
