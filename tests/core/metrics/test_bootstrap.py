from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap
from sklearn.metrics import brier_score_loss, roc_auc_score

from core.metrics import bootstrap as intervals
from core.metrics.bootstrap import MIN_ROWS, Estimate, estimates, influence_interval
from core.metrics.metrics import METRICS, Floats, Scale, metric_values, task_metrics
from tests.core.samples import SAMPLES, binary_sample, multiclass_sample, regression_sample
from tests.work import measured


def _ends(estimate: Estimate) -> Floats:
    assert estimate.low is not None
    assert estimate.high is not None
    return np.array([estimate.low, estimate.high])


def _intervals(task: str, n: int, seed: int) -> dict[str, Estimate]:
    return estimates(*SAMPLES[task](n, seed), task_metrics(task), resamples=500, confidence=0.95, seed=seed)


@pytest.mark.parametrize("large", [False, True], ids=["resampled", "by influence"])
@pytest.mark.parametrize("task", SAMPLES)
def test_intervals_cover_the_truth_as_often_as_they_say(
    task: str, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 300 intervals of 95 % around samples of 200 rows, 92 to 98 % hold the value of endless rows."""
    if large:
        monkeypatch.setattr(intervals, "BOOTSTRAP_CELLS", 0)
    truth = metric_values(*SAMPLES[task](400_000, 999), task_metrics(task))
    found = [_intervals(task, 200, seed) for seed in range(300)]
    for name, value in truth.items():
        low, high = np.array([_ends(part[name]) for part in found]).T
        covered = ((low <= value) & (value <= high)).mean()
        assert 0.92 <= covered <= 0.98, name


@pytest.mark.parametrize("name", ["roc_auc", "brier"])
def test_resampled_intervals_equal_scipys(name: str) -> None:
    """The bias-corrected and accelerated interval agrees with SciPy's on the same rows."""
    y, output = binary_sample(120, 1)
    score = {"roc_auc": roc_auc_score, "brier": brier_score_loss}[name]

    def statistic(rows: Floats) -> float:
        chosen = rows.astype(int)
        return float(score(y[chosen], output[chosen, 1]))

    expected = bootstrap(
        (np.arange(120),), statistic, n_resamples=1200, vectorized=False, method="BCa", rng=np.random.default_rng(1)
    ).confidence_interval
    found = estimates(y, output, (name,), resamples=2000, confidence=0.95, seed=2)[name]
    width = expected.high - expected.low
    np.testing.assert_allclose(_ends(found), np.array(expected), atol=0.1 * width)


@pytest.mark.parametrize("task", SAMPLES)
def test_both_methods_agree_where_one_takes_over(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the size where influence replaces resampling, the ends differ by less than a tenth of the width."""
    y, output = SAMPLES[task](3_300, 3)
    names = task_metrics(task)
    resampled = estimates(y, output, names, resamples=2000, confidence=0.95, seed=0)
    monkeypatch.setattr(intervals, "BOOTSTRAP_CELLS", 0)
    by_influence = estimates(y, output, names, resamples=2000, confidence=0.95, seed=0)
    for name in names:
        low, high = _ends(resampled[name])
        np.testing.assert_allclose(_ends(by_influence[name]), [low, high], atol=0.1 * (high - low), err_msg=name)


def test_the_seed_decides_the_intervals() -> None:
    """The same seed gives the same bits, another seed others."""
    y, output = binary_sample(300, 1)
    first, again, other = (
        estimates(y, output, ("roc_auc",), resamples=500, confidence=0.95, seed=seed) for seed in (0, 0, 1)
    )
    assert first == again
    assert first["roc_auc"].low != other["roc_auc"].low


def test_more_confidence_is_wider() -> None:
    """An interval of 99 % holds the one of 80 %."""
    y, output = binary_sample(300, 1)
    narrow, wide = (
        estimates(y, output, ("brier",), resamples=500, confidence=level, seed=0)["brier"] for level in (0.8, 0.99)
    )
    ends = [_ends(wide)[0], _ends(narrow)[0], narrow.value, _ends(narrow)[1], _ends(wide)[1]]
    assert ends == sorted(ends)


def test_few_rows_get_values_without_intervals() -> None:
    """Below the least number of rows there is a value and no interval."""
    y, output = regression_sample(MIN_ROWS - 1, 1)
    found = estimates(y, output, ("mae",), resamples=500, confidence=0.95, seed=0)["mae"]
    assert found == Estimate(METRICS["mae"].value(y, output), None, None)


def test_rows_that_all_score_alike_get_no_interval() -> None:
    """Fifty right answers do not prove that none is ever wrong: an interval from 1 to 1 would say so."""
    y = np.tile([0, 1], 25)
    output = np.column_stack([0.9 - 0.8 * y, 0.1 + 0.8 * y])
    found = estimates(y, output, task_metrics("binary"), resamples=100, confidence=0.95, seed=0)
    assert {name: (part.low, part.high) for name, part in found.items()} == dict.fromkeys(found, (None, None))


@pytest.mark.parametrize("large", [False, True], ids=["resampled", "by influence"])
def test_one_class_gets_the_metrics_that_are_left(large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of one class have no AUC, but a log loss with an interval."""
    if large:
        monkeypatch.setattr(intervals, "BOOTSTRAP_CELLS", 0)
    _, output = binary_sample(100, 1)
    found = estimates(np.zeros(100, int), output, task_metrics("binary"), resamples=100, confidence=0.95, seed=0)
    assert np.isnan(found["roc_auc"].value)
    assert found["roc_auc"].low is None
    assert found["log_loss"].low is not None


def test_a_metric_most_resamples_leave_undefined_gets_no_interval() -> None:
    """With a single positive row a third of the resamples have no AUC."""
    _, output = binary_sample(100, 1)
    found = estimates(np.eye(100, dtype=int)[7], output, ("roc_auc",), resamples=200, confidence=0.95, seed=0)
    assert 0 <= found["roc_auc"].value <= 1
    assert found["roc_auc"].low is None


@pytest.mark.parametrize(("value", "scale"), [(0.99, "unit"), (0.01, "positive"), (0.99, "below_one")])
def test_intervals_by_influence_respect_the_metrics_bounds(value: float, scale: Scale) -> None:
    """A wide interval near a bound ends before it and holds the value."""
    low, high = influence_interval(value, 0.02, scale, 0.95)
    assert low < value < high
    assert low > 0 if scale == "positive" else high < 1


def test_two_hundred_thousand_rows_take_little_work() -> None:
    """All binary metrics of 200,000 rows: some units of :mod:`tests.work`, bounded far above."""
    sample = binary_sample(200_000, 1)
    with measured() as work:
        found = estimates(*sample, task_metrics("binary"), resamples=500, confidence=0.95, seed=0)
    assert work.units < 40
    assert found["average_precision"].low is not None


def test_many_classes_stay_within_bounds() -> None:
    """Twenty classes, some absent from the rows, give finite intervals."""
    y, output = multiclass_sample(120, 1, n_classes=20)
    found = estimates(y, output, task_metrics("multiclass"), resamples=100, confidence=0.95, seed=0)
    assert all(part.low is not None and part.low <= part.value for part in found.values())
