"""Which times are wanted: the moments of the output between the input's time stamps, exactly.

Nothing here knows pictures. Time stamps are integers and everything else is a `Fraction`, so that
no rate drifts, however long the video is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from math import gcd

# FFmpeg's time bases and rates are pairs of 32-bit integers.
_LARGEST_DENOMINATOR = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Moment:
    """A frame of the output.

    Attributes:
        pts: Its time stamp, in units of the timeline's time base.
        timestep: Where it lies between two neighbours of the input: 0 is the earlier one itself,
            1 the later one itself, and what is between is to be made.
    """

    pts: int
    timestep: Fraction


@dataclass(frozen=True, slots=True)
class InputTimes:
    """When the frames of the input stand.

    Attributes:
        time_base: Unit of the time stamps, in seconds.
        start: Time stamp of the first frame, counted from the output's zero.
        last_duration: How long the last frame stands, in units.
        frame_rate: The rate that the input means; of a variable one the usual rate.
    """

    time_base: Fraction
    start: int
    last_duration: int
    frame_rate: Fraction


class Timeline(ABC):
    """Turns the input's time stamps into the output's frames.

    Attributes:
        time_base: Unit of the output's time stamps, in seconds.
        frame_rate: Nominal rate of the output; its inverse is how long the last frame stands.
        start_seconds: Time of the output's first frame.
        last_seconds: How long the output's last frame stands.
        timesteps: All timesteps that can come up; `None`: any.
    """

    time_base: Fraction
    frame_rate: Fraction
    start_seconds: Fraction
    last_seconds: Fraction
    timesteps: tuple[Fraction, ...] | None

    @abstractmethod
    def between(self, pts0: int, pts1: int) -> tuple[Moment, ...]:
        """The moments from a frame of the input on until the next one, which is not included.

        Args:
            pts0: The earlier frame's time stamp, in units of the input, as `InputTimes.start`.
            pts1: The later frame's.
        """

    @abstractmethod
    def after_last(self, pts: int) -> tuple[int, ...]:
        """The time stamps at which the last frame of the input, at `pts`, is shown."""


@dataclass(frozen=True, slots=True)
class _Rounding:
    """Undoes the rounding of a constant rate to the units of a container.

    Matroska counts milliseconds, so frames at 24 a second are 41 or 42 apart. Stretched, these
    would be steps of 82 and 84 ms, or 41 and 42 after interpolation, in a file that could hold the
    exact rate. A time stamp moves to the even grid only if it is what the grid rounds to.

    Attributes:
        unit: Unit of the exact time stamps, in seconds.
        scale: Exact units in a unit of the input.
        step: Exact units between two frames of the grid; 0: nothing was rounded.
        origin: Exact time stamp of the first frame.
    """

    unit: Fraction
    scale: int = 1
    step: int = 0
    origin: int = 0

    @classmethod
    def of(cls, times: InputTimes) -> _Rounding:
        """The rounding of an input, if its nominal rate does not fit its units."""
        unit, step = times.time_base, 1 / times.frame_rate
        if (step / unit).denominator == 1:
            return cls(unit)
        exact = Fraction(
            gcd(unit.numerator * step.denominator, step.numerator * unit.denominator),
            unit.denominator * step.denominator,
        )
        scale = int(unit / exact)
        return cls(exact, scale, int(step / exact), times.start * scale)

    def undo(self, pts: int) -> int:
        """The exact time stamp for one of the input."""
        exact = pts * self.scale
        if not self.step:
            return exact
        number = round(Fraction(exact - self.origin, self.step))
        even = self.origin + number * self.step
        # Half a unit, which FFmpeg rounds up; so two time stamps never become one.
        return even if -self.scale < 2 * (exact - even) <= self.scale else exact

    def last_duration(self, times: InputTimes, *, agrees: bool) -> int:
        """Exact units that the last frame lasts; a step if the input agrees with its rate."""
        return self.step if self.step and agrees else times.last_duration * self.scale


class EveryFrame(Timeline):
    """Each frame at its own time, and `factor` - 1 spread evenly up to the next one.

    In slow motion, times that the input's container rounded are exact again.

    The last frame has no successor: it is shown `factor` times, which keeps duration and rate.
    """

    def __init__(self, times: InputTimes, factor: int, stretch: int = 1) -> None:
        """Set the rule.

        Args:
            times: Of the input.
            factor: Frames out for each frame in.
            stretch: Seconds that a second of the input lasts.
        """
        self.timesteps = tuple(Fraction(k, factor) for k in range(1, factor))
        self.start_seconds = times.start * times.time_base * stretch
        self._factor = factor
        self._rounding = _Rounding.of(times) if stretch > 1 else _Rounding(times.time_base)
        # A `factor`th of the input's unit, in which the places between two stamps are whole.
        self.time_base = self._rounding.unit * stretch / factor
        self._units = factor
        if self.time_base.denominator > _LARGEST_DENOMINATOR:
            self._rounding = _Rounding(times.time_base)
            self.time_base, self._units = times.time_base * stretch, 1
        # A muxer learns how long the last frame stands from the nominal rate alone. Where the
        # two disagree by more than rounding, the length of the whole wins.
        last = times.last_duration * times.time_base
        agrees = abs(last - 1 / times.frame_rate) <= 2 * times.time_base
        self.frame_rate = _nominal((times.frame_rate if agrees else 1 / last) * factor / stretch)
        self._last_duration = self._rounding.last_duration(times, agrees=agrees)
        end = self._last_duration * self._units
        self.last_seconds = (end - self._stamps(0, self._last_duration)[-1]) * self.time_base

    def between(self, pts0: int, pts1: int) -> tuple[Moment, ...]:
        """See `Timeline`."""
        begin, end = self._rounding.undo(pts0), self._rounding.undo(pts1)
        stamps = self._stamps(begin, end - begin)
        return tuple(Moment(pts, Fraction(k, self._factor)) for k, pts in enumerate(stamps))

    def after_last(self, pts: int) -> tuple[int, ...]:
        """See `Timeline`."""
        return self._stamps(self._rounding.undo(pts), self._last_duration)

    def _stamps(self, pts: int, length: int) -> tuple[int, ...]:
        units, factor = self._units, self._factor
        return tuple(pts * units + length * units * k // factor for k in range(factor))


class ConstantRate(Timeline):
    """Frames at one exact rate from the first frame on, whatever the input's rate.

    Where a moment coincides with a frame of the input, that frame itself is shown.
    """

    def __init__(self, times: InputTimes, frame_rate: Fraction, stretch: int = 1) -> None:
        """Set the rule.

        Args:
            times: Of the input.
            frame_rate: Of the output.
            stretch: Seconds that a second of the input lasts.
        """
        self.timesteps = None
        self.frame_rate = frame_rate
        self._unit = times.time_base * stretch
        self._last_duration = times.last_duration
        self._step = self.last_seconds = 1 / frame_rate
        # The offset of the first frame is kept, in whole parts of a step.
        max_parts = max(1, _LARGEST_DENOMINATOR // self._step.denominator)
        steps = (times.start * self._unit / self._step).limit_denominator(max_parts)
        self.start_seconds = steps * self._step
        self._origin = times.start * self._unit
        self._parts = steps.denominator
        self._first = steps.numerator
        self.time_base = self._step / self._parts

    def between(self, pts0: int, pts1: int) -> tuple[Moment, ...]:
        """See `Timeline`."""
        begin, length = pts0 * self._unit, (pts1 - pts0) * self._unit
        slack = self._slack(length)
        moments = []
        for number in self._numbers(begin, begin + length):
            after = self._origin + number * self._step - begin
            timestep = after / length
            if after <= slack:
                timestep = Fraction(0)
            elif length - after <= slack:
                timestep = Fraction(1)
            moments.append(Moment(self._pts(number), timestep))
        return tuple(moments)

    def after_last(self, pts: int) -> tuple[int, ...]:
        """See `Timeline`."""
        begin, length = pts * self._unit, self._last_duration * self._unit
        # Stamp and duration are both rounded; a frame for what they add up to would be too many.
        end = begin + length - 2 * self._slack(length)
        return tuple(self._pts(number) for number in self._numbers(begin, end))

    def _slack(self, length: Fraction) -> Fraction:
        """How far a time stamp may be off.

        Half a unit, by which it was rounded; but where a unit is as coarse as the frames are,
        as in AVI, stamps are meant exactly.
        """
        return min(self._unit / 2, length / 8)

    def _numbers(self, begin: Fraction, end: Fraction) -> range:
        """Numbers of the output's frames from `begin` on and before `end`."""
        first = -((self._origin - begin) // self._step)
        return range(first, -((self._origin - end) // self._step))

    def _pts(self, number: int) -> int:
        return self._first + number * self._parts


def timeline_of(
    times: InputTimes, factor: int, frame_rate: Fraction | None = None, stretch: int = 1
) -> Timeline:
    """The timeline for what was asked.

    Args:
        times: Of the input.
        factor: Frames out for each frame in, unless there is a `frame_rate`.
        frame_rate: The exact constant rate of the output; `None`: frames keep their times.
        stretch: Seconds that a second of the input lasts.
    """
    if frame_rate is None:
        return EveryFrame(times, factor, stretch)
    return ConstantRate(times, frame_rate, stretch)


def _nominal(rate: Fraction) -> Fraction:
    """The nearest rate of which FFmpeg can say numerator and denominator."""
    if rate <= 1:
        return rate.limit_denominator(_LARGEST_DENOMINATOR)
    last = max(1 / rate, Fraction(1, _LARGEST_DENOMINATOR))
    return 1 / last.limit_denominator(_LARGEST_DENOMINATOR)
