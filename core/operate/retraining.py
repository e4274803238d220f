"""Whether a model is to be trained anew now. *No* is a value with a reason; it is stored with the trigger."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from config.schema import Retrain
from core.operate.events import RefusalCode

WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Pace:
    """How often a model was trained of late.

    Parameters
    ----------
    last
        When the newest retraining that fitted something began; None where there was none.
    n_week
        How many such began in the seven days before now.
    """

    last: datetime | None
    n_week: int


@dataclass(frozen=True)
class NewRows:
    """What a data version holds beyond the champion's.

    Parameters
    ----------
    data_version
        Of now.
    champion
        Version that is champion; None where there is none.
    champion_data
        Its data version; None where there is no champion or that is not known.
    n_rows
        Rows of the batches that the champion's data version does not hold.
    n_labelled
        Those of them whose target is known.
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


@dataclass(frozen=True)
class RetrainOutcome:
    """Answer of the flow ``retrain``.

    Parameters
    ----------
    model
        Name of the model.
    trigger_id
        What was answered.
    status
        ``promoted``, ``waiting``, ``recorded``, ``refused``, ``undecided``, ``unchanged`` or ``failed`` as on record;
        ``elsewhere`` where another run works on the same trigger.
    code
        Of a refusal before the training; the stage that decided otherwise.
    reasons
        Sentences for people.
    repeated
        Whether the trigger had been answered before, or is answered by another run.
    data_version, version
        Trained on and registered; None where nothing was.
    """

    model: str
    trigger_id: str
    status: str
    code: str
    reasons: tuple[str, ...]
    repeated: bool = False
    data_version: str | None = None
    version: int | None = None

    @property
    def refused(self) -> bool:
        """Whether a decision said no, or could not say yes."""
        return self.status in {"refused", "undecided", "unchanged", "failed"}

    def to_dict(self) -> dict[str, Any]:
        """Content that JSON can hold."""
        return asdict(self)


def pace_refusal(pace: Pace, rules: Retrain, now: datetime) -> Refusal | None:
    """Refuse a retraining that comes too soon after the last one, or is one too many in a week.

    The budget bounds what a sender, or a drift signal that stays, can cost.

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
