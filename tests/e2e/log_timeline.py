"""What happens after labels of served rows have arrived, without a hand: each step and when it was seen."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pandas as pd
from sqlalchemy import Engine, select, update

from core.data.deliveries import PREDICTION_LOG
from core.operate.trigger import Trigger
from store.champions import current_champion
from store.database import open_database, reading, writing
from store.tables import BatchRow, DriftWindowRow, PredictionRequestRow
from store.triggers import triggers
from tests.e2e.released import PLAN, ended_release, traffic_on
from tests.e2e.stage import COLUMNS, Stage, add_model, await_value, loans, platform
from tests.e2e.timeline import Moment

MODEL = "loans"
SECONDS = 600.0
ROWS = 100
"""Rows of a request."""


def run_log_loop(stage: Stage) -> list[Moment]:
    """Let a champion answer applicants of a changed world, and let their outcomes arrive three weeks later."""
    add_model(
        stage,
        MODEL,
        loans(12),
        drift={"persistence": [1, 1], "window_rows": 1000},
        monitor={"source": "predictions", "window_hours": 720},
        labels={"train": True},
        retrain={"cooldown_hours": 0},
        release=PLAN,
        schedule={"monitor": "* * * * *"},
    )
    with platform(stage):
        stage.run("train", MODEL, "--wait", "120", seconds=SECONDS)
        await_value(lambda: stage.ask("/v1/models")["models"], 60, "version 1 answers")
        engine = open_database(stage.state.database_url)
        applicants = loans(18).iloc[12 * 400 :]
        began = datetime.now(UTC)
        _apply(stage, applicants)
        await_value(lambda: _n_logged(engine) == len(applicants), 60, "the answers are logged")
        _let_three_weeks_pass(engine)
        _tell_outcomes(stage, applicants)
        return _timeline(stage, engine, began, datetime.now(UTC))


def _apply(stage: Stage, applicants: pd.DataFrame) -> None:
    target, _, key = COLUMNS
    names = set(stage.ask(f"/v1/models/{MODEL}/example")["rows"][0]) | {key}
    sent = applicants[[name for name in applicants.columns if name in names and name != target]]
    for start in range(0, len(sent), ROWS):
        part = sent.iloc[start : start + ROWS]
        rows = [{name: _sent(value) for name, value in row.items()} for row in part.to_dict("records")]
        stage.ask(f"/v1/models/{MODEL}/predict", {"rows": rows})


def _sent(value: Any) -> Any:
    if pd.isna(value):
        return None
    return value.isoformat() if isinstance(value, pd.Timestamp) else value


def _n_logged(engine: Engine) -> int:
    with reading(engine) as connection:
        return sum(connection.scalars(select(PredictionRequestRow.n_rows)))


def _let_three_weeks_pass(engine: Engine) -> None:
    row = PredictionRequestRow
    with writing(engine) as connection:
        for id_, at in connection.execute(select(row.id, row.at)).all():
            connection.execute(update(row).where(row.id == id_).values(at=at - pd.Timedelta(days=21)))


def _tell_outcomes(stage: Stage, applicants: pd.DataFrame) -> None:
    target, _, key = COLUMNS
    labels = [
        {"key": str(one), "label": str(label)}
        for one, label in zip(applicants[key], applicants[target], strict=True)
        if pd.notna(label)
    ]
    for start in range(0, len(labels), 1000):
        stage.ask(f"/v1/models/{MODEL}/labels", {"labels": labels[start : start + 1000]})


def _timeline(stage: Stage, engine: Engine, began: datetime, labelled: datetime) -> list[Moment]:
    decided = await_value(lambda: _signal(engine), SECONDS, "harm is found in the log")
    trigger = await_value(lambda: next(iter(triggers(engine, MODEL)), None), SECONDS, "a retraining is triggered")
    # The shadow and the steps need requests to observe.
    with traffic_on(stage, MODEL):
        state = await_value(lambda: ended_release(engine, MODEL), SECONDS, "the release is over")
    assert [step.action for step in state.steps] == ["started", "advanced", "promoted", "completed"]
    answered = await_value(lambda: _answered(engine, trigger.id), SECONDS, "the trigger is answered")
    champion = current_champion(engine, MODEL)
    assert champion is not None
    assert (champion.version, champion.kind) == (answered.version, "release")
    name, ingested, n_rows = _served_batch(engine)
    return [
        Moment("applicants of a changed world are answered", began, f"{_n_logged(engine):,} rows by now"),
        Moment("their outcomes arrive, three simulated weeks later", labelled, "POST /v1/models/loans/labels"),
        Moment("harm is found in the log", decided, "monitor; the predictions are those that were served"),
        Moment("a retraining runs", answered.started_at or labelled, answered.reason or ""),
        Moment("served rows are a batch", ingested, f"{n_rows:,} rows in {name}"),
        *(Moment(f"release: {step.action}", step.at, step.reason) for step in state.steps),
    ]


def _signal(engine: Engine) -> datetime | None:
    row = DriftWindowRow
    chosen = select(row.measured_at).where(row.model == MODEL, row.retrain, row.batches == "[]")
    with reading(engine) as connection:
        found: datetime | None = connection.scalars(chosen.order_by(row.measured_at)).first()
        return found


def _served_batch(engine: Engine) -> tuple[str, datetime, int]:
    row = BatchRow
    chosen = select(row.name, row.ingested_at, row.n_rows).where(row.model == MODEL, row.source == PREDICTION_LOG)
    with reading(engine) as connection:
        name, at, n_rows = connection.execute(chosen.order_by(row.name)).one()
        return name, at, n_rows


def _answered(engine: Engine, trigger: str) -> Trigger | None:
    return next((one for one in triggers(engine, MODEL) if one.id == trigger and one.outcome is not None), None)
