"""Figures of an evaluation."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from core.metrics.bootstrap import Estimate
from core.metrics.evaluation import Evaluation, Importance, SliceResult
from tasks.reports.figures import SHOWN_FEATURES, draw_figures, shortened, slice_label, svg_text

ESTIMATE = Estimate(0.8, 0.7, 0.9)
EMPTY = Evaluation("roc_auc", 100, {"roc_auc": ESTIMATE}, (), None, (), {})
HOSTILE = "</svg><script>x</script> $x^2$ --> \x00\x1b\ufffe漢"


def test_an_empty_evaluation_has_no_figures() -> None:
    """A page has no empty frames."""
    assert draw_figures(EMPTY) == {}


@pytest.fixture(scope="module")
def figures() -> dict[str, str]:
    """Return figures of hostile names, a slice without a value and more features than are shown."""
    slices = (
        SliceResult("region", HOSTILE, 60, {"roc_auc": ESTIMATE}),
        SliceResult("region", "few", 2, {"roc_auc": Estimate(float("nan"), None, None)}),
        SliceResult("region", "none", 1, {}),
        SliceResult("region", "bare", 9, {"roc_auc": Estimate(0.5, None, None)}),
    )
    importance = tuple(Importance(f"{HOSTILE}{place}", 0.1, 0.01) for place in range(SHOWN_FEATURES + 3))
    return draw_figures(replace(EMPTY, slices=slices, importance=importance))


def test_every_figure_is_one_sound_element(figures: dict[str, str]) -> None:
    """Names from data are text in it, and no comment is left that could end another."""
    assert list(figures) == ["Feature importance", "Slices"]
    for text in figures.values():
        assert ET.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 - drawn just now
        assert "<script" not in text
        assert "<!--" not in text


def test_the_same_evaluation_is_the_same_bytes() -> None:
    """A bundle's hash depends on it."""
    evaluation = replace(EMPTY, importance=(Importance("age", 0.1, 0.01),))
    assert draw_figures(evaluation) == draw_figures(evaluation)


def test_the_reliability_of_a_rare_event_fills_its_axes() -> None:
    """Probabilities of half a percent are not one point in the corner."""
    bins = {"predicted": [0.001, 0.004], "observed": [0.002, 0.005], "low": [0.001, 0.003], "high": [0.003, 0.007]}
    text = draw_figures(replace(EMPTY, curves={"reliability": bins}))["Reliability"]
    drawn = re.search(r'M ([\d.]+) [\d.]+ \nL ([\d.]+) [\d.]+ \n"[^>]*stroke-linecap: square', text)
    assert drawn is not None
    # The figure is 252 points wide, and the two points lie 0.39 of the axis apart.
    assert float(drawn[2]) - float(drawn[1]) > 50


def test_a_label_is_short_and_can_be_drawn() -> None:
    """What a font or XML cannot hold is replaced."""
    assert shortened("a" * 40) == "a" * 40
    assert shortened("a" * 41) == "a" * 39 + "…"
    assert shortened("a\x00\u200b漢é") == "a���é"
    label = slice_label("c" * 100, "l" * 100, 12_345)
    assert label == f"{'c' * 17}… = {'l' * 21}…  (12,345)"


def test_a_figure_is_drawn_without_touching_the_users_style() -> None:
    """Settings of the library are as they were."""
    import matplotlib as mpl

    before = mpl.rcParams["font.size"]
    svg_text((1, 1), lambda figure: figure.add_subplot())
    assert mpl.rcParams["font.size"] == before
