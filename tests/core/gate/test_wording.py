"""Numbers of a verdict as people read them."""

import math
from dataclasses import replace

import pytest

from core.gate.wording import check_reasons, gain_cells, number, remarks, serving_facts, signed, slice_remark
from tests.tasks.verdicts import SERVING, SLICES, WORSE, difference, refused, undecided


@pytest.mark.parametrize(
    ("value", "plain", "with_sign"),
    [
        (0.81234, "0.8123", "+0.8123"),
        (-0.5, "-0.5000", "-0.5000"),
        (0.00001234, "1.2e-05", "+1.2e-05"),
        (45.678, "45.68", "+45.68"),
        (-45678.9, "-45,679", "-45,679"),
        (0.0, "0.0000", "0"),
        (None, "–", "–"),
        (math.nan, "–", "–"),
    ],
)
def test_a_number_keeps_the_digits_that_matter(value: float | None, plain: str, with_sign: str) -> None:
    """Small gains do not vanish, large losses are no powers of ten, what is undefined is a dash."""
    assert (number(value), signed(value)) == (plain, with_sign)


def test_a_slice_that_was_not_compared_has_its_rows_and_dashes() -> None:
    """Every row of the table has as many cells."""
    assert gain_cells(20, None) == ("20", "–", "–", "–", "–")
    assert gain_cells(992, difference(0.01, 0.004)) == ("992", "0.8000", "0.8100", "+0.0100", "+0.0060 to +0.0140")


def test_a_remark_says_what_the_numbers_do_not() -> None:
    """A slice that is worse says how surely, one that is not judged says why, all others nothing."""
    assert [slice_remark(part) for part in (SLICES[0], WORSE, SLICES[3])] == [
        "",
        "worse beyond noise (p = 0.0004)",
        "fewer than 30 rows: not judged",
    ]


def test_a_rehearsal_that_could_not_load_has_dashes() -> None:
    """Nothing measured is no zero."""
    broken = type(SERVING)(False, "", 0, None, None, None, None, ("the bundle cannot be read",))
    assert list(serving_facts(broken).values()) == ["–", "0", "–", "–", "–", "–", "–", "–"]
    assert serving_facts(SERVING)["95th percentile"] == "3.3 ms"
    slow = replace(SERVING, p50_ms=999.7, p95_ms=1234.5)
    assert list(serving_facts(slow).values())[3:5] == ["1,000 ms", "1,234 ms"]


def test_a_reason_is_told_once() -> None:
    """Checks that fail for one reason point to the first; remarks repeat neither headline nor checks."""
    reasons = {check.name: reason for check, reason in check_reasons(undecided().checks)}
    assert (reasons["gain"], reasons["calibration"]) == ("see holdout", "see holdout")
    assert [remark for remark in remarks(refused()) if "look 2.31" not in remark] == []
    assert len(remarks(refused())) == 1
