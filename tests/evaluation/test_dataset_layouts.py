"""Each published layout as a tiny drawn set: what is found, what is hidden, and at which time."""

import shutil
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import clips
import cv2
import numpy as np
import pytest

from interp_cli.errors import OpenError, VideoError
from interp_cli.evaluation.baselines import Blend, Frames
from interp_cli.evaluation.dataset_layouts import find_sets
from interp_cli.evaluation.datasets import DataSet
from interp_cli.evaluation.evaluate import evaluate
from interp_cli.options import EvalOptions

SIZE = (64, 48)
EIGHTHS = [Fraction(k, 8) for k in range(1, 8)]


def draw(path: Path, time: float, size: tuple[int, int] = SIZE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), clips.true_frame(time, size)[..., ::-1])


def draw_run(folder: Path, count: int, name: str = "{:05d}.png", first: int = 0) -> None:
    for index in range(count):
        draw(folder / name.format(first + index), index % 16)


def items(data: DataSet, limit: int | None = None) -> list[tuple[str, Fraction]]:
    return [
        (item.name, item.timestep)
        for clip in data.clips(limit)
        for between in clip.hidden
        for item in between
    ]


class Checks:
    """Predicts the truth of the drawn motion, which only works if the right frames are shown."""

    name = "checks"

    def can_make(self, timestep: Fraction) -> bool:
        return timestep == Fraction(1, 2)

    def between(self, frames: Frames, timesteps: Sequence[Fraction]) -> list[Frames]:
        made = []
        for frame in frames[:-1]:
            start = next(t for t in range(16) if np.array_equal(frame, clips.true_frame(t, SIZE)))
            made.append([clips.true_frame(start + self.step / 2, SIZE)])
        return made

    def __init__(self, step: int) -> None:
        self.step = step


def check(path: Path, step: int, **options: object) -> None:
    """Every hidden picture of the middle is exactly what stands halfway."""
    for each in evaluate(path, options=EvalOptions(**options), predictors=[Checks(step)]).sets:
        assert each.predictors[0].psnr_db == 100


# Vimeo-90K


@pytest.fixture
def vimeo(tmp_path: Path) -> Path:
    root = tmp_path / "vimeo_triplet"
    for name in ("00001/0001", "00001/0002", "00002/0001"):
        for number in (1, 2, 3):
            draw(root / "sequences" / name / f"im{number}.png", number)
    (root / "tri_testlist.txt").write_text("00001/0002\n00002/0001\n\n")
    (root / "tri_trainlist.txt").write_text("00001/0001\n")
    return root


def test_vimeo_triplets_are_those_of_the_test_list(vimeo: Path) -> None:
    (data,) = find_sets(vimeo)
    assert (data.name, data.kind, data.size()) == ("vimeo_triplet", "vimeo-90k", 2)
    assert items(data) == [("00001/0002", Fraction(1, 2)), ("00002/0001", Fraction(1, 2))]
    check(vimeo, step=2)
    assert [each.name for each in find_sets(vimeo.parent)] == ["vimeo_triplet"]


def test_vimeo_lists_can_be_named(vimeo: Path) -> None:
    (data,) = find_sets(vimeo / "tri_trainlist.txt")
    assert data.name == "vimeo_triplet-train"
    assert items(data) == [("00001/0001", Fraction(1, 2))]


def test_vimeo_test_set_alone_has_inputs_and_targets(vimeo: Path) -> None:
    root = vimeo.parent / "vimeo_interp_test"
    for name in ("00001/0002", "00002/0001"):
        for number in (1, 2, 3):
            part = "target" if number == 2 else "input"
            draw(root / part / name / f"im{number}.png", number)
    shutil.copy(vimeo / "tri_testlist.txt", root / "target")
    (data,) = find_sets(root)
    assert (data.name, data.kind) == ("vimeo_interp_test", "vimeo-90k")
    assert [name for name, _ in items(data)] == ["00001/0002", "00002/0001"]
    check(root, step=2)


