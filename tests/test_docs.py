"""The documentation: links lead somewhere, commands and code are those of this version."""

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import clips
import pytest
import typer.main

import interp_cli
from interp_cli.cli.app import app

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted(ROOT.glob("docs/**/*.md")),
    *(ROOT / "research" / "experiments.md", ROOT / "examples" / "README.md"),
    *sorted(ROOT.glob("weights/*.md")),
]
# Tells of earlier versions too.
HISTORY = {"CHANGELOG.md"}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")
ENDS_COMMAND = {"|", "#", "||", "&&", ";", ">"}


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose_of(page: Path) -> str:
    """A page without its code."""
    return re.sub(r"(`+)[^`].*?\1", "`code`", FENCE.sub("", text_of(page)))


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors of a page's headings, as GitHub and most site builders make them."""
    headings = re.findall(r"^#+ +(.+)$", FENCE.sub("", text_of(page)), re.MULTILINE)
    plain = [re.sub(LINK, r"\1", heading).lower() for heading in headings]
    return frozenset(re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain)


def blocks(page: Path, language: str) -> list[str]:
    return [code for found, code in FENCE.findall(text_of(page)) if found == language]


def test_pages_are_plain_markdown_with_one_title() -> None:
    for page in PAGES:
        prose = prose_of(page)
        assert prose.startswith("# "), page
        assert len(re.findall(r"^# ", prose, re.MULTILINE)) == 1, page
        assert not re.findall(r"</?[A-Za-z!][^>\n]*>", prose), page


def test_every_link_leads_somewhere() -> None:
    for page in PAGES:
        for link in LINK.findall(text_of(page)):
            if link.startswith(("https://", "http://")):
                continue
            name, _, anchor = link.partition("#")
            target = (page.parent / name).resolve() if name else page
            assert not name.startswith("/"), f"{page}: {link} is not relative"
            assert target.exists(), f"{page}: {link} does not exist"
            assert not anchor or anchor in anchors(target), f"{page}: {link} has no such heading"


def test_every_page_of_the_documentation_is_listed() -> None:
    listed = {
        (ROOT / "docs" / link.partition("#")[0]).resolve()
        for link in LINK.findall(text_of(ROOT / "docs" / "index.md"))
    }
    written = {page for page in ROOT.glob("docs/**/*.md") if page.name != "index.md"}
    assert written - listed == set()


def test_the_readme_is_short_and_its_sentences_too() -> None:
    assert len(text_of(README).splitlines()) <= 150
    assert ";" not in prose_of(README)


def command_lines() -> Iterator[tuple[Path, str]]:
    """Every command of ours in a block of code, or as a whole in backticks."""
    for page in PAGES:
        if page.name in HISTORY:
            continue
        text = text_of(page)
        shown = [line for block in blocks(page, "") for line in joined(block)]
        shown += re.findall(r"`(interp [a-z][^`\n]*)`", FENCE.sub("", text))
        for line in shown:
            for part in re.split(r" \| (?=interp )", line):
                if re.match(r"(?:\w+=\S+ )*interp ", part):
                    yield page, part


def joined(block: str) -> list[str]:
    return re.sub(r"\\\n\s*", "", block).splitlines()


@cache
def flags_of(command: str) -> dict[str, bool]:
    """The flags of a command, and whether each takes a value."""
    found = typer.main.get_command(app).commands[command]
    flags = {"--help": False}
    for parameter in found.params:
        for name in (*parameter.opts, *parameter.secondary_opts):
            if name.startswith("-"):
                flags[name] = not parameter.is_flag
    return flags


def check_command(line: str) -> None:
    """Fail where a command has not the flags that a line gives it."""
    words = shlex.split(line, comments=True)
    words = words[words.index("interp") + 1 :]
    ended = next((n for n, word in enumerate(words) if word in ENDS_COMMAND), len(words))
    command, *rest = words[:ended]
    if command.startswith("--"):
        return
    flags = flags_of(command)
    takes_value = False
    for word in rest:
        if not takes_value and word.startswith("-") and word != "-":
            name, equals, _ = word.partition("=")
            assert name in flags, f"interp {command} has no {name}"
            takes_value = flags[name] and not equals
        else:
            takes_value = False
    assert not takes_value, "the last flag lacks its value"


