"""The plan of a model file is the core's, and the champion's bundle gives the bins."""

from __future__ import annotations

import json

import pytest

from config.schema import Guardrails, Release
from core.errors import ReleaseError
from core.release import plan as core
from tasks.release.plans import plan_of, recorded_plan
from tests.factories import credit_config


def test_the_defaults_are_the_same() -> None:
    """A model file without the section gets the core's defaults."""
    config = credit_config()
    assert plan_of(config) == core.Plan(metric="roc_auc", shadow_hours=Release().shadow.hours)
    assert Release().shadow.hours == Release().max_wait_hours
    assert Guardrails().model_dump() == vars(core.Guardrails())


def test_the_bins_are_those_of_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """Edges of a number or a probability; with more than two classes, the classes."""
    texts = {"contract.json": {"classes": ["no", "yes"]}, "profile.json": {"prediction": {"edges": [0.1, 0.5]}}}
    monkeypatch.setattr(
        "tasks.release.plans.fetched_texts",
        lambda *_given: {name: json.dumps(content) for name, content in texts.items()},
    )
    settings = None  # only passed on
    found = recorded_plan(credit_config(), 1, 2, settings)  # type: ignore[arg-type]
    assert (found.classes, found.edges, len(found.bins)) == (("no", "yes"), (0.1, 0.5), 3)
    texts["contract.json"] = {"classes": ["a", "b", "c"]}
    found = recorded_plan(credit_config(), 1, 2, settings)  # type: ignore[arg-type]
    assert (found.edges, len(found.bins)) == ((), 3)


def test_versions_that_predict_different_things_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Further classes are compared; classes against numbers are refused, with what to do."""
    contracts = {1: {"classes": ["a", "c"]}, 2: {"classes": ["a", "b", "c"]}, 3: {"classes": []}}
    monkeypatch.setattr(
        "tasks.release.plans.fetched_texts",
        lambda _model, version, *_given: {
            "contract.json": json.dumps(contracts[version]),
            "profile.json": json.dumps({"prediction": {"edges": [0.5]}}),
        },
    )
    settings = None  # only passed on
    found = recorded_plan(credit_config(), 1, 2, settings)  # type: ignore[arg-type]
    assert (found.all_classes, found.bins) == (("a", "c", "b"), ("a", "c", "b"))
    message = "version 3 of 'credit' predicts a number and the champion, version 1, predicts 2 classes"
    with pytest.raises(ReleaseError, match=message):
        recorded_plan(credit_config(), 1, 3, settings)  # type: ignore[arg-type]
