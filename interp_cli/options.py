"""Every option of the product, with its default, in one place (torch-free).

The command line, the Python API and the tests build these; nothing else carries a default.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace
from fractions import Fraction
from numbers import Rational
from pathlib import Path
from typing import Literal

from interp_cli.ffmpeg_options import find_fault

Precision = Literal["auto", "fp32", "fp16", "bf16"]
Quality = Literal["auto", "fast", "balanced", "best"]
Fields = Literal["refuse", "deinterlace", "detelecine"]

OutputFormat = Literal["y4m", "nut"]
AtCut = Literal["nearest", "blend"]
Repeats = Literal["keep", "retime"]

OUTPUT_FORMATS: tuple[OutputFormat, ...] = ("y4m", "nut")
# More equal frames than these are a still, and no slow motion to make even.
LONGEST_RUN = 8
PRECISIONS: tuple[Precision, ...] = ("auto", "fp32", "fp16", "bf16")
QUALITIES: tuple[Quality, ...] = ("auto", "fast", "balanced", "best")
DEFAULT_MODEL = "flow"
# Pictures a second of a sequence, as in FFmpeg.
DEFAULT_INPUT_RATE = Fraction(25)


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
        quality: How large the pictures are in which motion is sought; `auto` is `balanced` on a
            CPU and `best` on a GPU.
    """

    model: str = DEFAULT_MODEL
    device: str = "auto"
    precision: Precision = "auto"
    batch: int | Literal["auto"] = "auto"
    tile: int | Literal["auto", "off"] = "auto"
    quality: Quality = "auto"

    def __post_init__(self) -> None:
        """Check every value."""
        _require(
            self.precision in PRECISIONS,
            f"precision must be one of {', '.join(PRECISIONS)}, not {self.precision!r}",
        )
        _require(
            self.quality in QUALITIES,
            f"quality must be one of {', '.join(QUALITIES)}, not {self.quality!r}",
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
        encoder: An ffmpeg encoder, such as `libx264`, `libx265`, `libsvtav1`, `ffv1`, or
            `auto-hw`: whatever hardware encoder works here.
        crf: Constant quality, in the encoder's own scale.
        preset: The encoder's preset.
        pixel_format: An ffmpeg pixel format; `None` keeps the input's.
        options: Further encoder options, (name, value) pairs.
        ffmpeg_output: Words for ffmpeg's command line, `-name` and value in turns, for its
            encoders and its muxer; they win over everything else.
    """

    encoder: str | None = None
    crf: int | None = None
    preset: str | None = None
    pixel_format: str | None = None
    options: tuple[tuple[str, str], ...] = ()
    ffmpeg_output: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check every value."""
        fault = find_fault(self.ffmpeg_output)
        _require(fault is None, f"ffmpeg output: {fault}")
        _require(self.crf is None or 0 <= self.crf <= 63, f"crf must be 0 to 63, not {self.crf!r}")


@dataclass(frozen=True, slots=True)
class DoubleOptions:
    """What `double` does.

    Attributes:
        start_seconds: Where to begin, from the input's first frame; `None`: at its start.
        end_seconds: Where to stop (not included); `None`: at its end.
        factor: Frames out for each frame in; `None`: 2, or as many as `slow_motion` says.
        frame_rate: The exact constant rate of the output, each frame made for its own time;
            `None`: every frame of the input stays at its own time.
        slow_motion: How many times longer the output lasts, at the input's rate; `None`: as long
            as the input.
        fields: What becomes of interlaced video: it is refused, its fields are filled up to
            frames, or film is taken out of its fields again.
        max_gap_seconds: A longer gap between two frames (and longer than two frames of the
            nominal rate) is no motion: the earlier frame is held.
        scene_threshold: How likely a cut must be to count as one, 0 to 1; `None` looks for no cuts.
        at_cut: What is shown between the frames beside a cut or a flash: the nearest of them, or
            both blended.
        repeats: Whether repeated frames (animation on twos) stay, or all but the first of a run
            give way to frames that follow the motion up to the next picture.
        audio: Whether sound comes along.
        overwrite: Whether an existing output may be replaced, and finished frames of an earlier
            run, unless `resume` is set.
        resume: Whether to go on from the finished frames that a stopped run of the same job left.
        keep_every: Frames of a video or a picture sequence after each of which those made so far
            are safe; an output that has no more is made in one go.
        keep_going: Whether the good part of a damaged input is worth an output.
        input_frame_rate: Pictures a second of a picture sequence; `None`: 25.
        white: The value that a network sees as white, in floating-point pictures.
        output_format: What a pipe carries; `None`: what comes in through one, else `nut`.
        save_motion: Folder for the motion behind each synthesized frame; `None`: not kept.
        motion_scale_px: Length of a vector that gets the full colour in the pictures of the motion;
            `None`: 1/64 of the longer side.
    """

    start_seconds: float | None = None
    end_seconds: float | None = None
    factor: int | None = None
    frame_rate: Fraction | None = None
    slow_motion: int | None = None
    fields: Fields = "refuse"
    max_gap_seconds: float = 0.25
    scene_threshold: float | None = 0.5
    at_cut: AtCut = "nearest"
    repeats: Repeats = "keep"
    audio: bool = True
    overwrite: bool = False
    resume: bool = False
    keep_every: int = 500
    keep_going: bool = False
    input_frame_rate: Fraction | None = None
    white: float = 1.0
    output_format: OutputFormat | None = None
    save_motion: Path | None = None
    motion_scale_px: float | None = None
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
        for name in ("factor", "slow_motion"):
            value = getattr(self, name)
            _require(
                value is None or (isinstance(value, int) and value >= 2),
                f"{name.replace('_', ' ')} must be a whole number from 2 on, not {value!r}",
            )
        rate = self.frame_rate
        _require(
            rate is None
            or (isinstance(rate, Rational) and 0 < rate <= 1000 and rate.numerator < 2**31),
            f"frame rate must be a fraction above 0 and at most 1000, not {rate!r}",
        )
        _require(
            self.factor is None or rate is None,
            "factor and frame rate both say how many frames come out: give one of them",
        )
        _require(
            self.factor is None or self.slow_motion is None,
            "factor and slow motion both say how many frames come out: give one of them",
        )
        _require(
            self.slow_motion is None
            or not any(w == "-af" or w.startswith("-filter:a") for w in self.encode.ffmpeg_output),
            "ffmpeg output: slow motion filters the sound itself; leave the filter for sound out",
        )
        _require(
            self.fields in ("refuse", "deinterlace", "detelecine"),
            f"fields must be refuse, deinterlace or detelecine, not {self.fields!r}",
        )
        _require(
            self.max_gap_seconds > 0, f"max gap must be above 0 s, not {self.max_gap_seconds!r}"
        )
        _require(
            isinstance(self.keep_every, int) and self.keep_every >= 4,
            f"keep every must be a whole number of frames from 4 on, not {self.keep_every!r}",
        )
        input_rate = self.input_frame_rate
        _require(
            input_rate is None or 0 < input_rate <= 1000,
            f"input fps must be above 0 and at most 1000, not {input_rate!r}",
        )
        _require(self.white > 0, f"white must be above 0, not {self.white!r}")
        _require(
            self.output_format in (None, *OUTPUT_FORMATS),
            f"output format must be {' or '.join(OUTPUT_FORMATS)}, not {self.output_format!r}",
        )
        _require(
            self.motion_scale_px is None or self.motion_scale_px > 0,
            f"motion scale must be above 0 pixels, not {self.motion_scale_px!r}",
        )
        _require(
            self.scene_threshold is None or 0 < self.scene_threshold <= 1,
            f"scene threshold must be above 0 and at most 1, not {self.scene_threshold!r}",
        )
        _require(
            self.at_cut in ("nearest", "blend"),
            f"at cut must be nearest or blend, not {self.at_cut!r}",
        )
        _require(
            self.repeats in ("keep", "retime"),
            f"repeats must be keep or retime, not {self.repeats!r}",
        )

    @property
    def frames_for_each(self) -> int:
        """Frames out for each frame in, unless there is a `frame_rate`."""
        return self.factor or self.slow_motion or 2


def parse_ffmpeg_output(text: str) -> tuple[str, ...]:
    """Split words as a shell does.

    Raises:
        ValueError: A quotation mark has no partner.
    """
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise ValueError(f"ffmpeg output: {error} in {text!r}") from None


def parse_frame_rate(text: str) -> Fraction:
    """A frame rate as people write it: `60`, `12.5`, `60000/1001`, and `59.94` for the latter.

    Raises:
        ValueError: It is no number.
    """
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"frame rate must be like 60, 59.94 or 60000/1001, not {text!r}") from None
    # Decimals round the rates of television, which are whole rates slowed by 1000/1001.
    television = Fraction(round(rate * Fraction(1001, 1000)) * 1000, 1001)
    if rate.denominator > 1 and "/" not in text and abs(rate - television) < Fraction(1, 200):
        return television
    return rate


