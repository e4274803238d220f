"""Promotion is never half done: MLflow's aliases end as the database says, whoever dies, and people's words count."""

from __future__ import annotations

import json
import logging
import multiprocessing
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner, Result
from mlflow import MlflowClient

from cli.main import main
from config.settings import Settings
from core.errors import ConfigError, ModelNotFoundError, PromotionError
from store.champions import (
    Review,
    champion_history,
    current_champion,
    is_projected,
    record_review,
    reviews,
    standing,
    waiting_version,
)
from tasks.champions.aliases import project, repair, repair_all
from tasks.champions.approvals import approve, reject, rollback
from tasks.champions.history import history
from tasks.runs.actor import actor
from tests.factories import add_credit_model
from tests.tasks.champions.tenure import (
    AT,
    COMMANDS,
    OURS,
    SLOW,
    aliases,
    crown,
    database,
    judge,
    make_versions,
    promote,
    run_and_die,
)


@pytest.fixture
def installation(registry: Settings) -> Settings:
    """Return a project with four versions of credit, none of them champion."""
    make_versions(registry, 4)
    add_credit_model(registry)
    return registry


def expected_aliases(settings: Settings) -> dict[str, int]:
    """Return what the database says MLflow's aliases should be."""
    wanted = standing(database(settings), "credit")
    named = zip(OURS, (wanted.champion, wanted.previous, wanted.challenger), strict=True)
    return {alias: version for alias, version in named if version is not None}


def kill(settings: Settings, command: str, version: int, point: int) -> bool:
    """Run a command in a process that dies at a point; whether it came that far."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.tasks.registration", "tests.tasks.champions.tenure"])
    process = context.Process(target=run_and_die, args=(settings, command, version, point))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def test_the_aliases_follow_the_database(installation: Settings, client: MlflowClient) -> None:
    """Champion, the one before and the waiting one are set; what is no longer so is removed; others stay."""
    client.set_registered_model_alias("credit", "previous", "4")
    client.set_registered_model_alias("credit", "pinned", "4")
    crown(installation, 1)
    project("credit", installation)
    assert aliases(installation) == {"champion": 1, "pinned": 4}
    crown(installation, 2)
    judge(installation, 3)
    project("credit", installation)
    assert aliases(installation) == {"champion": 2, "previous": 1, "challenger": 3, "pinned": 4}
    rollback("credit", "worse", installation)
    assert aliases(installation) == {"champion": 1, "pinned": 4}


def test_what_is_right_already_is_not_written(installation: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repeat leaves MLflow alone."""
    promote(installation, 1)

    def fail(*_: object) -> None:
        raise AssertionError("written again")

    monkeypatch.setattr(MlflowClient, "set_registered_model_alias", fail)
    assert project("credit", installation).champion == 1


