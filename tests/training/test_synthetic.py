"""Drawn motion: exact flows, exact middles, and still things that stay still."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from interp_cli.models.flow.network import Flow
from interp_cli.models.warp import warp
from interp_cli.models.weights import load_model
from interp_cli.training import losses, synthetic
from interp_cli.training.labels import LAST_FRACTION, matcher_labels
from interp_cli.training.losses import flow_loss, laplacian_l1, log_squared_error
from interp_cli.training.synthetic import scenes, with_synthetic
from interp_cli.training.triplets import TripletBatch

SIZE = 96


def pictures(count: int = 4) -> Tensor:
    noise = torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    return F.interpolate(noise, size=(SIZE, SIZE), mode="bicubic", align_corners=True).clamp(0, 1)


def batch(count: int = 4) -> TripletBatch:
    frames = pictures(3 * count).view(3, count, 3, SIZE, SIZE)
    return TripletBatch(frames[0], frames[1], frames[2], torch.full((count, 1, 1, 1), 0.5))


def draw(seed: int, timestep: float = 0.5, count: int = 2):
    random = torch.Generator().manual_seed(seed)
    return scenes(pictures(), torch.full((count, 1, 1, 1), timestep), random)


@pytest.fixture
def sharp(monkeypatch: pytest.MonkeyPatch) -> None:
    """No motion blur, one cut-out patch over the ground, nothing still."""
    monkeypatch.setattr(synthetic, "_BLUR_CHANCE", 0.0)
    monkeypatch.setattr(synthetic, "_MASKS", (synthetic._cut_out,))
    monkeypatch.setattr(synthetic, "_still", lambda *_: None)


@pytest.mark.usefixtures("sharp")
@pytest.mark.parametrize("seed", range(4))
def test_flows_lead_to_the_same_point_of_the_other_frame(seed: int):
    frame0, _, frame1, labels = draw(seed)
    flow = F.interpolate(labels["exact_flow"][:, 0], scale_factor=4, mode="nearest")
    known = (flow[:, 2:] == 1).float()  # whole cells of one layer that the other frame shows
    assert known.mean() > 0.15
    moved, unmoved = (
        ((picture - frame0).abs() * known).sum() / known.sum() / 3
        for picture in (warp(frame1, flow[:, :2]), frame1)
    )
    assert moved < 0.02
    assert moved < 0.5 * unmoved + 0.005


@pytest.mark.usefixtures("sharp")
def test_motion_back_is_known_too():
    frame0, _, frame1, labels = draw(3)
    flow = F.interpolate(labels["exact_flow"][:, 1], scale_factor=4, mode="nearest")
    known = (flow[:, 2:] == 1).float()
    error = ((warp(frame0, flow[:, :2]) - frame1).abs() * known).sum() / known.sum() / 3
    assert error < 0.02


@pytest.mark.usefixtures("sharp")
def test_targets_close_to_either_end_look_like_it():
    frame0, early, frame1, _ = draw(5, 0.001)
    _, late, _, _ = draw(5, 0.999)
    assert (frame0 - frame1).abs().mean() > 0.02
    assert (early - frame0).abs().mean() < 0.002
    assert (late - frame1).abs().mean() < 0.002


@pytest.mark.usefixtures("sharp")
def test_points_move_at_constant_speed():
    """Half of the flow leads to the target at 0.5."""
    frame0, target, _, labels = draw(2)
    flow = F.interpolate(labels["exact_flow"][:, 0], scale_factor=4, mode="nearest")
    known = (flow[:, 2:] == 1).float()
    error = ((warp(target, flow[:, :2] / 2) - frame0).abs() * known).sum() / known.sum() / 3
    assert error < 0.03


@pytest.mark.usefixtures("sharp")
@pytest.mark.parametrize(("seed", "timestep"), [(3, 0.3), (3, 0.7), (5, 0.5), (8, 0.5)])
def test_flows_lead_from_the_target_to_the_same_point_of_both_frames(seed: int, timestep: float):
    frame0, target, frame1, labels = draw(seed, timestep)
    for side, frame in enumerate((frame0, frame1)):
        flow = F.interpolate(labels["exact_flow_t"][:, side], scale_factor=2, mode="nearest")
        known = (flow[:, 2:] == 1).float()  # whole cells of one layer that the frame shows
        assert known.mean() > 0.3
        moved, unmoved = (
            ((picture - target).abs() * known).sum() / known.sum() / 3
            for picture in (warp(frame, flow[:, :2]), frame)
        )
        assert unmoved > 0.02
        assert moved < 0.5 * unmoved


@pytest.mark.usefixtures("sharp")
def test_motion_does_not_blur():
    """Or a network learns from drawn motion that middles are softer than their neighbours."""
    noise = torch.rand(4, 3, 72, 72, generator=torch.Generator().manual_seed(1))
    fine = F.interpolate(noise, size=(SIZE, SIZE), mode="bicubic", align_corners=True).clamp(0, 1)
    detail = torch.zeros(3)
    for seed in range(8):
        random = torch.Generator().manual_seed(seed)
        *frames, _ = scenes(fine, torch.full((2, 1, 1, 1), 0.5), random)
        detail += torch.tensor([(f - F.avg_pool2d(f, 3, 1, 1)).abs().mean() for f in frames])
    assert (detail[1:] / detail[0]).min() > 0.96


@pytest.mark.parametrize("kind", ["_caption", "_black_bars", "_logo"])
def test_still_things_stand_still(kind: str):
    random = torch.Generator().manual_seed(4)
    mask = getattr(synthetic, kind)(2, SIZE, random)
    assert mask.shape == (2, 1, SIZE, SIZE)
    assert 0 <= mask.min() < mask.max() <= 1
    assert 0.001 < mask.mean() < 0.5


def test_still_things_lie_over_everything(monkeypatch: pytest.MonkeyPatch):
    bars = torch.zeros(2, 4, SIZE, SIZE)
    bars[:, 3, :12] = 1
    monkeypatch.setattr(synthetic, "_still", lambda *_: bars)
    for seed in range(3):
        *frames, labels = draw(seed)
        assert all(frame[:, :, :12].abs().max() == 0 for frame in frames)
        for flows, rows in ((labels["exact_flow"], 3), (labels["exact_flow_t"], 6)):
            assert flows[:, :, :2, :rows].abs().max() == 0
            assert flows[:, :, 2, :rows].min() == 1


def test_every_kind_of_scene_is_drawn_within_range():
    seen = []
    for seed in range(24):
        frame0, target, frame1, labels = draw(seed, 0.25, 1)
        for frame in (frame0, target, frame1):
            assert frame.shape == (1, 3, SIZE, SIZE)
            assert frame.min() > -1e-6
            assert frame.max() < 1 + 1e-6
        flows = labels["exact_flow"]
        assert flows.shape == (1, 2, 3, SIZE // 4, SIZE // 4)
        assert labels["exact_flow_t"].shape == (1, 2, 3, SIZE // 2, SIZE // 2)
        assert all(label.isfinite().all() for label in labels.values())
        seen.append(float((flows[:, :, :2] * flows[:, :, 2:]).abs().max()))
    assert max(seen) > SIZE / 10  # large motion is among them
    assert np.median(seen) < SIZE / 4


class TestWithSynthetic:
    def test_replaces_the_first_triplets_alone(self):
        real = batch()
        real.labels["dis_flow"] = torch.ones(4, 2, 3, SIZE // 8, SIZE // 8)
        mixed = with_synthetic(real, 0.25, 7)
        assert not torch.equal(mixed.target[0], real.target[0])
        assert torch.equal(mixed.target[1:], real.target[1:])
        assert torch.equal(mixed.timestep, real.timestep)
        assert mixed.labels["dis_flow"][0].abs().max() == 0
        assert mixed.labels["dis_flow"][1:].min() == 1
        assert mixed.labels["exact_flow"].shape == (4, 2, 3, SIZE // 4, SIZE // 4)
        assert mixed.labels["exact_flow"][0, :, 2].max() == 1
        assert mixed.labels["exact_flow"][1:].abs().max() == 0
        assert mixed.labels["exact_flow_t"].shape == (4, 2, 3, SIZE // 2, SIZE // 2)
        assert mixed.labels["exact_flow_t"][0, :, 2].max() == 1
        assert mixed.labels["exact_flow_t"][1:].abs().max() == 0

    def test_follows_the_seed(self):
        one, same, another = (with_synthetic(batch(), 0.5, seed).frame0 for seed in (1, 1, 2))
        assert torch.equal(one, same)
        assert not torch.equal(one, another)

    def test_a_share_of_nothing_changes_nothing(self):
        real = batch()
        assert with_synthetic(real, 0.0, 0) is real

    def test_a_share_holds_on_average(self):
        drawn = [
            sum(not torch.equal(a, b) for a, b in zip(mixed.target, batch().target, strict=True))
            for mixed in (with_synthetic(batch(), 0.1, seed) for seed in range(40))
        ]
        assert set(drawn) == {0, 1}
        assert np.mean(drawn) == pytest.approx(0.4, abs=0.2)


class TestLabels:
    def test_a_shift_is_found_both_ways(self):
        wide = (pictures(1)[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
        frame0, frame1 = wide[:80, 8:88], wide[:80, 4:84]  # everything moves 4 px to the right
        motion = matcher_labels(np.stack((frame0, frame0, frame1))[None])["dis_flow"]
        assert motion.shape == (1, 2, 3, 10, 10)
        inner = motion[0, :, :, 2:-2, 2:-2]
        assert inner[:, 2].mean() > 0.9
        assert abs(inner[0, 0].mean() - 4) < 0.3
        assert abs(inner[1, 0].mean() + 4) < 0.3
        assert abs(inner[:, 1].mean()) < 0.2

    def test_late_in_a_run_there_are_none(self):
        assert matcher_labels(np.zeros((1, 3, 16, 16, 3), np.uint8), LAST_FRACTION) == {}


class TestFlowLoss:
    def test_every_stage_has_its_part(self):
        torch.manual_seed(0)
        net = Flow()
        labelled = with_synthetic(batch(), 0.5, 3)
        labelled.labels["dis_flow"] = torch.ones(4, 2, 3, SIZE // 8, SIZE // 8)
        loss, parts = flow_loss(net, labelled, 0.0)
        stages = {"picture", "psnr", "half", "quarter", "projected", "matched"}
        known = {"exact_flow", "exact_flow_t", "midpoint_flow", "midpoint_flow_t"}
        assert set(parts) == {*stages, *known, "dis_flow"}
        assert all(part > 0 for part in parts.values())
        assert loss.item() == pytest.approx(sum(part.item() for part in parts.values()))
        loss.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
        _, late = flow_loss(net, labelled, LAST_FRACTION)
        assert set(late) == {*stages, *known}
        _, drawn = flow_loss(net, with_synthetic(batch(), 1.0, 3), LAST_FRACTION)
        assert set(drawn) == {*stages, "exact_flow", "exact_flow_t"}

    def test_what_was_filmed_is_learned_from_where_its_target_was_found(
        self, monkeypatch: pytest.MonkeyPatch
    ):
        """Its first half is drawn, so known to be in the middle."""
        used: list[Tensor] = []
        real = Flow.training_outputs

        def outputs(net: Flow, features, motion: Tensor, timestep: Tensor):
            used.append(timestep)
            return real(net, features, motion, timestep)

        monkeypatch.setattr(Flow, "training_outputs", outputs)
        monkeypatch.setattr(losses, "_can_be_halved", lambda _: False)
        torch.manual_seed(0)
        mixed = with_synthetic(batch(), 0.5, 3)
        mixed.frame1[2:] = mixed.frame0[2:].roll(4, -1)
        mixed.target[2:] = mixed.frame0[2:].roll(1, -1)
        flow_loss(load_model("flow").net, mixed, 0.5)
        found = sorted(used[0].flatten().tolist())
        assert found[:2] == pytest.approx([0.25, 0.25], abs=0.05)
        assert found[2:] == [0.5, 0.5]

    def test_only_what_was_filmed_is_taught_by_way_of_the_target(self):
        assert losses._filmed(batch()).tolist() == [0, 1, 2, 3]
        assert losses._filmed(with_synthetic(batch(), 0.5, 3)).tolist() == [2, 3]
        assert losses._filmed(with_synthetic(batch(), 1.0, 3)).tolist() == []

    @pytest.mark.parametrize(
        ("count", "size", "fraction"),
        [(4, 32, 1 / 4), (1, 48, 1 / 4), (6, 32, 1 / 4), (4, 24, 0), (4, 16, 0)],
    )
    @pytest.mark.slow
    def test_any_quarter_of_a_batch_is_learned_from_at_half_its_size(
        self, monkeypatch: pytest.MonkeyPatch, count: int, size: int, fraction: float
    ):
        halved: list[float] = []

        def numbers(_net: Flow, some: TripletBatch, _progress: float):
            if some.target.shape[-1] != size:
                halved.extend(some.timestep.tolist())
            return {"number": some.timestep.mean()}

        monkeypatch.setattr(losses, "_flow_parts", numbers)
        picture = torch.zeros(count, 3, size, size)
        whole = TripletBatch(picture, picture, picture, torch.arange(float(count)))
        torch.manual_seed(0)
        for _ in range(200):
            loss, _ = flow_loss(Flow(), whole, 1.0)
            assert loss.item() == pytest.approx((count - 1) / 2)  # each triplet counts as much
        assert len(halved) / (200 * count) == pytest.approx(fraction, abs=0.08)
        assert set(halved) == (set(range(count)) if fraction else set())

    @pytest.mark.usefixtures("sharp")
    def test_motion_is_half_as_long_at_half_the_size(self):
        """Exact flows still lead to the same point, where the pictures are smaller."""
        drawn = with_synthetic(batch(), 1.0, 3)
        halved = losses._halved(drawn)
        assert halved.target.shape == (4, 3, SIZE // 2, SIZE // 2)
        for label, half in zip(drawn.labels.values(), halved.labels.values(), strict=True):
            assert torch.equal(half[:, :, :2], label[:, :, :2] / 2)
            assert torch.equal(half[:, :, 2:], label[:, :, 2:])
        flow = F.interpolate(halved.labels["exact_flow"][:, 0], scale_factor=2, mode="nearest")
        known = (flow[:, 2:] == 1).float()
        moved, unmoved = (
            ((picture - halved.frame0).abs() * known).sum() / known.sum() / 3
            for picture in (warp(halved.frame1, flow[:, :2]), halved.frame1)
        )
        assert moved < 0.02
        assert moved < 0.5 * unmoved

    def test_flows_are_compared_in_the_pixels_of_the_frame(self):
        """Whatever size they have, those that are right have no error; one pixel is an eighth."""
        frames = torch.zeros(8, 3, SIZE, SIZE)
        motion = torch.tensor((3.0, -2.0)).view(1, 1, 2, 1, 1)
        known = torch.cat((motion, torch.ones(1, 1, 1, 1, 1)), 2).expand(4, 2, 3, 48, 48)
        right = [motion.expand(4, 2, 2, SIZE // k, SIZE // k) / k for k in (4, 2, 1)]
        assert losses._motion_l1(right, known, frames).item() == pytest.approx(0, abs=1e-6)
        wrong = [flow + 1 / k for flow, k in zip(right, (4, 2, 1), strict=True)]
        off = losses._motion_l1(wrong, known, frames).item()
        assert off == pytest.approx(3 * 2 / 8)  # three sizes, two directions

    def test_a_perfect_prediction_has_no_error(self):
        picture = pictures(1)
        assert laplacian_l1(picture, picture, 4) == 0
        assert log_squared_error(picture, picture) == 0
        # A constant error is seen by the coarsest level alone.
        assert laplacian_l1(picture + 0.1, picture, 4).item() == pytest.approx(0.1, abs=1e-5)

    def test_a_decibel_counts_alike_in_every_picture(self):
        """10 dB, wherever they are gained; each picture by itself."""
        none = torch.zeros(1, 3, 8, 8)
        at_20, at_30, at_40 = (
            log_squared_error(none + 10 ** (-db / 20), none).item() for db in (20, 30, 40)
        )
        assert at_20 - at_30 == pytest.approx(np.log(10), rel=0.01)
        assert at_30 - at_40 == pytest.approx(np.log(10), rel=0.05)
        both = torch.cat((none + 0.1, none + 0.01)), torch.cat((none, none))
        assert log_squared_error(*both).item() == pytest.approx((at_20 + at_40) / 2)
