import sys
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
from measured import clip_speed

from interp_cli.benchmarking.plot import check_chart, new_figure, plot_speeds, save_figure
from interp_cli.benchmarking.report import BenchReport
from interp_cli.errors import InterpError


def report(clips: int = 1) -> BenchReport:
    return BenchReport("flow", 9, "cpu", "fp32", 1, 3, 0.1, None, (clip_speed(),) * clips)


def test_a_panel_has_a_bar_for_each_stage_and_contender() -> None:
    figure = plot_speeds(report(), "note")
    (panel,) = figure.axes
    assert [label.get_text() for label in panel.get_yticklabels()] == [
        "decode",
        "network",
        "interp, the whole",
        "blend",
    ]
    assert [bar.get_width() for bar in panel.patches] == [30, 14, 12, 48]
    assert [text.get_text() for text in panel.texts] == ["30", "14", "12", "48"]
    assert panel.get_xscale() == "log"
    assert panel.get_title(loc="left") == "drawn 64x32"
    colours = [bar.get_facecolor() for bar in panel.patches]
    assert len(set(colours)) == 4  # a stage, the slowest stage, the whole, another method


def test_panels_share_one_scale() -> None:
    panels = plot_speeds(report(clips=3), "note").axes
    assert [panel.get_visible() for panel in panels] == [True, True, True, False]
    assert len({panel.get_xlim() for panel in panels}) == 1
    low, high = panels[0].get_xlim()
    assert low < 11
    assert high > 50


def test_a_long_command_line_is_shortened_and_is_no_formula() -> None:
    one = clip_speed()
    long = replace(one.contenders[1], name="rife -i $in -o $out --model best --and-so-on")
    changed = replace(one, contenders=(one.contenders[0], long))
    figure = plot_speeds(BenchReport("flow", 9, "cpu", "fp32", 1, 3, 0.1, None, (changed,)), "$x$")
    label = figure.axes[0].get_yticklabels()[-1]
    assert label.get_text() == "rife -i $in -o $out --model…"
    assert not label.get_parse_math()


def test_a_chart_is_written_in_the_format_of_its_ending(tmp_path: Path) -> None:
    figure = plot_speeds(report(clips=2), "note")
    for name in ("chart.png", "chart.svg"):
        check_chart(tmp_path / name)
        save_figure(figure, tmp_path / name)
    height, width = cv2.imread(str(tmp_path / "chart.png")).shape[:2]
    assert (width, height) == (1360, 330)
    assert b"<svg" in (tmp_path / "chart.svg").read_bytes()


@pytest.mark.parametrize("name", ["chart.docx", "chart", "no/such/chart.png"])
def test_a_chart_that_cannot_be_written_is_refused_first(tmp_path: Path, name: str) -> None:
    with pytest.raises(InterpError, match=r"ends in \.png, \.svg or \.pdf in a folder that exists"):
        check_chart(tmp_path / name)
    with pytest.raises(InterpError, match="cannot be written there"):
        save_figure(new_figure("title", "note", (2, 2)), tmp_path / "no" / "such" / "chart.png")


def test_without_matplotlib_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(InterpError, match=r"which interp-cli's extra 'plot' installs$"):
        check_chart(tmp_path / "chart.png")
