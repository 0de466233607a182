"""The results of a benchmark: measurements, and what follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

__all__ = [
    "BenchReport",
    "ClipSpeed",
    "ContenderSpeed",
    "GraphUse",
    "NetworkSpeed",
    "PeakMemory",
    "Spread",
    "StageSpeed",
    "three_digits",
]


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of several measurements, with the lowest and the highest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarize at least one value."""
        return cls(median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class StageSpeed:
    """The speed of one stage while nothing else runs.

    Attributes:
        name: Name in tables.
        fps: Output frames a second if all other stages took no time. One decoded frame counts for
            two output frames, and so does one synthesized frame.
        core_seconds: Processor time per output frame, summed over all cores and child processes.
    """

    name: str
    fps: Spread
    core_seconds: float


@dataclass(frozen=True, slots=True)
class NetworkSpeed:
    """The speed of the network alone, on tensors that are already on the device.

    Attributes:
        batch: Batch size in frame pairs.
        pairs_per_second: Frame pairs a second.
        gmac_per_pair: Multiply-accumulate operations of convolutions and matrix products per pair,
            in units of 10⁹. Padding counts, element-wise operations do not.
        teraflops: Floating-point operations a second, in units of 10¹²; two for each
            multiply-accumulate.
        fraction_of_peak: `teraflops` divided by what a matrix product reaches on this device.
    """

    batch: int
    pairs_per_second: Spread
    gmac_per_pair: float
    teraflops: float
    fraction_of_peak: float


@dataclass(frozen=True, slots=True)
class PeakMemory:
    """The peak memory while a clip was doubled; `None` where the system does not report it.

    Attributes:
        host_bytes: Memory of this process, with Python, torch and the model.
        children_bytes: Memory of the encoder's process.
        device_bytes: GPU memory that torch reserved.
    """

    host_bytes: int | None
    children_bytes: int | None
    device_bytes: int | None


@dataclass(frozen=True, slots=True)
class ContenderSpeed:
    """The speed from file to file.

    Attributes:
        name: `interp`, or the name of another program or method.
        frames_out: Frames in the output.
        fps: Output frames a second, including decoding and encoding.
        times_interp: Speed divided by that of `interp` in the same round.
        core_seconds: Processor time per output frame, summed over all cores and child processes.
    """

    name: str
    frames_out: int
    fps: Spread
    times_interp: Spread
    core_seconds: float


@dataclass(frozen=True, slots=True)
class ClipSpeed:
    """The speeds on one clip: each stage alone, and every contender from file to file.

    Attributes:
        clip: Name of the file, or `drawn`.
        width: Width in pixels.
        height: Height in pixels.
        frames_in: Frames in the clip.
        synthesized: Frames made by the network; cuts and duplicates need none.
        encoder: Encoder of every output, with its preset and quality.
        stages: Stages in the order in which a frame passes them.
        network: Speed of the network stage in frame pairs.
        memory: Peak memory of `interp`.
        contenders: Everything that doubles the clip, `interp` first.
        cores: Cores that all stages share; `None` where the network runs on a device of its own.
    """

    clip: str
    width: int
    height: int
    frames_in: int
    synthesized: int
    encoder: str
    stages: tuple[StageSpeed, ...]
    network: NetworkSpeed
    memory: PeakMemory
    contenders: tuple[ContenderSpeed, ...]
    cores: int | None

    @property
    def title(self) -> str:
        """Name and size, for headings."""
        return f"{self.clip} {self.width}x{self.height}"

    @property
    def whole(self) -> ContenderSpeed:
        """The speed of `interp` from file to file."""
        return self.contenders[0]

    @property
    def bottleneck(self) -> StageSpeed:
        """The slowest stage."""
        return min(self.stages, key=lambda stage: stage.fps.median)

    @property
    def fraction_of_bottleneck(self) -> float:
        """Speed from file to file divided by that of the slowest stage alone."""
        return self.whole.fps.median / self.bottleneck.fps.median

    @property
    def cores_allow_fps(self) -> float | None:
        """Output frames a second if no core were ever idle; `None` where `cores` is."""
        if self.cores is None:
            return None
        return self.cores / sum(stage.core_seconds for stage in self.stages)

    @property
    def fraction_of_cores(self) -> float | None:
        """Speed from file to file divided by what the cores allow; `None` where `cores` is."""
        allowed = self.cores_allow_fps
        return None if allowed is None else self.whole.fps.median / allowed

    def as_dict(self) -> dict[str, Any]:
        """All measurements and what follows from them, for JSON."""
        return {
            **asdict(self),
            "bottleneck": self.bottleneck.name,
            "fraction_of_bottleneck": self.fraction_of_bottleneck,
            "cores_allow_fps": self.cores_allow_fps,
            "fraction_of_cores": self.fraction_of_cores,
        }


@dataclass(frozen=True, slots=True)
class GraphUse:
    """CUDA graphs of the network.

    Attributes:
        recorded: Number of graphs, one for each part of the network and input size. Parts with
            large inputs run without a graph.
        seconds: Time that recording took.
        notes: Reason why graphs were switched off, where they were.
    """

    recorded: int
    seconds: float
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BenchReport:
    """The results of `benchmark`.

    Attributes:
        model: Name of the model.
        parameters: Number of trained parameters.
        device: Device of the network.
        precision: Precision of the network.
        threads: Threads of the network on a CPU.
        rounds: Number of rounds behind each median.
        peak_teraflops: Floating-point operations a second of a large matrix product in this
            precision on this device, in units of 10¹².
        cuda_graphs: CUDA graphs of the network; `None` on other devices.
        clips: Results of each clip.
    """

    model: str
    parameters: int
    device: str
    precision: str
    threads: int
    rounds: int
    peak_teraflops: float
    cuda_graphs: GraphUse | None
    clips: tuple[ClipSpeed, ...]

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain dictionaries and lists, for JSON."""
        return {**asdict(self), "clips": [clip.as_dict() for clip in self.clips]}


def three_digits(value: float) -> str:
    """A number with three significant digits, without an exponent."""
    return f"{float(f'{value:.3g}'):,.10g}"
