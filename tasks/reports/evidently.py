"""Evidently's report of two samples, with Perennial's scores and verdicts in it.

Only this module imports Evidently. The import takes about three seconds, so no decision waits for it.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from tasks.reports.drawing import Drawing
from tasks.reports.drift import TEST_LABEL
from tasks.reports.figures import ACCENT

TEST_NAME = "perennial_psi"
REFERENCE_COLOR = "#b8c1cc"
SPREAD_COLOR = "#e3e7ec"
_COLORS = {"#ed0400": ACCENT, "#4d4d4d": REFERENCE_COLOR, "green": "#667085", "LightGreen": SPREAD_COLOR}
_TABS = {"DATA DISTRIBUTION": "Distribution", "DATA DRIFT": "In the order of the rows"}


@dataclass(frozen=True)
class Verdict:
    """Perennial's score and verdict for a column.

    Parameters
    ----------
    score, threshold
        PSI, and the value it must exceed to count as drift.
    """

    score: float
    threshold: float
    drifted: bool


@dataclass(frozen=True)
class EvidentlyReport:
    """Content and page parts of Evidently's report.

    Parameters
    ----------
    content
        Its JSON: ``metrics`` and ``tests``.
    data, library, font
        Parts of its page: two JavaScript statements that define ``dashboard`` and ``details``, its program, and its
        style sheet. The data contains no ``<``.
    """

    content: Mapping[str, Any]
    data: str
    library: str
    font: str


def evidently_report(drawings: Mapping[str, Drawing], verdicts: Mapping[str, Verdict]) -> EvidentlyReport:
    """Run Evidently over drawable columns, in their order.

    Parameters
    ----------
    drawings, verdicts
        By shown name; see :func:`tasks.reports.drawing.shown_names`.

    Notes
    -----
    One metric per column is requested instead of Evidently's preset, which computes every column three times.
    """
    with warnings.catch_warnings():
        # Evidently 0.7.23 uses functions that NumPy 2, pandas 3 and plotly deprecate.
        warnings.simplefilter("ignore")
        from evidently import Report
        from evidently.metrics import ValueDrift

        _register(verdicts)
        metrics = [ValueDrift(column=name, method=TEST_NAME, threshold=verdicts[name].threshold) for name in drawings]
        current, reference = (_dataset(drawings, side) for side in ("current", "reference"))
        snapshot = Report(metrics, include_tests=True).run(current, reference)
        return EvidentlyReport(json.loads(snapshot.json()), *_parts(snapshot.get_html_str(as_iframe=False)))


def _register(verdicts: Mapping[str, Verdict]) -> None:
    """Register a statistical test that returns a column's verdict, so that report and decision cannot disagree."""
    from evidently.legacy.calculations.stattests.registry import StatTest, register_stattest
    from evidently.legacy.core import ColumnType

    def look_up(reference: pd.Series, _current: pd.Series, _kind: ColumnType, _threshold: float) -> tuple[float, bool]:
        verdict = verdicts[str(reference.name)]
        return verdict.score, verdict.drifted

    kinds = [ColumnType.Numerical, ColumnType.Categorical]
    register_stattest(StatTest(TEST_NAME, TEST_LABEL, kinds, default_threshold=0.1), look_up)


def _dataset(drawings: Mapping[str, Drawing], side: str) -> Any:
    from evidently import DataDefinition, Dataset

    definition = DataDefinition(
        numerical_columns=[name for name, drawing in drawings.items() if drawing.kind == "numeric"],
        categorical_columns=[name for name, drawing in drawings.items() if drawing.kind == "levels"],
    )
    return Dataset.from_pandas(pd.DataFrame({n: getattr(drawing, side) for n, drawing in drawings.items()}), definition)


def _parts(page: str) -> tuple[str, str, str]:
    """Split Evidently's page into its parts; raise an error if it has another structure than expected."""
    # Names without "<" cannot add a script, so a fifth script means an unknown version of Evidently.
    data, _, library, _ = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    # Only the first match: Evidently's program contains others in its strings.
    font = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)[0]
    dashboard, details = (json.loads(line.partition(" = ")[2].rstrip(";")) for line in data.strip().splitlines())
    # The other widgets are the tests, whose results are in our table.
    dashboard["widgets"] = dashboard["widgets"][:1]
    _restyle(dashboard["widgets"][0]["widgets"])
    statements = f"var dashboard = {json.dumps(dashboard)};\nvar details = {json.dumps(details)};"
    return statements.replace("<", "\\u003c"), library, font


def _restyle(widgets: Sequence[dict[str, Any]]) -> None:
    for widget in widgets:
        for tab in widget["tabs"]:
            tab["title"] = _TABS.get(tab["title"], tab["title"])
            _restyle_figure(tab["widget"]["params"])
        widget["tabs"].sort(key=lambda tab: tab["title"] != "Distribution")


def _restyle_figure(figure: dict[str, Any]) -> None:
    layout = figure["layout"]
    for trace in figure["data"]:
        _recolor(trace)
    layout |= {"margin": {"t": 60, "r": 20, "b": 50, "l": 60}, "plot_bgcolor": "#fff", "bargap": 0.15}
    layout["yaxis"] |= {"gridcolor": SPREAD_COLOR, "zerolinecolor": SPREAD_COLOR}
    layout["xaxis"]["gridcolor"] = SPREAD_COLOR
    for menu in layout.get("updatemenus", ()):
        _open_with_percent(figure, menu)
    # Each sample's levels are sorted by frequency; the reference's traces are the last ones.
    levels = dict.fromkeys(value for trace in figure["data"][::-1] for value in trace["x"] if isinstance(value, str))
    if levels:
        # Otherwise levels that look like numbers or dates would be drawn on an axis of numbers or dates.
        layout["xaxis"] |= {"type": "category", "categoryorder": "array", "categoryarray": list(levels)}


def _recolor(trace: dict[str, Any]) -> None:
    for part in (trace, trace.get("marker", {}), trace.get("line", {})):
        for key in ("color", "fillcolor"):
            if key in part:
                part[key] = _COLORS.get(part[key], part[key])


def _open_with_percent(figure: dict[str, Any], menu: dict[str, Any]) -> None:
    """Show shares first, because the samples differ in size; move the buttons away from the other ones."""
    menu |= {"active": 1, "x": 0, "xanchor": "left", "y": 1.04, "yanchor": "bottom"}
    menu["buttons"][0]["label"], menu["buttons"][1]["label"] = "rows", "percent"
    traces, axes = menu["buttons"][1]["args"]
    for trace, visible in zip(figure["data"], traces["visible"], strict=True):
        trace["visible"] = visible
    figure["layout"]["yaxis"]["title"] = {"text": axes["yaxis"]["title"]}
