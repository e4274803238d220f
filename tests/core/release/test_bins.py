"""Bins of predictions: a look counts in those that the service and its metrics count in."""

from __future__ import annotations

import pytest

from core.release.bins import bin_names, class_bin, score_bin
from core.release.plan import Plan
from core.release.recorded import RecordedPlan


@pytest.mark.parametrize(("score", "expected"), [(-3.0, 0), (0.1, 1), (0.099, 0), (0.4999999, 2), (9.0, 2)])
def test_a_score_on_an_edge_is_above_it(score: float, expected: int) -> None:
    """Also where a graph in single precision computes a little less."""
    assert score_bin(score, (0.1, 0.5)) == expected


def test_classes_are_their_own_bins() -> None:
    """The first of two equally likely ones counts."""
    assert class_bin([0.2, 0.4, 0.4]) == 1


@pytest.mark.parametrize(("classes", "edges"), [((), (1.0, 2.5)), (("no", "yes"), (0.25,)), (("a", "b", "c"), ())])
def test_a_plan_names_each_bin(classes: tuple[str, ...], edges: tuple[float, ...]) -> None:
    """As many as there are, in order."""
    names = RecordedPlan(Plan(), "wait", 60.0, classes, edges).bins
    assert names == bin_names(classes, edges)
    assert len(names) == (len(classes) if len(classes) > 2 else len(edges) + 1)
