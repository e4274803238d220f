"""Which files an address names, and what messages call them."""

from __future__ import annotations

import codecs
import doctest
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tasks.source.files
from config.schema import CsvSource, ParquetSource
from config.settings import Settings
from core.errors import SourceError
from tasks.source.files import (
    SourceFile,
    csv_files,
    local_paths,
    parquet_files,
    read_footer,
    text_sample,
    without_credentials,
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return settings of a project whose folder has a name with signs of a pattern."""
    root = tmp_path / "a[1]*b"
    root.mkdir()
    return Settings(root=root, var=tmp_path / "var", max_rows=3)


def test_the_examples_hold() -> None:
    """The documented examples run."""
    assert doctest.testmod(tasks.source.files).failed == 0


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("rows/a@b?.csv", "rows/a@b?.csv"),
        ("s3://key:secret@bucket/a@b.csv", "s3://bucket/a@b.csv"),
        ("https://host/a.csv?sig=secret#secret", "https://host/a.csv"),
        ("https://ada:s@secret@host:8080/a.csv", "https://host:8080/a.csv"),
        ("simplecache::https://ada:secret@host/a.csv", "simplecache::https://host/a.csv"),
        ("zip://*.csv::s3://key:secret@bucket/b.zip?sig=secret", "zip://*.csv::s3://bucket/b.zip"),
        ("memory://[ab].csv", "memory://[ab].csv"),
    ],
)
def test_an_address_is_shown_without_its_secrets(uri: str, shown: str) -> None:
    """In every part of a chain; a path on this machine has none."""
    assert without_credentials(uri) == shown


@contextmanager
def _answering(status: int) -> Iterator[int]:
    content = b"a\n\xff\n"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize("status", [200, 403, 404, 500])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_server_is_named_without_secrets(settings: Settings, kind: str, status: int) -> None:
    """Whether it refuses or its file is none; clients quote the whole address in their errors."""
    with _answering(status) as port:
        uri = f"http://ada:secret@127.0.0.1:{port}/rows.{kind}?token=secret"
        csv, parquet = CsvSource(kind="csv", uri=uri), ParquetSource(kind="parquet", uri=uri)
        with pytest.raises(SourceError, match=rf"http://127\.0\.0\.1:{port}/rows\.{kind}") as caught:
            csv_files(csv, settings, settings.var) if kind == "csv" else parquet_files(parquet, settings, settings.var)
    assert "secret" not in str(caught.value)


def test_a_pattern_is_one_below_the_project_only(settings: Settings) -> None:
    """Brackets and stars in the project's own path are letters."""
    for name in ("b.csv", "a.csv", "a.txt", "deep/c.csv"):
        (settings.root / name).parent.mkdir(exist_ok=True)
        (settings.root / name).touch()
    assert [path.name for path in local_paths("*.csv", settings.root, ".csv")] == ["a.csv", "b.csv"]
    assert [path.name for path in local_paths("**/*.csv", settings.root, ".csv")] == ["a.csv", "b.csv", "c.csv"]
    assert local_paths("a.csv", settings.root, ".csv") == [settings.root / "a.csv"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(settings: Settings) -> None:
    """Its name is tried before it is taken for one."""
    (settings.root / "x[1].csv").touch()
    (settings.root / "x1.csv").touch()
    assert [path.name for path in local_paths("x[1].csv", settings.root, ".csv")] == ["x[1].csv"]


def test_a_folder_is_its_data_without_what_engines_leave(settings: Settings) -> None:
    """Hidden files, marks and folders that begin with an underscore are no data; compressed ones are."""
    folder = settings.root / "rows"
    for name in ("b.csv", "a.csv.gz", "_SUCCESS", ".a.csv.crc", "_temporary/c.csv", "d.csvx", "e.parquet"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    assert [path.name for path in local_paths("rows", settings.root, ".csv")] == ["a.csv.gz", "b.csv"]


def test_no_file_says_where_it_was_looked_for(settings: Settings) -> None:
    """With the folder that the path is relative to."""
    with pytest.raises(SourceError, match=r"no file .*/none\.csv; 'none\.csv' is relative to"):
        local_paths("none.csv", settings.root, ".csv")


def test_plain_utf8_is_read_where_it_lies(settings: Settings) -> None:
    """Every other encoding is copied; the original stays."""
    (settings.root / "a.csv").write_bytes("a\nZürich\n".encode("latin-1"))
    (plain,) = csv_files(CsvSource(kind="csv", uri="a.csv"), settings, settings.var)
    assert plain.path == settings.root / "a.csv"
    (copy,) = csv_files(CsvSource(kind="csv", uri="a.csv", encoding="latin-1"), settings, settings.var)
    assert (copy.shown, copy.path.read_text(encoding="utf-8")) == (str(plain.path), "a\nZürich\n")
    assert settings.var in copy.path.parents


def test_a_sample_ends_where_a_letter_may_be_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a letter at the sample's end is no fault; half a letter at the file's end is one."""
    monkeypatch.setattr(tasks.source.files, "SAMPLE_BYTES", 4)
    path = tmp_path / "a.csv"
    path.write_bytes("abcü".encode())
    assert text_sample(SourceFile(path, "a")) == "abc"
    path.write_bytes("abü".encode()[:3])
    with pytest.raises(SourceError, match="a, line 1: not utf-8 text"):
        text_sample(SourceFile(path, "a"))
    path.write_bytes(codecs.BOM_UTF8)
    assert text_sample(SourceFile(path, "a")) == ""


def test_a_cap_is_the_sum_over_all_files(settings: Settings) -> None:
    """Three rows are three rows, in one file or two; the fourth is too many."""
    pq.write_table(pa.table({"a": [1, 2, 3]}), settings.root / "a.parquet")
    source = ParquetSource(kind="parquet", uri="*.parquet")
    assert [file.path.name for file in parquet_files(source, settings, settings.var)] == ["a.parquet"]
    pq.write_table(pa.table({"a": [4]}), settings.root / "b.parquet")
    with pytest.raises(SourceError, match=r"\*\.parquet has 4 rows, the limit is 3"):
        parquet_files(source, settings, settings.var)


def test_a_footer_is_what_the_file_says(tmp_path: Path) -> None:
    """Rows and names; a file that is none is named as people call it."""
    pq.write_table(pa.table({"b": [1, 2], "a": ["x", None]}), tmp_path / "a.parquet")
    footer = read_footer(tmp_path / "a.parquet", "a")
    assert (footer.n_rows, footer.names) == (2, ("b", "a"))
    (tmp_path / "a.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-2])
    with pytest.raises(SourceError, match="the rows of May is truncated or not a Parquet file"):
        read_footer(tmp_path / "a.parquet", "the rows of May")


def test_a_footer_names_categories_of_numbers(tmp_path: Path) -> None:
    """Arrow's schema declares them; a schema that cannot be decoded, or none, declares none."""
    table = pa.table({"store": pa.array([3, 1]).dictionary_encode(), "word": pa.array(["a", "b"]).dictionary_encode()})
    path = tmp_path / "rows.parquet"
    pq.write_table(table, path)
    assert read_footer(path, "rows.parquet").categories == {"store"}
    pq.write_table(table, path, store_schema=False)
    assert read_footer(path, "rows.parquet").categories == frozenset()


@pytest.mark.parametrize("content", [b"A", b"AAAA", b""])
def test_a_damaged_hint_declares_nothing(content: bytes) -> None:
    """Neither wrong base64 nor a wrong schema is an error."""
    assert tasks.source.files._categories({b"ARROW:schema": content}) == frozenset()
