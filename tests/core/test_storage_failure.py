"""Which errors mean that a disk failed."""

from __future__ import annotations

import errno
import os

import pytest

from core.errors import ConfigError, SourceError, StorageError
from core.storage_failure import FAILURES, storage_errors, storage_failure


@pytest.mark.parametrize("number", FAILURES)
@pytest.mark.parametrize("name", [None, "rows.parquet", b"rows.parquet"])
def test_an_error_of_a_disk_is_a_storage_error(number: int, name: str | bytes | None) -> None:
    """Whether or not it names the file: a failed write does not."""
    error = OSError(number, os.strerror(number), name) if name else OSError(number, os.strerror(number))
    failure = storage_failure(error)
    assert failure is not None
    assert os.strerror(number) in str(failure)
    assert ("rows.parquet: " in str(failure)) == (name is not None)


@pytest.mark.parametrize(
    "error",
    [
        OSError("IO Error: Could not write file 'rows': No space left on device\nmore"),
        RuntimeError("(sqlite3.OperationalError) database or disk is full"),
        RuntimeError("(sqlite3.OperationalError) disk I/O error\n[SQL: INSERT INTO runs]"),
        ValueError("attempt to write a readonly database"),
    ],
)
def test_an_error_that_a_library_words_anew_is_known_by_its_text(error: Exception) -> None:
    """The storage error quotes the line that names the cause."""
    assert str(storage_failure(error)).startswith(str(error).splitlines()[0])


def test_an_error_that_was_raised_for_one_of_a_disk_is_a_storage_error() -> None:
    """Also if the library does not quote it."""
    error = RuntimeError("the page failed")
    error.__cause__ = OSError(errno.EROFS, os.strerror(errno.EROFS), "index.html")
    with pytest.raises(StorageError, match=r"^index\.html: Read-only file system\. ") as caught, storage_errors():
        raise error
    assert isinstance(caught.value.__cause__, RuntimeError)


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file or directory", "rows"),
        PermissionError(errno.EACCES, "Permission denied", "rows"),
        ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
        # The number decides where there is one: this is a file of that name.
        FileNotFoundError(errno.ENOENT, "No such file or directory", "No space left on device"),
        ZeroDivisionError("division by zero"),
        ConfigError("the suite says: disk I/O error"),
    ],
)
def test_another_error_is_not_changed(error: Exception) -> None:
    """Nor an error that has its type already."""
    assert storage_failure(error) is None
    with pytest.raises(type(error)) as caught, storage_errors():
        raise error
    assert caught.value is error


def test_an_own_error_keeps_its_type() -> None:
    """A source whose disk fails is a source that cannot be read."""
    with pytest.raises(SourceError), storage_errors():
        raise SourceError("rows.csv cannot be read") from OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_circle_of_causes_ends() -> None:
    """Libraries that raise a stored error again make such."""
    one, other = RuntimeError("one"), RuntimeError("other")
    one.__cause__, other.__cause__ = other, one
    assert storage_failure(one) is None
