"""The ffmpeg program: which one it is, and how it is started."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import av
import imageio_ffmpeg
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

from interp_cli import forced_exit
from interp_cli.errors import ResourceError

# Seconds for what ffmpeg does at once: it lists what it has, or encodes a few frames. It needs 0.02
# to 0.3 on an idle machine; a slow encoder needs more.
_ANSWER_SECONDS = 60

_SYSTEM_FAULTS = tuple(
    os.strerror(number)
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES)
)
# Demuxers of files that name other files, which FFmpeg then opens.
NAMING_OTHERS = frozenset({"concat", "dash", "hls", "imf"})
# Demuxers of kinds of files that may also be one of many pictures.
_ANIMATIONS = {".gif": "gif", ".png": "apng", ".apng": "apng", ".webp": "webp_anim"}


def ffmpeg_path() -> str:
    """The program that `IMAGEIO_FFMPEG_EXE` names, otherwise the one from imageio-ffmpeg.

    Raises:
        ResourceError: There is none, or the named program is no ffmpeg.
    """
    named = os.environ.get("IMAGEIO_FFMPEG_EXE")
    if named:
        _check_version(named)
        return named
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())  # it has checked that one
    except RuntimeError as error:
        raise _not_started("ffmpeg", "imageio-ffmpeg finds none for this system") from error


def file_url(path: Path) -> str:
    """A path as FFmpeg takes it, in the program's arguments and in PyAV.

    With the protocol named, no part of the path is taken for a protocol or an option. It is
    absolute, so that ffmpeg can run in any folder.
    """
    return f"file:{path.absolute()}"


def input_arguments(path: Path, container: str = "") -> list[str]:
    """Arguments with which ffmpeg reads a file.

    Args:
        path: The file.
        container: FFmpeg's name of its format, where it is known and its names were checked.
    """
    demuxer = _forced_demuxer(path)
    if container == "concat":
        return ["-f", "concat", "-safe", "0", "-i", file_url(path)]
    return [*(("-f", demuxer) if demuxer else ()), "-i", file_url(path)]


def open_input(
    path: Path,
    *,
    without: frozenset[str] = frozenset(),
    opened: Callable[[str, int, dict[str, str]], IO[bytes]] | None = None,
    safe: bool = False,
) -> InputContainer:
    """Open a file with PyAV.

    Args:
        path: The file.
        without: Names of formats that are refused, in files that it names as well.
        opened: Opens the file and those that it names, by URL; `None`: FFmpeg does.
        safe: Whether FFmpeg's `concat` refuses names that are absolute, unusual or lead upwards.

    Raises:
        FFmpegError: FFmpeg cannot read it.
    """
    return av.open(
        file_url(path),
        format=_forced_demuxer(path),
        container_options={"safe": str(int(safe)), **format_options(without)},
        metadata_errors="replace",
        io_open=opened,
    )


def format_options(without: frozenset[str]) -> dict[str, str]:
    """Options of `av.open` that refuse some formats."""
    if not without:
        return {}
    return {"format_whitelist": ",".join(sorted(av.formats_available - without))}


def all_packets(container: InputContainer) -> Iterator[Packet[Stream]]:
    """The packets of all streams; each stream known at the start ends with an empty one.

    PyAV fails at a stream that appears later, as in MPEG-PS. Reading goes on behind its packet.

    Raises:
        FFmpegError: The file cannot be read further.
    """
    while True:
        try:
            yield from container.demux()
            return
        except IndexError:
            continue


def _forced_demuxer(path: Path) -> str | None:
    """The demuxer of an animation whose path FFmpeg would take for a pattern of pictures."""
    is_pattern = re.search(r"%\d*d", str(path))
    return _ANIMATIONS.get(path.suffix.lower()) if is_pattern else None


def start_ffmpeg(*arguments: str, **popen: Any) -> subprocess.Popen[bytes]:
    """Start ffmpeg; every use of the program goes through here.

    Args:
        arguments: Command line, without the program.
        popen: Further arguments of `subprocess.Popen`.

    Raises:
        ResourceError: It cannot be started.
    """
    return _start(ffmpeg_path(), "-hide_banner", *arguments, **popen)


def run_ffmpeg(
    *arguments: str, timeout_seconds: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ffmpeg to its end and capture its output; the caller checks the exit code.

    Args:
        arguments: Command line, without the program.
        timeout_seconds: Seconds after which it is killed; `None`: never.

    Raises:
        ResourceError: It cannot be started.
        TimeoutExpired: It was killed.
    """
    return _decoded(feed_ffmpeg(b"", *arguments, timeout_seconds=timeout_seconds))


