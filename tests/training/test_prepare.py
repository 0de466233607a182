"""Videos and data sets become shots: split, filtered, stored once, never half."""

import errno
import json
import os
from dataclasses import replace

import av
import clips
import cv2
import numpy as np
import pytest

from interp_cli.errors import DecodeError, OpenError, ResourceError, TrainingError
from interp_cli.options import DoubleOptions
from interp_cli.training import prepare as preparing
from interp_cli.training.options import PrepareOptions
from interp_cli.training.planes import frame_planes
from interp_cli.training.prepare import open_prepared, prepare
from interp_cli.training.sources import find_sources


def stored(shot):
    """The frames of a shot as it lies in its file, (frames, bytes)."""
    data = np.fromfile(shot.file, np.uint8, shot.frames * shot.frame_bytes, offset=shot.offset)
    return data.reshape(shot.frames, shot.frame_bytes)


def test_stores_the_decoded_planes_as_they_are(tmp_path):
    clip = clips.moving_clip(tmp_path / "a.mp4", frames=5)
    (shot,) = prepare([clip], tmp_path / "out")
    assert (shot.frames, shot.width, shot.height, shot.source) == (5, *clips.SIZE, "a.mp4")
    for frame, image in zip(stored(shot), clips.decoded(clip), strict=True):
        for plane, expected in zip(
            frame_planes(frame, shot.width, shot.height), clips.planes(image), strict=True
        ):
            np.testing.assert_array_equal(plane, expected)


