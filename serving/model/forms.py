"""The forms in which a model takes rows and answers: JSON by rows or columns, tensors, and Arrow streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from serving.model.answers import AnswerWriter
from serving.model.arrow import ArrowForm
from serving.model.rows import Rows
from serving.model.served import ServedModel
from serving.model.tensors import TensorForm


class Form(Protocol):
    """Reads the bodies of requests, and writes the bodies of their answers."""

    content_type: bytes

    def read(self, body: bytes | bytearray) -> Rows:
        """Parse a request's body."""

    def write(self, rows: Rows, request_id: str, numbers: bytes, answers: Sequence[Any]) -> bytes:
        """Return the body of the answer: ``numbers`` is the JSON list of ``answers``."""


class RowForm:
    """Reads rows or columns in JSON, and writes a document with a prediction per row.

    Parameters
    ----------
    model
        The version that answers.
    """

    content_type = b"application/json"

    def __init__(self, model: ServedModel) -> None:
        self._reader, self._writer = model.reader, AnswerWriter(model)

    def read(self, body: bytes | bytearray) -> Rows:
        """Parse a request's body."""
        return self._reader.read(body)

    def write(self, rows: Rows, request_id: str, numbers: bytes, _answers: Sequence[Any]) -> bytes:
        """Return the document of an answer."""
        return self._writer.write(request_id, rows.n, numbers)


def forms_of(model: ServedModel) -> Mapping[str, Form]:
    """Return the forms of a version by their names, see :attr:`serving.http.exchange.Exchange.form`."""
    return {"json": RowForm(model), "tensors": TensorForm(model), "arrow": ArrowForm(model)}
