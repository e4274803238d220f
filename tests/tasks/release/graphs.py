"""Faults of a version that lie in its own graph: what a sound export does for most rows, and does not for others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import NodeProto, helper, numpy_helper

from serving.bundle.reader import GRAPH

Fault = Callable[[Path], None]

SIDE = 600
N_PRODUCTS = 6
"""Products of matrices: some hundred milliseconds for a row, and within the service's bounds of memory and time."""


def raising(below: float) -> Fault:
    """Return a fault that raises for rows whose age is below a number: it looks up a place that is not there."""
    return _with(
        [
            helper.make_node("Less", ["age", "fault_below"], ["fault_is_young"]),
            helper.make_node("Greater", ["age", "fault_above"], ["fault_is_given"]),
            helper.make_node("And", ["fault_is_young", "fault_is_given"], ["fault_is_met"]),
            helper.make_node("Cast", ["fault_is_met"], ["fault_place"], to=onnx.TensorProto.INT64),
            helper.make_node("Gather", ["fault_table", "fault_place"], ["fault"], axis=0),
        ],
        fault_below=np.array([below], dtype=np.float32),
        fault_above=np.zeros(1, dtype=np.float32),  # a bundle is tried with a row of zeros when it is fetched
        fault_table=np.zeros(1, dtype=np.float32),
    )


def not_finite(below: float) -> Fault:
    """Return a fault that answers NaN for rows whose age is below a number."""
    return _with(
        [
            helper.make_node("Sub", ["age", "fault_below"], ["fault_years"]),
            helper.make_node("Sqrt", ["fault_years"], ["fault_root"]),
            helper.make_node("Mul", ["fault_root", "fault_zero"], ["fault"]),
        ],
        fault_below=np.array([below], dtype=np.float32),
        fault_zero=np.zeros(1, dtype=np.float32),
    )


def slow() -> Fault:
    """Return a fault that answers rightly, but takes long."""
    products = [
        helper.make_node("MatMul", [f"fault_{place}", f"fault_{place}"], [f"fault_{place + 1}"])
        for place in range(N_PRODUCTS)
    ]
    return _with(
        [
            helper.make_node("Mul", ["age", "fault_zero"], ["fault_none"]),
            helper.make_node("ReduceMax", ["fault_none"], ["fault_scalar"], keepdims=0),
            helper.make_node("ConstantOfShape", ["fault_shape"], ["fault_square"]),
            helper.make_node("Add", ["fault_square", "fault_scalar"], ["fault_0"]),
            *products,
            helper.make_node("ReduceMax", [f"fault_{N_PRODUCTS}"], ["fault"], keepdims=0),
        ],
        fault_zero=np.zeros(1, dtype=np.float32),
        fault_shape=np.array([SIDE, SIDE], dtype=np.int64),
    )


def _with(nodes: list[NodeProto], **constants: npt.NDArray[Any]) -> Fault:
    """Return a fault that adds the value ``fault`` to the graph's answers."""

    def change(folder: Path) -> None:
        model = onnx.load(folder / GRAPH)
        graph = model.graph
        answer = graph.output[-1].name
        for node in graph.node:
            node.output[:] = ["sound_answer" if name == answer else name for name in node.output]
        graph.node.extend([*nodes, helper.make_node("Add", ["sound_answer", "fault"], [answer])])
        graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
        (folder / GRAPH).write_bytes(model.SerializeToString())

    return change
