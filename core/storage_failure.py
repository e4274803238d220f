"""Which errors of any library mean that a disk failed, and the error that we raise for them."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

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
)
"""Texts of the same errors: libraries wrap them in errors of their own."""

MAX_TEXT = 300


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn an error that a failed disk caused into a :class:`StorageError`; other errors are not changed.

    Raises
    ------
    StorageError
        The disk is full, over its quota, read-only or broken.
    """
    try:
        yield
    except Exception as error:
        failure = storage_failure(error)
        if failure is None:
            raise
        raise failure from error


def storage_failure(error: BaseException) -> StorageError | None:
    """Return the storage error that describes an unexpected error; None if no disk caused it.

    Examples
    --------
    >>> print(storage_failure(OSError(28, "No space left on device", "rows.parquet")))
    rows.parquet: No space left on device. Free space, or repair the disk or mount it writable, then run the same \
command again; no partial file was left
    >>> storage_failure(KeyError("rows")) is None
    True
    """
    if isinstance(error, PerennialError):
        return None
    cause = next((one for one in _chain(error) if _is_of_a_disk(one)), None)
    if cause is None:
        return None
    return StorageError(
        f"{_said(cause)}. Free space, or repair the disk or mount it writable, then run the same command again; "
        "no partial file was left"
    )


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


def _said(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    lines = [line.strip(" .") for line in str(error).splitlines()]
    return next((line for line in lines if any(text in line for text in TEXTS)), lines[0])[:MAX_TEXT]
