from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import ndtri
from scipy.stats import bootstrap, norm, poisson, ttest_1samp
from scipy.stats import t as student
from sklearn import metrics as reference

from core.metrics import paired
from core.metrics.bootstrap import MIN_ROWS
from core.metrics.clusters import Clusters, Grouping
from core.metrics.metrics import METRICS, Errors, Floats, Labels, metric_values, task_metrics
from core.metrics.paired import Difference, p_worse, paired_differences, paired_gain, rows_needed
from tests.core.samples import SAMPLES, Sample, binary_sample, multiclass_sample, regression_sample
from tests.work import measured

RESAMPLED = {
    "binary": ("log_loss", "brier", "accuracy", "f1"),
    "multiclass": ("log_loss", "brier", "accuracy", "f1"),
    "regression": ("rmse", "mae", "r2"),
}


def _blurred(output: Floats, by: float, seed: int, digits: int = 12) -> Floats:
    """Predictions made worse by noise; probabilities keep their sum, few digits give ties."""
    noise = by * np.random.default_rng((seed, 77)).normal(size=output.shape)
    if output.ndim == 1:
        return np.asarray(output + noise)
    odds = output * np.exp(noise)
    chances = np.round(odds / odds.sum(axis=1, keepdims=True), digits)
    return np.column_stack([1 - chances[:, 1:].sum(axis=1), chances[:, 1:]])


def _difference(y: npt.NDArray[Any], champion: Floats, challenger: Floats, metric: str, **changes: Any) -> Difference:
    settings: dict[str, Any] = {"resamples": 500, "confidence": 0.95, "seed": 0, **changes}
    return paired_differences(y, champion, {"challenger": challenger}, metric, **settings)["challenger"]


def _known(*values: float | None) -> Floats:
    assert all(value is not None for value in values)
    return np.array(values, dtype="float64")


def _every_metric() -> list[tuple[str, str]]:
    return [(task, name) for task in SAMPLES for name in task_metrics(task)]


def _placements(y: npt.NDArray[Any], score: Floats) -> tuple[Floats, Floats]:
    """Share of the other class that each event and each other row is on the right side of, by comparing all pairs."""
    events, others = score[y == 1][:, None], score[y == 0][None]
    right = (events > others) + 0.5 * (events == others)
    return right.mean(axis=1), right.mean(axis=0)


def _delong(y: npt.NDArray[Any], first: Floats, second: Floats) -> tuple[float, float]:
    """Difference of two AUCs and its standard error by DeLong's covariance matrices."""
    placed = [_placements(y, score) for score in (first, second)]
    by_event = np.cov(np.array([part[0] for part in placed]))
    by_other = np.cov(np.array([part[1] for part in placed]))
    covariance = by_event / (y == 1).sum() + by_other / (y == 0).sum()
    contrast = np.array([-1.0, 1.0])
    return placed[1][0].mean() - placed[0][0].mean(), float(np.sqrt(contrast @ covariance @ contrast))


@pytest.mark.parametrize("digits", [12, 1], ids=["no ties", "ties"])
@pytest.mark.parametrize("rate", [0.2, 0.03])
def test_auc_equals_an_independent_delong(digits: int, rate: float) -> None:
    """Gain, standard error and interval are those of DeLong's covariance of placements, counted pair by pair."""
    y, output = binary_sample(700, 1, rate)
    champion, challenger = _blurred(output, 0.5, 1, digits), _blurred(output, 0.3, 2, digits)
    gain, error = _delong(y, champion[:, 1], challenger[:, 1])
    found = _difference(y, champion, challenger, "roc_auc", confidence=0.9)
    expected = [gain, error, gain - ndtri(0.95) * error, gain + ndtri(0.95) * error]
    np.testing.assert_allclose(
        _known(found.gain, found.standard_error, found.low, found.high), expected, rtol=0, atol=1e-12
    )
    assert found.method == "DeLong"


