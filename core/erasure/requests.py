"""A logged request without the rows of an entity."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from core.prediction_ids import prediction_ids

_PER_ROW = ("rows", "outputs", "entity_keys")
_BETWEEN = " \t\r\n,"


@dataclass(frozen=True)
class Remainder:
    """What is left of a logged request.

    Parameters
    ----------
    requests
        Requests of the rows that are left, each of rows that follow one another, with the columns of the given one.
    ids
        Ids of the predictions of the erased rows.
    """

    requests: tuple[dict[str, Any], ...]
    ids: tuple[str, ...]


def without_key(request: Mapping[str, Any], key: str) -> Remainder:
    """Take an entity's rows out of a logged request; all other predictions keep their ids.

    The texts of the values that stay are not changed, not even the form of a number.

    Parameters
    ----------
    request
        Columns of :class:`store.tables.PredictionRequestRow` by name.
    key
        The entity's key as the log has it.

    Examples
    --------
    >>> request = {"id": "01936c1e-8f00-7abc-8def-012345670000", "served_id": None, "n_rows": 3}
    >>> lists = {"rows": "[[1],[2],[3]]", "outputs": "[0.1,0.2,0.3]", "entity_keys": '["a","b","c"]'}
    >>> left = without_key({**request, **lists}, "b")
    >>> [(one["id"][-4:], one["rows"], one["entity_keys"]) for one in left.requests]
    [('0000', '[[1]]', '["a"]'), ('0002', '[[3]]', '["c"]')]
    >>> left.ids
    ('01936c1e-8f00-7abc-8def-012345670001',)
    """
    keys = json.loads(request["entity_keys"] or "[]")
    is_erased = [one is not None and str(one) == key for one in keys]
    ids = [*prediction_ids(request["id"], len(keys))]
    erased = tuple(id_ for id_, is_gone in zip(ids, is_erased, strict=True) if is_gone)
    if not erased:
        return Remainder((dict(request),), ())
    return Remainder(tuple(_pieces(request, is_erased, ids)), erased)


def _pieces(request: Mapping[str, Any], is_erased: Sequence[bool], ids: Sequence[str]) -> Iterator[dict[str, Any]]:
    parts = {name: json_items(request[name]) for name in _PER_ROW}
    served = request["served_id"] and [*prediction_ids(request["served_id"], len(ids))]
    for is_gone, group in groupby(range(len(ids)), key=lambda place: is_erased[place]):
        places = [*group]
        if is_gone:
            continue
        chosen = slice(places[0], places[-1] + 1)
        # A failure has no outputs.
        texts = {name: f"[{','.join(items[chosen])}]" for name, items in parts.items()}
        yield {
            **request,
            **texts,
            "id": ids[chosen.start],
            "served_id": served[chosen.start] if served else None,
            "n_rows": len(places),
        }


def json_items(text: str) -> list[str]:
    """Return the texts of the values in a JSON list.

    Examples
    --------
    >>> json_items('[1.50, {"a": [2]}, null]')
    ['1.50', '{"a": [2]}', 'null']
    """
    decoder, found = json.JSONDecoder(), []
    place, end = text.index("[") + 1, text.rindex("]")
    while (place := _skipped(text, place)) < end:
        _, after = decoder.raw_decode(text, place)
        found.append(text[place:after])
        place = after
    return found


def _skipped(text: str, place: int) -> int:
    while text[place] in _BETWEEN:
        place += 1
    return place
