"""The outputs' facts as three readers that are not of this project tell them."""

import re
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import clips
import cv2
import numpy as np
import pytest

from interp_cli.options import DoubleOptions, EncodeOptions
from interp_cli.pipeline.double import double_video
from interp_cli.video.ffmpeg import ffmpeg_path

FRAMES = 12


@pytest.fixture(
    params=[
        *("out.mp4 libx264", "out.mkv libx264", "out.mov prores_ks", "out.webm libvpx-vp9"),
        *("out.mp4 libx265", "out.mkv libsvtav1", "out.mkv ffv1", "out.mkv utvideo"),
    ],
    scope="module",
)
def doubled(request, tmp_path_factory, interpolator) -> Path:
    """12 drawn frames at 30000/1001, sound, doubled."""
    name, encoder = request.param.split()
    folder = tmp_path_factory.mktemp("doubled")
    source = clips.moving_clip(
        folder / "in.mp4", FRAMES, rate=Fraction(30000, 1001), codec="libx264", audio="aac"
    )
    options = DoubleOptions(encode=EncodeOptions(encoder=encoder))
    double_video(source, folder / name, options, interpolator=interpolator)
    return folder / name


def test_pyav(doubled: Path):
    with av.open(doubled) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        # Matroska rounds to milliseconds; the others are exact.
        room = Fraction(1, 2000) if doubled.suffix in (".mkv", ".webm") else 0
        for number, frame in enumerate(frames):
            shown = Fraction(number * 1001, 60000)
            assert abs(frame.pts * frame.time_base - shown) <= room + Fraction(1, 10**9)
        assert float(stream.guessed_rate) == pytest.approx(60000 / 1001, abs=1e-3)
        assert (stream.codec_context.width, stream.codec_context.height) == clips.SIZE
        assert len(container.streams.audio) == 1
    assert len(frames) == 2 * FRAMES


def test_opencv(doubled: Path):
    capture = cv2.VideoCapture(str(doubled))
    try:
        assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(60000 / 1001, abs=1e-3)
        size = capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        assert size == clips.SIZE
        assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == pytest.approx(2 * FRAMES, abs=1)
        if int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little").lower() == b"av01":
            pytest.skip("OpenCV's own FFmpeg has no decoder of AV1")
        pictures = []
        while (read := capture.read())[0]:
            pictures.append(read[1])
    finally:
        capture.release()
    assert len(pictures) == 2 * FRAMES
    drawn = [clips.true_frame(number)[..., ::-1] for number in range(FRAMES)]
    # Chroma at half size and one lossy encoder before ours. OpenCV takes BT.709 for BT.601.
    for picture, expected in zip(pictures[::2], drawn, strict=True):
        grey = [
            cv2.cvtColor(np.ascontiguousarray(p), cv2.COLOR_BGR2GRAY) for p in (picture, expected)
        ]
        assert np.abs(grey[0].astype(int) - grey[1]).mean() < 6


def test_ffmpeg(doubled: Path):
    command = [ffmpeg_path(), "-hide_banner", "-i", doubled, "-map", "0:v", "-vf", "showinfo"]
    command += ["-fps_mode", "passthrough", "-f", "null", "-"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    times = [float(t) for t in re.findall(r" pts_time:\s*(\S+)", run.stderr)]
    assert len(times) == 2 * FRAMES
    assert times == pytest.approx([n * 1001 / 60000 for n in range(2 * FRAMES)], abs=6e-4)
    assert set(
        re.findall(r"color_space:(\S+) color_primaries:(\S+) color_trc:(\S+)", run.stderr)
    ) == {("bt709", "bt709", "bt709")}
    assert "59.94 fps" in run.stderr
    assert len(re.findall(r"Stream #0:\d.*Audio", run.stderr)) >= 1
