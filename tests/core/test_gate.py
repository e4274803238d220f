from __future__ import annotations

import json
import math

import pytest

from core.bootstrap import Estimate
from core.evaluation import Evaluation
from core.gate import floor_verdict
from tests.core.samples import task_config


def _evaluation(metric: str, **metrics: Estimate) -> Evaluation:
    return Evaluation(metric, 1_000, metrics, (), None, (), {})


def test_a_value_at_the_floor_passes() -> None:
    """The floor itself is good enough, and the reason carries the numbers."""
    config = task_config("binary", gate={"metric": "roc_auc", "floor": 0.7})
    verdict = floor_verdict(_evaluation("roc_auc", roc_auc=Estimate(0.7, 0.65, 0.74)), config)
    assert verdict.passed
    assert verdict.reasons[0] == (
        "ROC AUC 0.7 (95 % interval 0.65 to 0.74) on 1,000 holdout rows reaches the floor: at least 0.7 is needed"
    )
    assert "holds the floor" in verdict.reasons[1]


def test_a_value_just_below_the_floor_fails_and_reads_so() -> None:
    """What misses by a hair is not rounded up to the floor in the reason."""
    config = task_config("binary", gate={"metric": "roc_auc", "floor": 0.7})
    verdict = floor_verdict(_evaluation("roc_auc", roc_auc=Estimate(0.69996, 0.69, 0.6999)), config)
    assert not verdict.passed
    assert verdict.reasons == (
        "ROC AUC 0.69996 (95 % interval 0.69 to 0.6999) on 1,000 holdout rows misses the floor: at least 0.7 is needed",
    )


@pytest.mark.parametrize(("value", "passed"), [(0.9, True), (1.0, True), (1.1, False)])
def test_of_an_error_less_is_better(value: float, passed: bool) -> None:
    """The floor of an error is the largest that is acceptable."""
    config = task_config("regression", gate={"metric": "rmse", "floor": 1.0})
    verdict = floor_verdict(_evaluation("rmse", rmse=Estimate(value, None, None)), config)
    assert verdict.passed == passed
    assert "at most 1 is needed" in verdict.reasons[0]


@pytest.mark.parametrize("metrics", [{}, {"roc_auc": Estimate(math.nan, None, None)}])
def test_an_undefined_metric_does_not_pass(metrics: dict[str, Estimate]) -> None:
    """A metric that is absent or undefined is a no with a reason, and JSON gets null."""
    verdict = floor_verdict(_evaluation("roc_auc", **metrics), task_config("binary"))
    assert not verdict.passed
    assert "ROC AUC is not defined" in verdict.reasons[0]
    assert json.loads(json.dumps(verdict.to_dict(), allow_nan=False))["value"] is None
