"""Every set here is drawn, so that the hidden pictures and the scores are known."""

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import clips
import cv2
import numpy as np
import pytest
import torch

from interp_cli.errors import DecodeError, InterpError, OpenError, VideoError
from interp_cli.evaluation.baselines import Blend, Frames
from interp_cli.evaluation.evaluate import _create_predictor, evaluate
from interp_cli.evaluation.metrics import psnr
from interp_cli.evaluation.predictors import ModelPredictor
from interp_cli.evaluation.report import EvalReport, ItemScore, PredictorScores, SetReport
from interp_cli.inference.interpolator import Interpolator
from interp_cli.options import EvalOptions


class Knows:
    """Predicts the drawn motion exactly, from where it saw the first frame; counts its calls.

    The drawing is known at every half frame, so `step` over the timestep's denominator is too.
    """

    name = "knows"

    def __init__(self, step: int) -> None:
        self.step = step
        self.seen: list[int] = []

    def can_make(self, timestep: Fraction) -> bool:
        return True

    def between(self, frames: Frames, timesteps: Sequence[Fraction]) -> list[Frames]:
        start = next(
            index for index in range(40) if np.array_equal(frames[0], clips.true_frame(index))
        )
        self.seen.append(len(frames))
        return [
            [clips.true_frame(start + self.step * float(index + t)) for t in timesteps]
            for index in range(len(frames) - 1)
        ]


def moving_triplet(folder: Path, start: int, size: tuple[int, int] = clips.SIZE) -> None:
    times = (start, start + 0.5, start + 1)
    clips.write_triplet(folder, *(clips.true_frame(time, size) for time in times))


@pytest.fixture
def two_sets(tmp_path: Path) -> Path:
    for name, starts in (("near", (0, 1)), ("far", (4, 5, 6))):
        for start in starts:
            moving_triplet(tmp_path / "data" / name / f"t{start}", start)
    (tmp_path / "data" / "near" / "notes.txt").write_text("no triplet")
    return tmp_path / "data"


def lossless(path: Path, frames: int, cuts: tuple[int, ...] = ()) -> Path:
    return clips.moving_clip(path, frames=frames, codec="ffv1", pix_fmt="bgr0", cuts=cuts)


def by_row(report: SetReport) -> dict[str, PredictorScores]:
    return {row.name: row for row in report.predictors}


def test_each_parent_of_triplets_is_a_set_of_its_own(two_sets: Path) -> None:
    report = evaluate(two_sets, predictors=[Blend()])
    assert [(each.name, each.kind) for each in report.sets] == [
        ("far", "triplets"),
        ("near", "triplets"),
    ]
    assert [item.name for item in report.sets[0].predictors[0].items] == ["t4", "t5", "t6"]
    assert [item.name for item in report.sets[1].predictors[0].items] == ["t0", "t1"]


def test_a_set_and_a_single_triplet_can_be_named(two_sets: Path) -> None:
    for path, names in ((two_sets / "near", ["t0", "t1"]), (two_sets / "near" / "t1", ["t1"])):
        (each,) = evaluate(str(path), predictors=[Blend()]).sets
        assert each.name == "near"
        assert [item.name for item in each.predictors[0].items] == names


def test_sets_of_one_name_are_told_apart(two_sets: Path, tmp_path: Path) -> None:
    moving_triplet(tmp_path / "other" / "near" / "t0", 0)
    report = evaluate([two_sets, tmp_path / "other"], predictors=[Blend()])
    assert [each.name for each in report.sets] == [
        "far",
        str(two_sets / "near"),
        str(tmp_path / "other" / "near"),
    ]


def test_im2_is_what_is_hidden_and_compared(two_sets: Path) -> None:
    report = evaluate(two_sets, predictors=[Knows(step=1), Blend()])
    for each in report.sets:
        rows = by_row(each)
        # Equal pictures count as 100 dB, so that there is a mean.
        assert (rows["knows"].psnr_db, rows["knows"].ssim) == (100, 1)
        assert rows["knows"].interpolation_error == 0
        assert 15 < rows["blend"].psnr_db < 40
        assert 0.5 < rows["blend"].ssim < 1
        assert rows["blend"].interpolation_error > 0.5
        assert rows["blend"].seconds_per_picture > 0