def ask_ffmpeg(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ffmpeg for an answer that takes it no time; otherwise as `run_ffmpeg`.

    Raises:
        ResourceError: It cannot be started, or it has not answered after a minute.
    """
    try:
        run = feed_ffmpeg(b"", *arguments, timeout_seconds=_ANSWER_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise ResourceError(
            f"{ffmpeg_path()}: did not answer within {_ANSWER_SECONDS} s; try again when the "
            "machine is less busy, or let IMAGEIO_FFMPEG_EXE name another ffmpeg."
        ) from error
    return _decoded(run)


def first_reason(run: subprocess.CompletedProcess[str]) -> str:
    """What ffmpeg said first when it failed, as part of a sentence."""
    lines = [line for line in run.stderr.splitlines() if line.strip()]
    # "[libx264 @ 0x55d0] text": the address means nothing to a reader.
    reason = re.sub(r"^(\[[^\]]* @ [^\]]*\] )+", "", lines[0]) if lines else ""
    return reason.strip().rstrip(".") or f"ffmpeg ended with {run.returncode}"


def feed_ffmpeg(
    content: bytes, *arguments: str, timeout_seconds: float | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run ffmpeg to its end with `content` as its standard input; otherwise as `run_ffmpeg`.

    Raises:
        ResourceError: It cannot be started.
        TimeoutExpired: It was still running after `timeout_seconds`, and was killed.
    """
    pipe = subprocess.PIPE
    with start_ffmpeg(*arguments, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        try:
            stdout, stderr = process.communicate(content, timeout_seconds)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def _decoded(run: subprocess.CompletedProcess[bytes]) -> subprocess.CompletedProcess[str]:
    stdout, stderr = (text.decode(errors="replace") for text in (run.stdout, run.stderr))
    return subprocess.CompletedProcess(run.args, run.returncode, stdout, stderr)


def _start(program: str, *arguments: str, **popen: Any) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "SVT_LOG": "1"}  # SVT-AV1 bypasses ffmpeg's log level: errors only
    try:
        process = subprocess.Popen([program, *arguments], env=environment, **popen)
    except OSError as error:
        raise _not_started(program, error.strerror or str(error)) from error
    forced_exit.register(process.kill)
    return process


@functools.cache
def _check_version(program: str) -> None:
    """Raise a `ResourceError` for a program that does not introduce itself as ffmpeg."""
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    with _start(program, "-version", stdin=nothing, stdout=pipe, stderr=nothing) as process:
        try:
            said, _ = process.communicate(timeout=_ANSWER_SECONDS)
        except subprocess.TimeoutExpired:
            said = b""
        finally:
            process.kill()
    if not said.startswith(b"ffmpeg version"):
        raise _not_started(program, "it is no ffmpeg")


def _not_started(program: str, reason: str) -> ResourceError:
    named = "unset IMAGEIO_FFMPEG_EXE, or let it name an ffmpeg"
    usual = "install imageio-ffmpeg again, or let IMAGEIO_FFMPEG_EXE name an ffmpeg"
    remedy = named if os.environ.get("IMAGEIO_FFMPEG_EXE") else usual
    return ResourceError(f"{program}: cannot be run as ffmpeg ({reason}); {remedy}.")


class FfmpegRun:
    """An ffmpeg process that writes one file.

    Attributes:
        pipe: Its standard input.
        frames: Number of frames of the first video stream that it wrote; known after its end.
        log: Lines of its log; known after its end.
    """

    def __init__(self, arguments: Sequence[str], output: Path, folder: Path | None = None) -> None:
        """Start the process.

        Args:
            arguments: Command line, without the program, the options for logging and the output.
            output: The file to write; one that exists is replaced.
            folder: Folder to run in; `None`: the current one.

        Raises:
            ResourceError: It cannot be started.
        """
        self.frames = 0
        self.log: list[str] = []
        self._log_file = tempfile.TemporaryFile()  # noqa: SIM115 - closed in _end
        self._progress = tempfile.TemporaryFile()  # noqa: SIM115 - closed in _end
        command = ["-y", "-v", "error", "-nostdin", "-copyts"]
        command += ["-progress", "pipe:1", "-stats_period", "60", *arguments, file_url(output)]
        try:
            self._process = start_ffmpeg(
                *command,
                stdin=subprocess.PIPE,
                stdout=self._progress,
                stderr=self._log_file,
                cwd=folder,
                start_new_session=True,  # Ctrl-C is for this process, which ends ffmpeg itself
            )
        except BaseException:
            self._log_file.close()
            self._progress.close()
            raise
        assert self._process.stdin is not None  # for the type checker: PIPE was asked for
        self.pipe = self._process.stdin

    @property
    def reason(self) -> str:
        """The first lines of the log, as part of a sentence; empty if there are none."""
        return "; ".join(line.strip() for line in self.log[:2]).rstrip(".")

    @property
    def was_refused_by_system(self) -> bool:
        """Whether the log says that the file could not be written: a full or a failing disk."""
        return any(text in line for line in self.log for text in _SYSTEM_FAULTS)

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
