"""What a window showed, and the verdict on it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from functools import cache
from math import nan
from typing import Any

from pydantic import TypeAdapter

from core.drift.columns import ColumnDrift
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
        Names, in order; empty where the rows come from elsewhere.
    since, until
        Range of time asked for; None where none was.
    n_rows
        Rows that were measured.
    n_seen, n_outside
        Rows left out: the champion has trained on them, they lie outside the range (or have no time, with a range).
    n_without_time, n_out_of_order
        Rows without a time, and rows that are earlier than the row before them.
    n_sampled
        Of the rows, those the champion scored.
    n_labelled, n_young
        Of those, rows whose label counts, and rows whose label does not count yet because of their age.
    first_time, last_time
        Of the rows that were measured; None where they have no time.
    notes
        What else a person should know, as sentences.
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


@dataclass(frozen=True, kw_only=True)
class DriftEvidence:
    """Everything the decision looks at.

    Parameters
    ----------
    id
        From :func:`decision_id`.
    model, champion, against
        Name, version, and what the window is held against: ``champion`` or a data version.
    window
        Its rows.
    columns
        From :func:`column_drifts`.
    performance
        Realised, estimated, both or none.
    bias
        Of labelled probabilities; None without.
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
    """What a window is, and every number that led to it.

    Parameters
    ----------
    id, model, champion, against, window, columns
        As in :class:`DriftEvidence`.
    status
        See :data:`Status`.
    drifted
        Whether this window by itself is a signal: enough importance drifted, the target or the predictions did, or
        the performance is harmed.
    retrain
        Whether a retraining is recommended.
    harmed
        Whether the performance is; None where it is unknown: not measured, too few rows, or a loss above what is
        tolerated that may be chance.
    importance_share
        Of the features that drifted, 0 to 1.
    performance
        The one that decides first: realised where it tells, else estimated.
    bias
        As in :class:`DriftEvidence`.
    n_signals, n_windows
        Signals among the last disjoint windows that were large enough, this one included; 0 of 0 where it is not.
    reasons
        Sentences for people, the most telling first.
    measured_at
        When, with its zone.
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
        """Content that JSON can hold: moments in ISO 8601; NaN and infinities become None."""
        content: dict[str, Any] = json.loads(json.dumps(jsonable(asdict(self)), default=datetime.isoformat))
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> DriftVerdict:
        """Verdict from :meth:`to_dict`.

        Raises
        ------
        ValueError
            The content is no verdict.
        """
        if "performance" not in content:
            raise ValueError(f"expected a verdict on drift, found a document with {sorted(content)[:10]}")
        return _adapter().validate_python({**content, "performance": [_numbers(one) for one in content["performance"]]})


@cache
def _adapter() -> TypeAdapter[DriftVerdict]:
    return TypeAdapter(DriftVerdict)


def _numbers(performance: Mapping[str, Any]) -> dict[str, Any]:
    """Undo what JSON does to NaN where a number is always meant."""
    always = {field.name for field in fields(Performance) if field.type == "float"}
    return {name: nan if value is None and name in always else value for name, value in performance.items()}