def test_vimeo_septuplets_hide_im4_between_im3_and_im5(tmp_path: Path) -> None:
    root = tmp_path / "vimeo_septuplet"
    for number in range(1, 8):
        draw(root / "sequences" / "00001" / "0266" / f"im{number}.png", number)
    (root / "sep_testlist.txt").write_text("00001/0266\n")
    (data,) = find_sets(root)
    assert (data.kind, items(data)) == ("vimeo-90k-septuplet", [("00001/0266", Fraction(1, 2))])
    assert [path.name for path in data.runs[0].pictures] == ["im3.png", "im4.png", "im5.png"]
    check(root, step=2)


def test_vimeo_without_a_test_list_is_refused(vimeo: Path) -> None:
    (vimeo / "tri_testlist.txt").unlink()
    with pytest.raises(OpenError, match=r"vimeo_triplet: looks like Vimeo-90K, but has no tri_te"):
        find_sets(vimeo)
    (vimeo / "tri_trainlist.txt").unlink()
    with pytest.raises(OpenError, match="looks like Vimeo-90K"):
        find_sets(vimeo)
    assert [each.name for each in find_sets(vimeo / "sequences")] == ["00001", "00002"]


def test_vimeo_with_a_missing_picture_is_refused(vimeo: Path) -> None:
    (vimeo / "sequences" / "00002" / "0001" / "im3.png").unlink()
    with pytest.raises(OpenError, match=r"00002/0001/im3\.png: is missing"):
        find_sets(vimeo)
    with pytest.raises(OpenError, match=r"nosuch/tri_testlist\.txt: no such file"):
        find_sets(vimeo / "nosuch" / "tri_testlist.txt")
    (vimeo / "tri_testlist.txt").write_text("\n")
    with pytest.raises(OpenError, match=r"tri_testlist\.txt: lists nothing"):
        find_sets(vimeo)


# UCF101


def test_ucf101(tmp_path: Path) -> None:
    root = tmp_path / "ucf101_interp_ours"
    for clip in ("1", "1001"):
        for time, name in enumerate(("frame_00.png", "frame_01_gt.png", "frame_02.png")):
            draw(root / clip / name, time)
    (data,) = find_sets(root)
    assert (data.name, data.kind, data.size()) == ("ucf101_interp_ours", "ucf101", 2)
    assert items(data) == [("1", Fraction(1, 2)), ("1001", Fraction(1, 2))]
    check(root, step=2)
    (root / "1" / "frame_02.png").unlink()
    with pytest.raises(OpenError, match=r"1/frame_02\.png: is missing"):
        find_sets(root)


# Middlebury


@pytest.fixture
def middlebury(tmp_path: Path) -> Path:
    root = tmp_path / "MiddleBury"
    for name in ("Beanbags", "Walking", "Army"):
        for number in (9, 10, 11):
            draw(root / "other-data" / name / f"frame{number:02d}.png", 2 * number - 10)
    for name in ("Beanbags", "Walking"):
        draw(root / "other-gt-interp" / name / "frame10i11.png", 11)
    for number in (10, 11):
        draw(root / "eval-data" / "Mequon" / f"frame{number}.png", number)
    return root


def test_middlebury_is_what_has_a_truth(middlebury: Path) -> None:
    for path in (middlebury, middlebury / "other-data", middlebury / "other-gt-interp"):
        (data,) = find_sets(path)
        assert (data.name, data.kind) == ("MiddleBury", "middlebury")
        assert items(data) == [("Beanbags", Fraction(1, 2)), ("Walking", Fraction(1, 2))]
        check(path, step=2)


def test_middlebury_without_truth_is_refused(middlebury: Path) -> None:
    with pytest.raises(OpenError, match=r"eval-data: looks like Middlebury, but has no frame10i11"):
        find_sets(middlebury / "eval-data")
    shutil.rmtree(middlebury / "other-gt-interp")
    with pytest.raises(OpenError, match=r"MiddleBury: looks like Middlebury, but has no frame10i1"):
        find_sets(middlebury)


def test_middlebury_with_a_missing_input_is_refused(middlebury: Path) -> None:
    (middlebury / "other-data" / "Walking" / "frame11.png").unlink()
    with pytest.raises(OpenError, match=r"other-data/Walking/frame11\.png: is missing"):
        find_sets(middlebury)


# SNU-FILM