def test_auc_worked_by_hand() -> None:
    """Two rankings of eight kinds of row, five of each, whose placements and variances are counted on paper."""
    y = np.repeat([1, 1, 1, 1, 0, 0, 0, 0], 5)
    second = np.repeat([0.9, 0.8, 0.7, 0.6, 0.1, 0.1, 0.1, 0.1], 5)
    first = np.repeat([0.9, 0.8, 0.7, 0.6, 0.1, 0.1, 0.75, 0.1], 5)
    # First: the events' placements are 1, 1, 3/4, 3/4 and the others' 1, 1, 1/2, 1; second: all are 1. The differences
    # have mean 1/8 and variances (1/64) 20/19 over the 20 events and (3/64) 20/19 over the 20 others.
    champion, challenger = (np.column_stack([1 - score, score]) for score in (first, second))
    found = _difference(y, champion, challenger, "roc_auc")
    assert (found.champion, found.challenger, found.gain) == (0.875, 1.0, 0.125)
    assert found.standard_error == pytest.approx(np.sqrt((1 / 64 + 3 / 64) / 19))


def test_several_classes_average_their_rankings() -> None:
    """The AUC's gain is the mean of the classes' DeLong gains, and less noisy than the noisiest of them."""
    y, output = multiclass_sample(3_000, 1)
    champion, challenger = _blurred(output, 0.9, 1), _blurred(output, 0.1, 2)
    found = _difference(y, champion, challenger, "roc_auc")
    singles = [_delong((y == code).astype(int), champion[:, code], challenger[:, code]) for code in range(3)]
    assert found.gain == pytest.approx(np.mean([gain for gain, _ in singles]), abs=1e-12)
    assert found.standard_error is not None
    assert 0 < found.standard_error < max(error for _, error in singles)


@pytest.mark.parametrize(("task", "metric"), _every_metric())
def test_a_better_challenger_gains_whatever_the_metrics_direction(task: str, metric: str) -> None:
    """Against answers that went to the wrong rows any metric gains; the other way round it loses as much."""
    y, output = SAMPLES[task](2_000, 1)
    worse, better = np.concatenate([np.roll(output[:1_000], 1, axis=0), output[1_000:]]), _blurred(output, 0.1, 2)
    up, down = _difference(y, worse, better, metric), _difference(y, better, worse, metric)
    assert up.low is not None
    assert up.low > 0
    np.testing.assert_allclose(_known(down.gain, down.standard_error), _known(up.gain, up.standard_error) * [-1, 1])
    values = [metric_values(y, output, (metric,))[metric] for output in (worse, better)]
    assert [up.champion, up.challenger] == pytest.approx(values)


@pytest.mark.parametrize(("task", "metric"), _every_metric())
def test_equal_outputs_tie_exactly(task: str, metric: str) -> None:
    """A model against itself has gain, noise and interval 0, not a rounding error's worth, also on a small slice."""
    y, output = SAMPLES[task](200, 1)
    found = _difference(y, output, output.copy(), metric)
    assert (found.gain, found.standard_error, found.low, found.high) == (0, 0, 0, 0)
    assert p_worse(y, found, 0.0) == 1
    small = paired_gain(y[:20], output[:20], output[:20].copy(), metric, 0.95)
    assert (small.gain, small.low, small.high) == (0, 0, 0)


def test_rounding_is_no_gain() -> None:
    """Predictions that differ in the last bit tie, however surely one of them is the better."""
    y, output = regression_sample(500, 1)
    closer = output + np.spacing(output) * np.sign(y - output)
    found = _difference(y, output, closer, "rmse")
    assert (found.gain, found.low, found.high) == (0, 0, 0)


@pytest.mark.parametrize("task", SAMPLES)
def test_resamples_are_scikit_learns_values_of_repeated_rows(task: str) -> None:
    """Each resample's gain is the metric of the rows repeated as often as its weights say, minus the champion's."""
    y, output = SAMPLES[task](90, 3)
    champion, challenger = _blurred(output, 0.5, 1), _blurred(output, 0.5, 2)
    weights = paired._poisson_weights(np.random.default_rng(5), 4, 90).astype(int)
    for name in RESAMPLED[task]:
        pair = paired._Pair(paired._side(y, champion, name), paired._side(y, challenger, name), name)
        found = paired._resampled_gains({"x": pair}, pair.champion, 4, 5)["x"]
        sign = 1 if METRICS[name].greater_is_better else -1
        expected = [
            sign * (_score(name, y, challenger, counts) - _score(name, y, champion, counts)) for counts in weights
        ]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12, err_msg=name)


