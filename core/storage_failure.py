"""Which errors of any library mean that a disk failed, and the error that we raise for them."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import PerennialError, StorageError

FAILURES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
"""Numbers of the operating system's errors that a person repairs at the disk, wherever they occur."""

TEXTS = (
    *map(os.strerror, FAILURES),
    # SQLite's, which keeps the operating system's to itself.
    "database or disk is full",
    "disk I/O error",
    "attempt to write a readonly database",
    "unable to open database file",
    # DuckDB's, where its spilled rows reach the bound that it computes from the free space.
    "max_temp_directory_size",
)
"""Texts of the same errors: libraries wrap them in errors of their own."""

MAX_TEXT = 300

REMEDY = (
    "Free space, or repair the disk or mount it writable, then run the same command again; it replaces what was left "
    "incomplete"
)


@contextmanager
def storage_errors(path: Path | None = None) -> Iterator[None]:
    """Turn an error that a failed disk caused into a :class:`StorageError`; other errors are not changed.

    Parameters
    ----------
    path
        What is written, for errors that do not name it.

    Raises
    ------
    StorageError
        The disk is full, over its quota, read-only or broken.
    """
    try:
        yield
    except Exception as error:
        failure = storage_failure(error, path)
        if failure is None:
            raise
        raise failure from error


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn every error of the operating system while a path is written into a :class:`StorageError` that names it.

    Raises
    ------
    StorageError
        The disk failed, or this user may not write there.
    """
    try:
        yield
    except OSError as error:
        failure = storage_failure(error, path)
        reason = f"{path} cannot be written: {error.strerror or error}; correct owner and permissions, then run again"
        raise failure or StorageError(reason) from error


def storage_failure(error: BaseException, path: Path | None = None) -> StorageError | None:
    """Return the storage error that describes an unexpected error; None if no disk caused it.

    Parameters
    ----------
    error
        The error, with the errors that it was raised for.
    path
        What was written, for an error that does not name it.

    Examples
    --------
    >>> print(storage_failure(OSError(28, "No space left on device"), Path("rows.parquet")))
    rows.parquet: No space left on device. Free space, or repair the disk or mount it writable, then run the same \
command again; it replaces what was left incomplete
    >>> storage_failure(KeyError("rows")) is None
    True
    """
    if isinstance(error, PerennialError):
        return None
    cause = next((one for one in _chain(error) if _is_of_a_disk(one)), None)
    if cause is None:
        return None
    return StorageError(f"{_said(cause, path)}. {REMEDY}")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Return an error and the errors that it was raised for."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__  # type: ignore[assignment]


def _is_of_a_disk(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in FAILURES
    return not isinstance(error, PerennialError) and any(text in str(error) for text in TEXTS)


def _said(error: BaseException, path: Path | None) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    lines = [line.strip(" .") for line in str(error).splitlines()]
    said = next((line for line in lines if any(text in line for text in TEXTS)), lines[0])[:MAX_TEXT]
    if path is None or str(path) in said:
        return said
    return f"{path}: {error.strerror if isinstance(error, OSError) and error.strerror else said}"