def test_commands_have_the_flags_that_pages_show() -> None:
    lines = list(command_lines())
    assert len(lines) > 50
    for page, line in lines:
        try:
            check_command(line)
        except (AssertionError, KeyError, ValueError) as error:
            pytest.fail(f"{page.relative_to(ROOT)}: {line}: {error}")


def test_every_flag_that_a_page_names_exists() -> None:
    known = {flag for command in typer.main.get_command(app).commands for flag in flags_of(command)}
    known |= {"--install-completion", "--show-completion"}
    scripts = "".join(text_of(path) for path in ROOT.glob("scripts/*.py"))
    for page in (README, *ROOT.glob("docs/guides/*.md"), ROOT / "docs" / "troubleshooting.md"):
        for code in re.findall(r"`(--[a-z][^`\n]*)`", text_of(page)):
            for flag in re.findall(r"(?:^| )(--[a-z][a-z-]*)", code):
                assert flag in known or f'"{flag}"' in scripts, f"{page.name}: {flag}"


def test_the_files_that_pages_name_exist() -> None:
    for page in PAGES:
        if page.name in HISTORY:
            continue
        text = text_of(page)
        names = {f"scripts/{name.rstrip('.')}" for name in re.findall(r"\bscripts/([\w.]+)", text)}
        names |= set(re.findall(r"`((?:interp_cli|tests|docs)/[\w/]+(?:\.\w+|/)?)`", text))
        for name in names:
            made = "NAME" in name or "bundled_weights" in name
            assert made or (ROOT / name).exists(), f"{page}: {name}"


def python_pages() -> list[Path]:
    return [page for page in PAGES if blocks(page, "python")]


@pytest.mark.parametrize("page", python_pages(), ids=lambda p: str(p.relative_to(ROOT)))
def test_python_names_what_is_public(page: Path) -> None:
    for code in blocks(page, "python"):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                if node.value.id == "interp_cli":
                    assert node.attr in interp_cli.__all__
            elif isinstance(node, ast.ImportFrom) and node.module == "interp_cli":
                assert {alias.name for alias in node.names} <= set(interp_cli.__all__)


@pytest.mark.parametrize("page", python_pages(), ids=lambda p: str(p.relative_to(ROOT)))
def test_python_runs_as_it_stands(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All blocks of a page, one after the other, in a folder that has what they name."""
    monkeypatch.chdir(tmp_path)
    frames = [clips.true_frame(time, (64, 48)) for time in (0, 0.5, 1)]
    clips.moving_clip(tmp_path / "clip.mp4", frames=4, size=(64, 48))
    clips.write_triplet(tmp_path / "val" / "davis" / "drawn", *frames)
    names: dict[str, object] = {"frame0": frames[0], "frame1": frames[2]}
    for code in blocks(page, "python"):
        exec(compile(code, str(page), "exec"), names)


def library_strings() -> list[str]:
    """Every string of the package, with {} where a value goes."""
    found = []
    for path in sorted(ROOT.glob("interp_cli/**/*.py")):
        for node in ast.walk(ast.parse(text_of(path))):
            if isinstance(node, ast.JoinedStr):
                said = (x.value if isinstance(x, ast.Constant) else "{}" for x in node.values)
                found.append("".join(map(str, said)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def test_the_messages_in_troubleshooting_are_those_of_the_program() -> None:
    said = library_strings()
    page = text_of(ROOT / "docs" / "troubleshooting.md")
    tables = [part for part in page.split("\n## ") if "| Message contains |" in part]
    quoted = re.findall(r"^\| `([^`]+)` \|", "\n".join(tables), re.MULTILINE)
    assert len(quoted) > 20
    missing = [text for text in quoted if not any(text in string for string in said)]
    assert not missing
