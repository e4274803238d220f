"""Read CSV files with Polars; runs in the peers' environment and imports nothing of Perennial.

``python inference_polars.py <wanted> <answer>``: ``wanted`` is a JSON list of paths with their delimiters. The
answer has, for each, the error, or the values of each column with their kind (dates as text).
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any


def main() -> None:
    """Write the answer."""
    wanted = json.loads(Path(sys.argv[1]).read_text())
    Path(sys.argv[2]).write_text(json.dumps([_table(path, delimiter) for path, delimiter in wanted]))


def _table(path: str, delimiter: str) -> dict[str, Any]:
    import polars  # type: ignore[import-not-found] # of the peers' environment

    try:
        rows = polars.read_csv(path, separator=delimiter, try_parse_dates=True)
    except polars.exceptions.PolarsError as error:
        return {"error": str(error).splitlines()[0]}
    return {name: _column(rows[name].to_list()) for name in rows.columns}


def _column(values: list[Any]) -> tuple[str, list[Any]]:
    kind = "date" if any(isinstance(one, date) for one in values) else "plain"
    return kind, [_plain(one) for one in values]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        moment = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        return moment.isoformat()
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day).isoformat()
    return value if value is None or isinstance(value, str | int | float) else str(value)


if __name__ == "__main__":
    main()
