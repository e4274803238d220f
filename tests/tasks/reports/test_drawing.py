"""Columns made fit to be drawn."""

import numpy as np
import pandas as pd
import pytest

from core.feature_contract import MISSING
from tasks.reports.drawing import MAX_LEVELS, Floats, figure_svg, level_drawing, number_drawing, shown_names, spark_svg
from tests.pages import Elements

NAN, INF = np.nan, np.inf
NORMAL = np.random.default_rng(1).normal(50, 10, 2000)


def _numbers(*values: float) -> Floats:
    return np.array(values, dtype=np.float64)


def _levels(*values: str | None) -> pd.Series:
    return pd.Series(values, dtype=object)


def test_ordinary_numbers_are_drawn_as_they_are() -> None:
    """Within a ten-thousandth of the range, missing ones missing, and without a remark."""
    drawing = number_drawing(NORMAL, np.append(NORMAL[:50] + 5, NAN))
    assert (drawing.kind, drawing.drawable, drawing.remarks) == ("numeric", True, ())
    np.testing.assert_allclose(drawing.reference, NORMAL, atol=np.ptp(NORMAL) / 5000)
    assert drawing.current.isna().tolist() == [False] * 50 + [True]


def test_one_wild_value_does_not_flatten_the_plot() -> None:
    """It is drawn at the end of a range that the other values set, and the remark counts it."""
    drawing = number_drawing(NORMAL, np.append(NORMAL, 1e9))
    assert drawing.current.max() < 200
    assert drawing.remarks == ("values above 122 are drawn at 122 (1)",)


def test_infinite_values_are_left_out_and_counted() -> None:
    """They have no place on an axis."""
    drawing = number_drawing(np.append(NORMAL, INF), np.append(NORMAL, (-INF, INF)))
    assert drawing.remarks == ("infinite values are not drawn (3)",)
    assert drawing.current.isna().sum() == 2


@pytest.mark.parametrize("magnitude", [1e300, 1e200, 1e17, 1e-200, 1e-310, 5e-324])
def test_extreme_magnitudes_are_drawn_in_a_unit_of_their_own(magnitude: float) -> None:
    """What is drawn lies near one, where histograms can be made."""
    drawing = number_drawing((NORMAL - 50) * magnitude, (NORMAL - 45) * magnitude)
    assert drawing.kind == "numeric"
    assert drawing.reference.abs().max() < 100
    assert "drawn in units of 1e" in drawing.remarks[-1]
    assert np.histogram(drawing.current, bins=10)[0].sum() == len(NORMAL)


@pytest.mark.parametrize("value", [0.0, 5.0, 1e17, -1e308])
def test_a_constant_is_drawn_as_its_one_level(value: float) -> None:
    """Neither side has a spread, so there is no axis of numbers."""
    drawing = number_drawing(_numbers(value, value), _numbers(value, NAN))
    assert drawing.kind == "levels"
    assert set(drawing.reference) | set(drawing.current) == {drawing.reference[0], MISSING}


@pytest.mark.parametrize(
    ("reference", "current", "remark"),
    [
        (NORMAL, _numbers(NAN, NAN), "not drawn: no value in the current rows"),
        (_numbers(), NORMAL, "not drawn: no value in the reference"),
        (_numbers(NAN), _numbers(), "not drawn: no value in the reference and in the current rows"),
        (NORMAL, _numbers(INF, NAN), "not drawn: no finite value in the current rows"),
    ],
)
def test_numbers_of_one_side_alone_are_not_drawn(reference: Floats, current: Floats, remark: str) -> None:
    """The remark names the side that is bare."""
    drawing = number_drawing(reference, current)
    assert not drawing.drawable
    assert drawing.remarks[0] == remark
    assert spark_svg(drawing) == ""


def test_levels_keep_missing_as_a_level_and_the_rest_together() -> None:
    """A frequent level of either side has a bar of its own; the sum of the bars is the rows."""
    many = _levels(*(f"id{number:03}" for number in range(500)), "new", "new", None, None, None)
    drawing = level_drawing(many, _levels(*["new"] * 9, None))
    assert drawing.remarks == (f"the {MAX_LEVELS} most frequent of 502 levels are drawn",)
    counts = drawing.reference.value_counts()
    assert (counts["new"], counts[MISSING], counts["(472 other levels)"], counts.sum()) == (2, 3, 472, 505)
    assert set(drawing.current) == {"new", MISSING}


def test_levels_of_one_side_alone_are_not_drawn() -> None:
    """All missing is no level to compare with."""
    drawing = level_drawing(_levels("a"), _levels(None, None))
    assert not drawing.drawable
    assert drawing.remarks == ("not drawn: no value in the current rows",)


def test_shown_names_hold_no_markup_and_stay_apart() -> None:
    """Nothing that could begin a tag or an entity, nothing unseen; equal forms are numbered."""
    names = ["<b>", "\u2039b\u203a", "a&lt;", "x\x1b\u202e", "n" * 10_000, "n" * 9_999, "index", "per", ""]
    shown = shown_names(names, 60)
    assert len(set(shown)) == len(names)
    assert max(map(len, shown)) < 70
    assert not set("".join(shown)) & set("<>&\x1b\u202e")
    assert not {"", "index", "per"} & set(shown)


def test_a_spark_holds_numbers_alone() -> None:
    """Whatever the levels are called, nothing of them is in the figure; equal sides have equal outlines."""
    side = _levels("<script>", "b", "b", None)
    figure = spark_svg(level_drawing(side, side))
    assert "script" not in figure
    assert MISSING not in figure
    area, line = (part.split('d="')[1].split('"')[0] for part in figure.split("<path")[1:])
    assert area == f"{line} V30 H0 Z"


def test_a_figure_names_levels_as_text_and_shares_the_rest() -> None:
    """The most frequent levels with both shares, all others in one bar; markup is text without effect."""
    reference = _levels(*("<b>" for _ in range(6)), *(f"level {number}" for number in range(9)), '" onload="x')
    figure = figure_svg(level_drawing(reference, _levels("<b>", "<b>", "level 1", "level 1")))
    elements = Elements(figure)
    assert set(elements.tags) == {"svg", "rect", "text"}
    assert not [name for name, _ in elements.attributes if name.startswith("on")]
    assert "37.5% → 50.0%" in elements.text
    assert "4 others" in elements.text
    assert elements.tags.count("rect") == 2 * 8


def test_a_figure_of_numbers_has_its_ends_and_largest_share() -> None:
    """Outlines as in the spark, and numbers at both axes; an undrawable column has no figure."""
    rng = np.random.default_rng(0)
    figure = figure_svg(number_drawing(rng.uniform(0, 100, 4_000), rng.uniform(0, 100, 4_000)))
    text = Elements(figure).text
    assert all(label in text for label in ("0%", "5%", "50", "100"))
    assert figure.count("<path") == 3
    assert figure_svg(number_drawing(np.array([np.nan]), np.array([1.0]))) == ""
