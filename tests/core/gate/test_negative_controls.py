from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from config.schema import ModelConfig
from core.feature_contract import FeatureContract
from core.gate.comparison import compare
from core.gate.negative_controls import SelfTest, degraded, self_test, shuffled_model, trial_reference
from core.metrics.evaluation import predict_output
from core.metrics.metrics import Floats, metric_values
from core.model_inputs import encode_target, prepare
from core.train.pipeline import build_pipeline
from tests.core.samples import SAMPLES, binary_sample, credit_frame, task_config, task_contract
from tests.factories import credit_config, credit_rows

LIGHT = {"training": {"params": {"max_iter": 20}}, "gate": {"resamples": 200}}


def trials(found: SelfTest) -> dict[str, bool]:
    """Say which trials passed."""
    return {trial.name: trial.passed for trial in found.results}


def one_hot_noise(task: str, n: int, seed: int) -> Floats:
    """Build an output that knows nothing."""
    return SAMPLES[task](n, seed)[1]


@pytest.mark.parametrize("task", SAMPLES)
def test_a_sound_gate_refuses_every_model_that_must_not_win(task: str) -> None:
    """The reference ties with itself; what is worse and what knows nothing is refused."""
    y, output = SAMPLES[task](600, 1)
    found = self_test(y, output, one_hot_noise(task, 600, 2), one_hot_noise(task, 600, 3), task_config(task))
    assert found.passed
    assert trials(found) == {"itself": True, "degraded": True, "shuffled": True}
    assert found.results[0].reason == "the champion against itself ties"
    assert "a model fitted on permuted labels is rejected: gain in" in found.results[2].reason


@pytest.mark.parametrize("name", ["degraded", "shuffled"])
def test_a_model_that_would_win_fails_the_test(name: str) -> None:
    """Were the bad model better than the reference, nothing may be promoted."""
    y, output = binary_sample(600, 1)
    outputs = {"degraded": one_hot_noise("binary", 600, 3), "shuffled": one_hot_noise("binary", 600, 4)}
    outputs[name] = np.where(np.arange(2) == y[:, None], 0.5 + output / 2, output / 2)
    found = self_test(y, output, outputs["degraded"], outputs["shuffled"], task_config("binary"))
    assert not found.passed
    assert [trial for trial, passed in trials(found).items() if not passed] == [name]
    assert "would be promoted: gain in ROC AUC +" in next(t.reason for t in found.results if t.name == name)


def test_a_trial_that_cannot_fail_is_no_pass() -> None:
    """A degraded copy with the same answers proves nothing, nor does a trial that was skipped."""
    y, output = binary_sample(600, 1)
    found = self_test(y, output, output.copy(), None, task_config("binary"))
    assert trials(found) == {"itself": True, "degraded": False, "shuffled": False}
    assert "a trial that cannot fail is no proof" in found.results[1].reason
    assert found.results[2].difference is None
    assert "a skipped trial does not pass" in found.results[2].reason


def test_a_tie_of_different_answers_is_refused() -> None:
    """Where no answer crosses one half, the accuracy of a worse model is the same: the gate keeps the champion."""
    y, output = binary_sample(600, 1, rate=0.05)
    low = output * 0.4
    output = np.column_stack([1 - low[:, 1], low[:, 1]])
    bad = output[np.random.default_rng(1).permutation(600)]
    config = task_config("binary", gate={"metric": "accuracy", "floor": 0.5})
    assert self_test(y, output, bad, bad, config).passed


@pytest.mark.parametrize("spoil", ["one class", "too few", "NaN"])
def test_rows_that_tell_nothing_are_no_pass(spoil: str) -> None:
    """Without an interval nobody knows what the gate would have said."""
    n = 20 if spoil == "too few" else 200
    y, output = binary_sample(n, 1, rate=0.5)
    if spoil == "one class":
        y = np.zeros_like(y)
    noise = one_hot_noise("binary", n, 2)
    if spoil == "NaN":
        noise[3] = np.nan
    found = self_test(y, output, noise, noise, task_config("binary"))
    assert not found.passed
    assert not trials(found)["degraded"]
    assert "the trial shows nothing" in found.results[1].reason


def test_half_of_the_columns_are_permuted_the_leading_one_among_them() -> None:
    """Values stay in their column and keep their kind; the frame itself is untouched."""
    contract = task_contract(task_config("binary"))
    frame = credit_frame(500, 1).assign(other=range(500))
    before = frame.copy()
    for seed in range(8):
        found = degraded(frame, contract, seed, "region")
        changed = [column for column in frame if not found[column].equals(frame[column])]
        assert "region" in changed
        assert len(changed) == 2
        assert found.dtypes.equals(frame.dtypes)
        for column in changed:
            assert (
                found[column]
                .value_counts(dropna=False)
                .equals(
                    frame[column].value_counts(dropna=False).reindex(found[column].value_counts(dropna=False).index)
                )
            )
    assert frame.equals(before)
    assert degraded(frame, contract, 1).equals(degraded(frame, contract, 1))


