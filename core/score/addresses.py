"""What the input and the output of a batch scoring may be, by the text of their addresses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from core.errors import ConfigError

InputKind = Literal["csv", "parquet", "sql"]
OutputKind = Literal["csv", "parquet", "folder", "sql"]

FOUND = "sql:VARIABLE/table, where VARIABLE is the environment variable that holds the SQLAlchemy address"
_SQL = re.compile(r"sql:([A-Z][A-Z0-9_]*)/((?:[A-Za-z_]\w*\.)?[A-Za-z_]\w*)")
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip")
_TEXTS = (".csv", ".tsv", ".txt")


@dataclass(frozen=True)
class SqlTable:
    """A table of a database.

    Parameters
    ----------
    variable
        Environment variable that holds the SQLAlchemy address, which may contain a password.
    schema, name
        Name of the table, and of its schema; None for the default one.
    """

    variable: str
    schema: str | None
    name: str


def sql_table(address: str) -> SqlTable | None:
    """Return the table that an address names; None if it is no address of a table.

    Raises
    ------
    ConfigError
        It begins like one and is none.

    Examples
    --------
    >>> sql_table("sql:WAREHOUSE/public.customers")
    SqlTable(variable='WAREHOUSE', schema='public', name='customers')
    """
    if not address.startswith("sql:"):
        return None
    found = _SQL.fullmatch(address)
    if found is None:
        raise ConfigError(f"expected {FOUND}, found {address!r}")
    schema, _, name = found[2].rpartition(".")
    return SqlTable(found[1], schema or None, name)


def input_kind(address: str) -> InputKind:
    """Return what an input is: by its ending CSV, else Parquet (also a folder and a glob without an ending).

    Raises
    ------
    ConfigError
        It is empty, or begins like the address of a table and is none.

    Examples
    --------
    >>> input_kind("https://host/rows.csv?key=1")
    'csv'
    >>> input_kind("rows.csv.gz"), input_kind("s3://bucket/rows/*.parquet"), input_kind("rows/"), input_kind("sql:DB/t")
    ('csv', 'parquet', 'parquet', 'sql')
    """
    if not address.strip():
        raise ConfigError("expected the address of an input, found an empty text; correct --input")
    if sql_table(address) is not None:
        return "sql"
    name = re.split(r"[?#]", address)[0] if "://" in address else address
    name = name.split("::")[0]
    for suffix in _COMPRESSED:
        name = name.removesuffix(suffix)
    return "csv" if name.lower().endswith(_TEXTS) else "parquet"


def output_kind(address: str) -> OutputKind:
    """Return what an output is: by its ending a CSV or Parquet file, without an ending a folder of Parquet files.

    Raises
    ------
    ConfigError
        It has another ending.

    Examples
    --------
    >>> output_kind("scores.csv"), output_kind("scores.parquet"), output_kind("scores"), output_kind("sql:DB/scores")
    ('csv', 'parquet', 'folder', 'sql')
    """
    if sql_table(address) is not None:
        return "sql"
    suffix = Path(address.rstrip("/")).suffix.lower()
    if suffix == ".csv":
        return "csv"
    if suffix == ".parquet":
        return "parquet"
    if suffix and not address.endswith("/"):
        raise ConfigError(f"expected an output that ends in .parquet or .csv, a folder, or {FOUND}; found {address!r}")
    return "folder"


def set_aside_path(output: Path, kind: OutputKind) -> Path:
    """Return the file beside an output for the rows that were set aside.

    Parameters
    ----------
    output, kind
        Path and kind of the output.

    Examples
    --------
    >>> set_aside_path(Path("out/scores.csv"), "csv").name, set_aside_path(Path("scores"), "folder").name
    ('scores.set-aside.csv', 'scores.set-aside.parquet')
    """
    return output.with_name(f"{output.stem if kind in ('csv', 'parquet') else output.name}.set-aside{suffix_of(kind)}")


def is_match(path: str, pattern: str) -> bool:
    """Return whether a path fits a pattern, in which ``**`` stands for any number of folders.

    Parameters
    ----------
    path, pattern
        Whole paths, separated by slashes.

    Examples
    --------
    >>> is_match("/in/2026/a.csv", "/in/**/*.csv"), is_match("/in/a.csv", "/in/*.parquet"), is_match("/a", "/**")
    (True, False, True)
    """
    return _fits(path.split("/"), pattern.split("/"))


def _fits(parts: list[str], patterns: list[str]) -> bool:
    if not patterns:
        return not parts
    if patterns[0] == "**":
        return any(_fits(parts[start:], patterns[1:]) for start in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], patterns[0]) and _fits(parts[1:], patterns[1:])


def suffix_of(kind: OutputKind) -> str:
    """Return the ending of the files of a kind of output."""
    return ".csv" if kind == "csv" else ".parquet"
