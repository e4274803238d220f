"""Arrow streams are the rows that JSON has, or are refused; nothing that a client sends crashes or grows."""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from core.prediction_ids import prediction_id
from core.train.trust import trusted_types
from serving.ids import new_request_id
from serving.model.arrow import MAX_BATCHES, MAX_STRANGE, ArrowForm
from serving.model.rows import RowReader
from serving.model.served import ServedModel, load_model
from serving.problems import Problem
from tasks.registry.bundle import Bundle
from tests.serving.model.test_rows import KINDS, READER, ROW, rows

TYPES = {
    "income": pa.float64(),
    "net.worth": pa.float64(),
    "region": pa.string(),
    "owner": pa.bool_(),
    "opened": pa.string(),
    "closed": pa.string(),
    "id": pa.string(),
}
TABLE = pa.table({name: pa.array([value, value, value], TYPES[name]) for name, value in {**ROW, "id": "k"}.items()})


@pytest.fixture(scope="module")
def form(model: ServedModel) -> ArrowForm:
    """Return its form of Arrow streams."""
    return ArrowForm(model)


def _stream(table: pa.Table, chunk: int | None = None, **options: Any) -> bytes:
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, chunk)
    return out.getvalue()


def _with(name: str, values: Any) -> pa.Table:
    """Return the table with another column in place of one."""
    return TABLE.set_column(TABLE.column_names.index(name), name, values)


def _refusal(form: ArrowForm, body: bytes) -> Problem:
    with pytest.raises(Problem) as caught:
        form.read(body)
    caught.value.document()
    return caught.value


def _place(form: ArrowForm, table: pa.Table) -> tuple[str, str]:
    (error,) = _refusal(form, _stream(table)).errors
    return error.field, error.pointer


@given(st.lists(rows, min_size=1, max_size=6), st.sampled_from([pa.string(), pa.large_string(), pa.string_view()]))
def test_a_stream_is_read_as_the_same_rows(form: ArrowForm, rows: list[dict[str, Any]], text: pa.DataType) -> None:
    """With the same values and the same text in the log, in batches of any size and strings of any layout."""
    rows = [
        {**row, **{name: None if row[name] is None else float(row[name]) for name in KINDS.numeric}} for row in rows
    ]
    kinds = {name: text if kind == pa.string() else kind for name, kind in TYPES.items() if name != "id"}
    table = pa.table({name: pa.array([row[name] for row in rows], kind) for name, kind in kinds.items()})
    expected = READER.read(json.dumps({"rows": rows}).encode())
    for chunk in (None, 1, 2):
        found = form.read(_stream(table, chunk))
        assert (found.n, found.values, found.keys) == (expected.n, expected.values, expected.keys)
        assert (found.content, found.names) == (expected.content, expected.names)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        *((kind, [1, None, 100]) for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64())),
        *((kind, [0, None, 255]) for kind in (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())),
        (pa.int64(), [-(2**63), 2**63 - 1, 0]),
        (pa.uint64(), [2**64 - 1, None, 0]),
        (pa.float16(), [np.float16(1.5), None, np.float16(0)]),
        (pa.float32(), [0.1, None, -3e38]),
        (pa.float64(), [0.1, None, -0.0]),
        (pa.null(), [None, None, None]),
    ],
)
def test_numbers_of_every_width_are_taken(form: ArrowForm, kind: pa.DataType, values: list[Any]) -> None:
    """As the floats that pyarrow reads them as; NaN is no value, as in pandas."""
    column = pa.array(values, kind)
    found = [row[0] for row in form.read(_stream(_with("income", column))).values]
    assert found == [None if one is None else float(one) for one in column.to_pylist()]
    strange = form.read(_stream(_with("income", pa.array([float("nan"), None, 1.0])))).values
    assert [row[0] for row in strange] == [None, None, 1.0]