def test_a_move_while_the_aliases_are_set_is_followed(installation: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever wrote an older champion sees that it moved and writes the newer one."""
    crown(installation, 1)
    set_alias = MlflowClient.set_registered_model_alias

    def overtaken(self: MlflowClient, name: str, alias: str, version: str) -> None:
        if version == "1" and alias == "champion":
            crown(installation, 2)
        set_alias(self, name, alias, version)

    monkeypatch.setattr(MlflowClient, "set_registered_model_alias", overtaken)
    assert project("credit", installation).champion == 2
    assert aliases(installation) == {"champion": 2, "previous": 1}
    assert is_projected(database(installation), "credit", standing(database(installation), "credit"))


def test_promotions_at_once_leave_the_aliases_of_the_last(installation: Settings) -> None:
    """However projections interleave, MLflow names the newest champion and its predecessor."""
    with ThreadPoolExecutor(4) as pool:
        for version in (1, 2, 3, 4):
            crown(installation, version)
            pool.submit(project, "credit", installation)
    assert aliases(installation) == expected_aliases(installation) == {"champion": 4, "previous": 3}


@pytest.mark.parametrize("command", ["approve", "reject", "rollback"])
@pytest.mark.slow
def test_killed_anywhere_the_next_command_repairs(installation: Settings, command: str) -> None:
    """Killed at each point in turn, the history is whole, a repair makes MLflow say the same, a repeat adds nothing."""
    for version in (1, 2, 3, 4):
        promote(installation, version)
    point, killed = 0, True
    while killed:
        point, version = point + 1, 4 + point + 1
        make_versions(installation, 1)
        if command == "rollback":
            promote(installation, version)
        judge(installation, version)
        repair("credit", installation)
        killed = kill(installation, command, version, point)
        repair("credit", installation)
        assert aliases(installation) == expected_aliases(installation), f"killed at point {point}"
        if command != "rollback":
            COMMANDS[command](installation, version)
            assert aliases(installation) == expected_aliases(installation)
            assert times_on_record(installation, version) == 1
    entries = champion_history(database(installation), "credit")
    assert [entry.sequence for entry in entries] == list(range(1, len(entries) + 1))
    assert point > 5


def test_an_alias_half_set_for_nothing_is_found(installation: Settings) -> None:
    """Killed after an alias was set, and the database back where it was: it is known that MLflow's state is not."""
    promote(installation, 1)
    judge(installation, 2)
    assert kill(installation, "project", 2, point=3)
    assert aliases(installation) == {"champion": 1, "challenger": 2}
    record_review(database(installation), Review("credit", 2, "rejected", "no", "ann@desk", AT))
    repair("credit", installation)
    assert aliases(installation) == {"champion": 1}


def times_on_record(settings: Settings, version: int) -> int:
    """Count the entries of a version that was champion, or the reviews of one that never was."""
    held = [entry for entry in champion_history(database(settings), "credit") if entry.version == version]
    return len(held or reviews(database(settings), "credit", version))


def test_a_repair_with_nothing_to_do_does_not_import_mlflow(installation: Settings) -> None:
    """A command that finds all in order pays nothing for looking."""
    promote(installation, 1)
    code = (
        "import sys; from pathlib import Path; from config.settings import Settings\n"
        "from tasks.champions.approvals import repair\n"
        f"repair('credit', Settings(root=Path({str(installation.root)!r}), var=Path({str(installation.var)!r}), "
        f"database_url={installation.database_url!r}, mlflow_uri={installation.mlflow_uri!r}))\n"
        "assert not {'mlflow', 'pandas', 'sklearn'} & set(sys.modules), sorted(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_aliases_moved_by_hand_are_put_back(installation: Settings, client: MlflowClient) -> None:
    """A thorough repair looks at MLflow even where the database says that it was told everything."""
    promote(installation, 1)
    client.set_registered_model_alias("credit", "champion", "3")
    client.set_registered_model_alias("credit", "challenger", "2")
    repair("credit", installation)
    assert aliases(installation) == {"champion": 3, "challenger": 2}
    repair("credit", installation, thorough=True)
    assert aliases(installation) == {"champion": 1}


def test_a_version_that_mlflow_lost_is_left_out(
    installation: Settings, client: MlflowClient, caplog: pytest.LogCaptureFixture
) -> None:
    """A warning says so, no alias points elsewhere, and the others are set."""
    for version in (1, 2):
        promote(installation, version)
    client.delete_model_version("credit", "1")
    client.set_registered_model_alias("credit", "previous", "4")
    with caplog.at_level(logging.WARNING):
        repair("credit", installation, thorough=True)
    assert "previous of credit is version 1, which MLflow no longer has" in caplog.text
    assert aliases(installation) == {"champion": 2}


def test_a_champion_from_before_the_gate_is_adopted(installation: Settings, client: MlflowClient) -> None:
    """Where the database knows none, MLflow's alias begins the history, once."""
    client.set_registered_model_alias("credit", "champion", "2")
    client.set_registered_model_alias("credit", "challenger", "3")
    for _ in range(2):
        repair("credit", installation)
    (entry,) = champion_history(database(installation), "credit")
    assert (entry.version, entry.kind, entry.sequence, entry.actor) == (2, "adopted", 1, actor())
    assert aliases(installation) == {"champion": 2}


def test_nothing_is_adopted_where_there_is_nothing(installation: Settings, client: MlflowClient) -> None:
    """Without an alias, a model or a registry there is no champion, and MLflow is looked at once."""
    repair("credit", installation)
    client.set_registered_model_alias("credit", "champion", "2")
    repair("credit", installation)
    repair("unknown", installation)
    repair("credit", installation.model_copy(update={"mlflow_uri": f"sqlite:///{installation.var / 'gone.db'}"}))
    assert current_champion(database(installation), "credit") is None
    assert not (installation.var / "gone.db").exists()


def test_models_of_others_keep_their_aliases(installation: Settings, client: MlflowClient) -> None:
    """In a shared registry, what this project does not describe is neither adopted nor moved."""
    make_versions(installation, 2, model="theirs")
    client.set_registered_model_alias("theirs", "champion", "1")
    repair_all(installation)
    repair("theirs", installation, thorough=True)
    assert client.get_registered_model("theirs").aliases == {"champion": 1}
    assert current_champion(database(installation), "theirs") is None


def test_a_version_that_perennial_did_not_register_is_not_adopted(installation: Settings, client: MlflowClient) -> None:
    """Nothing says what is in it, so it cannot be the champion that challengers are compared with."""
    client.create_model_version("credit", (installation.var / "mlruns" / "x").as_uri(), await_creation_for=0)
    client.set_registered_model_alias("credit", "champion", "5")
    repair("credit", installation, thorough=True)
    assert current_champion(database(installation), "credit") is None


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
        (6, "the recorded verdict is about another bundle than MLflow's version 6"),
        (7, "version 7 may not be served: it was not rehearsed"),
    ],
)
def test_against_the_gate_only_with_override(
    installation: Settings, client: MlflowClient, version: int, objection: str
) -> None:
    """What the gate objects is said; overridden, it is recorded with the reason."""
    make_versions(installation, 3)
    crown(installation, 4)
    judge(installation, 2, sequence=0)
    judge(installation, 3, decision="keep", reasons=("it is worse",))
    judge(installation, 5, serving=SLOW)
    judge(installation, 6)
    judge(installation, 7, serving=None)
    client.set_model_version_tag("credit", "6", "perennial.manifest", "f" * 64)
    with pytest.raises(PromotionError, match=f"{objection}.*perennial approve credit@{version} .*--override"):
        approve("credit", str(version), "hurry", installation)
    entry = approve("credit", str(version), "hurry", installation, override=True).entry
    assert entry.reason == f"hurry [override: {objection}]"
    assert (entry.version, entry.sequence) == (version, 2)


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


def test_a_moment_without_a_zone_is_local(installation: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """People mean their own clock."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert history("credit", installation, "2026-01-02 09:00").moment == datetime(2026, 1, 2, tzinfo=UTC)
    finally:
        monkeypatch.undo()
        time.tzset()


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
