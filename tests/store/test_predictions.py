"""The log of predictions, on both databases."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

import store.predictions
from core.prediction_ids import first_id_at, prediction_id, prediction_ids
from serving.ids import new_request_id
from store.database import reading
from store.erasure.records import begin_erasure
from store.log.connection import LogConnection
from store.predictions import delete_before, logged_requests
from tests.store.request_counts import count_requests
from tests.store.stories import Story

AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
Tell = Callable[[Story], None]


def _request(
    model: str, rows: list[Any], outputs: list[Any], keys: list[Any] | None = None, **more: Any
) -> dict[str, Any]:
    return {
        "id": new_request_id(),
        "model": model,
        "version": 3,
        "variant": "champion",
        "at": AT,
        "n_rows": len(rows),
        "latency_ms": 1.5,
        "rows": json.dumps(rows),
        "outputs": json.dumps(outputs),
        "entity_keys": None if keys is None else json.dumps(keys),
        "columns": None,
        "failure": None,
        "served_id": None,
        **more,
    }


def _insert(engine: Engine, *requests: dict[str, Any]) -> None:
    address = engine.url.render_as_string(hide_password=False)
    with closing(LogConnection(address, durable=False)) as connection:
        connection.write(requests)


def _predictions(engine: Engine, model: str) -> list[dict[str, Any]]:
    statement = text("SELECT * FROM predictions WHERE model = :model ORDER BY id")
    with reading(engine) as connection:
        return [dict(row) for row in connection.execute(statement, {"model": model}).mappings()]


def test_the_view_has_a_row_for_each_prediction(tell: Tell) -> None:
    """With the id it was answered with, its own key, its own features and its own answer."""
    rows = [{"income": float(place), 'odd "name" \\ of.a $[0]': f"a\0{place}'\u2028\U0001f600"} for place in range(300)]
    outputs = [[0.25, 0.75 + place / 4096] for place in range(300)]
    keys = [None if place % 3 == 0 else f"k'\"{place}" for place in range(300)]

    def story(engine: Engine, model: str) -> None:
        request = _request(model, rows, outputs, keys)
        _insert(engine, request)
        found = _predictions(engine, model)
        assert [row["id"] for row in found] == [prediction_id(request["id"], place) for place in range(300)]
        assert [json.loads(row["features"]) for row in found] == rows
        assert [json.loads(row["output"]) for row in found] == outputs
        assert [row["entity_key"] for row in found] == keys
        assert {(row["version"], row["variant"], row["latency_ms"]) for row in found} == {(3, "champion", 1.5)}

    tell(story)


def test_the_view_names_the_values_of_rows_that_are_stored_without_names(tell: Tell) -> None:
    """Requests of both forms have the same features, to the last digit of a number."""
    rows = [{"income": 0.1 + 1 / (place + 3), "b": place % 2 == 0, "c": None, 'a"b': 'x"y'} for place in range(40)]
    values = [list(row.values()) for row in rows]

    def story(engine: Engine, model: str) -> None:
        named = _request(model, rows, [0.5] * 40)
        _insert(engine, named, _request(model, values, [0.5] * 40, columns=json.dumps(list(rows[0]))))
        found = [json.loads(row["features"]) for row in _predictions(engine, model)]
        assert [repr(one) for one in found] == [repr(row) for row in rows + rows]

    tell(story)


def test_the_view_tells_numbers_and_predictions_without_keys(tell: Tell) -> None:
    """A regression's answers are numbers, and a request may name no entity."""

    def story(engine: Engine, model: str) -> None:
        _insert(engine, _request(model, [{"x": 1}, {"x": None}], [1.5, -2e-7]))
        assert [(float(row["output"]), row["entity_key"]) for row in _predictions(engine, model)] == [
            (1.5, None),
            (-2e-7, None),
        ]

    tell(story)


def test_a_repeated_write_changes_nothing(database: str, tell: Tell) -> None:
    """Whoever does not know whether a transaction ended may send it again."""
    if "asyncpg" in database:
        pytest.skip("the log is written by psycopg")

    def story(engine: Engine, model: str) -> None:
        first, second = (_request(model, [{"x": place}], [0.5]) for place in range(2))
        connection = LogConnection(database, durable=True)
        connection.write([first])
        connection.write([first, second])
        connection.write([first, second])
        connection.close()
        assert count_requests(engine, model) == len(_predictions(engine, model)) == 2

    tell(story)


def test_old_requests_go_and_new_ones_stay(tell: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the time in their ids, some at a time, the first that is kept included."""
    monkeypatch.setattr(store.predictions, "ROWS_PER_DELETE", 4)

    def story(engine: Engine, model: str) -> None:
        ages = [timedelta(milliseconds=ms) for ms in range(-9, 4)]
        ids = [f"{first_id_at(AT + age)[:-4]}0000" for age in ages]
        _insert(engine, *(_request(model, [{"x": 1}], [0.5], id=one) for one in ids))
        assert delete_before(engine, first_id_at(AT)) == 9
        assert sorted(row["id"] for row in _predictions(engine, model)) == ids[9:]
        assert delete_before(engine, first_id_at(AT)) == 0
        assert delete_before(engine, first_id_at(AT + timedelta(days=1))) == 4

    tell(story)


def test_requests_are_counted_by_model_and_time(tell: Tell) -> None:
    """From a moment on, itself included."""

    def story(engine: Engine, model: str) -> None:
        _insert(engine, *(_request(model, [{}], [0.5], at=AT + timedelta(hours=hour)) for hour in range(3)))
        assert count_requests(engine, model) == 3
        assert count_requests(engine, model, AT + timedelta(hours=1)) == 2
        assert count_requests(engine, f"{model}x") == 0

    tell(story)


def test_only_a_models_own_requests_are_found(tell: Tell) -> None:
    """The id of another model's prediction is no reference of this one's."""

    def story(engine: Engine, model: str) -> None:
        own, other = _request(model, 3 * [{}], 3 * [0.5]), _request(f"{model}x", [{}], [0.5])
        _insert(engine, own, other)
        assert logged_requests(engine, model, [own["id"], other["id"], new_request_id()]) == {own["id"]: 3}

    tell(story)


def test_rows_that_are_left_of_a_request_have_their_ids(tell: Tell) -> None:
    """In the view, and where a label names one of them."""

    def story(engine: Engine, model: str) -> None:
        whole, cut = (_request(model, [{"x": place} for place in range(n)], n * [0.5], n * ["a"]) for n in (2, 300))
        part = _request(model, [{"x": 0}, {"x": 1}], [0.5, 0.5], id=prediction_id(cut["id"], 254))
        last = _request(model, [{"x": 0}], [0.5], id=prediction_id(cut["id"], 298))
        _insert(engine, whole, part, last)
        asked = [whole["id"], cut["id"], new_request_id()]
        assert logged_requests(engine, model, asked) == {whole["id"]: 2}
        begin_erasure(engine, model, "ada@host", "", AT)
        assert logged_requests(engine, model, asked) == {whole["id"]: 2, cut["id"]: 299}
        ids = [prediction_id(cut["id"], place) for place in (254, 255, 298)]
        assert {row["id"] for row in _predictions(engine, model)} == {*ids, *prediction_ids(whole["id"], 2)}

    tell(story)
