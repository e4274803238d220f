"""What a command prints: tables, JSON documents, the crash log."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

_IN_NUMBERS = str.maketrans("", "", ",.+-")


def short_path(path: Any) -> str:
    """Return the path relative to the working directory if it lies below it."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Align columns: text to the left, numbers to the right."""
    if not rows:
        return []
    widths = [max(len(line[i]) for line in [header, *rows]) for i in range(len(header))]
    right = [all(_looks_numeric(row[i]) for row in rows) for i in range(len(header))]
    lines = []
    for line in [header, *rows]:
        cells = [
            cell.rjust(width) if flush_right else cell.ljust(width)
            for cell, width, flush_right in zip(line, widths, right, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def utc_text(moment: datetime) -> str:
    """Return a moment in UTC, to the second."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def record_crash(error: BaseException) -> Path | None:
    """Append the traceback of an unexpected error to the crash log; return its path, None if it cannot be written.

    Where the project's folder cannot be written either, the traceback goes to a private temporary file.
    """
    from config.settings import load_settings
    from config.var_folder import make_var
    from core.errors import ConfigError

    with suppress(OSError, ConfigError):
        settings = load_settings()
        make_var(settings)
        return _appended(settings.var / "log" / "crash.log", error)
    with suppress(OSError):
        number, name = tempfile.mkstemp(prefix="perennial-crash-", suffix=".log")
        os.close(number)
        return _appended(Path(name), error)
    return None


def full_disk() -> str:
    """Return what to do if a disk that runs write to is full; empty if none is.

    A full disk can end a run by any error, such as one of the local Prefect server, whose database is on that disk.
    """
    from config.settings import load_settings
    from core.errors import ConfigError, StorageError
    from tasks.runs.working_folder import check_space

    try:
        check_space(load_settings())
    except StorageError as error:
        return str(error)
    except (OSError, ConfigError):
        return ""
    return ""


def _appended(path: Path, error: BaseException) -> Path:
    from config.private_file import append_privately

    with append_privately(path) as log:
        log.writelines(line.encode(errors="backslashreplace") for line in traceback.format_exception(error))
    return path


def _looks_numeric(cell: str) -> bool:
    return cell.strip("–").translate(_IN_NUMBERS).isdigit() or cell in {"", "–"}


def section(lines: list[str]) -> list[str]:
    """Indent lines and put an empty line before them; return nothing for no lines."""
    return ["", *(f"  {line}" for line in lines)] if lines else []


DECISION_SAYS_NO = 3
"""Exit code of a decision that refuses."""


def flow_run(as_json: bool, meanwhile: Callable[[], object] | None = None) -> Any:
    """Return the context manager around a flow run; progress is shown unless JSON is requested.

    Parameters
    ----------
    as_json
        Whether the result is printed as JSON.
    meanwhile
        Work to do while a server starts.
    """
    from tasks.runs.session import flow_session

    return flow_session(show_progress=not as_json, meanwhile=meanwhile)


def finish(document: Any, lines: list[str], as_json: bool, refused: bool = False) -> None:
    """Print a result; exit with code 3 if it is a decision that refuses."""
    if as_json:
        print_json(document)
    else:
        click.echo("\n".join(lines))
    if refused:
        sys.exit(DECISION_SAYS_NO)


def print_json(document: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))