@dataclass(frozen=True, slots=True)
class EvalOptions:
    """What `evaluate` scores.

    Attributes:
        inference: The model, and how it is run.
        against: What it is compared with: `blend`, `minterpolate`, `dis`, or further models by
            name or file.
        only: Score only the sets with these names, in which `*` stands for anything; none: all.
        hide: Frames hidden between two shown ones, in videos and in folders of numbered frames;
            `None`: as is usual for the set, else one.
        limit: Pictures to score in each set, its first ones, up to the end of a gap; `None`
            scores all.
        scene_threshold: As in `DoubleOptions`; no frame of a video is hidden beside a cut.
        tta: Whether networks predict also for the frames turned by 180 degrees, and the mean of
            both is scored.
        vmaf: Whether videos get VMAF too.
        worst: Pictures of lowest PSNR to list for each set.
        output_dir: Where the predicted pictures are kept, as `SET/ROW/ITEM.png`; `None`: nowhere.
        predictions: Pictures that were made elsewhere, named likewise: each ROW is scored too.
    """

    inference: InferenceOptions = field(default_factory=lambda: InferenceOptions(quality="best"))
    against: tuple[str, ...] = ("blend", "minterpolate")
    only: tuple[str, ...] = ()
    hide: int | None = None
    limit: int | None = None
    scene_threshold: float | None = field(default_factory=lambda: DoubleOptions().scene_threshold)
    tta: bool = False
    vmaf: bool = True
    worst: int = 3
    output_dir: Path | None = None
    predictions: Path | None = None

    def __post_init__(self) -> None:
        """Check every value."""
        for name in ("hide", "limit"):
            value = getattr(self, name)
            _require(value is None or value >= 1, f"{name} must be at least 1, not {value!r}")
        _require(self.worst >= 0, f"worst must not be negative, not {self.worst!r}")

    @property
    def rows(self) -> tuple[str, ...]:
        """Everything that is scored: the model, then the others, each once."""
        return tuple(dict.fromkeys((self.inference.model, *self.against)))


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What `benchmark` times.

    Attributes:
        inference: The model, and how it is run.
        sizes: Frame sizes (width, height) of drawn clips; not with `input`.
        input: A video to work on; `None`: one is drawn for each size.
        seconds: How much of the input to take, from its start; `None`: all of it.
        against: What doubles the same clip in turns with us: `minterpolate`, `dis`, `blend`, and
            further models by name or file.
        against_commands: Command lines of other programs that do so too, with `{input}` and
            `{output}` where the files' names belong.
        preset: The encoder's preset, for us and for what we start ourselves.
        repeats: Rounds, of which the medians are reported.
        frames: Frames of a drawn clip; `None`: as many as we double in a few seconds.
    """

    inference: InferenceOptions = field(default_factory=InferenceOptions)
    sizes: tuple[tuple[int, int], ...] = ((640, 360), (1280, 720), (1920, 1080), (3840, 2160))
    input: Path | None = None
    seconds: float | None = None
    against: tuple[str, ...] = ()
    against_commands: tuple[str, ...] = ()
    preset: str = "medium"
    repeats: int = 3
    frames: int | None = None

    def __post_init__(self) -> None:
        """Check every value."""
        for width, height in self.sizes:
            _require(
                width >= 32 and height >= 32 and width % 2 == height % 2 == 0,
                f"size must be even and at least 32x32, not {width}x{height}",
            )
        for command in self.against_commands:
            try:
                words = " ".join(shlex.split(command))
            except ValueError:  # a quotation mark has no partner
                words = ""
            _require(
                "{input}" in words and "{output}" in words,
                "against command must be like 'rife -i {input} -o {output}', with both names in"
                f" braces and quotation marks in pairs, not {command!r}",
            )
        _require(
            self.seconds is None or self.seconds > 0,
            f"seconds must be above 0, not {self.seconds!r}",
        )
        _require(
            self.seconds is None or self.input is not None,
            "seconds are of an input; a drawn clip has frames",
        )
        _require(self.repeats >= 1, f"repeats must be at least 1, not {self.repeats!r}")
        _require(
            self.frames is None or self.frames >= 2,
            f"frames must be at least 2, not {self.frames!r}",
        )


@dataclass(frozen=True, slots=True)
class PrepareOptions:
    """How videos become training triplets.

    Attributes:
        scene_threshold: Share of change above which two frames count as a cut, 0 to 1.
        short_side_px: Larger frames are scaled down by area averaging until their shorter side
            is this long, which sheds compression noise.
        still_below: Runs whose neighbours differ by less than this on average are dropped
            (mean absolute difference of luma, in units of 1/255).
    """

    scene_threshold: float = 0.27
    short_side_px: int = 576
    still_below: float = 0.3

    def __post_init__(self) -> None:
        """Check every value."""
        _require(
            0 < self.scene_threshold <= 1,
            f"scene threshold must be above 0 and at most 1, not {self.scene_threshold!r}",
        )
        _require(
            self.short_side_px >= 32,
            f"short side must be at least 32 pixels, not {self.short_side_px!r}",
        )
        _require(
            self.still_below >= 0, f"still limit must not be negative, not {self.still_below!r}"
        )


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
        crop: Side of the square crops in pixels.
        late_crop: Side of the crops in the last quarter of the run; `None`: the same.
        batch: Triplets a step, over all ranks.
        learning_rate: At its highest.
        schedule: `constant`, or `cosine` down to a fiftieth over the whole run.
        warm_up_steps: Steps over which the learning rate rises from zero.
        weight_decay: Of AdamW; 0 is plain Adam.
        clip_norm: Largest norm of the gradient; `None` does not limit it.
        ema: Share of the averaged weights that a step keeps; 0 keeps no average.
        synthetic: Share of each batch that is drawn motion over the same pictures, 0 to 1.
        late_synthetic: The same at the end of the run, which the share moves to evenly; `None`:
            it stays.
        hard_share: Share of triplets that are cut where most moves, 0 to 1.
        validate_minutes: Minutes between validations.
        checkpoint_minutes: Minutes between checkpoints.
        held_out: Triplets kept out of training to validate on.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        precision: `auto` takes the fastest that is safe on the device.
        ranks: Processes that share a step; `auto`: one a core on a CPU, else one.
        compile: Whether the network is compiled first; `auto`: on CUDA.
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
    warm_up_steps: int = 0
    weight_decay: float = 0.0
    clip_norm: float | None = None
    ema: float = 0.999
    synthetic: float = 0.0
    late_synthetic: float | None = None
    hard_share: float = 0.0
    validate_minutes: float = 5.0
    checkpoint_minutes: float = 3.0
    held_out: int = 48
    device: str = "auto"
    precision: Precision = "auto"
    ranks: int | Literal["auto"] = "auto"
    compile: bool | Literal["auto"] = "auto"
    resident: bool | Literal["auto"] = "auto"
    seed: int = 0
    prepare: PrepareOptions = field(default_factory=PrepareOptions)

    def __post_init__(self) -> None:
        """Check every value."""
        lengths = [n for n in (self.steps, self.epochs, self.minutes) if n is not None]
        _require(
            len(lengths) == 1 and lengths[0] > 0,
            "exactly one of steps, epochs and minutes must be given, and be above 0",
        )
        for name in ("crop", "late_crop"):
            side = getattr(self, name)
            _require(
                side is None or (side >= 16 and side % 2 == 0),
                f"{name} must be even and at least 16 pixels, not {side!r}",
            )
        for name in ("batch", "epoch_triplets", "held_out"):
            value = getattr(self, name)
            _require(value >= 1, f"{name} must be at least 1, not {value!r}")
        for name in ("learning_rate", "validate_minutes", "checkpoint_minutes"):
            _require(
                getattr(self, name) > 0, f"{name} must be above 0, not {getattr(self, name)!r}"
            )
        _require(
            self.schedule in ("constant", "cosine"),
            f"schedule must be constant or cosine, not {self.schedule!r}",
        )
        _require(0 <= self.ema < 1, f"ema must be at least 0 and below 1, not {self.ema!r}")
        for name in ("synthetic", "late_synthetic", "hard_share"):
            share = getattr(self, name)
            _require(
                share is None or 0 <= share <= 1, f"{name} must be between 0 and 1, not {share!r}"
            )
        _require(
            self.precision in PRECISIONS,
            f"precision must be one of {', '.join(PRECISIONS)}, not {self.precision!r}",
        )
        _require(
            self.ranks == "auto" or (isinstance(self.ranks, int) and self.ranks >= 1),
            f"ranks must be 'auto' or at least 1, not {self.ranks!r}",
        )


def fusion_preset() -> TrainOptions:
    """The recipe of `fusion`: 20 epochs of Adam at a constant rate on the squared error."""
    return TrainOptions(model="fusion", epochs=20, crop=48, batch=8, learning_rate=2e-4)


def flow_preset() -> TrainOptions:
    """The recipe of `flow`: AdamW, cosine schedule, synthetic motion in a fifth of each batch.

    Synthetic motion teaches most in the beginning; the end belongs to what people film.
    """
    return TrainOptions(
        model="flow",
        minutes=120,
        crop=224,
        late_crop=320,
        batch=16,
        learning_rate=6e-4,
        schedule="cosine",
        warm_up_steps=200,
        weight_decay=1e-4,
        clip_norm=1.0,
        synthetic=0.2,
        late_synthetic=0.1,
        hard_share=0.25,
    )


def fine_tune_preset(model: str) -> TrainOptions:
    """The recipe from trained weights to a user's own footage, in minutes.

    Raises:
        ValueError: There is no recipe for the architecture.
    """
    return replace(
        train_preset(model),
        epochs=None,
        minutes=15,
        batch=8,
        learning_rate=1e-4,
        schedule="cosine",
        warm_up_steps=20,
        ema=0.99,
        late_crop=None,
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
    _require(model in presets, f"model must be one of {', '.join(presets)}, not {model!r}")
    preset = presets[model]()
    return replace(preset, batch=4 * preset.batch) if large_batch else preset