@pytest.fixture
def snu_film(tmp_path: Path) -> Path:
    root = tmp_path / "SNU-FILM"
    places = ("GOPRO_test/GOPR0384_11_00", "YouTube_test/0000")
    for place in places:
        draw_run(root / "test" / place, 9, "{:06d}.png", first=1)
    for level, step in (("easy", 1), ("medium", 2), ("hard", 4)):
        lines = [
            " ".join(f"data/SNU-FILM/test/{p}/{n:06d}.png" for n in (1, 1 + step, 1 + 2 * step))
            for p in places
        ]
        (root / f"test-{level}.txt").write_text("\n".join(lines) + "\n")
    return root


@pytest.mark.parametrize("lists", [".", "eval_modes"])
def test_snu_film_has_a_set_for_each_list(snu_film: Path, lists: str) -> None:
    (snu_film / lists).mkdir(exist_ok=True)
    for path in snu_film.glob("test-*.txt"):
        path.rename(snu_film / lists / path.name)
    sets = find_sets(snu_film)
    assert [each.name for each in sets] == ["SNU-FILM-easy", "SNU-FILM-medium", "SNU-FILM-hard"]
    assert {each.kind for each in sets} == {"snu-film"}
    assert items(sets[1]) == [
        ("GOPRO_test/GOPR0384_11_00/000003", Fraction(1, 2)),
        ("YouTube_test/0000/000003", Fraction(1, 2)),
    ]
    for level, step in (("easy", 2), ("medium", 4), ("hard", 8)):
        (data,) = find_sets(snu_film / lists / f"test-{level}.txt")
        assert data.name == f"SNU-FILM-{level}"
        check(snu_film, step, only=(f"*-{level}",))


def test_snu_film_pictures_may_lie_beside_the_lists(snu_film: Path) -> None:
    for place in (snu_film / "test").iterdir():
        place.rename(snu_film / place.name)
    assert items(find_sets(snu_film)[0])[0][0] == "GOPRO_test/GOPR0384_11_00/000002"


def test_snu_film_without_its_pictures_is_refused(snu_film: Path) -> None:
    (snu_film / "test" / "YouTube_test" / "0000" / "000002.png").unlink()
    with pytest.raises(OpenError, match=r"YouTube_test/0000/000002\.png: is missing"):
        find_sets(snu_film)
    shutil.rmtree(snu_film / "test")
    with pytest.raises(OpenError, match=r"test-easy\.txt: lists data/SNU-FILM/test/GOPRO_test/.*"):
        find_sets(snu_film)
    (snu_film / "test-easy.txt").write_text("a.png b.png\n")
    with pytest.raises(OpenError, match=r"three paths a line are expected, not .a\.png b"):
        find_sets(snu_film)


# DAVIS


@pytest.fixture
def davis(tmp_path: Path) -> Path:
    root = tmp_path / "DAVIS"
    for name, count in (("bear", 6), ("walking", 5)):
        draw_run(root / "JPEGImages" / "480p" / name, count, "{:05d}.jpg")
        draw_run(root / "JPEGImages" / "Full-Resolution" / name, count, "{:05d}.jpg")
        draw_run(root / "Annotations" / "480p" / name, count)
    return root


def test_davis_hides_every_second_frame(davis: Path) -> None:
    for path in (davis, davis / "JPEGImages"):
        (data,) = find_sets(path)
        assert (data.name, data.kind, data.size()) == ("DAVIS", "davis", 4)
        assert [name for name, _ in items(data)] == [
            *("bear/00001", "bear/00003"),
            *("walking/00001", "walking/00003"),
        ]
    assert data.protocol == "every second frame hidden"
    (data,) = find_sets(davis / "JPEGImages" / "480p")
    assert (data.name, data.kind, data.size()) == ("480p", "davis", 4)
    (data,) = find_sets(davis / "JPEGImages" / "480p" / "bear")
    assert [name for name, _ in items(data)] == ["00001", "00003"]
    (data,) = find_sets(davis, skip=3)
    assert [time for _, time in items(data)] == [Fraction(k, 4) for k in (1, 2, 3)] * 2


