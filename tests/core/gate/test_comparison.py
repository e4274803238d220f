from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.gate.comparison import Comparison, compare, corrected_confidence, holm
from core.metrics.clusters import Clusters, Grouping
from core.metrics.metrics import METRICS, Floats, task_metrics
from tests.core.samples import SAMPLES, binary_sample, task_config

P_VALUES = st.lists(st.none() | st.floats(0, 1), max_size=12)


def noisy(output: Floats, size: float, seed: int = 9) -> Floats:
    """Blur an output: the more, the worse the model."""
    noise = np.random.default_rng(seed).normal(scale=size, size=output.shape)
    if output.ndim == 1:
        return output + noise
    blurred = np.exp(np.log(np.clip(output, 1e-9, 1)) + noise)
    return np.asarray(blurred / blurred.sum(axis=1, keepdims=True))


def compared(
    y: npt.NDArray[Any], champion: Floats, challenger: Floats, task: str = "binary", **gate: Any
) -> Comparison:
    """Compare two outputs, with slices by region."""
    changes: dict[str, Any] = {"evaluation": {"slices": ["region"]}, "gate": {"resamples": 400, **gate}}
    if task == "regression":
        changes["gate"] = {"metric": "rmse", "floor": 1.0, **changes["gate"]}
    frame = pd.DataFrame({"region": np.resize(["north", "south", "west"], len(y))})
    return compare(y, champion, challenger, frame, task_config(task, **changes))


@pytest.mark.parametrize("metric", METRICS)
def test_a_better_challenger_has_a_gain_above_zero(metric: str) -> None:
    """Whatever the metric's direction; the reverse comparison has the same gain with the other sign."""
    task = "regression" if "regression" in METRICS[metric].tasks else "binary"
    y, output = SAMPLES[task](4_500, 1)
    worse = noisy(output, 5.0)
    forth, back = (compared(y, *pair, task, metric=metric) for pair in ((worse, output), (output, worse)))
    assert forth.difference.gain is not None
    assert forth.difference.low is not None
    assert forth.difference.gain >= forth.difference.low > 0
    assert back.difference.gain == pytest.approx(-forth.difference.gain)
    assert all(part.worse for part in back.slices)
    assert not any(part.worse for part in forth.slices)


def test_slices_of_clustered_rows_are_judged_by_their_clusters() -> None:
    """Ten customers per slice whose rows are copies: a loss that a thousand rows would show is no evidence."""
    y, output = binary_sample(60, 1)
    copies = np.repeat(np.arange(60), 20)
    clusters = Clusters((Grouping("customer", "", copies),))
    frame = pd.DataFrame({"region": ["north"] * len(copies)})
    config = task_config("binary", evaluation={"slices": ["region"]})
    sides = y[copies], output[copies], noisy(output, 0.3)[copies]
    plain, clustered = compare(*sides, frame, config), compare(*sides, frame, config, clusters=clusters)
    assert plain.slices[0].worse
    assert not clustered.slices[0].worse
    assert clustered.difference.clusters is not None
    assert clustered.difference.clusters.clusters == "customer"


def test_a_model_ties_with_itself_everywhere() -> None:
    """Neither the whole nor a slice is worse, and calibration does not move."""
    y, output = binary_sample(600, 1)
    found = compared(y, output, output.copy())
    assert (found.difference.gain, found.difference.low, found.difference.high) == (0, 0, 0)
    assert [(part.n_rows, part.p_value, part.worse) for part in found.slices] == [(200, 1.0, False)] * 3
    assert found.calibration is not None
    assert found.calibration.loss == 0


def test_a_slice_is_found_out_where_the_whole_is_better() -> None:
    """Better on two regions and much worse on the third."""
    y, output = binary_sample(6_000, 1)
    champion, challenger = noisy(output, 0.8, 1), output.copy()
    challenger[2::3] = noisy(output, 3.0, 2)[2::3]
    found = compared(y, champion, challenger)
    assert [part.level for part in found.slices if part.worse] == ["west"]


def test_a_tolerated_loss_on_a_slice_is_no_fault() -> None:
    """``gate.slice_margin`` moves the hypothesis that a slice is tested against."""
    y, output = binary_sample(6_000, 1)
    strict, lenient = (compared(y, output, noisy(output, 0.6), slice_margin=margin) for margin in (0.0, 0.2))
    assert any(part.worse for part in strict.slices)
    assert not any(part.worse for part in lenient.slices)


