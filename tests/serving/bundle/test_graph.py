"""Graphs that answer: shapes, types, and errors of the bundle instead of the runtime's own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper

from core.errors import BundleError
from serving.bundle import graph as graphs
from serving.bundle.graph import Graph, first_line


def _content(*nodes: onnx.NodeProto, kind: int = TensorProto.FLOAT, columns: Sequence[str] = ("a", "b")) -> bytes:
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in columns]
    outputs = [helper.make_tensor_value_info("answer", kind, None)]
    made = helper.make_graph(list(nodes), "g", inputs, outputs)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def _sum() -> bytes:
    return _content(helper.make_node("Add", ["a", "b"], ["answer"]))


def _column(*values: float) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.array(values, dtype="float32").reshape(-1, 1)


def test_columns_are_fed_by_their_places() -> None:
    """Whatever they are called, and in any number of rows."""
    graph = Graph(_content(helper.make_node("Sub", ["a", "b"], ["answer"])))
    assert (graph.inputs, graph.outputs) == (("a", "b"), ("answer",))
    assert graph.answer([_column(5, 7), _column(1, 2)]).tolist() == [[4], [5]]
    frame = pd.DataFrame({"odd (name)": [5.0], "a": [1.0]}, dtype="float32")
    assert graph.run(frame).tolist() == [[4]]


def test_many_rows_are_answered_in_calls_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last call holds what is left, and the order stays."""
    monkeypatch.setattr(graphs, "ROWS_PER_CALL", 3)
    frame = pd.DataFrame({"a": np.arange(7), "b": np.arange(7)}, dtype="float32")
    assert Graph(_sum()).run(frame).ravel().tolist() == [0, 2, 4, 6, 8, 10, 12]


def test_a_column_too_few_is_a_bug_of_the_caller() -> None:
    """No input keeps a value of the call before."""
    with pytest.raises(ValueError, match="zip"):
        Graph(_sum()).answer([_column(1)])


def test_rows_that_the_graph_fails_on_are_an_error_of_the_bundle() -> None:
    """In one line, without the runtime's trace."""
    with pytest.raises(BundleError, match="the graph does not run: ") as caught:
        Graph(_sum()).answer([_column(1, 2), _column(1, 2, 3)])
    assert "\n" not in str(caught.value)


def test_answers_that_are_no_numbers_are_refused() -> None:
    """A label is not a probability."""
    content = _content(helper.make_node("Greater", ["a", "b"], ["answer"]), kind=TensorProto.BOOL)
    with pytest.raises(BundleError, match="expected numbers from the graph, found values of type bool; train again"):
        Graph(content).answer([_column(1), _column(2)])


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ValueError("  one\ntwo"), "ValueError: one"),
        (ValueError(), "ValueError"),
        (ValueError("x" * 1000), "ValueError: " + "x" * 300),
    ],
)
def test_an_error_is_told_in_one_line(error: Exception, says: str) -> None:
    """Messages of libraries have many."""
    assert first_line(error) == says
