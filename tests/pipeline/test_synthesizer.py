"""Middles in the video's own planes: what the network sees, how often, and what is made of it."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import av
import clips
import numpy as np
import pytest
import torch

from interp_cli.errors import ResourceError
from interp_cli.evaluation.metrics import psnr
from interp_cli.inference.interpolator import Interpolator
from interp_cli.models.base import SynthesisParams
from interp_cli.options import Quality
from interp_cli.pipeline.frames import SourceFrame
from interp_cli.pipeline.planner import PlannedFrame, with_adjacent_pairs
from interp_cli.pipeline.synthesizer import Synthesizer
from interp_cli.scenes.letterbox import Region
from interp_cli.video.colour import to_rgb8
from interp_cli.video.pixel_format import PixelFormat, pixel_format_of, planes_of
from interp_cli.video.probe import ColourTags

TAGS = ColourTags()
HALF = Fraction(1, 2)


class Known(torch.nn.Module):
    """Motion, and what is to be added, as given; counts what it sees."""

    supports_timestep = True

    def __init__(self, dx: float, dy: float, residual: Sequence[float] = (0, 0, 0)) -> None:
        super().__init__()
        self.moved = torch.tensor((dx, dy)).view(1, 2, 1, 1)
        self.added = torch.tensor(residual, dtype=torch.float32).view(1, 3, 1, 1)
        self.encoded: list[torch.Tensor] = []

    def size_multiple(self, height, width):
        return 8

    def encode(self, frame):
        self.encoded.append(frame)
        return (frame,)

    def estimate_flow(self, features0, features1):
        count, _, height, width = features0[0].shape
        both = torch.stack((self.moved, -self.moved), 1) / 4  # in pixels of its own grid
        return both.expand(count, 2, 2, height // 4, width // 4)

    def synthesize(self, features0, features1, motion, timestep):
        none = torch.zeros_like(features0[0][:, :1])
        moved = self.moved.expand(len(none), 2, *none.shape[-2:])
        flows = (-timestep * moved, (1 - timestep) * moved)
        added = self.added.expand(len(none), 3, *none.shape[-2:])
        return SynthesisParams(*flows, none + 1 - timestep, none, none, added)


def pan(count: int, size: tuple[int, int], step: tuple[int, int]) -> list[np.ndarray]:
    """A still drawing behind a window that goes by `step` (dx, dy) a picture."""
    (width, height), (dx, dy) = size, step
    wide = clips.true_frame(0, (width + count * dx, height + count * dy), still=True)
    return [wide[i * dy : i * dy + height, i * dx : i * dx + width] for i in range(count)]


def video(
    pictures: Sequence[np.ndarray], pixel_format: str
) -> tuple[list[SourceFrame], PixelFormat]:
    frames = [
        av.VideoFrame.from_ndarray(np.ascontiguousarray(p), format="rgb24").reformat(
            format=pixel_format
        )
        for p in pictures
    ]
    layout = pixel_format_of(frames[0], TAGS)
    return [SourceFrame(i, 2 * i, f) for i, f in enumerate(frames)], layout


def middles(
    interpolator: Interpolator, frames: Sequence[SourceFrame], layout: PixelFormat
) -> list[av.VideoFrame]:
    """The frame halfway between each two."""
    region = Region.whole(layout)
    plan = [PlannedFrame(a.pts + 1, a, b, HALF, region) for a, b in pairwise(frames)]
    made = list(Synthesizer(interpolator, layout, with_flow=False).images(plan))
    assert [replace(shown, earlier=None, later=None) for _, shown, _ in made] == plan
    return [image for image, _, _ in made]


@pytest.mark.parametrize(
    "pixel_format",
    ["yuv420p", "yuv422p10le", "yuv411p", "gray", "gray16le", "gbrp", "rgb24", "bgra"],
)
def test_planes_are_moved_each_at_its_own_size(pixel_format: str):
    """A way that is whole in every plane: the middle is the frame before, shifted."""
    frames, layout = video(pan(2, (128, 96), (16, 8)), pixel_format)
    (made,) = middles(Interpolator(Known(-16, -8), "cpu"), frames, layout)
    for plane, middle in zip(planes_of(frames[0].image), planes_of(made), strict=True):
        rows, columns = 96 // plane.shape[0], 128 // plane.shape[1]
        shifted = np.roll(plane, (-4 // rows, -8 // columns), (0, 1))
        inner = (slice(24 // rows, -24 // rows), slice(24 // columns, -24 // columns))
        np.testing.assert_array_equal(middle[inner], shifted[inner])


@pytest.mark.parametrize(("quality", "width"), [("best", 640), ("balanced", 320), ("fast", 160)])
def test_what_is_seen_small_moves_the_large_frame(quality: Quality, width: int):
    """The pan of the small picture, enlarged, moves every pixel of the frame by whole pixels."""
    frames, layout = video(pan(2, (640, 540), (24, 12)), "yuv420p")
    factor = {"best": 1, "balanced": 2, "fast": 4}[quality]
    interpolator = Interpolator(Known(-24 / factor, -12 / factor), "cpu", quality=quality)
    assert interpolator.reduction(540, 640) == factor
    (made,) = middles(interpolator, frames, layout)
    assert {tuple(s.shape) for s in interpolator.net.encoded} == {
        (1, 3, -(-540 // factor // 8) * 8, width)
    }
    luma, middle = (planes_of(image)[0] for image in (frames[0].image, made))
    np.testing.assert_array_equal(middle[24:-24, 24:-24], luma[30 : -24 + 6, 36 : -24 + 12])


def test_frames_too_large_to_be_moved_cost_one_line(monkeypatch):
    def greedy(*_):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("interp_cli.pipeline.synthesizer.render", greedy)
    frames, layout = video(pan(2, (128, 96), (16, 8)), "yuv420p")
    with pytest.raises(ResourceError, match="memory does not suffice for frames of 128x96"):
        middles(Interpolator(Known(-16, -8), "cpu"), frames, layout)


def test_what_is_added_goes_through_the_matrix():
    frames, layout = video([np.full((96, 128, 3), 90, np.uint8)] * 2, "yuv420p")
    change = (0.1, -0.05, 0.2)
    (made,) = middles(Interpolator(Known(0, 0, change), "cpu"), frames, layout)
    before, after = (to_rgb8(image, TAGS).mean((0, 1)) for image in (frames[0].image, made))
    np.testing.assert_allclose((after - before) / 255, change, atol=0.006)


def test_each_frame_is_seen_once_for_both_of_its_pairs():
    frames, layout = video(pan(6, (640, 540), (8, 8)), "yuv420p")
    interpolator = Interpolator(Known(-8, -8), "cpu")
    assert len(middles(interpolator, frames, layout)) == 5
    assert len(interpolator.net.encoded) == 6


def test_several_at_once_make_what_one_makes():
    torch.manual_seed(0)
    frames, layout = video(pan(7, (320, 240), (6, 2)), "yuv420p")
    threads = torch.get_num_threads()
    made = {}
    for count in (1, 3):
        interpolator = Interpolator("flow", "cpu", precision="fp32", batch=1)
        interpolator.workers = lambda height, width, count=count: count
        fresh = [SourceFrame(f.index, f.pts, f.image) for f in frames]
        made[count] = [planes_of(image) for image in middles(interpolator, fresh, layout)]
    for one, three in zip(made[1], made[3], strict=True):
        for plane, other in zip(one, three, strict=True):
            assert np.abs(plane.astype(int) - other).max() <= 1  # sums in another order
    assert torch.get_num_threads() == threads


def test_a_model_makes_the_same_in_planes_as_in_rgb():
    """In 4:4:4 nothing but rounding lies between the two ways; 50 dB are asked for."""
    frames, layout = video(pan(2, (320, 240), (6, 2)), "yuv444p")
    interpolator = Interpolator("flow", "cpu", precision="fp32")
    (made,) = middles(interpolator, frames, layout)
    rgb0, rgb1 = (to_rgb8(frame.image, TAGS) for frame in frames)
    assert psnr(to_rgb8(made, TAGS), interpolator(rgb0, rgb1)) > 50


def test_opacity_has_motion_of_its_own():
    pictures = pan(2, (128, 96), (0, 0))
    frames = []
    for left in (20, 36):
        opaque = np.zeros((96, 128, 1), np.uint8)
        opaque[30:60, left : left + 40] = 255
        rgba = np.concatenate((pictures[0], opaque), 2)
        frames.append(av.VideoFrame.from_ndarray(rgba, format="rgba"))
    layout = pixel_format_of(frames[0], TAGS)
    neighbours = [SourceFrame(i, i, f) for i, f in enumerate(frames)]
    net = Known(16, 0)
    (made,) = middles(Interpolator(net, "cpu"), neighbours, layout)
    assert Counter(tuple(s.shape) for s in net.encoded) == {(2, 3, 96, 128): 2}
    alpha = planes_of(made)[0][..., 3]
    assert alpha[45, 28:68].min() == 255
    assert alpha[45, :24].max() == 0


@pytest.mark.parametrize("has_flow", [True, False])
def test_frames_are_waited_for_when_the_next_batch_is_under_way(monkeypatch, averaging, has_flow):
    """As on a GPU: what is still on its way is not looked at before it is asked for."""
    events = []

    class Slow:
        is_done = False

        def __init__(self, tensors):
            self.number = sum(event.startswith("begin") for event in events)
            self.tensors = tuple(tensor.clone() for tensor in tensors)
            events.append(f"begin {self.number}")

        def wait(self):
            events.append(f"wait {self.number}")
            return self.tensors

    frames, layout = video(pan(7, (64, 48), (4, 2)), "yuv420p")
    net = Known(4, 2) if has_flow else averaging
    interpolator = Interpolator(net, device="cpu", precision="fp32", batch=2)
    monkeypatch.setattr(Interpolator, "workers", lambda *_: 1)
    expected = middles(interpolator, frames, layout)
    monkeypatch.setattr("interp_cli.pipeline.synthesizer.Download", Slow)
    made = middles(interpolator, frames, layout)
    for one, other in zip(made, expected, strict=True):
        for plane, same in zip(planes_of(one), planes_of(other), strict=True):
            np.testing.assert_array_equal(plane, same)
    assert [e for e in events if e.startswith("wait")] == [f"wait {n}" for n in range(6)]
    for first in (0, 2, 4):  # all of a batch are on their way before the first is waited for
        assert events.index(f"begin {first + 1}") < events.index(f"wait {first}")


def speeding_up(count: int, size: tuple[int, int]) -> list[np.ndarray]:
    """A still drawing behind a window that goes by 2, 6, 10 … pixels a picture, twice as many.

    Those at odd places are not halfway between their neighbours.
    """
    width, height = size
    places = [n * n // 2 for n in range(0, 4 * count, 2)]
    wide = clips.true_frame(0, (width + places[-1], height), still=True)
    return [wide[:, x : x + width] for x in places]


def test_what_speeds_up_is_not_shown_halfway():
    pictures = speeding_up(5, (320, 240))
    frames, layout = video(pictures[::2], "yuv444p")
    truth, scores = pictures[1::2], {}
    for trajectory in ("cubic", "linear"):
        interpolator = Interpolator("flow", "cpu", precision="fp32", trajectory=trajectory)
        fresh = [SourceFrame(f.index, f.pts, f.image) for f in frames]
        made = [to_rgb8(image, TAGS) for image in middles(interpolator, fresh, layout)]
        inner = (slice(8, -8), slice(8, -40))  # without what comes in
        pairs = zip(made, truth[: len(made)], strict=True)
        scores[trajectory] = [psnr(one[inner], other[inner]) for one, other in pairs]
    gains = np.subtract(scores["cubic"], scores["linear"])
    assert gains.min() > 1 and gains[1:-1].min() > 6, scores


def test_many_frames_between_two_have_the_pairs_beside_them():
    """They are made in several batches; the pair after them comes in none of these."""
    frames, layout = video(speeding_up(4, (160, 96))[::2], "yuv420p")
    region, interpolator = (
        Region.whole(layout),
        Interpolator("flow", "cpu", precision="fp32", batch=1),
    )
    times = [Fraction(n, 10) for n in range(1, 10)]
    plan = [PlannedFrame(0, a, b, t, region) for a, b in pairwise(frames) for t in times]
    assert {shown.later for shown in list(with_adjacent_pairs(plan))[:9]} == {frames[2]}
    made = Synthesizer(interpolator, layout, with_flow=True).images(plan)
    flows = [motion.flow_t0[20:-20, 40:100, 0].mean() for _, _, motion in made][9:18]
    # Frame n of them stands at 8 n n pixels, so what is shown at 1 + t lies 8 t (2 + t) away.
    assert flows == pytest.approx([8 * t * (2 + t) for t in times], abs=0.3)


def test_opacity_has_neighbours_of_its_own():
    """The picture speeds up, its opacity goes evenly: each follows its own way."""
    places = [0, 2, 8, 18, 32, 50, 72]
    ground = pan(1, (240, 96), (0, 0))[0]
    frames = []
    for number, x in enumerate(places):
        opaque = np.zeros((96, 160, 1), np.uint8)
        opaque[30:60, 20 + 10 * number : 60 + 10 * number] = 255
        rgba = np.concatenate((ground[:, x : x + 160], opaque), 2)
        frames.append(av.VideoFrame.from_ndarray(np.ascontiguousarray(rgba), format="rgba"))
    layout = pixel_format_of(frames[0], TAGS)
    shown = [SourceFrame(i, i, f) for i, f in enumerate(frames) if i % 2 == 0]
    errors = {}
    for trajectory in ("cubic", "linear"):
        interpolator = Interpolator("flow", "cpu", precision="fp32", trajectory=trajectory)
        fresh = [SourceFrame(n.index, n.pts, n.image) for n in shown]
        made = planes_of(middles(interpolator, fresh, layout)[1])[0].astype(int)
        difference = np.abs(made - planes_of(frames[3])[0])[8:-8, 8:-40]
        errors[trajectory] = difference[..., :3].mean(), difference[..., 3].mean()
    assert errors["cubic"][0] < errors["linear"][0] / 2, errors
    assert errors["cubic"][1] == pytest.approx(errors["linear"][1], abs=0.3)


def test_in_tiles_ways_are_straight():
    made = {}
    for trajectory in ("cubic", "linear"):
        frames, layout = video(speeding_up(4, (320, 240))[::2], "yuv420p")
        interpolator = Interpolator(
            "flow", "cpu", precision="fp32", tile=256, trajectory=trajectory
        )
        made[trajectory] = middles(interpolator, frames, layout)
        assert len(made[trajectory]) == 3
    for cubic, linear in zip(*made.values(), strict=True):
        for plane, same in zip(planes_of(cubic), planes_of(linear), strict=True):
            np.testing.assert_array_equal(plane, same)


def test_a_sequence_follows_the_same_ways():
    """`Interpolator.sequence` and the way of planes go through one set of places."""
    pictures = speeding_up(3, (320, 240))[::2]
    frames, layout = video(pictures, "yuv444p")
    interpolator = Interpolator("flow", "cpu", precision="fp32")
    rgb = [to_rgb8(frame.image, TAGS) for frame in frames]
    tensors = (torch.from_numpy(p.copy()).permute(2, 0, 1)[None] / 255 for p in rgb)
    rows = list(interpolator.sequence(tensors, [HALF]))
    for made, (row,) in zip(middles(interpolator, frames, layout), rows, strict=True):
        picture = (row.permute(1, 2, 0) * 255).round().clamp(0, 255).to(torch.uint8)
        assert psnr(to_rgb8(made, TAGS), picture.numpy()) > 45


@pytest.mark.parametrize("skipped", [4, 8, 12])
@pytest.mark.slow
def test_what_was_made_before_changes_nothing_that_follows(skipped: int):
    """The motion of the pair before is found again, to the bit as when that pair is made."""
    frames, layout = video(speeding_up(7, (160, 96)), "yuv420p")
    region = Region.whole(layout)
    plan = []
    for before, after in pairwise(frames):
        plan += [
            PlannedFrame(2 * before.pts, before, None, Fraction(0)),
            PlannedFrame(2 * before.pts + 1, before, after, HALF, region),
        ]

    def made(first: int) -> list[tuple[np.ndarray, ...] | None]:
        fresh = {f: SourceFrame(f.index, f.pts, f.image) for f in frames}
        again = [replace(s, before=fresh[s.before], after=s.after and fresh[s.after]) for s in plan]
        interpolator = Interpolator("flow", "cpu", precision="fp32", batch=3)
        synthesizer = Synthesizer(interpolator, layout, with_flow=False, batch=3, every=4)
        images = [image for image, _, _ in synthesizer.images(again, first)]
        assert synthesizer.synthesized == len(plan) // 2
        return [image and planes_of(image) for image in images]

    whole, rest = made(0), made(skipped)
    assert rest[:skipped] == [None] * skipped
    for one, other in zip(whole[skipped:], rest[skipped:], strict=True):
        for plane, same in zip(one, other, strict=True):
            np.testing.assert_array_equal(plane, same)


def test_motion_is_found_once_for_three_pairs(monkeypatch):
    frames, layout = video(pan(6, (160, 96), (4, 2)), "yuv420p")
    interpolator = Interpolator("flow", "cpu", precision="fp32", batch=1)
    calls, real = [], interpolator.runner.estimate_flow
    monkeypatch.setattr(
        interpolator.runner, "estimate_flow", lambda *a: calls.append(1) or real(*a)
    )
    middles(interpolator, frames, layout)
    assert len(calls) == 5


def test_motion_between_bars_lies_in_the_whole_frame():
    frames, layout = video(pan(2, (128, 96), (16, 8)), "yuv420p")
    region = Region(16, 80, 0, 128)
    plan = [PlannedFrame(1, *frames, HALF, region)]
    ((_, _, motion),) = Synthesizer(
        Interpolator(Known(-16, -8), "cpu"), layout, with_flow=True
    ).images(plan)
    assert motion.flow_t0.shape == (96, 128, 2)
    assert not motion.flow_t0[:16].any() and not motion.flow_t0[80:].any()
    np.testing.assert_allclose(
        motion.flow_t0[16:80], np.broadcast_to((8, 4), (64, 128, 2)), atol=1e-4
    )


@pytest.mark.parametrize("timestep", [Fraction(1, 4), Fraction(3, 4)])
def test_a_blend_is_weighted_by_time(timestep):
    frames, layout = video([np.full((48, 64, 3), v, np.uint8) for v in (40, 200)], "rgb24")
    plan = [PlannedFrame(1, *frames, timestep)]
    ((image, _, _),) = Synthesizer(
        Interpolator(Known(0, 0), "cpu"), layout, with_flow=False
    ).images(plan)
    assert np.unique(planes_of(image)[0]).tolist() == [40 + 160 * timestep]


@pytest.mark.parametrize("has_flow", [True, False])
def test_opacity_is_made_of_opacity(averaging, has_flow):
    rgba = np.full((2, 48, 64, 4), 200, np.uint8)
    rgba[0, ..., 3], rgba[1, ..., 3] = 40, 80
    images = [av.VideoFrame.from_ndarray(p, format="rgba") for p in rgba]
    layout = pixel_format_of(images[0], TAGS)
    frames = [SourceFrame(i, 2 * i, f) for i, f in enumerate(images)]
    net = Known(0, 0, (0.1, 0.1, 0.1)) if has_flow else averaging
    (made,) = middles(Interpolator(net, "cpu", precision="fp32"), frames, layout)
    added = 25.5 if has_flow else 0
    assert planes_of(made)[0][24, 32].tolist() == pytest.approx(
        [200 + added] * 3 + [60 + added], abs=1
    )


@pytest.mark.parametrize("trajectory", ["cubic", "linear"])
@pytest.mark.slow
def test_frames_are_let_go_of(trajectory):
    first, layout = video(pan(2, (64, 48), (4, 2)), "yuv420p")
    region, alive, most = Region.whole(layout), weakref.WeakSet(), []
    interpolator = Interpolator("flow", "cpu", precision="fp32", batch=2, trajectory=trajectory)

    def plan():
        before = None
        for n in range(80):
            after = SourceFrame(n, 2 * n, first[n % 2].image)
            alive.add(after)
            if before is not None:
                yield PlannedFrame(2 * n - 1, before, after, HALF, region)
            before = after

    for _ in Synthesizer(interpolator, layout, with_flow=False).images(plan()):
        most.append(len(alive))
    assert max(most[40:]) <= max(most[:40])