def test_means_are_over_pictures_and_the_worst_come_first() -> None:
    def row(name: str, *scores: tuple[str, float]) -> PredictorScores:
        items = (ItemScore(n, 0.5, p, 0.5, 1.0, vmaf=p + 9, seconds=0.25) for n, p in scores)
        return PredictorScores(name, tuple(items))

    rows = (row("x", ("a", 30), ("b", 20)), row("y", ("a", 28), ("b", 24)), row("z", ("b", 22)))
    assert rows[0].psnr_db == 25
    assert rows[0].seconds_per_picture == 0.25
    assert rows[0].vmaf == 34
    assert rows[0].vmaf_harmonic_mean == pytest.approx(2 / (1 / 40 + 1 / 30) - 1)
    assert rows[0].vmaf_low == pytest.approx(29.1)
    report = SetReport("s", Path("s"), "triplets", "", rows)
    assert [(i.name, i.psnr_db, i.best_other, i.gap_db) for i in report.worst(5)] == [
        ("b", 20, "y", -4),
        ("a", 30, "y", 2),
    ]
    assert [item.name for item in report.worst(1)] == ["b"]
    alone = SetReport("s", Path("s"), "triplets", "", rows[:1])
    assert (alone.worst(1)[0].best_other, alone.worst(1)[0].gap_db) == (None, None)


def test_every_second_frame_of_a_video_is_hidden(tmp_path: Path) -> None:
    clip = lossless(tmp_path / "clip.mkv", frames=8)
    knows = Knows(step=2)
    (report,) = evaluate(clip, predictors=[knows, Blend()]).sets
    assert (report.name, report.kind) == ("clip.mkv", "video")
    # Of frames 0 to 7, 0 2 4 6 are shown; 7 has no successor that could be shown.
    rows = by_row(report)
    assert [item.name for item in rows["knows"].items] == ["1", "3", "5"]
    assert rows["knows"].psnr_db == 100
    first = psnr(
        Blend().between([clips.true_frame(0), clips.true_frame(2)], [Fraction(1, 2)])[0][0],
        clips.true_frame(1),
    )
    assert rows["blend"].items[0].psnr_db == pytest.approx(first)
    # Two pictures to warm up, then all four in one go.
    assert knows.seen == [2, 4]


def test_nothing_is_hidden_beside_a_cut(tmp_path: Path) -> None:
    # Cuts before frames 5 (between 4 and 5) and 10 (between 9 and 10).
    clip = lossless(tmp_path / "clip.mkv", frames=15, cuts=(5, 10))
    (report,) = evaluate(clip, predictors=[Blend()]).sets
    assert [item.name for item in report.predictors[0].items] == ["1", "3", "7", "11", "13"]
    assert min(item.psnr_db for item in report.predictors[0].items) > 20
    everywhere = EvalOptions(scene_threshold=None)
    (report,) = evaluate(clip, options=everywhere, predictors=[Blend()]).sets
    assert len(report.predictors[0].items) == 7
    assert min(item.psnr_db for item in report.predictors[0].items) < 20


def test_a_long_video_is_held_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = lossless(tmp_path / "clip.mkv", frames=12)
    whole = evaluate(clip, predictors=[Knows(step=2)])
    monkeypatch.setattr(
        "interp_cli.evaluation.datasets._CLIP_BYTES", 6 * clips.true_frame(0).nbytes
    )
    knows = Knows(step=2)
    parts = evaluate(clip, predictors=[knows])
    assert knows.seen == [2, 3, 3, 2]
    assert [i.name for i in parts.sets[0].predictors[0].items] == ["1", "3", "5", "7", "9"]
    assert parts.sets[0].predictors[0].psnr_db == whole.sets[0].predictors[0].psnr_db == 100