def test_splits_at_cuts(cut_clip, tmp_path):
    shots = prepare([cut_clip], tmp_path)
    assert [shot.frames for shot in shots] == [5, 6, 5]
    assert [shot.offset // shot.frame_bytes for shot in shots] == [0, 5, 11]


def drawn(time, scene=0):
    return clips.true_frame(time, scene=scene).astype(np.float32)


def clip_of(path, pictures):
    pictures = [np.rint(picture).astype(np.uint8) for picture in pictures]
    size = (pictures[0].shape[1], pictures[0].shape[0])
    return clips.moving_clip(path, len(pictures), size, codec="ffv1", pictures=pictures)


def test_fast_motion_is_no_cut(tmp_path):
    """Each pair alone changes by 0.4, which counted as a cut."""
    wide = clips.true_frame(0, (600, 128))
    pan = clip_of(tmp_path / "pan.mkv", [wide[:, x : x + 192] for x in range(0, 384, 24)])
    assert [shot.frames for shot in prepare([pan], tmp_path / "out")] == [16]


def test_a_cut_in_the_dark_is_a_cut(tmp_path):
    """The pair changes by less than 0.27, which did not count as a cut."""
    pictures = [16 + 0.07 * drawn(n, scene=n // 6) for n in range(12)]
    dark = clip_of(tmp_path / "dark.mkv", pictures)
    shots = prepare([dark], tmp_path / "out", PrepareOptions(min_motion=0))
    assert [shot.frames for shot in shots] == [6, 6]


def test_a_flash_is_in_no_shot_with_others(tmp_path):
    pictures = [0.4 * drawn(n) + 150 if n == 6 else drawn(n) for n in range(12)]
    flash = clip_of(tmp_path / "flash.mkv", pictures)
    assert [shot.frames for shot in prepare([flash], tmp_path / "out")] == [6, 5]


def test_without_a_threshold_there_are_no_cuts(cut_clip, tmp_path):
    (shot,) = prepare([cut_clip], tmp_path, PrepareOptions(scene_threshold=None))
    assert shot.frames == 16


def test_the_threshold_is_that_of_double():
    assert PrepareOptions().scene_threshold == DoubleOptions().scene_threshold


def test_footage_of_version_1_opens_and_its_source_is_prepared_again(tmp_path):
    clip = clips.moving_clip(tmp_path / "a.mp4", frames=5)
    (shot,) = prepare([clip], tmp_path / "out")
    record = shot.file.with_suffix(".json")
    content = json.loads(record.read_text())
    content = {"version": 1, "name": content["name"], "runs": content["shots"]}
    old = tmp_path / "old" / "0123.json"
    old.parent.mkdir()
    old.write_text(json.dumps(content))
    shot.file.rename(old.with_suffix(".yuv"))
    assert open_prepared(old.parent) == [replace(shot, file=old.with_suffix(".yuv"))]
    (again,) = prepare([clip], old.parent)
    assert again.file.parent == old.parent
    assert again.file.name != old.with_suffix(".yuv").name
    assert open_prepared(old.parent) == [again]


def test_footage_of_a_later_version_is_refused(prepared_folder, tmp_path):
    record = next(prepared_folder.glob("*.json"))
    content = json.loads(record.read_text()) | {"version": 9}
    (tmp_path / record.name).write_text(json.dumps(content))
    (tmp_path / record.name).with_suffix(".yuv").touch()
    with pytest.raises(TrainingError, match=r"json: .* version 9, this program reads 1 and 2"):
        open_prepared(tmp_path)


def test_drops_repeats(repeats_clip, tmp_path):
    (shot,) = prepare([repeats_clip], tmp_path)
    assert shot.frames == 12 - 3


def test_drops_stills_and_shots_too_short_for_a_triplet(tmp_path):
    still = clips.moving_clip(tmp_path / "still.mkv", frames=8, codec="ffv1", still=True)
    short = clips.moving_clip(tmp_path / "short.mp4", frames=2)
    with pytest.raises(TrainingError, match="no shot with three frames that move"):
        prepare([still, short], tmp_path / "out")


def test_what_is_nearly_still_is_dropped_by_its_motion(h264_clip, tmp_path):
    (shot,) = prepare([h264_clip], tmp_path / "a")
    assert shot.motion > 1
    with pytest.raises(TrainingError, match="that move"):
        prepare([h264_clip], tmp_path / "b", PrepareOptions(min_motion=shot.motion + 0.1))


def test_splits_where_frames_are_missing(tmp_path):
    # Steps of 40 ms, then one of 120, then 40 again.
    pts = [40 * n + (80 if n >= 5 else 0) for n in range(11)]
    clip = clips.moving_clip(tmp_path / "gap.mkv", frames=11, codec="ffv1", pts=pts)
    # The frame after the gap is at an uneven place on both its sides.
    assert [shot.frames for shot in prepare([clip], tmp_path / "out")] == [5, 5]


def test_milliseconds_of_a_container_are_even_enough(tmp_path):
    pts = [round(n * 1000 / 60) for n in range(9)]
    clip = clips.moving_clip(tmp_path / "rounded.mkv", frames=9, codec="ffv1", pts=pts)
    assert [shot.frames for shot in prepare([clip], tmp_path / "out")] == [9]


def test_long_shots_are_kept_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(preparing, "_LONGEST_SHOT", 6)
    clip = clips.moving_clip(tmp_path / "long.mkv", frames=16, codec="ffv1")
    assert [shot.frames for shot in prepare([clip], tmp_path / "out")] == [6, 6, 4]


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    clip = clips.moving_clip(tmp_path / "a.mp4", frames=3)
    monkeypatch.setattr(preparing, "_write_shots", full)
    with pytest.raises(ResourceError, match=r"out: the disk is full while preparing .*a.mp4"):
        prepare([clip], tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_large_and_deep_frames_become_small_and_eight_bits(ten_bit_clip, tmp_path):
    (shot,) = prepare([ten_bit_clip], tmp_path, PrepareOptions(short_side_px=32))
    assert min(shot.width, shot.height) == 32
    assert shot.width % 2 == shot.height % 2 == 0
    luma = frame_planes(stored(shot)[0], shot.width, shot.height)[0]
    decoded = clips.planes(clips.decoded(ten_bit_clip)[0])[0].view("<u2")
    expected = cv2.resize(
        decoded / 4,
        (shot.width, shot.height),
        interpolation=cv2.INTER_AREA,
    )
    assert np.abs(luma - expected).mean() < 1.5


def test_odd_sizes_lose_their_last_row_and_column(odd_clip, tmp_path):
    (shot,) = prepare([odd_clip], tmp_path)
    assert (shot.width, shot.height) == (100, 66)


def test_a_second_time_reads_what_is_there(footage_folder, prepared_folder, shots, monkeypatch):
    def never(*_):
        raise AssertionError("prepared again")

    monkeypatch.setattr(preparing, "_write_shots", never)
    assert prepare([footage_folder], prepared_folder) == shots
    assert sorted(r.file for r in open_prepared(prepared_folder)) == sorted(r.file for r in shots)
    assert len(prepare([prepared_folder], prepared_folder)) == 4


def test_a_changed_file_or_other_options_are_prepared_anew(tmp_path):
    clip = clips.moving_clip(tmp_path / "a.mp4", frames=5)
    (before,) = prepare([clip], tmp_path / "out")
    clips.moving_clip(clip, frames=7)
    (after,) = prepare([clip], tmp_path / "out")
    (other,) = prepare([clip], tmp_path / "out", PrepareOptions(short_side_px=48))
    assert (before.frames, after.frames, other.frames) == (5, 7, 7)
    assert len({before.file, after.file, other.file}) == 3


def test_a_video_that_was_moved_is_not_prepared_again(tmp_path):
    clip = clips.moving_clip(tmp_path / "a.mp4", frames=5)
    (before,) = prepare([clip], tmp_path / "out")
    moved = tmp_path / "elsewhere" / "a.mp4"
    moved.parent.mkdir()
    clip.rename(moved)
    os.utime(moved, (1, 1))
    assert prepare([moved], tmp_path / "out") == [before]


def test_a_damaged_video_leaves_nothing_that_counts_as_prepared(tmp_path):
    clip = clips.moving_clip(tmp_path / "a.mkv", frames=30, codec="ffv1")
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    with pytest.raises(DecodeError, match=r"a.mkv: decoded \d+"):
        prepare([clip], tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_flat_file_without_its_description_is_made_again(tmp_path):
    clip = clips.moving_clip(tmp_path / "a.mp4", frames=5)
    (shot,) = prepare([clip], tmp_path / "out")
    shot.file.with_suffix(".json").unlink()
    shot.file.write_bytes(b"half")
    assert prepare([clip], tmp_path / "out") == [shot]
    assert len(stored(shot)) == 5


def test_a_flat_file_that_was_cut_short_is_named(prepared_folder, tmp_path):
    record = next(prepared_folder.glob("*.json"))
    (tmp_path / record.name).write_text(record.read_text())
    (tmp_path / record.name).with_suffix(".yuv").write_bytes(b"short")
    with pytest.raises(TrainingError, match=r"yuv: 5 bytes, expected \d+. Delete it"):
        open_prepared(tmp_path)


def test_the_manifest_states_frame_rate_and_source(tmp_path):
    clips.moving_clip(tmp_path / "a.mp4", frames=5)
    clips.moving_clip(tmp_path / "b.mp4", frames=5)
    entry = {"file": "a.mp4", "frame_rate": 59.94, "source": "somewhere"}
    (tmp_path / "manifest.json").write_text(json.dumps([entry]))
    first, second = prepare([tmp_path], tmp_path / "out")
    assert (first.frame_rate, first.source) == (59.94, "somewhere")
    assert (second.frame_rate, second.source) == (25.0, "b.mp4")


def test_a_manifest_of_another_kind_is_named(tmp_path):
    clips.moving_clip(tmp_path / "a.mp4", frames=3)
    (tmp_path / "manifest.json").write_text('{"a.mp4": 1}')
    with pytest.raises(TrainingError, match=r"manifest.json: expected a list of objects"):
        find_sources([tmp_path])


def three_frames(start):
    return [clips.true_frame(start + number) for number in range(3)]


def test_the_layout_of_vimeo_90k(tmp_path):
    for number in range(3):
        clips.write_triplet(
            tmp_path / "sequences" / "00001" / f"000{number}", *three_frames(5 * number)
        )
    (tmp_path / "tri_trainlist.txt").write_text("00001/0000\n00001/0002\n\n")
    shots = prepare([tmp_path], tmp_path / "out")
    assert [(shot.frames, shot.source) for shot in shots] == [(3, tmp_path.name)] * 2
    y, u, v = frame_planes(stored(shots[1])[2], shots[1].width, shots[1].height)
    image = av.VideoFrame.from_ndarray(
        np.vstack((y, u.reshape(-1, y.shape[1]), v.reshape(-1, y.shape[1]))), "yuv420p"
    )
    rgb = image.to_ndarray(format="rgb24", src_colorspace="ITU709", src_color_range="MPEG")
    assert np.abs(rgb.astype(int) - clips.true_frame(12)).mean() < 6


def test_a_listed_triplet_that_is_missing_is_named(tmp_path):
    (tmp_path / "tri_trainlist.txt").write_text("00001/0007\n")
    with pytest.raises(OpenError, match=r"0007/im1.png: is missing; a triplet needs all three"):
        find_sources([tmp_path])


def test_a_septuplet_is_seven_frames_in_a_row(tmp_path):
    for number in range(1, 8):
        cv2.imwrite(str(tmp_path / f"im{number}.png"), clips.true_frame(number)[:, :, ::-1])
    (source,) = find_sources([tmp_path])
    assert (len(source.pictures), source.group) == (7, 0)


def test_folders_of_triplets_and_of_numbered_pictures(tmp_path):
    clips.write_triplet(tmp_path / "set" / "one", *three_frames(0))
    clips.write_triplet(tmp_path / "set" / "two", *three_frames(4))
    sequence = tmp_path / "frames"
    sequence.mkdir()
    for number in range(5):
        cv2.imwrite(str(sequence / f"{number:05}.png"), clips.true_frame(number)[:, :, ::-1])
    assert [shot.frames for shot in prepare([tmp_path / "set"], tmp_path / "a")] == [3, 3]
    assert [shot.frames for shot in prepare([sequence], tmp_path / "b")] == [5]


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (range(9, 13), [[9, 10, 11, 12]]),
        ([1, 2, 3, 5, 6, 7, 8, 20, 21], [[1, 2, 3], [5, 6, 7, 8]]),
        ([100, 140, 175, 230, 260], [[100, 140, 175, 230, 260]]),
        (["b1", "b2", "b3", "a1", "a2", "a3"], [["a1", "a2", "a3"], ["b1", "b2", "b3"]]),
        (["x", "z", "y"], [["x", "y", "z"]]),
    ],
)
def test_numbered_pictures_follow_each_other_without_gaps(tmp_path, names, parts):
    for name in names:
        (tmp_path / f"{name}.png").touch()
    found = [[path.stem for path in source.pictures] for source in find_sources([tmp_path])]
    assert found == [list(map(str, part)) for part in parts]


def test_a_picture_that_is_none_is_named(tmp_path):
    clips.write_triplet(tmp_path / "one", *three_frames(0))
    (tmp_path / "one" / "im2.png").write_text("no picture")
    with pytest.raises(OpenError, match=r"im2.png: is no picture"):
        prepare([tmp_path], tmp_path / "out")


def test_nothing_and_nowhere(tmp_path):
    with pytest.raises(TrainingError, match="no video, no triplets"):
        find_sources([tmp_path])
    with pytest.raises(TrainingError, match="nosuch: missing"):
        find_sources([tmp_path / "nosuch"])


def test_progress_counts_sources(footage_folder, prepared_folder):
    seen = []
    prepare([footage_folder], prepared_folder, progress=lambda *now: seen.append(now))
    assert seen == [(n, 4) for n in range(5)]