def _score(name: str, y: npt.NDArray[Any], output: Floats, counts: npt.NDArray[np.int_]) -> float:
    y, output = np.repeat(y, counts), np.repeat(output, counts, axis=0)
    labels = output.argmax(axis=1) if output.ndim == 2 else None
    average = "binary" if output.ndim == 2 and output.shape[1] == 2 else "macro"
    scores: dict[str, Callable[[], float]] = {
        "log_loss": lambda: reference.log_loss(y, output),
        "brier": lambda: reference.brier_score_loss(y, output[:, 1] if average == "binary" else output),
        "accuracy": lambda: reference.accuracy_score(y, labels),
        "f1": lambda: reference.f1_score(y, labels, average=average),
        "rmse": lambda: reference.root_mean_squared_error(y, output),
        "mae": lambda: reference.mean_absolute_error(y, output),
        "r2": lambda: reference.r2_score(y, output),
    }
    return float(scores[name]())


@pytest.mark.parametrize("metric", ["mae", "rmse"])
def test_a_skewed_gain_has_scipys_interval(metric: str) -> None:
    """A few rows that gain much: the ends are those of SciPy's BCa, at the level that Student's quantile asks for."""
    generator = np.random.default_rng(3)
    y, challenger = generator.normal(size=(2, 150))
    champion = challenger + generator.lognormal(-1, 0.8, 150) * np.sign(challenger - y)
    found = _difference(y, champion, challenger, metric, resamples=20_000)
    assert found.freedom is not None
    level = 2 * norm.cdf(student.ppf(0.975, found.freedom) * np.sqrt(150 / 149)) - 1

    def gain(rows: Floats) -> float:
        chosen = rows.astype(int)
        before, after = (metric_values(y[chosen], output[chosen], (metric,)) for output in (champion, challenger))
        return before[metric] - after[metric]

    expected = bootstrap(
        (np.arange(150),), gain, n_resamples=6_000, vectorized=False, confidence_level=level, rng=generator
    ).confidence_interval
    ends = _known(found.low, found.high)
    np.testing.assert_allclose(ends, np.array(expected), atol=0.05 * (expected.high - expected.low))
    assert ends[1] - found.gain > found.gain - ends[0]


