import ast
import itertools
import os
import re
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import pytest
from clips import moving_clip
from crafted import ffmpeg

import interp_cli
from interp_cli.errors import ResourceError
from interp_cli.evaluation.baselines import Minterpolate
from interp_cli.evaluation.vmaf import Vmaf
from interp_cli.options import DoubleOptions
from interp_cli.pipeline.double import double_video
from interp_cli.video.ffmpeg import FfmpegRun, feed_ffmpeg, open_input, run_ffmpeg, start_ffmpeg
from interp_cli.video.images.animation_timing import AnimationTiming
from interp_cli.video.probe import probe
from interp_cli.video.readers.animation import WebpReader

PICTURES = [np.zeros((32, 32, 3), np.uint8)] * 2
STARTS = {
    "run": lambda: run_ffmpeg("-version"),
    "feed": lambda: feed_ffmpeg(b"", "-version"),
    "start": lambda: start_ffmpeg("-version"),
    "write": lambda: FfmpegRun([], Path("out.mkv")),
    "webp": lambda: WebpReader(Path(__file__), AnimationTiming(1, (Fraction(1, 25),))),
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


NAMES = [
    "12:30:15.mkv",
    "-i.mkv",
    "file:a|b, http:c?d=1&e#f.mkv",
    'it\'s "50%d"\\ [x]*\n.mkv',
    os.fsdecode(b"not UTF-8 \xff.mkv"),
]


@pytest.mark.skipif(sys.platform == "win32", reason="such names are impossible")
@pytest.mark.parametrize(
    ("folder", "name"), [*(("", name) for name in NAMES), ("%20d-?#:", NAMES[0])]
)
def test_any_name_works(tmp_path, monkeypatch, interpolator, name, folder):
    """With chapters and a cover in slow motion, and in segments: every way to hand over a path."""
    monkeypatch.chdir(tmp_path)
    source, target = Path(folder) / name, Path("out") / folder / name
    for path in (source, target):
        path.parent.mkdir(parents=True, exist_ok=True)
    moving_clip(tmp_path / "clip.mkv", 3, size=(32, 32), audio="aac")
    Path("chapters").write_text(
        ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/100\nSTART=2\nEND=8\ntitle=one\n", "utf-8"
    )
    Path("cover.jpg").write_bytes(cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1])
    ffmpeg(
        *("-i", "clip.mkv", "-i", "chapters", "-map", 0, "-map_chapters", 1, "-c", "copy"),
        *("-attach", "cover.jpg", "-metadata:s:t", "mimetype=image/jpeg", "whole.mkv"),
    )
    Path("whole.mkv").rename(source)
    options = DoubleOptions(segment_frames=4, slow_motion=2)
    result = double_video(source, target, options, interpolator=interpolator)
    assert result.frames_out == 6
    found = probe(target)
    assert [stream.kind for stream in found.streams] == ["audio", "video"]
    with open_input(target) as container:
        assert [chapter["start"] for chapter in container.chapters()] == [40_000_000]
    assert [path.name for path in target.parent.iterdir()] == [name]


@pytest.mark.parametrize("ending", [".gif", ".apng", ".webp"])
def test_an_animation_with_a_space_as_browsers_write_it(tmp_path, interpolator, ending):
    source = tmp_path / f"my%20dog{ending}"
    first = double_video(
        moving_clip(tmp_path / "in.mkv", 3, size=(32, 32)),
        tmp_path / f"first{ending}",
        interpolator=interpolator,
    )
    first.target.rename(source)
    result = double_video(source, tmp_path / f"out{ending}", interpolator=interpolator)
    frames = 5 if ending == ".webp" else 6  # its encoder makes one frame of two equal ones
    assert (result.frames_in, result.frames_out) == (frames, 2 * frames)


def phrases() -> Iterator[tuple[str, str, list[str]]]:
    """Every call and every list of the package: its place, what is called, and its items."""
    package = Path(interp_cli.__file__).parent
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            place = f"{path.relative_to(package).as_posix()}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Call):
                yield place, ast.unparse(node.func), [ast.unparse(item) for item in node.args]
            elif isinstance(node, ast.List | ast.Tuple):
                yield place, "", [ast.unparse(item) for item in node.elts]


def test_every_path_reaches_ffmpeg_as_a_url():
    """`av.open`, `-i` and `-attach` get what `file_url` returns, or what is no path."""
    no_path = (
        "f'pipe:",
        "'pipe:",
        "_Outlet(",
        "self._input",
        "f'color=",
        "'color=",
        "source",
        "url",
    )
    wrong = []
    for place, called, items in phrases():
        pairs = [("av.open", items[0])] if called == "av.open" else []
        pairs += [pair for pair in itertools.pairwise(items) if pair[0] in ("'-i'", "'-attach'")]
        wrong += [
            (place, *pair)
            for pair in pairs
            if not pair[1].startswith(("file_url(", "playlist.name", *no_path))
        ]
    assert wrong == []
