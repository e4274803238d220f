from __future__ import annotations

import json

import numpy as np
import pytest

from core.data.split import Hashes
from core.errors import StorageError
from core.gate.looks import HoldoutSketch, effective_looks, overlap


def row_ids(start: int, n_rows: int) -> Hashes:
    """Identities of the rows start, start + 1, …: ranges overlap as their numbers do."""
    return np.arange(start, start + n_rows, dtype=np.uint64)


def sketch(start: int, n_rows: int) -> HoldoutSketch:
    """Sketch of such rows."""
    return HoldoutSketch.of(row_ids(start, n_rows))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_overlap_is_told_from_the_sketches(share: float) -> None:
    """Of 50,000 rows the share that an earlier holdout had comes out within 0.08, on average within 0.01."""
    found = [overlap(sketch(start, 50_000), sketch(start - int((1 - share) * 50_000), 50_000)) for start in _starts()]
    assert max(abs(value - share) for value in found) < 0.08
    assert np.mean(found) == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize(("present", "earlier"), [(2_000, 20_000), (20_000, 2_000)])
def test_overlap_is_of_the_present_rows(present: int, earlier: int) -> None:
    """Holdouts of different sizes: what counts is how many of the present rows were looked at."""
    found = [overlap(sketch(start, present), sketch(start + present // 2, earlier)) for start in _starts()]
    expected = min(present // 2, earlier) / present
    assert np.mean(found) == pytest.approx(expected, abs=0.03)


def _starts() -> range:
    return range(1_000_000, 31_000_000, 1_000_000)


def test_overlap_of_small_holdouts_is_exact() -> None:
    """Up to 256 rows nothing is estimated."""
    assert overlap(sketch(0, 200), sketch(50, 256)) == 150 / 200
    assert overlap(sketch(0, 200), sketch(200, 10)) == 0.0


def test_unknown_overlap_counts_in_full() -> None:
    """Five rows against a million, none of them within the sketch: the strict answer."""
    assert overlap(sketch(7_000_000, 5), sketch(0, 1_000_000)) == 1.0


def test_sketch_counts_rows_once() -> None:
    """Order and repetition of rows change nothing."""
    ids = row_ids(0, 1000)
    assert HoldoutSketch.of(np.append(ids[::-1], ids)) == HoldoutSketch.of(ids)
    assert HoldoutSketch.of(ids).n_rows == 1000


def test_looks_add_up() -> None:
    """Two looks at all and one at half of the rows make this one look number three and a half."""
    present = sketch(0, 200)
    assert effective_looks(present, []) == 1.0
    assert effective_looks(present, [present, present, sketch(100, 200)]) == 3.5


@pytest.mark.parametrize("n_rows", [0, 3, 300])
def test_sketch_survives_json(n_rows: int) -> None:
    """The text holds all 64 bits, and a full sketch stays below 6 kB."""
    before = sketch(5, n_rows)
    assert HoldoutSketch.from_json(before.to_json()) == before
    assert len(before.to_json()) < 6_000


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"n_rows": 1, "smallest": [3]}), '{"n_rows": "x"}'])
def test_other_text_is_refused(text: str) -> None:
    """What is no sketch is never taken for an empty one."""
    with pytest.raises(StorageError, match="expected a sketch of a holdout"):
        HoldoutSketch.from_json(text)
