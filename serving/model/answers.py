"""Encode the answers to requests, with types that are compiled once per feature contract."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from core.references import Variant
from serving.ids import prediction_id
from serving.model.served import ServedModel


class AnswerWriter:
    """Writes the answers of one version.

    Parameters
    ----------
    model
        The version that answers; its name, version number and classes appear in the answers.
    """

    def __init__(self, model: ServedModel) -> None:
        classes = model.contract.classes
        self._about = (model.name, model.version, model.variant)
        self._encode = msgspec.json.Encoder().encode
        self._prediction: Callable[[str, Any], Any] = _of_classes(classes) if classes else _Value

    def write(self, request_id: str, answers: Sequence[Any]) -> bytes:
        """Return the JSON document of a request's answers.

        Parameters
        ----------
        request_id
            Id of the first prediction; the other ids follow from it.
        answers
            Per row, probabilities in the order of the classes, or a value.
        """
        predictions = [self._prediction(prediction_id(request_id, place), one) for place, one in enumerate(answers)]
        return self._encode(_Answer(*self._about, predictions))


class _Value(msgspec.Struct, gc=False):
    id: str
    value: float


class _Answer(msgspec.Struct):
    model: str
    version: int
    variant: Variant
    predictions: list[Any]


def _of_classes(classes: Sequence[str]) -> Callable[[str, Sequence[float]], Any]:
    """Return a function that builds a prediction: a struct with a field per class takes half the time of a dict."""
    fields: list[Any] = [(f"c{place}", float, msgspec.field(name=name)) for place, name in enumerate(classes)]
    try:
        probabilities = msgspec.defstruct("Probabilities", fields, gc=False)
    except ValueError:  # a class name that is not allowed as a field name
        return lambda prediction, answer: {
            "id": prediction,
            "probabilities": dict(zip(classes, answer, strict=True)),
        }
    whole = msgspec.defstruct("Prediction", [("id", str), ("probabilities", probabilities)], gc=False)
    return lambda prediction, answer: whole(prediction, probabilities(*answer))
