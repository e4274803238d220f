"""Each form answers the same rows with the same numbers."""

from __future__ import annotations

import io
import json
from typing import Any

import msgspec
import pyarrow as pa

from core.train.trust import trusted_types
from serving.ids import new_request_id
from serving.model.forms import forms_of
from serving.model.rows import Rows
from serving.model.served import ServedModel, load_model
from serving.model.tensors import datatypes
from tasks.registry.bundle import Bundle


def _bodies(model: ServedModel, rows: list[dict[str, Any]]) -> list[tuple[str, bytes]]:
    kinds = datatypes(model.contract)
    columns = {name: [row[name] for row in rows] for name in kinds}
    tensors = [
        {"name": name, "shape": [len(rows)], "datatype": kinds[name], "data": cells} for name, cells in columns.items()
    ]
    contents = (("json", {"rows": rows}), ("json", {"columns": columns}), ("tensors", {"inputs": tensors}))
    return [*((form, json.dumps(content).encode()) for form, content in contents), ("arrow", _stream(columns, kinds))]


def _stream(columns: dict[str, Any], kinds: dict[str, str]) -> bytes:
    types = {"FP64": pa.float64(), "BOOL": pa.bool_(), "BYTES": pa.string()}
    table = pa.table({name: pa.array(cells, types[kinds[name]]) for name, cells in columns.items()})
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


def _answered(model: ServedModel, form: str, body: bytes) -> tuple[Rows, bytes, list[Any]]:
    found = forms_of(model)[form].read(body)
    answers = model.answer_inline(found.values, found.locate)
    numbers = msgspec.json.encode(answers)
    return found, forms_of(model)[form].write(found, new_request_id(), numbers, answers), answers


def test_all_forms_answer_to_the_bit_alike(graph_bundle: Bundle) -> None:
    """The prepared columns, the answers and the logged rows are the same."""
    model = load_model(graph_bundle.folder, graph_bundle.manifest_sha256, trusted_types(), name="credit", version=3)
    rows = [{name: row[name] for name in model.contract.raw_columns} for row in model.examples]
    rows = [dict(row, **{name: None}) for row in rows for name in (*row, next(iter(row)))][:40]
    for n in (1, 2, len(rows)):
        found = [_answered(model, form, body) for form, body in _bodies(model, rows[:n])]
        expected, document, answers = found[0]
        probabilities = [list(one["probabilities"].values()) for one in json.loads(document)["predictions"]]
        assert probabilities == answers
        for others, _, numbers in found[1:]:
            assert (others.content, others.names, numbers) == (expected.content, expected.names, answers)
        tensor = json.loads(found[2][1])["outputs"][0]["data"]
        assert tensor == [one for row in answers for one in row]
        table = pa.ipc.open_stream(found[3][1]).read_all()
        assert [list(row) for row in zip(*table.to_pydict().values(), strict=True)] == [
            [one["id"], *row] for one, row in zip(table.select(["id"]).to_pylist(), answers, strict=True)
        ]
