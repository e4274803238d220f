"""Write the documents of answers, from the JSON text of the numbers that the log stores too."""

from __future__ import annotations

import msgspec

from core.prediction_ids import MAX_ROWS
from serving.model.served import ServedModel

_PREFIX = b"\x00"
"""Stands for what the ids of a request have in common: JSON text contains no such byte."""


class AnswerWriter:
    """Writes the answers of one version.

    Parameters
    ----------
    model
        The version that answers; its name, version number and classes appear in the answers.
    """

    def __init__(self, model: ServedModel) -> None:
        encode = msgspec.json.encode
        about = {"model": model.name, "version": model.version, "variant": model.variant}
        self._head = encode(about)[:-1] + b',"predictions":['
        self._n_numbers = len(model.contract.classes) or 1
        answer = b'"value":%b'
        if classes := model.contract.classes:
            answer = b'"probabilities":{%b}' % b",".join(_escaped(encode(name)) + b":%b" for name in classes)
        self._prediction = b'{"id":"' + _PREFIX + b'%b",' + answer + b"},"
        self._places: list[bytes] = []

    def write(self, request_id: str, n: int, outputs: bytes) -> bytes:
        """Return the JSON document of a request's answers.

        Parameters
        ----------
        request_id
            Id of the first prediction; the other ids follow from it.
        n
            Number of rows.
        outputs
            JSON list of the answers: per row, a list of probabilities in the order of the classes, or a value.
        """
        # One call formats all rows: in a fraction of the time of an object per row.
        step, numbers = 1 + self._n_numbers, outputs.translate(None, b"[]").split(b",")
        parts: list[bytes] = [b""] * (n * step)
        parts[::step] = self._last_digits(n)
        for place in range(self._n_numbers):
            parts[1 + place :: step] = numbers[place :: self._n_numbers]
        predictions = (self._prediction * n)[:-1] % tuple(parts)
        return b"%b%b]}" % (self._head, predictions.replace(_PREFIX, request_id[:32].encode()))

    def _last_digits(self, n: int) -> list[bytes]:
        """Return the digits by which the ids of a request's predictions differ."""
        for place in range(len(self._places), min(n, MAX_ROWS)):
            self._places.append(b"%04x" % place)
        return self._places[:n]


def _escaped(text: bytes) -> bytes:
    return text.replace(b"%", b"%%")
