"""The feature contract: which raw columns a model takes and what it answers. Needs neither pandas nor scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

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
    key
        Column that names a row's entity; None where there is none, or the bundle is older than this field.
    """

    task: str
    target: str
    classes: tuple[str, ...]
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    boolean: tuple[str, ...]
    dates: tuple[str, ...]
    key: str | None = None

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
            key=config.key,
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


def level_text(level: object) -> str:
    """Canonical text of a category or a boolean.

    Examples
    --------
    >>> level_text(True), level_text("North")
    ('true', 'North')
    """
    return str(level).lower() if isinstance(level, bool | np.bool_) else str(level)
