"""How a column's texts state numbers."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

import core.init.number_forms
from core.init.number_forms import are_mixed, is_read, number_readings
from core.notations import NumberNotation

RANDOM = np.random.default_rng(4)
WHOLE = [f"{number:,}" for number in RANDOM.integers(1000, 99_999, 100)]
POINTED = [text.replace(",", ".") for text in WHOLE]


def test_the_examples_hold() -> None:
    """What the docstrings show is what the functions return."""
    assert doctest.testmod(core.init.number_forms).failed == 0


@pytest.mark.parametrize(
    ("texts", "notation"),
    [
        (["1.234,5", "7,25", "18"], NumberNotation(",", ".")),
        (["1,3", "1,7", "2,0"], NumberNotation(",")),
        (["1,234.5", "7.25", "18"], NumberNotation(".", ",")),
        (["1.234.567", "2.345.678", "3.456.789"], NumberNotation(",", ".")),
        (["1 234,5", "7,2", "10 000"], NumberNotation(",", " ")),
        (["1\u202f234,5", "7,2", "10\xa0000"], NumberNotation(",", " ")),
        (["10\u2019328.88", "28.8", "1.1"], NumberNotation(".", "'")),
        (["4,45,732.95", "32.9", "1,00,000"], NumberNotation(".", ",")),
        (["(100.15)", "12.1", "8.2"], NumberNotation(".", ",")),
        (["123.45-", "12.1", "8.2"], NumberNotation(".", ",")),
        (["\u221243.2", "5", "2.1"], NumberNotation(".", ",")),
        (["- 43.21", "5", "2.1"], NumberNotation(".", ",")),
        (["$1,234.50", "$12.1", "-$7"], NumberNotation(".", ",", "$")),
        (["$(966.81)", "$12.1", "$1,008.2"], NumberNotation(".", ",", "$")),
        (["US$ 17.02", "US$ 1,117.02", "US$ 7.1"], NumberNotation(".", ",", "US$")),
        (["408,70 €", "11.085,81 €", "8,1 €"], NumberNotation(",", ".", "€")),
        (["3 399,92 kr", "99,9 kr", "7,5 kr"], NumberNotation(",", " ", "kr")),
        (["12 %", "5 %", "7,5 %"], NumberNotation(",", "", "%")),
        ([f"{number / 2} kg" for number in range(20)], NumberNotation(".", "", "kg")),
        ([*POINTED, "980"], NumberNotation(",", ".")),
        ([*WHOLE, "980"], NumberNotation(".", ",")),
    ],
)
def test_one_reading_is_found(texts: list[str], notation: NumberNotation) -> None:
    """All texts state a number in one notation, and in no other one that gives other numbers."""
    assert number_readings(texts) == (notation,)


@pytest.mark.parametrize("texts", [POINTED, WHOLE, ["8,125", "9,250", "1,125"], ["1.234", "21.042", "980"]])
def test_three_digits_behind_a_mark_have_two_readings(texts: list[str]) -> None:
    """A fraction, or thousands: nothing in the column says which."""
    fraction, thousands = number_readings(texts)
    assert (fraction.thousands, bool(thousands.thousands)) == ("", True)


@pytest.mark.parametrize(
    "texts",
    [
        ["1.5", "2.5", "3"],
        ["0.123", "1.234", "2.567"],
        ["1e5", "2e5", "3"],
        ["7", "8", "9"],
        ["12 %", "5", "7 %"],
        ["1.10.2", "1.2.3", "2.2.2"],
        ["10-20", "20-30", "30-40"],
        ["31.12.2024", "1.1.2024", "2.2.2024"],
        ["2024-01-02", "2024-01-03", "2024-02-02"],
        ["12:30", "12:40", "12:50"],
        ["+49 151 123", "+49 152 124", "+49 172 125"],
        [" ".join(map(str, parts)) for parts in RANDOM.integers(100, 999, (40, 3))],
        ["12A", "7A", "9A"],
        ["A 1", "A 2", "A 3"],
        ["1,5", "2.5", "3,5"],
        ["1,5", "2,5"],
        [],
    ],
)
def test_other_texts_have_no_notation(texts: list[str]) -> None:
    """Usual numbers need none; codes, versions, ranges, dates and telephone numbers are none."""
    assert number_readings(texts) == ()


def test_a_word_may_stand_among_numbers_but_no_other_number() -> None:
    """The word means no value; a number in another notation would become one silently."""
    texts = [f"{number},5" for number in range(100)]
    assert number_readings([*texts, "k.A."]) == (NumberNotation(","),)
    assert number_readings([*texts, "3.7"]) == ()
    assert is_read(["a", "1", "2", *map(str, range(30))], [False] + [True] * 32)
    assert not is_read(["a", "1", "2"], [False, True, True])


@pytest.mark.parametrize(
    ("texts", "mixed"),
    [
        (["12 %", "5", "7 %", "3"], True),
        (["$5", "€7", "8"], True),
        (["1,5", "2.5", "3,5"], True),
        (["A1", "A2", "B1"], False),
        (["red", "green", "blue"], False),
    ],
)
def test_numbers_in_several_notations_are_recognised(texts: list[str], mixed: bool) -> None:
    """They stay text, with a remark; codes of letters and digits have none."""
    assert are_mixed(texts) is mixed
