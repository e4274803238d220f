"""Only what an export writes passes, and is told by its bytes alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from sklearn.base import BaseEstimator
from sklearn.ensemble import (
    AdaBoostClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier

from core.errors import BundleError
from serving.bundle.graph import Graph
from serving.bundle.graph_vetting import vetted
from serving.bundle.reader import GRAPH
from tasks.registry.bundle import Bundle
from tests.tasks.train.test_onnx_export import export


@pytest.mark.parametrize(
    ("estimator", "small"),
    [
        (LogisticRegression(), False),
        (GaussianNB(), False),
        (MLPClassifier((5,), solver="lbfgs", max_iter=1000, random_state=0), False),
        (AdaBoostClassifier(n_estimators=5), False),
        (GradientBoostingClassifier(n_estimators=5), True),
        (HistGradientBoostingClassifier(max_iter=5), True),
        (RandomForestClassifier(5), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_training_exports_passes(tmp_path: Path, estimator: BaseEstimator, small: bool) -> None:
    """Graphs of trees, which may be large, need no trial: it would hold them in memory twice."""
    result, *_ = export(estimator, tmp_path)
    assert result.path is not None
    assert vetted(result.path.read_bytes()) is small


def test_neighbours_are_served_by_their_pipeline(tmp_path: Path) -> None:
    """Their graph is a loop over rows, and loops are not loaded; the reason says so."""
    result, *_ = export(KNeighborsClassifier(), tmp_path)
    assert result.path is None
    assert "it contains an operator 'Scan', which no export writes" in str(result.reason)


def test_a_graph_cut_anywhere_is_refused(graph_bundle: Bundle) -> None:
    """Fields end where they say."""
    content = (graph_bundle.folder / GRAPH).read_bytes()
    for size in range(0, len(content), 7):
        with pytest.raises(BundleError):
            Graph(content[:size])


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda content: content + b"\x3a\x00", "it contains 'graph' twice"),
        (lambda content: content + b"\x08\x0a", "it contains 'ir_version' twice"),
        (lambda content: content + b"\x38\x01", "an unexpected field 7 of wire type 0"),
        (lambda content: content + b"\x0b\x0c", "an unexpected field 1 of wire type 3"),
        (lambda content: content + b"\x9a\x06\x00", "an unexpected field 99 of wire type 2"),
        (lambda content: content + b"\xff" * 12, "truncated"),
        (lambda _: b"\x08\x0a", "it contains no graph"),
        (lambda _: b"\x3a\x04\x0a\x02\x22\x00", "an operator ''"),
        (lambda _: b"\x3a\x07\x0a\x05\x22\x03\xff\xfe\xfd", "decode"),
        (lambda _: bytes(200_000_001), "at most 200,000,000 bytes"),
    ],
)
def test_what_two_readers_could_read_differently_is_refused(
    graph_bundle: Bundle, spoil: Callable[[bytes], bytes], says: str
) -> None:
    """A second graph would be merged into the first, an unknown field skipped: neither is what was judged."""
    with pytest.raises(ValueError, match=says):
        vetted(spoil((graph_bundle.folder / GRAPH).read_bytes()))


def test_places_named_again_and_again_need_a_trial(graph_bundle: Bundle) -> None:
    """What passes values on, and picks the same ones a million times, is not small."""
    model = onnx.load_model_from_string((graph_bundle.folder / GRAPH).read_bytes())
    first = model.graph.input[0].name
    del model.graph.node[:]
    model.graph.initializer.append(onnx.helper.make_tensor("places", onnx.TensorProto.INT64, [1000], [0] * 1000))
    for before, after in ((first, "once"), ("once", "twice")):
        made = onnx.helper.make_node("ArrayFeatureExtractor", [before, "places"], [after], domain="ai.onnx.ml")
        model.graph.node.append(made)
    assert vetted(model.SerializeToString()) is False
    del model.graph.node[1]
    assert vetted(model.SerializeToString()) is True