@pytest.mark.parametrize(
    ("kind", "sent", "expected"),
    [
        (pa.date32(), date(2024, 2, 29), "2024-02-29"),
        (pa.date64(), date(2024, 2, 29), "2024-02-29"),
        (pa.timestamp("s"), datetime(2024, 2, 29, 23, 5), "2024-02-29T23:05"),
        (pa.timestamp("ms"), datetime(2024, 2, 29, 23, 5), "2024-02-29T23:05"),
        (pa.timestamp("us", "+02:00"), datetime(2024, 2, 29, 23, 5, tzinfo=UTC), "2024-02-29T23:05"),
        (pa.timestamp("ns"), datetime(1969, 12, 31, 23, 5), "1969-12-31T23:05"),
    ],
)
def test_dates_and_timestamps_are_moments(form: ArrowForm, kind: pa.DataType, sent: Any, expected: str) -> None:
    """The same as the text of the moment in UTC."""
    column = pa.array([sent, None, sent], kind)
    found = READER.columns(form.read(_stream(_with("opened", column))).values)
    text = READER.columns(form.read(_stream(_with("opened", pa.array([expected, None, expected])))).values)
    for one, other in zip(found, text, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("name", "values", "pointer"),
    [
        ("income", pa.array(["1", "2", "3"]), "/columns/income/0"),
        ("income", pa.array([True, None, False]), "/columns/income/0"),
        ("income", pa.array([1.0, 2.0, float("inf")]), "/columns/income/2"),
        ("income", pa.array([1.0, -1e39, 1.0]), "/columns/income/1"),
        ("owner", pa.array([None, 1, 0]), "/columns/owner/1"),
        ("region", pa.array([1, 2, 3]), "/columns/region/0"),
        ("region", pa.array(["x", "y" * 1025, "z"]), "/columns/region/1"),
        ("region", pa.array(["x", "y", "z"]).dictionary_encode(), "/columns/region"),
        ("region", pa.array([b"x", b"y", b"z"]), "/columns/region"),
        ("region", pa.array([["x"], ["y"], ["z"]]), "/columns/region"),
        ("region", pa.array([{"x": 1}] * 3), "/columns/region"),
        ("income", pa.array([1, 2, 3], pa.decimal128(5)), "/columns/income"),
        ("income", pa.array([1, 2, 3], pa.duration("s")), "/columns/income"),
        ("income", pa.array([[1.0], [2.0], [3.0]], pa.list_(pa.float64(), 1)), "/columns/income"),
        (
            "region",
            pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"x" * 16] * 3, pa.binary(16))),
            "/columns/region",
        ),
        (
            "income",
            pa.RunEndEncodedArray.from_arrays([2, 3], [1.0, 2.0]),
            "/columns/income",
        ),
        ("id", pa.array([1.5, 2.0, None]), "/columns/id/0"),
        ("id", pa.array(["a", "", "b"]), "/columns/id/1"),
        ("id", pa.array([2**63 - 1, 1, 2]), "/columns/id/0"),
    ],
)
def test_a_wrong_column_is_refused_by_name(form: ArrowForm, name: str, values: Any, pointer: str) -> None:
    """By the rules of JSON, or because its type could unpack to more than was sent."""
    assert _place(form, _with(name, values)) == (name, pointer)


def test_the_columns_are_those_of_the_contract(form: ArrowForm) -> None:
    """Each once; the key may be left out."""
    assert form.read(_stream(TABLE.drop(["id"]))).keys is None
    assert form.read(_stream(TABLE)).keys == ["k", "k", "k"]
    assert form.read(_stream(_with("id", pa.array([7.0, None, 8.0])))).keys == ["7", None, "8"]
    assert _place(form, TABLE.drop(["region"])) == ("region", "/columns/region")
    assert _place(form, TABLE.append_column("incme", TABLE["income"])) == ("incme", "/columns/incme")
    twice = TABLE.append_column("income", TABLE["income"])
    assert _place(form, twice) == ("income", "/columns/income")
    many = pa.table({f"c{number}": [1.0] for number in range(MAX_STRANGE + 8)})
    assert _refusal(form, _stream(many)).kind == "invalid-arrow"
    assert _refusal(form, _stream(pa.table({"x" * 5000: [1.0]}))).kind == "invalid-arrow"


def test_rows_batches_and_compression_are_bounded(form: ArrowForm) -> None:
    """A stream has no more rows than JSON may have, few batches, and no body that unpacks."""
    most = pa.concat_tables([TABLE] * 17).slice(0, 51)
    assert form.read(_stream(most.slice(1))).n == 50
    assert _refusal(form, _stream(most)).errors[0].detail == "expected at most 50 rows, found 51"
    assert _refusal(form, _stream(most, 1)).errors[0].pointer == "/columns"
    assert _refusal(form, _stream(TABLE.slice(0, 0))).kind in {"invalid-request", "invalid-arrow"}
    empty = TABLE.schema.empty_table().to_batches() or [pa.RecordBatch.from_pylist([], schema=TABLE.schema)]
    out = io.BytesIO()
    with pa.ipc.new_stream(out, TABLE.schema) as writer:
        for _ in range(MAX_BATCHES):
            writer.write_batch(empty[0])
        writer.write_table(TABLE)
    assert "record batches" in _refusal(form, out.getvalue()).detail
    for codec in ("lz4", "zstd"):
        assert "without compression" in _refusal(form, _stream(TABLE, compression=codec)).detail


