"""Streams with known change points are what their papers say, before the change and after it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.stream_worlds import (
    AFTER,
    DIGITS,
    GENERATORS,
    HOLDOUT,
    QUIET,
    TRAIN,
    WIDTH,
    Draw,
    Kind,
    hyperplane,
    led,
    progress,
    sea,
    stream,
)
from core.metrics.metrics import Floats
from tests.factories import shared_data

OLD, NEW = np.zeros(20_000), np.ones(20_000)


def drawn(
    make: Callable[[np.random.Generator], Draw], which: Floats, seed: int = 0
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Draw rows of the old or of the new concept."""
    rng = np.random.default_rng(seed)
    rows = make(rng)(which, rng)
    return rows.frame.to_numpy(), rows.y


@pytest.mark.parametrize(("which", "threshold"), [(OLD, 9), (NEW, 7)])
def test_sea_has_a_threshold_and_a_tenth_of_noise(which: Floats, threshold: float) -> None:
    """Nine of ten labels say whether the first two attributes sum to at most the threshold of the concept."""
    X, y = drawn(sea, which)

    assert np.mean((X[:, 0] + X[:, 1] <= threshold) == y) == pytest.approx(0.9, abs=0.01)
    assert X.min() >= 0
    assert 9.9 < X.max() < 10


def test_hyperplane_turns_and_halves_the_cube() -> None:
    """Positives are half of the rows before and after the turn, and the plane is another one."""
    (X, old), (_, new) = drawn(hyperplane, OLD), drawn(hyperplane, NEW)

    assert old.mean() == pytest.approx(0.5, abs=0.02)
    assert new.mean() == pytest.approx(0.5, abs=0.02)
    # The noise alone would make 2 x 0.05 x 0.95 of the labels different.
    assert np.mean(old != new) > 0.095 + 0.1
    assert X.shape == (20_000, 10)


def test_led_shows_digits_and_then_moves_three_segments() -> None:
    """Each segment shows its digit in nine of ten rows; after the change three columns no longer do."""
    shows = []
    for which in (OLD, NEW):
        X, y = drawn(led, which)
        shows.append(np.mean(X[:, :7] == DIGITS[y], axis=0))
    agrees = np.array(shows)

    assert agrees[0] == pytest.approx(np.full(7, 0.9), abs=0.01)
    assert np.count_nonzero(agrees[1] < 0.6) == 3


def test_no_two_digits_look_alike() -> None:
    """A display shows ten different digits."""
    assert len(np.unique(DIGITS, axis=0)) == 10


def test_progress_jumps_or_rises_from_the_change_point_on() -> None:
    """An abrupt change is complete at its first row, a gradual one after its width, and neither begins before."""
    abrupt, gradual = progress(10_000, 4_000, "abrupt"), progress(10_000, 4_000, "gradual")

    assert (abrupt[3_999], abrupt[4_000]) == (0, 1)
    assert (gradual[3_999], gradual[4_000 + WIDTH - 1]) == (0, 1)
    assert 0 < gradual[4_000] < gradual[4_001] < 1
    assert not progress(10, None, "none").any()


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("kind", ["none", "abrupt", "gradual"])
def test_made_streams_are_seeded_and_have_their_change_point(name: str, kind: Kind) -> None:
    """The same seed gives the same rows; rows before the change are those of every kind of change."""
    one, again = stream(name, kind, 3), stream(name, kind, 3)

    assert one.rows.frame.equals(again.rows.frame)
    assert (len(one.train), len(one.holdout)) == (TRAIN, HOLDOUT)
    if one.change is None:
        assert len(one.rows) == QUIET
    else:
        assert len(one.rows) - one.change == AFTER


def test_public_stream_has_later_rows_after_its_change_point_only() -> None:
    """Rows before the change point are of the earlier period, rows after it of the later one, in time order."""
    shared_data("bank_marketing")
    found = stream("bank marketing", "abrupt", 0)
    rate = found.rows.frame["euribor3m"].to_numpy()
    assert found.change is not None

    assert rate[: found.change].min() > 4.8
    assert rate[-1] < 1.5
    assert "duration" not in found.rows.frame
