"""MLflow's aliases end as the database says, also after a kill; readers take the versions from the database."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import ANY

import pytest
from mlflow import MlflowClient

from config.settings import Settings
from core.errors import ModelNotFoundError
from store.champions import (
    Review,
    champion_history,
    current_champion,
    is_projected,
    record_review,
    reviews,
    standing,
)
from tasks.champions.aliases import AliasWatch, project, repair, repair_all
from tasks.champions.approvals import rollback
from tasks.registry.records import champion_before_history
from tasks.registry.versions import list_models, show_model, version_number
from tasks.runs.actor import actor
from tests.factories import add_credit_model
from tests.tasks.champions.tenure import (
    AT,
    COMMANDS,
    OURS,
    aliases,
    crown,
    database,
    judge,
    make_versions,
    promote,
    run_and_die,
)


@pytest.fixture
def unfinished(registry: Settings) -> Settings:
    """Return a project whose champion moved to version 2 while MLflow was not told."""
    make_versions(registry, 4)
    add_credit_model(registry)
    promote(registry, 1)
    crown(registry, 2)
    assert aliases(registry) == {"champion": 1}
    return registry


def _is_told(settings: Settings) -> bool:
    engine = database(settings)
    return is_projected(engine, "credit", standing(engine, "credit"))


def test_readers_name_the_champion_of_the_database_and_write_nothing(unfinished: Settings) -> None:
    """What was promoted a moment ago is what is listed, shown and selected, whatever MLflow was told."""
    (summary,) = list_models(unfinished)
    assert (summary.champion, summary.challenger) == (2, None)
    assert show_model("credit", None, unfinished).aliases == ("champion",)
    assert show_model("credit", "previous", unfinished).version == 1
    assert version_number("credit", "champion", unfinished) == 2
    assert aliases(unfinished) == {"champion": 1}
    assert not _is_told(unfinished)


def test_readers_keep_aliases_that_are_not_ours(unfinished: Settings, client: MlflowClient) -> None:
    """A person's own alias selects its version, and one of ours that was moved by hand does not count."""
    client.set_registered_model_alias("credit", "pinned", "3")
    client.set_registered_model_alias("credit", "champion", "4")
    assert version_number("credit", "pinned", unfinished) == 3
    assert show_model("credit", "champion", unfinished).version == 2


def test_before_the_history_mlflow_names_the_champion(registry: Settings, client: MlflowClient) -> None:
    """A registry from before the gate is read as it is, until its versions are recorded."""
    make_versions(registry, 3, recorded=False)
    client.set_registered_model_alias("credit", "champion", "3")
    assert version_number("credit", "champion", registry) == 3
    (summary,) = list_models(registry)
    assert summary.champion == 3


def test_the_relay_completes_what_was_left(unfinished: Settings) -> None:
    """It repairs once, finds nothing the next time, and looks once a minute."""
    judge(unfinished, 3)
    watch = AliasWatch(unfinished)
    assert watch.look() == 1
    assert _is_told(unfinished)
    assert aliases(unfinished) == {"champion": 2, "previous": 1, "challenger": ANY}
    crown(unfinished, 4)
    assert watch.look() == 0
    assert repair_all(unfinished) == 1
    assert repair_all(unfinished) == 0


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
    """A writer of an older champion sees that it moved and writes the newer one."""
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


def test_a_champion_from_before_the_gate_is_adopted(registry: Settings, client: MlflowClient) -> None:
    """Where the database knows nothing of the model, MLflow's alias begins the history, once."""
    make_versions(registry, 3, recorded=False)
    add_credit_model(registry)
    client.set_registered_model_alias("credit", "champion", "2")
    client.set_registered_model_alias("credit", "challenger", "3")
    for _ in range(2):
        repair("credit", registry)
    (entry,) = champion_history(database(registry), "credit")
    assert (entry.version, entry.kind, entry.sequence, entry.actor) == (2, "adopted", 1, actor())
    assert aliases(registry) == {"champion": 2}


@pytest.mark.parametrize("reader", [repair, champion_before_history])
def test_an_alias_that_is_set_later_makes_no_champion(
    installation: Settings, client: MlflowClient, reader: Callable[..., object]
) -> None:
    """Where versions are recorded and none was promoted, a moved alias of MLflow promotes none."""
    client.set_registered_model_alias("credit", "champion", "2")
    reader("credit", installation)
    repair("credit", installation, thorough=True)
    assert champion_history(database(installation), "credit") == []
    assert aliases(installation) == {}
    with pytest.raises(ModelNotFoundError, match="no version or alias 'champion'"):
        version_number("credit", "champion", installation)


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
    make_versions(installation, 2, model="theirs", recorded=False)
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


def times_on_record(settings: Settings, version: int) -> int:
    """Count the entries of a version that was champion, or the reviews of one that never was."""
    held = [entry for entry in champion_history(database(settings), "credit") if entry.version == version]
    return len(held or reviews(database(settings), "credit", version))