def test_minterpolate_beats_averaging_on_a_moving_picture(two_sets: Path, averaging) -> None:
    options = EvalOptions(compare=("blend", "minterpolate", "dis"))
    predictors = [_create_predictor(name, options) for name in options.compare]
    for each in evaluate(two_sets, predictors=predictors).sets:
        rows = by_row(each)
        assert rows["minterpolate"].psnr_db > rows["blend"].psnr_db + 1
        assert rows["dis"].psnr_db > rows["blend"].psnr_db + 5


def test_a_network_is_scored_through_the_interpolator(two_sets: Path, averaging) -> None:
    model = ModelPredictor(Interpolator(averaging, device="cpu"))
    for each in evaluate(two_sets, predictors=[model, Blend()]).sets:
        network, blend = each.predictors
        assert network.psnr_db == pytest.approx(blend.psnr_db, abs=0.05)


def test_limit_takes_the_first_of_each_set(two_sets: Path, tmp_path: Path) -> None:
    clip = lossless(tmp_path / "clip.mkv", frames=9)
    report = evaluate([two_sets, clip], options=EvalOptions(limit=2), predictors=[Blend()])
    assert [[item.name for item in each.predictors[0].items] for each in report.sets] == [
        ["t4", "t5"],
        ["t0", "t1"],
        ["1", "3"],
    ]


def test_progress_counts_predictions(two_sets: Path, tmp_path: Path) -> None:
    calls: list[tuple[int, int | None]] = []
    evaluate(
        two_sets,
        predictors=[Blend(), Knows(step=1)],
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(n, 10) for n in range(1, 11)]


def test_predictions_are_kept(two_sets: Path, tmp_path: Path) -> None:
    options = EvalOptions(output_dir=tmp_path / "out" / "kept")
    evaluate(two_sets, options=options, predictors=[Blend(), Knows(step=1)])
    kept = sorted(p.relative_to(tmp_path / "out" / "kept") for p in tmp_path.rglob("out/**/*.png"))
    assert len(kept) == 10
    picture = cv2.imread(str(tmp_path / "out" / "kept" / "near" / "knows" / "t1.png"))
    assert np.array_equal(picture[..., ::-1], clips.true_frame(1.5))


def test_two_rows_are_not_kept_under_one_name(two_sets: Path, tmp_path: Path) -> None:
    rows = [Knows(step=1), Knows(step=2)]
    for row, run in zip(rows, "ab", strict=True):
        row.name = f"runs/{run}/best"
    with pytest.raises(InterpError, match=r"kept: the pictures of two predictors .* named best;"):
        evaluate(two_sets, options=EvalOptions(output_dir=tmp_path / "kept"), predictors=rows)
    assert not (tmp_path / "kept").exists()


def test_the_report_is_plain_data(two_sets: Path) -> None:
    report = evaluate(two_sets, predictors=[Knows(step=1)])
    read = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    row = read["sets"][1]["predictors"][0]
    assert read["sets"][1]["path"] == str(two_sets / "near")
    assert (row["name"], row["psnr_db"], row["ssim"]) == ("knows", 100, 1)
    assert [item["name"] for item in row["items"]] == ["t0", "t1"]
    assert EvalReport(()).as_dict() == {"sets": []}


def test_rows_are_the_model_and_the_others_each_once() -> None:
    assert EvalOptions().predictors == ("flow", "blend", "minterpolate")
    assert EvalOptions(compare=("flow", "dis", "dis")).predictors == ("flow", "dis")
    with pytest.raises(ValueError, match="`limit` must be a whole number of at least 1, not 0"):
        EvalOptions(limit=0)
    with pytest.raises(ValueError, match="`skip` must be a whole number of at least 1, not 0"):
        EvalOptions(skip=0)
    with pytest.raises(ValueError, match="`worst` must be a whole number of at least 0, not -1"):
        EvalOptions(worst=-1)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OpenError, match=rf"{tmp_path}: holds no triplets \(folders with im1.png"):
        evaluate(tmp_path, predictors=[Blend()])


def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OpenError, match=r"nothing\.mp4"):
        evaluate(tmp_path / "nothing.mp4", predictors=[Blend()])


