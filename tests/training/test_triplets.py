"""Triplets: decided by number alone, cut and changed alike in all three frames."""

from dataclasses import replace
from pathlib import Path

import clips
import numpy as np
import pytest
import torch

from interp_cli.errors import TrainingError
from interp_cli.training import draws
from interp_cli.training.draws import TripletSampler, hold_out
from interp_cli.training.planes import frame_planes
from interp_cli.training.prepare import prepare
from interp_cli.training.triplets import FrameInterpolationDataset, to_batch


def test_a_number_means_the_same_triplet_whoever_asks(shots):
    first = FrameInterpolationDataset(TripletSampler(shots, seed=3), 32)
    second = FrameInterpolationDataset(TripletSampler(shots, seed=3), 32)
    second[99]
    for number in (5, 0, 12):
        np.testing.assert_array_equal(first[number][0], second[number][0])
    other = FrameInterpolationDataset(TripletSampler(shots, seed=4), 32)
    assert any(not np.array_equal(first[n][0], other[n][0]) for n in range(3))


def test_items_have_the_shape_and_type_that_is_promised(shots):
    dataset = FrameInterpolationDataset(TripletSampler(shots), 32, length=7)
    assert len(dataset) == 7
    for number in range(20):
        frames, timestep = dataset[number]
        assert (frames.shape, frames.dtype, timestep) == ((3, 32, 32, 3), np.uint8, 0.5)


def test_draws_stay_inside_their_shot(shots):
    sampler = TripletSampler(shots, any_timestep=True)
    for number in range(500):
        draw = sampler.draw(number, 40)
        shot = shots[draw.shot]
        first, middle, last = draw.frames
        assert 0 <= first < middle < last < shot.frames
        assert draw.timestep == pytest.approx((middle - first) / (last - first))
        for top, left in draw.places:
            assert 0 <= top <= shot.height - draw.side
            assert 0 <= left <= shot.width - draw.side


def test_other_times_only_for_networks_that_can(shots):
    def times(any_timestep):
        sampler = TripletSampler(shots, any_timestep=any_timestep)
        return {round(sampler.draw(n, 32).shown_timestep, 4) for n in range(300)}

    assert times(False) == {0.5}
    assert times(True) >= {0.25, 0.3333, 0.5, 0.6667, 0.75}


def test_fast_footage_is_strided_wider(shots):
    def mean_span(rate):
        sampler = TripletSampler([replace(r, frame_rate=rate) for r in shots])
        draws = [sampler.draw(n, 32) for n in range(300)]
        return np.mean([d.frames[2] - d.frames[0] for d in draws])

    assert mean_span(25.0) < 3.2 < 3.7 < mean_span(59.94)


def test_livelier_shots_are_seen_more_often(shots):
    calm, lively = replace(shots[0], motion=1.0), replace(shots[0], motion=12.0)
    sampler = TripletSampler([calm, lively])
    fraction = np.mean([sampler.draw(n, 32).shot for n in range(600)])
    assert fraction == pytest.approx((0.5 + 1.5) / (0.5 + 1.5 + 0.5 + 0.125), abs=0.06)


def test_hard_triplets_are_cut_where_most_moves(shots):
    def differences(fraction):
        sampler = TripletSampler(shots, hard_mining=fraction)
        items = (FrameInterpolationDataset(sampler, 24)[n][0] for n in range(60))
        return [float(np.abs(f[0].astype(int) - f[2]).mean()) for f in items]

    usual, hard, mixed = (differences(fraction) for fraction in (0.0, 1.0, 0.3))
    assert np.mean(hard) > 1.1 * np.mean(usual)
    taken = sum(m == h != u for m, h, u in zip(mixed, hard, usual, strict=True))
    assert 0 < taken < sum(h != u for h, u in zip(hard, usual, strict=True))


def test_plain_items_are_the_decoded_pictures(tmp_path):
    clip = clips.moving_clip(
        tmp_path / "a.mkv", frames=3, codec="ffv1", size=(64, 48), pix_fmt="yuv420p"
    )
    dataset = FrameInterpolationDataset(
        TripletSampler(prepare([clip], tmp_path / "out")), 48, plain=True
    )
    frames, timestep = dataset[0]
    assert (frames.shape, timestep) == ((3, 48, 48, 3), 0.5)
    luma = [frame_planes(clips_frame, 64, 48)[0] for clips_frame in stored_frames(tmp_path / "out")]
    weights = np.array((0.2126, 0.7152, 0.0722))
    left = dataset.sampler.plain(0, 48).places[0][1]
    for number in range(3):
        shown = frames[number].astype(float) @ weights * 219 / 255 + 16
        inside = (frames[number] > 0).all(-1) & (frames[number] < 255).all(-1)
        difference = np.abs(shown - luma[number][:, left : left + 48])[inside]
        assert difference.max() < 1.5


