"""Which texts are formats of dates."""

from __future__ import annotations

import doctest

import pytest

import config.date_formats
from config.date_formats import EPOCHS, format_problem


def test_the_examples_hold() -> None:
    """What the docstring shows is what the function returns."""
    assert doctest.testmod(config.date_formats).failed == 0


@pytest.mark.parametrize(
    "given", ["%d/%m/%Y", "%Y%m%d", "%d %b %y", "%B %d, %Y", "%m/%d/%Y %I:%M:%S.%f %p", "%d.%m.%YT%H:%M%z", *EPOCHS]
)
def test_a_format_that_means_one_thing_is_taken(given: str) -> None:
    """Day, month and year, then perhaps a time of day and an offset; or a unit of time since 1970."""
    assert format_problem(given) is None


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("%d.%m.%Y %A", "%A is not one of %d, %m, %Y"),
        ("%d.%m.%y %Y", "stated twice"),
        ("%m.%Y", "a day, a month and a year"),
        ("dmy", "a day, a month and a year"),
        ("%d.%m.%Y %M", "%M needs %H"),
        ("%d.%m.%Y %I:%M", "%I and %p belong together"),
        ("%d.%m.%Y %H:%M %p", "%I and %p belong together"),
        ("%d.%m.%Y %H.%f", "%f needs %S"),
        ("%d.%m.%Y%", "a % without a letter"),
    ],
)
def test_a_format_that_leaves_something_open_is_refused(given: str, problem: str) -> None:
    """The problem names the part."""
    assert problem in (format_problem(given) or "")
