"""Networks without weights for the tests, whose results are known."""

import torch

from interp_cli.models.base import SynthesisParams


class Blur(torch.nn.Module):
    """The mean of the frames, softened a little: sees neighbours, wants multiples of 8."""

    supports_timestep = False

    def size_multiple(self, height: int, width: int) -> int:
        return 8

    def forward(self, frame0, frame1, timestep):
        assert frame0.shape[-1] % 8 == 0
        assert frame0.shape[-2] % 8 == 0
        mean = torch.lerp(frame0, frame1, timestep)
        padded = torch.nn.functional.pad(mean, (1, 1, 1, 1), mode="replicate")
        return torch.nn.functional.avg_pool2d(padded, 3, 1)


class Sliding(torch.nn.Module):
    """Motion that is as wide as `frame0` is bright, plus where the pixel is; no weights."""

    supports_timestep = True

    def size_multiple(self, height, width):
        return 8

    def encode(self, frame):
        assert frame.shape[-1] % 8 == 0
        return (frame,)

    def estimate_flow(self, features0, features1):
        return features0[0][:, :2] * 10

    def synthesize(self, features0, features1, motion, timestep):
        mask = (1 - timestep) * torch.ones_like(motion[:, :1])
        none = torch.zeros_like(mask)
        flows = (-timestep * motion, (1 - timestep) * motion)
        return SynthesisParams(*flows, mask, none, none, none.repeat(1, 3, 1, 1))
