from pathlib import Path

import cv2
import numpy as np
import pytest

from interp_cli.benchmarking import plot as charts
from interp_cli.benchmarking.plot import (
    Bar,
    BarPanel,
    Line,
    LinePanel,
    draw_bars,
    draw_lines,
    save_chart,
)
from interp_cli.errors import InterpError

RED, GREEN, PURPLE = (200, 0, 0), (0, 200, 0), (150, 0, 150)


def bar(value: float, colour: tuple[int, int, int], label: str = "some stage") -> Bar:
    return Bar(label, value, value, value, f"{value:g}", colour)


def columns(chart: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Which columns have pixels of a colour."""
    return np.flatnonzero((chart == colour).all(-1).any(0))


def three_bars() -> list[BarPanel]:
    first = BarPanel("360p", [bar(10, RED), bar(100, GREEN)])
    return [first, BarPanel("720p", [bar(1000, PURPLE, "a command line " * 9)])]


def test_bars_are_as_long_as_their_logarithms_and_panels_share_the_scale() -> None:
    chart = draw_bars("title", "note", three_bars()[:1], width_px=900)
    ends = [columns(chart, colour)[[0, -1]] for colour in (RED, GREEN)]
    assert ends[0][0] == ends[1][0]
    # The scale begins at 10, where the first bar has no length.
    assert len(columns(chart, RED)) == 1
    chart = draw_bars("title", "note", three_bars(), width_px=1400)
    lengths = [len(columns(chart, colour)) for colour in (RED, GREEN, PURPLE)]
    assert chart.shape[1] == 1400
    assert lengths[0] == 1
    # From 10 to 1000: 100 stands in the middle of its panel.
    left, wide = columns(chart, GREEN)[0], lengths[1]
    right = columns(chart, PURPLE)[0]
    assert left < 700 < right
    assert wide > 100
    assert lengths[2] > 100


def test_lines_rise_where_values_do() -> None:
    line = Line("memory", [0, 50, 100], [1, 1, 9], RED)
    chart = draw_lines("title", "note", [LinePanel("heading", "%", 100, [line])], width_px=600)
    rows = [np.flatnonzero((chart[150:, x] == RED).all(-1)).mean() for x in (100, 300, 560)]
    assert rows[0] == pytest.approx(rows[1], abs=2)
    assert rows[2] < rows[1] - 100


@pytest.mark.parametrize(
    ("most", "steps"),
    [(9, [0, 2, 4, 6, 8, 10]), (100, [0, 20, 40, 60, 80, 100]), (0.3, [0, 0.1, 0.2, 0.3])],
)
def test_axes_have_round_numbers(most: float, steps: list[float]) -> None:
    assert charts._steps(most) == pytest.approx(steps)


def test_long_labels_are_shortened() -> None:
    assert charts._shortened("decode", 15, 200) == "decode"
    short = charts._shortened("a command line " * 9, 15, 200)
    assert short.endswith("…")
    assert charts._text_width(short, 15) <= 200 < charts._text_width(short[:-1] + "mm…", 15)


def test_older_opencv_writes_with_strokes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts, "_font", lambda: cv2.FONT_HERSHEY_SIMPLEX)
    chart = draw_bars("title", "note …", three_bars())
    assert (chart[20:44, 36:120] < 128).any()


def test_a_chart_is_saved_as_it_is(tmp_path: Path) -> None:
    chart = draw_bars("title", "note", three_bars())
    save_chart(chart, tmp_path / "chart.png")
    assert np.array_equal(cv2.imread(str(tmp_path / "chart.png"))[..., ::-1], chart)


def test_a_chart_that_cannot_be_encoded_is_no_empty_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "imencode", lambda *_: (False, None))
    with pytest.raises(InterpError, match=r"cannot be written there; name a file that ends in"):
        save_chart(np.zeros((2, 2, 3), np.uint8), tmp_path / "chart.webp")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["chart.docx", "no/such/chart.png"])
def test_where_no_picture_can_be_written_is_said(tmp_path: Path, name: str) -> None:
    with pytest.raises(InterpError, match=r"ends in \.png in a folder that exists"):
        save_chart(np.zeros((2, 2, 3), np.uint8), tmp_path / name)
