"""Labels that contradict an estimate, and labels that agree with it."""

from __future__ import annotations

import numpy as np
import pytest

from core.metrics.metrics import METRICS, task_metrics
from core.performance.cbpe import reference_cbpe
from core.performance.label_check import contradiction, earlier_half_contradicted
from tests.core.samples import binary_sample, multiclass_sample


@pytest.mark.parametrize("metric", task_metrics("binary"))
def test_labels_of_the_same_world_agree(metric: str) -> None:
    """At 99 % confidence 1 of 100 windows is called off, with small holdouts too."""
    off = 0
    for seed in range(60):
        y, output = binary_sample(500, 2 * seed)
        rows = binary_sample(400, 2 * seed + 1)
        off += bool(contradiction(*rows, reference_cbpe(y, output, metric), METRICS[metric].value(y, output), "rows"))
    assert off <= 3


def test_labels_of_several_classes_agree() -> None:
    """Each class has a map of its own, and its share is checked."""
    y, output = multiclass_sample(1_500, 1)
    reference = reference_cbpe(y, output, "roc_auc")
    realised = METRICS["roc_auc"].value(y, output)
    newer, scores = multiclass_sample(600, 2)
    assert contradiction(newer, scores, reference, realised, "rows") == ()
    moved = np.where(np.random.default_rng(0).random(600) < 0.3, 0, newer)
    assert "were expected" in contradiction(moved, scores, reference, realised, "rows")[-1]


def test_a_new_meaning_is_seen_in_labels() -> None:
    """Labels that no longer follow the scores contradict the metric that they promise."""
    y, output = binary_sample(2_000, 1)
    newer, scores = binary_sample(500, 2)
    shuffled = np.random.default_rng(3).permutation(newer)
    found = contradiction(
        shuffled, scores, reference_cbpe(y, output, "roc_auc"), METRICS["roc_auc"].value(y, output), "rows"
    )
    assert found[0].startswith("on 500 rows ROC AUC is 0.")
    assert found[0].endswith("would be estimated from their scores")


def test_another_share_of_events_is_seen_in_labels() -> None:
    """A ranking that stays good does not hide that the chances are too low."""
    y, output = binary_sample(2_000, 1)
    newer, scores = binary_sample(500, 2)
    more = np.where(np.random.default_rng(3).random(500) < 0.3, 1, newer)
    found = contradiction(
        more, scores, reference_cbpe(y, output, "roc_auc"), METRICS["roc_auc"].value(y, output), "rows"
    )
    assert "rows are of the positive class, and" in found[-1]


def test_few_labels_are_no_contradiction() -> None:
    """Below 100 labels neither statistic is nearly normal."""
    y, output = binary_sample(2_000, 1)
    reference = reference_cbpe(y, output, "roc_auc")
    assert contradiction(1 - y[:99], output[:99], reference, METRICS["roc_auc"].value(y, output), "rows") == ()


def test_a_holdout_that_contradicts_itself() -> None:
    """An estimate that was wrong within the holdout is not believed beyond it."""
    y, output = binary_sample(1_000, 1)
    assert earlier_half_contradicted(y, output, "roc_auc") == ()
    turned = np.where(np.arange(1_000) < 500, y, np.random.default_rng(1).permutation(y))
    assert "rows of the holdout's later half" in earlier_half_contradicted(turned, output, "roc_auc")[0]
