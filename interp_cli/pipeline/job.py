"""Which part of an input is wanted, when its frames stand, and how many there are."""

from __future__ import annotations

from fractions import Fraction

from interp_cli.options import DoubleOptions
from interp_cli.pipeline.timeline import InputTimes
from interp_cli.video.encoding.commands import SideStreams
from interp_cli.video.probe import VideoInfo
from interp_cli.video.readers.base import Frame


def shift_seconds_of(info: VideoInfo, options: DoubleOptions) -> Fraction:
    """Seconds that are taken away from all time stamps of the input."""
    if options.start_seconds:
        return info.video_start_seconds + Fraction(str(options.start_seconds))
    # Slow motion would stretch the time before a late start as well, which shows nothing.
    from_zero = info.clock_is_arbitrary or options.slow_motion
    return info.start_seconds if from_zero else Fraction(0)


def input_times(info: VideoInfo, options: DoubleOptions, first: Frame, shift: int) -> InputTimes:
    """What the input says of its times, which begin `shift` units before the output's zero."""
    nominal = info.frame_rate or Fraction(25)
    step = max(1, round(1 / (nominal * first.time_base)))
    end, whole = options.end_seconds, info.duration_seconds
    # An end that the user chose is followed by another frame a nominal step later.
    chosen = end is not None and (whole is None or end < whole)
    last = step if chosen else info.last_duration or first.duration or step
    return InputTimes(first.time_base, first.pts - shift, last, nominal)


def longest_gap(times: InputTimes, options: DoubleOptions) -> int:
    """Units between two frames up to which there is motion between them to follow."""
    seconds = max(Fraction(str(options.max_gap_seconds)), 2 / times.frame_rate)
    return round(seconds / times.time_base)


def side_streams(
    info: VideoInfo, options: DoubleOptions, shift: Fraction, times: InputTimes
) -> SideStreams:
    """Where sound and the rest come from, with what is done to their times."""
    origin = info.video_start_seconds
    start, end = options.start_seconds, options.end_seconds
    return SideStreams(
        source=info,
        shift_seconds=shift,
        start_seconds=origin + Fraction(str(start)) if start else None,
        end_seconds=origin + Fraction(str(end)) if end else None,
        tail_seconds=times.last_duration * times.time_base,
        stretch=options.slow_motion or 1,
        audio=options.audio,
    )


def expected_frames(info: VideoInfo, options: DoubleOptions) -> int | None:
    """Frames that will be read, as far as the file says."""
    whole = info.frame_count
    if whole is None and info.duration_seconds and info.frame_rate:
        whole = round(info.duration_seconds * float(info.frame_rate))
    if whole is None or not info.duration_seconds:
        return whole
    start = options.start_seconds or 0.0
    end = min(options.end_seconds or info.duration_seconds, info.duration_seconds)
    return max(1, round(whole * (end - start) / info.duration_seconds))


def frames_for_each(info: VideoInfo, options: DoubleOptions) -> Fraction:
    """Frames out for each frame in, as far as the file says its rate."""
    if options.frame_rate is None or info.frame_rate is None:
        return Fraction(options.frames_for_each)
    return options.frame_rate * (options.slow_motion or 1) / info.frame_rate
