"""Convert a fitted pipeline to ONNX, and keep the graph only if its outputs equal the pipeline's."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import VotingClassifier, VotingRegressor
from sklearn.pipeline import Pipeline

from core.errors import BundleError
from core.feature_contract import MISSING, FeatureContract
from core.metrics.agreement import agreement
from serving.bundle.graph import Graph

logger = logging.getLogger("perennial.onnx_export")

MAX_TREE_NODES = 1_500_000
"""Trees with more nodes are not converted: a node costs 40 bytes of graph, 7 µs and 1 kB of memory to convert."""

MAX_STORED_ROWS = 2_000
"""Neighbour and kernel models with more stored rows are not converted: the graph compares each row with all of them."""

MAX_GRAPH_BYTES = 200_000_000
MAX_ROWS = 20_000
MAX_ROWS_WITH_GAPS = 20_000
PROBED_ROWS = 32
PROBED_COLUMNS = 200
UNKNOWN_LEVEL = "(a level no training row had)"

# Errors of skl2onnx 1.20 and ONNX 1.23 for a pipeline they cannot express, from their sources: their own classes are
# RuntimeErrors, and unforeseen input raises the built-in errors below.
CONVERSION_ERRORS = (
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    NameError,
    AssertionError,
    ArithmeticError,
)

_conversion = threading.Lock()


@dataclass(frozen=True)
class OnnxResult:
    """Whether a graph was kept, and the result of the comparison.

    Parameters
    ----------
    path
        The graph; None if none was kept.
    max_abs_diff
        Largest absolute difference between graph and pipeline; None if the graph did not run.
    n_rows
        Rows compared.
    reason
        Why no graph was kept; None if one was kept.
    inputs
        The graph's input names, in the order of ``contract.prepared_columns``: skl2onnx replaces special characters
        in names and numbers duplicates, so columns and inputs are paired by position.
    output
        Name of the output that holds probabilities (n, k) or values (n, 1).
    """

    path: Path | None
    max_abs_diff: float | None
    n_rows: int
    reason: str | None
    inputs: tuple[str, ...] = ()
    output: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Content that JSON can hold, for the bundle."""
        return {
            "kept": self.path is not None,
            "max_abs_diff": self.max_abs_diff,
            "n_rows": self.n_rows,
            "reason": self.reason,
            "inputs": list(self.inputs),
            "output": self.output,
        }


def export_onnx(
    pipeline: Pipeline,
    contract: FeatureContract,
    holdout_prepared: pd.DataFrame,
    expected_output: npt.NDArray[Any],
    folder: Path,
) -> OnnxResult:
    """Write ``folder/model.onnx`` if the pipeline converts and the graph's outputs equal the pipeline's.

    A conversion that raises nothing can still be wrong (native categorical features, forests with missing values), so
    the comparison decides: on holdout rows, on all holdout rows with missing values, and on probes, in which one column
    is empty or has an unknown level.

    Parameters
    ----------
    pipeline
        Fitted; its first step is ``prepare``, which stays outside the graph.
    holdout_prepared
        Rows as ``prepare`` returns them.
    expected_output
        The pipeline's outputs for them: probabilities (n, k) or values (n,).
    folder
        Folder of the graph; a repeat replaces it.
    """
    body = Pipeline(pipeline.steps[1:])
    if reason := _too_large(body):
        return _refused(reason)
    try:
        graph = _convert(body, contract)
    except CONVERSION_ERRORS as error:
        return _refused(f"the pipeline cannot be converted: {_first_line(error)}")
    if len(graph) > MAX_GRAPH_BYTES:
        return _refused(f"the graph has {len(graph) / 1e6:.0f} MB, the limit is {MAX_GRAPH_BYTES / 1e6:.0f} MB")
    rows, expected = _compared_rows(body, contract, holdout_prepared, expected_output)
    result = _compare(graph, rows, expected, contract)
    if result.reason is not None:
        logger.info("no ONNX graph: %s", result.reason)
        return result
    logger.info("ONNX graph equals the pipeline on %s rows (within %.1e)", f"{len(rows):,}", result.max_abs_diff)
    return _kept(graph, result, folder / "model.onnx")


def _refused(reason: str) -> OnnxResult:
    logger.info("no ONNX graph: %s", reason)
    return OnnxResult(None, None, 0, reason)


def _kept(graph: bytes, result: OnnxResult, path: Path) -> OnnxResult:
    part = path.with_suffix(".part")
    part.write_bytes(graph)
    part.replace(path)
    return OnnxResult(path, result.max_abs_diff, result.n_rows, None, result.inputs, result.output)


def _too_large(body: Pipeline) -> str | None:
    model = body.steps[-1][1]
    if (nodes := _tree_nodes(model)) > MAX_TREE_NODES:
        return f"the trees have {nodes:,} nodes, the limit for a conversion is {MAX_TREE_NODES:,}"
    if (stored := _stored_rows(model)) > MAX_STORED_ROWS:
        return f"the estimator keeps {stored:,} training rows, the limit for a conversion is {MAX_STORED_ROWS:,}"
    return None


