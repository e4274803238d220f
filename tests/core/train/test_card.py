"""Limits of a model, each derived from a fact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from core.metrics.bootstrap import Estimate
from core.metrics.calibration import Calibration
from core.metrics.evaluation import Evaluation, SliceResult
from core.references import Lineage
from core.train.card import MUCH_MISSING, POOR_CALIBRATION, SMALL_SLICE, CardFacts, ColumnFacts, DataFacts
from tests.factories import credit_config

DATA = DataFacts(
    n_rows=1000,
    n_train=800,
    n_holdout=200,
    n_unlabelled=0,
    n_superseded=0,
    n_duplicates_removed=0,
    rule="",
    first=None,
    last=None,
    target={},
    columns=[],
)
OVERALL = Estimate(0.8, 0.78, 0.82)


def _slice(n_rows: int, estimate: Estimate | None) -> SliceResult:
    return SliceResult("region", "north", n_rows, {} if estimate is None else {"roc_auc": estimate})


def _evaluation(*slices: SliceResult, ece: float | None = None, overall: Estimate = OVERALL) -> Evaluation:
    calibration = None if ece is None else Calibration((), ece, 0.1)
    return Evaluation("roc_auc", 200, {"roc_auc": overall}, slices, calibration, (), {})


def _limits(evaluation: Evaluation, **data: Any) -> list[str]:
    lineage = Lineage("k", "d", "c", "e", "f", "a", False, "outs:", "manual")
    params: Mapping[str, Any] = {}
    facts = CardFacts(credit_config(), lineage, replace(DATA, **data), evaluation, params, {}, (), (), "kept")
    return facts.limits


def test_a_model_without_a_weak_side_has_no_limits() -> None:
    """Values at the bounds are not beyond them."""
    columns = [ColumnFacts("income", "numeric", MUCH_MISSING, None)]
    evaluation = _evaluation(_slice(SMALL_SLICE, OVERALL), ece=POOR_CALIBRATION)
    assert _limits(evaluation, columns=columns) == []


def test_repeated_rows_are_a_limit() -> None:
    """With the number of distinct rows and of all."""
    (limit,) = _limits(_evaluation(), n_repeated=400)
    assert limit.startswith("It was trained on repeated rows: of 1,000 rows, 600 are distinct: 400 equal an earlier")


def test_each_fact_beyond_its_bound_is_a_sentence() -> None:
    """With the names and the numbers it is about."""
    columns = [ColumnFacts("income", "numeric", 0.31, None), ColumnFacts("age", "numeric", 0.3, None)]
    evaluation = _evaluation(_slice(SMALL_SLICE - 1, None), ece=0.051)
    assert _limits(evaluation, columns=columns, last="2024-12-31") == [
        "It was trained on rows up to 2024-12-31; later changes are unknown to it.",
        "More than 30% of the training rows have no value in: income.",
        "Its probabilities differ from observed frequencies by 0.051 on average (expected calibration error); "
        "do not use them as frequencies.",
        "Fewer than 100 holdout rows are in: region = north.",
    ]


@pytest.mark.parametrize(
    ("estimate", "says"),
    [
        (Estimate(0.7, 0.6, 0.779), "is 0.700, and 0.800 overall"),
        (Estimate(0.9, 0.821, 0.95), "is 0.900, and 0.800 overall"),
        (Estimate(0.7, 0.6, 0.78), ""),
        (Estimate(0.9, 0.82, 0.95), ""),
        (Estimate(0.1, None, None), ""),
        (Estimate(float("nan"), None, None), ""),
        (None, ""),
    ],
)
def test_a_slice_stands_out_when_the_intervals_do_not_touch(estimate: Estimate | None, says: str) -> None:
    """Better as well as worse; without an interval nothing is said."""
    limits = _limits(_evaluation(_slice(SMALL_SLICE, estimate)))
    assert len(limits) == (1 if says else 0)
    assert says in "".join(limits)


def test_without_an_interval_overall_no_slice_stands_out() -> None:
    """Chance cannot be told apart then."""
    evaluation = _evaluation(_slice(SMALL_SLICE, Estimate(0.1, 0.05, 0.15)), overall=Estimate(0.8, None, None))
    assert _limits(evaluation) == []
