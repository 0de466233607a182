"""A part of the table in docs/formats.md; `--slow` runs all of it, as tests/matrix.py does."""

from pathlib import Path

import matrix
import pytest

from interp_cli.inference.interpolator import Interpolator


def some() -> list[matrix.Cell]:
    """One cell of each pixel format, the others' values in turns."""
    chosen = []
    for number, name in enumerate(matrix.FORMATS):
        cells = [cell for cell in matrix.cells() if cell.pixel_format == name]
        chosen.append(cells[number * 13 % len(cells)])
    return chosen


DEFAULT = some()


@pytest.mark.parametrize(
    "cell",
    [
        pytest.param(cell, marks=() if cell in DEFAULT else pytest.mark.slow, id=str(cell))
        for cell in matrix.cells()
    ],
)
def test_a_video_comes_out_as_it_was(tmp_path: Path, averaging, cell: matrix.Cell):
    faults = matrix.check(cell, tmp_path, Interpolator(averaging))
    assert faults in ([], ["warned"])
    # Only where MOV cannot say what FFV1's frames are.
    usual = "full" if cell.pixel_format.startswith(("gray", "gbr", "rgb", "bgr")) else "limited"
    assert (faults == ["warned"]) == (cell.container == "mov" and cell.range != usual)


def test_the_default_part_has_every_value():
    for column in ("pixel_format", "matrix", "range", "container", "rate"):
        values = {getattr(cell, column) for cell in matrix.cells()}
        assert {getattr(cell, column) for cell in DEFAULT} == values


def test_the_documents_table_is_the_scripts():
    text = (Path(__file__).parent.parent / "docs" / "formats.md").read_text(encoding="utf-8")
    made = text.partition("## Results\n")[2]
    rows = [line for line in made.splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == matrix.FORMATS
    total = len(list(matrix.cells()))
    assert f" of {total} videos came out as they were, " in made
    assert ", 0 otherwise." in made
