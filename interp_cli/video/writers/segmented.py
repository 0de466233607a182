"""A long video in segments, each complete on the disk before the next but one begins.

Every segment has an encoder process of its own, so a resumed run makes the same segments as one
that was never stopped. The next encoder starts while the last one finishes. In the end the packets
of all segments are copied into one file, with audio and the other streams.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
from fractions import Fraction
from pathlib import Path

import av

from interp_cli.atomic import AtomicPath
from interp_cli.errors import EncodeError
from interp_cli.options import EncodeOptions
from interp_cli.video.encoding.commands import SideStreams, VideoCommands
from interp_cli.video.encoding.finished import FinishedCheck
from interp_cli.video.encoding.frame_tags import FrameTags
from interp_cli.video.ffmpeg import FfmpegRun
from interp_cli.video.writers.base import FrameWriter, explaining, publish
from interp_cli.video.writers.file import Encoding
from interp_cli.video.writers.journal import SegmentJournal

# With fewer frames, encoders give the first of them another decoding time than in a longer run; so
# many at the very end stay in the segment before.
_SHORTEST = 3
# What ffmpeg refuses, it refuses sooner; a source may have streams that begin late.
_TRIAL_SECONDS = 5.0


class SegmentedWriter(FrameWriter):
    """Encodes frames as `VideoWriter` does, and keeps what is finished when it is stopped.

    Attributes:
        encoder: ffmpeg's name of the encoder at work.
        warnings: What could not be kept as it was.
    """

    def __init__(
        self,
        target: Path,
        tags: FrameTags,
        time_base: Fraction,
        frame_rate: Fraction,
        options: EncodeOptions,
        side: SideStreams | None,
        journal: SegmentJournal,
        output: AtomicPath,
    ) -> None:
        """Settle how the video is written; as for `VideoWriter`.

        Args:
            target: The file to make.
            tags: What the frames are.
            time_base: Unit of the time stamps, in seconds.
            frame_rate: Nominal rate.
            options: Encoder settings.
            side: Source of audio and the other streams; `None`: the video alone.
            journal: Journal of the finished segments.
            output: Where the joined file is until it is complete, and how it takes its name.
        """
        self.target = target
        self._journal = journal
        self._output = output
        self._commands = VideoCommands(target, tags, frame_rate, options, side, journal.folder)
        self.encoder, self.warnings = self._commands.encoder, self._commands.warnings
        self._frames = (tags.pixel_format, time_base, frame_rate)
        self._check = FinishedCheck(tags.pixel_format, time_base)
        self._frames_seen = 0  # handed over or skipped
        self._number = len(journal.segments)
        self._waiting: list[tuple[av.VideoFrame, int]] = []
        self._encoding: Encoding | None = None
        self._finishing: Encoding | None = None
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._join: FfmpegRun | None = None
        self._is_killed = False

    @property
    def output_bytes(self) -> int:
        """See `FrameWriter`."""
        return self.target.stat().st_size

    def skip(self, image: av.VideoFrame | None, pts: int) -> None:
        """See `FrameWriter`."""
        self._frames_seen += 1
        self._check.note(pts)

    def write(self, image: av.VideoFrame, pts: int) -> None:
        """Hand over one frame; time stamps must grow.

        Raises:
            EncodeError: The encoder has stopped, or the disk is full.
        """
        with explaining(self, self.target, self._journal.segments):
            if self._frames_seen == 0:
                self._try(image, pts)
            self._frames_seen += 1
            self._check.note(pts)
            self._waiting.append((image, pts))
            if self._encoding and self._encoding.frames_written == self._journal.segment_frames:
                if len(self._waiting) < _SHORTEST:
                    return
                self._await_last()
                self._finishing, self._encoding = self._encoding, None
                self._thread = threading.Thread(target=self._finish, name="interp-segment")
                self._thread.start()
            if self._encoding is None:
                self._encoding = self._begin(self._part(self._number))
                self._number += 1
            self._write_waiting(self._encoding)

    def close(self) -> None:
        """Finish the last segment, join all, and give the file its name.

        Raises:
            EncodeError: That failed; the segments stay, or the finished file does under another
                name.
        """
        with explaining(self, self.target, self._journal.segments):
            self._await_last()
            if self._encoding is not None:
                self._write_waiting(self._encoding)
                self._finishing, self._encoding = self._encoding, None
                self._finish()
                self._await_last()
            if self._journal.completed != self._frames_seen:
                raise EncodeError(
                    f"{self._journal.completed} of {self._frames_seen} frames are there"
                )
            self._join_all(self._journal.paths, self._output.part)
            self.warnings = self._commands.warnings
        self._commands.close()
        publish(self._output, self.target, self._journal)

    def kill(self) -> None:
        """End every process at once; a `write` under way in another thread then fails."""
        self._is_killed = True
        for encoding in (self._encoding, self._finishing):
            if encoding is not None:
                encoding.kill()
        if self._join is not None:
            self._join.kill()

    def abort(self) -> None:
        """Stop at once, and leave the finished segments to whom they belong."""
        self.kill()
        if self._thread is not None:
            self._thread.join()
        if self._encoding is not None:
            self._encoding.abort()
        if self._join is not None:
            self._join.abort()
        self._commands.close()

    def _write_waiting(self, encoding: Encoding) -> None:
        while self._waiting:
            encoding.write(*self._waiting.pop(0))

    def _begin(self, part: Path) -> Encoding:
        return Encoding(self._commands.segment(), part, *self._frames)

    def _part(self, number: int) -> Path:
        return self._journal.folder / f"{number:06d}.part{self.target.suffix}"

    def _finish(self) -> None:
        """Complete the segment before the one that is being written; body of a thread."""
        assert self._finishing is not None  # whoever calls has set it
        number = len(self._journal.segments)
        try:
            self._finishing.finish()
            name = f"{number:06d}{self.target.suffix}"
            self._journal.add_file(self._part(number), name, self._finishing.frames_written)
        except BaseException as error:  # noqa: BLE001 - raised again in the writing thread
            self._error = error

    def _await_last(self) -> None:
        """Wait until the segment that is being completed is."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            raise self._error

    def _try(self, image: av.VideoFrame, pts: int) -> None:
        """Go all the way with one frame: what would fail in the end shall fail now."""
        trial, part = (
            self._journal.folder / f"{n}{self.target.suffix}" for n in ("trial", "tried")
        )
        self._encoding = self._begin(trial)
        self._encoding.write(image, pts)
        self._encoding.finish()
        self._encoding = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._join_all([trial], part, "-fs", "1", timeout_seconds=_TRIAL_SECONDS)
        if self._join is not None:
            self._join.abort()
            self._join = None
        trial.unlink()
        part.unlink(missing_ok=True)

    def _join_all(
        self, segments: list[Path], part: Path, *limits: str, timeout_seconds: float | None = None
    ) -> None:
        """Join segments, and again with less beside the video for as long as that fails.

        Raises:
            EncodeError: The video alone cannot be joined.
            TimeoutExpired: It takes too long.
        """
        first: EncodeError | None = None
        while True:
            try:
                if not self._joined(segments, part, *limits, timeout_seconds=timeout_seconds):
                    raise EncodeError(self._why())
                if not limits:
                    self._check.check(part)
                return
            except EncodeError as error:
                first = first or error
            assert self._join is not None
            if self._is_killed or self._join.was_refused_by_system:
                raise first
            if not self._commands.change_streams(self._join.log):
                raise first

    def _joined(
        self, segments: list[Path], part: Path, *limits: str, timeout_seconds: float | None = None
    ) -> bool:
        """Copy segments, audio and the other streams into a file; return whether that went well."""
        arguments = self._commands.joining(segments, self._journal.folder / "segments.txt")
        self._join = FfmpegRun([*arguments, *limits], part, self._journal.folder)
        done = self._join.wait(timeout_seconds)
        return done and (bool(limits) or self._join.frames == self._frames_seen)

    def _why(self) -> str:
        assert self._join is not None  # it has just failed
        return self._join.reason or f"it joined {self._join.frames} of {self._frames_seen} frames"
