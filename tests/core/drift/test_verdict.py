"""A verdict as it is kept: JSON and back."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
from pydantic import ValidationError

from config.schema import Drift
from core.drift.decision import decide
from core.drift.divergence import KolmogorovSmirnov
from core.drift.verdict import DriftVerdict
from core.metrics.class_rates import ClassRate
from tests.core.drift_samples import DRIFTED, NOW, QUIET, UNHARMED, UNKNOWN, evidence, realised

ODD = replace(DRIFTED, psi=np.float64(0.31), ks=KolmogorovSmirnov(0.2, 1e-9), remark="every row has income = 1")
VERDICT = decide(
    evidence(ODD, QUIET, performance=(realised(UNHARMED), UNKNOWN), notes=("a\x1bnote", "\u2028"), n_seen=3),
    (),
    Drift(persistence=(1, 1)),
    NOW,
)


def test_a_verdict_survives_strict_json() -> None:
    """Moments keep their zone or their lack of one, tuples stay tuples."""
    text = json.dumps(VERDICT.to_dict(), allow_nan=False)
    found = DriftVerdict.from_dict(json.loads(text))
    assert found == VERDICT
    assert (found.measured_at.tzinfo is None, found.window.first_time) == (False, datetime(2024, 9, 1))


def test_rates_of_classes_survive_and_may_be_absent() -> None:
    """Verdicts from before have no rates; an interval without upper end stays without."""
    column = replace(QUIET, rate=ClassRate("yes", 0.01, 0.0, None, 0.0, None, 0.995, 1.25))
    content = json.loads(json.dumps(replace(VERDICT, columns=(column,)).to_dict(), allow_nan=False))
    assert DriftVerdict.from_dict(content).columns == (column,)
    del content["columns"][0]["rate"]
    assert DriftVerdict.from_dict(content).columns == (replace(column, rate=None),)


def test_a_metric_that_is_not_defined_stays_not_a_number() -> None:
    """JSON has null for it; an interval that is absent stays absent."""
    undefined = replace(UNHARMED, value=math.nan, loss=math.nan, low=None, harmed=None)
    content = json.loads(json.dumps(replace(VERDICT, performance=(undefined,)).to_dict(), allow_nan=False))
    assert (content["performance"][0]["value"], content["performance"][0]["low"]) == (None, None)
    (found,) = DriftVerdict.from_dict(content).performance
    assert math.isnan(found.value)
    assert math.isnan(found.loss)
    assert (found.low, found.harmed, found.reference) == (None, None, UNHARMED.reference)


def test_a_document_of_another_kind_is_refused() -> None:
    """The message says what was found instead."""
    with pytest.raises(ValueError, match=r"expected a verdict on drift, found a document with \['decision', 'model'\]"):
        DriftVerdict.from_dict({"model": "credit", "decision": "promote"})


@pytest.mark.parametrize("change", [{"status": "fine"}, {"columns": None}, {"measured_at": "yesterday"}])
def test_a_damaged_verdict_is_refused(change: dict[str, object]) -> None:
    """A status that is unknown, or fields of other types."""
    with pytest.raises(ValidationError):
        DriftVerdict.from_dict({**VERDICT.to_dict(), **change})