def test_a_missing_picture_is_named_before_anything_is_scored(two_sets: Path) -> None:
    (two_sets / "near" / "t1" / "im2.png").unlink()
    calls: list[int] = []
    with pytest.raises(OpenError, match=r"near/t1/im2\.png: is missing"):
        evaluate(two_sets, predictors=[Blend()], progress=lambda done, _: calls.append(done))
    assert calls == []


def test_pictures_of_differing_sizes_are_named(two_sets: Path) -> None:
    small = clips.true_frame(0, (96, 64))
    cv2.imwrite(str(two_sets / "near" / "t0" / "im3.png"), small)
    with pytest.raises(OpenError, match=r"t0/im3\.png: is 96x64, but im1\.png .* is 128x96"):
        evaluate(two_sets / "near", predictors=[Blend()])


@pytest.mark.parametrize("content", [b"", b"this is no picture"])
def test_a_file_that_is_no_picture_is_named(two_sets: Path, content: bytes) -> None:
    (two_sets / "near" / "t0" / "im1.png").write_bytes(content)
    with pytest.raises(OpenError, match=r"t0/im1\.png: is no picture"):
        evaluate(two_sets / "near", predictors=[Blend()])


@pytest.mark.parametrize("frames", [1, 2])
def test_a_video_too_short_to_hide_a_frame_is_refused(tmp_path: Path, frames: int) -> None:
    clip = lossless(tmp_path / "clip.mkv", frames=frames)
    with pytest.raises(VideoError, match=rf"clip\.mkv: no frame of {frames} can be hidden"):
        evaluate(clip, predictors=[Blend()])


def test_interlaced_video_is_refused(tmp_path: Path) -> None:
    options = {"flags": "+ilme+ildct", "x264-params": "tff=1"}
    clip = clips.moving_clip(tmp_path / "clip.mkv", options=options)
    with pytest.raises(DecodeError, match=r"clip\.mkv: is interlaced"):
        evaluate(clip, predictors=[Blend()])


def test_a_folder_that_cannot_be_written_is_refused(two_sets: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InterpError, match=r"file/near/blend/t0\.png: cannot be written"):
        evaluate(
            two_sets / "near",
            options=EvalOptions(output_dir=tmp_path / "file"),
            predictors=[Blend()],
        )


def test_three_of_four_frames_can_be_hidden(tmp_path: Path) -> None:
    clip = lossless(tmp_path / "clip.mkv", frames=10, cuts=(6,))
    knows = Knows(step=4)
    (report,) = evaluate(clip, options=EvalOptions(skip=3), predictors=[knows, Blend()]).sets
    assert report.protocol == "3 of 4 frames hidden"
    # 0, 4 and 8 are shown; the cut before 6 spoils 5, 6 and 7; 9 has no successor.
    items = report.predictors[0].items
    assert [(item.name, item.timestep) for item in items] == [("1", 0.25), ("2", 0.5), ("3", 0.75)]
    assert report.predictors[0].psnr_db_by_timestep == {0.25: 100, 0.5: 100, 0.75: 100}
    assert report.predictors[1].psnr_db < 40


class OnlyMiddles(Blend):
    name = "middles"

    def can_make(self, timestep: Fraction) -> bool:
        return timestep == Fraction(1, 2)


def test_timesteps_that_cannot_be_made_are_left_out_and_said(tmp_path: Path) -> None:
    clip = clips.moving_clip(tmp_path / "clip.mp4", frames=9)  # which says its length
    calls: list[tuple[int, int | None]] = []
    (report,) = evaluate(
        clip,
        options=EvalOptions(skip=3),
        predictors=[Blend(), OnlyMiddles()],
        progress=lambda done, total: calls.append((done, total)),
    ).sets
    assert [item.name for item in report.predictors[1].items] == ["2", "6"]
    assert all(item.vmaf is not None for item in report.predictors[1].items)
    assert report.notes == ("middles cannot make frames at 1/4, 3/4: those are left out.",)
    assert calls == [(n, 8) for n in range(1, 9)]

    thirds = EvalOptions(skip=2)
    (report,) = evaluate(clip, options=thirds, predictors=[Blend(), OnlyMiddles()]).sets
    assert [row.name for row in report.predictors] == ["blend"]
    assert report.notes == ("middles cannot make frames at 1/3, 2/3: it is left out.",)
    with pytest.raises(InterpError, match=r"clip\.mp4: nothing can be scored\. middles cannot"):
        evaluate(clip, options=thirds, predictors=[OnlyMiddles()])


