"""A logged request without the rows of an entity."""

from __future__ import annotations

from typing import Any

import pytest

from core.erasure.requests import json_items, without_key
from core.prediction_ids import prediction_id, prediction_ids

ID = "01936c1e-8f00-7abc-8def-012345670000"
SERVED = "01936c1e-8f00-7abc-8def-0123456a0000"


def request(keys: str, **given: Any) -> dict[str, Any]:
    """Return a request of five rows, with numbers in forms that Python would write in another way."""
    return {
        "id": ID,
        "model": "credit",
        "n_rows": 5,
        "rows": '[[1e5,"a, b"],[1.50,"]"],[2.0,null],[3E0,"x\\"y"],[4,"ü"]]',
        "columns": '["income","name"]',
        "outputs": "[[0.10,0.9],[0.2,0.8],[0.3,0.7],[0.4,0.6],[0.5,0.5]]",
        "entity_keys": keys,
        "served_id": None,
        **given,
    }


def test_the_other_predictions_keep_their_ids_and_their_texts() -> None:
    """Rows that follow one another stay one request; what names no row is the same in each."""
    left = without_key(request('["k","a",null,"k","b"]'), "k")
    assert left.ids == (prediction_id(ID, 0), prediction_id(ID, 3))
    first, second = left.requests
    assert (first["id"], first["n_rows"], first["entity_keys"]) == (prediction_id(ID, 1), 2, '["a",null]')
    assert (first["rows"], first["outputs"]) == ('[[1.50,"]"],[2.0,null]]', "[[0.2,0.8],[0.3,0.7]]")
    assert (second["id"], second["rows"], second["outputs"]) == (prediction_id(ID, 4), '[[4,"ü"]]', "[[0.5,0.5]]")
    assert {one["columns"] for one in left.requests} == {'["income","name"]'}
    kept = [id_ for one in left.requests for id_ in prediction_ids(one["id"], one["n_rows"])]
    assert sorted([*kept, *left.ids]) == [*prediction_ids(ID, 5)]


def test_a_part_of_a_request_is_taken_apart_again() -> None:
    """Another entity of the same request is forgotten later."""
    (part,) = without_key(request('["k","a","b","c","d"]'), "k").requests
    left = without_key(part, "b")
    assert left.ids == (prediction_id(ID, 2),)
    assert [(one["id"], one["n_rows"]) for one in left.requests] == [
        (prediction_id(ID, 1), 1),
        (prediction_id(ID, 3), 2),
    ]
    assert left.requests[1]["rows"] == '[[3E0,"x\\"y"],[4,"ü"]]'


def test_a_shadows_rows_stay_with_the_rows_of_the_answer() -> None:
    """The ids that its rows were answered with move along."""
    left = without_key(request('["a","k","b","b","b"]', served_id=SERVED, variant="shadow"), "k")
    assert [one["served_id"] for one in left.requests] == [prediction_id(SERVED, 0), prediction_id(SERVED, 2)]


def test_a_failure_has_no_answers() -> None:
    """Its rows go all the same."""
    left = without_key(request('["k","a","a","a","a"]', outputs="[]", failure="too slow"), "k")
    assert [(one["outputs"], one["n_rows"]) for one in left.requests] == [("[]", 4)]


@pytest.mark.parametrize("keys", [None, '["a","kk","K",null,"k "]'])
def test_a_request_of_other_entities_is_not_changed(keys: str | None) -> None:
    """A key is found as a whole, and by its letters as they are."""
    given = request(keys or "", entity_keys=keys)
    left = without_key(given, "k")
    assert (left.requests, left.ids) == ((given,), ())


def test_nothing_is_left_of_a_request_of_the_entity_alone() -> None:
    """Also where an older log has a number."""
    assert without_key(request("[7,7,7,7,7]"), "7").requests == ()


@pytest.mark.parametrize(
    ("text", "items"),
    [("[]", []), (" [ ] ", []), ("[1 , [2,3] ]", ["1", "[2,3]"]), ('["]",{"a":","}]', ['"]"', '{"a":","}'])],
)
def test_items_of_a_list_are_told_apart(text: str, items: list[str]) -> None:
    """Brackets and commas within a value are of the value."""
    assert json_items(text) == items
