"""A drift report for people: Evidently's plots under Perennial's scores, made by a process of its own.

Evidently takes some three seconds and 280 MB to import; on a second core they cost the work beside it nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from config.settings import PACKAGES
from core.drift.columns import ColumnDrift
from core.errors import PerennialError
from core.feature_contract import level_text
from tasks.versions.working_copy import remove_stale

COMMAND = (sys.executable, "-m", "tasks.reports.drift_page")
SAMPLE_ROWS = 20_000
SIDES = ("reference", "current")
PREFIX = ".drift-"


@dataclass(frozen=True)
class ReportColumn:
    """What the engine says of a column, for the report to repeat.

    Parameters
    ----------
    name
        A column of the rows given to :class:`DriftReport`; one that a side lacks counts as without values there.
    kind
        Categories, booleans and classes are ``levels``. ``dates`` stand in the table and have no plot below.
    score, threshold
        PSI and what it must exceed here; a score that is not known is NaN.
    drifted
        The verdict; the report takes it as it is.
    note
        A short remark for the table, such as the column's importance.
    missing_reference, missing
        Shares of all rows without a value, 0 to 1; where None, the shares of the drawn rows are shown.
    """

    name: str
    kind: Literal["numeric", "levels", "dates"]
    score: float
    threshold: float
    drifted: bool
    note: str = ""
    missing_reference: float | None = None
    missing: float | None = None


@dataclass(frozen=True)
class ReportFiles:
    """Where a report lies.

    Parameters
    ----------
    html
        One page that needs nothing beside it and loads nothing.
    json
        Evidently's own JSON, and under ``perennial`` the title, the notes and the table of the page.
    """

    html: Path
    json: Path


class DriftReport:
    """A report being made; :meth:`finish` waits for its files.

    Parameters
    ----------
    reference, current
        Rows to draw; above 20,000 a sample by the seed, and the page says so. No decision is taken from them, and
        either may be empty.
    columns
        What is shown, drifted columns first whatever their order here.
    folder
        Where ``drift.html`` and ``drift.json`` go, under temporary names first; made if need be.
    notes
        Sentences for the head of the page: rows, periods, reasons.
    title
        Of the page.
    """

    def __init__(
        self,
        reference: pd.DataFrame,
        current: pd.DataFrame,
        columns: Sequence[ReportColumn],
        folder: Path,
        seed: int,
        notes: Sequence[str] = (),
        title: str = "",
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        remove_stale(folder, PREFIX)
        self.folder = folder
        self._work = tempfile.TemporaryDirectory(prefix=PREFIX, dir=folder)
        work = Path(self._work.name)
        facts: dict[str, object] = {"title": title or "Drift report", "notes": list(notes)}
        facts["columns"] = [asdict(column) for column in columns]
        for side, frame in zip(SIDES, (reference, current), strict=True):
            sample = _sampled(frame, seed)
            facts |= {f"n_{side}": len(frame), f"n_{side}_drawn": len(sample)}
            _portable(sample, columns).to_parquet(work / f"{side}.parquet")
        (work / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
        self._errors = (work / "errors.txt").open("wb+")
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [*COMMAND, str(work), str(folder.resolve())],
            stdin=subprocess.DEVNULL,
            stdout=self._errors,
            stderr=self._errors,
            cwd=PACKAGES,
        )

    def finish(self) -> ReportFiles:
        """Wait for the report and say where it lies.

        Raises
        ------
        PerennialError
            The report could not be made; the message holds the end of what its process printed.
        """
        status = self._process.wait()
        self._errors.seek(0)
        # A binding that Evidently imports may print pages about its own teardown after the error; they say nothing.
        printed, _, _ = self._errors.read().decode(errors="replace").partition("\nnanobind: leaked")
        self._errors.close()
        self._work.cleanup()
        if status != 0:
            raise PerennialError(f"Evidently could not make the drift report (exit {status}):\n{printed[-2000:]}")
        return ReportFiles(self.folder / "drift.html", self.folder / "drift.json")


def _sampled(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    # In the order of the rows: one of the plots goes along them.
    return frame if len(frame) <= SAMPLE_ROWS else frame.iloc[_positions(len(frame), seed)]


def _positions(n_rows: int, seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.sort(np.random.default_rng(seed).choice(n_rows, SAMPLE_ROWS, replace=False))


def _portable(frame: pd.DataFrame, columns: Sequence[ReportColumn]) -> pd.DataFrame:
    """Columns by their position, as float64 or text: no name and no type of the rows can break their way."""
    content = {}
    for position, column in enumerate(columns):
        values = frame[column.name] if column.name in frame else pd.Series(None, index=frame.index, dtype=object)
        content[str(position)] = _portable_column(values, column.kind)
    return pd.DataFrame(content, index=range(len(frame)))


def _portable_column(values: pd.Series, kind: str) -> object:
    if kind == "levels":
        return [None if missing else level_text(value) for value, missing in zip(values, values.isna(), strict=True)]
    if kind == "dates":
        values = (pd.to_datetime(values, utc=True) - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1)
    return values.to_numpy(dtype=np.float64, na_value=np.nan)


KINDS: dict[str, Literal["numeric", "levels", "dates"]] = {"numeric": "numeric", "levels": "levels", "date": "dates"}


def report_column(column: ColumnDrift, name: str, note: str) -> ReportColumn:
    """Return what the report says of a column, from what the engine measured."""
    return ReportColumn(
        name=name,
        kind=KINDS[column.kind],
        score=column.psi,
        threshold=max(column.bound, column.critical),
        drifted=column.drifted,
        note="; ".join(filter(None, (column.remark, note))),
        missing_reference=column.missing_reference,
        missing=column.missing,
    )
