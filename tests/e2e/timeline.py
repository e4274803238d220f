"""What happens after drifted rows have landed, with nobody's hand: each step and when it was seen."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, select

from core.operate.trigger import Trigger
from store.champions import current_champion
from store.data import versions
from store.database import open_database, reading
from store.tables import DriftWindowRow, EventRow
from store.triggers import triggers
from tests.e2e.stage import Stage, add_model, await_value, land, loans, platform

MODEL = "loans"
SECONDS = 300.0


@dataclass(frozen=True)
class Moment:
    """A step of the loop, and when it happened."""

    step: str
    at: datetime
    detail: str


def run_loop(stage: Stage) -> list[Moment]:
    """Let a champion answer, let drifted rows land, and watch what follows by itself."""
    drift, retrain = {"persistence": [1, 1]}, {"cooldown_hours": 0}
    at_once = {"mode": "direct"}  # requests are sent while the loop waits; a release has a test of its own
    schedule = {"ingest": "* * * * *"}
    path = add_model(stage, MODEL, loans(12), drift=drift, retrain=retrain, release=at_once, schedule=schedule)
    with platform(stage):
        stage.run("train", MODEL, "--wait", "120")  # the schedule may be reading rows just then
        await_value(lambda: stage.ask("/v1/models")["models"], 60, "version 1 answers")
        land(loans(18), path)
        return timeline(stage, MODEL, datetime.now(UTC))


def timeline(stage: Stage, model: str, landed: datetime) -> list[Moment]:
    """Wait until the service answers with the version after the present one; return how that came about."""
    engine = open_database(stage.state.database_url)
    before = current_champion(engine, model)
    assert before is not None
    served = await_value(lambda: _served_after(stage, model, before.version), SECONDS, "a new version answers")
    trigger = await_value(lambda: _answered(engine, model, served["version"]), SECONDS, "the trigger is answered")
    run = stage.prefect(f"/flow_runs/{trigger.flow_run}")
    data = next(row for row in versions(engine, model) if row.version == trigger.data_version)
    champion = current_champion(engine, model)
    assert champion is not None
    detected = _event(engine, model, "perennial.drift.detected")
    registered = _event(engine, model, "perennial.model.registered")
    return [
        Moment("drifted rows land", landed, "a file is replaced"),
        Moment("data version", data.created_at, f"{data.n_rows:,} rows in {data.n_batches} batches"),
        Moment("drift is decided", _measured(engine, model), "monitor; its report and record follow"),
        Moment("Prefect has the event", detected["sent_at"], "perennial.drift.detected"),
        Moment("a run of `retrain` is requested", _moment(run["created"]), f"by {_asker(run)}"),
        Moment("the run starts", trigger.started_at or landed, "the worker has started its process"),
        Moment("version registered", registered["occurred_at"], f"version {trigger.version} in MLflow"),
        Moment("promoted", champion.at, champion.reason),
        Moment("the service answers with it", served["at"], f"version {served['version']}"),
    ]


def timeline_lines(moments: list[Moment]) -> list[str]:
    """Return the timeline as a Markdown table, with the seconds of each arrow."""
    lines = ["| step | s | since the start, s | |", "|---|--:|--:|---|"]
    for previous, moment in zip([moments[0], *moments], moments, strict=False):
        arrow, total = ((moment.at - since.at).total_seconds() for since in (previous, moments[0]))
        lines.append(f"| {moment.step} | {arrow:.1f} | {total:.1f} | {moment.detail[:70]} |")
    return lines


def _served_after(stage: Stage, model: str, version: int) -> dict[str, Any] | None:
    example = stage.ask(f"/v1/models/{model}/example")
    answer = stage.ask(f"/v1/models/{model}/predict", example)
    return {**answer, "at": datetime.now(UTC)} if answer["version"] > version else None


def _answered(engine: Engine, model: str, version: int) -> Trigger | None:
    return next((one for one in triggers(engine, model) if one.version == version and one.leader is None), None)


def _event(engine: Engine, model: str, name: str) -> dict[str, Any]:
    chosen = select(EventRow.__table__).where(EventRow.model == model, EventRow.name == name)
    with reading(engine) as connection:
        row = connection.execute(chosen.order_by(EventRow.occurred_at.desc()).limit(1)).mappings().one()
        return {**row, "document": json.loads(row["document"])}


def _measured(engine: Engine, model: str) -> datetime:
    chosen = select(DriftWindowRow.measured_at).where(DriftWindowRow.model == model, DriftWindowRow.retrain)
    with reading(engine) as connection:
        found = connection.scalars(chosen.order_by(DriftWindowRow.measured_at)).first()
    assert found is not None
    return found


def _asker(run: dict[str, Any]) -> str:
    return str((run.get("created_by") or {}).get("type", "nobody")).lower()


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
