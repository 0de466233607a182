import io

import pytest
from rich.console import Console

from interp_cli.cli.render import say

PATH = "/home/someone/" + "a-folder-with-a-long-name/" * 4 + "clip.mp4"


@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_breaks_between_words_and_never_in_a_path(width: int):
    screen = Console(file=io.StringIO(), force_terminal=True, width=width, highlight=False)
    text = f"error: {PATH}: decoded 812 of 1440 frames. The file may be truncated: copy it again."
    say(text, screen)
    lines = screen.file.getvalue().splitlines()
    assert " ".join(line.rstrip() for line in lines) == text
    assert any(PATH in line for line in lines)
    assert all(len(line.rstrip()) <= width for line in lines if PATH not in line)


def test_a_file_gets_one_line():
    log = Console(file=io.StringIO(), width=40, highlight=False)
    say(f"error: {PATH}: decoded 812 of 1440 frames.", log)
    assert log.file.getvalue().count("\n") == 1