def test_blocks_of_rows_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows in many small blocks spread as rows in one: the standard error differs by its own noise at most."""
    y, output = regression_sample(1_000, 1)
    models = _blurred(output, 0.5, 1), _blurred(output, 0.5, 2)
    whole = _difference(y, *models, "mae", resamples=5_000)
    monkeypatch.setattr(paired, "BLOCK_ROWS", 64)
    monkeypatch.setattr(paired, "CHUNK_NUMBERS", 1_000)
    parts = _difference(y, *models, "mae", resamples=5_000)
    assert parts.gain == whole.gain
    assert parts.standard_error != whole.standard_error
    assert parts.standard_error == pytest.approx(whole.standard_error, rel=0.05)


def test_weights_are_nearly_poisson() -> None:
    """A million weights have the frequencies of the Poisson distribution with mean 1 to within half a percent."""
    weights = paired._poisson_weights(np.random.default_rng(0), 1_000, 1_001)
    assert weights.shape == (1_000, 1_001)
    frequencies = np.bincount(weights.astype(int).ravel(), minlength=7) / weights.size
    np.testing.assert_allclose(frequencies, poisson.pmf(np.arange(7), 1), atol=0.005)
    assert np.corrcoef(weights[:, 0], weights[:, 1])[0, 1] == pytest.approx(0, abs=0.1)


def test_all_weights_together_have_mean_and_variance_one() -> None:
    """The counts to draw from have mean 1 and variance 1 exactly: resamples are neither too alike nor too unlike."""
    counts = paired._pairs_of_counts().view(np.float64)
    assert (counts.mean(), counts.var()) == (1, 1)


@pytest.mark.parametrize(("task", "metric"), _every_metric())
def test_the_noise_is_that_of_repeated_samples(task: str, metric: str) -> None:
    """The standard error is the spread of the gain over 300 fresh samples, within 15 %."""
    gains = []
    for seed in range(300):
        y, output = SAMPLES[task](300, seed)
        values = [
            metric_values(y, _blurred(output, by, seed + shift), (metric,))[metric]
            for by, shift in ((0.8, 1_000), (0.4, 2_000))
        ]
        gains.append(values[1] - values[0])
    y, output = SAMPLES[task](20_000, 999)
    found = _difference(y, _blurred(output, 0.8, 1), _blurred(output, 0.4, 2), metric, resamples=500)
    assert found.standard_error is not None
    assert np.std(gains) == pytest.approx(found.standard_error * np.sqrt(20_000 / 300), rel=0.15)


def test_intervals_cover_a_gain_of_zero_as_often_as_they_say() -> None:
    """Of 400 intervals of 95 % between equally good models on 150 rows, 92 to 98 % hold 0, for mean and ratio alike."""
    for metric in ("rmse", "r2"):
        held = 0
        for seed in range(400):
            y, output = regression_sample(150, seed)
            found = _difference(y, _blurred(output, 0.5, seed), _blurred(output, 0.5, seed + 5_000), metric)
            low, high = _known(found.low, found.high)
            held += low <= 0 <= high
        assert 0.92 <= held / 400 <= 0.98, metric


def test_far_ends_that_resamples_do_not_reach_are_normal() -> None:
    """Where fewer than five resamples lie beyond an end, the interval is symmetric about the gain."""
    y, output = binary_sample(1_000, 1)
    models = _blurred(output, 0.5, 1), _blurred(output, 0.2, 2)
    near, far = (_difference(y, *models, "log_loss", confidence=level) for level in (0.95, 0.999))
    gain = near.gain
    assert far.gain == gain
    assert _known(far.low, far.high).mean() == pytest.approx(gain, rel=1e-12)
    assert _known(near.low, near.high).mean() != pytest.approx(gain, rel=1e-6)
    assert _known(far.low, near.high)[0] < _known(near.low)[0]


def test_the_seed_decides_the_interval() -> None:
    """The same seed gives the same bits whoever else is compared, another seed others."""
    y, output = binary_sample(400, 1)
    models = {"a": _blurred(output, 0.5, 1), "b": _blurred(output, 0.5, 2)}
    both = paired_differences(y, output, models, "brier", resamples=500, confidence=0.95, seed=0)
    assert both["a"] == _difference(y, output, models["a"], "brier")
    assert both["a"] != _difference(y, output, models["a"], "brier", seed=1)


@pytest.mark.parametrize("strange", [np.nan, np.inf])
@pytest.mark.parametrize("metric", ["roc_auc", "log_loss"])
def test_predictions_that_are_not_finite_give_no_gain(metric: str, strange: float) -> None:
    """One NaN or infinity leaves a model's metric and the gain undefined, on either side, as values and not errors."""
    y, output = binary_sample(100, 1)
    broken = output.copy()
    broken[7, 1] = strange
    for champion, challenger in ((broken, output), (output, broken)):
        for found in (
            _difference(y, champion, challenger, metric),
            paired_gain(y, champion, challenger, metric, 0.95),
        ):
            assert (found.gain, found.low, found.high, found.standard_error) == (None, None, None, None)
            assert p_worse(y, found, 0.0) is None
            assert rows_needed(found) is None
    assert _difference(y, output, broken, metric).champion is not None


@pytest.mark.parametrize(
    ("sample", "metric"),
    [
        ((np.zeros(100, int), binary_sample(100, 1)[1]), "roc_auc"),
        ((np.ones(100), regression_sample(100, 1)[1]), "r2"),
        ((np.zeros(0, int), np.zeros((0, 2))), "log_loss"),
        ((np.zeros(0), np.zeros(0)), "rmse"),
    ],
    ids=["one class", "a constant truth", "no rows of classes", "no rows of numbers"],
)
def test_rows_that_leave_the_metric_undefined_give_no_gain(sample: Sample, metric: str) -> None:
    """One class, a constant truth or no row at all: every number is None and no warning is given."""
    y, output = sample
    other = output[::-1].copy()
    for found in (_difference(y, output, other, metric), paired_gain(y, output, other, metric, 0.95)):
        assert (found.champion, found.challenger, found.gain, found.low) == (None, None, None, None)
        assert found.n_rows == len(y)


def test_few_rows_have_a_gain_without_an_interval() -> None:
    """Below the least number of rows the gain stands alone."""
    y, output = regression_sample(MIN_ROWS - 1, 1)
    for found in (
        _difference(y, output, output + 0.5, "mae"),
        paired_gain(y, output, output + 0.5, "mae", 0.95),
    ):
        assert found.gain is not None
        assert (found.low, found.high, found.standard_error) == (None, None, None)
        assert p_worse(y, found, 0.0) is None


