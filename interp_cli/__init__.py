"""Double the frame rate of a video with a trained neural network.

    import interp_cli

    interp_cli.double_video("clip.mp4", "clip_2x.mp4")

    interpolate = interp_cli.Interpolator(device="auto")
    middle = interpolate(frame0, frame1)  # RGB arrays, (H, W, 3), uint8 or uint16

Names are imported on first use, so that `import interp_cli` and `interp --help` answer at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interp_cli.benchmarking.benchmark import benchmark
    from interp_cli.benchmarking.report import BenchReport
    from interp_cli.errors import (
        DecodeError,
        EncodeError,
        InterpError,
        OpenError,
        OptionError,
        ResourceError,
        TrainingError,
        VideoError,
        WeightsError,
    )
    from interp_cli.evaluation.evaluate import evaluate
    from interp_cli.evaluation.report import EvalReport
    from interp_cli.inference.flow import OpticalFlow
    from interp_cli.inference.interpolator import Interpolator
    from interp_cli.inference.process import tune_process
    from interp_cli.options import (
        BenchOptions,
        DoubleOptions,
        EncodeOptions,
        EvalOptions,
        InferenceOptions,
    )
    from interp_cli.pipeline.double import DoubleResult, double_video
    from interp_cli.pipeline.flow_export import read_flo, write_flo
    from interp_cli.training.loop import TrainResult, train
    from interp_cli.training.options import PrepareOptions, TrainOptions, train_preset
    from interp_cli.video.probe import probe

    __version__: str

__all__ = [
    "BenchOptions",
    "BenchReport",
    "DecodeError",
    "DoubleOptions",
    "DoubleResult",
    "EncodeError",
    "EncodeOptions",
    "EvalOptions",
    "EvalReport",
    "InferenceOptions",
    "InterpError",
    "Interpolator",
    "OpenError",
    "OpticalFlow",
    "OptionError",
    "PrepareOptions",
    "ResourceError",
    "TrainOptions",
    "TrainResult",
    "TrainingError",
    "VideoError",
    "WeightsError",
    "__version__",
    "benchmark",
    "double_video",
    "evaluate",
    "probe",
    "read_flo",
    "train",
    "train_preset",
    "tune_process",
    "write_flo",
]

_HOMES = {
    "BenchOptions": "interp_cli.options",
    "BenchReport": "interp_cli.benchmarking.report",
    "DecodeError": "interp_cli.errors",
    "DoubleOptions": "interp_cli.options",
    "DoubleResult": "interp_cli.pipeline.double",
    "EncodeError": "interp_cli.errors",
    "EncodeOptions": "interp_cli.options",
    "EvalOptions": "interp_cli.options",
    "EvalReport": "interp_cli.evaluation.report",
    "InferenceOptions": "interp_cli.options",
    "InterpError": "interp_cli.errors",
    "Interpolator": "interp_cli.inference.interpolator",
    "OpenError": "interp_cli.errors",
    "OpticalFlow": "interp_cli.inference.flow",
    "OptionError": "interp_cli.errors",
    "PrepareOptions": "interp_cli.training.options",
    "ResourceError": "interp_cli.errors",
    "TrainOptions": "interp_cli.training.options",
    "TrainResult": "interp_cli.training.loop",
    "TrainingError": "interp_cli.errors",
    "VideoError": "interp_cli.errors",
    "WeightsError": "interp_cli.errors",
    "benchmark": "interp_cli.benchmarking.benchmark",
    "double_video": "interp_cli.pipeline.double",
    "evaluate": "interp_cli.evaluation.evaluate",
    "probe": "interp_cli.video.probe",
    "read_flo": "interp_cli.pipeline.flow_export",
    "train": "interp_cli.training.loop",
    "train_preset": "interp_cli.training.options",
    "tune_process": "interp_cli.inference.process",
    "write_flo": "interp_cli.pipeline.flow_export",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # takes longer than all of the above

        return version("interp-cli")
    if name not in _HOMES:
        raise AttributeError(f"module 'interp_cli' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
