"""Files that are no CSV are named as what they are, whatever their name says; CSV is never taken for something else."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import sqlite3
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.signatures import foreign_format

TABLE = pa.table({"a": [1, 2, 3], "b": ["x", "y", "z"]})
RDS = b"X\n\x00\x00\x00\x03\x00\x04\x02\x01\x00\x03\x05\x00\x00\x00\x00\x05UTF-8\x00\x00\x03\x13"


def _database(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (a)")
    connection.commit()
    connection.close()


def _arrays(path: Path, save: Callable[..., object]) -> None:
    with path.open("wb") as stream:
        save(stream, np.ones(3))


def _archive(path: Path, *names: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "content")


def _tar() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("rows.csv"))
    return stream.getvalue()


WRITERS: list[tuple[Callable[[Path], object], str]] = [
    (lambda path: pyarrow.parquet.write_table(TABLE, path), "is a Parquet file"),
    (lambda path: pyarrow.feather.write_feather(TABLE, path), "is an Arrow or Feather file"),
    (lambda path: path.write_bytes(b"FEA1\0\0\0\0\x01"), "is a Feather file"),
    (lambda path: pyarrow.orc.write_table(TABLE, path), "is an ORC file"),
    (lambda path: duckdb.connect(str(path)).execute("CREATE TABLE t (a INT)").close(), "is a DuckDB database"),
    (_database, "is an SQLite database: set source.kind to sql"),
    (lambda path: path.write_bytes(pickle.dumps({"a": [1]})), "is a Python pickle"),
    (lambda path: path.write_bytes(pickle.dumps([1.5], protocol=2)), "is a Python pickle"),
    (lambda path: _arrays(path, np.savez), "is an archive of NumPy arrays"),
    (lambda path: _arrays(path, np.save), "is a NumPy array"),
    (lambda path: _archive(path, "[Content_Types].xml", "xl/workbook.xml"), "is an Excel workbook"),
    (lambda path: _archive(path, "rows.csv"), "is a ZIP archive: let its name end in .zip"),
    (lambda path: path.write_bytes(gzip.compress(b"a,b\n1,2\n")), "is compressed by gzip: let its name end in .gz"),
    (lambda path: path.write_bytes(bz2.compress(b"a,b\n1,2\n")), "is compressed by bzip2"),
    (lambda path: path.write_bytes(lzma.compress(b"a,b\n1,2\n")), "is compressed by xz"),
    (lambda path: path.write_bytes(gzip.compress(RDS)), "is R's own format"),
    (lambda path: path.write_bytes(lzma.compress(b"RDX3\n" + RDS)), "is R's own format"),
    (lambda path: path.write_bytes(RDS), "is R's own format"),
    (lambda path: path.write_bytes(_tar()), "is a tar archive"),
    (lambda path: path.write_bytes(gzip.compress(_tar())), "is a tar archive"),
    (lambda path: path.write_text("% 1. Title\n%\n@RELATION iris\n@ATTRIBUTE a REAL\n@DATA\n5.1\n"), "an ARFF file"),
    (lambda path: path.write_text("<!DOCTYPE html>\n<html><body>log in</body></html>"), "is a web page"),
    (lambda path: path.write_text('<?xml version="1.0"?><rows/>'), "is XML"),
    (lambda path: path.write_text('[\n  {"a": 1, "b": 2}\n]'), "is JSON"),
    (lambda path: path.write_text('{"a": 1, "b": 2}\n{"a": 3, "b": 4}\n'), "is JSON"),
    (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"), "run 'git lfs pull'"),
]


@pytest.mark.parametrize(("write", "says"), WRITERS)
def test_a_file_is_named_as_what_it_is(tmp_path: Path, write: Callable[[Path], object], says: str) -> None:
    """Written by the real programs, under the name of a CSV file."""
    path = tmp_path / "rows.csv"
    write(path)
    assert says in str(foreign_format(path.read_bytes()))


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"a,b\n1,2\n",
        b"ORC,ELF\n1,2\n",
        b"PAR1,PAR2\n1,2\n",
        b"MALLARD,DUCK,GOOSE,SWAN\n1,2,3,4\n",
        b"FEA1,FEA2\n1,2\n",
        b"A\n2\n3\n",
        b"X\n1\n2\n",
        b"BZh9,b\n1,2\n",
        b'"{a}","b"\n1,2\n',
        b'id,"{""a"": 1}"\n1,2\n',
        b"@id,@relation\n1,2\n",
        b"\xff\xfea\x00,\x00b\x00\n\x00",
        b"\xef\xbb\xbfa,b\n",
    ],
)
def test_a_table_of_text_is_not_taken_for_something_else(head: bytes) -> None:
    """Names of columns may begin like a signature."""
    assert foreign_format(head) is None


@given(st.text("abcdefgORCPARXBZ123,;\n\t .\"'", max_size=80))
def test_no_plain_table_is_refused(text: str) -> None:
    """Letters, digits and delimiters never make a signature."""
    assert foreign_format(text.encode()) is None
