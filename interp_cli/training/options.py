"""How networks are trained: options with their defaults, and each model's recipe (torch-free)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from interp_cli.options import Precision, check_choices, require, require_device


@dataclass(frozen=True, slots=True)
class PrepareOptions:
    """How videos become training triplets.

    Attributes:
        scene_threshold: Share of change above which two frames count as a cut, 0 to 1.
        short_side_px: Larger frames are scaled down by area averaging until their shorter side
            is this long, which sheds compression noise.
        min_motion: Shots whose neighbours differ by less than this on average are dropped
            (mean absolute difference of luma, in units of 1/255).
    """

    scene_threshold: float = 0.27
    short_side_px: int = 576
    min_motion: float = 0.3

    def __post_init__(self) -> None:
        """Check every value."""
        require(
            0 < self.scene_threshold <= 1,
            f"scene threshold must be above 0 and at most 1, not {self.scene_threshold!r}",
        )
        require(
            self.short_side_px >= 32,
            f"short side must be at least 32 pixels, not {self.short_side_px!r}",
        )
        require(self.min_motion >= 0, f"still limit must not be negative, not {self.min_motion!r}")


Schedule = Literal["constant", "cosine"]


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """How a network is trained. `train_preset` gives the values for each architecture.

    Attributes:
        model: Architecture to train.
        init: Weights to start from: a bundled model's name or a file; `None`: random ones.
        steps: Length of the run in steps; of `steps`, `epochs` and `minutes` one is given.
        epochs: Length of the run in epochs of `epoch_triplets`.
        minutes: Length of the run in minutes, over all sittings.
        epoch_triplets: Triplets that count as one epoch.
        crop: Side of the square crops in pixels, a multiple of 8.
        late_crop: Side of the crops in the last quarter of the run; `None`: the same.
        batch: Triplets a step, over all ranks.
        learning_rate: At its highest.
        schedule: `constant`, or `cosine` down to a fiftieth over the whole run.
        warmup_steps: Steps over which the learning rate rises from zero.
        weight_decay: Of AdamW and Muon; with 0, AdamW is plain Adam.
        muon: Learning rate of Muon for all kernels that are not narrow (see `optimizers`), as a
            multiple of `learning_rate`; 0: AdamW has all parameters.
        clip_norm: Largest norm of the gradient; `None` does not limit it.
        ema: Share of the averaged weights that a step keeps; 0 keeps no average.
        synthetic: Share of each batch that is drawn motion over the same pictures, 0 to 1.
        synthetic_end: The same at the end of the run, which the share moves to evenly; `None`:
            it stays.
        hard_mining: Share of triplets that are cut where most moves, 0 to 1.
        validate_minutes: Minutes between validations.
        checkpoint_minutes: Minutes between checkpoints.
        val_samples: Triplets kept out of training to validate on.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        precision: `auto` takes the fastest that is safe on the device.
        ranks: Processes that share a step; `auto`: one a core on a CPU, else one.
        compile: Whether the network is compiled first; `auto`: on CUDA. Where that fails, it is
            trained as it is.
        resident: Whether the triplets lie in the device's memory; `auto`: on CUDA if they fit.
        seed: All random choices follow from it.
        prepare: How videos become triplets.
    """

    model: str
    init: str | None = None
    steps: int | None = None
    epochs: float | None = None
    minutes: float | None = None
    epoch_triplets: int = 2000
    crop: int = 224
    late_crop: int | None = None
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
    ranks: int | Literal["auto"] = "auto"
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
            "exactly one of steps, epochs and minutes must be given, and be above 0",
        )
        for name in ("crop", "late_crop"):
            side = getattr(self, name)
            require(
                side is None or (side >= 16 and side % 8 == 0),
                f"{name} must be a multiple of 8 pixels and at least 16, not {side!r}",
            )
        for name in ("batch", "epoch_triplets", "val_samples"):
            value = getattr(self, name)
            require(value >= 1, f"{name} must be at least 1, not {value!r}")
        for name in ("learning_rate", "validate_minutes", "checkpoint_minutes"):
            require(getattr(self, name) > 0, f"{name} must be above 0, not {getattr(self, name)!r}")
        require(self.muon >= 0, f"muon must not be negative, not {self.muon!r}")
        require(0 <= self.ema < 1, f"ema must be at least 0 and below 1, not {self.ema!r}")
        for name in ("synthetic", "synthetic_end", "hard_mining"):
            share = getattr(self, name)
            require(
                share is None or 0 <= share <= 1, f"{name} must be between 0 and 1, not {share!r}"
            )
        require_device(self.device)
        require(
            self.ranks == "auto" or (isinstance(self.ranks, int) and self.ranks >= 1),
            f"ranks must be 'auto' or at least 1, not {self.ranks!r}",
        )
        require(
            self.ranks == "auto" or self.batch % self.ranks == 0,
            f"batch must be a multiple of ranks ({self.ranks}), not {self.batch}",
        )


def fusion_preset() -> TrainOptions:
    """The recipe of `fusion`: 20 epochs of Adam at a constant rate on the squared error."""
    return TrainOptions(model="fusion", epochs=20, crop=48, batch=8, learning_rate=2e-4)


def flow_preset() -> TrainOptions:
    """The recipe of `flow`: AdamW, cosine schedule, synthetic motion in two fifths of each batch.

    Synthetic motion alone is known exactly, so its share stays to the end.
    """
    return TrainOptions(
        model="flow",
        minutes=120,
        crop=224,
        late_crop=320,
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
    """The recipe from trained weights to a user's own footage, in minutes; `flow` with Muon.

    Raises:
        ValueError: There is no recipe for the architecture.
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
        late_crop=None,
        synthetic=preset.synthetic / 4,
        validate_minutes=3.0,
    )


def train_preset(model: str, *, large_batch: bool = False) -> TrainOptions:
    """The recipe for an architecture.

    Args:
        model: The architecture.
        large_batch: Whether the device only works to capacity on many triplets at once, as a GPU.

    Raises:
        ValueError: There is no recipe for it.
    """
    presets = {"fusion": fusion_preset, "flow": flow_preset}
    require(model in presets, f"model must be one of {', '.join(presets)}, not {model!r}")
    preset = presets[model]()
    return replace(preset, batch=4 * preset.batch) if large_batch else preset
