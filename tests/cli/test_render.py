import io

import pytest
from rich.console import Console
from rich.text import Text

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
    assert len(lines) == 3  # before the path, the path, and after it


def test_markup_and_line_ends_survive_breaking():
    screen = Console(file=io.StringIO(), force_terminal=True, width=20, highlight=False)
    say("[red]error:[/] a clip of many words\n  that goes on", screen)
    plain = Text.from_ansi(screen.file.getvalue()).plain
    assert plain.splitlines() == ["error: a clip of", "many words", "  that goes on"]
    assert "\x1b[31merror:\x1b[0m a clip of\n" in screen.file.getvalue()


def test_a_file_gets_one_line():
    log = Console(file=io.StringIO(), width=40, highlight=False)
    say(f"error: {PATH}: decoded 812 of 1440 frames.", log)
    assert log.file.getvalue().count("\n") == 1
