"""What the system refuses costs one line and an exit code, whatever the command is doing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from children import run_interp

LONG = "n" * 252 + ".mkv"


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of a command that failed."""
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("error: ")
    return done.stderr


@pytest.mark.parametrize(
    ("name", "reason"), [(LONG, "File name too long"), ("loop/in.mkv", "")], ids=["long", "loop"]
)
@pytest.mark.parametrize(
    "command",
    [
        "double {} out.mkv",
        "double {}",
        "double clip.mkv {} --model fusion",
        "double clip.mkv out.mkv --model {}",
        "info {}",
        "eval {}",
        "prepare {} out",
        "train {} --out run",
    ],
)
def test_a_path_that_the_system_refuses(tmp_path, monkeypatch, h264_clip, command, name, reason):
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    Path("clip.mkv").symlink_to(h264_clip)
    words = [word.format(name) for word in command.split()]
    line = refused(run_interp(*words))
    assert name[:50] in line
    assert reason in line


def test_a_folder_that_may_not_be_searched(tmp_path, monkeypatch):
    def refuse(path: Path, **_: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "stat", refuse)
    for command in ("info", "double"):
        assert "in.mkv: Permission denied" in refused(run_interp(command, "closed/in.mkv"))


def test_names_that_lead_in_a_circle_for_many_inputs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    done = run_interp("double", "in.mkv", "--output-dir", "loop", "--model", "fusion")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def shell(line: str, **more: object) -> subprocess.CompletedProcess[str]:
    """Run a line of the shell, where `interp` is the command."""
    line = line.replace("interp", f"{sys.executable} -m interp_cli")
    return subprocess.run(line, shell=True, capture_output=True, text=True, check=False, **more)


@pytest.mark.skipif(sys.platform != "linux", reason="has no /dev/full")
def test_results_that_cannot_be_written(h264_clip):
    for redirection in (">/dev/full", ">&-"):
        line = refused(shell(f"interp info --json {h264_clip} {redirection}"))
        assert "No space left on device" in line or "Bad file descriptor" in line


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
def test_closed_streams(h264_clip):
    assert shell(f"interp info {h264_clip} <&- >&- 2>&-").returncode == 1
    assert shell(f"interp info {h264_clip} <&- 2>&-").returncode == 0


@pytest.mark.slow  # it loads torch
@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
def test_closed_pipes(h264_clip, tmp_path):
    for line in ("interp double - out.mkv <&-", f"interp double {h264_clip} - >&-"):
        assert "Bad file descriptor" in refused(shell(line, cwd=tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps the folder")
def test_a_current_folder_that_is_gone(tmp_path):
    line = refused(shell(f"mkdir {tmp_path}/a; cd {tmp_path}/a; rmdir {tmp_path}/a; interp info x"))
    assert "the current folder cannot be found any more" in line
