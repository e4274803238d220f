"""Look at a sample of the values of columns that may have dates in a notation that the ingestion does not read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from core.init.columns import FEW_LEVELS, ColumnStatistics
from core.init.notations import date_notation
from tasks.init.inspection.inspected import RAW_TABLE, Inspection
from tasks.init.inspection.noted import distinct_texts

SAMPLE_ROWS = 500
LENGTHS = range(6, 41)
COMPACT_FROM, COMPACT_TO = 19_000_101, 21_001_231


def with_notations(inspection: Inspection) -> Inspection:
    """Return the inspection with the notation of dates in the statistics of text and of whole numbers.

    Parameters
    ----------
    inspection
        The rows and their statistics.
    """
    candidates = [column for column in inspection.columns if _may_have_dates(inspection, column)]
    if not candidates:
        return inspection
    found = {
        column.name: date_notation(texts, many=column.n_distinct > FEW_LEVELS)
        for column, texts in zip(candidates, _samples(inspection, candidates), strict=True)
    }
    columns = tuple(replace(column, notation=found.get(column.name, column.notation)) for column in inspection.columns)
    return replace(inspection, columns=columns)


def _may_have_dates(inspection: Inspection, column: ColumnStatistics) -> bool:
    form, noted = inspection.table.one(column.name).form, inspection.table.one(column.name).noted
    if noted.notation is not None or noted.question:
        return False
    if form == "number":
        low, high = column.minimum or 0.0, column.maximum or 0.0
        return column.is_integer and low >= COMPACT_FROM and high <= COMPACT_TO
    shown = [text for text in (column.example, *(text for text, _ in column.levels[:3])) if text is not None]
    return form == "text" and any(len(text) in LENGTHS and any(map(str.isdigit, text)) for text in shown)


def _samples(inspection: Inspection, columns: Sequence[ColumnStatistics]) -> list[list[str]]:
    """Return the distinct texts of rows from the whole file, without those that mean no value."""
    texts = [f"{inspection.table.one(column.name).alias}::VARCHAR" for column in columns]
    step = max(inspection.n_rows // SAMPLE_ROWS, 1)
    return distinct_texts(inspection.table.connection, RAW_TABLE, texts, f"WHERE rowid % {step} = 0")
