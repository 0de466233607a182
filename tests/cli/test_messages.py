"""The library names options, and the command line alone turns them into flags."""

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from interp_cli import options
from interp_cli.cli.messages import flag_of, with_flags
from interp_cli.cli.render import error_text, print_json
from interp_cli.errors import EncodeError
from interp_cli.training import options as training_options

PACKAGE = Path(__file__).parents[2] / "interp_cli"
LIBRARY = sorted(p for p in PACKAGE.rglob("*.py") if p.relative_to(PACKAGE).parts[0] != "cli")

# A whole command line may be quoted, in backticks, and so may the flags of other programs.
COMMAND = re.compile(r"`(?:interp|pip|pipx|uv|python|scripts/\w+) [^`]*`")
FLAG = re.compile(r"(?<![\w-])--[a-z][\w-]*")
OPTION = re.compile(r"`(?:\w+\.)?([a-z]\w*)(?:=[^`]*)?`")

FIELDS = {
    field.name
    for module in (options, training_options)
    for value in vars(module).values()
    if dataclasses.is_dataclass(value)
    for field in dataclasses.fields(value)
}


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of every string in a module; an f-string counts as one, with x for a value."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    parts = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts |= {id(inner) for inner in node.values}
            yield (
                node.lineno,
                "".join(
                    str(inner.value) if isinstance(inner, ast.Constant) else "x"
                    for inner in node.values
                ),
            )
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts
        ):
            yield node.lineno, node.value


def messages(path: Path) -> Iterator[str]:
    """The strings of a module that are not docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        ast.get_docstring(node, clean=False)
        for node in ast.walk(tree)
        if isinstance(node, documented)
    }
    return (text for _, text in texts(path) if text not in docstrings)


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_command_line_speaks_of_flags(path: Path):
    name = path.relative_to(PACKAGE).as_posix()
    found = [
        f"{name}:{line}: {flag}"
        for line, text in texts(path)
        for flag in FLAG.findall(COMMAND.sub("", text))
    ]
    assert not found, "name the option in backticks instead, such as `resume`"


def test_every_option_that_a_message_names_has_a_flag():
    named = {
        name
        for path in LIBRARY
        for text in messages(path)
        for name in OPTION.findall(text)
        if name in FIELDS
    }
    assert {"resume", "overwrite", "device", "fields"} <= named
    assert sorted(name for name in named if flag_of(name) is None) == []


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("use `resume` to go on", "use --resume to go on"),
        ('use `fields="deinterlace"`.', "use --deinterlace."),
        ('`fields="detelecine"` does it', "--detelecine does it"),
        ('use `device="cpu"`', "use --device cpu"),
        ('`inference.quality="fast"`', "--quality fast"),
        ("`input_frame_rate` sets it", "--input-fps sets it"),
        ("`frame_rate` or `factor`", "--fps or --factor"),
        ("`start_seconds`, `end_seconds`", "--start, --end"),
        ("`max_gap_seconds` and `flow_scale_px`", "--max-gap and --flow-scale"),
        ("`encode.options` sets it", "--encoder-option sets it"),
        ("`audio=False`", "--no-audio"),
        ("`scene_threshold=None` or `scene_threshold=0.9`", "--no-scenes or --scene-threshold 0.9"),
        ("`vmaf=False`", "--no-vmaf"),
        ("`overwrite=True`", "--overwrite"),
        ("`white_level=2.5`", "--white-level 2.5"),
        ("`short_side_px`", "--short-side"),
        ("`compare_commands`", "--compare-command"),
        ('`model="my net.safetensors"`', "--model 'my net.safetensors'"),
        ("run `interp doctor`; `nothing` is known", "run `interp doctor`; `nothing` is known"),
    ],
)
def test_options_become_flags(message: str, shown: str):
    assert with_flags(message) == shown


def test_notes_of_an_error_name_flags_too():
    error = EncodeError("out.mkv: exists; use `overwrite` to replace it.")
    error.add_note("`resume` goes on.")
    assert error_text(error) == "out.mkv: exists; use --overwrite to replace it. --resume goes on."


def test_warnings_in_json_name_flags(capsys: pytest.CaptureFixture[str]):
    print_json([{"warnings": ("use `resume`",), "model": "`resume`", "notes": "`resume`"}])
    printed = capsys.readouterr().out
    assert '"use --resume"' in printed
    assert printed.count("`resume`") == 2  # what is not a list of messages is data
