"""Builders for the tests of promotion; importable by the processes those tests kill."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy import Connection, Engine, event

from config.settings import Settings
from core.gate.decision import GateVerdict, ServingVerdict
from store.champions import Champion, RecordedVerdict, current_champion, record_verdict, start_tenure
from store.database import open_database
from store.registry.registrations import RegisteredVersion, record_versions
from tasks.champions.aliases import project
from tasks.champions.approvals import approve, reject, rollback
from tasks.registry.client import mlflow_client
from tasks.registry.records import MANIFEST

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
OURS = ("champion", "previous", "challenger")

FAST = ServingVerdict(True, "onnx", 100, 1e-7, 1.0, 2.0, 0.5, ())
SLOW = replace(FAST, passed=False, reasons=("one row takes 900 ms",))
VERDICT = GateVerdict(
    decision="promote",
    mode="manual",
    model="credit",
    version=1,
    champion=None,
    champion_sequence=0,
    metric="roc_auc",
    value=0.8,
    low=0.7,
    high=0.9,
    floor=0.6,
    checks=(),
    comparison=None,
    holdout=None,
    self_test=None,
    serving=FAST,
    reasons=("it is better",),
)


def make_versions(settings: Settings, count: int, model: str = "credit", *, recorded: bool = True) -> None:
    """Add versions to MLflow's registry; version n has a manifest whose hash ends in n.

    Without a record they are versions from before the operational database recorded them, or of others.
    """
    client = mlflow_client(settings)
    try:
        first = len(client.search_model_versions(f"name = '{model}'")) + 1
        client.get_registered_model(model)
    except MlflowException:
        client.create_registered_model(model)
    for number in range(first, first + count):
        source = (settings.var / "mlruns" / str(number)).as_uri()
        client.create_model_version(model, source, tags={MANIFEST: manifest(number)}, await_creation_for=0)
    if recorded:
        found = range(first, first + count)
        record_versions(
            database(settings),
            [RegisteredVersion(model, number, manifest(number), "", "", "", "trained", AT) for number in found],
        )


def manifest(version: int) -> str:
    """Hash of a version's manifest."""
    return f"{version:064d}"


def database(settings: Settings) -> Engine:
    """Open the project's operational database."""
    return open_database(settings.database_url)


def seen(settings: Settings) -> int:
    """Sequence of the present champion of credit; 0 for none."""
    present = current_champion(database(settings), "credit")
    return present.sequence if present else 0


def judge(settings: Settings, version: int, *, sequence: int | None = None, **given: Any) -> RecordedVerdict:
    """Record what the gate said of a version against the present champion; ``promote`` in mode ``manual``."""
    present = current_champion(database(settings), "credit")
    against = (present.sequence if present else 0) if sequence is None else sequence
    champion = present.version if present and sequence is None else None
    verdict = replace(VERDICT, **({"version": version, "champion": champion, "champion_sequence": against} | given))
    document = json.dumps(verdict.to_dict())
    about = (verdict.decision, verdict.mode, 0, "", "", manifest(version), document, AT)
    return record_verdict(database(settings), RecordedVerdict("credit", version, against, champion, *about))


def crown(settings: Settings, version: int, at: datetime = AT, **given: Any) -> Champion:
    """Make a version champion in the database, as the gate does."""
    facts: dict[str, Any] = {"kind": "gate", "reason": "it is better", "actor": "ann@desk", "at": at}
    return start_tenure(database(settings), "credit", version, expected_sequence=seen(settings), **(facts | given))


def promote(settings: Settings, version: int) -> None:
    """Let the gate promote a version, MLflow's aliases included."""
    crown(settings, version)
    project("credit", settings)


def aliases(settings: Settings) -> dict[str, int]:
    """Return MLflow's aliases of credit."""
    found = mlflow_client(settings).get_registered_model("credit").aliases
    return {alias: int(version) for alias, version in found.items()}


COMMANDS: dict[str, Callable[[Settings, int], object]] = {
    "approve": lambda settings, version: approve("credit", str(version), "agreed", settings),
    "reject": lambda settings, version: reject("credit", str(version), "not this one", settings),
    "project": lambda settings, _: project("credit", settings),
    "rollback": lambda settings, _: rollback("credit", "complaints", settings),
}


def run_and_die(settings: Settings, command: str, version: int, point: int) -> None:
    """Run a command, and die by SIGKILL at its n-th point: before a commit of ours, before or after an alias is set."""
    left = point

    def tick() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def before_commit(connection: Connection) -> None:
        if connection.engine.url.render_as_string() == settings.database_url:
            tick()

    for method in ("set_registered_model_alias", "delete_registered_model_alias"):
        setattr(MlflowClient, method, _surrounded(tick, getattr(MlflowClient, method)))
    event.listen(Engine, "commit", before_commit)
    COMMANDS[command](settings, version)


def _surrounded(tick: Callable[[], None], method: Callable[..., Any]) -> Callable[..., Any]:
    def ticking(*arguments: Any, **given: Any) -> Any:
        tick()
        answer = method(*arguments, **given)
        tick()
        return answer

    return ticking