def test_davis_without_its_frames_is_refused(davis: Path) -> None:
    (davis / "JPEGImages" / "480p" / "bear" / "00002.jpg").unlink()
    with pytest.raises(OpenError, match=r"00003\.jpg: follows number 1; .* must not have gaps"):
        find_sets(davis)
    for number in (1, 3, 4, 5):
        (davis / "JPEGImages" / "480p" / "bear" / f"{number:05d}.jpg").unlink()
    shutil.rmtree(davis / "JPEGImages" / "480p" / "walking")
    with pytest.raises(OpenError, match=r"480p: holds no folders of numbered frames"):
        find_sets(davis)


# Xiph


def test_xiph_hides_every_second_of_the_first_hundred_frames(tmp_path: Path) -> None:
    for clip, count in (("Tango", 102), ("BoxingPractice", 5)):
        draw_run(tmp_path / "xiph", count, clip + "-{:03d}.png", first=1)
    half, centre = find_sets(tmp_path)
    assert (half.name, centre.name, half.kind) == ("xiph-2k", "xiph-4k", "xiph")
    assert half.protocol == "every second frame hidden, half the size, only 2 of 8 clips"
    assert half.size() == centre.size() == 2 + 49
    names = [name for name, _ in items(half)]
    assert names[:3] == ["BoxingPractice/002", "BoxingPractice/004", "Tango/002"]
    assert names[-1] == "Tango/098"
    frame = clips.true_frame(1, SIZE)
    (clip, *_) = half.clips()
    area = cv2.resize(frame, (32, 24), interpolation=cv2.INTER_AREA)
    assert np.array_equal(clip.hidden[0][0].picture, area)
    (clip, *_) = centre.clips()
    assert np.array_equal(clip.hidden[0][0].picture, frame[12:36, 16:48])


def test_xiph_may_be_folders_or_videos(tmp_path: Path) -> None:
    draw_run(tmp_path / "xiph" / "Crosswalk", 5, "{:03d}.png", first=1)
    name = "Netflix_Tango_4096x2160_60fps_10bit_420.mkv"
    options = {"codec": "ffv1", "pix_fmt": "bgr0"}
    clips.moving_clip(tmp_path / "xiph" / name, frames=104, size=SIZE, **options)
    half, _ = find_sets(tmp_path / "xiph")
    names = [name for name, _ in items(half)]
    assert names == ["Crosswalk/002", "Crosswalk/004", *(f"Tango/{n}" for n in range(1, 99, 2))]


def test_xiph_with_a_gap_is_refused(tmp_path: Path) -> None:
    for clip in ("Tango", "FoodMarket2"):
        draw_run(tmp_path, 5, clip + "-{:03d}.png", first=1)
    (tmp_path / "FoodMarket2-003.png").unlink()
    with pytest.raises(OpenError, match=r"FoodMarket2-004\.png: follows number 2"):
        find_sets(tmp_path)


# X-TEST


@pytest.fixture
def x_test(tmp_path: Path) -> Path:
    root = tmp_path / "X4K1000FPS"
    for place in ("Type1/TEST01_003_f0433", "Type2/TEST06_001_f0273"):
        draw_run(root / "test" / place, 33, "{:04d}.png")
    draw_run(root / "train" / "002" / "occ008.320", 3, "{:04d}.png")
    return root


def test_x_test_hides_seven_pictures_four_apart(x_test: Path) -> None:
    for path in (x_test, x_test / "test"):
        full, half = find_sets(path)
        assert (full.kind, full.size()) == ("x-test", 14)
        assert (full.name, half.name) == (f"{full.name[:-3]}-4k", f"{full.name[:-3]}-2k")
        assert items(full) == [
            (f"{clip}/{4 * k:04d}", Fraction(k, 8))
            for clip in ("TEST01_003_f0433", "TEST06_001_f0273")
            for k in range(1, 8)
        ]
    (clip, *_) = full.clips()
    assert len(clip.shown) == 2
    assert np.array_equal(clip.shown[1], clips.true_frame(32 % 16, SIZE))
    assert clip.shown[0].shape == (48, 64, 3)
    (clip, *_) = half.clips()
    assert clip.shown[0].shape == (24, 32, 3)
    for path in (x_test / "test" / "Type1", x_test / "test" / "Type1" / "TEST01_003_f0433"):
        assert [each.size() for each in find_sets(path)] == [7, 7]


