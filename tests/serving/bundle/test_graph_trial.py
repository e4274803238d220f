"""One row is asked of a graph, in bounded memory and time."""

from __future__ import annotations

import threading
from itertools import pairwise

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from core.metrics.metrics import Floats
from serving.bundle.graph_trial import MAX_VALUES_BYTES, tried


def _content(nodes: list[onnx.NodeProto], kind: int = TensorProto.FLOAT, **weights: Floats) -> bytes:
    row = helper.make_tensor_value_info("row", kind, [None, 1])
    out = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)
    held = [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()]
    made = helper.make_graph(nodes, "g", [row], [out], held)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def _doubled(times: int) -> bytes:
    names = ["row", *(f"v{number}" for number in range(times))]
    return _content([helper.make_node("Concat", [one, one], [two], axis=1) for one, two in pairwise(names)])


def _failures() -> tuple[type[Exception], ...]:
    from serving.bundle.graph import _failures as failures

    return failures()


def test_a_small_graph_passes_again_and_again() -> None:
    """What one trial took is there for the next, also of several threads."""
    content = _doubled(17)
    assert MAX_VALUES_BYTES > 4 * 2**18
    threads = [threading.Thread(target=tried, args=(content,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tried(content)


def test_a_row_that_takes_more_memory_than_it_may_is_refused() -> None:
    """By the runtime's own bound; a small graph passes afterwards."""
    with pytest.raises(_failures(), match=r"(?i)memory"):
        tried(_doubled(24))
    tried(_doubled(3))


def test_weights_do_not_count() -> None:
    """They are as large as the file says."""
    weights = np.ones((1, MAX_VALUES_BYTES // 2), dtype="float32")
    nodes = [helper.make_node("Shape", ["weights"], ["s"]), helper.make_node("Cast", ["s"], ["answer"], to=1)]
    tried(_content(nodes, weights=weights))


def test_a_row_that_computes_for_hours_is_stopped() -> None:
    """After a part of a second of the processor's time."""
    names = ["square", *(f"p{number}" for number in range(3_000))]
    nodes = [helper.make_node("MatMul", [one, "square"], [two]) for one, two in pairwise(names)]
    with pytest.raises(_failures(), match=r"(?i)terminat"):
        tried(_content(nodes, square=np.eye(600, dtype="float32")))


def test_inputs_that_are_no_columns_are_refused() -> None:
    """A prepared row has numbers and texts."""
    nodes = [helper.make_node("Cast", ["row"], ["answer"], to=TensorProto.FLOAT)]
    with pytest.raises(ValueError, match=r"expected inputs of numbers or strings, found 'tensor\(int64\)'"):
        tried(_content(nodes, kind=TensorProto.INT64))