def test_a_network_for_middles_makes_quarters_from_them(tmp_path: Path, averaging) -> None:
    class Halving(type(averaging)):
        supports_timestep = False

    clip = lossless(tmp_path / "clip.mkv", frames=9)
    network = ModelPredictor(Interpolator(Halving(), device="cpu"))
    (report,) = evaluate(clip, options=EvalOptions(skip=3), predictors=[network, Blend()]).sets
    halving, blend = report.predictors
    assert report.notes == ("Halving makes only middles: other times are middles of middles.",)
    # Means of means are the weighted mean.
    for made, true in zip(halving.items, blend.items, strict=True):
        assert made.psnr_db == pytest.approx(true.psnr_db, abs=0.1)


def test_tta_averages_with_the_turned_frames(tmp_path: Path, averaging) -> None:
    class Leaning(type(averaging)):
        """Too dark at the left and too bright at the right, which turning undoes."""

        def forward(self, frame0, frame1, timestep):
            ramp = torch.linspace(-0.04, 0.04, frame0.shape[-1])
            return super().forward(frame0, frame1, timestep) + ramp

    grey = np.full((32, 48, 3), 128, np.uint8)
    folder = tmp_path / "set" / "grey"
    folder.mkdir(parents=True)
    for number in (1, 2, 3):
        cv2.imwrite(str(folder / f"im{number}.png"), grey)
    interpolator = Interpolator(Leaning(), device="cpu")
    plain, turned = ModelPredictor(interpolator), ModelPredictor(interpolator, tta=True)
    (report,) = evaluate(tmp_path / "set", predictors=[plain, turned]).sets
    assert [row.name for row in report.predictors] == ["Leaning", "Leaning-tta"]
    assert report.predictors[0].interpolation_error == pytest.approx(5.1, abs=0.3)
    assert report.predictors[1].interpolation_error == 0


def test_vmaf_of_a_video_is_of_the_frames_that_were_made(tmp_path: Path) -> None:
    clip = lossless(tmp_path / "clip.mkv", frames=12)
    predictors = [Knows(step=2), Blend()]
    (report,) = evaluate(clip, predictors=predictors).sets
    knows, blend = report.predictors
    assert len(knows.items) == len(blend.items) == 5
    assert min(item.vmaf for item in knows.items) > 97
    assert blend.vmaf < 80
    assert blend.vmaf_low <= blend.vmaf_harmonic_mean <= blend.vmaf
    (without,) = evaluate(clip, options=EvalOptions(vmaf=False), predictors=predictors).sets
    assert without.predictors[0].vmaf is without.predictors[0].items[0].vmaf is None
    assert without.predictors[1].psnr_db == blend.psnr_db


def test_a_video_too_small_for_vmaf_is_scored_without(tmp_path: Path) -> None:
    options = {"pix_fmt": "yuv444p", "codec": "ffv1"}
    clip = clips.moving_clip(tmp_path / "clip.mkv", frames=3, size=(64, 32), **options)
    (report,) = evaluate(clip, predictors=[Blend()]).sets
    assert report.predictors[0].vmaf is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("interp_cli.evaluation.evaluate.MIN_SIDE_PX", 33)
        (report,) = evaluate(clip, predictors=[Blend()]).sets
    assert report.predictors[0].vmaf is None
    assert report.notes == ("No VMAF below 33 pixels a side.",)


