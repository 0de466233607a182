"""The rate and the last duration that a video means, where its header says something else."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from statistics import median

# A stated rate is wrong if it is further than this factor from the usual step's.
_FAR_FROM_USUAL = 4


def usual_rate(stamps: Sequence[int], time_base: Fraction) -> Fraction | None:
    """The rate of the usual step between pictures; `None`: there are too few.

    A constant rate that was rounded to the units of a container is found again.

    Args:
        stamps: Time stamps in any order.
        time_base: Their unit, in seconds.
    """
    ordered = sorted(set(stamps))
    if len(ordered) < 3:
        return None
    steps = [after - before for before, after in pairwise(ordered)]
    usual = Fraction(median(steps))
    mean = Fraction(ordered[-1] - ordered[0], len(steps))
    is_even = all(
        abs(stamp - ordered[0] - number * mean) <= 1 for number, stamp in enumerate(ordered)
    )
    if not is_even:
        return 1 / (usual * time_base)
    rate = 1 / (mean * time_base)
    # Both ends are rounded.
    slack = rate / len(steps) / mean
    whole = Fraction(max(1, round(rate)))
    near = (whole, whole * Fraction(1000, 1001), (whole + 1) * Fraction(1000, 1001))
    known = [known for known in near if abs(known - rate) <= slack]
    return min(known, key=lambda known: abs(known - rate)) if known else rate


def likely_rate(
    stated: Fraction | None, stamps: Sequence[int], time_base: Fraction
) -> Fraction | None:
    """The stated rate, or that of the usual step where the two have nothing in common.

    Args:
        stated: Rate by the header; `None`: there is none.
        stamps: Time stamps of some pictures, in any order.
        time_base: Their unit, in seconds.
    """
    usual = usual_rate(stamps, time_base)
    if stated is None or usual is None:
        return stated or usual
    return stated if 1 / _FAR_FROM_USUAL <= stated / usual <= _FAR_FROM_USUAL else usual


def likely_last_duration(
    tail: Sequence[tuple[int, int]], frame_rate: Fraction | None, time_base: Fraction
) -> int | None:
    """How long the last picture is shown, in units; `None`: the file does not say.

    Muxers and phones often write nothing or a tick. Less than half of the usual step is no
    duration, but the step is.

    Args:
        tail: Time stamps and durations of pictures up to the end.
        frame_rate: The rate of the usual step; `None`: unknown.
        time_base: Unit of the time stamps, in seconds.
    """
    if not tail:
        return None
    duration = max(tail)[1]
    if duration <= 0:
        return None
    if frame_rate and 2 * duration * time_base * frame_rate < 1:
        return max(1, round(1 / (frame_rate * time_base)))
    return duration
