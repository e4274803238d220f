"""Whether a model is retrained now. A refusal is a value with a reason; it is stored with the trigger."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from config.schema import Retrain
from core.operate.events import RefusalCode
from core.operate.trigger import Outcome

WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Pace:
    """How often a model was retrained recently.

    Parameters
    ----------
    last
        When the newest retraining that fitted a model began; None if there was none.
    n_week
        How many such began in the seven days before now.
    """

    last: datetime | None
    n_week: int


@dataclass(frozen=True)
class NewRows:
    """Rows of a data version that the champion's data version does not have.

    Parameters
    ----------
    data_version
        The present one.
    champion
        Version that is champion; None where there is none.
    champion_data
        Data version of the champion; None if there is no champion or its data version is unknown.
    n_rows
        Rows of the batches that the champion's data version does not hold.
    n_labelled
        Those of them that have a label.
    """

    data_version: str
    champion: int | None
    champion_data: str | None
    n_rows: int
    n_labelled: int


@dataclass(frozen=True)
class Refusal:
    """Why there is no retraining: a code for machines and a sentence for people."""

    code: RefusalCode
    reason: str


RetrainStatus = Outcome | Literal["elsewhere"]


@dataclass(frozen=True)
class RetrainOutcome:
    """Result of the flow ``retrain``.

    Parameters
    ----------
    model
        Name of the model.
    trigger_id
        The trigger that this is the outcome of.
    status
        Status recorded for the trigger; ``elsewhere`` if another run works on it.
    code
        Code of the refusal if it came before the training; otherwise the stage that decided.
    reasons
        Sentences for people.
    repeated
        Whether the trigger was answered before, or is being answered by another run.
    data_version, version
        Trained on and registered; None where nothing was.
    """

    model: str
    trigger_id: str
    status: RetrainStatus
    code: str
    reasons: tuple[str, ...]
    repeated: bool = False
    data_version: str | None = None
    version: int | None = None

    @property
    def refused(self) -> bool:
        """Whether a decision was negative or undecided."""
        return self.status in {"refused", "undecided", "unchanged", "failed"}

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values that JSON can hold."""
        return asdict(self)


def pace_refusal(pace: Pace, rules: Retrain, now: datetime) -> Refusal | None:
    """Refuse a retraining within the cool-down time of the last one, or beyond the weekly budget.

    The budget bounds the cost of a busy sender or a persistent drift signal.

    Parameters
    ----------
    pace
        Recent retrainings of the model.
    rules
        ``retrain`` of its model file.
    now
        Aware moment.

    Examples
    --------
    >>> from datetime import UTC
    >>> noon = datetime(2026, 1, 5, 12, tzinfo=UTC)
    >>> pace_refusal(Pace(noon, 1), Retrain(cooldown_hours=2), noon + timedelta(hours=1)).code
    'cooldown'
    >>> pace_refusal(Pace(noon, 1), Retrain(cooldown_hours=2), noon + timedelta(hours=2)) is None
    True
    """
    if pace.last is not None:
        over = pace.last + timedelta(hours=rules.cooldown_hours)
        if now < over:
            return Refusal(
                "cooldown",
                f"the last retraining began {pace.last:%Y-%m-%d %H:%M} UTC, and retrain.cooldown_hours is "
                f"{rules.cooldown_hours:g}: not before {over:%Y-%m-%d %H:%M:%S} UTC",
            )
    if pace.n_week >= rules.per_week:
        return Refusal(
            "budget",
            f"{pace.n_week} retrainings began within seven days, and retrain.per_week is {rules.per_week}",
        )
    return None


def rows_refusal(rows: NewRows, rules: Retrain) -> Refusal | None:
    """Refuse a retraining without enough labelled rows that the champion's data version does not hold.

    Without a champion any data version is new.
    """
    if rows.champion is not None and rows.data_version == rows.champion_data:
        return Refusal("unchanged", f"champion {rows.champion} was trained on this data version already")
    if rows.champion is not None and rows.n_rows == 0:
        return Refusal("unchanged", f"the data holds no batch that champion {rows.champion} was not trained on")
    if rows.n_labelled < rules.min_new_labels:
        than = f" that champion {rows.champion} was not trained on" if rows.champion is not None else ""
        return Refusal(
            "unlabelled",
            f"{rows.n_labelled:,} of {rows.n_rows:,} rows{than} have a label, and retrain.min_new_labels is "
            f"{rules.min_new_labels:,}",
        )
    return None
