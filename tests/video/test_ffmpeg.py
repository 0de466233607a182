import re
import sys
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from interp_cli.errors import ResourceError
from interp_cli.evaluation.baselines import Minterpolate
from interp_cli.evaluation.vmaf import Vmaf
from interp_cli.video.ffmpeg import FfmpegRun, feed_ffmpeg, run_ffmpeg, start_ffmpeg
from interp_cli.video.images.animation_timing import AnimationTiming
from interp_cli.video.readers.animation import WebpReader

PICTURES = [np.zeros((32, 32, 3), np.uint8)] * 2
STARTS = {
    "run": lambda: run_ffmpeg("-version"),
    "feed": lambda: feed_ffmpeg(b"", "-version"),
    "start": lambda: start_ffmpeg("-version"),
    "write": lambda: FfmpegRun([], Path("out.mkv")),
    "webp": lambda: WebpReader(Path("in.webp"), AnimationTiming(1, (Fraction(1, 25),))),
    "vmaf": lambda: Vmaf((32, 32)),
    "minterpolate": lambda: Minterpolate().between(PICTURES, [Fraction(1, 2)]),
}


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("/no/such/program", "No such file or directory"),
        ("/", "Permission denied"),
        (sys.executable, "it is no ffmpeg"),
    ],
)
def test_a_program_that_is_no_ffmpeg_costs_one_line(monkeypatch, start, program, reason):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", program)
    expected = f"{program}: cannot be run as ffmpeg ({reason}); unset IMAGEIO_FFMPEG_EXE, or"
    with pytest.raises(ResourceError, match=re.escape(expected)) as caught:
        start()
    assert "\n" not in str(caught.value)


def test_no_ffmpeg_at_all_costs_one_line(monkeypatch):
    def find() -> str:
        raise RuntimeError("No ffmpeg exe could be found.\nInstall it.")

    monkeypatch.delenv("IMAGEIO_FFMPEG_EXE", raising=False)
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", find)
    with pytest.raises(ResourceError, match=r"^ffmpeg: .* install imageio-ffmpeg again, or let"):
        run_ffmpeg("-version")