def test_a_single_column_is_permuted() -> None:
    """At least one column is, whatever their number."""
    contract = replace(task_contract(task_config("binary")), numeric=("age",), categorical=(), boolean=())
    frame = credit_frame(50, 1)
    assert not degraded(frame, contract, 1)["age"].equals(frame["age"])


def _fit(config: ModelConfig, rows: pd.DataFrame) -> tuple[Any, FeatureContract, np.ndarray[Any, Any]]:
    contract = task_contract(config)
    y = encode_target(rows["default"].astype("str"), contract)
    prepared = prepare(rows, contract)
    pipeline = build_pipeline(config, contract, prepared)
    pipeline["model"].fit(pipeline["encode"].fit_transform(prepared, y), y)
    return pipeline, contract, y


def _rows(n: int, seed: int) -> pd.DataFrame:
    rows = credit_rows(n, seed)
    return rows.assign(owner=rows["owner"] == "true", age=rows["age"].astype("float64"))


def test_real_models_stand_the_test() -> None:
    """A fitted pipeline, its degraded copy, and the same pipeline fitted on permuted labels."""
    config = credit_config(**LIGHT)
    pipeline, contract, y = _fit(config, _rows(1_000, 1))
    fresh = _rows(600, 2)
    truth = encode_target(fresh["default"].astype("str"), contract)
    shuffled = shuffled_model(config, contract, _rows(1_000, 1), y, seed=0)
    found = self_test(
        truth,
        predict_output(pipeline, fresh, contract),
        predict_output(pipeline, degraded(fresh, contract, 0, "income"), contract),
        predict_output(shuffled, fresh, contract),
        config,
    )
    assert found.passed, [trial.reason for trial in found.results]


def test_a_model_of_permuted_labels_learns_nothing_and_is_the_same_each_time() -> None:
    """Its AUC is that of chance; the seed alone decides it."""
    config = credit_config(**LIGHT)
    rows = _rows(1_000, 1)
    contract = task_contract(config)
    y = encode_target(rows["default"].astype("str"), contract)
    fresh = _rows(2_000, 2)
    truth = encode_target(fresh["default"].astype("str"), contract)
    first, again = (
        predict_output(shuffled_model(config, contract, rows, y, seed=3), fresh, contract) for _ in range(2)
    )
    np.testing.assert_array_equal(first, again)
    assert abs(metric_values(truth, first, ("roc_auc",))["roc_auc"] - 0.5) < 0.1


def test_many_rows_are_sampled_and_rare_classes_stay() -> None:
    """At most 5,000 rows and twenty of each class; the model knows every class."""
    config = task_config("multiclass", training={"params": {"max_iter": 2}})
    contract = task_contract(config)
    frame = credit_frame(20_000, 1)
    y = np.where(np.arange(20_000) < 19_000, 0, 1)
    y[-3:] = 2
    model = shuffled_model(config, contract, frame, y, seed=0)
    assert model["model"].classes_.tolist() == [0, 1, 2]
    assert model["model"].n_features_in_ == 4


def test_numbers_are_permuted_too() -> None:
    """A regressor of permuted numbers predicts about their mean."""
    config = task_config(
        "regression",
        training={"estimator": "sklearn.linear_model.LinearRegression", "params": {}},
    )
    frame = credit_frame(6_000, 1)
    y = frame["age"].to_numpy() * 2.0
    contract = task_contract(config)
    output = predict_output(shuffled_model(config, contract, frame, y, seed=0), frame, contract)
    assert np.std(output) < np.std(y) / 5


@pytest.mark.parametrize(("floor", "reference"), [(0.6, "champion"), (0.99, "challenger")])
def test_a_champion_below_the_floor_is_no_measure(floor: float, reference: str) -> None:
    """A world that moved on can make any model better than the champion; then the challenger must stand the test."""
    y, output = binary_sample(300, 1)
    config = task_config("binary", gate={"floor": floor, "resamples": 200})
    comparison = compare(y, output, output, pd.DataFrame(index=range(300)), config)
    assert trial_reference(comparison, config) == reference
    assert trial_reference(None, config) == "challenger"


def test_the_better_of_the_two_is_the_measure() -> None:
    """After drift the champion may gain by losing a feature; a control that truly beats it is no fault of the gate."""
    y, better = binary_sample(300, 1)
    worse = np.column_stack([0.5 + 0.2 * (better[:, 0] - 0.5), 0.5 + 0.2 * (better[:, 1] - 0.5)])
    worse[::3] = worse[::3, ::-1]
    config = task_config("binary", gate={"floor": 0.5, "resamples": 200})
    frame = pd.DataFrame(index=range(300))
    assert trial_reference(compare(y, worse, better, frame, config), config) == "challenger"
    assert trial_reference(compare(y, better, worse, frame, config), config) == "champion"


def test_the_reference_is_named() -> None:
    """Sentences say whom the models were held against."""
    y, output = binary_sample(300, 1)
    found = self_test(y, output, None, None, task_config("binary"), of="challenger")
    assert (found.reference, found.results[0].reason) == ("challenger", "the challenger against itself ties")