def test_slices_that_tell_nothing_are_not_judged() -> None:
    """Too small, of one class, with a handful of events: each says why, and the others are judged without them."""
    y, output = binary_sample(1_000, 1)
    region = np.repeat(["large", "pure", "tiny", "rare"], [700, 200, 20, 80])
    y[700:900], y[920:] = 0, 0
    y[920:923] = 1
    config = task_config("binary", evaluation={"slices": ["region"]}, gate={"resamples": 200})
    found = compare(y, output, noisy(output, 1.0), pd.DataFrame({"region": region}), config)
    notes = {part.level: part.note for part in found.slices}
    assert notes == {
        "large": "",
        "pure": "ROC AUC is not defined on these rows: not judged",
        "rare": "too few rows of one class to estimate the noise: not judged",
        "tiny": "fewer than 30 rows: not judged",
    }
    assert [part.p_value is None for part in found.slices] == [False, True, True, True]


def test_a_slice_column_of_ten_thousand_values_is_compared() -> None:
    """Ten levels and the rest, not ten thousand hypotheses."""
    y, output = binary_sample(10_000, 1)
    frame = pd.DataFrame({"region": pd.Series(np.arange(10_000)).astype("str")})
    config = task_config("binary", evaluation={"slices": ["region"]}, gate={"resamples": 200})
    found = compare(y, output, noisy(output, 1.0), frame, config)
    assert len(found.slices) == 11
    assert found.slices[-1].worse


@pytest.mark.parametrize("worse", ["champion", "challenger"])
def test_predictions_that_are_no_numbers_give_no_gain(worse: str) -> None:
    """Nothing is computed from NaN, on the whole or on the slices."""
    y, output = binary_sample(300, 1)
    broken = output.copy()
    broken[0] = np.nan
    pair = (broken, output) if worse == "champion" else (output, broken)
    found = compared(y, *pair)
    assert found.difference.gain is None
    assert found.difference.low is None
    assert found.slices[0].p_value is None


def test_rows_of_one_class_give_no_gain() -> None:
    """The AUC is undefined for both."""
    y, output = binary_sample(300, 1)
    found = compared(np.zeros_like(y), output, noisy(output, 1.0))
    assert found.difference.gain is None


@pytest.mark.parametrize("task", SAMPLES)
def test_every_task_is_compared_by_every_metric(task: str) -> None:
    """Probabilities of several classes and numbers too; only numbers have no calibration."""
    y, output = SAMPLES[task](400, 1)
    for metric in task_metrics(task):
        found = compared(y, output, noisy(output, 0.1), task, metric=metric)
        assert found.difference.gain is not None
        assert (found.calibration is None) == (task == "regression")
        assert (found.probabilities is None) == (task == "regression")


def test_later_looks_have_wider_intervals() -> None:
    """The third look at the same rows spends a ninth of the first look's chance of error."""
    y, output = binary_sample(1_000, 1)
    frame = pd.DataFrame({"region": ["north"] * 1_000})
    first, third = (compare(y, noisy(output, 0.5), output, frame, task_config("binary"), looks=k) for k in (1, 3))
    assert third.confidence == pytest.approx(1 - 0.05 / 9)
    assert third.difference.confidence == third.confidence
    assert third.difference.low is not None
    assert first.difference.low is not None
    assert third.difference.low < first.difference.low


@given(st.floats(0.51, 0.999), st.integers(1, 200))
def test_all_looks_together_spend_at_most_1_645_times_one_look(confidence: float, looks: int) -> None:
    """The chances of error of any number of looks add up to a bounded sum."""
    spent = sum(1 - corrected_confidence(confidence, look) for look in range(1, looks + 1))
    assert spent <= 1.645 * (1 - confidence)


@given(P_VALUES, st.floats(0.001, 0.2))
def test_holm_is_between_bonferroni_and_no_correction(p_values: list[float | None], level: float) -> None:
    """What falls under Bonferroni's correction falls, what stands without correction stands, smaller p-values first."""
    fallen, tested = holm(p_values, level), [p for p in p_values if p is not None]
    for p, falls in zip(p_values, fallen, strict=True):
        assert not falls or (p is not None and p <= level)
        assert falls or p is None or p > level / len(tested)
    standing = [p for p, falls in zip(p_values, fallen, strict=True) if p is not None and not falls]
    assert all(
        p <= min(standing, default=1) for p, falls in zip(p_values, fallen, strict=True) if p is not None and falls
    )


def test_holm_steps_down() -> None:
    """Each fallen hypothesis loosens the bound for the next; the first that stands ends it."""
    assert holm([0.01, 0.02, 0.05, 0.04], 0.05) == (True, False, False, False)
    assert holm([0.05, 0.01, 0.016, 0.02], 0.05) == (True, True, True, True)
    assert holm([], 0.05) == ()
