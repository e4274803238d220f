import numpy as np
import pytest

from core.train.leakage.scores import additive_score, grouped_score, linear_leak, single_feature_score

RNG = np.random.default_rng(0)
N = 4000


def test_a_column_that_separates_the_classes_scores_one_in_either_direction() -> None:
    """Order does not matter: small numbers may stand for the positive class."""
    x = RNG.normal(size=N)
    y = (x > 0.3).astype(int)
    assert single_feature_score(x, y, "binary") == 1.0
    assert single_feature_score(-x, y, "binary") == 1.0


def test_noise_scores_like_chance() -> None:
    """Nothing is memorised: not even by a text column that is different in every row."""
    y = RNG.integers(0, 2, N)
    names = np.array([f"row {i}" for i in range(N)], dtype=object)
    assert single_feature_score(RNG.normal(size=N), y, "binary") < 0.55
    assert single_feature_score(names, y, "binary") < 0.55
    assert single_feature_score(names, RNG.normal(size=N), "regression") < 0.01


def test_missing_values_can_give_the_answer_away() -> None:
    """A column filled only for one class is found, also when it is rare."""
    y = (RNG.random(N) < 0.02).astype(int)
    closed_on = np.where(y == 1, RNG.normal(size=N), np.nan)
    assert single_feature_score(closed_on, y, "binary") > 0.99


def test_levels_are_scored_by_their_means() -> None:
    """Text levels that name the class are found for two classes and for more."""
    y = RNG.integers(0, 3, N)
    status = np.array(["open", "closed", "lost"], dtype=object)[y]
    assert single_feature_score(status, y, "multiclass") == pytest.approx(1.0)
    assert single_feature_score(status[y < 2], y[y < 2], "binary") == pytest.approx(1.0)


@pytest.mark.parametrize("function", [np.exp, np.square, np.sin])
def test_a_function_of_the_target_scores_one_in_a_regression(function: np.ufunc) -> None:
    """Heavy tails, curves and waves included."""
    x = RNG.normal(size=N) * 3
    assert single_feature_score(x, function(x), "regression") > 0.99


def test_a_strong_honest_feature_stays_below_the_bound() -> None:
    """Four fifths of the variance explained is no leak."""
    x = RNG.normal(size=N)
    assert 0.7 < single_feature_score(x, x + 0.5 * RNG.normal(size=N), "regression") < 0.85


def test_the_parts_of_a_sum_are_found_among_other_columns() -> None:
    """The smallest set is named, whatever the weights, and columns with gaps do not disturb."""
    X = RNG.normal(size=(N, 12)) * 10.0 ** np.arange(12)
    y = 2 * X[:, 3] - 0.5 * X[:, 4]
    X[::7, 9] = np.nan
    assert linear_leak(X, y) == (3, 4)


def test_no_sum_is_found_where_there_is_none() -> None:
    """Many columns on few rows fit by chance only in sample."""
    X = RNG.normal(size=(60, 50))
    assert linear_leak(X, RNG.normal(size=60)) == ()
    assert linear_leak(X, np.ones(60)) == ()


def test_groups_score_as_levels_do() -> None:
    """A table of two columns is scored as a column of its cells."""
    y = RNG.integers(0, 3, N)
    assert grouped_score(y.astype(np.int64), y, "multiclass") == 1.0
    assert grouped_score(RNG.integers(0, 9, N), y, "multiclass") < 0.55


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_columns_together_score_more_than_each_alone(task: str) -> None:
    """Numbers, curves and levels are added up."""
    levels = RNG.choice(np.array(["a", "b"], dtype=object), N)
    x = RNG.normal(size=(2, N))
    signal = x[0] + x[1] ** 2 + 2 * (levels == "a")
    y = {"regression": signal, "binary": signal > 2, "multiclass": np.digitize(signal, [1, 3])}[task]
    columns = [x[0], x[1], levels]
    together = additive_score(columns, np.asarray(y), task)
    assert together > max(single_feature_score(column, np.asarray(y), task) for column in columns) + 0.05
    assert together > 0.85
