"""What a benchmark found: numbers, and what follows from them."""

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
]


@dataclass(frozen=True, slots=True)
class Spread:
    """Measurements of the same thing: their median, the lowest, the highest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Sum up at least one value."""
        return cls(median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class StageSpeed:
    """One stage with nothing else at work.

    Attributes:
        name: Of the stage.
        fps: Frames out a second that it alone would allow. Decoding one frame is good for two of
            them, as is making one middle.
        core_seconds: Processor time that it costs a frame out, over all cores, children included.
    """

    name: str
    fps: Spread
    core_seconds: float


@dataclass(frozen=True, slots=True)
class NetworkSpeed:
    """The network alone, on tensors that are on the device.

    Attributes:
        batch: Pairs a step.
        pairs_per_second: Middle frames made.
        gmac_per_pair: Multiplications with addition, in thousand millions, of convolutions and
            matrix products (padding counts, element-wise work does not).
        teraflops: Operations of those that it did a second, in millions of millions; two a
            multiplication with addition.
        fraction_of_peak: The same over what a matrix product reaches on this device.
    """

    batch: int
    pairs_per_second: Spread
    gmac_per_pair: float
    teraflops: float
    fraction_of_peak: float


@dataclass(frozen=True, slots=True)
class PeakMemory:
    """The most that was taken while a clip was doubled; `None`: it cannot be told here.

    Attributes:
        host_bytes: Of this process, with Python, torch and the model.
        children_bytes: Of the encoder's process.
        device_bytes: Of a GPU, by torch.
    """

    host_bytes: int | None
    children_bytes: int | None
    device_bytes: int | None


@dataclass(frozen=True, slots=True)
class ContenderSpeed:
    """A whole way from file to file.

    Attributes:
        name: `interp`, or what it is compared with.
        frames_out: Frames in its output.
        fps: Frames out a second, decoding and encoding included.
        times_interp: Its frames a second over ours, of the same round.
        core_seconds: Processor time that a frame out costs, over all cores, children included.
    """

    name: str
    frames_out: int
    fps: Spread
    times_interp: Spread
    core_seconds: float


@dataclass(frozen=True, slots=True)
class ClipSpeed:
    """One clip: each stage alone, the whole, and everything that is compared.

    Attributes:
        clip: The file's name, or `drawn`.
        width: Columns.
        height: Rows.
        frames_in: Frames of the clip.
        synthesized: Middle frames that the network made; cuts and repeats need none.
        encoder: Encoder of every output, with its preset and quality.
        stages: In the order of a frame's way.
        network: Of the stages, the network, in its own unit.
        memory: Of the whole.
        rows: `interp` first.
        cores: Cores that all share; `None` where the network has a device of its own.
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
    rows: tuple[ContenderSpeed, ...]
    cores: int | None

    @property
    def whole(self) -> ContenderSpeed:
        """Our own way from file to file."""
        return self.rows[0]

    @property
    def bottleneck(self) -> StageSpeed:
        """The stage that is slowest alone."""
        return min(self.stages, key=lambda stage: stage.fps.median)

    @property
    def fraction_of_bottleneck(self) -> float:
        """The whole's speed over that of its slowest stage alone."""
        return self.whole.fps.median / self.bottleneck.fps.median

    @property
    def cores_allow_fps(self) -> float | None:
        """Frames out a second if no core were ever idle and stages cost what they cost alone."""
        if self.cores is None:
            return None
        return self.cores / sum(stage.core_seconds for stage in self.stages)

    @property
    def fraction_of_cores(self) -> float | None:
        """The whole's speed over what the cores allow."""
        allowed = self.cores_allow_fps
        return None if allowed is None else self.whole.fps.median / allowed

    def as_dict(self) -> dict[str, Any]:
        """Everything, and what follows from it."""
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
        recorded: How many, one for each part of the network and size of its pictures; parts with
            many or large pictures run without.
        seconds: What recording them took.
        notes: Why there are none any more, where that is so.
    """

    recorded: int
    seconds: float
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BenchReport:
    """What `benchmark` found.

    Attributes:
        model: The model's name.
        parameters: Numbers that were trained.
        device: Where it ran.
        precision: In which arithmetic.
        threads: Threads of the network on the CPU.
        rounds: Rounds behind each median.
        peak_teraflops: What a matrix product of that precision reaches on the device.
        cuda_graphs: What was recorded of the network on a GPU; `None` elsewhere.
        clips: One for each size, or the input.
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
