"""The feature contract: which raw columns a model takes, and the stateless step that prepares them.

Training, batch scoring and serving all go through :func:`prepare`, so a row means the same everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin

from config.schema import ModelConfig
from core.errors import TrainingError

MISSING = "(missing)"
"""The level a categorical feature takes where it has no value."""

KINDS = ("numeric", "categorical", "boolean", "dates")
"""Fields of a contract that name raw columns, in the order of the columns."""

DATE_PARTS = ("month", "day", "weekday", "hour")
"""Calendar parts a date becomes. The year is left out: a later year is unknown to every trained model."""


@dataclass(frozen=True)
class FeatureContract:
    """Raw input columns by kind and the target's classes.

    Parameters
    ----------
    task
        ``binary``, ``multiclass`` or ``regression``.
    target
        Name of the target column.
    classes
        Class labels in code order; binary: (negative, positive); regression: empty.
    numeric, categorical, boolean, dates
        Raw columns: float64, str or None, bool or None, datetime64.
    """

    task: str
    target: str
    classes: tuple[str, ...]
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    boolean: tuple[str, ...]
    dates: tuple[str, ...]

    @classmethod
    def of(cls, config: ModelConfig, labels: Sequence[str] = ()) -> Self:
        """Contract of a model file and the labels its training rows hold (empty for regression).

        Raises
        ------
        TrainingError
            Fewer than two classes, not two for a binary task, or the positive class never occurs.
        """
        features = config.features
        return cls(
            task=config.task,
            target=config.target,
            classes=_class_order(config, labels),
            numeric=features.numeric,
            categorical=features.categorical,
            boolean=features.boolean,
            dates=features.dates,
        )

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """Contract from :meth:`to_dict`, tuples restored."""
        fields: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in content.items()
        }
        return cls(**fields)

    def to_dict(self) -> dict[str, Any]:
        """Content that JSON can hold."""
        return asdict(self)

    @property
    def raw_columns(self) -> tuple[str, ...]:
        """Columns a row must bring, in order."""
        return self.numeric + self.categorical + self.boolean + self.dates

    @property
    def prepared_numeric(self) -> tuple[str, ...]:
        """Names of the prepared float32 columns, in order."""
        parts = tuple(f"{column}.{part}" for column in self.dates for part in DATE_PARTS)
        return self.numeric + self.boolean + parts

    @property
    def prepared_columns(self) -> tuple[str, ...]:
        """Names of all prepared columns, numbers first."""
        return self.prepared_numeric + self.categorical


def prepare(frame: pd.DataFrame, contract: FeatureContract) -> pd.DataFrame:
    """Turn raw contract columns into what the fitted pipeline and the ONNX graph take.

    Numbers become float32 (an ONNX graph computes in float32; training on the same rounding makes both agree at
    every tree threshold), booleans 0/1/NaN, dates their calendar parts, absent categories the level ``(missing)``.

    Parameters
    ----------
    frame
        n rows with at least the columns ``contract.raw_columns``; further columns are left behind.

    Returns
    -------
    pandas.DataFrame
        n rows, columns ``contract.prepared_columns``: float32, then object (str).
    """
    columns: dict[str, Any] = {}
    for name in contract.numeric + contract.boolean:
        columns[name] = frame[name].astype("float64").to_numpy(dtype="float32", na_value=np.nan)
    for name in contract.dates:
        columns.update({f"{name}.{part}": _date_part(frame[name], part) for part in DATE_PARTS})
    for name in contract.categorical:
        columns[name] = frame[name].astype(object).where(frame[name].notna(), MISSING)
    return pd.DataFrame(columns, index=frame.index, columns=list(contract.prepared_columns))


class PrepareColumns(TransformerMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn ships no types
    """:func:`prepare` as the first step of a scikit-learn pipeline; holds the contract, learns nothing."""

    def __init__(self, contract: dict[str, Any]) -> None:
        self.contract = contract

    def fit(self, X: pd.DataFrame, y: object = None) -> Self:  # noqa: ARG002 - the signature scikit-learn calls
        """Do nothing: preparing is stateless."""
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return the prepared columns, shape (n_rows, n_prepared)."""
        return prepare(X, FeatureContract.from_dict(self.contract))

    def __sklearn_is_fitted__(self) -> bool:
        return True


def encode_target(target: pd.Series[Any], contract: FeatureContract) -> npt.NDArray[Any]:
    """Codes of the classes (int64) or the numbers themselves (float64), shape (n_rows,).

    Raises
    ------
    TrainingError
        A label is none of the contract's classes.
    """
    if contract.task == "regression":
        return target.to_numpy(dtype="float64")
    codes = pd.Index(contract.classes).get_indexer(pd.Index(target)).astype("int64")
    if (codes < 0).any():
        strange = sorted(set(target.dropna()) - set(contract.classes))[:5]
        raise TrainingError(f"target {contract.target!r} holds labels unknown to the model: {strange or 'no value'}")
    return codes


def _class_order(config: ModelConfig, labels: Sequence[str]) -> tuple[str, ...]:
    if config.task == "regression":
        return ()
    found = sorted(set(labels), key=_label_order)
    shown = ", ".join(repr(label) for label in found[:6])
    if len(found) < 2:
        raise TrainingError(f"target {config.target!r} is constant ({shown}); a classifier needs two classes")
    if config.task == "multiclass":
        return tuple(found)
    if len(found) > 2:
        raise TrainingError(
            f"target {config.target!r} has {len(found)} classes ({shown}), a binary task has two; "
            "set 'task: multiclass' or clean the labels"
        )
    if config.positive not in found:
        raise TrainingError(f"'positive' is {config.positive!r} but target {config.target!r} holds {shown}")
    return (next(label for label in found if label != config.positive), config.positive)


def _label_order(label: str) -> tuple[int, float, str]:
    try:
        return (0, float(label), label)
    except ValueError:
        return (1, 0.0, label)


def _date_part(dates: pd.Series[Any], part: str) -> npt.NDArray[np.float32]:
    values: pd.Series[Any] = getattr(dates.dt, part)
    return values.astype("float64").to_numpy(dtype="float32", na_value=np.nan)
