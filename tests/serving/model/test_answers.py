"""Answers are written as they were computed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from core.prediction_ids import first_id_at, is_prediction_id, prediction_id, request_of
from core.train.trust import trusted_types
from serving.ids import new_request_id
from serving.model.answers import AnswerWriter
from serving.model.served import ServedModel, load_model
from tasks.registry.bundle import Bundle


def _served(bundle: Bundle) -> ServedModel:
    return load_model(bundle.folder, bundle.manifest_sha256, trusted_types(), name="credit", version=3)


def test_probabilities_bear_the_names_of_their_classes(graph_bundle: Bundle) -> None:
    """Each row has its own id, and a probability for each class, to the last bit."""
    request = new_request_id()
    answers = [[0.1, 0.9], [1 / 3, 2 / 3]]
    document = json.loads(AnswerWriter(_served(graph_bundle)).write(request, 2, json.dumps(answers).encode()))
    assert (document["model"], document["version"], document["variant"]) == ("credit", 3, "champion")
    assert [one["id"] for one in document["predictions"]] == [prediction_id(request, 0), prediction_id(request, 1)]
    assert [one["probabilities"] for one in document["predictions"]] == [
        dict(zip(("0", "1"), answer, strict=True)) for answer in answers
    ]


@pytest.mark.parametrize("name", ['"', "\\", "a\nb", "a\0b", "%", "%b%%", "ä ö", "id", ""])
def test_classes_may_have_any_name(graph_bundle: Bundle, name: str) -> None:
    """A label is data, and data holds what it holds."""
    model = _served(graph_bundle)
    odd = replace(model, contract=replace(model.contract, classes=("0", name)))
    document = json.loads(AnswerWriter(odd).write(new_request_id(), 1, b"[[0.25,0.75]]"))
    assert document["predictions"][0]["probabilities"] == {"0": 0.25, name: 0.75}


def test_values_of_a_regression(regression_bundle: Bundle) -> None:
    """A number is a number."""
    document = json.loads(AnswerWriter(_served(regression_bundle)).write(new_request_id(), 2, b"[1.5,-2e30]"))
    assert [one["value"] for one in document["predictions"]] == [1.5, -2e30]


def test_ids_tell_their_request_and_place() -> None:
    """From a prediction's id follow the request's row in the log and the place in it; ids rise with time."""
    request = new_request_id()
    last = prediction_id(request, 0xFFFF)
    assert is_prediction_id(last)
    assert request_of(last) == (request, 0xFFFF)
    assert not is_prediction_id(last.upper().replace("-", ""))
    now = datetime.now(UTC)
    assert first_id_at(now - timedelta(seconds=1)) < request < first_id_at(now + timedelta(seconds=1))
