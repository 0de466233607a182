"""Matches of small things that move far, on descriptors whose motion is known."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from interp_cli.models.flow import large_motion as far
from interp_cli.models.flow import network as flow_module
from interp_cli.models.flow.large_motion import global_matches
from interp_cli.models.weights import load_model

SIDE = 24
# Where the thing is in frame 0, and how far it goes in cells.
TOP, LEFT, SIZE = 6, 4, 4
MOVE = (7, 3)


def scene(*places: tuple[int, int]) -> Tensor:
    """Descriptors of unit length, (C, h, w): a ground at rest with the thing at some places."""
    made = torch.Generator().manual_seed(0)
    ground = torch.randn(24, SIDE, SIDE, generator=made)
    thing = torch.randn(24, SIZE, SIZE, generator=made)
    for left, top in places:
        ground[:, top : top + SIZE, left : left + SIZE] = thing
    return F.normalize(ground, dim=0)


def matched(frame0: Tensor, frame1: Tensor, flow: Tensor | None = None) -> tuple[Tensor, Tensor]:
    own = torch.stack((frame0, frame1))[None]
    flow = torch.zeros(1, 2, 2, SIDE, SIDE) if flow is None else flow
    found, sure = global_matches(own, flow)
    assert found.shape == flow.shape
    assert sure.shape == (1, 2, 1, SIDE, SIDE)
    return found[0], sure[0, :, 0]


def inner(left: int, top: int, margin: int = 1) -> tuple[slice, slice]:
    """The thing without its rim."""
    size = SIZE - 2 * margin
    return (
        slice(top + margin, top + margin + size),
        slice(left + margin, left + margin + size),
    )


THERE = (LEFT + MOVE[0], TOP + MOVE[1])


def test_finds_a_small_thing_that_goes_further_than_its_size():
    found, sure = matched(scene((LEFT, TOP)), scene(THERE))
    for side, place, sign in ((0, (LEFT, TOP), 1), (1, THERE, -1)):
        rows, columns = inner(*place)
        assert sure[side, rows, columns].all()
        motion = found[side, :, rows, columns].flatten(1).T
        assert motion.unique(dim=0).tolist() == [[sign * MOVE[0], sign * MOVE[1]]]


def test_leaves_the_ground_alone():
    _, sure = matched(scene((LEFT, TOP)), scene(THERE))
    for side, (left, top) in ((0, (LEFT, TOP)), (1, THERE)):
        elsewhere = torch.ones(SIDE, SIDE, dtype=torch.bool)
        elsewhere[inner(left, top, margin=-1)] = False  # windows at the rim see the thing, too
        assert not sure[side][elsewhere].any()


def test_leaves_motion_alone_that_is_right():
    flow = torch.tensor([MOVE, (-MOVE[0], -MOVE[1])]).float().view(1, 2, 2, 1, 1)
    _, sure = matched(scene((LEFT, TOP)), scene(THERE), flow.expand(1, 2, 2, SIDE, SIDE))
    assert not sure[0][inner(LEFT, TOP)].any()
    assert not sure[1][inner(*THERE)].any()


@pytest.mark.parametrize(
    ("first", "then"),
    [
        pytest.param([(LEFT, TOP)], [THERE, (LEFT + 1, TOP + 8)], id="two alike"),
        pytest.param([(LEFT, TOP)], [], id="gone"),
        pytest.param([(LEFT, TOP)], [(LEFT + 12, TOP)], id="out of reach"),
    ],
)
def test_takes_only_what_is_sure(first: list[tuple[int, int]], then: list[tuple[int, int]]):
    _, sure = matched(scene(*first), scene(*then))
    assert not sure[0].any()


def test_less_is_enough_beside_what_is_sure(monkeypatch: pytest.MonkeyPatch):
    """The thing has changed a little; at its edges, half of a window sees the ground."""
    frame0, frame1 = scene((LEFT, TOP)), scene(THERE)
    noise = torch.randn(frame1.shape, generator=torch.Generator().manual_seed(1))
    place = inner(*THERE, margin=0)
    frame1[:, *place] = F.normalize(
        frame1[:, *place] + 0.75 * F.normalize(noise, dim=0)[:, *place], dim=0
    )
    edge = (TOP, slice(LEFT + 1, LEFT + SIZE - 1))
    found, sure = matched(frame0, frame1)
    assert sure[0][edge].all()
    assert found[0, :, *edge].T.unique(dim=0).tolist() == [list(MOVE)]
    monkeypatch.setattr(far, "_NEXT_CELLS", 0)
    _, sure = matched(frame0, frame1)
    assert not sure[0][edge].all()
    assert sure[0][inner(LEFT, TOP)].all()


def test_frames_swapped_give_the_same_matches():
    frames = scene((LEFT, TOP)), scene(THERE)
    found, sure = matched(*frames)
    swapped_found, swapped_sure = matched(*frames[::-1])
    assert torch.equal(found, swapped_found.flip(0))
    assert torch.equal(sure, swapped_sure.flip(0))


@torch.inference_mode()
def test_a_ball_is_shown_halfway(monkeypatch: pytest.MonkeyPatch):
    """A patterned ball of 36 px goes 32 px before a ground that rests."""
    net = load_model("flow").net
    made = torch.Generator().manual_seed(0)
    across = torch.arange(36) - 17.5
    disc = (across**2 + across[:, None] ** 2 < 18**2).float()

    def texture(side: int) -> Tensor:
        coarse = torch.rand(1, 3, side // 12, side // 12, generator=made)
        return F.interpolate(coarse, (side, side), mode="bicubic").clamp(0, 1)

    def frame(ground: Tensor, ball: Tensor, left: int) -> Tensor:
        picture = ground.clone()
        place = picture[..., 78:114, left : left + 36]
        place.copy_(torch.lerp(place, ball, disc))
        return picture

    def error(ground: Tensor, ball: Tensor) -> float:
        frame0, middle, frame1 = (frame(ground, ball, left) for left in (62, 78, 94))
        difference = net(frame0, frame1, torch.full((1, 1, 1, 1), 0.5)) - middle
        return 255 * float(difference[..., 78:114, 78:114].abs().mean())

    scenes = [(0.3 + 0.2 * texture(192), texture(36)) for _ in range(4)]
    errors = [error(*scene) for scene in scenes]
    monkeypatch.setattr(
        flow_module, "global_matches", lambda own, flow: (flow, flow[:, :, :1] > 1e9)
    )
    without = [error(*scene) for scene in scenes]
    assert sum(errors) < 0.85 * sum(without)
