"""Options of training with their defaults, and the preset of each network (torch-free)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from interp_cli.options import (
    DoubleOptions,
    Precision,
    check_choices,
    require,
    require_device,
    require_scene_threshold,
)

Schedule = Literal["constant", "cosine"]


@dataclass(frozen=True, slots=True)
class PrepareOptions:
    """How videos become training triplets.

    Attributes:
        scene_threshold: Likelihood from which a pair of frames is a cut, greater than 0 to 1;
            `None` detects no cuts. The default is that of `DoubleOptions`.
        short_side_px: Maximum length of a frame's shorter side in pixels. Larger frames are scaled
            down by area averaging, which removes compression noise.
        min_motion: Minimum motion of a shot: the mean absolute difference of adjacent frames'
            luma, in units of 1/255. Shots with less are dropped.
    """

    scene_threshold: float | None = field(default_factory=lambda: DoubleOptions().scene_threshold)
    short_side_px: int = 576
    min_motion: float = 0.3

    def __post_init__(self) -> None:
        """Check every value."""
        require_scene_threshold(self.scene_threshold)
        require(
            self.short_side_px >= 32,
            f"`short_side_px` must be at least 32, not {self.short_side_px!r}",
        )
        require(self.min_motion >= 0, f"`min_motion` must not be negative, not {self.min_motion!r}")


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """How a network is trained. `train_preset` returns the values for each network.

    Attributes:
        model: Network to train.
        init: Initial weights: the name of a bundled model or a file; `None`: random weights.
        steps: Length of the run in steps. Exactly one of `steps`, `epochs` and `minutes` is given.
        epochs: Length of the run in epochs of `epoch_triplets`.
        minutes: Length of the run in minutes, over all its sessions.
        epoch_triplets: Number of triplets in an epoch.
        crop: Side of the square crops in pixels, a multiple of 8.
        final_crop: Side of the crops in the last quarter of the run in pixels; `None`: `crop`.
        batch: Batch size in triplets, over all processes.
        learning_rate: Maximum learning rate.
        schedule: Learning rate schedule: `constant`, or `cosine` down to a fiftieth.
        warmup_steps: Steps over which the learning rate rises from zero.
        weight_decay: Weight decay of AdamW and Muon; with 0, AdamW is plain Adam.
        muon: Learning rate of Muon as a multiple of `learning_rate`, for all kernels that are not
            narrow (see `optimizers`); 0: AdamW has all parameters.
        clip_norm: Maximum norm of the gradient; `None`: unlimited.
        ema: EMA decay: exponential moving average of the weights, below 1; 0: no average.
        synthetic: Fraction of each batch that is synthetic motion over the same pictures, 0 to 1.
        synthetic_end: Fraction at the end of the run, approached linearly; `None`: `synthetic`.
        hard_mining: Fraction of triplets cropped where the frames differ most, 0 to 1.
        validate_minutes: Minutes between validations.
        checkpoint_minutes: Minutes between checkpoints.
        val_samples: Number of held-out triplets to validate on.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        precision: Arithmetic precision; `auto` takes the fastest that is safe on the device.
        processes: Number of processes that share a step; `auto`: one per core on a CPU, else one.
        compile: Whether to compile the network; `auto`: on CUDA. Where compiling fails, the
            network is trained uncompiled.
        resident: Whether to hold the footage in the device's memory; `auto`: on CUDA if it fits.
        seed: Seed of all random choices.
        prepare: How videos become triplets.
    """

    model: str
    init: str | None = None
    steps: int | None = None
    epochs: float | None = None
    minutes: float | None = None
    epoch_triplets: int = 2000
    crop: int = 224
    final_crop: int | None = None
    batch: int = 16
    learning_rate: float = 2e-4
    schedule: Schedule = "constant"
    warmup_steps: int = 0
    weight_decay: float = 0.0
    muon: float = 0.0
    clip_norm: float | None = None
    ema: float = 0.999
    synthetic: float = 0.0
    synthetic_end: float | None = None
    hard_mining: float = 0.0
    validate_minutes: float = 5.0
    checkpoint_minutes: float = 3.0
    val_samples: int = 48
    device: str = "auto"
    precision: Precision = "auto"
    processes: int | Literal["auto"] = "auto"
    compile: bool | Literal["auto"] = "auto"
    resident: bool | Literal["auto"] = "auto"
    seed: int = 0
    prepare: PrepareOptions = field(default_factory=PrepareOptions)

    def __post_init__(self) -> None:
        """Check every value."""
        check_choices(self)
        lengths = [n for n in (self.steps, self.epochs, self.minutes) if n is not None]
        require(
            len(lengths) == 1 and lengths[0] > 0,
            "exactly one of `steps`, `epochs` and `minutes` must be given and be greater than 0",
        )
        for name in ("crop", "final_crop"):
            side = getattr(self, name)
            require(
                side is None or (side >= 16 and side % 8 == 0),
                f"`{name}` must be a multiple of 8 pixels and at least 16, not {side!r}",
            )
        for name in ("batch", "epoch_triplets", "val_samples"):
            value = getattr(self, name)
            require(value >= 1, f"`{name}` must be at least 1, not {value!r}")
        for name in ("learning_rate", "validate_minutes", "checkpoint_minutes"):
            value = getattr(self, name)
            require(value > 0, f"`{name}` must be greater than 0, not {value!r}")
        require(self.muon >= 0, f"`muon` must not be negative, not {self.muon!r}")
        require(0 <= self.ema < 1, f"`ema` must be at least 0 and below 1, not {self.ema!r}")
        for name in ("synthetic", "synthetic_end", "hard_mining"):
            fraction = getattr(self, name)
            require(
                fraction is None or 0 <= fraction <= 1,
                f"`{name}` must be between 0 and 1, not {fraction!r}",
            )
        require_device(self.device)
        require(
            self.processes == "auto" or self.processes >= 1,
            f"`processes` must be auto or at least 1, not {self.processes!r}",
        )
        require(
            self.processes == "auto" or self.batch % self.processes == 0,
            f"`batch` must be a multiple of `processes` ({self.processes}), not {self.batch}",
        )


def fusion_preset() -> TrainOptions:
    """Preset of `fusion`: 20 epochs of Adam at a constant rate on the squared error."""
    return TrainOptions(model="fusion", epochs=20, crop=48, batch=8, learning_rate=2e-4)


def flow_preset() -> TrainOptions:
    """Preset of `flow`: AdamW, cosine schedule, synthetic motion in two fifths of each batch.

    Only synthetic motion is known exactly, so its fraction stays constant.
    """
    return TrainOptions(
        model="flow",
        minutes=120,
        crop=224,
        final_crop=320,
        batch=16,
        learning_rate=6e-4,
        schedule="cosine",
        warmup_steps=200,
        weight_decay=1e-4,
        clip_norm=1.0,
        synthetic=0.4,
        hard_mining=0.25,
    )


def fine_tune_preset(model: str) -> TrainOptions:
    """Preset for fine-tuning trained weights to a user's footage in minutes; `flow` with Muon.

    Raises:
        OptionError: There is no preset for the network.
    """
    preset = train_preset(model)
    return replace(
        preset,
        epochs=None,
        minutes=15,
        batch=8,
        learning_rate=1e-4,
        schedule="cosine",
        warmup_steps=20,
        muon=1.0 if model == "flow" else 0.0,
        ema=0.99,
        final_crop=None,
        synthetic=preset.synthetic / 4,
        validate_minutes=3.0,
    )


def train_preset(model: str, *, large_batch: bool = False) -> TrainOptions:
    """Preset for a network.

    Args:
        model: Name of the network.
        large_batch: Whether the device needs many triplets at once to be busy, as a GPU does.

    Raises:
        OptionError: There is no preset for the network.
    """
    presets = {"fusion": fusion_preset, "flow": flow_preset}
    require(model in presets, f"`model` must be one of {', '.join(presets)}, not {model!r}")
    preset = presets[model]()
    return replace(preset, batch=4 * preset.batch) if large_batch else preset
