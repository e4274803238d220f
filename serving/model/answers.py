"""Write the answer to a request, by types that are compiled from a contract once."""

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
        Whose name, version and classes stand in them.
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
            The first prediction's; the others' follow from it.
        answers
            Probabilities in the order of the classes, or values.
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
    """Return what makes a prediction of probabilities: an object with a field for each class costs half a dict."""
    fields: list[Any] = [(f"c{place}", float, msgspec.field(name=name)) for place, name in enumerate(classes)]
    try:
        probabilities = msgspec.defstruct("Probabilities", fields, gc=False)
    except ValueError:  # a name that no field may have
        return lambda prediction, answer: {
            "id": prediction,
            "probabilities": dict(zip(classes, answer, strict=True)),
        }
    whole = msgspec.defstruct("Prediction", [("id", str), ("probabilities", probabilities)], gc=False)
    return lambda prediction, answer: whole(prediction, probabilities(*answer))
