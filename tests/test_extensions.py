"""What another person adds is one module and one row: each test adds one for its own duration."""

import importlib
from dataclasses import replace
from pathlib import Path

import clips
import numpy as np
import pytest

from interp_cli import DoubleOptions, EncodeOptions, double_video
from interp_cli.errors import OptionError
from interp_cli.scenes.registry import DETECTORS
from interp_cli.video.encoding.containers import CONTAINERS
from interp_cli.video.encoding.encoders import ENCODERS
from interp_cli.video.probe import probe

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
        "lossless_avi",
        """
from interp_cli.video.encoding.containers import Container
from interp_cli.video.encoding.encoders import EncoderDefaults

AVI = Container(
    ".avi",
    muxer="avi",
    encoder="huffyuv",
    deep_encoder="ffv1",
    audio=frozenset({"mp3"}),
    audio_fallback="libmp3lame",
    subtitles=frozenset(),
    subtitle_fallback="subrip",
    roles=frozenset(),
)
HUFFYUV = EncoderDefaults(arguments=("-pred", "left"), aliases=("huff",))
""",
    )
    monkeypatch.setitem(CONTAINERS, ".avi", module.AVI)
    monkeypatch.setitem(ENCODERS, "huffyuv", module.HUFFYUV)
    named = DoubleOptions(
        encode=EncodeOptions(encoder="huff", ffmpeg_output=("-non_deterministic", "0"))
    )
    for name, options in (("default.avi", DoubleOptions()), ("named.avi", named)):
        result = double_video(ffv1_clip, tmp_path / name, options, interpolator=interpolator)
        assert result.encoder == "huffyuv"
        info = probe(tmp_path / name)
        assert (info.container, info.codec) == ("avi", "huffyuv")
        assert len(clips.decoded(tmp_path / name)) == result.frames_out
