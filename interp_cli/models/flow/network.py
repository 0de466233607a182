"""The default network: matching is built in, learning refines it.

Descriptors of both frames are compared in cost volumes, coarse to fine, which gives the flow
between the frames. Both flows are splatted to the timestep. Three small refinements, each at twice
the resolution of the one before, look at the warped pictures and correct flow and blend weights.
The result is a blend of both warped frames, sharpened or softened where the network says so, plus a
residual. Static regions are not warped.

Sources: cost volume and warped features from PWC-Net (Sun et al. 2018), the splatting of flow from
softmax splatting (Niklaus and Liu 2020), flow refined together with the blend mask and a residual
at the end from RIFE (Huang et al. 2022) and IFRNet (Kong et al. 2022).

Ours differs in seven things. A softmax over the cost volume turns descriptors into a flow step
without any weights, so that little footage is enough. In the same way, the refinements start from
the least squares step between the warped pictures (`lucas_kanade`). Small things that move far are
found by comparing each place with all around it (`large_motion`). The refinements treat both frames
alike by construction (`SwapConv`): swapped frames and 1 - t give the same picture. Layers with many
channels run at half the resolution (`CoarseBranch`), where they cost a quarter. The last warp is
bicubic: bilinear sampling alone cost 0.7 dB on Middlebury's pictures. Fades are undone before
pictures are compared (`fades`).

Tensors of a pair have a second axis for its sides, (N, 2, C, H, W): side 0 belongs to `frame0`,
side 1 to `frame1`, and `flip(1)` is the other side.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp_cli.image_ops import padded, shrunk
from interp_cli.models.base import SynthesisParams
from interp_cli.models.flow.fades import BrightnessCompensation, brightness_change
from interp_cli.models.flow.large_motion import global_matches
from interp_cli.models.flow.layers import (
    doubled,
    l2_normalize,
    per_side,
    stack_sides,
)
from interp_cli.models.flow.lucas_kanade import (
    consensus_flow,
    detail_uncertainty,
    direction,
)
from interp_cli.models.flow.matching import (
    EIGHTH,
    EIGHTH_DESCRIPTOR,
    QUARTER,
    QUARTER_DESCRIPTOR,
    Encoder,
    Matcher,
)
from interp_cli.models.flow.refinement import Refinement, State, refinement_step
from interp_cli.models.flow.static_regions import stillness
from interp_cli.models.render import render
from interp_cli.models.warp import splat, warp

# The coarsest level's picture has its shorter side at most this long: ten cells of the matcher.
_COARSEST_PX = 80
_MAX_LEVELS = 7
# Weights of the flow that replaces a frame's own where little of it lands, in units of a whole
# pixel that landed: the other frame's flow, and a mean over this many cells around. The network's
# weights are trained with these numbers.
_OTHER_FRACTION, _AROUND_FRACTION = 0.05, 0.01
_AROUND_CELLS = 7
# Fraction of the last least squares step that is taken. On sharp pictures all of it is right, on
# noisy film none.
_LAST_FRACTION = 0.5


class Features(NamedTuple):
    """Features of one frame, for both pairs that the frame belongs to.

    Attributes:
        pictures: The frame at full, half and quarter size, (N, 3, H, W) and so on.
        quarter: Features at 1/4, (N, 32, H/4, W/4).
        eighth: Features at 1/8, (N, 48, H/8, W/8).
        descriptor: Descriptors at 1/4, of unit length, (N, 16, H/4, W/4).
        levels: Descriptors at 1/8 of each pyramid level's picture, (N, 24, h, w), finest first.
    """

    pictures: tuple[Tensor, Tensor, Tensor]
    quarter: Tensor
    eighth: Tensor
    descriptor: Tensor
    levels: tuple[Tensor, ...]


class FlowOutputs(NamedTuple):
    """Results of all stages that depend on the timestep, for a loss on each.

    Attributes:
        middle: The final picture, (N, 3, H, W).
        half: Picture after the second refinement, (N, 3, H/2, W/2).
        quarter: Picture after the first refinement, (N, 3, H/4, W/4).
        projected: Flows from the timestep to both frames before any refinement, in pixels of
            their own grid, (N, 2, 2, H/4, W/4).
        refined: Flows after each refinement, at quarter, half and full size.
    """

    middle: Tensor
    half: Tensor
    quarter: Tensor
    projected: Tensor
    refined: tuple[Tensor, Tensor, Tensor]


class Flow(nn.Module):
    """Frame interpolation at any timestep."""

    supports_timestep = True

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.matcher = Matcher(EIGHTH_DESCRIPTOR, radius=3, channels=(64, 64, 48), coarse=96)
        # Begins nearly shut: its descriptors mean nothing until they are trained.
        self.fine_matcher = Matcher(QUARTER_DESCRIPTOR, radius=2, channels=(32, 32), gate=-2.0)
        self.trust = nn.Parameter(torch.tensor(3.0))
        self.refine_quarter = Refinement(
            64, blocks=5, coarse=(128, 4), context=EIGHTH, hidden=0, radius=3
        )
        self.refine_half = Refinement(
            48, blocks=4, coarse=(96, 2), context=QUARTER, hidden=64, radius=2
        )
        # Its four more outputs: a residual (RGB) and the sharpness.
        self.refine_full = Refinement(24, blocks=2, context=0, hidden=48, radius=0, more=4)

    def size_multiple(self, height: int, width: int) -> int:
        """Both sides must be multiples of 8, whatever the size."""
        return 8

    def forward(self, frame0: Tensor, frame1: Tensor, timestep: Tensor) -> Tensor:
        """Make the frame at `timestep`.

        Args:
            frame0: Earlier frame, (N, 3, H, W) in [0, 1], H and W multiples of 8.
            frame1: Later frame, shaped as `frame0`.
            timestep: Position between the frames, (N, 1, 1, 1), above 0 and below 1.

        Returns:
            (N, 3, H, W), nominally in [0, 1], not clipped.
        """
        features0, features1 = self.encode(frame0), self.encode(frame1)
        pair_flow = self.estimate_flow(features0, features1)
        params = self.synthesize(features0, features1, pair_flow, timestep)
        return render(frame0, frame1, params, timestep)

    def encode(self, frame: Tensor) -> Features:
        """Describe frames, (N, 3, H, W). The number of pyramid levels follows from their size."""
        height, width = frame.shape[-2:]
        count = 1 + math.ceil(math.log2(max(1.0, min(height, width) / _COARSEST_PX)))
        count = min(count, _MAX_LEVELS)
        pyramid = [frame]
        for _ in range(max(count, 3) - 1):
            pyramid.append(padded(shrunk(pyramid[-1], 2), 8))
        quarter, eighth = self.encoder(frame)
        coarser = [self.encoder(picture)[1] for picture in pyramid[1:count]]
        return Features(
            # Without the padding that coarser levels need.
            (
                frame,
                pyramid[1][..., : height // 2, : width // 2],
                pyramid[2][..., : height // 4, : width // 4],
            ),
            quarter,
            eighth,
            l2_normalize(self.encoder.quarter_descriptor(quarter)),
            tuple(l2_normalize(self.encoder.eighth_descriptor(e)) for e in (eighth, *coarser)),
        )

    def estimate_flow(self, features0: Features, features1: Features) -> Tensor:
        """Estimate the flow from each frame to the other, for all timesteps.

        Returns:
            (N, 2, 2, H/4, W/4), (dx, dy) in pixels of that grid: from `frame0`, from `frame1`.
        """
        return self._match(features0, features1)[-1]

    def synthesize(
        self, features0: Features, features1: Features, pair_flow: Tensor, timestep: Tensor
    ) -> SynthesisParams:
        """Find the parameters of the frame at `timestep`, (N, 1, 1, 1)."""
        state = self._project(features0, features1, pair_flow, timestep)
        compensated = self._compensated(features0, features1, pair_flow, timestep)
        return self._refine(features0, features1, compensated, pair_flow, state, timestep)[0]

    def training_motion(
        self, frame0: Tensor, frame1: Tensor
    ) -> tuple[tuple[Features, Features], tuple[Tensor, ...]]:
        """Run the part of `forward` that does not depend on the timestep.

        Returns:
            Features of both frames, and the flow at each level, (N, 2, 2, h, w) in pixels of its
            own grid. The coarsest level is first; the last two are at 1/8 and 1/4 of the frame.
        """
        features = self.encode(frame0), self.encode(frame1)
        return features, self._match(*features)

    def training_outputs(
        self, features: tuple[Features, Features], pair_flow: Tensor, timestep: Tensor
    ) -> FlowOutputs:
        """Run the rest of `forward` without its last step, and return the result of each stage.

        The last least squares step cancels what a loss after it asks of the flows, so they would
        drift until the step fails.

        Args:
            features: Features of both frames.
            pair_flow: The last flow of `training_motion`.
            timestep: Position between the frames, (N, 1, 1, 1), above 0 and below 1.
        """
        projected = self._project(*features, pair_flow, timestep)
        compensated = self._compensated(*features, pair_flow, timestep)
        params, quarter, half = self._refine(
            *features, compensated, pair_flow, projected, timestep, last_step=False
        )
        frame0, frame1 = (side.pictures[0] for side in features)
        return FlowOutputs(
            render(frame0, frame1, params, timestep),
            _blend(per_side(warp, compensated.pictures[1], half.flow), half.logit),
            _blend(per_side(warp, compensated.pictures[2], quarter.flow), quarter.logit),
            projected.flow,
            (quarter.flow, half.flow, torch.stack((params.flow_t0, params.flow_t1), 1)),
        )

    def _match(self, features0: Features, features1: Features) -> tuple[Tensor, ...]:
        """Flows of all levels, from the coarsest to the one at 1/4."""
        levels = stack_sides(features0.levels, features1.levels)
        batch, _, _, height, width = levels[-1].shape
        flow = levels[-1].new_zeros(batch, 2, 2, height, width)
        flows: list[Tensor] = []
        for own in reversed(levels):
            if flows:
                height, width = own.shape[-2:]
                flow = 2 * per_side(doubled, flow)[..., :height, :width]
            flow = per_side(self.matcher, own, own.flip(1), flow)
            flows.append(flow)
        far, sure = global_matches(levels[0], flow)
        flow = torch.where(sure, far, flow)
        own = torch.stack((features0.descriptor, features1.descriptor), 1)
        flow = per_side(self.fine_matcher, own, own.flip(1), 2 * per_side(doubled, flow))
        return (*flows, flow)

    def _project(
        self, features0: Features, features1: Features, pair_flow: Tensor, timestep: Tensor
    ) -> State:
        """Splat the flows of both frames to the timestep.

        Each pixel carries its flow, weighted by how well it agrees with its target in the other
        frame. Where no pixel of a frame lands, the other frame's flow is taken, and where none
        lands at all, the mean flow around.
        """
        own = torch.stack((features0.descriptor, features1.descriptor), 1)
        times = torch.stack((timestep, 1 - timestep), 1).float()  # (N, 2, 1, 1, 1)
        forward = direction(pair_flow)
        agreement = (own * per_side(warp, own.flip(1), pair_flow)).sum(2, keepdim=True)
        weight = torch.exp(self.trust.float() * (agreement - 1))
        # Both sides hold the flow from frame0 to frame1, so that they can be mixed.
        landed = per_side(
            splat, torch.cat((pair_flow * forward * weight, weight), 2), pair_flow * times
        )
        around = shrunk(landed.sum(1), 2)
        reach = _AROUND_CELLS // 2
        around = F.avg_pool2d(around, _AROUND_CELLS, 1, reach, count_include_pad=False)
        around = doubled(around)
        around = around / (around[:, 2:] + 1e-4)  # motion, and about 1
        fallback = torch.cat((around[:, :2], torch.ones_like(around[:, 2:])), 1).unsqueeze(1)
        mixed = landed + _OTHER_FRACTION * landed.flip(1) + _AROUND_FRACTION * fallback
        velocity, total = mixed[:, :, :2], mixed[:, :, 2:]
        # A place with many hits is visible, but more than a few hits add nothing. A place without
        # hits must not be ruled out. The nearer frame has more weight.
        hits = landed[:, :, 2:].clamp(max=4)
        logit = 0.5 * torch.log(hits + 0.1) + torch.log(1 - times)
        return State(-forward * times * velocity / total, logit, None)

    def _compensated(
        self, features0: Features, features1: Features, pair_flow: Tensor, timestep: Tensor
    ) -> BrightnessCompensation:
        """The frames' pictures at the brightness of the timestep."""
        pictures = stack_sides(features0.pictures, features1.pictures)
        return BrightnessCompensation.of(
            pictures, brightness_change(pictures[2], pair_flow), timestep
        )

    def _refine(
        self,
        features0: Features,
        features1: Features,
        compensated: BrightnessCompensation,
        pair_flow: Tensor,
        state: State,
        timestep: Tensor,
        *,
        last_step: bool = True,
    ) -> tuple[SynthesisParams, State, State]:
        """Refine three times. Returns the parameters and the states at quarter and half size."""
        times = torch.stack((timestep, 1 - timestep), 1).float()
        full, half, quarter = compensated.pictures
        coarse = torch.stack((features0.eighth, features1.eighth), 1)
        fine = torch.stack((features0.quarter, features1.quarter), 1)
        at_quarter, _ = self.refine_quarter(quarter, coarse, state, times)
        at_half, _ = self.refine_half(half, fine, _enlarged(at_quarter), times)
        at_full, more = self.refine_full(full, None, _enlarged(at_half), times)
        flow = consensus_flow(at_full.flow, times)
        with torch.no_grad():
            warped = per_side(warp, full, flow, "bicubic")
            doubt = detail_uncertainty(warped)
        if last_step:
            flow = flow + _LAST_FRACTION * per_side(doubled, refinement_step(warped, times))
        logit = at_full.logit
        residual, sharpness = torch.split(more.sum(1), [3, 1], 1)
        # Softening is for uncertain motion.
        sharpness = torch.maximum(sharpness, -doubt)
        still = stillness(full, pair_flow, compensated.shown)
        mask = torch.sigmoid(logit[:, 0] - logit[:, 1])
        # The original frames will be blended.
        added = compensated.added(warped)
        residual = residual + torch.lerp(added[:, 1], added[:, 0], mask)
        params = SynthesisParams(flow[:, 0], flow[:, 1], mask, still, sharpness, residual)
        return params, at_quarter, at_half


def _blend(warped: Tensor, logit: Tensor) -> Tensor:
    """Both sides' pictures, (N, 2, 3, H, W), weighted by the softmax of their logits."""
    weight = torch.sigmoid(logit[:, 0] - logit[:, 1])
    return warped[:, 0] * weight + warped[:, 1] * (1 - weight)


def _enlarged(state: State) -> State:
    return state._replace(
        flow=2 * per_side(doubled, state.flow), logit=per_side(doubled, state.logit)
    )
