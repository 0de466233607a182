#!/usr/bin/env python
"""Show where the time of a network with motion goes on one core, by kind of operation, in Markdown.

    scripts/profile_network.py [--size 1280x720] [--quality balanced] [--model flow] [--pairs 8]

Below the table stands the floor: what the convolutions would take at the speed of a matrix product,
and how fast memory is copied.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from operator import attrgetter
from typing import get_args

import cv2
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from interp_cli import InterpError, Interpolator
from interp_cli.devices import DTYPES
from interp_cli.inference.frame_cache import FrameCache
from interp_cli.inference.pair_inference import FramePair, TensorFrame
from interp_cli.options import DEFAULT_MODEL, Quality

_KINDS = {
    "convolutions, matrix products": ("conv", "mm", "matmul"),
    "sampling (features)": ("grid_sampler",),
    "splatting": ("index_add", "scatter_add"),
    "putting together, copying": ("cat", "copy_", "stack", "flip", "roll", "pad", "fill_", "empty"),
    "activations": ("leaky_relu", "sigmoid", "softmax", "exp"),
}
_ELEMENTWISE = "other element-wise operations, sums"
_OUTSIDE = "OpenCV (sampling pictures, resizing, means) and Python"
_COPY_BYTES = 1 << 28


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="1280x720", metavar="WIDTHxHEIGHT")
    parser.add_argument("--quality", default="balanced", choices=get_args(Quality)[1:])
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a bundled model or weights file")
    parser.add_argument("--pairs", type=int, default=8, metavar="N", help="runs to average over")
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    interpolator = Interpolator(arguments.model, "cpu", quality=arguments.quality)
    try:
        interpolator.require_flow()
    except InterpError as error:
        raise SystemExit(f"error: {error}") from error
    factor = interpolator.reduction(height, width)
    pictures = torch.rand(2, 3, height // factor, width // factor)
    pictures = torch.nn.functional.avg_pool2d(pictures, 5, 1, 2)

    def two_pairs() -> None:
        """As in a long video, one frame is encoded and one flow estimated for each pair."""
        frames = [TensorFrame(picture) for picture in pictures.split(1)]
        inference = interpolator.pair_inference(attrgetter("picture"), FrameCache())
        for frame0, frame1 in (frames, reversed(frames)):  # around in a circle
            inference.synthesis_params([FramePair(frame0, frame1, [(0.5,)], frame1, frame0)])

    rounds = -(-arguments.pairs // 2)
    with FlopCounterMode(display=False) as counter:
        two_pairs()
    for _ in range(2):
        two_pairs()
    with profile(activities=[ProfilerActivity.CPU]) as found:
        seconds = _seconds(two_pairs, rounds) / 2
    kinds: dict[str, float] = defaultdict(float)
    for event in found.key_averages():
        if event.key.startswith("aten::") and event.self_cpu_time_total:
            kinds[_kind(event.key)] += event.self_cpu_time_total / 1e6 / (2 * rounds)
    kinds[_OUTSIDE] = max(0.0, seconds - sum(kinds.values()))
    print(
        f"| {arguments.model}, a pair of {arguments.size}, {arguments.quality},"
        f" {interpolator.precision} | ms | share |"
    )
    print("|---|---|---|")
    for kind, spent in sorted(kinds.items(), key=lambda item: -item[1]):
        print(f"| {kind} | {spent * 1e3:.1f} | {spent / seconds:.0%} |")
    print(f"| together, while profiled | {seconds * 1e3:.1f} | |")
    print(f"| together, otherwise | {_seconds(two_pairs, rounds) / 2 * 1e3:.1f} | |")
    flops = counter.get_total_flops() / 2
    side = 1024
    matrix = torch.rand(side, side, dtype=DTYPES[interpolator.precision])
    peak = 2 * side**3 / min(_seconds(lambda: torch.mm(matrix, matrix), 1) for _ in range(9))
    source, target = torch.ones(2, _COPY_BYTES // 4).unbind()
    bandwidth = 2 * _COPY_BYTES / min(_seconds(lambda: target.copy_(source), 1) for _ in range(5))
    print(
        f"\n{flops / 2e9:.2f} GMAC at {peak / 1e9:.0f} GFLOP/s, the speed of a matrix product on"
        f" this core: {flops / peak * 1e3:.1f} ms. A copy moves {bandwidth / 1e9:.1f} GB/s."
    )


def _kind(name: str) -> str:
    for kind, parts in _KINDS.items():
        if any(part in name for part in parts):
            return kind
    return _ELEMENTWISE


def _seconds(work: Callable[[], object], times: int) -> float:
    """Processor time of one of several runs."""
    begun = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - begun) / times


if __name__ == "__main__":
    main()
