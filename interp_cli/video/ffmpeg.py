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
    """What `IMAGEIO_FFMPEG_EXE` names, else the binary that imageio-ffmpeg brings."""
    return str(imageio_ffmpeg.get_ffmpeg_exe())


def run_ffmpeg(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ffmpeg to its end and keep what it said; its exit code is the caller's to judge."""
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
    return {**os.environ, "SVT_LOG": "1"}  # SVT-AV1 logs past ffmpeg: errors alone


class FfmpegRun:
    """An ffmpeg process that writes one file beside us.

    Attributes:
        pipe: What it reads.
        frames: Of the first video stream, that it wrote; known once it has ended.
        said: Lines of what it said, likewise.
    """

    def __init__(self, arguments: Sequence[str], output: Path) -> None:
        """Start it.

        Args:
            arguments: Its command line, without the program, what it says, and the output.
            output: The file to write; one that exists is replaced.
        """
        self.frames = 0
        self.said: list[str] = []
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in _end
        self._progress = tempfile.TemporaryFile()  # noqa: SIM115 - closed in _end
        command = [ffmpeg_path(), "-y", "-v", "error", "-nostdin", "-copyts"]
        command += ["-progress", "pipe:1", "-stats_period", "60", *arguments, str(output)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=self._progress,
            stderr=self._log,
            start_new_session=True,  # Ctrl-C is for us: we end ffmpeg ourselves
            env=_environment(),
        )
        assert self._process.stdin is not None  # for the type checker: PIPE was asked for
        self.pipe = self._process.stdin

    @property
    def reason(self) -> str:
        """The beginning of what it said, to stand within a sentence; empty if it said nothing."""
        return "; ".join(line.strip() for line in self.said[:2]).rstrip(".")

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Let it end; whether it did so well.

        Raises:
            TimeoutExpired: It is still at work.
        """
        code = self._process.wait(timeout_seconds)
        self._end()
        return code == 0

    def kill(self) -> None:
        """End it at once; who writes to its pipe or waits for it then fails."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def abort(self) -> None:
        """End it at once and let go of it; safe to call twice."""
        self.kill()
        self._end()

    def _end(self) -> None:
        """Read what it said, once."""
        with contextlib.suppress(OSError):
            self.pipe.close()
        if self._log.closed:
            return
        for file in (self._log, self._progress):
            file.seek(0)
        lines = self._log.read().decode(errors="replace").splitlines()
        # That it could not open the encoder is said by us, why by the encoder.
        causes = [
            line for line in lines if not line.startswith(("[vost#", "[enc:", "[vf#", "[out#"))
        ]
        # "[libx264 @ 0x55d0] text": the address says nothing to a reader.
        said = re.compile(r"^\[([^\]@]*?) ?@ [^\]]*\]")
        self.said = [said.sub(r"\1:", line) for line in causes or lines]
        counts = re.findall(rb"^frame=(\d+)", self._progress.read(), re.MULTILINE)
        self.frames = int(counts[-1]) if counts else 0
        self._log.close()
        self._progress.close()
