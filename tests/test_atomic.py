import os
from pathlib import Path

import pytest
from clips import moving_clip

from interp_cli.atomic import AtomicPath, hidden, write_whole
from interp_cli.options import DoubleOptions
from interp_cli.pipeline.double import double_video

# 255 bytes each, the length of a name on most file systems.
LONG = {"ascii": "n" * 251 + ".mkv", "utf-8": "é" * 125 + "e.mkv", "cjk": "映" * 83 + "xy.mkv"}


@pytest.mark.parametrize("name", LONG.values(), ids=LONG)
@pytest.mark.parametrize("options", [{}, {"segment_frames": 4}], ids=str)
def test_a_name_as_long_as_possible_works(tmp_path, interpolator, name, options):
    assert len(os.fsencode(name)) == 255
    source = moving_clip(tmp_path / name, 3, size=(32, 32))
    target = tmp_path / name.replace("n", "o").replace("é", "ö").replace("映", "画")
    result = double_video(source, target, DoubleOptions(**options), interpolator=interpolator)
    assert result.frames_out == 6
    assert {path.name for path in tmp_path.iterdir()} == {name, target.name}


def test_pictures_in_a_folder_with_a_long_name(tmp_path, interpolator):
    source = moving_clip(tmp_path / "in.mkv", 2, size=(32, 32))
    target = tmp_path / ("ö" * 127) / "%03d.png"
    double_video(source, target, interpolator=interpolator)
    assert len(list(target.parent.iterdir())) == 4


@pytest.mark.parametrize("name", ["short.mkv", *LONG.values(), os.fsdecode(b"\xff" * 250)])
def test_a_hidden_name_fits_and_stays_the_same(name):
    path = Path("folder") / name
    found = hidden(path, ".interp")
    assert found == hidden(path, ".interp")
    assert found.parent == path.parent
    assert len(os.fsencode(found.name)) <= 255
    assert found.name.startswith(".")
    assert found.name.endswith(".interp")
    assert found != hidden(path.with_name(f"{name[:-5]}x{name[-4:]}"), ".interp")


def test_a_name_that_fits_is_in_the_hidden_one():
    assert hidden(Path("out.mkv"), ".interp") == Path(".out.mkv.interp")
    assert AtomicPath(Path("a/out.mkv")).part == Path(f"a/.out.{os.getpid()}.part.mkv")


def test_a_long_file_is_written_whole(tmp_path):
    path = tmp_path / ("n" * 255)
    write_whole(path, "content")
    assert path.read_text("utf-8") == "content"
    assert list(tmp_path.iterdir()) == [path]
