"""Parts hold every row once, in order, and depend on the row groups alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.score.parts import Part, parts_of

GROUPS = st.lists(st.lists(st.integers(0, 50), max_size=8), max_size=6)


@given(GROUPS, st.integers(1, 100))
def test_every_row_is_in_one_part(groups: list[list[int]], part_rows: int) -> None:
    """In order, each part but the last with at least the asked rows, and no row group divided."""
    parts = parts_of(groups, part_rows)
    assert sum(part.n_rows for part in parts) == sum(map(sum, groups))
    assert [part.number for part in parts] == list(range(len(parts)))
    assert all(part.n_rows >= part_rows for part in parts[:-1])
    assert all(part.n_rows > 0 for part in parts)
    first = 0
    for part in parts:
        assert part.first_row == first
        first += part.n_rows
        assert part.n_rows == sum(span.n_rows for span in part.spans)
    read = [(span.file, number) for part in parts for span in part.spans for number in span.groups]
    assert read == [(file, number) for file, sizes in enumerate(groups) for number, n in enumerate(sizes) if n]


def test_a_part_survives_json() -> None:
    """As the plan of a killed run is read again."""
    for part in parts_of([[3, 4], [5]], 7):
        assert Part.from_dict(part.to_dict()) == part
