"""A drift report: what it shows, before it is drawn as a page by :mod:`tasks.reports.drift_page`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from core.drift.columns import ColumnDrift
from core.feature_contract import level_text

SAMPLE_ROWS = 20_000
TEST_LABEL = "Perennial PSI"


@dataclass(frozen=True)
class ReportColumn:
    """The measured drift of a column, as the report shows it.

    Parameters
    ----------
    name
        A column of the rows given to :class:`DriftReport`; a sample without this column counts as having no values.
    kind
        Categories, booleans and classes are ``levels``. ``dates`` are in the table, but are not plotted; ``bins`` are
        not drawn at all, because there are no rows of them.
    score, threshold
        PSI, and the value it must exceed to count as drift; an unknown score is NaN.
    drifted
        The verdict on the column.
    note
        A short remark for the table, such as the column's importance.
    missing_reference, missing
        Shares of all rows without a value, 0 to 1; if None, the shares among the drawn rows are shown.
    """

    name: str
    kind: Literal["numeric", "levels", "dates", "bins"]
    score: float
    threshold: float
    drifted: bool
    note: str = ""
    missing_reference: float | None = None
    missing: float | None = None


@dataclass(frozen=True)
class ReportFiles:
    """The files of a report.

    Parameters
    ----------
    html
        A self-contained page that loads nothing.
    json
        Under ``perennial`` the title, the verdict, the notes and the table of the page; ``metrics`` and ``tests`` are
        Evidently's own, and empty without its plots.
    """

    html: Path
    json: Path


@dataclass(frozen=True, eq=False)
class DriftReport:
    """What a drift report shows.

    Parameters
    ----------
    reference, current
        Rows to draw; of more than 20,000, a sample by the seed is drawn, as the page states. No decision uses them,
        and either may be empty.
    columns
        Columns to show; drifted columns come first, whatever their order here.
    seed
        Seed of the samples.
    title, notes
        Title of the page, and sentences at its top: rows, periods.
    status, reasons
        The verdict and its reasons, as sentences; empty if no decision uses the page.
    command
        Command that adds Evidently's plots; empty if none does.
    """

    reference: pd.DataFrame
    current: pd.DataFrame
    columns: Sequence[ReportColumn]
    seed: int
    title: str = "Drift report"
    notes: Sequence[str] = ()
    status: str = ""
    reasons: Sequence[str] = ()
    command: str = ""


def sampled(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return the rows to draw: all, or a sample by the seed."""
    # In the order of the rows, because one of the plots depends on it.
    return frame if len(frame) <= SAMPLE_ROWS else frame.iloc[_positions(len(frame), seed)]


def _positions(n_rows: int, seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.sort(np.random.default_rng(seed).choice(n_rows, SAMPLE_ROWS, replace=False))


def portable(frame: pd.DataFrame, columns: Sequence[ReportColumn]) -> pd.DataFrame:
    """Return columns named by position, as float64 or text, so that no name or type fails in the file format."""
    content = {}
    for position, column in enumerate(columns):
        values = frame[column.name] if column.name in frame else pd.Series(None, index=frame.index, dtype=object)
        content[str(position)] = _portable_column(values, column.kind)
    return pd.DataFrame(content, index=range(len(frame)))


def _portable_column(values: pd.Series, kind: str) -> object:
    if kind == "levels":
        return [None if missing else level_text(value) for value, missing in zip(values, values.isna(), strict=True)]
    if kind == "dates":
        # In microseconds: nanoseconds end in the year 2262.
        moments = pd.to_datetime(values, utc=True).dt.as_unit("us")
        values = (moments - pd.Timestamp(0, tz="UTC").as_unit("us")) / pd.Timedelta(days=1).as_unit("us")
    return values.to_numpy(dtype=np.float64, na_value=np.nan)


KINDS: dict[str, Literal["numeric", "levels", "dates"]] = {
    "numeric": "numeric",
    "levels": "levels",
    "date": "dates",
    "forms": "levels",
}


def report_column(column: ColumnDrift, name: str, note: str) -> ReportColumn:
    """Return a column of the report from its measured drift."""
    rate = "" if column.rate is None else column.rate.sentence
    return ReportColumn(
        name=name,
        kind="bins" if column.role == "prediction" else KINDS[column.kind],
        score=column.psi,
        threshold=max(column.bound, column.critical),
        drifted=column.drifted,
        note="; ".join(filter(None, (column.remark, rate, note))),
        missing_reference=column.missing_reference,
        missing=column.missing,
    )
