"""Files in which a step of a training hands its result to the next, which may run in another process.

A step returns a reference to its files. The process that wrote them keeps the result in memory (see ``bench.py``), so
that they are read only if the steps of one run do not share a process.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import skops.io
from pydantic import TypeAdapter
from sklearn.pipeline import Pipeline

from core.errors import StorageError
from core.feature_contract import FeatureContract
from core.metrics.evaluation import Evaluation
from core.metrics.metrics import Floats
from core.train.portfolio import Choice
from core.train.training_run import EvaluatedRun, FittedRun, TrainingRun
from core.train.trust import trusted_types
from serving.bundle.predictor import load_pipeline
from serving.bundle.reader import PIPELINE
from tasks.registry.bundle import STORING_ERRORS, not_storable
from tasks.train.fit import FittedModel
from tasks.train.search import Params, Scores, SearchSummary

FOLDER = "steps"
"""In the run's folder; removed when the version is registered."""

FIT = "fit.json"
EVALUATION = "evaluation.json"
OUTPUT = "output.npy"


@dataclass(frozen=True)
class _Fit:
    """Facts about the fit of a pipeline; a score may be NaN."""

    cv_scores: Scores
    search: SearchSummary | None
    fit_seconds: float
    params: Params
    choice: Choice | None = None


@dataclass(frozen=True, eq=False)
class Evaluated:
    """Output of the pipeline on its holdout, and the evaluation of it.

    Parameters
    ----------
    evaluation
        Metrics, slices, calibration, importance and curves.
    output
        Probabilities, shape (n_holdout, n_classes), or values, shape (n_holdout,); float64.
    """

    evaluation: Evaluation
    output: Floats


_FIT = TypeAdapter(_Fit)
_EVALUATION = TypeAdapter(Evaluation)


def keep_fitted(fitted: FittedModel, run: TrainingRun) -> FittedRun:
    """Write a fitted pipeline and how it was fitted; a repeat replaces the files.

    Raises
    ------
    TrainingError
        The pipeline cannot be stored without pickle.
    StorageError
        The disk is full or not writable.
    """
    folder = _folder(run)
    facts = _Fit(fitted.cv_scores, fitted.search, fitted.fit_seconds, fitted.params, fitted.choice)
    with _writing(folder):
        _write(folder / PIPELINE, _stored(fitted.pipeline))
        _write(folder / FIT, _json(facts))
    return FittedRun(run)


def read_fitted(run: TrainingRun, contract: FeatureContract) -> FittedModel:
    """Read what :func:`keep_fitted` wrote.

    Parameters
    ----------
    contract
        The run's feature contract, which follows from its rows.

    Raises
    ------
    BundleError
        The pipeline's file is missing or damaged, or holds types that the model file does not trust.
    """
    folder, training = _folder(run), run.config.training
    pipeline = load_pipeline(folder, trusted_types(training.trusted_types))
    facts = _FIT.validate_json((folder / FIT).read_bytes())
    return FittedModel(pipeline, contract, facts.params, facts.cv_scores, facts.search, facts.fit_seconds, facts.choice)


def keep_evaluation(evaluated: Evaluated, run: TrainingRun) -> EvaluatedRun:
    """Write an evaluation and the output it was computed from; a repeat replaces the files.

    Raises
    ------
    StorageError
        The disk is full or not writable.
    """
    folder, content = _folder(run), BytesIO()
    np.save(content, evaluated.output, allow_pickle=False)
    with _writing(folder):
        _write(folder / OUTPUT, content.getvalue())
        _write(folder / EVALUATION, _json(evaluated.evaluation))
    return EvaluatedRun(run)


def read_evaluation(run: TrainingRun) -> Evaluated:
    """Read what :func:`keep_evaluation` wrote."""
    folder = _folder(run)
    evaluation = _EVALUATION.validate_json((folder / EVALUATION).read_bytes())
    return Evaluated(evaluation, np.load(folder / OUTPUT, allow_pickle=False))


def forget_steps(run: TrainingRun) -> None:
    """Remove the files; the registered bundle contains their content."""
    shutil.rmtree(_folder(run), ignore_errors=True)


def _folder(run: TrainingRun) -> Path:
    return run.folder / FOLDER


def _stored(pipeline: Pipeline) -> bytes:
    try:
        return bytes(skops.io.dumps(pipeline))
    except STORING_ERRORS as error:
        raise not_storable(pipeline, error) from error


def _json(facts: _Fit | Evaluation) -> bytes:
    """Return JSON with NaN as a constant, so that reading returns the written values."""
    return json.dumps(asdict(facts), default=lambda number: number.item()).encode()


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise StorageError(f"{folder} cannot be written: {error}; free disk space and run again") from error


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(content)
    part.replace(path)
