"""The feature contract: a model's raw input columns, its target and its classes.

It imports neither pandas nor scikit-learn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from core.errors import TrainingError
from core.notations import Notation, column_notation, from_json, to_json

if TYPE_CHECKING:
    from config.schema import ModelConfig

MISSING = "(missing)"
"""The level of a categorical feature that has no value."""

KINDS = ("numeric", "categorical", "boolean", "dates")
"""Fields of a contract that name raw columns, in the order of the columns."""

DATE_PARTS = ("month", "day", "weekday", "hour")
"""Calendar parts that replace a date. The year is omitted: a trained model has not seen later years."""


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
    key
        Column with the key of a row's entity; None if there is none, or if the bundle is older than this field.
    missing
        Texts that mean no value, for the categories of a request. None if the bundle is older than this field: its
        categories are levels exactly as they are sent.
    notations
        By column, how texts of a request state its numbers or dates (:func:`core.notations.to_json`); None if all
        columns have the usual notation.
    """

    task: str
    target: str
    classes: tuple[str, ...]
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    boolean: tuple[str, ...]
    dates: tuple[str, ...]
    key: str | None = None
    missing: tuple[str, ...] | None = None
    notations: dict[str, dict[str, Any]] | None = None

    @classmethod
    def of(cls, config: ModelConfig, labels: Sequence[str] = ()) -> Self:
        """Build the contract of a model file and of the labels in its training rows.

        Parameters
        ----------
        config
            The model file.
        labels
            Labels in any order, repeated or not; empty for regression.

        Raises
        ------
        TrainingError
            Fewer than two classes, more than two for a binary task, or the positive class never occurs.
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
            key=config.key,
            missing=config.source.missing,
            notations=_notations(config) or None,
        )

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """Build a contract from :meth:`to_dict`, with lists converted to tuples."""
        fields: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in content.items()
        }
        return cls(**fields)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values that JSON can hold."""
        return asdict(self)

    def notation(self, column: str) -> Notation | None:
        """Return how texts of a request state the column's values; None if in the usual way."""
        content = (self.notations or {}).get(column)
        return None if content is None else from_json(content)

    @property
    def raw_columns(self) -> tuple[str, ...]:
        """Columns that a row must have, in order."""
        return self.numeric + self.categorical + self.boolean + self.dates

    @property
    def prepared_numeric(self) -> tuple[str, ...]:
        """Names of the prepared float32 columns, in order."""
        parts = tuple(f"{column}.{part}" for column in self.dates for part in DATE_PARTS)
        return self.numeric + self.boolean + parts

    @property
    def prepared_columns(self) -> tuple[str, ...]:
        """Names of all prepared columns, in order: numeric, then categorical."""
        return self.prepared_numeric + self.categorical


def _notations(config: ModelConfig) -> dict[str, dict[str, Any]]:
    kinds = dict.fromkeys(config.features.numeric, "DOUBLE") | dict.fromkeys(config.features.dates, "TIMESTAMP")
    found = {column: column_notation(config.source, column, kind) for column, kind in kinds.items()}
    return {column: to_json(notation) for column, notation in found.items() if notation is not None}


def _class_order(config: ModelConfig, labels: Sequence[str]) -> tuple[str, ...]:
    if config.task == "regression":
        return ()
    found = sorted(set(labels), key=_label_order)
    shown = ", ".join(repr(label) for label in found[:6])
    if len(found) < 2:
        raise TrainingError(
            f"target {config.target!r} is constant ({shown}); a classifier needs at least two classes: "
            "add rows of another class"
        )
    if config.task == "multiclass":
        return tuple(found)
    if len(found) > 2:
        raise TrainingError(
            f"target {config.target!r}: a binary task needs exactly two classes, found {len(found)} ({shown}); "
            "set 'task: multiclass' or clean the labels"
        )
    if config.positive not in found:
        raise TrainingError(
            f"'positive' is {config.positive!r}, but target {config.target!r} has only {shown}; "
            "set 'positive' in the model file to one of them"
        )
    return (next(label for label in found if label != config.positive), config.positive)


def _label_order(label: str) -> tuple[int, float, str]:
    try:
        value = float(label)
    except ValueError:
        value = math.nan
    # NaN compares with nothing: a label "nan" among numbers would stand wherever the rows' order leaves it.
    return (1, 0.0, label) if math.isnan(value) else (0, value, label)


def level_text(level: object) -> str:
    """Return the canonical text of a category or a boolean.

    Examples
    --------
    >>> level_text(True), level_text("North")
    ('true', 'North')
    """
    if isinstance(level, str):
        return str(level)
    import numpy as np  # here, because commands that only verify a bundle need no numbers

    return str(level).lower() if isinstance(level, bool | np.bool_) else str(level)
