"""Whether labels cover the scores evenly, told apart from chance."""

from __future__ import annotations

import numpy as np
import pytest

from core.outcome import LabelSelection, ScoreBand
from core.served.selection import label_selection


def bands(*counts: tuple[int, int]) -> list[ScoreBand]:
    """Return bands of these numbers of rows and labels."""
    return [ScoreBand(str(place), n_rows, n_labelled) for place, (n_rows, n_labelled) in enumerate(counts)]


def found(*counts: tuple[int, int], bound: float = 0.5) -> LabelSelection:
    """Compare bands that can be compared."""
    selection = label_selection(bands(*counts), bound)
    assert selection is not None
    return selection


def test_a_band_without_labels_is_a_selection() -> None:
    """As where no refused loan can default."""
    selection = found((200, 180), (200, 190), (200, 0))
    assert (selection.lowest, selection.ratio, selection.is_selected) == ("2", 0.0, True)


def test_few_rows_are_no_evidence() -> None:
    """Three unlabelled rows may be chance, whatever their ratio."""
    selection = found((200, 180), (3, 0))
    assert (selection.ratio, selection.is_selected) == (0.0, False)


def test_the_bound_decides_how_uneven_is_too_uneven() -> None:
    """A band with 0.7 of the labels of the others passes 0.5 and not 0.9; 0 accepts everything."""
    counts = ((5000, 4500), (5000, 3150))
    assert not found(*counts).is_selected
    assert found(*counts, bound=0.9).is_selected
    assert not found((200, 180), (200, 0), bound=0.0).is_selected


@pytest.mark.parametrize("counts", [(), ((100, 50),), ((100, 0), (50, 0))])
def test_nothing_to_compare_says_nothing(counts: tuple[tuple[int, int], ...]) -> None:
    """One band has no others, and without labels there are no shares."""
    assert label_selection(bands(*counts), 0.5) is None


def test_fair_samples_pass_at_the_strictest_bound() -> None:
    """Of samples whose labels do not depend on the score, at most 1 of 100 is refused by a bound of 1."""
    rng = np.random.default_rng(5)
    refused = 0
    for _ in range(1000):
        sizes = rng.integers(20, 400, 10)
        labelled = rng.binomial(sizes, rng.uniform(0.02, 0.98))
        selection = label_selection(bands(*zip(sizes.tolist(), labelled.tolist(), strict=True)), 1.0)
        refused += selection is not None and selection.is_selected
    assert refused <= 10
