"""Tensors of the Open Inference Protocol are the rows that JSON by name has, or are refused with their place."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.notations import DateNotation, NumberNotation, to_json
from core.prediction_ids import prediction_id
from core.train.trust import trusted_types
from serving.ids import new_request_id
from serving.model.rows import Column, RowReader
from serving.model.served import ServedModel, load_model
from serving.model.tensors import DATATYPES, TensorForm, datatypes, example, metadata
from serving.problems import Problem
from tasks.registry.bundle import Bundle
from tests.serving.model.test_rows import KINDS, READER, ROW, rows


@pytest.fixture(scope="module")
def form(model: ServedModel) -> TensorForm:
    """Return its form of tensors."""
    return TensorForm(model)


def _tensors(*rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    kinds = {**datatypes(KINDS), "id": "BYTES"}
    inputs = [
        {"name": name, "shape": [len(rows)], "datatype": kinds[name], "data": [row[name] for row in rows]}
        for name in rows[0]
    ]
    return {"inputs": inputs, **more}


def _body(content: Any) -> bytes:
    return json.dumps(content).encode()


def _columns(form: TensorForm, body: bytes) -> list[Column]:
    found = form.read(body)
    return READER.columns(found.values, found.locate)


def _places(form: TensorForm, content: Any) -> list[tuple[str, str]]:
    with pytest.raises(Problem) as caught:
        _columns(form, _body(content))
    caught.value.document()
    return [(one.field, one.pointer) for one in caught.value.errors]


@given(st.lists(rows, min_size=1, max_size=4))
def test_tensors_are_read_as_the_same_rows(form: TensorForm, rows: list[dict[str, Any]]) -> None:
    """With the same values and keys, and the same text in the log."""
    found = form.read(_body(_tensors(*rows)))
    expected = READER.read(_body({"rows": rows}))
    assert (found.n, found.values, found.keys) == (expected.n, expected.values, expected.keys)
    assert (found.content, found.names) == (expected.content, expected.names)


INTEGERS = {name for name in DATATYPES if "INT" in name}
NUMBERS = {*INTEGERS, "FP16", "FP32", "FP64"}
TAKEN = {"income": NUMBERS, "net.worth": NUMBERS, "owner": {"BOOL"}, "id": {*INTEGERS, "BYTES"}}


@pytest.mark.parametrize("datatype", [*DATATYPES, "bytes", ""])
def test_each_datatype_is_taken_for_its_kinds_only(form: TensorForm, datatype: str) -> None:
    """Integers and floats are numbers, flags are BOOL, texts and dates BYTES, and keys either."""
    content = _tensors(dict.fromkeys([*ROW, "id"]))
    for place, tensor in enumerate(content["inputs"]):
        inputs = [{**one, "datatype": datatype} if one is tensor else one for one in content["inputs"]]
        if datatype in TAKEN.get(tensor["name"], {"BYTES"}):
            assert form.read(_body({"inputs": inputs})).n == 1
        else:
            assert _places(form, {"inputs": inputs}) == [(tensor["name"], f"/inputs/{place}/datatype")]


@pytest.mark.parametrize(
    ("name", "changed", "pointer"),
    [
        ("income", {"data": [1.5, "x"]}, "data/1"),
        ("income", {"data": [1.5, 1e39]}, "data/1"),
        ("income", {"data": [[1.5], ["x"]], "shape": [2, 1]}, "data/1/0"),
        ("income", {"data": [[1.5, 1.5], [1.5, 1.5]], "shape": [2, 2]}, "data/0"),
        ("net.worth", {"data": [1.5, 1.5, 1.5], "shape": [3]}, "data"),
        ("income", {"data": [], "shape": [0]}, "data"),
        ("income", {"data": {}}, "data"),
        ("income", {"data": "eA=="}, "data"),
        ("income", {"data": [1.5] * 51, "shape": [51]}, "data"),
        ("income", {"data": [1.5, 300], "datatype": "INT8"}, "data/0"),
        ("income", {"data": [1, 300], "datatype": "INT8"}, "data/1"),
        ("income", {"data": [1, -1], "datatype": "UINT64"}, "data/1"),
        ("income", {"shape": [1]}, "shape"),
        ("income", {"shape": [2, 2]}, "shape"),
        ("income", {"shape": []}, "shape"),
        ("income", {"shape": [2**62]}, "shape"),
        ("income", {"shape": [-2]}, "shape"),
        ("income", {"shape": [2, 1, 1]}, "shape"),
        ("income", {"datatype": "FP8"}, "datatype"),
        ("income", {"datatype": "fp32"}, "datatype"),
        ("income", {"name": "incme"}, "name"),
        ("income", {"name": "region"}, "name"),
        ("region", {"data": ["x", "y" * 1025]}, "data/1"),
        ("opened", {"data": ["2024-01-01", "yesterday"]}, "data/1"),
        ("id", {"data": ["a", "b\0"]}, "data/1"),
    ],
)
def test_a_wrong_tensor_is_refused_with_its_place(
    form: TensorForm, name: str, changed: dict[str, Any], pointer: str
) -> None:
    """The pointer is of the body that was sent."""
    content = _tensors({**ROW, "id": "a"}, {**ROW, "id": "b"})
    place = next(number for number, one in enumerate(content["inputs"]) if one["name"] == name)
    content["inputs"][place] |= changed
    ((field, found),) = _places(form, content)
    if found != "/inputs/2/name":  # of a name that occurs twice, the second
        assert found == f"/inputs/{place}/{pointer}"
    assert field in {name, changed.get("name", name)}


@pytest.mark.parametrize(
    ("content", "pointer"),
    [
        ({}, "/inputs"),
        ([], "/inputs"),
        ({"inputs": {}}, "/inputs"),
        ({"inputs": []}, "/inputs"),
        ({"inputs": [{"name": "income"}]}, "/inputs/0"),
        ({"inputs": [{"name": 1, "shape": [1], "datatype": "FP64", "data": [1]}]}, "/inputs/0/name"),
        ({"inputs": [{"name": "income", "shape": ["1"], "datatype": "FP64", "data": [1]}]}, "/inputs/0/shape/0"),
        (_tensors({name: value for name, value in ROW.items() if name != "region"}), "/inputs"),
        (_tensors(ROW, id=1), "/id"),
        (_tensors(ROW, id="x" * 1025), "/id"),
        (_tensors(ROW, outputs=[{"name": "label"}]), "/outputs/0/name"),
        (_tensors(ROW, outputs=[{}]), "/outputs/0"),
    ],
)
def test_what_is_no_request_is_refused(form: TensorForm, content: Any, pointer: str) -> None:
    """Every column has a tensor, and what is said of the answer has the types of the protocol."""
    assert [one for _, one in _places(form, content)] == [pointer]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[" * 100_000, b"\xff", b'{"inputs":' + b"[" * 100_000, b'{"inputs":[{"data":' + b"[" * 100_000],
)
def test_what_is_no_json_is_refused(form: TensorForm, body: bytes) -> None:
    """Also inside the data, which are parsed by the type of their column."""
    with pytest.raises(Problem) as caught:
        form.read(body)
    assert caught.value.kind in {"invalid-json", "invalid-request"}
    whole = _body(_tensors(ROW))
    with pytest.raises(Problem, match="expected a JSON document"):
        form.read(whole.replace(b"[1.5]", b"[NaN]"))


@given(st.data())
def test_a_spoilt_request_is_read_or_a_problem(form: TensorForm, data: st.DataObject) -> None:
    """A byte changed, cut out or doubled anywhere."""
    body = bytearray(_body(_tensors({**ROW, "id": "k"}, {**ROW, "id": None})))
    place = data.draw(st.integers(0, len(body) - 1))
    body[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        form.read(bytes(body))
    except Problem as problem:
        problem.document()


def test_texts_in_a_notation_are_taken(model: ServedModel) -> None:
    """As in rows by name; a tensor of numbers is taken for such columns too."""
    notations = {"income": to_json(NumberNotation(",", ".", "")), "opened": to_json(DateNotation(("seconds",)))}
    contract = replace(model.contract, notations=notations)
    noted = replace(model, contract=contract, reader=RowReader(contract, 50))
    content = _tensors(ROW)
    content["inputs"][0] |= {"datatype": "BYTES", "data": ["1.234,5"]}
    content["inputs"][4] |= {"datatype": "INT64", "data": [86_400]}
    columns = noted.reader.columns(TensorForm(noted).read(_body(content)).values)
    assert columns[0] == 1234.5
    assert [column[0, 0] for column in columns[3:7]] == [1, 2, 4, 0]


def test_the_answer_has_the_outputs_that_were_asked_for(form: TensorForm, model: ServedModel) -> None:
    """All of them where none is named; numbers to the last bit, and the ids for labels."""
    request, numbers = new_request_id(), [[0.1, 0.9], [1 / 3, 2 / 3]]

    def written(**more: Any) -> Any:
        found = form.read(_body(_tensors(ROW, ROW, **more)))
        return json.loads(form.write(found, request, json.dumps(numbers).encode(), numbers))

    both = [
        {"name": "probabilities", "shape": [2, 2], "datatype": "FP64", "data": [0.1, 0.9, 1 / 3, 2 / 3]},
        {
            "name": "prediction_id",
            "shape": [2],
            "datatype": "BYTES",
            "data": [prediction_id(request, place) for place in range(2)],
        },
    ]
    head = {"model_name": "credit", "model_version": "3", "parameters": {"variant": "champion"}}
    assert written() == {**head, "outputs": both}
    asked = [{"name": "prediction_id", "parameters": {"x": 1}}, {"name": "prediction_id"}]
    assert written(id="42", outputs=asked) == {**head, "id": "42", "outputs": both[1:]}
    outputs = {one["name"]: (one["datatype"], one["shape"]) for one in metadata(model)["outputs"]}
    assert outputs == {one["name"]: (one["datatype"], [-1, *one["shape"][1:]]) for one in both}


def test_the_example_of_a_model_can_be_read(graph_bundle: Bundle) -> None:
    """With the datatypes of its metadata."""
    served = load_model(graph_bundle.folder, graph_bundle.manifest_sha256, trusted_types(), name="credit", version=3)
    assert TensorForm(served).read(_body(example(served))).n == 1
    assert {one["name"] for one in metadata(served)["inputs"]} == set(served.contract.raw_columns)
