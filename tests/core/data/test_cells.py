"""A cell is read from a file by DuckDB and from a request by Python: both give the same value."""

from __future__ import annotations

import doctest
from collections.abc import Iterator
from datetime import datetime

import duckdb
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import core.data.cells
from core.data.cells import category, class_label, missing_texts, moment, text_cell
from core.data.sql import Cast, literal, text_or_null

SPACES = [chr(number) for number in range(1, 0x3001) if chr(number).isspace()]
MISSING = ("", "NA", " n/a ", "?", "-")

words = st.text(st.sampled_from([*"03.-+ abTRUEfalse", "\t", "\r", "\xa0", "\u2028", "é", "N", "A", "?", "/", "n"]))
digits = st.text("0123456789", min_size=1, max_size=5)
moments = st.builds(
    "{}{}{}{}{}{}{}".format,
    st.one_of(st.integers(0, 10_000).map("{:04}".format), digits),
    st.sampled_from("-/ "),
    st.integers(0, 13),
    st.sampled_from("-/"),
    st.integers(0, 32),
    st.one_of(
        st.just(""),
        st.builds("{}{}:{}".format, st.sampled_from(["T", " ", "t", "  "]), st.integers(0, 25), st.integers(0, 61)),
        st.builds("T{:02}:{:02}:{:02}.{}".format, st.integers(0, 24), st.integers(0, 60), st.integers(0, 60), digits),
    ),
    st.sampled_from(["", "Z", "z", " UTC", "+02:00", "-0530", "+15", "+16:00", "+2", " +02:00", "+02:00:30", "-15:59"]),
)


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    """Return an engine that reads times as ingestion does."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def _ingested(engine: duckdb.DuckDBPyConnection, text: str, wanted: str, *, is_label: bool = False) -> object:
    """Read a cell of a CSV file: cleaned, then cast."""
    cast = Cast("cell", "VARCHAR", wanted, is_label=is_label)
    cleaned = text_or_null("given", MISSING)
    value = f"SELECT {cast.value} AS v FROM (SELECT {cleaned} AS cell FROM (SELECT {literal(text)} AS given))"  # noqa: S608 - literals
    fits = cast.fits.replace('"=cell"', "v")
    row = engine.execute(f"SELECT CASE WHEN {fits} THEN v END FROM ({value})").fetchone()  # noqa: S608 - literals
    assert row is not None
    return row[0]


def test_the_examples_hold() -> None:
    """What the docstrings show is what the functions return."""
    assert doctest.testmod(core.data.cells).failed == 0


@pytest.mark.parametrize("space", SPACES, ids=[f"{ord(space):x}" for space in SPACES])
def test_every_white_space_is_trimmed_alike(engine: duckdb.DuckDBPyConnection, space: str) -> None:
    """A level does not depend on what surrounds it, be it a space, a tab or a line end."""
    for text in (f"red{space}", f"{space}red", f" {space}red{space} "):
        assert _ingested(engine, text, "VARCHAR") == category(text, missing_texts(MISSING)) == "red"
    assert _ingested(engine, f"{space} ", "VARCHAR") is category(f"{space} ", missing_texts(MISSING)) is None


@given(text=words)
@example(text="3.0")
@example(text=" 03.00 ")
@example(text="-3.000\t")
@example(text="v1.0")
@example(text="\tNA ")
@example(text="n/a")
def test_a_category_is_named_alike(engine: duckdb.DuckDBPyConnection, text: str) -> None:
    """The same level, or none, whatever the text."""
    assert _ingested(engine, text, "VARCHAR") == category(text, missing_texts(MISSING))


@given(text=words)
@example(text="TRUE")
@example(text="False ")
@example(text="1.0")
def test_a_label_is_named_alike(engine: duckdb.DuckDBPyConnection, text: str) -> None:
    """The same class, wherever the label comes from; a text that means no value is no label."""
    if text_cell(text, missing_texts(MISSING)) is not None:
        assert _ingested(engine, text, "VARCHAR", is_label=True) == class_label(text)


@given(text=moments)
@example(text="2024-01-02T03:04:05+02:00")
@example(text="2024/1/2 3:4")
@example(text="9999-12-31")
@example(text="9999-12-31T23:59:59-05:00")
@example(text="0001-01-01T00:00+05:00")
@example(text="2024-02-30")
@example(text="2024-01-02T24:00")
@example(text="2024-01-02 03:04:05 Europe/Berlin")
@example(text="2024-01-02T03:04:05.1234567")
@example(text="20240102")
@example(text="2024-W01-1")
def test_a_moment_is_read_alike(engine: duckdb.DuckDBPyConnection, text: str) -> None:
    """The same moment in UTC, or none in both."""
    assert _ingested(engine, text, "TIMESTAMP") == moment(text)


def test_the_years_are_one_to_9999() -> None:
    """An open end is a date like others, and what leaves the calendar is none."""
    assert moment("9999-12-31") == datetime(9999, 12, 31)
    assert moment("0001-01-01") == datetime(1, 1, 1)
    assert moment("0000-01-01") is moment("10000-01-01") is None
