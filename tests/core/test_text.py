from __future__ import annotations

import pytest

from core.text import number, readable, significant


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain <b> $x {{7*7}}", "plain <b> $x {{7*7}}"),
        ("bell\x07 esc\x1b[31m nul\x00", "bell\\x07 esc\\x1b[31m nul\\x00"),
        ("right\u202eto left", "right\\u202eto left"),
        ("two\nlines\u2028three", "two\\nlines\\u2028three"),
        ("half \ud800", "half \\ud800"),
        ("Zürich 東京", "Zürich 東京"),
        (4.5, "4.5"),
    ],
)
def test_what_cannot_be_seen_is_written_out(value: object, shown: str) -> None:
    """Letters of any script stay; what steers a terminal or the reading direction becomes an escape."""
    assert readable(value) == shown


def test_long_text_is_cut() -> None:
    """A name of 10 kB takes one line."""
    assert readable("n" * 10_000, 40) == "n" * 39 + "…"


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [
        (99.7, 2, "100"),
        (100.2, 2, "100"),
        (1250.0, 3, "1,250"),
        (-1_234_567.5, 6, "-1,234,568"),
        (99.4, 2, "99"),
        (0.0123, 2, "0.012"),
        (1e-6, 2, "1e-06"),
        (float("inf"), 3, "inf"),
        (1e300, 3, "1e+300"),
    ],
)
def test_a_measured_value_has_its_digits_before_the_point(value: float, digits: int, shown: str) -> None:
    """100 ms is never ``1e+02 ms``; only what has no readable digits keeps an exponent."""
    assert significant(value, digits) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1_234_567.5, "1,234,568"), (25_000.0, "25,000"), (0.125, "0.125"), (-0.0, "0"), (float("nan"), "nan")],
)
def test_a_number_of_a_sentence_has_no_exponent(value: float, shown: str) -> None:
    """Sums of money and rates are read by people."""
    assert number(value) == shown
