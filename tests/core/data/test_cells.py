"""A cell is read from a file by DuckDB and from a request by Python: both give the same value."""

from __future__ import annotations

import doctest
from collections.abc import Iterator
from datetime import datetime

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import core.data.cells
from config.schema import DecimalMark, ThousandsMark
from core.data.cells import category, class_label, missing_texts, moment, stated_moment, stated_number, text_cell
from core.data.sql import Cast, literal, text_or_null
from core.notations import DateNotation, Notation, NumberNotation

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


def _ingested(
    engine: duckdb.DuckDBPyConnection,
    text: str,
    wanted: str,
    *,
    is_label: bool = False,
    notation: Notation | None = None,
) -> object:
    """Read a cell of a CSV file: cleaned, then cast."""
    cast = Cast("cell", "VARCHAR", wanted, is_label=is_label, notation=notation)
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


POINTS: tuple[DecimalMark, ...] = (".", ",")
GROUPS: tuple[ThousandsMark, ...] = ("", ".", ",", " ", "'")
NUMBER_NOTATIONS = [
    NumberNotation(decimal, thousands, unit)
    for decimal in POINTS
    for thousands in GROUPS
    for unit in ("", "%", "EUR", "m²", "kg/m")
    if decimal != thousands
]
DATE_NOTATIONS = [
    DateNotation(formats)
    for formats in (
        ("%d.%m.%Y",),
        ("%m/%d/%Y", "%m/%d/%Y %I:%M %p"),
        ("%Y%m%d",),
        ("%Y%m%d%H%M%S",),
        ("%d-%b-%y",),
        ("%B %d, %Y",),
        ("%d.%m.%Y %H:%M:%S.%f", "%d.%m.%YT%H:%M%z"),
        ("seconds",),
        ("milliseconds",),
        ("microseconds",),
    )
]
number_texts = st.one_of(
    st.lists(
        st.sampled_from([*"0123456789.,' -+()%eE", "\xa0", "\u202f", "\u2019", "\u2212", "EUR", "m²", "kg/m"])
    ).map("".join),
    st.builds(
        "{}{}{}{}{}".format,
        st.sampled_from(["", "-", "+", "(", "€ ", "EUR", "\u2212", "% ", "- "]),
        st.integers(0, 10**9)
        .map("{:,}".format)
        .flatmap(lambda text: st.sampled_from(",.' ").map(lambda m: text.replace(",", m))),
        st.sampled_from(["", ".5", ",50", ".", ",", ".125", "e3", "E-2"]),
        st.sampled_from(["", " ", "\xa0", ")", "-"]),
        st.sampled_from(["", "%", "EUR", "m²", "kg/m", ")"]),
    ),
)
date_texts = st.one_of(
    moments,
    digits,
    st.floats(-1e18, 1e18).map(str),
    st.integers(-(10**18), 10**18).map(str),
    st.builds(
        "{}{}{}{}{}{}".format,
        st.integers(0, 32),
        st.sampled_from(["/", ".", "-", " "]),
        st.one_of(st.integers(0, 32), st.sampled_from(["Jan", "FEB", "sept", "March", "may"])),
        st.sampled_from(["/", ".", "-", " ", ", "]),
        st.one_of(st.integers(0, 10_000), st.integers(0, 99).map("{:02}".format)),
        st.one_of(
            st.just(""),
            st.builds(
                " {}:{:02} {}".format, st.integers(0, 25), st.integers(0, 61), st.sampled_from(["AM", "pm", "xm"])
            ),
            st.builds(" {}:{:02}:{:02}.{}".format, st.integers(0, 25), st.integers(0, 61), st.integers(0, 61), digits),
            st.builds(
                "T{:02}:{:02}{}".format,
                st.integers(0, 25),
                st.integers(0, 61),
                st.sampled_from(["+0200", "-15:59", "Z"]),
            ),
        ),
    ),
    st.dates().map("{:%Y%m%d}".format),
    st.datetimes().map("{:%Y%m%d%H%M%S}".format),
    st.dates().map("{:%B %d, %Y}".format),
)


@settings(max_examples=400, deadline=None)
@given(text=number_texts, notation=st.sampled_from(NUMBER_NOTATIONS))
@example(text="-1.234,50 EUR", notation=NumberNotation(",", ".", "EUR"))
@example(text="(1,234.5)", notation=NumberNotation(".", ","))
@example(text="12,34,567", notation=NumberNotation(".", ","))
@example(text="1\u202f234", notation=NumberNotation(",", " "))
@example(text="5-", notation=NumberNotation(",", ""))
def test_a_number_in_a_notation_is_read_alike(
    engine: duckdb.DuckDBPyConnection, text: str, notation: NumberNotation
) -> None:
    """The same number, or none, whatever the text and the notation."""
    cell = text_cell(text, missing_texts(MISSING))
    stated = None if cell is None else stated_number(cell, notation)
    assert _ingested(engine, text, "DOUBLE", notation=notation) == stated