def _tree_nodes(model: Any) -> int:
    if isinstance(model, list | tuple | np.ndarray):
        return sum(_tree_nodes(part) for part in model)
    if hasattr(model, "tree_"):
        return int(model.tree_.node_count)
    # No public name for the trees of histogram gradient boosting: https://github.com/scikit-learn/scikit-learn/pull/12807
    if hasattr(model, "_predictors"):
        return sum(len(tree.nodes) for stage in model._predictors for tree in stage)
    if isinstance(model, Pipeline):
        return _tree_nodes(model.steps[-1][1])
    if isinstance(model, CalibratedClassifierCV):
        return _tree_nodes([part.estimator for part in model.calibrated_classifiers_])
    return _tree_nodes(list(getattr(model, "estimators_", ())))


def _stored_rows(model: Any) -> int:
    if isinstance(model, VotingClassifier | VotingRegressor):
        return max(map(_stored_rows, model.estimators_))
    if isinstance(model, Pipeline):
        return _stored_rows(model.steps[-1][1])
    if isinstance(model, CalibratedClassifierCV):
        return max(_stored_rows(part.estimator) for part in model.calibrated_classifiers_)
    # Neighbours have no public name for their rows; the other two attributes are documented.
    kept = (getattr(model, name, ()) for name in ("_fit_X", "support_vectors_", "X_train_"))
    return max(int(rows.shape[0]) if hasattr(rows, "shape") else 0 for rows in kept)


def _convert(body: Pipeline, contract: FeatureContract) -> bytes:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    numbers = [(name, FloatTensorType([None, 1])) for name in contract.prepared_numeric]
    texts = [(name, StringTensorType([None, 1])) for name in contract.categorical]
    options = {id(body): {"zipmap": False}} if contract.classes else None
    with _integer_attributes():
        # A fixed name: the default name is random, but equal models must give equal graphs.
        model = convert_sklearn(body, name="pipeline", initial_types=numbers + texts, options=options)
    graph: bytes = model.SerializeToString()
    return graph


@contextmanager
def _integer_attributes() -> Iterator[None]:
    """Let skl2onnx 1.20 convert histogram gradient boosting under protobuf 7.

    It passes booleans where ONNX declares integers, which protobuf accepted until version 6 ("Field
    onnx.AttributeProto.ints: Expected an int, got a boolean"; the same in https://github.com/onnx/ir-py/pull/175).
    During a conversion, one thread at a time, the function that builds nodes receives integers instead.
    """
    from skl2onnx.common import _container

    make_node = _container.make_node

    def make_integer_node(*args: Any, **attributes: Any) -> Any:
        return make_node(*args, **{name: _without_booleans(value) for name, value in attributes.items()})

    with _conversion:
        _container.make_node = make_integer_node
        try:
            yield
        finally:
            _container.make_node = make_node


def _without_booleans(value: Any) -> Any:
    if isinstance(value, list | tuple) and any(isinstance(item, bool | np.bool_) for item in value):
        return [int(item) for item in value]
    return value


def _compared_rows(
    body: Pipeline, contract: FeatureContract, prepared: pd.DataFrame, expected: npt.NDArray[Any]
) -> tuple[pd.DataFrame, npt.NDArray[Any]]:
    picked = _picked_rows(prepared)
    rows, values = prepared.iloc[picked], expected[picked]
    probes = _probes(prepared, contract)
    try:
        answers = _pipeline_output(body, contract, probes)
    except ValueError:
        # The estimator refuses missing values in columns that had none in training, so there is nothing to compare.
        return rows, values
    return pd.concat([rows, probes], ignore_index=True), np.concatenate([values, answers])


def _picked_rows(prepared: pd.DataFrame) -> npt.NDArray[np.int64]:
    gaps = prepared.isna().any(axis=1).to_numpy() | (prepared == MISSING).any(axis=1).to_numpy()
    rest = np.flatnonzero(gaps[MAX_ROWS:]) + MAX_ROWS
    return np.concatenate([np.arange(min(len(prepared), MAX_ROWS)), rest[:MAX_ROWS_WITH_GAPS]])


def _probes(prepared: pd.DataFrame, contract: FeatureContract) -> pd.DataFrame:
    some = prepared.head(PROBED_ROWS)
    gaps = [some.assign(**{name: np.float32(np.nan)}) for name in contract.prepared_numeric[:PROBED_COLUMNS]]
    levels = [
        some.assign(**{name: pd.Series(level, index=some.index, dtype=object)})
        for name in contract.categorical[:PROBED_COLUMNS]
        for level in (MISSING, UNKNOWN_LEVEL)
    ]
    return pd.concat([*gaps, *levels], ignore_index=True)


def _pipeline_output(body: Pipeline, contract: FeatureContract, rows: pd.DataFrame) -> npt.NDArray[Any]:
    return np.asarray(body.predict_proba(rows) if contract.classes else body.predict(rows))


def _compare(content: bytes, rows: pd.DataFrame, expected: npt.NDArray[Any], contract: FeatureContract) -> OnnxResult:
    try:
        graph = Graph(content)
        found = graph.run(rows).reshape(expected.shape)
    except BundleError as error:
        return OnnxResult(None, None, 0, str(error))
    compared = agreement(found, expected, contract)
    reason = None if compared.holds else f"the graph differs from the pipeline {compared.sentence}"
    return OnnxResult(None, compared.max_abs_diff, len(rows), reason, graph.inputs, graph.outputs[-1])


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:300]}" if text else type(error).__name__
