"""A report of a benchmark with round numbers."""

from interp_cli.benchmarking.report import (
    ClipSpeed,
    ContenderSpeed,
    NetworkSpeed,
    PeakMemory,
    Spread,
    StageSpeed,
)


def clip_speed(cores: int | None = 2) -> ClipSpeed:
    """Of two stages that cost 30 and 70 ms of one core a frame out; the whole makes 12 a second."""
    network = Spread(14, 13, 15)
    return ClipSpeed(
        clip="drawn",
        width=64,
        height=32,
        frames_in=6,
        synthesized=5,
        encoder="libx264",
        stages=(
            StageSpeed("decode", Spread(30, 20, 40), 0.03),
            StageSpeed("network", network, 0.07),
        ),
        network=NetworkSpeed(1, network, 0.5, 0.01, 0.1),
        memory=PeakMemory(1, 2, None),
        contenders=(
            ContenderSpeed("interp", 12, Spread(12, 11, 13), Spread(1, 1, 1), 0.11),
            ContenderSpeed("blend", 12, Spread(48, 40, 50), Spread(4, 4, 4), 0.02),
        ),
        cores=cores,
    )
