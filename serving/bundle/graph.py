"""Run an ONNX graph on prepared rows; the export's comparison and the service use the same code."""

from __future__ import annotations

from collections.abc import Sequence
from mmap import mmap
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from core.errors import BundleError
from serving.bundle.graph_trial import tried
from serving.bundle.graph_vetting import vetted

if TYPE_CHECKING:
    import pandas as pd

ROWS_PER_CALL = 1_000


class Graph:
    """An ONNX graph with one input per prepared column, in their order.

    Parameters
    ----------
    content
        The serialised graph, or its memory-mapped file.

    Raises
    ------
    BundleError
        It contains something that Perennial's export would not write, needs too much memory or time for a row, or ONNX
        Runtime refuses it.
    """

    def __init__(self, content: bytes | mmap) -> None:
        import onnxruntime

        content = _judged(content)
        options = onnxruntime.SessionOptions()
        # One thread sums in a fixed order, so the same graph gives the same bits on every machine.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            # No constant folding: it would hold at once all the values that the trial computed one after the other.
            self._session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"], disabled_optimizers=["ConstantFolding"]
            )
        except _failures() as error:
            raise BundleError(f"the graph does not run: {first_line(error)}") from error
        self.inputs = tuple(item.name for item in self._session.get_inputs())
        self.outputs = tuple(item.name for item in self._session.get_outputs())
        self._wanted = [self.outputs[-1]]
        self._failures = _failures()

    def run(self, prepared: pd.DataFrame) -> npt.NDArray[Any]:
        """Compute the answers to rows from :func:`core.model_inputs.prepare`; shape (n, k) or (n, 1).

        Raises
        ------
        BundleError
            The graph fails on these rows.
        """
        starts = range(0, len(prepared), ROWS_PER_CALL)
        parts = (prepared.iloc[start : start + ROWS_PER_CALL] for start in starts)
        return np.concatenate([self.answer(_columns(part)) for part in parts])

    def answer(self, columns: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """Compute the answers to prepared columns, in the order of :attr:`inputs`.

        The answer to a row does not depend on the other rows. ONNX Runtime adds up the products of a single row in
        another order than those of several, so a single row is computed twice.

        Parameters
        ----------
        columns
            Each of shape (n, 1), float32 or object (str).

        Raises
        ------
        BundleError
            The graph fails on these rows.
        """
        if len(columns[0]) == 1:
            return self.answer([np.concatenate((column, column)) for column in columns])[:1]
        # By position: skl2onnx removes special characters from names and numbers names that then collide.
        feed = dict(zip(self.inputs, columns, strict=True))
        try:
            answers: npt.NDArray[Any] = self._session.run(self._wanted, feed)[0]
        except self._failures as error:
            raise BundleError(f"the graph does not run: {first_line(error)}") from error
        if answers.dtype.kind not in "fiu":
            raise BundleError(f"expected numbers from the graph, found values of type {answers.dtype}; train again")
        return answers


def _judged(content: bytes | mmap) -> bytes:
    """Check a graph and return its bytes; a mapped file is copied into memory only after the check."""
    try:
        small = vetted(content)
    except ValueError as error:
        raise BundleError(f"the graph is not one that Perennial's training writes: {error}; train again") from error
    graph = bytes(content)
    try:
        if not small:
            tried(graph)
    except _failures() as error:
        raise BundleError(
            f"the graph does not run, or needs too much memory or time for a row: {first_line(error)}"
        ) from error
    return graph


def first_line(error: Exception) -> str:
    """Return the type and the first line of a library's error, shortened."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:300]}" if text else type(error).__name__


def _columns(prepared: pd.DataFrame) -> list[npt.NDArray[Any]]:
    return [prepared.iloc[:, [place]].to_numpy() for place in range(prepared.shape[1])]


def _failures() -> tuple[type[Exception], ...]:
    """Return ONNX Runtime's errors, whose only common base class is Exception."""
    from onnxruntime.capi import onnxruntime_pybind11_state as runtime

    names = (
        "EPFail",
        "EngineError",
        "Fail",
        "InvalidArgument",
        "InvalidGraph",
        "InvalidProtobuf",
        "NoModel",
        "NoSuchFile",
        "NotFound",
        "NotImplemented",
        "RuntimeException",
    )
    return (*(getattr(runtime, name) for name in names), ValueError, RuntimeError, MemoryError)
