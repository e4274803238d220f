"""DuckDB as the ingestion engine: with a memory limit, without network access, and with its failures as our errors."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from config.settings import Settings
from core.errors import SourceError, StorageError
from core.storage_failure import storage_errors, storage_failure

if TYPE_CHECKING:
    import duckdb

SPILL = "spill"
"""Folder under the work folder into which the engine spills."""

COPIES = "source"
"""Folder under the work folder that holds copies of files."""

WIDE = 500
"""Number of columns from which planning a query takes longer than its rows."""

VERY_WIDE = 2000
"""Number of columns from which two threads may need more than the memory limit."""

SECOND_HEADER = "a row repeats the column names of "
"""Beginning of the engine's error for such a row; the path of its file follows."""

_CSV_LINE = re.compile(r"CSV Error on Line: (\d+)")
_CSV_FILE = re.compile(r"^\s*file = (.*)$", re.MULTILINE)
_CSV_WIDTH = re.compile(r"Expected Number of Columns: (\d+) Found: (\d+)")


@contextmanager
def scratch_folder(settings: Settings, prefix: str) -> Iterator[Path]:
    """Return a folder under ``var/work`` that is removed when the block ends; after a kill, retention removes it.

    It is not the model's own work folder, which an ingestion empties.

    Raises
    ------
    StorageError
        The disk failed, also within the block.
    """
    work = settings.var / "work"
    with storage_errors(work):
        work.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=work, prefix=prefix) as name:
            yield Path(name)


@contextmanager
def ingestion_engine(settings: Settings, work: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an in-memory DuckDB limited to ``settings.memory_limit_mb``, which spills under ``work``."""
    import duckdb

    options: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{settings.memory_limit_mb}MiB",
        "temp_directory": str(work / SPILL),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    connection = duckdb.connect(config=options)
    try:
        # Text dates without offset are UTC, whatever the machine's time zone.
        connection.execute("SET TimeZone = 'UTC'")
        yield connection
    finally:
        connection.close()


def prepare_for_width(connection: duckdb.DuckDBPyConnection, n_columns: int, *, cells_are_cast: bool = False) -> None:
    """Set the engine up for the number of columns of a source.

    Parameters
    ----------
    connection
        From :func:`ingestion_engine`.
    n_columns
        Columns of the source.
    cells_are_cast
        Whether one query casts all columns, which takes memory for each thread: 1 GiB at 5,000 columns.
    """
    if n_columns > WIDE:
        # They take the square of the number of columns, and save time per row, of which a wide table has few.
        connection.execute("SET disabled_optimizers = 'common_subexpressions,statistics_propagation'")
    if cells_are_cast and n_columns > VERY_WIDE:
        connection.execute("SET threads = 1")


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn the engine's errors while rows of ``name`` are read into ours.

    Raises
    ------
    SourceError
        The rows cannot be read; for CSV, the message names the file, the line and the reason.
    StorageError
        The memory limit or the disk is too small.
    """
    try:
        yield
    except _reading_errors() as error:
        # A stream of Arrow batches reports the engine's errors as OSError, with the same text.
        raise _failure(error, name) from error


def _reading_errors() -> tuple[type[Exception], ...]:
    """Return what the engine raises; asked only when something was raised, so that no library is imported for it."""
    import duckdb
    import pyarrow as pa

    return (duckdb.Error, pa.ArrowException, OSError)


@contextmanager
def removed_after_error(*temporary: Path) -> Iterator[None]:
    """Remove temporary files if the block fails, also if some were renamed or the disk does not let them be removed.

    After success nothing is removed: they have their final names, and a failed removal would call that a failure.
    """
    try:
        yield
    except BaseException:
        for path in temporary:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        raise


def _failure(error: Exception, name: str) -> SourceError | StorageError:
    message = str(error)
    if failure := storage_failure(error):
        return failure
    if "Out of Memory Error" in message:
        return StorageError(
            f"{name} needs more memory than allowed; raise PERENNIAL_MEMORY_LIMIT_MB ({_line(message)})"
        )
    if SECOND_HEADER in message:
        return SourceError(_second_header(message.split(SECOND_HEADER, 1)[1].splitlines()[0], name))
    if "CSV" in message:
        return SourceError(_csv_failure(message, name))
    return SourceError(f"{name} cannot be read: {_line(message)}. If the file is damaged, fetch or write it again")


def _second_header(path: str, name: str) -> str:
    """Describe a row that repeats the column names; its line is looked for, because the engine does not tell it."""
    with Path(path).open(encoding="utf-8-sig", errors="replace") as lines:
        first = next(lines, "").strip()
        line = next((f", line {number}" for number, text in enumerate(lines, start=2) if text.strip() == first), "")
    # A copy is deleted after the run.
    shown = name if Path(path).parent.name == COPIES else path
    return f"{shown}{line}: repeats the line of column names, as files do that were joined; remove the line"


def _csv_failure(message: str, name: str) -> str:
    file, line, width = _CSV_FILE.search(message), _CSV_LINE.search(message), _CSV_WIDTH.search(message)
    place = (file.group(1).strip() if file else name) + (f", line {line.group(1)}" if line else "")
    if width:
        expected, found = width.groups()
        return (
            f"{place}: expected {expected} values as in the first line, found {found}; "
            "correct the line (put a value with a delimiter or a line break in double quotes)"
        )
    if "unterminated quote" in message:
        return f"{place}: a value starts with a double quote that is never closed; double the quotes inside values"
    if "not utf-8" in message:
        return f"{place}: not utf-8 text; set source.encoding, for example to cp1252 or utf-16, or save it as UTF-8"
    if "invalid state" in message:
        return f"{place}: invalid CSV: lines end in different ways (CRLF and LF), or text follows a closing quote"
    if "Maximum line size" in message:
        return f"{place}: longer than 2,000,000 bytes; check for a double quote that is never closed"
    return f"{place}: {_line(message)}"


def _line(message: str) -> str:
    return next((line.strip(" .") for line in message.splitlines() if line.strip(" .")), "no reason given")
