from __future__ import annotations

import pytest

from core.errors import SchemaError
from core.init.columns import ColumnStatistics, column_decision, target_decision
from core.init.notations import date_notation, epoch_range, epoch_unit


@pytest.mark.parametrize(
    ("texts", "what"),
    [
        (["12/31/2024", "1/2/2025", "3/4/2025"], "dates, but not year first ('12/31/2024')"),
        (["31.12.24", "01.02.25", "03.04.25"], "dates, but not year first"),
        (["31.12.2024 18:30", "01.02.2025 00:00", "03.04.2025 07:15"], "dates, but not year first"),
        (["2024-12-31", "2025-01-02", *[f"{day}/1/2025" for day in range(1, 30)]], "dates, but not year first"),
        (["31-Dec-2024", "2 Jan 2025", "March 4, 2025"], "dates with the name of the month ('31-Dec-2024')"),
        (["Mon, 4 Mar 2024 10:00:00 GMT", "3. Mai 2024", "1st Oct 2024"], "dates with the name of the month"),
        (["20241231", "20250102", "20250304"], "dates without separators ('20241231')"),
        (["31122024", "02012025", "04032025"], "dates without separators"),
        (["2024.12.31", "2025.01.02", "2025.03.04"], "not all in one readable form"),
        (["2024-12", "2025-01", "2025-02"], "months, quarters or weeks ('2024-12')"),
        (["2024Q4", "2025Q1", "2025Q2"], "months, quarters or weeks"),
        (["Dec 2024", "Jan 2025", "Feb-25"], "months, quarters or weeks"),
    ],
)
def test_dates_are_recognised_in_the_notations_of_people(texts: list[str], what: str) -> None:
    """The notation is named with an example and with what to do."""
    found = date_notation(texts)
    assert found.startswith(what) or what in found
    assert found.endswith("; rewrite as 2026-01-31 to learn from them")


@pytest.mark.parametrize(
    "texts",
    [
        ["1.2.3", "10.4.12", "3.30.1"],
        ["10.0.0.1", "10.0.0.2", "10.0.0.3"],
        ["32/13/2024", "40/20/2024", "13/13/2024"],
        ["20241399", "99999999", "12345678"],
        ["AB-12-2024", "AB-13-2024", "AB-14-2024"],
        ["march", "may", "june"],
        ["12/31/2024", "red", "blue"],
        ["12/31/2024"],
        [],
    ],
)
def test_versions_addresses_and_identifiers_are_no_dates(texts: list[str]) -> None:
    """Neither are numbers out of range, and a lone date proves nothing."""
    assert date_notation(texts) == ""


def test_few_months_stay_a_category() -> None:
    """A caller says whether there are many."""
    assert date_notation(["2024-12", "2025-01", "2025-02"], many=False) == ""


def test_times_since_1970_are_recognised_by_range() -> None:
    """In seconds, milliseconds and microseconds."""
    assert epoch_unit(1.6e15, 1.7e15) == "microseconds"
    assert epoch_unit(1.6e9, 1.6e12) == ""
    assert epoch_range(1_640_995_200_000, 1_692_662_400_000) == "2022-01-01 to 2023-08-22"


def numbers(name: str) -> ColumnStatistics:
    """Build statistics of 1,000 times in seconds."""
    return ColumnStatistics(
        name, "BIGINT", 1000, 0, 990, n_numbers=1000, n_integers=1000, minimum=1_600_000_000, maximum=1_700_000_000
    )


def test_numbers_may_be_times_since_1970() -> None:
    """Without the name of a time they stay numbers, with a remark."""
    other = column_decision(numbers("amount"))
    assert other.kind == "numeric"
    assert other.doubt.startswith("'amount' may be seconds since 1970 (2020-09-13 to 2023-11-14)")


def test_the_notation_decides_before_the_number_of_levels() -> None:
    """599 dates in 10,000 rows are no category of 599 levels, and no target of classes."""
    levels = tuple((f"{place}/1/2025", 17) for place in range(599))
    dates = ColumnStatistics("day", "VARCHAR", 10_000, 0, 599, levels=levels, notation="dates, but not year first")
    assert column_decision(dates).kind == "ignored"
    assert column_decision(dates).why == "dates, but not year first"
    with pytest.raises(SchemaError, match="target 'day': expected numbers or classes, found dates"):
        target_decision(dates)