WHOLE = _stream(TABLE, 2)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"ARROW1\0\0",
        b"\xff" * 8,
        b"\xff\xff\xff\xff\0\0\0\0",
        b"\xff\xff\xff\xff\x08\0\0\0" + b"\xff" * 8,
        b"\xff\xff\xff\xff\xff\xff\xff\x7f" + WHOLE[8:],
        WHOLE[8:],
        _stream(TABLE.schema.empty_table()),
    ],
)
def test_what_is_no_stream_is_refused(form: ArrowForm, body: bytes) -> None:
    """Other formats, other markers, and a schema alone."""
    assert _refusal(form, body).kind in {"invalid-arrow", "invalid-request"}


def test_a_stream_that_is_cut_off_anywhere_is_refused_or_shorter(form: ArrowForm) -> None:
    """Where it ends after a message it has the rows up to there; the marker of the end may be missing."""
    found: set[int | str] = set()
    for end in range(len(WHOLE)):
        try:
            found.add(form.read(WHOLE[:end]).n)
        except Problem as problem:
            found.add(problem.kind)
    assert found == {2, 3, "invalid-arrow", "invalid-request"}


@given(st.data())
@hypothesis_settings(max_examples=400)
def test_a_spoilt_stream_is_read_or_a_problem(form: ArrowForm, data: st.DataObject) -> None:
    """Numbers of the metadata and bytes changed anywhere: no other error, and no more rows than are allowed."""
    body = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 3))):
        kind = data.draw(st.sampled_from("bhiq"))
        place = data.draw(st.integers(0, len(body) - struct.calcsize(kind)))
        bits = 8 * struct.calcsize(kind) - 1
        number = data.draw(
            st.sampled_from([-1, 0, 1, 2**bits - 1, -(2**bits), 50, 51]) | st.integers(-(2**bits), 2**bits - 1)
        )
        struct.pack_into(f"<{kind}", body, place, max(-(2**bits), min(number, 2**bits - 1)))
    try:
        assert form.read(bytes(body)).n <= 50
    except Problem as problem:
        problem.document()


def test_texts_that_share_their_bytes_take_no_more_than_the_body(model: ServedModel) -> None:
    """Views of one buffer, a row each, would unpack to as many copies of it."""
    wide = ArrowForm(replace(model, reader=RowReader(model.contract, 60_000)))
    n, text = 50_000, "x" * 1000
    view = struct.pack("<i4sii", len(text), b"xxxx", 0, 0)
    long = pa.array([text], pa.string_view()).buffers()
    assert bytes(long[1])[:16] == view
    shared = pa.Array.from_buffers(pa.string_view(), n, [None, pa.py_buffer(view * n), long[2]])
    body = _stream(pa.table({**{one: pa.nulls(n, TYPES[one]) for one in TYPES}, "region": shared}))
    tracemalloc.start()
    try:
        problem = _refusal(wide, body)
        grown = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "longer than the batch" in problem.detail
    assert grown < 3 * len(body) + 32 * 2**20


@pytest.mark.parametrize("n", [1, 2, 3, 50])
def test_the_answer_is_a_stream(form: ArrowForm, n: int) -> None:
    """That pyarrow reads and validates: ids, a column per class, and the version in the schema."""
    found = form.read(_stream(pa.concat_tables([TABLE] * 17).slice(0, n)))
    answers = [[1 / (row + 3), 1 - 1 / (row + 3)] for row in range(n)]
    request = new_request_id()
    table = pa.ipc.open_stream(form.write(found, request, b"", answers)).read_all()
    table.validate(full=True)
    assert table.column_names == ["id", "probabilities.0", "probabilities.1"]
    assert table["id"].to_pylist() == [prediction_id(request, row) for row in range(n)]
    assert [
        list(row) for row in zip(*(table[name].to_pylist() for name in table.column_names[1:]), strict=True)
    ] == answers
    assert table.schema.metadata == {b"model": b"credit", b"version": b"3", b"variant": b"champion"}
    assert found.n == n


def test_the_answer_of_a_regression_has_values(regression_bundle: Bundle) -> None:
    """A number per row, whatever the names of the classes of others are."""
    bundle = regression_bundle
    served = load_model(bundle.folder, bundle.manifest_sha256, trusted_types(), name="credit", version=3)
    rows = READER.read(json.dumps({"rows": [ROW, ROW]}).encode())
    table = pa.ipc.open_stream(ArrowForm(served).write(rows, new_request_id(), b"", [1.5, -2e30])).read_all()
    assert table["value"].to_pylist() == [1.5, -2e30]
    odd = replace(served, contract=replace(served.contract, classes=("", "ä\0", 'a"')))
    table = pa.ipc.open_stream(ArrowForm(odd).write(rows, new_request_id(), b"", [[0.1, 0.2, 0.7]] * 2)).read_all()
    assert table.column_names[1:] == ["probabilities.", "probabilities.ä\0", 'probabilities.a"']
