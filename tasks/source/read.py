"""Raw rows of a source: every column, text stripped, texts that mean *no value* as NULL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from config.schema import CsvSource, ParquetSource, Source
from config.settings import Settings
from core.data.delimited import Header, read_header, refuse_repeated_names
from core.data.sql import float_text, literal, quoted, text_or_null
from core.errors import SchemaError, SourceError
from tasks.source.buffer import buffered, source_name
from tasks.source.engine import SECOND_HEADER, reading
from tasks.source.files import (
    SourceFile,
    csv_files,
    opened_paths,
    parquet_files,
    read_footer,
    text_sample,
    without_credentials,
)

if TYPE_CHECKING:
    import duckdb

_FLOATS = ("FLOAT", "DOUBLE")
_FILE = "source_file"
MAX_COMPARED_NAMES = 20
_SMALL = ("TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT", "UINTEGER")


def shown_source(source: Source) -> str:
    """Return a source's name for messages: a path, an address without credentials, or a data set's name."""
    return without_credentials(source.uri) if isinstance(source, CsvSource | ParquetSource) else source_name(source)


def raw_rows(
    connection: duckdb.DuckDBPyConnection, source: Source, settings: Settings, work: Path
) -> duckdb.DuckDBPyRelation:
    """Return the rows of a source with all its columns, in the source's order; names, footers and bytes are read now.

    From CSV, every column is text; other sources keep their types, and columns of bytes that are all UTF-8 are text.
    Text is stripped, ``source.missing`` and NaN become NULL. Rows must be consumed within
    :func:`tasks.source.engine.reading`, which converts the engine's errors.

    Parameters
    ----------
    connection
        From :func:`tasks.source.engine.ingestion_engine`.
    work
        Folder of this run; sources that are not local files are copied into it. It must outlive the relation.

    Raises
    ------
    SourceError
        There is no such file, it is not readable, or it has no rows.
    SchemaError
        Column names are repeated or differ between files.
    SourceTooLargeError
        The source has more rows than ``settings.max_rows``.
    """
    return rows_of_files(connection, source, source_files(source, settings, work))


def source_files(source: Source, settings: Settings, work: Path) -> list[SourceFile]:
    """Return the local files that hold a source's rows, at least one: its own, or copies under ``work``."""
    with reading(shown_source(source)):
        if isinstance(source, CsvSource):
            return csv_files(source, settings, work)
        if isinstance(source, ParquetSource):
            return parquet_files(source, settings, work)
        files = buffered(source, settings, work)
        if not files:
            raise SourceError(f"{source_name(source)} has no rows; at least one is needed")
        return files


def rows_of_files(
    connection: duckdb.DuckDBPyConnection, source: Source, files: Sequence[SourceFile]
) -> duckdb.DuckDBPyRelation:
    """Return the rows of files of a source as :func:`raw_rows` does.

    Parameters
    ----------
    connection
        From :func:`tasks.source.engine.ingestion_engine`.
    source
        The source that the files belong to.
    files
        At least one file from :func:`source_files`.
    """
    with reading(shown_source(source)):
        if isinstance(source, CsvSource):
            return _csv_rows(connection, files, source)
        return _parquet_rows(connection, files, source.missing)


def declared_categories(source: Source, settings: Settings, work: Path) -> frozenset[str]:
    """Return the columns of numbers that a Parquet source declares to be categories, such as pandas' categoricals.

    Parameters
    ----------
    source
        A source whose rows :func:`raw_rows` has opened.
    settings
        Settings of the project.
    work
        Folder of this run, with the copies of remote files.
    """
    if not isinstance(source, ParquetSource):
        return frozenset()
    files = opened_paths(source, settings, work)
    return frozenset[str]().union(*(read_footer(path, str(path)).categories for path in files))