def test_a_gain_without_any_spread_has_no_interval() -> None:
    """A hundred rows that one model gets right and the other wrong do not prove that this is always so."""
    y = np.tile([0, 1], 50)
    right = np.column_stack([0.9 - 0.8 * y, 0.1 + 0.8 * y])
    found = _difference(y, right[:, ::-1], right, "accuracy")
    assert (found.gain, found.low, found.high) == (1.0, None, None)


def test_a_metric_most_resamples_leave_undefined_gets_no_interval() -> None:
    """With a single row that is or is called an event, a third of the resamples have no F1."""
    y = np.eye(100, dtype=int)[7]
    never = np.column_stack([np.full(100, 0.9), np.full(100, 0.1)])
    once = never.copy()
    once[7] = [0.1, 0.9]
    found = _difference(y, never, once, "f1")
    assert (found.gain, found.low) == (1.0, None)


def test_a_slice_is_judged_by_students_t() -> None:
    """For a mean, interval and p-value of a slice are those of the paired t-test up to its small-sample factor."""
    y, output = regression_sample(60, 2)
    champion, challenger = _blurred(output, 0.3, 1), _blurred(output, 0.5, 2)
    losses = np.abs(y - champion) - np.abs(y - challenger)
    expected = ttest_1samp(losses, -0.01, alternative="less")
    interval = ttest_1samp(losses, 0).confidence_interval(0.95)
    found = paired_gain(y, champion, challenger, "mae", 0.95)
    assert found.gain == pytest.approx(losses.mean())
    np.testing.assert_allclose(_known(found.low, found.high), interval, rtol=0.05)
    assert p_worse(y, found, 0.01) == pytest.approx(expected.pvalue, abs=0.01)


def test_a_margin_excuses_a_loss() -> None:
    """The more loss is tolerated, the less surely the challenger is worse than that."""
    y, output = binary_sample(2_000, 1)
    found = paired_gain(y, output, _blurred(output, 1.0, 1), "roc_auc", 0.95)
    p_values = _known(*(p_worse(y, found, margin) for margin in (0.0, 0.02, 0.05, 0.5)))
    assert (np.diff(p_values) > 0).all()
    assert p_values[0] < 0.001
    assert p_values[-1] > 0.999


@pytest.mark.parametrize(("events", "judged"), [(3, False), (40, True)])
def test_a_slice_with_a_rare_class_is_not_judged_by_it(events: int, judged: bool) -> None:
    """Three events among 300 rows do not know the noise of an AUC; a mean over all rows does not hang on them."""
    y = (np.arange(300) < events).astype(int)
    chances = np.clip(np.random.default_rng(0).uniform(0.02, 0.6, (300, 2)) + 0.2 * y[:, None], 0, 1)
    champion, challenger = (np.column_stack([1 - chance, chance]) for chance in chances.T)
    for metric in ("roc_auc", "average_precision", "f1"):
        assert (paired_gain(y, champion, challenger, metric, 0.95).low is not None) is judged, metric
    assert paired_gain(y, champion, challenger, "brier", 0.95).low is not None


def test_a_few_changed_answers_do_not_condemn_a_slice() -> None:
    """Two answers in 200 that turned wrong carry all the noise: too few to know it, though the rows are many."""
    y = np.tile([0, 1], 100)
    right = np.column_stack([0.9 - 0.8 * y, 0.1 + 0.8 * y])
    for wrong, judged in ((2, False), (20, True)):
        challenger = right.copy()
        challenger[:wrong] = challenger[:wrong, ::-1]
        found = paired_gain(y, right, challenger, "accuracy", 0.95)
        assert found.gain == pytest.approx(-wrong / 200)
        assert (found.low is not None) is judged


def test_rows_needed_find_the_gain_with_that_power() -> None:
    """On as many rows as were said, four of five samples have an interval above zero."""
    y, output = regression_sample(50_000, 1)
    models = _blurred(output, 0.5, 1), _blurred(output, 0.4, 2)
    needed = rows_needed(_difference(y, *models, "mae"))
    assert needed is not None
    assert 100 < needed < 20_000
    found = 0
    for seed in range(200):
        y, output = regression_sample(needed, seed + 10)
        low = paired_gain(y, _blurred(output, 0.5, seed), _blurred(output, 0.4, seed + 900), "mae", 0.95).low
        found += low is not None and low > 0
    assert 0.7 <= found / 200 <= 0.9


