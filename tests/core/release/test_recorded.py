"""A recorded plan is the same after it was read again, and bins outputs as the service does."""

from __future__ import annotations

import json

import pytest

from config.schema import Mesh
from core.release.plan import Guardrails, Plan
from core.release.recorded import RecordedPlan
from tests.core.release.objects import GATEWAY, ROLLOUTS


def test_it_survives_the_database() -> None:
    """Also what is not watched."""
    plan = Plan(steps=(1, 100), guardrails=Guardrails(latency_ratio=None), metric="roc_auc")
    recorded = RecordedPlan(plan, "supersede", 5.0, ("no", "yes"), (0.1, 0.5))
    assert RecordedPlan.from_json(recorded.to_json()) == recorded


@pytest.mark.parametrize("mesh", [GATEWAY, ROLLOUTS])
def test_its_mesh_survives_the_database(mesh: Mesh) -> None:
    """A plan that was recorded before there were meshes has none."""
    recorded = RecordedPlan(Plan(), "wait", 5.0, mesh=mesh)
    assert RecordedPlan.from_json(recorded.to_json()) == recorded
    content = json.loads(recorded.to_json())
    del content["mesh"]
    assert RecordedPlan.from_json(json.dumps(content)).mesh is None


@pytest.mark.parametrize(
    ("classes", "output", "expected", "n_bins"),
    [
        (("no", "yes"), [0.95, 0.05], 0, 3),
        (("no", "yes"), [0.5, 0.5], 2, 3),
        (("no", "yes"), [0.500002, 0.499998], 2, 3),
        ((), 0.3, 1, 3),
        (("a", "b", "c"), [0.2, 0.5, 0.3], 1, 3),
    ],
)
def test_bins(classes: tuple[str, ...], output: list[float] | float, expected: int, n_bins: int) -> None:
    """By the positive class, the number, or the most likely class."""
    recorded = RecordedPlan(Plan(), "wait", 60.0, classes, (0.1, 0.5) if len(classes) < 3 else ())
    assert recorded.bin_of(output) == expected
    assert len(recorded.bins) == n_bins


def test_classes_that_differ_have_the_bins_of_both() -> None:
    """A class keeps its bin, wherever a version has it among its outputs; an older plan has one list of classes."""
    recorded = RecordedPlan(Plan(), "wait", 60.0, ("a", "c"), (), challenger_classes=("a", "b", "c"))
    assert recorded.bins == ("a", "c", "b")
    assert [recorded.bin_of(output) for output in ([0.7, 0.3], [0.3, 0.7])] == [0, 1]
    outputs = ([0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8])
    assert [recorded.bin_of(output, is_challenger=True) for output in outputs] == [0, 2, 1]
    assert RecordedPlan.from_json(recorded.to_json()) == recorded
    content = json.loads(recorded.to_json())
    del content["challenger_classes"]
    assert RecordedPlan.from_json(json.dumps(content)).classes_of(is_challenger=True) == ("a", "c")