def _csv_rows(
    connection: duckdb.DuckDBPyConnection, files: Sequence[SourceFile], source: CsvSource
) -> duckdb.DuckDBPyRelation:
    headers = [read_header(text_sample(file), file.shown, source.delimiter) for file in files]
    refuse_other_columns([header.names for header in headers], files)
    names = headers[0].names
    runs = groupby(zip(headers, files, strict=True), key=lambda pair: pair[0])
    selects = [_csv_select(header, [file.path for _, file in run], names, source) for header, run in runs]
    return connection.sql(" UNION ALL ".join(selects))


def _csv_select(header: Header, paths: Sequence[Path], names: Sequence[str], source: CsvSource) -> str:
    # With generated names, because the engine silently renames some columns.
    columns = ", ".join(f"'c{position}': 'VARCHAR'" for position in range(len(header.names)))
    cells = ", ".join(
        f"{text_or_null(f'c{header.names.index(name)}', source.missing)} AS {quoted(name)}" for name in names
    )
    return (
        f"SELECT {cells} FROM read_csv({_path_list(paths)}, columns = {{{columns}}}, auto_detect = false, "  # noqa: S608
        f"header = true, delim = {literal(header.delimiter)}, quote = '\"', escape = '\"', strict_mode = true, "
        f"filename = '{_FILE}'){_no_second_header(header)}"
    )


def _no_second_header(header: Header) -> str:
    """Return SQL that stops the query at a row that repeats the column names, as files have that were joined."""
    given = [(place, name.strip()) for place, name in enumerate(header.names) if name != f"unnamed_{place + 1}"]
    named = given[:MAX_COMPARED_NAMES]
    if len(named) < 2:
        return ""
    same = " AND ".join(f"trim(c{place}) = {literal(name)}" for place, name in named)
    return f" WHERE CASE WHEN {same} THEN error({literal(SECOND_HEADER)} || {_FILE}) ELSE true END"


def _parquet_rows(
    connection: duckdb.DuckDBPyConnection, files: Sequence[SourceFile], missing: Iterable[str]
) -> duckdb.DuckDBPyRelation:
    names = [read_footer(file.path, file.shown).names for file in files]
    for file, found in zip(files, names, strict=True):
        refuse_repeated_names(found, file.shown)
    refuse_other_columns(names, files)
    rows = _joined(connection, [file.path for file in files])
    texts = _texts_in_bytes(rows)
    cells = (
        parquet_cell(name, "TEXT" if name in texts else str(kind), missing)
        for name, kind in zip(rows.columns, rows.types, strict=True)
    )
    return rows.project(", ".join(cells))


def _joined(connection: duckdb.DuckDBPyConnection, paths: Sequence[Path]) -> duckdb.DuckDBPyRelation:
    """Return the rows of all files; a column is text where no common type of numbers can hold its values.

    A file with an empty cell may have floats where another has whole numbers: the engine would take floats for both,
    and round those of 2^53 or more.
    """
    union = f"read_parquet({_path_list(paths)}, union_by_name = true, hive_partitioning = false)"
    rows = connection.sql(f"SELECT * FROM {union}")  # noqa: S608 - literals
    numbers = {name for name, kind in zip(rows.columns, map(str, rows.types), strict=True) if _may_round(kind)}
    if len(paths) < 2 or not numbers:
        return rows
    types = [_number_types(connection, path) for path in paths]
    mixed = [
        name
        for name in rows.columns
        if name in numbers and _are_mixed({found[name] for found in types if found.get(name, "NULL") != "NULL"})
    ]
    if not mixed:
        return rows
    selects = (_with_texts(path, mixed, found) for path, found in zip(paths, types, strict=True))
    return connection.sql(" UNION ALL BY NAME ".join(selects)).project(", ".join(map(quoted, rows.columns)))


def _may_round(kind: str) -> bool:
    return kind in _FLOATS or kind.startswith("DECIMAL")


def _number_types(connection: duckdb.DuckDBPyConnection, path: Path) -> dict[str, str]:
    rows = connection.sql(f"SELECT * FROM read_parquet({_path_list([path])}, hive_partitioning = false)")  # noqa: S608 - literals
    return dict(zip(rows.columns, (str(kind).strip('"') for kind in rows.types), strict=True))


