from __future__ import annotations

import pytest

from core.text import readable


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
