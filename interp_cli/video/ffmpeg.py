"""The ffmpeg program that encodes."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import imageio_ffmpeg


def ffmpeg_path() -> str:
    """The program that `IMAGEIO_FFMPEG_EXE` names, otherwise the one from imageio-ffmpeg."""
    return str(imageio_ffmpeg.get_ffmpeg_exe())


def run_ffmpeg(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ffmpeg to its end and capture its output; the caller checks the exit code."""
    return subprocess.run(
        [ffmpeg_path(), "-hide_banner", *arguments],
        capture_output=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        check=False,
        env=_environment(),
    )


def _environment() -> dict[str, str]:
    return {**os.environ, "SVT_LOG": "1"}  # SVT-AV1 bypasses ffmpeg's log level: errors only


class FfmpegRun:
    """An ffmpeg process that writes one file.

    Attributes:
        pipe: Its standard input.
        frames: Number of frames of the first video stream that it wrote; known after its end.
        log: Lines of its log; known after its end.
    """

    def __init__(self, arguments: Sequence[str], output: Path) -> None:
        """Start the process.

        Args:
            arguments: Command line, without the program, the options for logging and the output.
            output: The file to write; one that exists is replaced.
        """
        self.frames = 0
        self.log: list[str] = []
        self._log_file = tempfile.TemporaryFile()  # noqa: SIM115 - closed in _end
        self._progress = tempfile.TemporaryFile()  # noqa: SIM115 - closed in _end
        command = [ffmpeg_path(), "-y", "-v", "error", "-nostdin", "-copyts"]
        command += ["-progress", "pipe:1", "-stats_period", "60", *arguments, f"file:{output}"]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=self._progress,
            stderr=self._log_file,
            start_new_session=True,  # Ctrl-C is for this process, which ends ffmpeg itself
            env=_environment(),
        )
        assert self._process.stdin is not None  # for the type checker: PIPE was asked for
        self.pipe = self._process.stdin

    @property
    def reason(self) -> str:
        """The first lines of the log, as part of a sentence; empty if there are none."""
        return "; ".join(line.strip() for line in self.log[:2]).rstrip(".")

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait for the end of the process.

        Returns:
            Whether it succeeded.

        Raises:
            TimeoutExpired: It is still running.
        """
        code = self._process.wait(timeout_seconds)
        self._end()
        return code == 0

    def kill(self) -> None:
        """Kill the process; writing to its pipe and waiting for it then fail."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def abort(self) -> None:
        """Kill the process and release its files; safe to call twice."""
        self.kill()
        self._end()

    def _end(self) -> None:
        """Read the log and the number of frames, once."""
        with contextlib.suppress(OSError):
            self.pipe.close()
        if self._log_file.closed:
            return
        for file in (self._log_file, self._progress):
            file.seek(0)
        lines = self._log_file.read().decode(errors="replace").splitlines()
        # Our message says that the encoder could not be opened; its own lines say why.
        causes = [
            line for line in lines if not line.startswith(("[vost#", "[enc:", "[vf#", "[out#"))
        ]
        # "[libx264 @ 0x55d0] text": the address says nothing to a reader.
        prefix = re.compile(r"^\[([^\]@]*?) ?@ [^\]]*\]")
        self.log = [prefix.sub(r"\1:", line) for line in causes or lines]
        counts = re.findall(rb"^frame=(\d+)", self._progress.read(), re.MULTILINE)
        self.frames = int(counts[-1]) if counts else 0
        self._log_file.close()
        self._progress.close()
