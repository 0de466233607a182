"""Double the frame rate of a video from Python, with a line of progress.

python examples/double_a_clip.py examples/clip.mp4 out/clip_doubled.mp4
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from interp_cli import DoubleOptions, EncodeOptions, InterpError, double_video, tune_process


def show(done: int, total: int | None) -> None:
    """Print how many frames are done, in place."""
    print(f"\r{done} of {total or 'unknown'} frames", end="", file=sys.stderr, flush=True)


def main() -> None:
    """Read the command line and double."""
    parser = argparse.ArgumentParser(description="Double the frame rate of a video.")
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()

    tune_process()  # this program does nothing else
    options = DoubleOptions(overwrite=True, encode=EncodeOptions(crf=18))
    arguments.target.parent.mkdir(parents=True, exist_ok=True)
    try:
        result = double_video(arguments.source, arguments.target, options, progress=show)
    except InterpError as error:
        sys.exit(str(error))
    print(file=sys.stderr)
    print(
        f"{result.target}: {result.frames_in} frames became {result.frames_out} at "
        f"{float(result.frame_rate):g} a second, in {result.seconds:.1f} s on {result.device}"
    )


if __name__ == "__main__":
    main()
