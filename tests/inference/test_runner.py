from collections import Counter
from fractions import Fraction

import clips
import numpy as np
import pytest
import torch
from networks import Blur, Sliding

from interp_cli.errors import ResourceError
from interp_cli.evaluation.metrics import psnr
from interp_cli.inference.interpolator import Interpolator
from interp_cli.inference.runner import EncodedFrames
from interp_cli.models.registry import create_model


def test_tiles_show_no_seam():
    frame0 = torch.rand(1, 3, 300, 420, generator=torch.Generator().manual_seed(0))
    frame1 = frame0.flip(-1)
    whole = Interpolator(Blur(), tile="off").middle(frame0, frame1)
    tiled = Interpolator(Blur(), tile=128).middle(frame0, frame1)
    error = (whole - tiled).abs()
    assert error.max() < 1e-3


def test_several_timesteps_of_several_pairs_come_in_order(averaging):
    black, white = torch.zeros(2, 3, 5, 7), torch.ones(2, 3, 5, 7)
    rows = Interpolator(averaging).between(black, white, [(Fraction(1, 4),), (0.75, 0.5)])
    assert [row.shape for row in rows] == [(1, 3, 5, 7), (2, 3, 5, 7)]
    assert [row.mean((1, 2, 3)).tolist() for row in rows] == [[0.25], [0.75, 0.5]]


def test_a_model_of_middles_halves_again_and_again():
    black, white = torch.zeros(2, 3, 8, 8), torch.ones(2, 3, 8, 8)
    times = [[Fraction(k, 8) for k in range(1, 8)], [Fraction(3, 4)]]
    rows = Interpolator(Blur(), tile="off").between(black, white, times)
    assert rows[0].mean((1, 2, 3)).tolist() == pytest.approx([k / 8 for k in range(1, 8)])
    assert rows[1].mean((1, 2, 3)).tolist() == pytest.approx([0.75])
    with pytest.raises(ValueError, match="makes only middles, not timestep 1/3"):
        Interpolator(Blur()).between(black, white, [(Fraction(1, 3),)] * 2)


@pytest.mark.parametrize("tile", ["off", 128])
def test_what_serves_every_timestep_is_computed_once(tile):
    torch.manual_seed(0)
    interpolator = Interpolator(create_model("flow"), device="cpu", tile=tile)
    # Smooth, since positions are rounded and may fall to either side.
    noise = torch.rand(4, 3, 8, 25)
    frame0, frame1 = torch.nn.functional.interpolate(noise, (64, 200), mode="bilinear").split(2)
    counts = Counter()
    for name in ("encode", "estimate_flow", "synthesize"):
        piece = getattr(interpolator.net, name)

        def counted(*inputs, name=name, piece=piece):
            counts[name] += 1
            return piece(*inputs)

        setattr(interpolator.net, name, counted)
    rows = interpolator.between(frame0, frame1, [(0.25, 0.5, 0.75), (0.5, 0.6)])
    tiles = 1 if tile == "off" else 2
    assert counts == {"encode": 2 * tiles, "estimate_flow": tiles, "synthesize": 3 * tiles}
    alone = [
        interpolator.middle(frame0[i : i + 1], frame1[i : i + 1], t)[0]
        for i, t in ((0, 0.25), (0, 0.5), (0, 0.75), (1, 0.5), (1, 0.6))
    ]
    torch.testing.assert_close(torch.cat(rows), torch.stack(alone), atol=1e-2, rtol=0)


def test_motion_fades_between_tiles():
    frame = np.random.default_rng(0).integers(0, 256, (300, 420, 3), np.uint8)
    whole = Interpolator(Sliding(), tile="off").flow(frame, frame)
    tiled = Interpolator(Sliding(), tile=128).flow(frame, frame)
    for one, other in zip(whole, tiled, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


class Hungry(Blur):
    """Runs out of memory above so many pixels."""

    max_pixels = 0

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.error = error or torch.cuda.OutOfMemoryError("CUDA out of memory.")
        self.steps: list[tuple[int, ...]] = []

    def forward(self, frame0, frame1, timestep):
        if frame0[:, 0].numel() > self.max_pixels:
            raise self.error
        self.steps.append(tuple(frame0.shape))
        return super().forward(frame0, frame1, timestep)


@pytest.mark.parametrize("error", [None, RuntimeError("MPS backend out of memory (MPS ...)")])
def test_out_of_memory_halves_the_batch_then_cuts_tiles(error):
    frame0, frame1 = torch.rand(2, 4, 3, 600, 800, generator=torch.Generator().manual_seed(0))
    expected = Interpolator(Blur(), device="cpu", tile="off").middle(frame0, frame1)
    net = Hungry(error)
    interpolator = Interpolator(net, device="cpu", tile="off")
    net.max_pixels = 2 * 600 * 800
    made = interpolator.middle(frame0, frame1)
    torch.testing.assert_close(made, expected)
    assert net.steps == [(2, 3, 600, 800)] * 2
    assert interpolator.warnings == ["cpu ran out of memory: frames were made 2 at once."]
    assert interpolator.batch_size(600, 800) == 2

    net.max_pixels = 600 * 500
    torch.testing.assert_close(interpolator.middle(frame0, frame1), expected, atol=1e-3, rtol=0)
    assert net.steps[-1] == (1, 3, 400, 400)
    assert interpolator.warnings == [
        "cpu ran out of memory: frames were made 1 at once, in tiles of 400 px."
    ]

    net.max_pixels = 1000
    with pytest.raises(ResourceError, match="does not suffice for a tile of 256 px"):
        interpolator.middle(frame0, frame1)


def test_what_is_seen_of_several_frames_is_joined():
    pictures = torch.rand(3, 3, 8, 8)
    parts = [EncodedFrames(p, (p * 2, (p * 3, p))) for p in pictures.split(1)]
    joined = EncodedFrames.cat(parts)
    torch.testing.assert_close(joined.pictures, pictures)
    torch.testing.assert_close(joined.features[1][0], pictures * 3)
    # Of one there was no memory for features: none are kept of all.
    assert EncodedFrames.cat([*parts, EncodedFrames(pictures[:1], None)]).features is None


def test_out_of_memory_cuts_the_default_model_into_tiles():
    frame0, frame1 = (clips.true_frame(t, (512, 320)) for t in (2, 4))
    expected = Interpolator("flow", "cpu", precision="fp32")(frame0, frame1)
    interpolator = Interpolator("flow", "cpu", precision="fp32")
    encode, encoded = interpolator.net.encode, []

    def hungry(picture):
        if picture[0, 0].numel() > 256 * 256:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        encoded.append(tuple(picture.shape[-2:]))
        return encode(picture)

    interpolator.net.encode = hungry
    made = interpolator(frame0, frame1)
    assert set(encoded) == {(256, 256)}
    assert interpolator.warnings == [
        "cpu ran out of memory: frames were made 1 at once, in tiles of 256 px."
    ]
    assert psnr(made, expected) > 35


def test_out_of_memory_while_motion_is_found():
    frame0, frame1 = (clips.true_frame(t, (512, 320)) for t in (2, 4))
    interpolator = Interpolator("flow", "cpu", precision="fp32")
    expected, motion = interpolator(frame0, frame1), interpolator.net.estimate_flow

    def hungry(features0, features1):
        if features0.pictures[0].shape[-1] > 256:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return motion(features0, features1)

    interpolator.net.estimate_flow = hungry
    assert psnr(interpolator(frame0, frame1), expected) > 35
    assert "in tiles of 256 px" in interpolator.warnings[0]
