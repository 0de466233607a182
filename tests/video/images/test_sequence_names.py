from pathlib import Path

import pytest

from interp_cli.errors import EncodeError, OpenError
from interp_cli.video.images.codecs import JPEG, PNG
from interp_cli.video.images.sequence_names import (
    find_pictures,
    is_sequence,
    is_sequence_target,
    parse_target,
)


def files(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).touch()
    return folder


def test_a_folder_is_sorted_as_people_count(tmp_path: Path):
    found = find_pictures(files(tmp_path, "f10.png", "f9.png", "f8.png", ".f1.png", "notes.txt"))
    assert [path.name for path in found.files] == ["f8.png", "f9.png", "f10.png"]
    assert (found.kind, found.places, found.first_number) == (PNG, (0, 1, 2), 8)
    assert found.warning is None
    assert found.names.name(11) == "f11.png"


def test_zeros_before_a_number_stay(tmp_path: Path):
    found = find_pictures(files(tmp_path, "a_0099_x.jpg", "a_0100_x.jpg"))
    assert (found.kind, found.names.name(7), found.first_number) == (JPEG, "a_0007_x.jpg", 99)


@pytest.mark.parametrize("pattern", ["f_%04d.png", "f_*.png", "f_????.png", "f_%d.png"])
def test_a_pattern_takes_what_fits(tmp_path: Path, pattern: str):
    files(tmp_path, "f_0001.png", "f_0002.png", "g_0001.png", "f_0003.jpg", "f_1.txt")
    assert is_sequence(tmp_path / pattern)
    found = find_pictures(tmp_path / pattern)
    assert [path.name for path in found.files] == ["f_0001.png", "f_0002.png"]


def test_a_file_is_no_pattern(tmp_path: Path):
    files(tmp_path, "100%d [x].mp4")
    assert not is_sequence(tmp_path / "100%d [x].mp4")
    assert not is_sequence(tmp_path / "none.mp4")


def test_missing_numbers_are_gaps_and_named(tmp_path: Path):
    files(tmp_path, *(f"{n:03d}.png" for n in (1, 2, 4, 5, 6, 9, 10)))
    found = find_pictures(tmp_path)
    assert found.places == (0, 1, 3, 4, 5, 8, 9)
    assert found.warning is not None
    assert found.warning.startswith("3 of the numbers are missing (3, 7-8):")


def test_steps_of_ten_miss_nothing(tmp_path: Path):
    found = find_pictures(files(tmp_path, "10.png", "20.png", "30.png"))
    assert (found.places, found.warning) == ((0, 1, 2), None)


def test_numbers_that_count_no_frames_make_no_gaps(tmp_path: Path):
    found = find_pictures(files(tmp_path, "t1000.png", "t1041.png", "t1083.png"))
    assert found.places == (0, 1, 2)
    assert found.warning is not None
    assert "do not count frames" in found.warning


def test_names_without_one_number_follow_each_other(tmp_path: Path):
    found = find_pictures(files(tmp_path, "b.png", "a.png", "a2.png"))
    assert [path.name for path in found.files] == ["a.png", "a2.png", "b.png"]
    assert (found.places, found.names.name(1)) == ((0, 1, 2), "000001.png")


def test_kinds_are_not_mixed(tmp_path: Path):
    files(tmp_path, "a.png", "b.jpg")
    with pytest.raises(OpenError, match=r"JPEG \(b.jpg\) and PNG \(a.png\); .* of one kind"):
        find_pictures(tmp_path)


def test_no_picture_is_an_error(tmp_path: Path):
    with pytest.raises(OpenError, match="no picture is there"):
        find_pictures(tmp_path)
    with pytest.raises(OpenError, match=r"f_%04d.png: no picture is there"):
        find_pictures(tmp_path / "f_%04d.png")


def test_a_percent_sign_in_the_name_of_a_video_is_no_pattern(tmp_path: Path):
    assert not is_sequence_target(tmp_path / "100%.mp4", None)
    assert is_sequence_target(tmp_path / "%d.png", None)


@pytest.mark.parametrize("name", ["a%d_%d.png", "a%s.png", "a%04d.mp4", "a%d"])
def test_a_target_pattern_has_one_number_and_an_ending(tmp_path: Path, name: str):
    with pytest.raises(EncodeError, match="one number and an ending are expected"):
        parse_target(tmp_path / name, None)


def test_a_missing_video_with_brackets_in_its_name_is_missing(tmp_path: Path):
    with pytest.raises(OpenError, match=r"clip \[1\]\.mp4: no such file"):
        find_pictures(tmp_path / "clip [1].mp4")
    with pytest.raises(OpenError, match="no picture is there"):
        find_pictures(tmp_path / "*.png")


@pytest.mark.parametrize("pair", [("left_", "right_"), ("cam1_", "cam2_"), ("", "mask_")])
def test_two_sequences_in_one_folder_are_refused(tmp_path: Path, pair: tuple[str, str]):
    for prefix in pair:
        for number in (1, 2, 3):
            (tmp_path / f"{prefix}{number:04d}.png").touch()
    with pytest.raises(OpenError, match=r"holds 2 sequences, such as .*%04d\.png \(3 pictures\)"):
        find_pictures(tmp_path)
    names = [path.name for path in find_pictures(tmp_path / f"{pair[1]}%04d.png").files]
    assert names == [f"{pair[1]}{number:04d}.png" for number in (1, 2, 3)]


@pytest.mark.parametrize(
    "names",
    [
        ["img_20240101_235959.png", "img_20240102_000000.png", "img_20240102_000001.png"],
        ["2024-01-01_00.png", "2024-01-01_01.png", "2024-01-02_00.png", "2024-01-02_01.png"],
        ["shot2_9.png", "shot2_10.png", "shot2_11.png"],
        ["cover.png", "f_1.png", "f_2.png"],
        ["beach.png", "hills.png", "sea.png", "town.png"],
    ],
)
def test_dates_and_single_pictures_do_not_make_two_sequences(tmp_path: Path, names: list[str]):
    for name in names:
        (tmp_path / name).touch()
    assert len(find_pictures(tmp_path).files) == len(names)
