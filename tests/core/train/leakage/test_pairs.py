"""Pairs of columns that predict the target together."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from core.train.leakage.pairs import MAX_SCREENED, Pair, Table, n_unscreened, pair_scores, triple_scores
from core.train.leakage.scores import single_feature_score

N = 2000
RNG = np.random.default_rng(0)
A, B, NOISE = RNG.lognormal(2, 0.5, N), RNG.lognormal(2, 0.5, N), RNG.normal(size=N)


def table(y: npt.NDArray[Any], columns: dict[str, npt.NDArray[Any]], dates: frozenset[str] = frozenset()) -> Table:
    """Make a regression's columns."""
    found = {"noise": NOISE, **columns}
    scores = {name: single_feature_score(x, y, "regression") for name, x in found.items()}
    return Table(found, dates, y, "regression", scores)


def best(found: Table) -> Pair:
    """Return the best pair."""
    return pair_scores(found)[0]


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (A + B, "{} plus {}"),
        (A - B, "{} minus {}"),
        (3 * A - 2 * B, "a weighted sum of {} and {}"),
        (A * B, "{} times {}"),
        (5 * A / B, "{} divided by {}"),
        (A / B**2, "a product of powers of {} and {}"),
    ],
)
def test_formulas_of_two_numbers_are_found_and_named(y: npt.NDArray[Any], words: str) -> None:
    """Sums, differences, products, ratios and powers reach 1, which neither column does."""
    pair = best(table(y, {"a": A, "b": B}))
    assert (set(pair.names), pair.words) == ({"a", "b"}, words)
    assert pair.score > 0.999
    assert pair.alone < 0.9


def test_a_difference_of_dates_is_found_far_from_the_epoch() -> None:
    """Minutes between moments in 2024 keep their digits, also where a third of them is missing."""
    start = 1.7e9 + np.floor(RNG.uniform(0, 3e7, N))
    seconds = np.floor(60 * A)
    end = np.where(RNG.random(N) < 1 / 3, np.nan, start + seconds)
    pair = best(table(seconds / 60, {"start": start, "end": end}, frozenset({"start", "end"})))
    assert (set(pair.names), pair.words) == ({"start", "end"}, "{} minus {}")
    assert pair.score > 0.9999


def test_times_of_day_are_subtracted_in_minutes_and_around_midnight() -> None:
    """From 2350 to 0010 is 20 minutes."""
    planned = RNG.integers(0, 1440, N)
    delay = RNG.integers(-20, 120, N)
    actual = (planned + delay) % 1440
    clocks = {"planned": planned // 60 * 100 + planned % 60.0, "actual": actual // 60 * 100 + actual % 60.0}
    pair = best(table(delay.astype(float), clocks))
    assert set(pair.names) == {"planned", "actual"}
    assert "times of day" in pair.words
    assert pair.score > 0.999


def test_an_amount_in_several_currencies_is_found() -> None:
    """A level per row says which line leads from the amount to the target."""
    currency = RNG.choice(np.array(["EUR", "JPY"], dtype=object), N)
    local = A * np.where(currency == "JPY", 150, 0.9)
    pair = best(table(A, {"currency": currency, "local": local}))
    assert set(pair.names) == {"currency", "local"}
    assert pair.score > 0.999


def test_a_table_of_two_levels_is_found() -> None:
    """Where neither column says anything alone, their combination may give the class."""
    first, second = (RNG.choice(np.array(["a", "b"], dtype=object), N) for _ in range(2))
    y = (first == second).astype(int)
    columns = {"first": first, "second": second, "noise": NOISE}
    scores = {name: single_feature_score(x, y, "binary") for name, x in columns.items()}
    pair = best(Table(columns, frozenset(), y, "binary", scores))
    assert set(pair.names) == {"first", "second"}
    assert pair.score == 1.0


def test_a_pair_is_found_that_completes_the_best_column() -> None:
    """Lateness is the delay at departure, plus elapsed minus planned minutes, which say nothing by themselves."""
    planned = RNG.uniform(60, 400, N)
    gained, start = RNG.normal(scale=12, size=N), RNG.exponential(20, N)
    columns = {"noise": NOISE, "planned": planned, "elapsed": planned + gained, "start": start}
    y = (start + gained > 25).astype(int)
    scores = {name: single_feature_score(x, y, "binary") for name, x in columns.items()}
    triple = triple_scores(Table(columns, frozenset(), y, "binary", scores))[0]
    assert set(triple.names) == {"planned", "elapsed", "start"}
    assert triple.score > 0.999
    assert triple.alone < 0.95


def test_noise_makes_no_pair() -> None:
    """Of forty columns of noise no pair is far better than its columns."""
    columns = {f"n{i}": RNG.normal(size=N) for i in range(40)}
    assert all(pair.score < 0.05 for pair in pair_scores(table(RNG.normal(size=N), columns)))


def test_columns_beyond_the_limit_are_counted() -> None:
    """What was not looked at is known."""
    columns = {f"n{i}": NOISE for i in range(MAX_SCREENED + 7)}
    found = Table(columns, frozenset(), NOISE, "regression", dict.fromkeys(columns, 0.0))
    assert n_unscreened(found) == 7
    assert len(found.numbers) == MAX_SCREENED
