"""What doubling a video returns."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DoubleResult:
    """The outcome of a job.

    Attributes:
        source: The input.
        target: The output.
        frames_in: Frames read.
        frames_out: Frames written.
        frames_resumed: Those of `frames_out` that an earlier run had finished.
        synthesized: Frames that the network made.
        cuts: Pairs of frames with a cut between them. There the nearer frame is shown, or a blend.
        flashes: Flashes. The pairs at both ends are treated like cuts.
        duplicates: Pairs of equal frames. They are passed through, or retimed.
        retimed: Repeated frames that were replaced by frames that follow the motion.
        gaps: Pairs that are too far apart in time. There the earlier frame is held.
        frame_rate: Nominal rate of the output.
        video_seconds: Duration of the output's video.
        seconds: Time that the job took.
        output_bytes: Size of the output; 0 for a pipe.
        model: Name of the model.
        device: Device that the model ran on.
        precision: Precision of the model's arithmetic.
        quality: Quality that `auto` chose or the user asked for; `best` for a model without flow.
        trajectory: `cubic` or `linear`.
        encoder: ffmpeg's name of the encoder.
        warnings: What could not be kept as it was.
    """

    source: Path
    target: Path
    frames_in: int
    frames_out: int
    frames_resumed: int
    synthesized: int
    cuts: int
    flashes: int
    duplicates: int
    retimed: int
    gaps: int
    frame_rate: Fraction
    video_seconds: float
    seconds: float
    output_bytes: int
    model: str
    device: str
    precision: str
    quality: str
    trajectory: str
    encoder: str
    warnings: tuple[str, ...]
