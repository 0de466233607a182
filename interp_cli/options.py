"""Every option of the product, with its default, in one place (torch-free).

The command line, the Python API and the tests build these; nothing else carries a default.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Precision = Literal["auto", "fp32", "fp16", "bf16"]

PRECISIONS: tuple[Precision, ...] = ("auto", "fp32", "fp16", "bf16")
DEFAULT_MODEL = "fusion"


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


@dataclass(frozen=True, slots=True)
class InferenceOptions:
    """How middle frames are made.

    Attributes:
        model: Name of a bundled model, or the path of a `.safetensors` file.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`; `auto` takes the first that is there.
        precision: `auto` takes the fastest that is safe on the device.
        batch: Pairs a step; `auto` follows the frame size and the memory.
        tile: Side of a tile in pixels for frames too large for the memory; `auto` or `off`.
    """

    model: str = DEFAULT_MODEL
    device: str = "auto"
    precision: Precision = "auto"
    batch: int | Literal["auto"] = "auto"
    tile: int | Literal["auto", "off"] = "auto"

    def __post_init__(self) -> None:
        """Check every value."""
        _require(
            self.precision in PRECISIONS,
            f"precision must be one of {', '.join(PRECISIONS)}, not {self.precision!r}",
        )
        _require(
            self.batch == "auto" or (isinstance(self.batch, int) and self.batch >= 1),
            f"batch must be 'auto' or at least 1, not {self.batch!r}",
        )
        _require(
            self.tile in ("auto", "off") or (isinstance(self.tile, int) and self.tile >= 128),
            f"tile must be 'auto', 'off' or at least 128 pixels, not {self.tile!r}",
        )


@dataclass(frozen=True, slots=True)
class EncodeOptions:
    """How the result is written; `None` means: by the output's ending.

    Attributes:
        encoder: An ffmpeg encoder, such as `libx264`, `libx265`, `libsvtav1`, `ffv1`.
        crf: Constant quality, in the encoder's own scale.
        preset: The encoder's preset.
        pixel_format: An ffmpeg pixel format; `None` keeps the input's.
        options: Further encoder options, (name, value) pairs.
    """

    encoder: str | None = None
    crf: int | None = None
    preset: str | None = None
    pixel_format: str | None = None
    options: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        """Check every value."""
        _require(self.crf is None or 0 <= self.crf <= 63, f"crf must be 0 to 63, not {self.crf!r}")


@dataclass(frozen=True, slots=True)
class DoubleOptions:
    """What `double` does.

    Attributes:
        start_seconds: Where to begin, from the input's first frame; `None`: at its start.
        end_seconds: Where to stop (not included); `None`: at its end.
        scene_threshold: Share of change above which two frames count as a cut, 0 to 1;
            `None` looks for no cuts.
        audio: Whether sound comes along.
        overwrite: Whether an existing output may be replaced.
        keep_going: Whether the good part of a damaged input is worth an output.
    """

    start_seconds: float | None = None
    end_seconds: float | None = None
    scene_threshold: float | None = 0.3
    audio: bool = True
    overwrite: bool = False
    keep_going: bool = False
    inference: InferenceOptions = field(default_factory=InferenceOptions)
    encode: EncodeOptions = field(default_factory=EncodeOptions)

    def __post_init__(self) -> None:
        """Check every value."""
        start = self.start_seconds or 0.0
        _require(start >= 0, f"start must not be negative, not {start!r}")
        _require(
            self.end_seconds is None or self.end_seconds > start,
            f"end must lie after start ({start:g} s), not at {self.end_seconds!r}",
        )
        _require(
            self.scene_threshold is None or 0 < self.scene_threshold <= 1,
            f"scene threshold must be above 0 and at most 1, not {self.scene_threshold!r}",
        )
