from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from core.data.split import Hashes
from core.drift.bottom_k import BottomK, row_keys

Numbers = npt.NDArray[np.int64]
Sample = BottomK[Numbers]


def offered(sample: Sample, source: int, first_row: int, n_rows: int, seed: int = 1) -> None:
    """Offer rows that are numbered by their place, the sources a million apart."""
    keys = row_keys(seed, source, first_row, n_rows)
    places = sample.places(keys)
    rows = source * 1_000_000 + first_row + np.arange(n_rows)
    sample.keep(keys[places], rows[places], source, first_row)


def drawn(sample: Sample) -> list[int]:
    """Rows of a sample in its own order."""
    return [int(row) for block in sample.blocks() for row in block]


@given(
    st.integers(0, 40),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 300)), min_size=1, max_size=12),
    st.integers(1, 3),
    st.randoms(),
)
def test_the_sample_does_not_depend_on_the_pieces(
    k: int, sizes: list[tuple[int, int]], n_parts: int, order: object
) -> None:
    """In one piece or many, in any order, by one reader or several merged: the same rows, in the order of the files."""
    starts: dict[int, int] = {}
    pieces = []
    for source, size in sizes:
        pieces.append((source, starts.get(source, 0), size))
        starts[source] = starts.get(source, 0) + size
    whole: Sample = BottomK(k)
    for source, n_rows in starts.items():
        offered(whole, source, 0, n_rows)
    order.shuffle(pieces)  # type: ignore[attr-defined]
    parts: list[Sample] = [BottomK(k) for _ in range(n_parts)]
    for number, piece in enumerate(pieces):
        offered(parts[number % n_parts], *piece)
    for part in parts[1:]:
        parts[0].merge(part)
    rows = drawn(whole)
    assert drawn(parts[0]) == rows
    assert rows == sorted(set(rows))
    assert len(rows) == min(k, sum(starts.values()))


def test_every_row_is_as_likely() -> None:
    """Over 2,000 seeds each of 50 rows is drawn as often as chance has it, and neighbours independently."""
    hits = np.zeros(50)
    both = 0
    for seed in range(2_000):
        sample: Sample = BottomK(10)
        offered(sample, 0, 0, 30, seed)
        offered(sample, 1, 0, 20, seed)
        rows = drawn(sample)
        hits[[row % 1_000_000 + (30 if row >= 1_000_000 else 0) for row in rows]] += 1
        both += {4, 5} <= set(rows)
    # 400 expected, standard deviation 17.9; both at once in 10/50 * 9/49 of the draws: 73.5 expected, deviation 8.4.
    assert (abs(hits - 400) < 5 * 17.9).all()
    assert abs(both - 73.5) < 5 * 8.4


def test_keys_are_uniform_and_distinct() -> None:
    """Keys of a hundred thousand consecutive rows pass for uniform numbers, and none of them repeats."""
    keys = row_keys(7, 2, 500, 100_000)
    assert kstest(keys / 2**64, "uniform").pvalue > 1e-3
    assert len(np.unique(keys)) == len(keys)
    assert (keys[10:] == row_keys(7, 2, 510, 99_990)).all()


@pytest.mark.parametrize("other", [(8, 2), (7, 3)])
def test_another_seed_or_source_gives_other_keys(other: tuple[int, int]) -> None:
    """Seeds and sources are not interchangeable with each other or with a row's place."""
    keys = row_keys(7, 2, 0, 1_000)
    assert not set(keys.tolist()) & set(row_keys(*other, 0, 1_000).tolist())
    assert row_keys(2, 7, 0, 1)[0] != keys[0]


def test_little_more_than_twice_the_sample_is_held() -> None:
    """After many pieces no more than 2 k rows are held and about k (1 + ln(n / k)) were ever taken."""
    sample: BottomK[Hashes] = BottomK(100)
    taken = 0
    for piece in range(1_000):
        keys = row_keys(1, 0, piece * 100, 100)
        places = sample.places(keys)
        taken += len(places)
        sample.keep(keys[places], keys[places], 0, piece * 100)
        assert sum(len(block.rows) for block in sample._blocks) <= 200
    assert taken < 2 * 100 * (1 + np.log(1_000))


def test_samples_of_other_sizes_do_not_merge() -> None:
    """The smallest keys of two sizes are no sample of either."""
    sample: Sample = BottomK(3)
    with pytest.raises(ValueError, match="expected a sample of 3 rows, found one of 4"):
        sample.merge(BottomK(4))