def test_x_test_with_frames_missing_is_refused(x_test: Path) -> None:
    (x_test / "test" / "Type2" / "TEST06_001_f0273" / "0032.png").unlink()
    with pytest.raises(OpenError, match=r"TEST06_001_f0273: holds 32 frames; .* X-TEST has 33"):
        find_sets(x_test)


# GoPro and Adobe240


@pytest.mark.parametrize(
    ("place", "kind", "name"),
    [
        ("GOPRO_Large_all/test/GOPR0384_11_00", "gopro", "GOPRO_Large_all-test"),
        ("Adobe240/test_frames/IMG_0003", "adobe240", "Adobe240-test_frames"),
        ("frames240/720p_240fps_1", "adobe240", "frames240"),
    ],
)
def test_high_rates_hide_seven_frames(tmp_path: Path, place: str, kind: str, name: str) -> None:
    draw_run(tmp_path / place, 20, "{:06d}.png", first=1)
    draw_run(tmp_path / "GOPRO_Large_all" / "train" / "GOPR0372_07_00", 9)
    (data,) = find_sets((tmp_path / place).parent)
    assert (data.name, data.kind, data.size()) == (name, kind, 14)
    clip = Path(place).name
    assert items(data) == [
        (f"{clip}/{8 * gap + k + 1:06d}", Fraction(k, 8)) for gap in (0, 1) for k in range(1, 8)
    ]
    assert items(data, limit=3) == items(data)[:7]
    check((tmp_path / place).parent, step=8)


def test_test_stands_for_a_set_with_training_data(tmp_path: Path) -> None:
    draw_run(tmp_path / "GOPRO" / "test" / "GOPR0384_11_00", 9)
    draw_run(tmp_path / "GOPRO" / "train" / "GOPR0372_07_00", 9)
    assert [each.name for each in find_sets(tmp_path / "GOPRO")] == ["GOPRO-test"]
    assert [each.name for each in find_sets(tmp_path / "GOPRO" / "train")] == ["GOPRO-train"]


def test_a_clip_too_short_for_the_protocol_is_refused(tmp_path: Path) -> None:
    draw_run(tmp_path / "GOPRO" / "test" / "GOPR0384_11_00", 8)
    with pytest.raises(
        VideoError, match=r"GOPR0384_11_00: holds 8 frames; to hide 7 .* at least 9"
    ):
        find_sets(tmp_path)
    assert find_sets(tmp_path, skip=1)[0].size() == 3


# Anything else


def test_folders_of_numbered_frames_are_a_set(tmp_path: Path) -> None:
    draw_run(tmp_path / "mine" / "a", 4, "frame{:02d}.png", first=8)
    draw_run(tmp_path / "mine" / "b", 3)
    (tmp_path / "mine" / "notes").mkdir()
    (data,) = find_sets(tmp_path)
    assert (data.name, data.kind) == ("mine", "frames")
    assert [name for name, _ in items(data)] == ["a/frame09", "b/00001"]
    check(tmp_path, step=2)
    (data,) = find_sets(tmp_path / "mine" / "a")
    assert (data.name, items(data)) == ("a", [("frame09", Fraction(1, 2))])


def test_several_sets_in_one_folder_are_all_found(vimeo: Path, davis: Path, x_test: Path) -> None:
    found = [each.name for each in find_sets(vimeo.parent)]
    assert found == ["DAVIS", "X4K1000FPS-4k", "X4K1000FPS-2k", "vimeo_triplet"]
    only = evaluate(vimeo.parent, options=EvalOptions(only=("*-2k",)), predictors=[Blend()])
    assert [(each.name, len(each.predictors[0].items)) for each in only.sets] == [
        ("X4K1000FPS-2k", 14)
    ]


@pytest.mark.parametrize("content", ["nothing", "pictures without numbers", "two frames"])
def test_what_is_no_data_set_is_refused(tmp_path: Path, content: str) -> None:
    if content == "pictures without numbers":
        for name in "abc":
            draw(tmp_path / "some" / f"{name}.png", 0)
    elif content == "two frames":
        draw_run(tmp_path / "some", 2)
    with pytest.raises(OpenError, match=rf"{tmp_path}: holds no triplets .* Name such a folder"):
        find_sets(tmp_path)
