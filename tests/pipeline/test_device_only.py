"""From planes to planes nothing passes through the host, so a GPU need never wait for it.

On the `meta` device tensors have a shape and no content: whatever asks for content, or meets a
tensor that was made on the host, fails there as the capture of a CUDA graph would. What copies
numbers from the host to the device fails by its name.
"""

from contextlib import nullcontext
from fractions import Fraction

import av
import pytest
import torch
from torch.overrides import TorchFunctionMode

from interp_cli.inference.interpolator import Interpolator
from interp_cli.inference.runner import timestep_column
from interp_cli.inference.trajectory import AdjacentMotion
from interp_cli.models.registry import create_model
from interp_cli.models.render import render
from interp_cli.pipeline.frames import SourceFrame
from interp_cli.pipeline.planner import PlannedFrame
from interp_cli.pipeline.synthesizer import Synthesizer
from interp_cli.scenes.letterbox import Region
from interp_cli.video.colour import from_rgb, to_rgb
from interp_cli.video.pixel_format import pixel_format_of, planes_of
from interp_cli.video.probe import ColourTags

_COPIES = ("new_tensor", "tensor", "as_tensor", "from_numpy", "asarray", "scalar_tensor")


class NoCopies(TorchFunctionMode):
    """Refuses functions that make tensors of Python's numbers, or of arrays."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__name__", "") in _COPIES:
            raise AssertionError(f"{func.__name__} copies from the host")
        return func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def no_autocast(monkeypatch):
    # It knows no device without content.
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())


def frames(count, height, width):
    return [torch.empty(count, 3, height, width, device="meta") for _ in range(2)]


@pytest.mark.parametrize("height, width", [(64, 96), (136, 200), (544, 960)])
@torch.inference_mode()
@pytest.mark.slow
def test_flow_stays_on_its_device(height, width):
    net = create_model("flow").to("meta").eval()
    frame0, frame1 = frames(2, height, width)
    with NoCopies():
        timesteps = timestep_column((0.25, 0.5), frame0)
        features = net.encode(frame0), net.encode(frame1)
        params = net.synthesize(*features, net.estimate_flow(*features), timesteps)
        assert render(frame0, frame1, params, timesteps).shape == frame0.shape
        large = frames(2, 2 * height, 2 * width)
        made = render(*large, params.enlarged(2 * height, 2 * width), 0.5, "bicubic")
    assert (made.shape, made.device.type) == (large[0].shape, "meta")


@torch.inference_mode()
def test_fusion_stays_on_its_device():
    net = create_model("fusion").to("meta").eval()
    frame0, frame1 = frames(2, 64, 96)
    with NoCopies():
        made = net(frame0, frame1, timestep_column((0.5, 0.5), frame0))
    assert (made.shape, made.device.type) == (frame0.shape, "meta")


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuva444p10le", "rgba"])
@torch.inference_mode()
@pytest.mark.slow
def test_middles_of_planes_stay_on_their_device(pixel_format):
    image = av.VideoFrame(1280, 720, pixel_format)
    layout = pixel_format_of(image, ColourTags())
    interpolator = Interpolator("flow", device="cpu", quality="balanced")
    interpolator.net.to("meta")
    interpolator.device = torch.device("meta")
    synthesizer = Synthesizer(interpolator, layout, with_flow=False)
    frames = [SourceFrame(n, n, image) for n in range(2)]
    region = Region.whole(layout)
    shown = PlannedFrame(1, frames[0], frames[1], Fraction(1, 2), region)
    for frame in frames:
        assert synthesizer.channels(frame)  # uploaded
    with NoCopies():
        pictures = [synthesizer.small_pictures(frame, region) for frame in frames]
        encoded = [interpolator.runner.encode(picture) for picture in pictures]
        motion = interpolator.runner.estimate_flow(*encoded)
        timesteps = [(Fraction(1, 2),)] * len(motion)
        rows = [motion[i : i + 1] for i in range(len(motion))]
        adjacent = AdjacentMotion.of(motion, [None, *rows[1:]], rows, [(1, 0.5)] * len(rows))
        synthesis_params = interpolator.runner.synthesis_params(
            *encoded, motion, timesteps, adjacent
        )
        planes = synthesizer._moved(shown, region, synthesis_params)
        with_rgb = from_rgb(*to_rgb(planes, layout), layout)
    for made, also, plane in zip(planes, with_rgb, planes_of(image), strict=True):
        assert made.shape == also.shape == (1, *plane.shape)
        assert made.device.type == "meta"


@pytest.mark.parametrize(
    "on_the_host",
    [
        lambda x: x.new_tensor((1.0, -1.0)),
        lambda x: torch.tensor(1.0, device=x.device),
        lambda x: x + torch.arange(x.shape[-1]),
        lambda x: float(x.sum()),
        lambda x: x[x > 0],
        lambda x: x if x.max() > 0 else -x,
        lambda x: x.cpu(),
    ],
)
def test_what_needs_the_host_is_noticed(on_the_host):
    with NoCopies(), pytest.raises((AssertionError, RuntimeError)):
        on_the_host(torch.empty(2, 4, device="meta"))
