"""The flow ``retrain`` end to end: one answer for each trigger, kept with its reason."""

import json
from collections.abc import Callable

import pandas as pd
import pytest
from sqlalchemy import select

from config.settings import Settings
from core.errors import SourceError
from core.operate.events import RETRAIN_REFUSED
from core.operate.retraining import RetrainOutcome
from core.operate.trigger import Trigger
from store.database import open_database, reading
from store.tables import EventRow
from store.triggers import receive, triggers
from tests.factories import add_credit_model, credit_rows
from tests.flows.conftest import SOON
from tests.store.trigger_samples import find_trigger, webhook

pytestmark = [
    pytest.mark.e2e,
    # As in test_train: what the libraries use of each other is deprecated, not what we use.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),
]

Retrain = Callable[..., RetrainOutcome]


@pytest.fixture
def retrain(prefect_api: str) -> Retrain:
    """Return the flow, imported once its server is known."""
    assert prefect_api
    from flows.retrain import retrain

    return retrain


def _grow(settings: Settings, n: int = 400, **changes: int | None) -> None:
    rows = credit_rows(n, seed=2).assign(**changes)
    add_credit_model(settings, pd.concat([credit_rows(), rows]), retrain=SOON)


def _refusals(settings: Settings) -> list[str]:
    chosen = select(EventRow.document).where(EventRow.name == RETRAIN_REFUSED).order_by(EventRow.occurred_at)
    with reading(open_database(settings.database_url)) as connection:
        return [json.loads(text)["payload"]["code"] for text in connection.scalars(chosen)]


def test_new_rows_are_trained_on_and_unchanged_ones_are_not(
    retrained: RetrainOutcome, retrain: Retrain, project: Settings
) -> None:
    """The first trigger trains, one on the same data is refused and stored, one after new rows trains again."""
    assert (retrained.status, retrained.version, retrained.repeated) == ("promoted", 1, False)
    same = retrain("credit", "schedule", "schedule:1")
    assert (same.status, same.code, same.version) == ("refused", "unchanged", None)
    assert "this data version already" in same.reasons[0]
    _grow(project)
    grown = retrain("credit", "drift", "drift:1")
    assert grown.version == 2
    stored = triggers(open_database(project.database_url), "credit")
    assert [(one.kind, one.status, one.version) for one in stored] == [
        ("drift", "answered", 2),
        ("schedule", "answered", None),
        ("webhook", "answered", 1),
    ]
    assert _refusals(project)[0] == "unchanged"


def test_a_trigger_is_answered_once(retrained: RetrainOutcome, retrain: Retrain, project: Settings) -> None:
    """A second run for the same trigger gives the recorded answer, and trains nothing even where rows are new."""
    _grow(project)
    again = retrain("credit", "webhook", "standard:ci:1")
    assert (again.status, again.version, again.repeated) == ("promoted", retrained.version, True)
    assert len(triggers(open_database(project.database_url), "credit")) == 1


@pytest.mark.usefixtures("retrained")
def test_a_retraining_that_comes_too_soon_is_refused_unless_a_person_insists(
    retrain: Retrain, project: Settings
) -> None:
    """Cool-down and budget are looked at before anything is read; --force passes them, and is on record."""
    add_credit_model(project, pd.concat([credit_rows(), credit_rows(400, seed=2)]), retrain={"cooldown_hours": 5})
    soon = retrain("credit", "webhook", "standard:ci:2")
    assert (soon.status, soon.code) == ("refused", "cooldown")
    forced = retrain("credit", reason="the board asks", force=True)
    assert forced.version == 2
    stored = find_trigger(open_database(project.database_url), "credit", forced.trigger_id)
    assert stored is not None
    assert json.loads(stored.document) == {"reason": "the board asks", "force": True}
    add_credit_model(project, retrain={"cooldown_hours": 0, "per_week": 2})
    assert retrain("credit", "webhook", "standard:ci:3").code == "budget"


@pytest.mark.usefixtures("retrained")
def test_rows_without_labels_are_no_reason_to_train(retrain: Retrain, project: Settings) -> None:
    """New rows whose target is not known yet are versioned, and the retraining refused."""
    _grow(project, n=20, default=None)
    outcome = retrain("credit", "webhook", "standard:ci:2")
    assert (outcome.status, outcome.code) == ("refused", "unlabelled")
    assert outcome.data_version is not None


@pytest.mark.usefixtures("retrained")
def test_rows_that_the_validation_refuses_are_no_reason_to_train(retrain: Retrain, project: Settings) -> None:
    """The refusal is the answer, with what the suite found."""
    _grow(project, age=7)
    outcome = retrain("credit", "webhook", "standard:ci:2")
    assert (outcome.status, outcome.code) == ("refused", "validation")


def test_what_no_repeat_would_mend_is_the_answer(retrain: Retrain, project: Settings) -> None:
    """A source that is not there ends the trigger as failed, with the reason, and the error is raised."""
    add_credit_model(project, retrain=SOON)
    (project.root / "rows.csv").unlink()
    with pytest.raises(SourceError):
        retrain("credit", "webhook", "standard:ci:1")
    stored = find_trigger(open_database(project.database_url), "credit", "standard:ci:1")
    assert stored is not None
    assert (stored.status, stored.outcome) == ("failed", "failed")
    assert "rows.csv" in str(stored.reason)


def test_a_run_by_hand_leaves_the_inbox_to_the_relay(retrain: Retrain, project: Settings) -> None:
    """What waits is not merged into a run that nobody would start again if it died."""
    add_credit_model(project, retrain=SOON)
    waiting: Trigger = webhook("credit", "standard:ci:9")
    receive(open_database(project.database_url), waiting)
    retrain("credit")
    assert find_trigger(open_database(project.database_url), "credit", waiting.id) == waiting
