"""The measurements of a window, and the verdict on it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from functools import cache
from math import nan
from typing import Any, Literal

from pydantic import TypeAdapter

from core.drift.columns import ColumnDrift
from core.drift.monitored_window import AnsweredRows
from core.drift.windows import Status
from core.jsonable import jsonable
from core.performance.loss import Performance
from core.performance.prediction_bias import PredictionBias


@dataclass(frozen=True, kw_only=True)
class WindowFacts:
    """The rows of a window.

    Parameters
    ----------
    batches
        Names of the batches, in order; empty if the rows come from elsewhere.
    since, until
        Requested range of times, ``until`` exclusive; None for no bound.
    n_rows
        Number of rows measured.
    n_seen, n_outside
        Number of rows left out because the champion was trained on them, and because they are outside the range (or
        have no time although a range was requested).
    n_without_time, n_out_of_order
        Number of rows without a time, and of rows that are earlier than the row before.
    n_sampled
        Number of the measured rows that the champion scored.
    n_labelled, n_young
        Of the scored rows, the number with a label that is used, and the number too young for their label to be used.
    first_time, last_time
        Earliest and latest time of the measured rows; None if they have no time.
    notes
        Further sentences for people.
    source
        Where the rows come from: ``batches``, or ``predictions`` for the prediction log.
    answered
        Rows of the log by version and role; empty for batches.
    n_shadow, n_failed, n_incomplete
        Rows of the log that are not part of the window: answered by a shadow only, not answered, or without a column of
        the champion.
    labels_as_of
        Time by which the labels of rows of the log were known, with time zone; None for batches.
    """

    batches: tuple[str, ...]
    n_rows: int
    since: datetime | None = None
    until: datetime | None = None
    n_seen: int = 0
    n_outside: int = 0
    n_without_time: int = 0
    n_out_of_order: int = 0
    n_sampled: int = 0
    n_labelled: int = 0
    n_young: int = 0
    first_time: datetime | None = None
    last_time: datetime | None = None
    notes: tuple[str, ...] = ()
    source: Literal["batches", "predictions"] = "batches"
    answered: tuple[AnsweredRows, ...] = ()
    n_shadow: int = 0
    n_failed: int = 0
    n_incomplete: int = 0
    labels_as_of: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class DriftEvidence:
    """All inputs of the decision on a window.

    Parameters
    ----------
    id
        From :func:`decision_id`.
    model, champion, against
        Name of the model, the champion's version, and what the window is compared with: ``champion`` or a data version.
    window
        Facts about the window's rows.
    columns
        From :func:`column_drifts`.
    performance
        Realised performance, estimated performance, both or none.
    bias
        Bias of the probabilities, from labelled rows; None if it was not measured.
    """

    id: str
    model: str
    champion: int
    against: str
    window: WindowFacts
    columns: tuple[ColumnDrift, ...]
    performance: tuple[Performance, ...] = ()
    bias: PredictionBias | None = None


@dataclass(frozen=True, kw_only=True)
class DriftVerdict:
    """The verdict on a window, with every number that it depends on.

    Parameters
    ----------
    id, model, champion, against, window, columns
        As in :class:`DriftEvidence`.
    status
        See :data:`Status`.
    drifted
        Whether this window alone is a signal: features with enough importance drifted, the target or the predictions
        drifted, or performance is harmed.
    retrain
        Whether a retraining is recommended.
    harmed
        Whether performance is harmed; None if unknown: not measured, too few rows, or a loss above the tolerance that
        may be chance.
    importance_share
        Share of feature importance of the features that drifted, 0 to 1.
    performance
        The deciding one first: realised if it is conclusive, otherwise estimated.
    bias
        As in :class:`DriftEvidence`.
    n_signals, n_windows
        Number of signals, and number of the last disjoint windows that were large enough, this one included; 0 and 0 if
        this one is too small.
    reasons
        Sentences for people, the most important first.
    measured_at
        Time of the measurement, with time zone.
    """

    id: str
    model: str
    champion: int
    against: str
    status: Status
    drifted: bool
    retrain: bool
    harmed: bool | None
    importance_share: float
    columns: tuple[ColumnDrift, ...]
    performance: tuple[Performance, ...]
    bias: PredictionBias | None
    n_signals: int
    n_windows: int
    reasons: tuple[str, ...]
    window: WindowFacts
    measured_at: datetime

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values that JSON can hold: times in ISO 8601, NaN and infinities as None."""
        content: dict[str, Any] = json.loads(json.dumps(jsonable(asdict(self)), default=datetime.isoformat))
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> DriftVerdict:
        """Build a verdict from :meth:`to_dict`.

        Raises
        ------
        ValueError
            The content is not a verdict.
        """
        if "performance" not in content:
            raise ValueError(f"expected a verdict on drift, found a document with {sorted(content)[:10]}")
        return _adapter().validate_python({**content, "performance": [_numbers(one) for one in content["performance"]]})


@cache
def _adapter() -> TypeAdapter[DriftVerdict]:
    return TypeAdapter(DriftVerdict)


def _numbers(performance: Mapping[str, Any]) -> dict[str, Any]:
    """Restore NaN, which JSON holds as null, in fields that are always numbers."""
    always = {field.name for field in fields(Performance) if field.type == "float"}
    return {name: nan if value is None and name in always else value for name, value in performance.items()}
