"""A drift report: Perennial's scores above Evidently's plots, made by a separate process.

Importing Evidently takes about three seconds and 280 MB; a separate process can use a second core.
"""

from __future__ import annotations

import json
import shutil
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
from core.errors import PerennialError, StorageError
from core.feature_contract import level_text
from tasks.versions.working_copy import remove_stale

COMMAND = (sys.executable, "-m", "tasks.reports.drift_page")
SAMPLE_ROWS = 20_000
SIDES = ("reference", "current")
PREFIX = ".drift-"


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
        Evidently's own JSON, and under ``perennial`` the title, the verdict, the notes and the table of the page.
    """

    html: Path
    json: Path


class DriftReport:
    """A report that is being made; :meth:`finish` waits for its files.

    Parameters
    ----------
    reference, current
        Rows to draw; of more than 20,000, a sample by the seed is drawn, as the page states. No decision uses them,
        and either may be empty.
    columns
        Columns to show; drifted columns come first, whatever their order here.
    folder
        Folder for ``drift.html`` and ``drift.json``, which are written under temporary names first; created if missing.
    notes
        Sentences at the top of the page: rows, periods, reasons.
    title
        Title of the page.
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
        self._outcome: tuple[int, str] | None = None
        self._errors = (work / "errors.txt").open("wb+")
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [*COMMAND, str(work), str(folder.resolve())],
            stdin=subprocess.PIPE,
            stdout=self._errors,
            stderr=self._errors,
            cwd=PACKAGES,
        )

    def finish(self, status: str = "", reasons: Sequence[str] = ()) -> ReportFiles:
        """Complete the report with the verdict, wait for it and return its files.

        Parameters
        ----------
        status
            Status of the verdict; empty if no decision uses the page.
        reasons
            The verdict's reasons, as sentences.

        Raises
        ------
        PerennialError
            The report could not be made; the message contains the end of the process's error output.
        StorageError
            The process ended without a message, as on a full disk.
        """
        if self._outcome is None:
            self._outcome = self._waited(json.dumps({"status": status, "reasons": list(reasons)}) if status else "")
        code, printed = self._outcome
        if code != 0 and not printed.strip():
            free = shutil.disk_usage(self.folder).free
            raise StorageError(
                f"the drift report in {self.folder} could not be made: its process ended with {code} and could not "
                f"write why ({free / 1e6:,.0f} MB of the disk are free). Free space or memory, then run the same "
                "command again"
            )
        if code != 0:
            raise PerennialError(f"Evidently could not make the drift report (exit {code}):\n{printed[-2000:]}")
        return ReportFiles(self.folder / "drift.html", self.folder / "drift.json")

    def _waited(self, verdict: str) -> tuple[int, str]:
        """Return the exit code of the process and what it printed; a step that is tried again asks once more."""
        self._process.communicate(verdict.encode())
        self._errors.seek(0)
        # A binding that Evidently imports may print pages about its own teardown after the error; they are dropped.
        printed, _, _ = self._errors.read().decode(errors="replace").partition("\nnanobind: leaked")
        self._errors.close()
        self._work.cleanup()
        return self._process.returncode, printed


def _sampled(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    # In the order of the rows, because one of the plots depends on it.
    return frame if len(frame) <= SAMPLE_ROWS else frame.iloc[_positions(len(frame), seed)]


def _positions(n_rows: int, seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.sort(np.random.default_rng(seed).choice(n_rows, SAMPLE_ROWS, replace=False))


def _portable(frame: pd.DataFrame, columns: Sequence[ReportColumn]) -> pd.DataFrame:
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
