"""A signal ends the command, whatever it is doing, and nothing is left of it."""

import gc
import signal
from pathlib import Path

import children
import clips
import pytest
from children import PAUSE_AFTER_SEGMENT, await_line, ended_by, run_interp, running_interp

from interp_cli import forced_exit
from interp_cli.cli import interruption
from interp_cli.cli.interruption import interruptible, is_first_to_say
from interp_cli.forced_exit import Registry, stop_requests
from interp_cli.video.writers.kept_frames import completed_frames

# Stands for what no signal interrupts. It says so on stderr, with the processes that run meanwhile.
STAY = """
import sys, threading
from pathlib import Path
def stay(*_, **__):
    lists = [p.read_text() for p in Path("/proc/self/task").glob("*/children")]
    words = ["busy with", *" ".join(lists).split()]
    while True:
        try:
            print(*words, file=sys.stderr, flush=True)
            threading.Event().wait()
        except KeyboardInterrupt:
            words = ["interrupted"]
"""
# A batch of large frames, in one of the network's threads, which the main thread waits for.
LONG_BATCH = STAY + "import interp_cli.pipeline.synthesizer as m; m.Synthesizer._make = stay\n"
# A call of the main thread that does not come back to Python, once four frames are safe.
LONG_CALL = PAUSE_AFTER_SEGMENT + STAY + "pause = stay\n"
# A read from a pipe that nobody writes to.
LONG_READ = (
    STAY
    + """
import interp_cli.video.readers.base as m
put, count = m.ThreadedReader._put, iter(range(9))
m.ThreadedReader._put = lambda self, item: put(self, item) if next(count) < 2 else stay()
"""
)
# The packages of the command line are still being loaded.
LOADING = """
import sys, threading
class Finder:
    def find_spec(name, *_):
        if name == "typer":
            print("busy", file=sys.stderr, flush=True)
            threading.Event().wait()
sys.meta_path.insert(0, Finder)
"""
# The command has not begun, but signals are heard already.
BEGINNING = """
import sys, threading
import interp_cli.cli.app as m
def app():
    print("busy", file=sys.stderr, flush=True)
    threading.Event().wait()
m.app = app
"""
# FFmpeg waits for the header in a pipe to which nobody writes.
AWAITED = """
import os, sys
from interp_cli.video.readers.pipe import _Interruptible as m
ends = os.pipe()
os.dup2(ends[0], 0)
def read(self, size, usual=m._read):
    print("busy", file=sys.stderr, flush=True)
    return usual(self, size)
m._read = read
"""


@pytest.fixture(scope="module")
def clip(clip_folder: Path) -> Path:
    return clips.moving_clip(clip_folder / "interrupted.mkv", 16, size=(64, 48), codec="ffv1")


@pytest.mark.parametrize(
    ("before", "number"), [(LONG_BATCH, signal.SIGINT), (LONG_READ, signal.SIGTERM)]
)
def test_a_signal_ends_what_cannot_be_interrupted(clip, tmp_path, before, number):
    with running_interp("double", clip, tmp_path / "out.mkv", before=before) as process:
        others = await_line(process, "busy with").split()[2:]
        code, said = ended_by(process, number)
    assert code == 130
    assert "stopped" in said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []
    assert [pid for pid in map(int, others) if children.is_running(pid)] == []


@pytest.mark.parametrize(
    ("before", "expected"),
    [(LOADING, -signal.SIGINT), (BEGINNING, 130), (AWAITED, 130)],
    ids=["loading", "beginning", "waiting for a pipe"],
)
def test_an_interrupt_before_the_work_is_no_error(tmp_path, before, expected):
    with running_interp("double", "-", tmp_path / "out.mkv", before=before) as process:
        await_line(process, "busy")
        code, said = ended_by(process, signal.SIGINT)
    assert code == expected
    assert "Traceback" not in said
    assert "ignored" not in said
    assert list(tmp_path.iterdir()) == []


def test_what_an_interruption_leaves_is_said_once(monkeypatch, capsys):
    monkeypatch.setattr(forced_exit, "run_all", lambda: ["frames are kept"])
    with interruptible():
        assert is_first_to_say()  # the main thread, just before the end is forced
        interruption._clear_up()
    assert capsys.readouterr().err == ""
    with interruptible():
        interruption._clear_up()
        assert not is_first_to_say()
    assert capsys.readouterr().err == "frames are kept\n"


def test_what_is_finished_survives_a_forced_end(clip, tmp_path):
    """The first signal would be waited with for a day; the second one ends the process at once."""
    before = "import interp_cli.cli.interruption as i; i._GRACE_SECONDS = 86400\n" + LONG_CALL
    target = tmp_path / "out.mkv"
    command = ("double", clip, target, "--segment-frames", "4")
    with running_interp(*command, before=before) as process:
        others = await_line(process, "busy with").split()[2:]
        assert others  # an encoder is at work
        process.send_signal(signal.SIGHUP)
        await_line(process, "interrupted")
        code, said = ended_by(process, signal.SIGINT)
    frames = completed_frames(target)
    assert (code, frames % 4) == (130, 0)
    kept = f"out.mkv: {frames} finished frames are kept: the same job with --resume goes on."
    assert said.splitlines()[-1].endswith(kept)
    assert [path.name for path in tmp_path.iterdir()] == [".out.mkv.interp"]
    names = sorted(path.name for path in (tmp_path / ".out.mkv.interp").iterdir())
    assert names == [*(f"{n:06d}.mkv" for n in range(frames // 4)), "journal.json", "lock"]
    assert [pid for pid in map(int, others) if children.is_running(pid)] == []
    assert run_interp(*command, "--resume").returncode == 0
    assert len(list(clips.decoded(target))) == 32


def test_ignored_signals_stay_ignored():
    """As for `nohup interp … &`."""
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with interruptible():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not before[signal.SIGTERM]
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is before[signal.SIGTERM]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_the_last_registered_is_called_first_and_a_failure_stops_nothing():
    class Work:
        def __init__(self, name: str, fails: bool = False):
            self.name, self.fails = name, fails

        def end(self) -> str:
            called.append(self.name)
            if self.fails:
                raise OSError("no room")
            return f"{self.name} is safe"

    called: list[str] = []
    registry = Registry()
    first, second, third, gone = Work("1"), Work("2", fails=True), Work("3"), Work("gone")
    for work in (first, second, third, gone):
        registry.register(work.end)
    del gone, work
    gc.collect()
    assert registry.run_all() == ["3 is safe", "1 is safe"]
    assert called == ["3", "2", "1"]
    assert registry.run_all() == []


def test_only_one_signal_is_a_request():
    stop_requests.expect()
    assert [stop_requests.take(), stop_requests.take()] == [True, False]
    stop_requests.expect()
    stop_requests.expect_none()
    assert not stop_requests.take()
