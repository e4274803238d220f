"""What people say of a version counts, and is recorded with their reason."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from click.testing import CliRunner, Result
from mlflow import MlflowClient
from sqlalchemy import text

from cli.main import main
from config.settings import Settings
from core.errors import BundleError, ConfigError, ModelNotFoundError, PromotionError
from store.champions import (
    champion_history,
    current_champion,
    reviews,
    waiting_version,
)
from store.database import writing
from tasks.champions.aliases import project
from tasks.champions.approvals import approve, reject, rollback
from tasks.champions.history import history
from tasks.runs.actor import actor
from tests.tasks.champions.tenure import (
    AT,
    SLOW,
    aliases,
    crown,
    database,
    judge,
    make_versions,
    promote,
)


def test_an_approved_version_is_champion(installation: Settings) -> None:
    """The waiting version takes installation with reason and hand; doing it again finds it there."""
    promote(installation, 1)
    judge(installation, 2)
    project("credit", installation)
    assert aliases(installation)["challenger"] == 2
    move = approve("credit", "challenger", " we agreed\n", installation)
    assert (move.entry.version, move.entry.kind, move.entry.reason, move.entry.actor, move.replaced) == (
        2,
        "approval",
        "we agreed",
        actor(),
        1,
    )
    assert aliases(installation) == {"champion": 2, "previous": 1}
    again = approve("credit", "2", "once more", installation)
    assert (again.moved, again.entry) == (False, move.entry)
    assert [review.action for review in reviews(database(installation), "credit")] == ["approved"]


def test_a_person_may_approve_what_the_gate_could_not_decide(installation: Settings) -> None:
    """Undecided is no objection where serving was rehearsed."""
    promote(installation, 1)
    judge(installation, 2, decision="undecided")
    assert approve("credit", "2", "enough for me", installation).moved


@pytest.mark.parametrize(
    ("version", "objection"),
    [
        (1, "the gate has not judged version 1"),
        (2, "version 2 was judged against no champion; the champion is now version 4"),
        (3, "it is worse"),
        (5, "version 5 may not be served: one row takes 900 ms"),
        (7, "version 7 may not be served: it was not rehearsed"),
    ],
)
def test_against_the_gate_only_with_override(installation: Settings, version: int, objection: str) -> None:
    """What the gate objects is said; overridden, it is recorded with the reason."""
    make_versions(installation, 3)
    crown(installation, 4)
    judge(installation, 2, sequence=0)
    judge(installation, 3, decision="keep", reasons=("it is worse",))
    judge(installation, 5, serving=SLOW)
    judge(installation, 7, serving=None)
    with pytest.raises(PromotionError, match=f"{objection}.*perennial approve credit@{version} .*--override"):
        approve("credit", str(version), "hurry", installation)
    entry = approve("credit", str(version), "hurry", installation, override=True).entry
    assert entry.reason == f"hurry [override: {objection}]"
    assert (entry.version, entry.sequence) == (version, 2)


def test_no_override_makes_a_foreign_version_champion(installation: Settings) -> None:
    """A version that somebody added to MLflow is refused, whatever its tags name."""
    make_versions(installation, 1, recorded=False)
    with pytest.raises(BundleError, match="version 5 of 'credit' was not registered by Perennial with this"):
        approve("credit", "5", "hurry", installation, override=True)
    assert current_champion(database(installation), "credit") is None


def test_a_verdict_on_another_bundle_is_no_verdict(installation: Settings) -> None:
    """A changed row of the operational database is noticed where registration and verdict differ."""
    recorded = judge(installation, 2)
    with writing(database(installation)) as connection:
        connection.execute(text("DROP TRIGGER verdicts_refuse_update"))
        connection.execute(text("UPDATE verdicts SET manifest = :other"), {"other": "f" * 64})
    assert recorded.manifest != "f" * 64
    with pytest.raises(BundleError, match="contradicts itself about version 2 of 'credit'"):
        approve("credit", "2", "hurry", installation, override=True)


def test_a_rejected_version_waits_no_longer(installation: Settings) -> None:
    """It loses its alias, the word is on record once, and the champion cannot be rejected."""
    promote(installation, 1)
    for version in (2, 3):
        judge(installation, version)
    assert waiting_version(database(installation), "credit") == 3
    for _ in range(2):
        reject("credit", "3", "not in this region", installation)
    assert aliases(installation) == {"champion": 1, "previous": 2} or aliases(installation) == {
        "champion": 1,
        "challenger": 2,
    }
    (review,) = reviews(database(installation), "credit")
    assert (review.version, review.action, review.reason, review.actor) == (
        3,
        "rejected",
        "not in this region",
        actor(),
    )
    with pytest.raises(PromotionError, match="perennial rollback credit"):
        reject("credit", "1", "worse", installation)


def test_a_rollback_needs_its_target(installation: Settings, client: MlflowClient) -> None:
    """Without a predecessor, or with one that MLflow lost, nothing moves and the error says what to do."""
    promote(installation, 1)
    with pytest.raises(PromotionError, match="no champion before version 1"):
        rollback("credit", "worse", installation)
    promote(installation, 2)
    client.delete_model_version("credit", "1")
    with pytest.raises(ModelNotFoundError, match=r"no longer exists in MLflow.*perennial approve credit@VERSION"):
        rollback("credit", "worse", installation)
    assert len(champion_history(database(installation), "credit")) == 2


def test_what_is_not_there_is_named(installation: Settings) -> None:
    """Unknown models and versions, and empty reasons, are the caller's to correct."""
    for ask in (approve, reject):
        with pytest.raises(ModelNotFoundError, match="no version or alias '9'; it has versions 1, 2, 3, 4"):
            ask("credit", "9", "why not", installation)
        with pytest.raises(ModelNotFoundError, match=r"no model '\.\./credit'"):
            ask("../credit", "1", "why not", installation)
        with pytest.raises(ConfigError, match="name the version: credit@VERSION"):
            ask("credit", "", "why not", installation)
        with pytest.raises(ConfigError, match="--reason is empty"):
            ask("credit", "1", " ", installation)
    for unknown in ("../credit", "other"):
        with pytest.raises(ModelNotFoundError, match="models here: credit"):
            rollback(unknown, "why not", installation)
        with pytest.raises(ModelNotFoundError, match="models here: credit"):
            history(unknown, installation)