@settings(max_examples=400, deadline=None)
@given(text=date_texts, notation=st.sampled_from(DATE_NOTATIONS))
@example(text="31.12.9999", notation=DateNotation(("%d.%m.%Y",)))
@example(text="2024-02-29T10:00:00+02:00", notation=DateNotation(("%d.%m.%Y",)))
@example(text="31.02.2024", notation=DateNotation(("%d.%m.%Y",)))
@example(text="-62135596800", notation=DateNotation(("seconds",)))
@example(text="253402300800", notation=DateNotation(("seconds",)))
@example(text="1.5e9", notation=DateNotation(("seconds",)))
@example(text="nan", notation=DateNotation(("seconds",)))
def test_a_date_in_a_notation_is_read_alike(
    engine: duckdb.DuckDBPyConnection, text: str, notation: DateNotation
) -> None:
    """The same moment, or none, whatever the text and the notation."""
    cell = text_cell(text, missing_texts(MISSING))
    stated = None if cell is None else stated_moment(cell, notation)
    assert _ingested(engine, text, "TIMESTAMP", notation=notation) == stated


@pytest.mark.parametrize(
    ("notation", "text", "value"),
    [
        (NumberNotation(",", "."), "1.234", 1234.0),
        (NumberNotation(",", "."), "1.234.567,89", 1234567.89),
        (NumberNotation(",", "."), "0.123", None),
        (NumberNotation(",", "."), "1.5", None),
        (NumberNotation(".", ","), "1,234", 1234.0),
        (NumberNotation(".", ",", "$"), "-$1,234.50", -1234.5),
        (NumberNotation(".", ",", "$"), "$(1,234.50)", -1234.5),
        (NumberNotation(".", ",", "$"), "($1,234.50)", -1234.5),
        (NumberNotation(".", "", "%"), "12.5 %", 12.5),
        (NumberNotation(".", "", "%"), "12.5", None),
        (NumberNotation(",", " "), "1\xa0234,5", 1234.5),
        (NumberNotation(".", "'"), "1\u2019234.5", 1234.5),
        (NumberNotation(",", ""), "\u22121,5", -1.5),
    ],
)
def test_a_number_means_what_its_notation_says(notation: NumberNotation, text: str, value: float | None) -> None:
    """What does not have the form of the notation is no number, even if it is one in another notation."""
    assert stated_number(text, notation) == value


@pytest.mark.parametrize(
    ("formats", "cell", "value"),
    [
        (("%d/%m/%Y",), "3/4/2024", datetime(2024, 4, 3)),
        (("%m/%d/%Y",), "3/4/2024", datetime(2024, 3, 4)),
        (("%Y%m%d",), 20240131, datetime(2024, 1, 31)),
        (("%Y%m%d",), 20240131.0, datetime(2024, 1, 31)),
        (("%m/%d/%Y %I:%M %p",), "3/14/2024 5:06 PM", datetime(2024, 3, 14, 17, 6)),
        (("%d %b %Y",), "5 MAR 2024", datetime(2024, 3, 5)),
        (("%d.%m.%y",), "1.2.99", datetime(1999, 2, 1)),
        (("%d.%m.%YT%H:%M%z",), "1.2.2024T01:00+02:00", datetime(2024, 1, 31, 23)),
        (("seconds",), 1.5, datetime(1970, 1, 1, 0, 0, 1, 500_000)),
        (("milliseconds",), "1700000000000", datetime(2023, 11, 14, 22, 13, 20)),
        (("seconds",), "2024-01-31", datetime(2024, 1, 31)),
    ],
)
def test_a_date_means_what_its_formats_say(formats: tuple[str, ...], cell: str | float, value: datetime) -> None:
    """The formats decide the order of day and month; year first is read in every column."""
    assert stated_moment(cell, DateNotation(formats)) == value


def test_the_years_are_one_to_9999() -> None:
    """An open end is a date like others, and what leaves the calendar is none."""
    assert moment("9999-12-31") == datetime(9999, 12, 31)
    assert moment("0001-01-01") == datetime(1, 1, 1)
    assert moment("0000-01-01") is moment("10000-01-01") is None