def test_a_margin_needs_fewer_rows_and_a_loss_none() -> None:
    """With a margin the same gain is found on fewer rows; a loss is found on no number of rows."""
    y, output = binary_sample(2_000, 1)
    worse = _blurred(output, 1.0, 1)
    gain = _difference(y, worse, output, "roc_auc")
    strict, tolerant = _known(rows_needed(gain), rows_needed(gain, margin=0.02))
    assert tolerant < strict
    assert rows_needed(_difference(y, output, worse, "roc_auc")) is None
    assert rows_needed(_difference(y, output, output, "roc_auc")) is None


def test_a_difference_can_be_written_as_json() -> None:
    """Every field is a plain Python value, also where the resamples decide."""
    y, output = binary_sample(200, 1)
    for metric in ("roc_auc", "f1"):
        found = _difference(y, output, _blurred(output, 0.5, 1), metric)
        assert Difference(**json.loads(json.dumps(asdict(found)))) == found


@pytest.mark.parametrize("task", SAMPLES)
def test_terms_give_the_metrics_they_name(task: str) -> None:
    """The plain means of a metric's columns give its value."""
    y, output = SAMPLES[task](200, 1)
    measure = Errors(y, output) if task == "regression" else Labels(y, output)
    expected = metric_values(y, output, tuple(measure.terms()))
    for name, terms in measure.terms().items():
        assert terms.value(terms.columns.mean(axis=0, keepdims=True))[0] == pytest.approx(expected[name])


def test_a_hundred_thousand_rows_take_bounded_work() -> None:
    """Two thousand resamples of 100,000 rows: some units of :mod:`tests.work`, bounded far above."""
    y, output = binary_sample(100_000, 1)
    with measured() as work:
        found = _difference(y, _blurred(output, 0.5, 1), _blurred(output, 0.5, 2), "log_loss", resamples=2_000)
    assert work.units < 100
    assert found.low is not None


def _customers(codes: npt.NDArray[np.intp]) -> Clusters:
    return Clusters((Grouping("customer", "", codes),))


@pytest.mark.parametrize(("task", "metric"), _every_metric())
def test_rows_of_customers_who_repeat_say_as_much_as_each_once(task: str, metric: str) -> None:
    """Every row five times, as five rows of a customer, has the error of the rows once; for AUC it is Obuchowski's."""
    y, output = SAMPLES[task](400, 3)
    better = _blurred(output, 0.3, 1)
    once = _difference(y, output, better, metric)
    again = np.repeat(np.arange(400), 5)
    sides = (y[again], output[again], better[again], metric)
    plain, clustered = _difference(*sides), _difference(*sides, clusters=_customers(again))
    assert once.standard_error is not None
    assert plain.standard_error is not None
    assert clustered.standard_error == pytest.approx(once.standard_error, rel=0.15)
    assert plain.standard_error == pytest.approx(once.standard_error / np.sqrt(5), rel=0.15)
    assert (clustered.gain, clustered.low is None) == (plain.gain, False)
    assert clustered.clusters is not None
    assert clustered.clusters.effect == pytest.approx(5, rel=0.02)
    assert (once.clusters, plain.clusters) == (None, None)
    assert (clustered.freedom or 0) <= (once.freedom or 0) * 1.01
    low, high = clustered.low or 0, clustered.high or 0
    assert low < (clustered.gain or 0) < high
    assert high - low > 2 * ((plain.high or 0) - (plain.low or 0))


def test_equally_good_models_of_clustered_errors_are_promoted_as_rarely_as_others() -> None:
    """H0: no gain. The errors about a customer's 20 rows are alike: at 95 %, 2.5 % win, not one in twelve."""
    wins = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        codes = np.repeat(np.arange(50), 20)
        score = rng.normal(size=1_000)
        y = (rng.random(1_000) < 1 / (1 + np.exp(-score))).astype("int64")
        models = [score + 0.8 * rng.normal(size=50)[codes] for _ in range(2)]
        outputs = [np.column_stack([1 - p, p]) for p in (1 / (1 + np.exp(-model)) for model in models)]
        found = [paired_gain(y, outputs[0], outputs[1], "log_loss", 0.95, one) for one in (None, _customers(codes))]
        wins.append([(one.low or 0) > 0 for one in found])
    plain, clustered = np.mean(wins, axis=0)
    assert plain > 0.06
    assert clustered <= 0.04
