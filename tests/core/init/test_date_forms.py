"""How a column's texts state dates."""

from __future__ import annotations

import doctest
from datetime import datetime, timedelta

import pytest

import core.init.date_forms
from core.data.cells import stated_moment
from core.init.date_forms import clear_order, date_readings, has_short_years, odd_date
from core.notations import DateNotation

DAYS = [datetime(2023, 11, 20, 16, 5, 9) + timedelta(days=day, hours=day) for day in range(60)]


def test_the_examples_hold() -> None:
    """What the docstrings show is what the functions return."""
    assert doctest.testmod(core.init.date_forms).failed == 0


@pytest.mark.parametrize(
    ("given", "order"),
    [
        ("%d.%m.%Y", "dmy"),
        ("%d/%m/%Y", "dmy"),
        ("%m/%d/%Y", "mdy"),
        ("%m/%d/%y", "mdy"),
        ("%d.%m.%y", "dmy"),
        ("%Y.%m.%d", "ymd"),
        ("%Y%m%d", "ymd"),
        ("%d%m%Y", "dmy"),
        ("%Y%m%d%H%M%S", "ymd"),
        ("%Y%m%dT%H%M%SZ", "ymd"),
        ("%d-%b-%y", "dmy"),
        ("%d%b%Y", "dmy"),
        ("%d %B %Y", "dmy"),
        ("%B %d, %Y", "mdy"),
        ("%b %d %Y", "mdy"),
        ("%d.%m.%Y %H:%M", "dmy"),
        ("%d.%m.%YT%H:%M:%S", "dmy"),
        ("%d.%m.%Y %H:%M:%S.%f", "dmy"),
        ("%m/%d/%Y %I:%M:%S %p", "mdy"),
        ("%m/%d/%Y, %I:%M%p", "mdy"),
        ("%d/%b/%Y:%H:%M:%S +0000", "dmy"),
        ("%d/%m/%Y %H:%M+02:00", "dmy"),
    ],
)
def test_dates_are_read_as_they_were_written(given: str, order: str) -> None:
    """One order fits, and its formats give the same days and times back."""
    texts = list(dict.fromkeys(f"{day:{given}}" for day in DAYS))
    readings = date_readings(texts)
    assert list(readings) == [order]
    (notation,) = readings.values()
    shift = timedelta(hours=2 if "+02" in given else 0)
    for text in texts:
        written = datetime.strptime(text.replace("+02:00", "").replace(" +0000", ""), given.split("+")[0].strip())
        assert stated_moment(text, notation) == written - shift


def test_day_and_month_that_cannot_be_told_apart_have_two_orders() -> None:
    """Until a value is greater than 12, the user's word, another column or the point decides."""
    slashed, pointed = (date_readings([f"{day:02}{mark}05{mark}2024" for day in range(1, 13)]) for mark in "/.")
    assert list(slashed) == list(pointed) == ["dmy", "mdy"]
    assert (clear_order(slashed, None), clear_order(pointed, None)) == (None, "dmy")
    assert (clear_order(slashed, "mdy"), clear_order(slashed, "ymd")) == ("mdy", None)
    assert clear_order(date_readings(["13/5/2024", "1/5/2024", "2/5/2024"]), "mdy") == "dmy"


def test_short_years_are_recognised() -> None:
    """They are read as 1969 to 2068, which the user should know."""
    assert has_short_years(DateNotation(("%d.%m.%y",)))
    assert not has_short_years(DateNotation(("%d.%m.%Y",)))
    assert list(date_readings(["01-02-03", "04-05-06", "07-08-09"])) == ["ymd", "dmy", "mdy"]


def test_a_column_may_have_several_formats_of_one_order() -> None:
    """Such as with and without a time; year first needs no format beside them."""
    texts = ["31.12.2024", "1.1.2025 10:30", "2.1.2025", "2025-01-03"]
    assert date_readings(texts) == {"dmy": DateNotation(("%d.%m.%Y", "%d.%m.%Y %H:%M"))}


@pytest.mark.parametrize(
    "texts",
    [
        ["2024-01-31", "2024-02-01", "2024-02-02"],
        ["31.12.2024", "12/31/2024", "2024-02-02"],
        ["31.12.2024", "31.02.2024", "1.2.2024"],
        ["1.10.2", "1.2.3", "1.4.5"],
        ["10.0.0.1", "10.0.0.2", "10.0.0.3"],
        ["12345678", "23456789", "34567890"],
        ["20240131", "99999999", "20240202"],
        ["12/2024", "1/2024", "2/2024"],
        ["Mon, 4 Mar 2024", "Tue, 5 Mar 2024", "Wed, 6 Mar 2024"],
        ["5 März 2024", "6 März 2024", "7 März 2024"],
        ["may", "june", "july"],
        ["May 2024", "June 2024", "Jul 2025"],
        ["2024 May", "2024 June", "2025 Jul"],
        ["Q1 2024", "Q2 2024", "Q3 2024"],
        ["31.12.2024", "1.1.2025"],
    ],
)
def test_other_texts_have_no_format(texts: list[str]) -> None:
    """Usual dates need none; versions, addresses and days that no calendar has are none."""
    assert date_readings(texts) == {}


def test_the_date_that_no_calendar_has_is_named() -> None:
    """Beside one in the usual format of the column; other texts have none."""
    texts = ["31.12.2024", "1.1.2025", "30.02.2025", "2025-01-03"]
    assert date_readings(texts) == {}
    assert odd_date(texts) == ("31.12.2024", "30.02.2025")
    assert odd_date(["12/13/2024", "13/12/2024", "12/14/2024"]) == ("12/13/2024", "13/12/2024")
    assert odd_date(["red", "green", "31.12.2024"]) is None
    assert odd_date(["2024-01-31", "2024-02-01", "2024-02-02"]) is None
