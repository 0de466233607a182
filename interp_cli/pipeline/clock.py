"""Which part of an input is used, when its frames are shown, and how many there are."""

from __future__ import annotations

from fractions import Fraction
from functools import cached_property
from math import ceil

from interp_cli.options import DEFAULT_INPUT_RATE, DoubleOptions
from interp_cli.pipeline.timeline import InputTimes, Timeline, timeline_of
from interp_cli.video.encoding.commands import SideStreams
from interp_cli.video.probe import VideoInfo
from interp_cli.video.readers.base import Frame


class SourceClock:
    """Relates the time stamps of an input to those of its output.

    Attributes:
        shift_seconds: Seconds that are subtracted from all time stamps of the input.
        shift: The same in units of the first frame's time base, rounded.
        times: When the frames of the used part are shown, with the shift.
    """

    def __init__(self, info: VideoInfo, options: DoubleOptions, first: Frame) -> None:
        """Settle the times.

        Args:
            info: The input.
            options: Start, end, slow motion and the longest gap.
            first: The first frame of the used part.
        """
        self._info, self._options = info, options
        self.shift_seconds = _shift_seconds(info, options)
        self.shift = round(self.shift_seconds / first.time_base)
        nominal = info.frame_rate or DEFAULT_INPUT_RATE
        step = max(1, round(1 / (nominal * first.time_base)))
        end, whole = options.end_seconds, info.duration_seconds
        # An end that the user chose is followed by another frame a nominal step later.
        chosen = end is not None and (whole is None or end < whole)
        stated = first.duration if 2 * first.duration >= step else step  # a tick is no duration
        last = step if chosen else info.last_duration or stated
        self.times = InputTimes(first.time_base, first.pts - self.shift, last, nominal)

    @property
    def max_gap(self) -> int:
        """Longest distance between two frames, in units, across which motion is followed."""
        seconds = max(Fraction(str(self._options.max_gap_seconds)), 2 / self.times.frame_rate)
        return round(seconds / self.times.time_base)

    @cached_property
    def timeline(self) -> Timeline:
        """The times of the output."""
        options = self._options
        return timeline_of(
            self.times, options.frames_for_each, options.frame_rate, options.slow_motion or 1
        )

    @property
    def side_streams(self) -> SideStreams:
        """The source of audio and the other streams, with what is done to their times."""
        origin = self._info.video_start_seconds
        start, end = self._options.start_seconds, self._options.end_seconds
        return SideStreams(
            source=self._info,
            shift_seconds=self.shift_seconds,
            start_seconds=origin + Fraction(str(start)) if start else None,
            end_seconds=origin + Fraction(str(end)) if end else None,
            tail_seconds=self.times.last_duration * self.times.time_base,
            stretch=self._options.slow_motion or 1,
            audio=self._options.audio,
        )

    @property
    def expected_frames(self) -> int | None:
        """Number of frames that will be read, according to the file; `None`: unknown."""
        info, options = self._info, self._options
        whole = info.frame_count
        if whole is None and info.duration_seconds and info.frame_rate:
            whole = round(info.duration_seconds * float(info.frame_rate))
        if whole is None or not info.duration_seconds:
            return whole
        start = options.start_seconds or 0.0
        end = min(options.end_seconds or info.duration_seconds, info.duration_seconds)
        return max(1, round(whole * (end - start) / info.duration_seconds))

    @property
    def frames_for_each(self) -> Fraction:
        """Frames out for each frame in, according to the rate that the file states."""
        options, frame_rate = self._options, self._info.frame_rate
        if options.frame_rate is None or frame_rate is None:
            return Fraction(options.frames_for_each)
        return options.frame_rate * (options.slow_motion or 1) / frame_rate

    @property
    def expected_output_frames(self) -> int | None:
        """Number of frames that will be written, according to the file; `None`: unknown."""
        expected = self.expected_frames
        return None if expected is None else ceil(expected * self.frames_for_each)


def _shift_seconds(info: VideoInfo, options: DoubleOptions) -> Fraction:
    if options.start_seconds:
        return info.video_start_seconds + Fraction(str(options.start_seconds))
    # Slow motion would stretch the time before a late start as well, which shows nothing.
    from_zero = info.clock_is_arbitrary or options.slow_motion
    return info.start_seconds if from_zero else Fraction(0)
