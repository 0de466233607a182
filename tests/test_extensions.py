"""What another person adds is one module and one row: each test adds one for its own duration."""

import importlib
from dataclasses import replace
from pathlib import Path

import clips
import numpy as np
import pytest
import torch

from interp_cli import DoubleOptions, EncodeOptions, Interpolator, double_video
from interp_cli.errors import OptionError
from interp_cli.models.registry import ARCHITECTURES, create_model
from interp_cli.models.weights import save_weights
from interp_cli.scenes.registry import DETECTORS
from interp_cli.video.encoding.containers import CONTAINERS
from interp_cli.video.encoding.encoders import ENCODERS
from interp_cli.video.probe import probe
from interp_cli.video.readers.open import READERS
from interp_cli.video.writers.open import WRITERS

LOSSLESS = DoubleOptions(encode=EncodeOptions(encoder="ffv1"))


def load_module(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str):
    (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    return importlib.import_module(name)


def test_a_scene_detector_is_one_module_and_one_row(tmp_path, monkeypatch, h264_clip, interpolator):
    module = load_module(
        tmp_path,
        monkeypatch,
        "every_fifth_frame",
        """
from interp_cli.scenes.base import PairKind, SceneDetector


class EveryFifthFrame(SceneDetector):
    def __init__(self, threshold):
        self.threshold = threshold

    def add(self, thumbnail):
        assert thumbnail.ndim == 2

    def is_ready(self, frame):
        return True

    def judge(self, frame):
        return PairKind.CONTINUOUS if (frame + 1) % 5 else PairKind.CUT
""",
    )
    monkeypatch.setitem(DETECTORS, "every-fifth", module.EveryFifthFrame)
    out = tmp_path / "out.mkv"
    options = replace(LOSSLESS, scene_detector="every-fifth")
    double_video(h264_clip, out, options, interpolator=interpolator)
    frames = [clips.planes(frame) for frame in clips.decoded(out)]
    # Between frames 4 and 5 the middle is a copy, elsewhere it is made.
    copies = [
        n
        for n in range(len(frames) // 2 - 1)
        if all(map(np.array_equal, frames[2 * n + 1], frames[2 * n]))
    ]
    assert copies == list(range(4, len(frames) // 2 - 1, 5))


def test_an_unknown_scene_detector_is_refused(tmp_path, h264_clip, interpolator):
    options = replace(LOSSLESS, scene_detector="nosuch")
    with pytest.raises(OptionError, match="`scene_detector` must be adaptive, not 'nosuch'"):
        double_video(h264_clip, tmp_path / "out.mkv", options, interpolator=interpolator)
    assert not (tmp_path / "out.mkv").exists()


def test_an_encoder_and_a_container_are_a_row_each(tmp_path, monkeypatch, ffv1_clip, interpolator):
    module = load_module(
        tmp_path,
        monkeypatch,
        "lossless_nut",
        """
from interp_cli.video.encoding.containers import Container
from interp_cli.video.encoding.encoders import EncoderDefaults

NUT = Container(
    ".nut",
    muxer="nut",
    encoder="huffyuv",
    deep_encoder="ffv1",
    copied=frozenset({"mp3"}),
    audio_fallback="libmp3lame",
    subtitle_fallback="subrip",
    roles=frozenset(),
)
HUFFYUV = EncoderDefaults(arguments=("-pred", "left"), aliases=("huff",))
""",
    )
    monkeypatch.setitem(CONTAINERS, ".nut", module.NUT)
    monkeypatch.setitem(ENCODERS, "huffyuv", module.HUFFYUV)
    named = DoubleOptions(
        encode=EncodeOptions(encoder="huff", ffmpeg_output=("-non_deterministic", "0"))
    )
    for name, options in (("default.nut", DoubleOptions()), ("named.nut", named)):
        result = double_video(ffv1_clip, tmp_path / name, options, interpolator=interpolator)
        assert result.encoder == "huffyuv"
        info = probe(tmp_path / name)
        assert (info.container, info.codec) == ("nut", "huffyuv")
        assert len(clips.decoded(tmp_path / name)) == result.frames_out


def test_a_model_is_one_module_and_one_row(tmp_path, monkeypatch, h264_clip):
    """Registered, it has weights that load, an `Interpolator`, and videos in their own planes."""
    module = load_module(
        tmp_path,
        monkeypatch,
        "standing",
        """
import torch

from interp_cli.models.base import SynthesisParams


class Standing(torch.nn.Module):
    supports_timestep = True

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def size_multiple(self, height, width):
        return 8

    def forward(self, frame0, frame1, timestep):
        return torch.lerp(frame0, frame1, timestep)

    def encode(self, frame):
        return (frame,)

    def estimate_flow(self, features0, features1):
        count, _, height, width = features0[0].shape
        return features0[0].new_zeros(count, 2, 2, height // 4, width // 4)

    def synthesize(self, features0, features1, flow, timestep):
        none = torch.zeros_like(features0[0][:, :1])
        still = none.repeat(1, 2, 1, 1)
        mask = none + 1 - timestep
        return SynthesisParams(still, still, mask, none, none, none.repeat(1, 3, 1, 1))
""",
    )
    monkeypatch.setitem(ARCHITECTURES, "standing", module.Standing)
    weights = tmp_path / "standing.safetensors"
    save_weights(weights, create_model("standing"), "standing")
    interpolator = Interpolator(weights, "cpu")
    assert interpolator.has_flow
    black, white = np.zeros((24, 40, 3), np.uint8), np.full((24, 40, 3), 200, np.uint8)
    assert np.unique(interpolator(black, white, 0.25)) == [50]
    assert not interpolator.flow(black, white).displacement.any()
    result = double_video(h264_clip, tmp_path / "out.mkv", LOSSLESS, interpolator=interpolator)
    assert result.frames_out == 2 * result.frames_in


def test_a_model_that_lacks_something_is_refused_by_name():
    class Unfinished(torch.nn.Module):
        supports_timestep = True

        def synthesize(self, features0, features1, flow, timestep):
            raise NotImplementedError

    with pytest.raises(
        ValueError, match="Unfinished lacks size_multiple, encode, estimate_flow; see"
    ):
        Interpolator(Unfinished(), "cpu")


def test_a_reader_and_a_writer_are_a_module_and_a_row_each(tmp_path, monkeypatch, interpolator):
    module = load_module(
        tmp_path,
        monkeypatch,
        "levels_of_grey",
        """
from fractions import Fraction
from pathlib import Path

import av

from interp_cli.video.pixel_format import planes_of
from interp_cli.video.probe import ColourTags, VideoInfo
from interp_cli.video.readers.base import Frame, FrameReader
from interp_cli.video.readers.open import ReaderKind
from interp_cli.video.writers.base import FrameWriter
from interp_cli.video.writers.open import WriterKind

RATE = Fraction(10)


class LevelsReader(FrameReader):
    damage, repaired_times, warnings = None, 0, ()

    def __init__(self, path):
        self.levels = [int(word) for word in path.read_text().split()]
        self.info = VideoInfo(
            path, "levels", "levels", 16, 16, "gray", ColourTags(), Fraction(1), 0, False, RATE,
            1 / RATE, len(self.levels), len(self.levels) / 10, Fraction(0), Fraction(0), 1, 0,
            False, 0, (), 0, {},
        )

    def __iter__(self):
        for pts, level in enumerate(self.levels):
            image = av.VideoFrame(16, 16, "gray")
            planes_of(image)[0][...] = level
            yield Frame(image, pts, 1, 1 / RATE)

    def close(self):
        pass


class LevelsWriter(FrameWriter):
    encoder, warnings = "levels", ()

    def __init__(self, path):
        self.path, self.levels = path, []

    @property
    def output_bytes(self):
        return self.path.stat().st_size

    def write(self, image, pts):
        self.levels.append(str(planes_of(image)[0][0, 0]))

    def close(self):
        self.path.write_text(" ".join(self.levels))

    def kill(self):
        pass

    def abort(self):
        pass


def recognize(path, source=None):
    return path if path.suffix == ".levels" else None


READER = ReaderKind("levels", recognize, lambda source, options: LevelsReader(source.path))
WRITER = WriterKind(
    "levels", recognize, lambda target, options: None,
    lambda target, output: LevelsWriter(target.path),
)
""",
    )
    READERS.insert(0, module.READER)
    WRITERS.insert(0, module.WRITER)
    try:
        (tmp_path / "in.levels").write_text("10 20 40 60")
        options = DoubleOptions(scene_threshold=None)
        source, target = tmp_path / "in.levels", tmp_path / "out.levels"
        result = double_video(source, target, options, interpolator=interpolator)
    finally:
        READERS.remove(module.READER)
        WRITERS.remove(module.WRITER)
    assert (result.frames_in, result.frames_out, result.encoder) == (4, 8, "levels")
    assert target.read_text() == "10 15 20 30 40 50 60 60"
