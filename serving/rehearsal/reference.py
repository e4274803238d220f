"""A small fixed ONNX graph, timed beside a model: it does the same work each time, so its time measures the machine."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

SIZE = 64
LAYERS = 8


def reference_model() -> Callable[[], object]:
    """Return a function without arguments that predicts once with the reference; about 0.1 ms on one core.

    The graph is eight dense layers of 64 units in float32, on 64 rows. It has no random numbers and no weights in a
    file, and runs in the calling thread as Perennial's graphs do.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(_graph(), options, providers=["CPUExecutionProvider"])
    places = np.arange(SIZE * SIZE, dtype="float32").reshape(SIZE, SIZE)
    feed = {"rows": np.cos(places), "weights": np.sin(places) / SIZE}
    return lambda: session.run(None, feed)


def _graph() -> bytes:
    from onnx import TensorProto, checker, helper

    shape = [SIZE, SIZE]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("rows", "weights")]
    names = ["rows", *(f"layer{place}" for place in range(LAYERS))]
    nodes = []
    for before, after in pairwise(names):
        nodes.append(helper.make_node("MatMul", [before, "weights"], [f"{after}.sum"]))
        nodes.append(helper.make_node("Tanh", [f"{after}.sum"], [after]))
    outputs = [helper.make_tensor_value_info(names[-1], TensorProto.FLOAT, shape)]
    graph = helper.make_graph(nodes, "reference", inputs, outputs)
    # Fixed versions, which every ONNX Runtime of the last years runs.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    checker.check_model(model)
    return bytes(model.SerializeToString())
