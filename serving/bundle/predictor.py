"""Load a verified bundle to predict whole frames of raw rows, for the gate, the monitor and the rehearsal."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from core.errors import BundleError, SchemaError, TrainingError
from core.feature_contract import FeatureContract
from core.metrics.evaluation import predict_output
from core.metrics.metrics import Floats
from core.model_inputs import prepare
from serving.bundle.archive import refuse_bomb
from serving.bundle.graph import first_line
from serving.bundle.reader import (
    CONTRACT,
    GRAPH,
    PIPELINE,
    REMEDY,
    Manifest,
    Runtime,
    load_contract,
    load_graph,
    verified,
)

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

# Errors that skops 0.16, NumPy 2.4 and the constructors they call raise for a damaged file. The list comes from their
# sources and from 3,000 mutated files.
LOADING_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    NameError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True, eq=False)
class Predictor:
    """A loaded bundle that predicts raw rows.

    Parameters
    ----------
    manifest, contract
        Manifest and feature contract of the bundle.
    kind
        Runtime that computes the answers: ``onnx`` or ``skops``.
    """

    manifest: Manifest
    contract: FeatureContract
    kind: Runtime
    _answers: Callable[[pd.DataFrame], Floats] = field(repr=False)

    def predict(self, frame: pd.DataFrame) -> Floats:
        """Probabilities of the contract's classes, shape (n, k), or numbers, shape (n,).

        Parameters
        ----------
        frame
            n rows with at least the contract's raw columns.

        Raises
        ------
        SchemaError
            A column is missing.
        BundleError
            The model fails, or its answers have another shape or are not all finite.
        """
        if missing := [name for name in self.contract.raw_columns if name not in frame.columns]:
            raise SchemaError(f"the rows lack columns that the model needs: {', '.join(missing)}")
        if len(frame) == 0:
            return np.empty(self._shape(0))
        answers = np.asarray(self._answers(frame), dtype="float64")
        if answers.size != np.prod(self._shape(len(frame))):
            raise BundleError(
                f"expected answers of shape {self._shape(len(frame))} for {len(frame):,} rows, found {answers.shape}; "
                "the model and its contract do not belong together: train again"
            )
        return _finite(answers.reshape(self._shape(len(frame))))

    def _shape(self, n_rows: int) -> tuple[int, ...]:
        return (n_rows, len(self.contract.classes)) if self.contract.classes else (n_rows,)


def load_pipeline(folder: Path, trusted: Sequence[str]) -> Pipeline:
    """Load the fitted pipeline of a verified bundle; only trusted types are built.

    Parameters
    ----------
    trusted
        Dotted names, from :func:`core.train.trust.trusted_types`; never from the bundle.

    Raises
    ------
    BundleError
        It contains types that are not trusted, would unpack to more than its size, or cannot be loaded here.
    """
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    path = folder / PIPELINE
    try:
        refuse_bomb(path)
        pipeline = skops.io.load(path, trusted=list(trusted))
    except UntrustedTypesFoundException as error:
        raise BundleError(
            f"{path} contains types that are not on the list of trusted types: {first_line(error)}; if you wrote or "
            "reviewed them, add them to training.trusted_types in the model file"
        ) from error
    except LOADING_ERRORS as error:
        raise BundleError(
            f"{path} cannot be loaded: {first_line(error)}; it may need the library versions of its training "
            "(requirements.txt in the bundle)"
        ) from error
    if not _is_ours(pipeline):
        raise BundleError(
            f"expected a pipeline that Perennial trained in {path}, found a {type(pipeline).__name__}; {REMEDY}"
        )
    return pipeline


def _is_ours(pipeline: object) -> bool:
    # A bundle with an ONNX graph is used without scikit-learn, whose import takes seconds.
    from sklearn.pipeline import Pipeline

    from core.contract import PrepareColumns

    try:
        return isinstance(pipeline, Pipeline) and isinstance(pipeline[0], PrepareColumns)
    except LOADING_ERRORS:  # a pipeline without steps
        return False


def load_predictor(folder: Path, manifest_sha256: str, trusted: Sequence[str]) -> Predictor:
    """Verify a bundle and load its ONNX graph if it has one, else its pipeline.

    Raises
    ------
    BundleError
        See :func:`verified` and :func:`load_pipeline`; or the graph does not run or takes other columns.
    """
    manifest = verified(folder, manifest_sha256)
    contract = load_contract(folder)
    if GRAPH in manifest.by_path:
        return Predictor(manifest, contract, "onnx", _graph_answers(folder, contract))
    pipeline = load_pipeline_of(folder, contract, trusted)
    return Predictor(manifest, contract, "skops", _pipeline_answers(pipeline, contract))


def load_pipeline_of(folder: Path, contract: FeatureContract, trusted: Sequence[str]) -> Pipeline:
    """Load a verified bundle's pipeline and check that it was trained with the bundle's contract.

    Raises
    ------
    BundleError
        See :func:`load_pipeline`; or it was trained with another contract.
    """
    pipeline = load_pipeline(folder, trusted)
    try:
        is_same = bool(FeatureContract.from_dict(pipeline.steps[0][1].contract) == contract)
    except LOADING_ERRORS:  # a damaged file may have any object here
        is_same = False
    if not is_same:
        raise BundleError(f"the pipeline in {folder} was trained with another contract than {CONTRACT}; {REMEDY}")
    return pipeline


def prepared_answers(pipeline: Pipeline, contract: FeatureContract) -> Callable[[pd.DataFrame], Floats]:
    """Return a function that predicts prepared rows: the pipeline without its first step.

    Raises
    ------
    BundleError
        The pipeline has no further steps.
    """
    try:
        return _pipeline_answers(pipeline[1:], contract)
    except LOADING_ERRORS as error:
        raise BundleError(f"the pipeline has no estimator: {first_line(error)}; {REMEDY}") from error


def _graph_answers(folder: Path, contract: FeatureContract) -> Callable[[pd.DataFrame], Floats]:
    graph = load_graph(folder, contract)
    return lambda frame: graph.run(prepare(frame, contract))


def _pipeline_answers(pipeline: Pipeline, contract: FeatureContract) -> Callable[[pd.DataFrame], Floats]:
    def answers(frame: pd.DataFrame) -> Floats:
        try:
            return predict_output(pipeline, frame, contract)
        except (TrainingError, *LOADING_ERRORS) as error:
            # Any of these errors: every object is of a trusted type, but its attributes may be missing or wrong.
            raise BundleError(f"the pipeline gives no usable answers: {first_line(error)}") from error

    return answers


def _finite(answers: Floats) -> Floats:
    strange = ~np.isfinite(answers).reshape(len(answers), -1).all(axis=1)
    if strange.any():
        raise BundleError(
            f"expected finite answers, found NaN or infinity in {int(strange.sum()):,} of {len(answers):,} rows; "
            "scale the features or change training.params, and train again"
        )
    return answers
