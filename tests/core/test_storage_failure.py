"""Which errors mean that a disk failed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from core.errors import ConfigError, SourceError, StorageError
from core.storage_failure import FAILURES, REMEDY, storage_errors, storage_failure, write_errors


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


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        OSError("Error writing bytes to file. Detail: [errno 28] No space left on device"),
        RuntimeError("Out of Memory Error: this limit is set by max_temp_directory_size"),
    ],
)
def test_what_was_written_is_named_where_the_error_does_not(error: Exception) -> None:
    """A failed write of an open file has no name in the system's error; a path that is in the text is not repeated."""
    path = Path("/srv/var/work/rows.parquet")
    with pytest.raises(StorageError, match=rf"^{path}: \S") as caught, storage_errors(path):
        raise error
    assert str(caught.value).endswith(REMEDY)
    named = OSError(f"Could not write {path}: No space left on device")
    assert str(storage_failure(named, path)).count(str(path)) == 1


@pytest.mark.parametrize("number", [*FAILURES, errno.EACCES, errno.EPERM, errno.ENOTDIR])
def test_every_failed_write_names_its_path(number: int) -> None:
    """Missing permissions too, with another remedy than that of a disk."""
    with pytest.raises(StorageError, match=r"^rows\.parquet") as caught, write_errors(Path("rows.parquet")):
        raise OSError(number, os.strerror(number))
    assert ("Free space" in str(caught.value)) == (number in FAILURES)


def test_an_own_error_keeps_its_type() -> None:
    """A source whose disk fails is a source that cannot be read."""
    with pytest.raises(SourceError), storage_errors():
        raise SourceError("rows.csv cannot be read") from OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_circle_of_causes_ends() -> None:
    """Libraries that raise a stored error again make such."""
    one, other = RuntimeError("one"), RuntimeError("other")
    one.__cause__, other.__cause__ = other, one
    assert storage_failure(one) is None
