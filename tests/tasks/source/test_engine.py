"""The ingestion engine, and its failures in our words."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest

from config.settings import Settings
from core.errors import SourceError, StorageError
from tasks.source.engine import ingestion_engine, prepare_for_width, reading, removed_after_error


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return settings with little memory."""
    return Settings(root=tmp_path, var=tmp_path, memory_limit_mb=256)


def test_the_engine_keeps_to_its_bounds(settings: Settings) -> None:
    """Memory, time zone, and no extension that would be fetched from the network."""
    with ingestion_engine(settings, settings.var) as connection:
        assert connection.sql("SELECT current_setting('memory_limit')").fetchall() == [("256.0 MiB",)]
        assert connection.sql("SELECT current_setting('TimeZone')").fetchall() == [("UTC",)]
        with pytest.raises(SourceError, match="rows cannot be read"), reading("rows"):
            connection.sql("SELECT * FROM 'https://127.0.0.1:1/a.parquet'").fetchall()


def test_too_little_memory_says_which_setting(settings: Settings) -> None:
    """What cannot be spilt is not read again and again."""
    says = "rows needs more memory than allowed; raise PERENNIAL_MEMORY_LIMIT_MB"
    with (
        ingestion_engine(settings, settings.var) as connection,
        pytest.raises(StorageError, match=says),
        reading("rows"),
    ):
        connection.sql("SELECT list(range) FROM range(50_000_000)").fetchall()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a,b\n1,2\n3\n", r"rows\.csv, line 3: expected 2 values as in the first line, found 1; correct the line"),
        ('a,b\n1,"2\n', r"rows\.csv, line 2: a value starts with a double quote that is never closed"),
        ("a,b\n1,\xff\n", r"rows\.csv, line 2: not utf-8 text; set source\.encoding"),
    ],
)
def test_a_fault_of_a_text_file_has_its_line(settings: Settings, content: str, says: str) -> None:
    """And what to do about it, in one line."""
    path = settings.root / "rows.csv"
    path.write_bytes(content.encode("latin-1"))
    columns = "{'a': 'VARCHAR', 'b': 'VARCHAR'}"
    text = (
        f"SELECT * FROM read_csv('{path}', columns = {columns}, auto_detect = false, header = true, delim = ',', "  # noqa: S608 - a path of the test
        "quote = '\"', escape = '\"', strict_mode = true)"
    )
    with (
        ingestion_engine(settings, settings.var) as connection,
        pytest.raises(SourceError, match=says) as caught,
        reading("the source"),
    ):
        connection.sql(text).fetchall()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "says",
    [*map(os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)), "max_temp_directory_size"],
)
def test_a_disk_that_fails_the_engine_is_a_matter_of_storage(says: str) -> None:
    """The engine meets it while it reads rows for the writer, and tells it in its own words."""
    with pytest.raises(StorageError, match=re.escape(says)), reading("rows"):
        raise OSError(f"IO Error: Could not write file: {says}")


def test_other_failures_pass_as_they_are() -> None:
    """Only a failed disk is known by its number; our own errors are not wrapped again."""
    with pytest.raises(SourceError, match=r"^mine$"), reading("rows"):
        raise SourceError("mine")


def test_an_error_without_words_has_a_message() -> None:
    """The message is never an empty line."""
    with pytest.raises(SourceError, match="rows cannot be read: no reason given"), reading("rows"):
        raise OSError


def test_a_very_wide_source_is_cast_on_one_thread(settings: Settings) -> None:
    """Casting takes memory for each thread; a table of a usual width keeps all threads and the usual plans."""
    with ingestion_engine(settings, settings.var) as connection:
        connection.execute("SET threads = 2")
        prepare_for_width(connection, 100, cells_are_cast=True)
        ask = "SELECT current_setting('threads'), current_setting('disabled_optimizers')"
        assert connection.execute(ask).fetchall() == [(2, "")]
        prepare_for_width(connection, 5_000, cells_are_cast=True)
        ((threads, disabled),) = connection.execute(ask).fetchall()
    assert threads == 1
    assert "common_subexpressions" in disabled


@pytest.mark.parametrize("removable", [True, False])
def test_temporary_files_leave_after_an_error_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, removable: bool
) -> None:
    """All are removed after an error, also if one is gone, and a failed removal does not hide the error."""
    paths = [tmp_path / name for name in ("one.tmp", "gone.tmp", "two.tmp")]
    paths[0].write_text("1")
    with removed_after_error(*paths):
        paths[2].write_text("2")
    assert paths[0].is_file()
    assert paths[2].is_file()
    if not removable:
        monkeypatch.setattr("pathlib.Path.unlink", lambda *_, **__: removed_from_a_broken_disk())
    with pytest.raises(ValueError, match="first"), removed_after_error(*paths):
        raise ValueError("first")
    assert [path.exists() for path in paths] == ([False] * 3 if removable else [True, False, True])


def removed_from_a_broken_disk() -> None:
    """Fail as a removal on a read-only disk does."""
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))