def stored_frames(folder):
    (file,) = folder.glob("*.yuv")
    return np.fromfile(file, np.uint8).reshape(-1, 64 * 48 * 3 // 2)


def test_changes_are_the_same_in_all_three_frames(shots):
    sampler = TripletSampler(shots)
    draw = sampler.draw(0, 32)
    still = replace(
        draw, frames=(2, 2, 2), anything=True, flip_x=True, transpose=True, gain=0.9, quality=60
    )
    sampler.draw = lambda *_: still
    frames, _ = FrameInterpolationDataset(sampler, 32)[0]
    assert np.array_equal(frames[0], frames[1])
    assert np.array_equal(frames[0], frames[2])


def test_reversal_swaps_frames_and_timestep(shots):
    sampler = TripletSampler(shots, any_timestep=True)
    draw = replace(sampler.draw(0, 32), frames=(0, 1, 4), timestep=0.25, quality=0, anything=True)
    dataset = FrameInterpolationDataset(sampler, 32)
    sampler.draw = lambda *_: replace(draw, reverse=False)
    forward, early = dataset[0]
    sampler.draw = lambda *_: replace(draw, reverse=True)
    backward, late = dataset[0]
    assert (early, late) == (0.25, 0.75)
    assert np.array_equal(forward[::-1], backward)


def test_batches_are_float_pictures_between_0_and_1(shots):
    dataset = FrameInterpolationDataset(TripletSampler(shots), 32)
    items = [dataset[n] for n in range(3)]
    batch = to_batch(items)
    assert len(batch) == 3
    assert batch.timestep.shape == (3, 1, 1, 1)
    expected = torch.from_numpy(items[1][0][1]).permute(2, 0, 1) / 255
    torch.testing.assert_close(batch.target[1], expected)
    torch.testing.assert_close(batch.frame1[2][0], torch.from_numpy(items[2][0][2][..., 0]) / 255)


def test_footage_in_many_files_keeps_few_of_them_open(shots, tmp_path):
    open_files = Path("/proc/self/fd")
    if not open_files.is_dir():
        pytest.skip("no /proc here")
    content = shots[0].file.read_bytes()
    many = []
    for number in range(200):
        (tmp_path / f"{number}.yuv").write_bytes(content)
        many.append(replace(shots[0], file=tmp_path / f"{number}.yuv"))
    dataset = FrameInterpolationDataset(TripletSampler(many), 16)
    for number in range(400):
        dataset[number]
    assert len(list(open_files.iterdir())) < 180


def test_held_out_shots_are_not_learned_from(shots):
    learned, held = hold_out(shots)
    assert len(held) == 1
    assert {(r.file, r.offset) for r in learned + held} == {(r.file, r.offset) for r in shots}
    # The order in which footage is named makes no difference, not even to its order.
    assert hold_out(list(reversed(shots))) == (learned, held)


def test_a_single_shot_gives_its_end(shots):
    (learned,), (held,) = hold_out(shots[:1])
    assert (learned.frames, held.frames) == (11, 3)
    assert held.offset == learned.offset + 11 * learned.frame_bytes


def test_too_little_footage(shots):
    with pytest.raises(TrainingError, match="only 5 frames that move"):
        hold_out([replace(shots[0], frames=5)])
    with pytest.raises(TrainingError, match="no shots to draw triplets from"):
        TripletSampler([])


def test_every_change_is_drawn_as_often_as_it_should(shots):
    sampler = TripletSampler(shots, hard_mining=0.2)
    drawn = [sampler.draw(n, 32) for n in range(1000)]
    shares = {
        name: np.mean([bool(getattr(d, name)) for d in drawn])
        for name in ("flip_x", "flip_y", "transpose", "reverse", "anything", "hardest", "quality")
    }
    assert shares == pytest.approx(
        {
            "flip_x": 0.5,
            "flip_y": 0.3,
            "transpose": 0.25,
            "reverse": 0.5,
            "anything": 0.3,
            "hardest": 0.2,
            "quality": 0.1,
        },
        abs=0.05,
    )
    assert {d.channels for d in drawn} == set(draws._ORDERS)
    for name, low, high in (("gain", 0.75, 1.15), ("gamma", 0.7, 1.43)):
        changed = [value for d in drawn if (value := getattr(d, name)) != 1]
        assert len(changed) / 1000 == pytest.approx(0.3, abs=0.05)
        assert low <= min(changed) < 1 < max(changed) <= high
    sides = [d.side for d in drawn]
    assert (min(sides), max(sides)) == (15, 40)  # 32 / 2.2 and 32 / 0.8
    assert np.mean([side == 32 for side in sides]) > 0.35


def test_a_source_of_many_shots_is_not_all_there_is(shots):
    alone, many = (
        replace(shots[0], source="a", motion=4.0),
        replace(shots[0], source="b", motion=4.0),
    )
    sampler = TripletSampler([alone, *[many] * 8])
    fraction = np.mean([sampler.draw(n, 32).shot == 0 for n in range(2000)])
    assert fraction == pytest.approx(1 / (1 + 8**0.7), abs=0.03)  # 0.19, not 0.11


@pytest.mark.parametrize("frames", [3, 4, 5, 7])
@pytest.mark.parametrize("rate", [25.0, 59.94])
def test_many_shots_of_few_frames_are_drawn_from(shots, frames, rate):
    short = replace(shots[0], frames=frames, frame_rate=rate)
    sampler = TripletSampler([short], any_timestep=True)
    for number in range(300):
        first, middle, last = sampler.draw(number, 32).frames
        assert 0 <= first < middle < last < frames
    first, middle, last = sampler.plain(0, 32).frames
    assert middle - first == last - middle == (2 if rate > 45 and frames > 4 else 1)