def _are_mixed(kinds: set[str]) -> bool:
    """Return whether a common type would round: 32-bit integers are exact as doubles, but not as floats."""
    if len({kind for kind in kinds if kind.startswith("DECIMAL")}) > 1:
        return True
    wide = {kind for kind in kinds if kind not in _FLOATS and (kind not in _SMALL or "DOUBLE" not in kinds)}
    return bool(wide) and bool(kinds.intersection(_FLOATS))


def _with_texts(path: Path, names: Iterable[str], types: Mapping[str, str]) -> str:
    texts = ", ".join(f"{_as_text(quoted(name), types[name])} AS {quoted(name)}" for name in names)
    return f"SELECT * REPLACE ({texts}) FROM read_parquet({_path_list([path])}, hive_partitioning = false)"  # noqa: S608 - literals


def _as_text(column: str, kind: str) -> str:
    if kind not in _FLOATS:
        return f"{column}::VARCHAR"
    number = f"{column}::DOUBLE"
    return f"CASE WHEN NOT isnan({column}) THEN {float_text(number)} END"


def _texts_in_bytes(rows: duckdb.DuckDBPyRelation) -> frozenset[str]:
    """Return the columns of bytes whose every value is UTF-8 text: some writers do not mark text as such.

    The footer cannot tell them from images and serialised objects, so these columns are read once more.
    """
    names = [name for name, kind in zip(rows.columns, rows.types, strict=True) if str(kind) == "BLOB"]
    if not names:
        return frozenset()
    decoded = (f"TRY(decode({quoted(name)}))" for name in names)
    is_text = (
        f"coalesce(bool_and(coalesce(NOT contains({text}, chr(0)), false)) FILTER ({quoted(name)} IS NOT NULL), true)"
        for name, text in zip(names, decoded, strict=True)
    )
    (found, *_) = rows.aggregate(", ".join(is_text)).fetchall()
    return frozenset(name for name, text in zip(names, found, strict=True) if text)


def parquet_cell(name: str, kind: str, missing: Iterable[str]) -> str:
    """Build an expression: a cell of a typed source, NULL if it has no value.

    Parameters
    ----------
    name
        Name of the column.
    kind
        Its DuckDB type; ``TEXT`` for bytes that are text.
    missing
        Texts that mean no value.
    """
    column = quoted(name)
    if kind == "TEXT":
        return f"{text_or_null(f'decode({column})', missing)} AS {column}"
    if kind == "VARCHAR" or kind.startswith("ENUM"):
        return f"{text_or_null(f'{column}::VARCHAR', missing)} AS {column}"
    # By a function: a comparison with NaN is dropped where the file's statistics, which leave NaN out, exclude it.
    return f"CASE WHEN NOT isnan({column}) THEN {column} END AS {column}" if kind in _FLOATS else column


def refuse_other_columns(names: Sequence[Sequence[str]], files: Sequence[SourceFile]) -> None:
    """Refuse files of one source that do not have the same columns (their order may differ).

    Raises
    ------
    SchemaError
        The columns differ; the message names the first such file and its differences.
    """
    expected = set(names[0])
    for found, file in zip(names, files, strict=True):
        lacks = sorted(expected.difference(found))
        more = sorted(set(found) - expected)
        if lacks or more:
            raise SchemaError(
                f"{file.shown} has other columns than {files[0].shown}: it lacks {lacks[:6]} and adds {more[:6]}; "
                "all files of a source need the same columns"
            )


def _path_list(paths: Iterable[Path]) -> str:
    # The engine would interpret brackets and asterisks in a file's name as a glob.
    escaped = ("".join(f"[{letter}]" if letter in "*?[" else letter for letter in str(path)) for path in paths)
    return f"[{', '.join(map(literal, escaped))}]"
