"""Scene detectors by name."""

from __future__ import annotations

from collections.abc import Callable

from interp_cli.options import DEFAULT_DETECTOR, require
from interp_cli.scenes.base import SceneDetector
from interp_cli.scenes.cuts import CutDetector

# Each entry creates a detector from a threshold: the likelihood from which a pair is a cut.
DETECTORS: dict[str, Callable[[float], SceneDetector]] = {"adaptive": CutDetector}


def create_detector(threshold: float | None, name: str = DEFAULT_DETECTOR) -> SceneDetector | None:
    """Create the detector for one video.

    Args:
        threshold: Likelihood from which a pair is a cut, above 0 to 1; `None` detects no cuts.
        name: Name in `DETECTORS`.

    Returns:
        A new detector; `None` without a threshold.

    Raises:
        OptionError: The name is unknown.
    """
    known = " or ".join(DETECTORS)
    require(name in DETECTORS, f"`scene_detector` must be {known}, not {name!r}")
    return None if threshold is None else DETECTORS[name](threshold)
