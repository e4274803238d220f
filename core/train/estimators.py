"""Build the estimator that a model file names by its import path, and check that it fits the task."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from sklearn.base import BaseEstimator, is_classifier, is_regressor

from config.similar_names import closest
from core.errors import ConfigError

_FAMILIES = ("ensemble", "linear_model", "neural_network", "neighbors", "svm", "tree", "naive_bayes", "calibration")


def load_estimator(
    path: str, params: Mapping[str, Any], seed: int, task: str, where: str = "training"
) -> BaseEstimator:
    """Build the estimator that a model file names.

    Parameters
    ----------
    path
        Import path of a class with scikit-learn's interface.
    params
        Parameters of the estimator. A value ``{"import": path, "params": {...}}`` is built as an estimator.
    seed
        Value of ``random_state`` if the estimator has one and the parameters do not set it.
    task
        ``binary``, ``multiclass`` or ``regression``.
    where
        Section of the model file that error messages name.

    Raises
    ------
    ConfigError
        The path does not import, is not an estimator, does not fit the task, or does not take the parameters.
    """
    estimator = _built(path, params, seed, f"{where}.estimator", f"{where}.params")
    _check_task(estimator, path, task, where)
    return estimator


def with_params(estimator: BaseEstimator, params: Mapping[str, Any], where: str = "training.params") -> BaseEstimator:
    """Set parameters of an estimator in place, including nested ones (``estimator__C``), and return it.

    Parameters
    ----------
    estimator
        The estimator to change.
    params
        Values by name.
    where
        Place in the model file that error messages name.

    Raises
    ------
    ConfigError
        The estimator does not take one of them; the message lists those it takes.
    """
    known = estimator.get_params(deep=True)
    for name in params:
        if name not in known:
            close = closest(name, known)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            own = ", ".join(sorted(estimator.get_params(deep=False)))
            raise ConfigError(f"{where}: {type(estimator).__name__} takes no parameter {name!r}{hint} It takes: {own}")
    estimator.set_params(**params)
    return estimator


def _built(path: str, params: Mapping[str, Any], seed: int, where: str, where_params: str) -> BaseEstimator:
    kind = _estimator_class(path, where)
    inner = {
        name: _built(value["import"], value.get("params") or {}, seed, f"{where_params}.{name}", where_params)
        if _names_an_estimator(value)
        else value
        for name, value in params.items()
    }
    required: dict[str, Any] = {name: inner[name] for name in ("estimator", "estimators") if name in inner}
    estimator = with_params(_instance(kind, path, required, where), inner, where_params)
    if "random_state" in estimator.get_params(deep=False) and "random_state" not in params:
        estimator.set_params(random_state=seed)
    return estimator


def _names_an_estimator(value: Any) -> bool:
    return isinstance(value, Mapping) and "import" in value and set(value) <= {"import", "params"}


def _instance(kind: type[BaseEstimator], path: str, required: dict[str, Any], where: str) -> BaseEstimator:
    try:
        return kind(**required)
    except TypeError as error:
        raise ConfigError(
            f"{where}: {path} cannot be built: {error}. Set its required parameters under params"
        ) from error


def _estimator_class(path: str, where: str) -> type[BaseEstimator]:
    module_name, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module_name), name, None)
    except ImportError as error:
        raise ConfigError(f"{where}: {path!r} does not import: {error}{_suggestion(name)}") from error
    if found is None:
        raise ConfigError(f"{where}: module {module_name!r} has no {name!r}{_suggestion(name)}")
    if not (isinstance(found, type) and all(hasattr(found, method) for method in ("fit", "get_params", "set_params"))):
        raise ConfigError(
            f"{where}: expected an estimator class with fit, get_params and set_params, found {path!r}; "
            "give the import path of such a class"
        )
    return found


def _suggestion(name: str) -> str:
    known: dict[str, str] = {}
    for family in _FAMILIES:
        module = vars(importlib.import_module(f"sklearn.{family}"))
        known.update({item: f"sklearn.{family}.{item}" for item, found in module.items() if hasattr(found, "fit")})
    close = closest(name, known)
    return f"; did you mean {known[close[0]]!r}?" if close else ". Give the full import path, 'package.module.Class'"


def _check_task(estimator: BaseEstimator, path: str, task: str, where: str) -> None:
    if task == "regression":
        if not is_regressor(estimator):
            raise ConfigError(
                f"{where}.estimator: the task regression needs a regressor, found {path}{_counterpart(path)}"
            )
        return
    if not is_classifier(estimator):
        raise ConfigError(f"{where}.estimator: the task {task} needs a classifier, found {path}{_counterpart(path)}")
    if not hasattr(estimator, "predict_proba"):
        raise ConfigError(
            f"{where}.estimator: {path} predicts no probabilities, which the task {task} needs. Wrap it: "
            "estimator: sklearn.calibration.CalibratedClassifierCV, "
            f"params: {{estimator: {{import: {path}, params: {{...}}}}}}"
        )


def _counterpart(path: str) -> str:
    """Return advice to use the corresponding class for the other kind of task, if it exists."""
    for suffix, other in (("Classifier", "Regressor"), ("Regressor", "Classifier"), ("SVC", "SVR"), ("SVR", "SVC")):
        if path.endswith(suffix):
            counterpart = path.removesuffix(suffix) + other
            module_name, _, name = counterpart.rpartition(".")
            if hasattr(importlib.import_module(module_name), name):
                return f"; use {counterpart}"
    return ""
