"""VMAF, a quality metric for videos by Netflix, through the libvmaf filter of ffmpeg.

Each predicted frame goes through one pipe together with its ground truth, one above the other, and
ffmpeg separates them again. So the two cannot get out of step. VMAF looks at luma, and its motion
feature at consecutive frames. Therefore the whole video is fed, and only the scores of predicted
frames are returned.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from pathlib import Path
from typing import IO, cast

import numpy as np
import numpy.typing as npt

from interp_cli.atomic import temporary_folder
from interp_cli.devices import available_cores
from interp_cli.errors import VideoError
from interp_cli.video.ffmpeg import start_ffmpeg

__all__ = ["MIN_SIDE_PX", "Vmaf"]

Picture = npt.NDArray[np.uint8]

# libvmaf halves pictures four times, and crashes where nothing is left.
MIN_SIDE_PX = 32
_MODEL = "version=vmaf_v0.6.1"
_LOG = "vmaf.json"


class Vmaf:
    """Scores the frames of one video while they are predicted.

    with Vmaf((height, width)) as vmaf:
        vmaf.add_shown(frame)
        vmaf.add(prediction, truth)
        (score,) = vmaf.finish()
    """

    def __init__(self, size: tuple[int, int]) -> None:
        """Start ffmpeg.

        Args:
            size: Height and width of the frames, at least `MIN_SIDE_PX` each.

        Raises:
            ResourceError: ffmpeg cannot be started.
        """
        height, width = size
        self._shape = (height, width, 3)
        self._count = 0
        self._made: list[int] = []
        self._folder = temporary_folder("interp-vmaf-")
        part = f"crop={width}:{height}:0:{{}}:exact=1,scale=out_color_matrix=bt709,format=yuv444p"
        filters = (
            f"[0:v]split[a][b];[a]{part.format(0)}[truth];[b]{part.format(height)}[made];"
            f"[made][truth]libvmaf=model={_MODEL}:log_fmt=json:log_path={_LOG}"
            f":n_threads={available_cores()}"
        )
        command = ["-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
        command += ["-s", f"{width}x{2 * height}", "-i", "pipe:0", "-filter_complex", filters]
        command += ["-f", "null", "-"]
        self._said = Path(self._folder.name) / "stderr.txt"
        # The log's path is relative, since a filter's arguments cannot hold every character.
        try:
            with self._said.open("wb") as said:
                self._process = start_ffmpeg(
                    *command, stdin=subprocess.PIPE, stderr=said, cwd=self._folder.name
                )
        except BaseException:
            self._folder.cleanup()
            raise

    def __enter__(self) -> Vmaf:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End ffmpeg and remove its log; safe to call twice."""
        self._process.kill()
        self._process.wait()
        self._close_pipe()
        self._folder.cleanup()

    def add_shown(self, frame: Picture) -> None:
        """Feed a frame, (H, W, 3) uint8 RGB, that was not predicted and gets no score.

        Raises:
            ValueError: The frame has another size.
            VideoError: ffmpeg stopped.
        """
        self._feed(frame, frame)

    def add(self, made: Picture, truth: Picture) -> None:
        """Feed a predicted frame and its ground truth; both as in `add_shown`."""
        self._made.append(self._count)
        self._feed(made, truth)

    def finish(self) -> list[float]:
        """Wait for the scores of the predicted frames, 0 to 100, in order.

        Raises:
            VideoError: ffmpeg stopped, or scored another number of frames.
        """
        self._close_pipe()
        self._process.wait()
        log = Path(self._folder.name) / _LOG
        if self._process.returncode or not log.is_file():
            raise self._failed()
        scores = [
            frame["metrics"]["vmaf"] for frame in json.loads(log.read_text("utf-8"))["frames"]
        ]
        if len(scores) != self._count:
            raise self._failed()
        return [float(scores[index]) for index in self._made]

    def _feed(self, made: Picture, truth: Picture) -> None:
        if made.shape != self._shape or truth.shape != self._shape:
            raise ValueError(f"pictures must be {self._shape}, not {made.shape}, {truth.shape}")
        pipe = cast(IO[bytes], self._process.stdin)
        try:
            pipe.write(np.ascontiguousarray(truth).data)
            pipe.write(np.ascontiguousarray(made).data)
        except OSError as error:
            raise self._failed() from error
        self._count += 1

    def _close_pipe(self) -> None:
        with contextlib.suppress(OSError):  # ffmpeg is gone; its exit code tells
            cast(IO[bytes], self._process.stdin).close()

    def _failed(self) -> VideoError:
        self._process.wait()
        said = self._said.read_text("utf-8", errors="replace").strip().partition("\n")[0]
        height, width = self._shape[:2]
        return VideoError(
            f"ffmpeg's libvmaf did not score {self._count} frames of {width}x{height}"
            f" ({said or 'no reason given'}). Measure without it: `vmaf=False`."
        )