def test_kept_predictions_can_be_scored_again(two_sets: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    evaluate(two_sets, options=EvalOptions(output_dir=kept), predictors=[Blend()])
    report = evaluate(two_sets, options=EvalOptions(predictions=kept), predictors=[Knows(step=1)])
    for each in report.sets:
        assert [row.name for row in each.predictors] == ["knows", "blend (files)"]
        assert each.predictors[1].seconds_per_picture is None
    again = evaluate(two_sets, predictors=[Blend()])
    for each, other in zip(report.sets, again.sets, strict=True):
        assert each.predictors[1].psnr_db == other.predictors[0].psnr_db

    (kept / "near" / "blend" / "t1.png").unlink()
    with pytest.raises(OpenError, match=r"near/blend/t1\.png: is missing"):
        evaluate(two_sets, options=EvalOptions(predictions=kept), predictors=[Blend()])
    cv2.imwrite(str(kept / "near" / "blend" / "t1.png"), clips.true_frame(0, (96, 64)))
    with pytest.raises(OpenError, match=r"t1\.png: is 96x64, but the hidden frame is 128x96"):
        evaluate(two_sets, options=EvalOptions(predictions=kept), predictors=[Blend()])
    with pytest.raises(OpenError, match=r"other/far: holds no predictions; folders PREDICTOR"):
        evaluate(
            two_sets, options=EvalOptions(predictions=tmp_path / "other"), predictors=[Blend()]
        )


def test_sets_of_one_name_are_kept_apart(two_sets: Path, tmp_path: Path) -> None:
    moving_triplet(tmp_path / "other" / "near" / "t0", 0)
    kept = tmp_path / "kept"
    paths = [two_sets / "near", tmp_path / "other"]
    evaluate(paths, options=EvalOptions(output_dir=kept), predictors=[Blend()])
    assert len(list(kept.rglob("near/blend/t0.png"))) == 2


def test_only_the_sets_asked_for(two_sets: Path) -> None:
    report = evaluate(two_sets, options=EvalOptions(only=("n*",)), predictors=[Blend()])
    assert [each.name for each in report.sets] == ["near"]
    with pytest.raises(OpenError, match=r"no set is called nowhere; found: far, near\."):
        evaluate(two_sets, options=EvalOptions(only=("nowhere",)), predictors=[Blend()])


def test_a_picture_costs_its_share_of_the_time(two_sets, tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("interp_cli.evaluation.predictors.time.perf_counter", lambda: now[0])

    class Slow(Blend):
        def between(self, frames, timesteps):
            now[0] += 12
            return super().between(frames, timesteps)

    clip = lossless(tmp_path / "clip.mkv", frames=9)
    (report,) = evaluate(clip, options=EvalOptions(skip=3), predictors=[Slow()]).sets
    assert report.predictors[0].seconds_per_picture == 2  # two pairs, three pictures each, at once
    calls = []
    evaluate(clip, predictors=[Blend()], progress=lambda *call: calls.append(call))
    assert calls == [(n, None) for n in range(1, 5)]  # Matroska does not say how many there are


def test_vmaf_sees_the_video_in_its_order(tmp_path, monkeypatch):
    seen = []

    class Noted:
        def __init__(self, size):
            seen.append([])
            self.frames = seen[-1]

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def add_shown(self, frame):
            self.frames.append(("shown", frame))

        def add(self, made, true):
            self.frames.append(("scored", true))

        def finish(self):
            return [90.0] * sum(kind == "scored" for kind, _ in self.frames)

    monkeypatch.setattr("interp_cli.evaluation.evaluate.Vmaf", Noted)
    clip = lossless(tmp_path / "clip.mkv", frames=9)
    evaluate(clip, options=EvalOptions(skip=3), predictors=[Blend(), OnlyMiddles()])
    for row, scored in zip(seen, ({1, 2, 3, 5, 6, 7}, {2, 6}), strict=True):
        assert {n for n, (kind, _) in enumerate(row) if kind == "scored"} == scored
        for n, (_, frame) in enumerate(row):
            np.testing.assert_array_equal(frame, clips.true_frame(n))


def test_what_a_network_makes_is_rounded(averaging) -> None:
    model = ModelPredictor(Interpolator(averaging, "cpu", precision="fp32"))
    low, high = (np.full((16, 16, 3), value, np.uint8) for value in (10, 13))
    ((made,),) = model.between([low, high], [Fraction(1, 4)])
    assert np.unique(made).tolist() == [11]  # 10.75