def test_the_history_tells_each_time_in_office(installation: Settings) -> None:
    """From when to when, with what people said and who waits; at a moment, the champion of that moment."""
    for days, version in enumerate((1, 2)):
        crown(installation, version, AT + timedelta(days=days))
    judge(installation, 3)
    judge(installation, 4)
    reject("credit", "3", "no", installation)
    found = history("credit", installation)
    assert [(tenure.entry.version, tenure.until) for tenure in found.tenures] == [
        (1, AT + timedelta(days=1)),
        (2, None),
    ]
    assert [review.version for review in found.reviews] == [3]
    assert found.waiting == 4
    assert [
        tenure.entry.version for tenure in history("credit", installation, "2026-01-03T04:04:04+01:00").tenures
    ] == [1]
    assert [tenure.entry.version for tenure in history("credit", installation, "2026-01-03T03:04:05Z").tenures] == [2]
    assert history("credit", installation, "2020-01-01").tenures == ()
    for wrong in ("yesterday", "", "0001-01-01T00:00+14:00"):
        with pytest.raises(ConfigError, match="--at expects a moment"):
            history("credit", installation, wrong)


class TestCommands:
    """The four commands, as people type them."""

    @pytest.fixture(autouse=True)
    def _environment(self, installation: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settings = installation
        monkeypatch.setenv("PERENNIAL_ROOT", str(installation.root))
        for name in ("PERENNIAL_VAR", "PERENNIAL_DATABASE_URL", "MLFLOW_TRACKING_URI", "PERENNIAL_MLFLOW_URI"):
            monkeypatch.delenv(name, raising=False)

    def _invoke(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, arguments)

    def test_from_waiting_to_rolled_back(self) -> None:
        """A version waits, is approved, rolled back; the history tells it all."""
        assert "no champion yet" in self._invoke("history", "credit").stdout
        promote(self.settings, 1)
        judge(self.settings, 2)
        assert "perennial approve credit@2 --reason" in self._invoke("history", "credit").stdout
        approved = self._invoke("approve", "credit@2", "--reason", "agreed")
        assert approved.stdout.startswith("version 2 of credit is now champion; it replaces version 1")
        assert "nothing to do" in self._invoke("approve", "credit@2", "--reason", "agreed").stdout
        back = self._invoke("rollback", "credit", "--reason", "complaints", "--json")
        assert json.loads(back.stdout)["version"] == 1
        assert "rejected" in self._invoke("reject", "credit@2", "--reason", "complaints").stdout
        lines = self._invoke("history", "credit").stdout.splitlines()
        assert [line.split()[:1] for line in lines[1:3]] == [["1"], ["2"]]
        assert lines[3].startswith("*")
        for word in ("gate", "approval", "rollback", "complaints", "rejected", actor()):
            assert any(word in line for line in lines)

    def test_machines_get_the_same(self) -> None:
        """With --json each answer is one document."""
        promote(self.settings, 1)
        judge(self.settings, 2)
        moved = json.loads(self._invoke("approve", "credit@2", "--reason", "agreed", "--json").stdout)
        assert (moved["version"], moved["replaced"], moved["moved"], moved["reason"]) == (2, 1, True, "agreed")
        told = json.loads(self._invoke("history", "credit", "--json").stdout)
        assert [entry["version"] for entry in told["champions"]] == [1, 2]
        assert told["champions"][1]["until"] is None
        said = json.loads(self._invoke("reject", "credit@3", "--reason", "no", "--json").stdout)
        assert (said["version"], said["action"]) == (3, "rejected")

    def test_one_moment(self) -> None:
        """--at answers who it was, or that there was none."""
        promote(self.settings, 1)
        assert "version 1 was champion of credit at" in self._invoke("history", "credit", "--at", "2026-06-01").stdout
        assert "had no champion" in self._invoke("history", "credit", "--at", "2020-06-01").stdout
        wrong = self._invoke("history", "credit", "--at", "noon")
        assert (wrong.exit_code, "ISO" in wrong.stderr or "such as" in wrong.stderr) == (2, True)

    @pytest.mark.parametrize(
        "arguments", [("approve", "credit"), ("approve", "credit@9"), ("approve", "credit@1"), ("rollback", "credit")]
    )
    def test_what_cannot_be_done_exits_with_2(self, arguments: tuple[str, ...]) -> None:
        """One message on standard error, no trace."""
        refused = self._invoke(*arguments, "--reason", "why not")
        assert refused.exit_code == 2
        assert refused.stderr.startswith("error: ")
        assert refused.stdout == ""
