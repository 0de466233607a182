"""A video is scored on the frames that `double` writes, to the last bit."""

from pathlib import Path

import av
import clips
import numpy as np
import pytest

from interp_cli.evaluation import datasets, predictors
from interp_cli.evaluation.evaluate import evaluate
from interp_cli.evaluation.predictors import ModelPredictor
from interp_cli.evaluation.runs import VideoRun
from interp_cli.inference.frame_cache import FrameCache
from interp_cli.inference.interpolator import Interpolator
from interp_cli.options import DoubleOptions, EncodeOptions, EvalOptions
from interp_cli.pipeline.double import double_video
from interp_cli.video.colour import to_rgb8

FRAMES = 13
BAR_PX = 16


def drawn() -> list[np.ndarray]:
    """Motion between black bars; frames 5 and 6 repeat frame 4."""
    pictures = [picture.copy() for picture in clips.drawn_frames(FRAMES, duplicates=(5, 6))]
    for picture in pictures:
        picture[:BAR_PX] = picture[-BAR_PX:] = 0
    return pictures


def lossless(path: Path, pix_fmt: str, pictures: list[np.ndarray]) -> Path:
    return clips.moving_clip(path, len(pictures), codec="ffv1", pix_fmt=pix_fmt, pictures=pictures)


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[np.ndarray]]]:
    """Format and planes of each frame that is scored, before it becomes RGB."""
    found: list[tuple[str, list[np.ndarray]]] = []

    def noted(image: av.VideoFrame, tags: object) -> np.ndarray:
        found.append((image.format.name, clips.planes(image)))
        return to_rgb8(image, tags)

    monkeypatch.setattr(predictors, "to_rgb8", noted)
    return found


@pytest.mark.parametrize(
    ("pix_fmt", "skip", "model"),
    [
        ("yuv420p", 1, "flow"),
        ("yuv420p10le", 1, "flow"),
        ("yuv444p", 3, "flow"),
        ("yuv420p10le", 1, None),
    ],
)
def test_scored_frames_are_those_of_double(
    tmp_path: Path, averaging, scored, monkeypatch, pix_fmt: str, skip: int, model: str | None
) -> None:
    # Clips of two pairs at most: what lies beyond them counts all the same.
    monkeypatch.setattr(datasets, "_CLIP_BYTES", 5 * clips.true_frame(0).nbytes)
    interpolator = Interpolator(model or averaging, "cpu", precision="fp32", batch=1)
    pictures = drawn()
    clip = lossless(tmp_path / "clip.mkv", pix_fmt, pictures)
    report = evaluate(
        clip,
        options=EvalOptions(skip=skip, vmaf=False, output_dir=tmp_path / "kept"),
        predictors=[ModelPredictor(interpolator)],
    )

    shown = lossless(tmp_path / "shown.mkv", pix_fmt, pictures[:: skip + 1])
    options = DoubleOptions(factor=skip + 1, encode=EncodeOptions(encoder="ffv1"))
    result = double_video(shown, tmp_path / "out.mkv", options, interpolator=interpolator)
    written = clips.decoded(tmp_path / "out.mkv")
    numbers = [n for n in range(FRAMES) if n % (skip + 1)]
    items = report.sets[0].predictors[0].items
    assert [int(item.name) for item in items] == numbers
    assert len(scored) == len(numbers)
    assert result.duplicates == (1 if skip == 1 else 0)
    for number, (name, planes) in zip(numbers, scored, strict=True):
        assert name == written[number].format.name == pix_fmt
        for ours, theirs in zip(planes, clips.planes(written[number]), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    # A duplicate is repeated, and the truth is its own decoded frame.
    if skip == 1:
        assert items[numbers.index(5)].psnr_db == 100


def test_only_finished_frames_become_rgb(tmp_path: Path, averaging, monkeypatch) -> None:
    """Ten bits are averaged as ten bits: through 8-bit RGB, an odd sum would be lost."""
    clip = lossless(tmp_path / "clip.mkv", "yuv420p10le", drawn())
    interpolator = Interpolator(averaging, "cpu", precision="fp32")
    monkeypatch.setattr(
        Interpolator, "sequence", lambda *_: pytest.fail("predicted from RGB pictures")
    )
    report = evaluate(clip, predictors=[ModelPredictor(interpolator)])
    assert len(report.sets[0].predictors[0].items) == FRAMES // 2


def test_tta_of_a_video_averages_rgb_pictures_and_says_so(tmp_path: Path, averaging) -> None:
    clip = lossless(tmp_path / "clip.mkv", "yuv420p", drawn())
    predictor = ModelPredictor(Interpolator(averaging, "cpu"), tta=True)
    (report,) = evaluate(clip, predictors=[predictor]).sets
    assert report.predictors[0].name == "Averaging-tta"
    assert report.notes == (
        "Averaging-tta averages RGB pictures, which double_video does not write; without `tta`"
        " the frames that it writes are scored.",
    )


def test_a_model_that_makes_only_middles_is_scored_where_it_can(tmp_path: Path, averaging) -> None:
    class Halving(type(averaging)):
        supports_timestep = False

    clip = lossless(tmp_path / "clip.mkv", "yuv420p", list(clips.drawn_frames(13)))
    predictor = ModelPredictor(Interpolator(Halving(), "cpu"))
    (report,) = evaluate(clip, options=EvalOptions(skip=5), predictors=[predictor]).sets
    assert [item.name for item in report.predictors[0].items] == ["3", "9"]
    assert "Halving cannot make frames at 1/6, 1/3, 2/3, 5/6: those are left out." in report.notes


def test_frames_wait_as_they_were_decoded(tmp_path: Path, monkeypatch) -> None:
    """The plan looks ahead; what waits for it is not held as RGB."""
    converted = []
    monkeypatch.setattr(
        "interp_cli.evaluation.runs.to_rgb8", lambda *a: [converted.append(1), to_rgb8(*a)][1]
    )
    clip = lossless(tmp_path / "clip.mkv", "yuv420p", list(clips.drawn_frames(13)))
    data = datasets.DataSet("clip", clip, "video", (VideoRun.open(clip, scene_threshold=0.5),))
    monkeypatch.setattr(datasets, "_CLIP_BYTES", 0)
    made = data.clips()
    first = next(made)
    assert first.plan is not None
    assert len(converted) == 3  # two shown, one hidden
    made.close()


def test_what_is_computed_from_a_frame_goes_with_it(tmp_path: Path, monkeypatch) -> None:
    """A clip holds many frames, and their features would take far more memory than they do."""
    held = []
    get = FrameCache.get

    def noted(cache: FrameCache, *arguments: object) -> object:
        value = get(cache, *arguments)
        held.append(len(cache._values))
        return value

    monkeypatch.setattr(FrameCache, "get", noted)
    clip = lossless(tmp_path / "clip.mkv", "yuv420p", list(clips.drawn_frames(41)))
    interpolator = Interpolator("flow", "cpu", precision="fp32", batch=1)
    evaluate(clip, options=EvalOptions(vmaf=False), predictors=[ModelPredictor(interpolator)])
    assert 2 <= max(held) <= 8  # of 21 that are shown
