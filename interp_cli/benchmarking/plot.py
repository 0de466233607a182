"""Measurements as a picture: bars for speeds, lines for what changes over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from interp_cli.errors import InterpError

__all__ = ["Bar", "BarPanel", "Line", "LinePanel", "draw_bars", "draw_lines", "save_chart"]

Picture = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

# RGB.
INK, FAINT, GRID = (38, 43, 51), (112, 120, 132), (226, 229, 234)
BLUE, ORANGE, GREY, LIGHT_BLUE = (36, 99, 178), (226, 114, 34), (158, 165, 176), (138, 180, 226)

_MARGIN = 36
_ROW = 28
_TITLE_HEIGHT = 84


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar with the ends of its spread.

    Attributes:
        label: What stands left of it.
        value: Its length; above 0, as the ends are.
        low: Lower end.
        high: Upper end.
        figure: What stands right of it.
        colour: Of its area.
    """

    label: str
    value: float
    low: float
    high: float
    figure: str
    colour: Colour


@dataclass(frozen=True, slots=True)
class BarPanel:
    """Bars below a heading."""

    heading: str
    bars: Sequence[Bar]


@dataclass(frozen=True, slots=True)
class Line:
    """Points that are joined: their name, places and heights."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: Colour


@dataclass(frozen=True, slots=True)
class LinePanel:
    """Lines over one axis from 0 to `x_end`; heights begin at 0."""

    heading: str
    x_label: str
    x_end: float
    lines: Sequence[Line]


def draw_bars(title: str, note: str, panels: Sequence[BarPanel], width_px: int = 1360) -> Picture:
    """Draw panels, two beside each other, on one logarithmic scale.

    Args:
        title: The first line.
        note: A smaller line below it.
        panels: At least one, each with at least one bar.
        width_px: Columns of the picture.

    Returns:
        RGB, (H, W, 3).
    """
    columns = min(2, len(panels))
    rows = max(len(panel.bars) for panel in panels)
    values = [v for panel in panels for bar in panel.bars for v in (bar.low, bar.high, bar.value)]
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    decades = range(first, max(last, first + 1) + 1)
    height = 76 + rows * _ROW
    lines = -(-len(panels) // columns)
    page = _page(title, note, (width_px, _TITLE_HEIGHT + lines * height + _MARGIN // 2))
    wide = (width_px - _MARGIN) // columns
    for number, panel in enumerate(panels):
        left = _MARGIN + number % columns * wide
        top = _TITLE_HEIGHT + number // columns * height
        _draw_bar_panel(page, panel, decades, (left, top, wide - _MARGIN))
    return page


def draw_lines(title: str, note: str, panels: Sequence[LinePanel], width_px: int = 1360) -> Picture:
    """Draw panels beside each other, each with a legend.

    Args:
        title: The first line.
        note: A smaller line below it.
        panels: At least one, each with at least one line of at least one point.
        width_px: Columns of the picture.

    Returns:
        RGB, (H, W, 3).
    """
    page = _page(title, note, (width_px, _TITLE_HEIGHT + 400))
    wide = (width_px - _MARGIN) // len(panels)
    for number, panel in enumerate(panels):
        place = (_MARGIN + number * wide, _TITLE_HEIGHT, wide - _MARGIN, 370)
        _draw_line_panel(page, panel, place)
    return page


def save_chart(chart: Picture, path: Path) -> None:
    """Write a chart as a picture of the kind that the path's ending says.

    Raises:
        InterpError: It cannot be written.
    """
    try:
        done, data = cv2.imencode(path.suffix or ".png", chart[..., ::-1])
        if not done:
            raise OSError("no encoder for it")
        path.write_bytes(data.tobytes())
    except (OSError, cv2.error) as error:
        raise InterpError(
            f"{path}: the chart cannot be written there; name a file that ends in .png in a folder"
            " that exists."
        ) from error


def _draw_bar_panel(
    page: Picture, panel: BarPanel, decades: range, place: tuple[int, int, int]
) -> None:
    left, top, width = place
    labels = min(max(_text_width(bar.label, 15) for bar in panel.bars) + 12, width // 3)
    start, room = left + labels, width - labels - 64  # behind the longest bar stands its value
    bottom = top + 40 + len(panel.bars) * _ROW

    def x(value: float) -> int:
        share = (math.log10(value) - decades[0]) / (decades[-1] - decades[0])
        return start + round(share * room)

    _text(page, panel.heading, (left, top + 22), 19, weight=600)
    for decade in decades:
        _line(page, (x(10.0**decade), top + 36), (x(10.0**decade), bottom), GRID)
        _text(page, f"{10.0**decade:g}", (x(10.0**decade), bottom + 18), 13, FAINT, align=0.5)
    for number, bar in enumerate(panel.bars):
        middle = top + 40 + number * _ROW + _ROW // 2
        label = _shortened(bar.label, 15, labels - 12)
        _text(page, label, (start - 10, middle + 5), 15, align=1.0)
        cv2.rectangle(page, (start, middle - 9), (x(bar.value), middle + 9), bar.colour, -1)
        _line(page, (x(bar.low), middle), (x(bar.high), middle), INK, 2)
        end = max(x(bar.value), x(bar.high)) + 8
        _text(page, bar.figure, (end, middle + 5), 15, weight=600)


def _draw_line_panel(page: Picture, panel: LinePanel, place: tuple[int, int, int, int]) -> None:
    left, top, width, height = place
    steps_y = _steps(max(max(line.y) for line in panel.lines) * 1.1)
    labels = max(_text_width(f"{y:,.10g}", 13) for y in steps_y) + 12
    frame_left, frame_top = left + labels, top + 62
    frame_right, frame_bottom = left + width, top + height - 46

    def x(value: float) -> int:
        return frame_left + round(value / panel.x_end * (frame_right - frame_left))

    def y(value: float) -> int:
        return frame_bottom - round(value / steps_y[-1] * (frame_bottom - frame_top))

    _text(page, panel.heading, (left, top + 22), 19, weight=600)
    legend = left
    for line in panel.lines:
        _line(page, (legend, top + 42), (legend + 22, top + 42), line.colour, 3)
        legend = _text(page, line.name, (legend + 28, top + 47), 14) + 24
    for step in steps_y:
        _line(page, (frame_left, y(step)), (frame_right, y(step)), GRID)
        _text(page, f"{step:,.10g}", (frame_left - 8, y(step) + 5), 13, FAINT, align=1.0)
    for step in _steps(panel.x_end):
        if step <= panel.x_end:
            _text(page, f"{step:,.10g}", (x(step), frame_bottom + 18), 13, FAINT, align=0.5)
    middle = (frame_left + frame_right) // 2
    _text(page, panel.x_label, (middle, frame_bottom + 38), 14, FAINT, align=0.5)
    for line in panel.lines:
        points = np.array([(x(a), y(b)) for a, b in zip(line.x, line.y, strict=True)], np.int32)
        cv2.polylines(page, [points], False, line.colour, 2, cv2.LINE_AA)
        cv2.circle(page, tuple(map(int, points[-1])), 4, line.colour, -1, cv2.LINE_AA)


def _page(title: str, note: str, size: tuple[int, int]) -> Picture:
    page = np.full((size[1], size[0], 3), 255, np.uint8)
    _text(page, title, (_MARGIN, 38), 24, weight=700)
    _text(page, _shortened(note, 14, size[0] - 2 * _MARGIN), (_MARGIN, 64), 14, FAINT)
    return page


def _steps(most: float) -> list[float]:
    """Round numbers from 0 up to at least `most`, four to six of them."""
    least = most / 5
    power = 10.0 ** math.floor(math.log10(least))
    step = next(n * power for n in (1, 2, 2.5, 5, 10) if n * power >= least)
    return [number * step for number in range(math.ceil(most / step) + 1)]


def _line(
    page: Picture, start: tuple[int, int], end: tuple[int, int], colour: Colour, width: int = 1
) -> None:
    cv2.line(page, start, end, colour, width)


def _text(
    page: Picture,
    text: str,
    place: tuple[int, int],
    size: int,
    colour: Colour = INK,
    weight: int = 400,
    align: float = 0.0,
) -> int:
    """Write on a base line; `align` is the share of the text left of `place`. Returns its end."""
    width = _text_width(text, size, weight)
    left = round(place[0] - align * width)
    font = _font()
    if isinstance(font, int):
        plain = text.encode("ascii", "replace").decode()
        thickness = 2 if weight > 500 else 1
        scale = cv2.getFontScaleFromHeight(font, round(size * 0.7), thickness)
        cv2.putText(page, plain, (left, place[1]), font, scale, colour, thickness, cv2.LINE_AA)
    else:
        cv2.putText(page, text, (left, place[1]), colour, font, size, weight)
    return left + width


def _text_width(text: str, size: int, weight: int = 400) -> int:
    font = _font()
    if isinstance(font, int):
        thickness = 2 if weight > 500 else 1
        scale = cv2.getFontScaleFromHeight(font, round(size * 0.7), thickness)
        return int(cv2.getTextSize(text, font, scale, thickness)[0][0])
    return int(cv2.getTextSize((1 << 14, 64), text, (0, 0), font, size, weight)[2])


def _font() -> Any:
    """The font that comes with OpenCV 5; before that there are only strokes, by a number."""
    return cv2.FontFace("sans") if hasattr(cv2, "FontFace") else cv2.FONT_HERSHEY_SIMPLEX


def _shortened(text: str, size: int, width: int) -> str:
    """Text that fits, with its end left out where it must be."""
    if _text_width(text, size) <= width:
        return text
    while text and _text_width(text + "…", size) > width:
        text = text[:-1]
    return text + "…"
