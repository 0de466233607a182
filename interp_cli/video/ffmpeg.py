"""The ffmpeg program that comes with imageio-ffmpeg."""

from __future__ import annotations

import subprocess

import imageio_ffmpeg


def ffmpeg_path() -> str:
    """The ffmpeg binary that encodes (the one that imageio-ffmpeg brings)."""
    return str(imageio_ffmpeg.get_ffmpeg_exe())


def run_ffmpeg(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ffmpeg to its end and keep what it said; its exit code is the caller's to judge."""
    return subprocess.run(
        [ffmpeg_path(), "-hide_banner", *arguments],
        capture_output=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        check=False,
    )
