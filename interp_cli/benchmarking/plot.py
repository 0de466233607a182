"""Charts of measurements, drawn with matplotlib (the extra `plot`).

Figures are made without pyplot, so that nothing depends on a screen or on global state.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from interp_cli.atomic import AtomicPath
from interp_cli.benchmarking.report import BenchReport, ClipSpeed, Spread, three_digits
from interp_cli.errors import InterpError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "COLOURS",
    "check_chart",
    "new_figure",
    "plot_speeds",
    "save_figure",
]

# By what they stand for: our own row, the slowest stage, other stages, other programs.
COLOURS = {"interp": "#e27222", "bottleneck": "#2463b2", "stage": "#8ab4e2", "other": "#9ea5b0"}

_COLUMNS = 2
_MAX_LABEL_CHARACTERS = 28
_DPI = 100


def check_chart(path: Path) -> None:
    """Make sure that a chart can be drawn and written before hours of measuring.

    Args:
        path: The file to write.

    Raises:
        InterpError: matplotlib is missing, or no chart can be written there.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InterpError(
            f"{path}: drawing a chart needs matplotlib, which interp-cli's extra 'plot' installs"
        ) from error
    endings = Figure().canvas.get_supported_filetypes()
    if path.suffix.lower().removeprefix(".") not in endings or not path.parent.is_dir():
        raise _unwritable(path)


def new_figure(title: str, note: str, size_inches: tuple[float, float]) -> Figure:
    """An empty figure with a title and a smaller line at the bottom.

    Args:
        title: The heading.
        note: What was measured and where.
        size_inches: Width and height.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=size_inches, dpi=_DPI, layout="constrained")
    figure.suptitle(title, fontsize=15, fontweight="bold", wrap=True, parse_math=False)
    figure.supxlabel(note, fontsize=9, color="dimgray", wrap=True, parse_math=False)
    return figure


def plot_speeds(report: BenchReport, note: str) -> Figure:
    """Bars on one logarithmic scale: each stage alone, the whole, and what it is compared with.

    Args:
        report: What was measured; one panel for each clip.
        note: What was measured and where.
    """
    columns = min(_COLUMNS, len(report.clips))
    lines = -(-len(report.clips) // columns)
    bars = max(len(clip.stages) + len(clip.contenders) for clip in report.clips)
    size = (6.8 * columns, 1.2 + lines * (0.9 + 0.3 * bars))
    title = "Output frames a second (logarithmic)"
    figure = new_figure(title, note, size)
    panels = figure.subplots(lines, columns, squeeze=False, sharex=True)
    for panel in panels.flat[len(report.clips) :]:
        panel.set_visible(False)
    for panel, clip in zip(panels.flat, report.clips, strict=False):
        _draw_bars(panel, clip)
    spreads = [fps for clip in report.clips for _, fps, _ in _bars_of(clip)]
    first = math.floor(math.log10(min(fps.low for fps in spreads) / 1.5))
    # To the right of the longest bar there is room for its value.
    panels[0, 0].set_xlim(10.0**first, 3 * max(fps.high for fps in spreads))
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure in the format of the path's ending.

    Raises:
        InterpError: The file cannot be written.
    """
    try:
        with AtomicPath(path) as part:
            figure.savefig(part)
    except (OSError, ValueError) as error:
        raise _unwritable(path) from error


def _draw_bars(panel: Axes, clip: ClipSpeed) -> None:
    rows = _bars_of(clip)
    medians = [fps.median for _, fps, _ in rows]
    errors = (
        [fps.median - fps.low for _, fps, _ in rows],
        [fps.high - fps.median for _, fps, _ in rows],
    )
    places = range(len(rows))
    panel.set_xscale("log")
    panel.barh(
        places,
        medians,
        xerr=errors,
        color=[colour for *_, colour in rows],
        error_kw={"elinewidth": 1.5, "ecolor": "#262b33"},
    )
    for place, (_, fps, _) in enumerate(rows):
        panel.annotate(
            three_digits(fps.median),
            (max(fps.median, fps.high), place),
            (5, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            fontweight="bold",
        )
    labels = [_shortened(name) for name, *_ in rows]
    panel.set_yticks(places, labels, fontsize=9, parse_math=False)
    panel.invert_yaxis()
    panel.set_title(clip.title, loc="left", fontsize=11, fontweight="bold", parse_math=False)
    panel.xaxis.set_major_formatter("{x:g}")
    panel.tick_params(axis="x", labelbottom=True, labelsize=8)
    panel.grid(axis="x", color="#e2e5ea")
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)


def _bars_of(clip: ClipSpeed) -> list[tuple[str, Spread, str]]:
    """Name, speed and colour of each bar, from top to bottom."""
    stages = [
        (stage.name, stage.fps, COLOURS["bottleneck" if stage is clip.bottleneck else "stage"])
        for stage in clip.stages
    ]
    whole = ("interp, the whole", clip.whole.fps, COLOURS["interp"])
    others = [(each.name, each.fps, COLOURS["other"]) for each in clip.contenders[1:]]
    return [*stages, whole, *others]


def _shortened(label: str) -> str:
    """A label of at most `_MAX_LABEL_CHARACTERS`, such as for a command line."""
    if len(label) <= _MAX_LABEL_CHARACTERS:
        return label
    return label[: _MAX_LABEL_CHARACTERS - 1] + "…"


def _unwritable(path: Path) -> InterpError:
    return InterpError(
        f"{path}: the chart cannot be written there; name a file that ends in .png, .svg or .pdf"
        " in a folder that exists."
    )
