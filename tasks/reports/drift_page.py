"""The page and the JSON of a drift report: Perennial's table and figures at once, Evidently's plots where asked for.

:func:`write_page` imports no library for plots and takes a part of a second. :func:`draw_plots` writes the same page
with Evidently's plots in place of our figures: the import alone takes seconds and 280 MB, so that only the
command that asks for the plots waits for it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from core.jsonable import jsonable
from tasks.reports.drawing import (
    Drawing,
    figure_svg,
    level_drawing,
    number_drawing,
    shown_names,
    spark_svg,
    undrawable,
)
from tasks.reports.drift import TEST_LABEL, DriftReport, ReportFiles, portable, sampled
from tasks.reports.pages import TEMPLATES, template_environment
from tasks.versions.working_copy import remove_stale

if TYPE_CHECKING:
    from tasks.reports.evidently import EvidentlyReport

MAX_PLOTS = 60
"""Maximum columns with a plot, drifted ones first: a browser draws two figures for each. The table has all columns."""

NAME_LENGTH = 60
BADGES = {"ok": "good", "watch": "warn", "drift": "bad", "insufficient": ""}
PAGE, CONTENT = "drift.html", "drift.json"
PREFIX = ".drift-"
START = 'window.drawDashboard(dashboard, new Map(Object.entries(details)), "plots");'


@dataclass(frozen=True)
class Row:
    """One column in the table.

    Parameters
    ----------
    name, shown
        The original name, and the form given to Evidently.
    kind, score, threshold, drifted, note
        As given by the caller.
    missing_reference, missing
        Shares of rows without a value, 0 to 1; None without rows.
    plotted
        Whether Evidently plots it.
    """

    name: str
    shown: str
    kind: str
    score: float
    threshold: float
    drifted: bool
    note: str
    missing_reference: float | None
    missing: float | None
    drawing: Drawing
    plotted: bool

    @property
    def remarks(self) -> list[str]:
        """Remarks on the column, shown beside its numbers."""
        said = [self.note, *self.drawing.remarks]
        unplotted = self.drawing.drawable and not self.plotted
        reason = "dates are not plotted below" if self.kind == "dates" else "not plotted below"
        return [sentence for sentence in [*said, reason if unplotted else ""] if sentence]

    @property
    def figure(self) -> str:
        """Both distributions with their axes as an SVG element."""
        return figure_svg(self.drawing)

    @property
    def spark(self) -> str:
        """Both distributions as a small SVG element."""
        return spark_svg(self.drawing)


def write_page(report: DriftReport, folder: Path) -> ReportFiles:
    """Write ``drift.html`` and ``drift.json`` into a folder, without Evidently; a repeat replaces them.

    Parameters
    ----------
    report
        What the page shows.
    folder
        Created if missing; both files get their names when they are whole.
    """
    facts, rows = _facts(report), _rows_of(report)
    return _written(facts, rows, None, folder)


def draw_plots(report: DriftReport, folder: Path) -> ReportFiles:
    """Write the page and its JSON with Evidently's plots; a repeat, or one killed at any moment, leaves whole files.

    Parameters
    ----------
    report, folder
        As for :func:`write_page`.
    """
    from tasks.reports.evidently import Verdict, evidently_report

    facts, rows = _facts(report), _rows_of(report)
    plotted = {row.shown: row for row in rows if row.plotted}
    drawn = None
    if plotted:
        drawn = evidently_report(
            {shown: row.drawing for shown, row in plotted.items()},
            {shown: Verdict(row.score, row.threshold, row.drifted) for shown, row in plotted.items()},
        )
    return _written(facts, rows, drawn, folder)


def _facts(report: DriftReport) -> dict[str, Any]:
    facts: dict[str, Any] = {"title": report.title, "notes": list(report.notes)}
    facts["verdict"] = {"status": report.status, "reasons": list(report.reasons)} if report.status else None
    for side, frame in (("reference", report.reference), ("current", report.current)):
        facts |= {f"n_{side}": len(frame), f"n_{side}_drawn": len(sampled(frame, report.seed))}
    return facts | {"command": report.command}


def _rows_of(report: DriftReport) -> list[Row]:
    sides = [portable(sampled(side, report.seed), report.columns) for side in (report.reference, report.current)]
    return _rows([asdict(column) for column in report.columns], *sides)


def _written(facts: dict[str, Any], rows: list[Row], plots: EvidentlyReport | None, folder: Path) -> ReportFiles:
    # In JSON, "<" occurs only inside strings, where this escape is equivalent.
    content = json.dumps(jsonable(_content(facts, rows, plots))).replace("<", "\\u003c")
    texts = {CONTENT: content, PAGE: _page(facts, rows, plots)}
    folder.mkdir(parents=True, exist_ok=True)
    remove_stale(folder, PREFIX)
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=folder) as work:
        for name, text in texts.items():
            (Path(work) / name).write_text(text, encoding="utf-8")
        for name in texts:
            (Path(work) / name).replace(folder / name)
    return ReportFiles(folder / PAGE, folder / CONTENT)


def _rows(columns: list[dict[str, Any]], reference: pd.DataFrame, current: pd.DataFrame) -> list[Row]:
    shown = shown_names([column["name"] for column in columns], NAME_LENGTH)
    rows: list[Row] = []
    n_plots = 0
    for position in sorted(range(len(columns)), key=lambda position: _rank(columns[position])):
        column, sides = columns[position], (reference[str(position)], current[str(position)])
        drawing = _drawing(column["kind"], *sides)
        plotted = drawing.drawable and column["kind"] != "dates" and n_plots < MAX_PLOTS
        n_plots += plotted
        rows.append(Row(shown=shown[position], **column | _missing(column, *sides), drawing=drawing, plotted=plotted))
    return rows


def _missing(column: dict[str, Any], reference: pd.Series, current: pd.Series) -> dict[str, float | None]:
    drawn = {"missing_reference": reference, "missing": current}
    shares = {name: float(side.isna().mean()) if len(side) else None for name, side in drawn.items()}
    return {name: share if column[name] is None else column[name] for name, share in shares.items()}


def _rank(column: dict[str, Any]) -> tuple[bool, float]:
    """Sort key: drifted columns first, then by score; columns without a score last."""
    score = column["score"]
    return not column["drifted"], math.inf if math.isnan(score) else -score


def _drawing(kind: str, reference: pd.Series, current: pd.Series) -> Drawing:
    if kind == "bins":
        return undrawable("numeric", ("not drawn: the reference has only its bins",))
    if kind == "levels":
        return level_drawing(reference, current)
    return number_drawing(reference.to_numpy(dtype=np.float64), current.to_numpy(dtype=np.float64))


def _content(facts: dict[str, Any], rows: list[Row], report: EvidentlyReport | None) -> dict[str, Any]:
    """Return Evidently's JSON with the columns' original names, and the content of the page's table."""
    content = dict(report.content) if report else {"metrics": [], "tests": []}
    names = {row.shown: row.name for row in rows}
    for metric in content["metrics"]:
        metric["config"]["column"] = names[metric["config"]["column"]]
    fields = ("name", "kind", "score", "threshold", "drifted", "missing_reference", "missing", "remarks")
    table = [{field: getattr(row, field) for field in fields} for row in rows]
    told = {name: value for name, value in facts.items() if name != "command"}
    return {**content, "perennial": {**told, "columns": table}}


def _page(facts: dict[str, Any], rows: list[Row], report: EvidentlyReport | None) -> str:
    scripts = [report.data, "var global = globalThis", report.library, START] if report else []
    environment = template_environment()
    environment.filters |= {"score": _score, "share": _share}
    return environment.get_template("drift.html.j2").render(
        facts=facts,
        rows=rows,
        figures=[] if report else [row for row in rows if row.plotted],
        n_drifted=sum(row.drifted for row in rows),
        badges=BADGES,
        test=TEST_LABEL,
        css=(TEMPLATES / "page.css").read_text(encoding="utf-8").replace(":root", "&"),
        font=report.font if report else "",
        scripts=scripts,
        # Only scripts with these hashes may run, so that no text from the data can be executed.
        allowed=" ".join(_digest(script) for script in scripts) or "'none'",
    )


def _digest(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _score(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


def _share(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.1%}" if 0 < value < 0.1 else f"{value:.0%}"
