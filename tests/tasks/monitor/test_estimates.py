"""Which windows have an estimate without labels: by task, by what the bundle holds, and by what the labels say."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest

from core.data.seen_rows import SeenRows
from core.drift.profile import Profile
from core.metrics.bootstrap import Estimate
from core.metrics.metrics import METRICS
from core.performance.cbpe import reference_cbpe
from core.performance.loss import Performance
from tasks.monitor.estimates import window_estimates
from tasks.monitor.reference import Reference
from tasks.train.holdout_rows import HoldoutRows
from tests.core.samples import credit_frame, task_config, task_contract


def _rows(task: str, n: int, seed: int) -> HoldoutRows:
    """Rows whose label follows the age; the prediction knows how."""
    contract = task_contract(task_config(task))
    frame, generator = credit_frame(n, seed)[list(contract.raw_columns)], np.random.default_rng(seed + 1_000)
    signal = (frame["age"].to_numpy(dtype="float64") - 45) / 10
    signal = np.where(np.isnan(signal), 0.0, signal) + 0.01 * generator.normal(size=n)
    if task == "regression":
        return HoldoutRows(frame, signal + generator.normal(size=n), signal)
    chance = 1 / (1 + np.exp(-signal))
    y = (generator.random(n) < chance).astype("int64")
    return HoldoutRows(frame, y, np.column_stack([1 - chance, chance]))


def _reference(task: str) -> Reference:
    contract, holdout = task_contract(task_config(task)), _rows(task, 4_000, 1)
    metric = "mae" if task == "regression" else "roc_auc"
    config = task_config(task)
    config = config.model_copy(update={"gate": config.gate.model_copy(update={"metric": metric})})
    return Reference(
        predictor=cast("Any", SimpleNamespace(contract=contract)),
        config=config,
        profile=cast("Profile", None),
        rows=holdout.frame,
        seen=cast("SeenRows", None),
        importance={"age": 1.0},
        performance=Estimate(METRICS[metric].value(holdout.y, holdout.output), None, None),
        confidence=0.95,
        level=None,
        cbpe=None if task == "regression" else reference_cbpe(holdout.y, holdout.output, metric),
        holdout=holdout,
    )


def _found(reference: Reference, window: HoldoutRows, known: npt.NDArray[np.bool_] | None = None) -> list[Performance]:
    known = np.zeros(len(window.y), dtype=bool) if known is None else known
    return window_estimates(
        reference, window.frame, window.output, known, window.y[known], max_loss=0.05, confidence=0.99
    )


@pytest.mark.parametrize(("task", "metric"), [("binary", "roc_auc"), ("regression", "mae")])
def test_rows_like_the_holdouts_are_not_harmed(task: str, metric: str) -> None:
    """Both kinds of task have an estimate."""
    found, *beside = _found(_reference(task), _rows(task, 2_000, 2))
    assert (found.kind, found.metric, found.harmed, found.n_rows) == ("estimated", metric, False, 2_000)
    assert [(one.metric, one.judged) for one in beside] == ([("rmse", False)] if task == "regression" else [])


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_rows_unlike_the_holdouts_are_no_answer(task: str) -> None:
    """A feature that matters has values that no labelled row has."""
    window = _rows(task, 1_000, 2)
    window = replace(window, frame=window.frame.assign(age=500.0))
    (found,) = _found(_reference(task), window)
    assert (found.harmed, np.isnan(found.value)) == (None, True)
    assert found.reason.endswith("have a value that the labelled rows do not have (age)")


@pytest.mark.parametrize(("task", "says"), [("binary", "would be estimated"), ("regression", "was estimated without")])
def test_labels_of_the_window_may_contradict_the_estimate(task: str, says: str) -> None:
    """A part of the rows is labelled, and shows that features and target are related in a new way."""
    window = _rows(task, 2_000, 2)
    shuffled = replace(window, y=np.random.default_rng(0).permutation(window.y))
    (found,) = _found(_reference(task), shuffled, np.arange(2_000) < 700)
    assert found.harmed is None
    assert says in found.reason


def test_a_version_registered_before_has_no_losses_and_supports_by_training_rows() -> None:
    """Without holdout rows a regression's estimate is withheld; a classifier's is compared with its training rows."""
    (found,) = _found(replace(_reference("regression"), holdout=None), _rows("regression", 500, 2))
    assert (found.metric, found.harmed, np.isnan(found.value)) == ("mae", None, True)
    assert "because the champion was registered before bundles had labelled holdout rows" in found.reason
    older = replace(_reference("binary"), holdout=None)
    assert _found(older, _rows("binary", 2_000, 2))[0].harmed is False
    assert _found(replace(older, cbpe=None), _rows("binary", 500, 2)) == []


def test_a_small_holdout_is_no_answer() -> None:
    """The reason has both numbers; R² has no value on the holdout that RMSE could be compared with."""
    few = replace(_reference("regression"), holdout=_rows("regression", 150, 1))
    (found,) = _found(few, _rows("regression", 500, 2))
    assert found.reason.endswith("because the champion's bundle has 150 labelled holdout rows, and 200 are needed")
    gate = few.config.gate.model_copy(update={"metric": "r2"})
    r2 = replace(few, config=few.config.model_copy(update={"gate": gate}))
    (found,) = _found(r2, _rows("regression", 500, 2))
    assert (found.metric, np.isnan(found.reference)) == ("rmse", True)


def test_predictions_beyond_the_holdouts_have_no_losses() -> None:
    """The features are like the holdout's, and what was served is not."""
    window = _rows("regression", 500, 2)
    (found,) = _found(_reference("regression"), replace(window, output=window.output + 100))
    assert (found.harmed, np.isnan(found.value)) == (None, True)
    assert "100 % of them have a prediction beyond the holdout's lowest or highest" in found.reason


def test_predictions_that_are_not_finite_have_no_losses() -> None:
    """The sentence says what to check."""
    window = _rows("regression", 500, 2)
    (found,) = _found(_reference("regression"), replace(window, output=np.full(500, np.inf)))
    assert found.harmed is None
    assert "MAE is not defined on 500 rows" in found.reason


@pytest.mark.parametrize("task", ["binary", "regression"])
@pytest.mark.parametrize(("n", "count"), [(0, 0), (100, 1)])
def test_few_rows_are_not_judged(task: str, n: int, count: int) -> None:
    """An empty window has no estimate, a small one has no verdict and says so."""
    found = _found(_reference(task), _rows(task, n, 2))
    assert [one.harmed for one in found] == [None] * count
    assert all(one.reason.startswith(f"{n} rows (labels unused) are too few") for one in found)


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_labels_before_the_window_may_contradict_the_estimate(task: str) -> None:
    """The window has no labels yet; older rows that the champion was not trained on show a new relation."""
    older, window = _rows(task, 800, 3), _rows(task, 2_000, 2)
    assert _found(replace(_reference(task), newest=older), window)[0].harmed is False
    shuffled = replace(older, y=np.random.default_rng(0).permutation(older.y))
    (found,) = _found(replace(_reference(task), newest=shuffled), window)
    assert found.harmed is None
    assert "800 labelled rows before the window" in found.reason
