"""Frames flow one way through the package: this table says which module may import which.

A module or a package that has no row fails the test: add one, here and in CONTRIBUTING.md (a test
holds the two together), and keep it short. Imports inside functions count too, and so do those
for type checking alone.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "interp_cli"

# May be imported by everyone.
GROUND = {"atomic", "errors", "forced_exit", "options"}

# Modules of one package may import each other.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "forced_exit": set(),
    "atomic": {"forced_exit"},
    "options": {"errors"},
    "devices": set(),
    "image_ops": set(),
    "models": {"image_ops"},
    "video": {"image_ops"},
    "scenes": {"video"},
    "inference": {"devices", "image_ops", "models"},
    "pipeline": {"devices", "models", "video", "scenes", "inference"},
    "evaluation": {"devices", "video", "scenes", "inference", "pipeline"},
    "training": {"devices", "image_ops", "models", "video", "scenes", "evaluation"},
    "benchmarking": {
        "devices",
        "models",
        "video",
        "scenes",
        "inference",
        "pipeline",
        "evaluation",
    },
}
LIBRARY = set(MAY_IMPORT)
MAY_IMPORT["__init__"] = LIBRARY
MAY_IMPORT["__main__"] = {"cli"}
MAY_IMPORT["cli"] = {*LIBRARY, "__init__"}

# The screen belongs to the command line.
CLI_ONLY = {"typer", "rich"}


def modules() -> list[str]:
    """Dotted names inside the package, such as `video.reader`; a package's is `video.__init__`."""
    return sorted(
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for path in PACKAGE.rglob("*.py")
        if "__pycache__" not in path.parts
    )


def source(module: str) -> str:
    return (PACKAGE / Path(*module.split("."))).with_suffix(".py").read_text(encoding="utf-8")


def row(module: str) -> str:
    return module.split(".")[0]


def is_module(name: str) -> bool:
    path = PACKAGE / Path(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def imported_names(code: str, package: str) -> Iterator[str]:
    """Absolute dotted names that `code`, a module of the dotted `package`, imports."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *filter(None, [base])])
            for alias in node.names:
                yield f"{base}.{alias.name}"


def internal_imports(module: str) -> set[str]:
    """Modules of this package that `module` imports, such as `video.colour`."""
    package = ".".join(["interp_cli", *module.split(".")[:-1]])
    found = set()
    for name in imported_names(source(module), package):
        top, *inner = name.split(".")
        if top != "interp_cli":
            continue
        # What is imported from a module is a name in it, or a module of a package.
        while inner and not is_module(".".join(inner)):
            inner.pop()
        found.add(".".join(inner) or "__init__")
    return found


def allowed(module: str, target: str) -> bool:
    permitted = GROUND | MAY_IMPORT[row(module)] | {row(module)}
    if row(module) in GROUND:
        permitted = MAY_IMPORT[row(module)]
    return row(target) in permitted


def test_every_module_has_a_row() -> None:
    missing = sorted({row(module) for module in modules()} - set(MAY_IMPORT))
    assert not missing, f"no row in the import table for: {', '.join(missing)}"


def test_contributors_are_shown_this_table() -> None:
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    shown: dict[str, set[str]] = {}
    for line in text.splitlines():
        if found := re.match(r"\| `(\w+)(?:\.py|/)` \|.*\| (.+) \|$", line):
            shown[found[1]] = set(re.findall(r"`([\w.]+)`", found[2]))
    built = {row(module) for module in modules()} & LIBRARY
    assert {name: shown.get(name) for name in built} == {name: MAY_IMPORT[name] for name in built}


@pytest.mark.parametrize("module", modules())
def test_a_module_imports_only_what_its_row_lists(module: str) -> None:
    wrong = sorted(target for target in internal_imports(module) if not allowed(module, target))
    assert not wrong, f"interp_cli/{module.replace('.', '/')}.py may not import: {', '.join(wrong)}"


@pytest.mark.parametrize("module", modules())
def test_only_the_command_line_imports_its_packages(module: str) -> None:
    tops = {name.split(".")[0] for name in imported_names(source(module), "interp_cli")}
    assert row(module) == "cli" or not tops & CLI_ONLY


@pytest.mark.parametrize("module", sorted(GROUND))
def test_the_ground_needs_the_standard_library_alone(module: str) -> None:
    names = imported_names(source(module), "interp_cli")
    ours = {f"interp_cli.{ground}" for ground in GROUND}
    tops = {name.split(".")[0] for name in names if name.rpartition(".")[0] not in ours}
    assert tops <= sys.stdlib_module_names


def test_imports_are_found_wherever_they_hide() -> None:
    code = (
        "from __future__ import annotations\n"
        "import interp_cli.scenes\n"
        "from interp_cli import metrics\n"
        "from . import reader\n"
        "from .colour import to_rgb8\n"
        "if TYPE_CHECKING:\n"
        "    from interp_cli.pipeline import double_video\n"
        "def late():\n"
        "    from ..weights import load_model\n"
    )
    assert set(imported_names(code, "interp_cli.video")) == {
        "__future__.annotations",
        "interp_cli.scenes",
        "interp_cli.metrics",
        "interp_cli.video.reader",
        "interp_cli.video.colour.to_rgb8",
        "interp_cli.pipeline.double_video",
        "interp_cli.weights.load_model",
    }


def test_the_table_refuses_what_it_should() -> None:
    assert allowed("pipeline.synthesizer", "video.colour")
    assert not allowed("inference.interpolator", "video.readers.file")
    assert allowed("training.loop", "video.readers.file")
    assert not allowed("training.loop", "pipeline.double")
    assert not allowed("pipeline.double", "__init__")
    assert not allowed("errors", "options")
    assert not allowed("__init__", "cli.app")


def test_the_root_stays_small() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 8
