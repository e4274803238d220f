from __future__ import annotations

from typing import Any

import pytest

from core.init.codes import CodeCounts, are_labels, code_doubt, code_reason, lost_code_doubt
from core.init.columns import ColumnStatistics, column_decision, target_decision


def counts(**known: Any) -> CodeCounts:
    """Build counts over 1,000 whole numbers."""
    return CodeCounts(**{"n_values": 1000, "n_whole": 1000, **known})


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (counts(), ""),
        (counts(n_padded=1, padded="02134", same_width=True), "leading zeros, such as '02134'"),
        (counts(n_padded=80, padded="0301"), "leading zeros, such as '0301'"),
        (counts(n_padded=5, padded="05"), ""),
        (counts(n_padded=600, padded="01.0", n_whole=500), ""),
        (counts(n_exponents=960, exponent="1E05"), "digits around an E, such as '1E05'"),
        (counts(n_exponents=40, exponent="1E05"), ""),
        (counts(n_whole=0, n_short=500, n_long_zeros=90, long_zero="1.10"), ""),
        (counts(n_beyond=2, beyond=("9007199254740992", "9007199254740993")), "2^53 or more, inexact as doubles"),
        (counts(n_beyond=90, beyond=("9223372036854775807", "9223372036854775807")), ""),
    ],
)
def test_zeros_in_front_and_numbers_that_a_double_rounds_are_codes(found: CodeCounts, reason: str) -> None:
    """A rare zero in a column of varying width, fractions, and one repeated largest number are no codes."""
    assert code_reason(found) == reason


def test_numbers_that_may_be_codes_are_remarked_upon() -> None:
    """A column that stays one of numbers has a remark if a value is changed by it; a column of codes has none."""
    versions = counts(n_whole=0, n_short=500, n_long_zeros=90, long_zero="1.10")
    assert "'1.10' beside values with fewer decimals" in code_doubt("x", versions)
    assert code_reason(versions, ["app", "version"]) == "versions, such as '1.10'"
    assert code_doubt("app_version", versions) == ""
    assert code_doubt("x", counts(n_whole=0, n_short=500, n_long_zeros=9, long_zero="1.10")) == ""
    assert "digits around an E in 4 % of its values ('1E05')" in code_doubt(
        "n", counts(n_exponents=40, exponent="1E05")
    )
    assert "leading zeros in 0.5 % of its values ('05')" in code_doubt("n", counts(n_padded=5, padded="05"))
    assert "2^53 or more in 9 %" in code_doubt("n", counts(n_beyond=90, beyond=("9" * 18, "9" * 18)))
    assert code_doubt("n", counts()) == ""
    assert code_doubt("n", counts(n_padded=5, padded="05", same_width=True)) == ""


def codes(n_distinct: int, **known: Any) -> ColumnStatistics:
    """Build statistics of 1,000 codes."""
    levels = tuple((f"{level:05}", 1000 // n_distinct) for level in range(n_distinct)) if n_distinct <= 500 else ()
    return ColumnStatistics(
        "zip",
        "VARCHAR",
        1000,
        0,
        n_distinct,
        levels=levels,
        example="00501",
        code="leading zeros",
        **known,
    )


@pytest.mark.parametrize(
    ("n_distinct", "kind", "why"),
    [
        (20, "categorical", "codes (leading zeros): 20 levels: 00000, 00001, 00002, …"),
        (400, "ignored", "codes (leading zeros): 400 different values, too many to learn from; such as '00501'"),
        (1000, "ignored", "codes (leading zeros): an identifier: 1,000 different values in 1,000 rows"),
    ],
)
def test_codes_are_levels_or_identifiers_with_the_reason(n_distinct: int, kind: str, why: str) -> None:
    """Few codes are a category; many are left out."""
    decision = column_decision(codes(n_distinct))
    assert (decision.kind, decision.why) == (kind, why)


def test_a_target_of_codes_has_classes() -> None:
    """The labels keep their zeros."""
    goal = target_decision(codes(20))
    assert (goal.task, goal.classes[0][0]) == ("multiclass", "00000")


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([200, 301, 404, 500], True),
        ([1010, 2020, 4711], True),
        ([36, 48, 60], False),
        ([10, 20, 50, 100], False),
        ([0, 1, 2, 3, 17], False),
        ([1, 2, 3, 4], False),
        ([1999, 2007, 2020], False),
        ([-20, 7, 90], False),
        ([200, 404], False),
        (list(range(0, 4000, 101)), False),
    ],
)
def test_few_sparse_irregular_whole_numbers_are_labels(values: list[int], found: bool) -> None:
    """Grids of amounts, counts, dense codes, years, negative numbers, pairs and many values are not."""
    assert are_labels([(str(value), 100) for value in values]) == found


def test_rare_values_are_no_labels() -> None:
    """A category's levels are seen often; outliers are not."""
    assert not are_labels([("200", 500), ("301", 400), ("977", 2)])
    assert not are_labels([(text, 1) for text in ("5014", "12640", "9999", "31001")])


def test_labels_are_categorical_with_a_remark() -> None:
    """The reason stands beside the column, and a remark says how to undo it."""
    levels = (("200", 700), ("301", 200), ("404", 100))
    status = ColumnStatistics(
        "status", "BIGINT", 1000, 0, 3, n_numbers=1000, n_integers=1000, minimum=200, maximum=404, levels=levels
    )
    decision = column_decision(status)
    assert (decision.kind, decision.why) == (
        "categorical",
        "codes (few, sparse whole numbers): 3 levels: 200, 301, 404",
    )
    assert "'status' has few, sparse whole numbers" in decision.doubt
    assert "move it to features.numeric" in decision.doubt


def test_a_marker_among_codes_of_two_letters_is_remarked_on() -> None:
    """NA is Namibia beside DE and ZA, and no value beside longer or other texts."""
    countries = [("DE", 9), ("FR", 8), ("ZA", 3)]
    assert "'country' has codes of two letters" in lost_code_doubt("country", countries, ["", "NA"])
    assert lost_code_doubt("country", countries, ["", "?"]) == ""
    assert lost_code_doubt("country", [*countries, ("Peru", 1)], ["NA"]) == ""
    assert lost_code_doubt("answer", [("JA", 9), ("NO", 8)], ["NA"]) == ""
