"""Every option except those of training, with its default and its check (torch-free).

The command line, the Python API and the tests build these classes and take the defaults from them.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from interp_cli.errors import OptionError

Precision = Literal["auto", "fp32", "fp16", "bf16"]
Quality = Literal["auto", "fast", "balanced", "best"]
Trajectory = Literal["cubic", "linear"]
Fields = Literal["refuse", "deinterlace", "detelecine"]
OutputFormat = Literal["y4m", "nut"]
AtCut = Literal["nearest", "blend"]
Duplicates = Literal["keep", "retime"]

# A longer run of equal frames is a still, not slow animation.
MAX_DUPLICATE_RUN = 8
DEFAULT_MODEL = "flow"
DEFAULT_DETECTOR = "adaptive"
# Frame rate of an image sequence, as in FFmpeg.
DEFAULT_INPUT_RATE = Fraction(25)
_TYPE_NAMES: dict[type, str] = {int: "a whole number", bool: "True or False"}
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


def require(condition: bool, message: str) -> None:
    """Refuse an option's value unless a condition holds.

    Raises:
        OptionError: The condition does not hold.
    """
    if not condition:
        raise OptionError(message)


def require_whole(options: Any, minimum: int, *names: str) -> None:
    """Refuse an option that is given and is not a whole number of at least `minimum`.

    Raises:
        OptionError: A value is not.
    """
    for name in names:
        value = getattr(options, name)
        require(
            value is None or (isinstance(value, int) and value >= minimum),
            f"`{name}` must be a whole number of at least {minimum}, not {value!r}",
        )


def require_positive(options: Any, *names: str) -> None:
    """Refuse an option that is given and is not greater than 0; see `require`."""
    for name in names:
        value = getattr(options, name)
        require(value is None or value > 0, f"`{name}` must be greater than 0, not {value!r}")


def check_choices(options: Any) -> None:
    """Refuse a value that is not among those that its field's `Literal` lists.

    A field such as `int | Literal["auto"]` may also hold a value of the other type.

    Args:
        options: An option dataclass.

    Raises:
        OptionError: A field has another value.
    """
    for name, (choices, types) in _choices(type(options)).items():
        value = getattr(options, name)
        # True is an int to Python, but not a number to people.
        is_misplaced = isinstance(value, bool) and bool not in types
        if value in choices or (isinstance(value, types) and not is_misplaced):
            continue
        words = [str(choice) for choice in choices]
        words += [_TYPE_NAMES[each] for each in types if each in _TYPE_NAMES]
        listed = " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))
        raise OptionError(f"`{name}` must be {listed}, not {value!r}")


def _choices(cls: type) -> dict[str, tuple[tuple[Any, ...], tuple[type, ...]]]:
    """For each field with a `Literal`, the values listed and the other types allowed."""
    found = {}
    for name, hint in get_type_hints(cls).items():
        parts = (hint,) if get_origin(hint) is Literal else get_args(hint)
        choices = [
            value for part in parts if get_origin(part) is Literal for value in get_args(part)
        ]
        if choices:
            types = tuple(part for part in parts if isinstance(part, type))
            found[name] = (tuple(choices), types)
    return found


def require_device(name: str) -> None:
    """Refuse a text that is no device name.

    Raises:
        OptionError: The name is unknown.
    """
    require(
        _DEVICE.fullmatch(name) is not None,
        f"`device` must be auto, cpu, cuda, cuda:N or mps, not {name!r}",
    )


def require_scene_threshold(threshold: float | None) -> None:
    """Refuse a threshold that is not a likelihood; see `require`."""
    require(
        threshold is None or 0 < threshold <= 1,
        f"`scene_threshold` must be greater than 0 and at most 1, not {threshold!r}",
    )


def _require_frame_rate(name: str, rate: object) -> None:
    """Refuse a rate that FFmpeg cannot store (its fractions are pairs of 32-bit integers)."""
    require(
        rate is None
        or (
            isinstance(rate, Fraction | int)
            and Fraction(1, 3600) <= rate <= 1000
            and rate.numerator < 2**31
            and rate.denominator < 2**31
        ),
        f"`{name}` must be a fraction from 1/3600 (one frame per hour) to 1000, not {rate}",
    )


@dataclass(frozen=True, slots=True)
class InferenceOptions:
    """Options of the network and of how it runs.

    Attributes:
        model: Name of a bundled model, or path of a `.safetensors` file.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`. `auto` is CUDA, else Apple's GPU, else
            the CPU.
        precision: Arithmetic of the network. `auto` is the fastest one that is safe on the device.
        batch: Batch size in frame pairs. `auto` follows the frame size and the memory.
        tile: Side of the tiles in pixels, at the resolution of motion estimation, which `quality`
            reduces (1080p at `balanced` to 480x270). `auto` uses tiles where memory requires them,
            `off` only after memory has run out.
        quality: Resolution of motion estimation. `auto` is `balanced` on a CPU and `best` on a GPU.
        trajectory: Motion between two frames: `cubic` also uses the frames before and after the
            pair, `linear` only the pair.
    """

    model: str = DEFAULT_MODEL
    device: str = "auto"
    precision: Precision = "auto"
    batch: int | Literal["auto"] = "auto"
    tile: int | Literal["auto", "off"] = "auto"
    quality: Quality = "auto"
    trajectory: Trajectory = "cubic"

    def __post_init__(self) -> None:
        """Check every value."""
        require_device(self.device)
        check_choices(self)
        require(
            isinstance(self.batch, str) or self.batch >= 1,
            f"`batch` must be auto or at least 1, not {self.batch!r}",
        )
        require(
            isinstance(self.tile, str) or self.tile >= 128,
            f"`tile` must be auto, off or at least 128 pixels, not {self.tile!r}",
        )


@dataclass(frozen=True, slots=True)
class EncodeOptions:
    """How the result is encoded; `None` follows the output's suffix.

    Attributes:
        encoder: Name of an ffmpeg encoder, such as `libx264`, `libx265`, `libsvtav1` or `ffv1`;
            name of a codec, such as `h264`, `hevc` or `av1`, for its software encoder; or
            `auto-hw` for the first hardware encoder that works here.
        crf: Constant quality, on the encoder's own scale.
        preset: The encoder's preset.
        pixel_format: An ffmpeg pixel format; `None` keeps the input's.
        options: Further encoder options, (name, value) pairs.
        ffmpeg_output: Options for ffmpeg's encoders and muxer, `-name` and value in turns. They
            override everything else. They are checked when ffmpeg is at hand, before any work.
    """

    encoder: str | None = None
    crf: int | None = None
    preset: str | None = None
    pixel_format: str | None = None
    options: tuple[tuple[str, str], ...] = ()
    ffmpeg_output: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check every value."""
        require(
            self.crf is None or 0 <= self.crf <= 100, f"`crf` must be 0 to 100, not {self.crf!r}"
        )


@dataclass(frozen=True, slots=True)
class InputLimits:
    """What is accepted as an input.

    Attributes:
        max_pixels: Largest number of pixels of a picture.
        allow_playlist_files: Whether a playlist may name files outside its own folder.
    """

    max_pixels: int = 1 << 27
    allow_playlist_files: bool = False

    @property
    def decoder_options(self) -> dict[str, str]:
        """Options with which FFmpeg's decoders refuse pictures far above the limit.

        They count rows in the length that is allocated, up to 63 pixels more.
        """
        return {"max_pixels": str(self.max_pixels + (64 << 16))}


DEFAULT_LIMITS = InputLimits()


@dataclass(frozen=True, slots=True)
class DoubleOptions:
    """Options of `double_video`.

    Attributes:
        start_seconds: Start, from the input's first frame; `None`: the first frame.
        end_seconds: End (excluded), from the input's first frame; `None`: the end of the input.
        factor: Output frames per input frame; `None`: `slow_motion`, else 2.
        frame_rate: Exact constant frame rate of the output, with each frame made for its own time;
            `None`: every input frame keeps its own time.
        slow_motion: Factor by which the output lasts longer, at the input's frame rate; `None`: 1.
        fields: Treatment of interlaced video: refuse it, interpolate its fields to frames
            (`deinterlace`), or restore the frames of film (`detelecine`).
        max_gap_seconds: Longest gap between two frames that is interpolated. In a longer gap (of
            more than two frames at the nominal rate) the earlier frame is held.
        scene_threshold: Likelihood from which a pair of frames is a cut, greater than 0 to 1;
            `None` detects no cuts.
        scene_detector: Name of the scene detector.
        at_cut: Frames at a cut or a flash: the nearest original, or a blend of both.
        duplicates: Treatment of repeated frames, as in animation: keep them, or replace all but the
            first of a run by frames that follow the motion.
        audio: Whether audio is copied.
        overwrite: Whether an existing output may be replaced, and without `resume` also the
            finished frames of an earlier run.
        resume: Whether to continue from the finished frames of an earlier run of the same job.
        segment_frames: Output frames per segment of a long video or image sequence. Finished
            segments survive an interruption. A shorter output has no segments.
        checkpoint_seconds: Seconds of work after which new frames of an unfinished segment survive
            an interruption too, stored uncompressed in at most 2 GiB; `None`: only finished
            segments survive.
        keep_going: Whether to leave the bad frames of a damaged input out and convert the others.
        max_pixels: Largest number of pixels of an input frame, 2^27 (16384x8192) by default.
        max_memory_gb: Largest memory that a job may take by estimate, in GB (10^9 bytes);
            `None`: the machine's memory.
        allow_playlist_files: Whether a playlist may name files outside its own folder.
        input_frame_rate: Frame rate of an image sequence; `None`: 25.
        white_level: Value of white in floating-point images.
        output_format: Format of an output pipe; `None`: that of the input pipe, else `nut`.
        save_flow: Folder for the optical flow of each synthesized frame; `None`: not saved.
        flow_scale_px: Vector length in pixels with full colour in the images of the flow; `None`:
            1/64 of the longer side.
    """

    start_seconds: float | None = None
    end_seconds: float | None = None
    factor: int | None = None
    frame_rate: Fraction | None = None
    slow_motion: int | None = None
    fields: Fields = "refuse"
    max_gap_seconds: float = 0.25
    scene_threshold: float | None = 0.5
    scene_detector: str = DEFAULT_DETECTOR
    at_cut: AtCut = "nearest"
    duplicates: Duplicates = "keep"
    audio: bool = True
    overwrite: bool = False
    resume: bool = False
    segment_frames: int = 500
    checkpoint_seconds: float | None = 30.0
    keep_going: bool = False
    max_pixels: int = DEFAULT_LIMITS.max_pixels
    max_memory_gb: float | None = None
    allow_playlist_files: bool = False
    input_frame_rate: Fraction | None = None
    white_level: float = 1.0
    output_format: OutputFormat | None = None
    save_flow: Path | None = None
    flow_scale_px: float | None = None
    inference: InferenceOptions = field(default_factory=InferenceOptions)
    encode: EncodeOptions = field(default_factory=EncodeOptions)

    def __post_init__(self) -> None:
        """Check every value."""
        check_choices(self)
        start = self.start_seconds or 0.0
        require(start >= 0, f"`start_seconds` must be at least 0, not {start!r}")
        require(
            self.end_seconds is None or self.end_seconds > start,
            f"`end_seconds` must be greater than `start_seconds` ({start:g}),"
            f" not {self.end_seconds!r}",
        )
        require_whole(self, 2, "factor", "slow_motion")
        require_whole(self, 4, "segment_frames")
        require_whole(self, 1, "max_pixels")
        _require_frame_rate("frame_rate", self.frame_rate)
        for other in ("frame_rate", "slow_motion"):
            require(
                self.factor is None or getattr(self, other) is None,
                f"`factor` and `{other}` both set the number of output frames: give one of them",
            )
        require(
            self.slow_motion is None
            or not any(w == "-af" or w.startswith("-filter:a") for w in self.encode.ffmpeg_output),
            "`ffmpeg_output`: `slow_motion` already filters the audio; remove the audio filter",
        )
        require_positive(
            self,
            *("max_gap_seconds", "checkpoint_seconds", "white_level", "flow_scale_px"),
            "max_memory_gb",
        )
        require(
            self.flow_scale_px is None or self.save_flow is not None,
            "`flow_scale_px` is for the images of the flow: give `save_flow`, too",
        )
        _require_frame_rate("input_frame_rate", self.input_frame_rate)
        require_scene_threshold(self.scene_threshold)

    @property
    def input_limits(self) -> InputLimits:
        """What is accepted as an input."""
        return InputLimits(self.max_pixels, self.allow_playlist_files)

    @property
    def frames_for_each(self) -> int:
        """Frames out for each frame in, unless there is a `frame_rate`."""
        return self.factor or self.slow_motion or 2


@dataclass(frozen=True, slots=True)
class EvalOptions:
    """Options of `evaluate`.

    Attributes:
        inference: Model and its settings; `quality` is `best` by default.
        compare: Methods to compare with: `blend`, `minterpolate`, `dis`, or names or files of
            other models.
        only: Names of the sets to score, in which `*` matches anything; all sets if empty.
        skip: Number of hidden frames between two shown ones in videos and in folders of numbered
            frames; `None`: the usual number of the data set, else 1.
        limit: Number of pictures to score in each set, rounded up to whole pairs of shown frames;
            `None`: all.
        scene_threshold: As in `DoubleOptions`. No frame of a video is hidden where a cut lies.
        tta: Whether networks also predict for the frames rotated by 180 degrees, and the mean of
            both RGB pictures is scored.
        vmaf: Whether VMAF is measured on videos.
        worst: Number of pictures with the lowest PSNR to list for each set.
        output_dir: Folder for the predicted pictures, `SET/PREDICTOR/ITEM.png`; `None`: not saved.
        predictions: Folder of pictures by other tools, `SET/TOOL/ITEM.png`; each tool is scored.
    """

    inference: InferenceOptions = field(default_factory=lambda: InferenceOptions(quality="best"))
    compare: tuple[str, ...] = ("blend", "minterpolate")
    only: tuple[str, ...] = ()
    skip: int | None = None
    limit: int | None = None
    scene_threshold: float | None = field(default_factory=lambda: DoubleOptions().scene_threshold)
    tta: bool = False
    vmaf: bool = True
    worst: int = 3
    output_dir: Path | None = None
    predictions: Path | None = None

    def __post_init__(self) -> None:
        """Check every value."""
        require_whole(self, 1, "skip", "limit")
        require_whole(self, 0, "worst")
        require_scene_threshold(self.scene_threshold)

    @property
    def predictors(self) -> tuple[str, ...]:
        """Names of all predictors: the model, then the others, without repetition."""
        return tuple(dict.fromkeys((self.inference.model, *self.compare)))


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """Options of `benchmark`.

    Attributes:
        inference: Model and its settings.
        sizes: Frame sizes (width, height) of drawn clips, in pixels; unused with `input`.
        input: Video to use instead of drawn clips.
        seconds: Duration to use from the start of the input; `None`: all of it.
        compare: Methods to compare with: `minterpolate`, `dis`, `blend`, or names or files of
            other models.
        compare_commands: Command lines of other programs to compare with, with `{input}` and
            `{output}` in place of the file names.
        preset: x264 preset of every output.
        rounds: Number of rounds; medians are reported.
        frames: Length of a drawn clip in frames; `None`: as many as take a few seconds to double.
    """

    inference: InferenceOptions = field(default_factory=InferenceOptions)
    sizes: tuple[tuple[int, int], ...] = ((640, 360), (1280, 720), (1920, 1080), (3840, 2160))
    input: Path | None = None
    seconds: float | None = None
    compare: tuple[str, ...] = ()
    compare_commands: tuple[str, ...] = ()
    preset: str = "medium"
    rounds: int = 3
    frames: int | None = None

    def __post_init__(self) -> None:
        """Check every value."""
        for width, height in self.sizes:
            require(
                width >= 32 and height >= 32 and width % 2 == height % 2 == 0,
                f"`sizes` must be even and at least 32x32, not {width}x{height}",
            )
        for command in self.compare_commands:
            try:
                words = " ".join(shlex.split(command))
            except ValueError:  # a quotation mark has no partner
                words = ""
            require(
                "{input}" in words and "{output}" in words,
                "`compare_commands` must be like 'rife -i {input} -o {output}', with both names in"
                f" braces and quotation marks in pairs, not {command!r}",
            )
        require_positive(self, "seconds")
        require_whole(self, 1, "rounds")
        require_whole(self, 2, "frames")
        require(
            self.seconds is None or self.input is not None,
            "`seconds` needs `input`; the length of a drawn clip is set by `frames`",
        )
