"""Which columns are suspected of being known only after the target, and which are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn import datasets

from core.train.leakage.pairs import Table
from core.train.leakage.scores import single_feature_score
from core.train.leakage.suspects import (
    Suspects,
    follows,
    is_prediction,
    marked_share,
    standard_error,
    suspects,
)

N = 3000
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 4))
SIGNAL = X[:, 0] + 0.7 * X[:, 1] - 0.5 * X[:, 2]
CHANCE = 1 / (1 + np.exp(-1.5 * SIGNAL))
CLASSES = (RNG.random(N) < CHANCE).astype(int)
AMOUNTS = np.exp(3 + 0.5 * SIGNAL + 0.2 * RNG.normal(size=N))


def found_in(y: npt.NDArray[Any], columns: dict[str, npt.NDArray[Any]], target: str = "y", **options: Any) -> Suspects:
    """Judge columns beside four honest ones."""
    task = "binary" if len(np.unique(y)) == 2 else "regression"
    every = {**{f"x{i}": X[: len(y), i] for i in range(4)}, **columns}
    scores = {name: single_feature_score(x, y, task) for name, x in every.items()}
    return suspects(Table(every, options.get("dates", frozenset()), y, task, scores), target)


def names(found: Suspects) -> set[str]:
    """Return all columns that are suspected."""
    return {name for suspect in found.found for name in suspect.names}


def test_honest_features_are_not_suspected() -> None:
    """Strong features of classes and of amounts cause no remark."""
    assert found_in(CLASSES, {}) == Suspects()
    assert found_in(AMOUNTS, {}) == Suspects()


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "diabetes", "digits"])
def test_known_sets_without_leakage_cause_no_remark(name: str) -> None:
    """Their single features are strong: petals reach an AUC of 0.99, tumours one of 0.98."""
    data = getattr(datasets, f"load_{name}")(as_frame=True)
    task = {"diabetes": "regression", "breast_cancer": "binary"}.get(name, "multiclass")
    y = data.target.to_numpy()
    columns = {key: x.to_numpy(dtype=np.float64) for key, x in data.data.items()}
    scores = {key: single_feature_score(x, y, task) for key, x in columns.items()}
    assert suspects(Table(columns, frozenset(), y, task, scores), "target") == Suspects()


def test_a_pair_that_reproduces_the_target_is_certain() -> None:
    """Of two dates the one that is never earlier is known later; of two numbers either may be."""
    start = 1.7e9 + np.floor(RNG.uniform(0, 3e7, N))
    dates = {"start": start, "stop": start + np.floor(60 * AMOUNTS)}
    [pair] = found_in(AMOUNTS, dates, dates=frozenset(dates)).certain
    assert (set(pair.names), pair.later) == ({"start", "stop"}, ("stop",))
    base = RNG.lognormal(3, 1, N)
    [pair] = found_in(AMOUNTS, {"base": base, "billed": base + AMOUNTS}).certain
    assert set(pair.later) == {"base", "billed"}
    [pair] = found_in(AMOUNTS, {"base": base, "final_bill": base + AMOUNTS}).certain
    assert pair.later == ("final_bill",)


def test_predictions_of_an_earlier_model_are_suspected_whatever_their_name() -> None:
    """Probabilities, their log odds and predicted amounts."""
    noisy = SIGNAL + 0.1 * RNG.normal(size=N)
    assert names(found_in(CLASSES, {"v": 1 / (1 + np.exp(-1.5 * noisy))})) == {"v"}
    assert names(found_in(CLASSES, {"model_score": noisy})) == {"model_score"}
    assert names(found_in(AMOUNTS, {"v": np.exp(3 + 0.5 * noisy)})) == {"v"}


def test_a_score_that_the_others_add_to_is_a_feature() -> None:
    """A credit score is an ordinary feature, whatever its name."""
    assert found_in(CLASSES, {"credit_score": SIGNAL + 2 * RNG.normal(size=N)}) == Suspects()


def test_an_earlier_value_of_the_target_is_a_feature() -> None:
    """It is as near to the target as a prediction, but its name says that it is known."""
    value = AMOUNTS + 5 * RNG.normal(size=N)
    assert found_in(AMOUNTS, {"sales_previous_week": value}) == Suspects()
    assert names(found_in(AMOUNTS, {"sales_actual": value})) == {"sales_actual"}


def test_labels_made_of_the_target_are_suspected() -> None:
    """A class above a bound explains half of the variance only, and follows from the target nevertheless."""
    late = np.where(np.quantile(AMOUNTS, 0.8) < AMOUNTS, "late", "in time").astype(object)
    [suspect] = found_in(AMOUNTS, {"status": late}).found
    assert suspect.names == ("status",)
    assert suspect.score < 0.8
    assert "follows from the target" in suspect.remark
    noisy = np.where(AMOUNTS + 3 * RNG.normal(size=N) > 40, "late", "in time").astype(object)
    assert not follows(noisy, AMOUNTS, "regression")


def test_a_name_is_evidence_only_with_what_the_column_achieves() -> None:
    """A duration that is as good as all others is asked about; one that says little is not."""
    strong = 2 * CLASSES + 1.3 * RNG.normal(size=N)
    [suspect] = found_in(CLASSES, {"duration": strong}).found
    assert "'duration'" in suspect.remark
    assert "features.ignored" in suspect.remark
    assert found_in(CLASSES, {"duration": RNG.normal(size=N)}) == Suspects()
    assert found_in(CLASSES, {"duration": CLASSES + 1.5 * RNG.normal(size=N)}) == Suspects()


def test_a_value_that_only_one_class_has_is_suspected() -> None:
    """Amounts, dates and levels that half of a class has and no other row; a part of the rest is enough to clear it."""
    half = ((CLASSES.mean() < 0.5) == CLASSES) & (RNG.random(N) < 0.5)
    for x in (
        np.where(half, RNG.lognormal(size=N), 0.0),
        np.where(half, RNG.lognormal(size=N), np.nan),
        np.where(half, "sold", "kept").astype(object),
    ):
        [suspect] = found_in(CLASSES, {"v": x}).found
        assert "occurs only in one class" in suspect.remark
        assert marked_share(x, CLASSES) == pytest.approx(0.5, abs=0.05)
    some = half | (RNG.random(N) < 0.02)
    assert marked_share(np.where(some, 1.0, 0.0), CLASSES) == 0


def test_three_columns_that_separate_two_classes_are_suspected() -> None:
    """The remark names them; none of them is left out."""
    planned, gained, start = RNG.uniform(60, 400, N), RNG.normal(scale=12, size=N), RNG.exponential(20, N)
    y = (start + gained > 25).astype(int)
    found = found_in(y, {"planned": planned, "minutes": planned + gained, "start": start})
    assert {"planned", "minutes", "start"} in [set(suspect.names) for suspect in found.found]
    assert not found.certain


def test_a_total_is_asked_about() -> None:
    """Its name and that it is never below the target are the evidence."""
    other = RNG.lognormal(2, 1, N)
    assert names(found_in(AMOUNTS, {"total": AMOUNTS + other})) == {"total"}
    assert found_in(AMOUNTS, {"total": other}) == Suspects()


def test_a_perfect_pair_of_few_rows_is_not_certain() -> None:
    """Two columns may separate a hundred rows by chance."""
    base = RNG.normal(size=120)
    y = (RNG.random(120) < 0.5).astype(int)
    found = found_in(y, {"a": base, "b": base + y})
    assert not found.certain


def test_standard_errors_are_those_of_resampled_scores() -> None:
    """Hanley and McNeil's variance, compared with two hundred samples."""
    aucs = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        y = np.arange(400) % 4 == 0
        x = y + rng.normal(size=400)
        aucs.append(np.mean(x[y][:, None] > x[~y][None, :]))
    assert standard_error(float(np.mean(aucs)), y.astype(int), "binary") == pytest.approx(np.std(aucs), rel=0.2)


def test_probabilities_are_recognised_in_a_sample_of_equal_classes() -> None:
    """They are calibrated to the shares of the classes in all rows."""
    p = 1 / (1 + np.exp(-(1.5 * SIGNAL - 3)))
    y = (RNG.random(N) < p).astype(int)
    rows = np.concatenate([np.flatnonzero(y == 1), np.flatnonzero(y == 0)[: y.sum()]])
    shares = np.array([1 - y.mean(), y.mean()])
    assert is_prediction(p, y, "binary", 0.8)
    assert is_prediction(p[rows], y[rows], "binary", 0.8, shares)
    assert not is_prediction(p[rows], y[rows], "binary", 0.8)
    assert not is_prediction(np.sqrt(p), y, "binary", 0.8)
