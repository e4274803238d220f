"""An entity's rows leave the log and the labels, on SQLite and on PostgreSQL; all others stay as they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select, text

import store.erasure.rows
from core.prediction_ids import prediction_id, prediction_ids
from serving.ids import new_request_id
from store.database import open_database, reading, writing
from store.erasure.rows import (
    LoggedRows,
    count_id_labels,
    count_key_labels,
    count_logged,
    empty_write_ahead_log,
    erase_id_labels,
    erase_key_labels,
    erase_logged,
)
from store.log.labels import Label, record_labels
from store.tables import LabelRow, PredictionRequestRow
from tests.store.stories import Story

AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
Tell = Callable[[Story], None]


def log(engine: Engine, model: str, keys: list[str | None] | None, n: int = 1, **given: Any) -> str:
    """Log a request with a row for each key; return its id."""
    n = n if keys is None else len(keys)
    row = {
        "id": new_request_id(),
        "model": model,
        "version": 3,
        "variant": "champion",
        "at": AT,
        "n_rows": n,
        "latency_ms": 1.5,
        "rows": json.dumps([[float(place)] for place in range(n)]),
        "columns": '["x"]',
        "outputs": json.dumps([place / 8 for place in range(n)]),
        "entity_keys": None if keys is None else json.dumps(keys, ensure_ascii=False),
        "failure": None,
        "served_id": None,
        **given,
    }
    with writing(engine) as connection:
        connection.execute(insert(PredictionRequestRow), [row])
    return str(row["id"])


def predictions(engine: Engine, model: str) -> list[tuple[Any, ...]]:
    """Return id, key, features and answer of the view's rows, by id."""
    asked = text("SELECT id, entity_key, features, output FROM predictions WHERE model = :model ORDER BY id")
    with reading(engine) as connection:
        return [
            (row.id, row.entity_key, json.loads(row.features), float(row.output))
            for row in connection.execute(asked, {"model": model})
        ]


def references(engine: Engine, model: str) -> list[tuple[str, str]]:
    """Return what the labels are about."""
    with reading(engine) as connection:
        return [
            (row.reference, row.label)
            for row in connection.execute(select(LabelRow).where(LabelRow.model == model).order_by(LabelRow.reference))
        ]


def test_only_the_entitys_predictions_go(tell: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every request, in any number of parts; other models and other keys keep theirs, ids and values included."""
    monkeypatch.setattr(store.erasure.rows, "REQUESTS_PER_WRITE", 2)

    def story(engine: Engine, model: str) -> None:
        log(engine, model, ["k", "a", "k", "b", "k"])
        log(engine, model, ["k"])
        log(engine, model, ["kk", "K", None, "k%"])
        log(engine, model, None)
        for _ in range(3):
            log(engine, model, ["a", "k"])
        log(engine, f"{model}x", ["k"])
        before = predictions(engine, model)
        assert count_logged(engine, model, "k") == LoggedRows(7, 0)
        assert erase_logged(engine, model, "k") == LoggedRows(7, 0)
        assert predictions(engine, model) == [one for one in before if one[1] != "k"]
        assert erase_logged(engine, model, "k") == count_logged(engine, model, "k") == LoggedRows()
        assert len(predictions(engine, f"{model}x")) == 1

    tell(story)


@pytest.mark.parametrize("key", ["ü", 'k"\\1', "a/b", "50%_x", "\u2028", "7"])
def test_any_key_is_found(tell: Tell, key: str) -> None:
    """However its letters are written in JSON."""

    def story(engine: Engine, model: str) -> None:
        log(engine, model, [key, "other"])
        log(engine, model, None, entity_keys=json.dumps([key]))  # with escapes
        assert erase_logged(engine, model, key) == LoggedRows(2, 0)
        assert [one[1] for one in predictions(engine, model)] == ["other"]

    tell(story)


def test_shadows_and_failures_go_too(tell: Tell) -> None:
    """No client has their answers, and they have the rows all the same."""

    def story(engine: Engine, model: str) -> None:
        answer = log(engine, model, ["a", "k"])
        shadow = log(engine, model, ["a", "k"], variant="shadow", served_id=answer)
        log(engine, model, ["k"], failure="too slow", outputs="[]")
        assert erase_logged(engine, model, "k") == LoggedRows(3, 0)
        with reading(engine) as connection:
            chosen = select(PredictionRequestRow.id, PredictionRequestRow.n_rows).where(
                PredictionRequestRow.model == model
            )
            assert sorted((row.id, row.n_rows) for row in connection.execute(chosen)) == sorted(
                [(answer, 1), (shadow, 1)]
            )

    tell(story)


def test_labels_go_by_key_and_by_the_ids_of_its_predictions(tell: Tell) -> None:
    """With their whole history; labels of other rows of the same request stay."""

    def story(engine: Engine, model: str) -> None:
        request = log(engine, model, ["a", "k", "b"])
        ids = [*prediction_ids(request, 3)]
        for label in ("0", "1"):
            given = [Label("id", one, label) for one in ids]
            given += [
                Label("key", "k", label),
                Label("key", "k", label, AT + timedelta(days=3)),
                Label("key", "kk", label),
            ]
            record_labels(engine, model, given, "branch", AT)
        record_labels(engine, f"{model}x", [Label("key", "k", "1")], "branch", AT)
        assert count_logged(engine, model, "k") == LoggedRows(1, 2)
        assert (count_key_labels(engine, model, "k"), count_id_labels(engine, model, ids[1:])) == (4, 4)
        assert erase_logged(engine, model, "k") == LoggedRows(1, 2)
        assert (erase_key_labels(engine, model, "k"), erase_key_labels(engine, model, "k")) == (4, 0)
        assert references(engine, model) == sorted((one, label) for one in (ids[0], ids[2], "kk") for label in "01")
        assert erase_id_labels(engine, model, [ids[2]]) == 2
        assert count_id_labels(engine, model, ids) == 2
        assert references(engine, f"{model}x") == [("k", "1")]

    tell(story)


def test_sqlite_keeps_no_trace_of_what_was_deleted(tmp_path: Path) -> None:
    """Neither in a free page of the file nor in its log of changes."""
    file = tmp_path / "perennial.db"
    engine = open_database(f"sqlite:///{file}")
    for number in range(200):
        log(engine, "credit", [f"SECRET-{number % 2}", "a"], rows=f'[["SECRET-{number % 2}"],["a"]]')
    record_labels(engine, "credit", [Label("key", "SECRET-0", "1")], "branch", AT)
    assert count_id_labels(engine, "credit", [prediction_id(new_request_id(), 0)]) == 0
    erase_logged(engine, "credit", "SECRET-0")
    erase_key_labels(engine, "credit", "SECRET-0")
    assert empty_write_ahead_log(engine)
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"SECRET-1" in stored
    assert b"SECRET-0" not in stored


def test_a_reader_keeps_the_log_of_changes(tmp_path: Path) -> None:
    """It is told; the caller runs again."""
    engine = open_database(f"sqlite:///{tmp_path / 'perennial.db'}")
    log(engine, "credit", ["k"])
    with reading(engine) as connection:
        connection.execute(text("SELECT count(*) FROM prediction_requests")).all()
        erase_logged(engine, "credit", "k")
        assert not empty_write_ahead_log(engine, wait_ms=50)
    assert empty_write_ahead_log(engine)
