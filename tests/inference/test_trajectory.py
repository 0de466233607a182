"""Ways through four places: what is known exactly comes out, what is not sure changes little."""

import pytest
import torch

from interp_cli.inference.trajectory import AdjacentMotion, apply_trajectory
from interp_cli.models.base import SynthesisParams

# Where a thing is at a time, in pixels; frame0 is at 0, frame1 at 1.
EVEN = ((6.0, -3.0), (0.0, 0.0), (0.0, 0.0))
FASTER = ((6.0, -3.0), (8.0, 4.0), (0.0, 0.0))
TURNING = ((0.0, 4.0), (8.0, 0.0), (0.4, -0.6))
HEIGHT, WIDTH, CELL = 32, 48, 4


def place(way, time):
    return sum(torch.tensor(part) * time ** (power + 1) for power, part in enumerate(way))


def flow(way, start, end, size=(HEIGHT, WIDTH)):
    """The same at every pixel, (1, 2, H, W)."""
    step = place(way, end) - place(way, start)
    return step.view(1, 2, 1, 1).expand(1, 2, *size)


def motion(way, start, end):
    """Both ways between two times, as a network gives it."""
    size = (HEIGHT // CELL, WIDTH // CELL)
    both = (flow(way, start, end, size), flow(way, end, start, size))
    return torch.stack(both, 1) / CELL


def even(way, timestep):
    """What a network makes of both frames."""
    plane = torch.zeros(1, 1, HEIGHT, WIDTH)
    step = flow(way, 0, 1)
    return SynthesisParams(
        *(-timestep * step, (1 - timestep) * step),
        *(plane + 1 - timestep, plane, plane, plane.expand(1, 3, -1, -1)),
    )


def column(*timesteps):
    return torch.tensor(timesteps).view(-1, 1, 1, 1)


def adjacent(way, before=1.0, after=1.0):
    return AdjacentMotion.of(
        motion(way, 0, 1), [motion(way, -before, 0)], [motion(way, 1, 1 + after)], [(before, after)]
    )


def bend(params, way, known, *timesteps):
    return apply_trajectory(params, motion(way, 0, 1), known, column(*timesteps), [len(timesteps)])


def off_course(made, way, timestep):
    """The largest error of both flows, in pixels."""
    expected = flow(way, timestep, 0), flow(way, timestep, 1)
    pairs = zip((made.flow_t0, made.flow_t1), expected, strict=True)
    return max(float((one - other).abs().max()) for one, other in pairs)


@pytest.mark.parametrize("timestep", [0.25, 0.5, 0.8])
@pytest.mark.parametrize("intervals", [(1, 1), (0.5, 2), (3, 1)])
@pytest.mark.parametrize("way", [EVEN, FASTER, TURNING])
def test_four_places_tell_the_way(way, intervals, timestep):
    params = even(way, timestep)
    made = bend(params, way, adjacent(way, *intervals), timestep)
    before = off_course(params, way, timestep)
    # What is steady is believed nearly whole; a change of the change is partly taken for noise.
    assert off_course(made, way, timestep) <= (0.15 if way is TURNING else 0.06) * before + 1e-5
    for same in ("blend_mask", "stillness", "sharpness", "residual"):
        assert getattr(made, same) is getattr(params, same)


def test_several_pairs_with_several_timesteps_at_once():
    asked = ((FASTER, (0.25, 0.75)), (EVEN, (0.5,)), (TURNING, (0.1, 0.4, 0.9)))
    frames = [(way, timestep) for way, timesteps in asked for timestep in timesteps]
    params = SynthesisParams(*map(torch.cat, zip(*(even(*frame) for frame in frames), strict=True)))
    known = AdjacentMotion(*map(torch.cat, zip(*(adjacent(way) for way, _ in asked), strict=True)))
    motions = torch.cat([motion(way, 0, 1) for way, _ in asked])
    counts = [len(timesteps) for _, timesteps in asked]
    made = apply_trajectory(params, motions, known, column(*(t for _, t in frames)), counts)
    for i, (way, timestep) in enumerate(frames):
        alone = bend(even(way, timestep), way, adjacent(way), timestep)
        torch.testing.assert_close(made.flow_t1[i : i + 1], alone.flow_t1)


def test_of_a_parabola_half_is_taken():
    params, own = even(FASTER, 0.5), motion(FASTER, 0, 1)
    error = off_course(params, FASTER, 0.5)
    earlier, later = motion(FASTER, -1, 0), motion(FASTER, 1, 2)
    for one in (([earlier], [None]), ([None], [later])):
        made = bend(params, FASTER, AdjacentMotion.of(own, *one, [(1, 1)]), 0.5)
        assert off_course(made, FASTER, 0.5) == pytest.approx(error / 2, rel=0.1)
    nothing = bend(params, FASTER, AdjacentMotion.of(own, [None], [None], [(1, 1)]), 0.5)
    torch.testing.assert_close(nothing.flow_t0, params.flow_t0, rtol=0, atol=0)


def test_what_is_not_sure_changes_little():
    params, known = even(EVEN, 0.5), adjacent(EVEN)
    noise = torch.randn(known.later.shape, generator=torch.Generator().manual_seed(0))
    slower = motion(((6, -3), (-8, -4), (0, 0)), 1, 2)
    for not_sure, most in (
        # Both directions contradict each other.
        (known._replace(earlier=8 * noise, later=8 * noise), 0.5),
        # Faster before, slower after: 1.1 px if the cubic were believed.
        (adjacent(FASTER)._replace(later=slower), 0.35),
    ):
        made = bend(params, EVEN, not_sure, 0.5)
        assert (made.flow_t0 - params.flow_t0).abs().mean() < most


def test_what_stands_still_stays():
    params = even(FASTER, 0.5)
    params = params._replace(stillness=torch.ones_like(params.stillness))
    made = bend(params, FASTER, adjacent(FASTER), 0.5)
    torch.testing.assert_close(made.flow_t0, params.flow_t0)


def test_backward_in_time_is_the_same_way():
    generator = torch.Generator().manual_seed(1)
    own, earlier, later = (
        motion(TURNING, start, start + 1) + 0.1 * torch.randn((1, 2, 2, 8, 12), generator=generator)
        for start in (0, -1, 1)
    )
    params = even(TURNING, 0.3)
    made = apply_trajectory(
        params, own, AdjacentMotion.of(own, [earlier], [later], [(2, 0.5)]), column(0.3), [1]
    )
    turned = params._replace(
        flow_t0=params.flow_t1, flow_t1=params.flow_t0, blend_mask=1 - params.blend_mask
    )
    known = AdjacentMotion.of(own, [later.flip(1)], [earlier.flip(1)], [(0.5, 2)])
    back = apply_trajectory(turned, own.flip(1), known, column(1 - 0.3), [1])
    torch.testing.assert_close(back.flow_t0, made.flow_t1)
    torch.testing.assert_close(back.flow_t1, made.flow_t0)


def bent_by(mask, later):
    """How far a place is moved that shows so much of frame0, in pixels."""
    params = even(FASTER, 0.5)
    params = params._replace(blend_mask=torch.full_like(params.blend_mask, mask))
    known = adjacent(FASTER)._replace(later=later)
    made = bend(params, FASTER, known, 0.5)
    return (made.flow_t0 - params.flow_t0).norm(dim=1).mean().item()


def test_what_one_frame_hides_the_other_tells():
    steady = motion(((14.0, 1.0), (0.0, 0.0), (0.0, 0.0)), 1, 2)  # goes on as between the frames
    assert bent_by(1.0, steady) > 10 * bent_by(0.0, steady)


def test_a_motion_that_does_not_lead_back_tells_nothing():
    own, earlier = motion(FASTER, 0, 1), motion(FASTER, -1, 0)
    params = even(FASTER, 0.5)

    def moved(earlier):
        made = bend(params, FASTER, AdjacentMotion.of(own, [earlier], [None], [(1, 1)]), 0.5)
        return (made.flow_t0 - params.flow_t0).norm(dim=1).mean()

    astray = earlier.clone()
    astray[:, 0] += 8  # cells: from its first frame to another place than where it came from
    assert moved(astray) < 0.1 * moved(earlier)


def test_what_is_told_of_a_thing_goes_along_with_it():
    way = ((16.0, 0.0), (0.0, 0.0), (0.0, 0.0))
    own, earlier, params = motion(way, 0, 1), motion(way, -1, 0), even(way, 0.5)
    earlier[..., 2:4] *= 0.25  # it was slower there: columns 8 to 16 of frame0
    made = bend(params, way, AdjacentMotion.of(own, [earlier], [None], [(1, 1)]), 0.5)
    moved = (made.flow_t0 - params.flow_t0)[0, 0].abs().sum(0)
    place = (moved * torch.arange(WIDTH)).sum() / moved.sum()
    assert place == pytest.approx(12 - 0.5 + 8, abs=2)
