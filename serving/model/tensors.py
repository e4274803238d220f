"""Requests and answers of the Open Inference Protocol (version 2): a tensor per column, in JSON.

References
----------
https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

import msgspec

from core.feature_contract import FeatureContract
from core.prediction_ids import prediction_id
from core.row_limits import MAX_NUMBER
from serving.model.invalid import field_problem, look_alike
from serving.model.rows import KEY_NUMBERS, Date, Key, Number, RowReader, Rows, Text
from serving.model.served import ServedModel
from serving.problems import Problem

MAX_ID = 1024
"""Most characters of a request's id, which the answer repeats."""

IDS = "prediction_id"
"""Output with the ids of the predictions, for labels."""

_FLOATS = ("FP16", "FP32", "FP64")
_INTEGERS = {
    f"{kind}{bits}": (0 if kind == "UINT" else -(2 ** (bits - 1)), 2 ** (bits - (kind == "INT")) - 1)
    for kind in ("INT", "UINT")
    for bits in (8, 16, 32, 64)
}
DATATYPES = (*_FLOATS, *_INTEGERS, "BOOL", "BYTES")
_PLACE = re.compile(r"(.*) - at `\$(.*)`", re.DOTALL)
_NESTED = re.compile(rb"\s*\[\s*\[")


class _Tensor(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw
    parameters: dict[str, Any] = {}


class _Output(msgspec.Struct):
    name: str
    parameters: dict[str, Any] = {}


class _Request(msgspec.Struct):
    inputs: list[_Tensor]
    id: Annotated[str, msgspec.Meta(max_length=MAX_ID)] = ""
    outputs: list[_Output] = []
    parameters: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request says about its answer: its id, and the names of the outputs."""

    id: str
    outputs: tuple[str, ...]


def datatypes(contract: FeatureContract) -> dict[str, str]:
    """Return the datatype of each column's tensor, for the metadata; other types are taken too."""
    found = dict.fromkeys(contract.numeric, "FP64") | dict.fromkeys(contract.boolean, "BOOL")
    return found | dict.fromkeys(contract.dates + contract.categorical, "BYTES")


def outputs(model: ServedModel) -> dict[str, tuple[str, list[int]]]:
    """Return datatype and shape of each output; -1 stands for the number of rows."""
    classes = model.contract.classes
    answer = {"probabilities": ("FP64", [-1, len(classes)])} if classes else {"value": ("FP64", [-1])}
    return {**answer, IDS: ("BYTES", [-1])}


class TensorForm:
    """Reads the requests of the protocol and writes its answers.

    Parameters
    ----------
    model
        The version that answers.
    """

    content_type = b"application/json"

    def __init__(self, model: ServedModel) -> None:
        contract, reader = model.contract, model.reader
        self._reader: RowReader = reader
        self._types = {name: _types(contract, name) for name in reader.names}
        self._bounds = msgspec.Meta(min_length=1, max_length=reader.max_rows)
        self._decode = msgspec.json.Decoder(_Request).decode
        self._decoder: Callable[[Any, bool], msgspec.json.Decoder[Any]] = cache(self._list_decoder)
        self._outputs = outputs(model)
        self._head = {
            "model_name": model.name,
            "model_version": str(model.version),
            "parameters": {"variant": model.variant},
        }

    def read(self, body: bytes | bytearray) -> Rows:
        """Parse a request's body.

        Raises
        ------
        Problem
            It is not JSON, or a tensor has another name, datatype, shape or value than the contract allows.
        """
        try:
            request = self._decode(body)
        except msgspec.ValidationError as error:
            what, pointer = _placed(str(error))
            raise field_problem("inputs", what, pointer or "/inputs") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Problem("invalid-json", f"expected a JSON document: {error}") from None
        places = self._places(request.inputs)
        cells = [
            self._cells(request.inputs[places[name]], places[name]) if name in places else None for name in self._types
        ]
        wanted = Wanted(request.id, self._wanted(request.outputs))
        return self._reader.of_columns(cells, lambda row, name: _pointer(places.get(name), row), wanted)

    def _places(self, inputs: Sequence[_Tensor]) -> dict[str, int]:
        """Return the place of each column's tensor; each is there once, and nothing else."""
        places: dict[str, int] = {}
        for place, tensor in enumerate(inputs):
            if tensor.name not in self._types:
                detail = f"expected the name of a column{look_alike(tensor.name, self._reader.names)}"
                raise field_problem(tensor.name, detail, f"/inputs/{place}/name")
            if places.setdefault(tensor.name, place) != place:
                raise field_problem(tensor.name, "expected one tensor of this name", f"/inputs/{place}/name")
        for name in self._types:
            if name not in places and name != self._reader.key:
                raise field_problem(name, "expected a tensor of this name", "/inputs")
        return places

    def _cells(self, tensor: _Tensor, place: int) -> list[Any]:
        kind = self._types[tensor.name].get(tensor.datatype)
        if kind is None:
            detail = f"expected the datatype {' or '.join(self._types[tensor.name])}, found {tensor.datatype!r}"
            raise field_problem(tensor.name, detail, f"/inputs/{place}/datatype")
        is_nested = _NESTED.match(bytes(tensor.data)) is not None
        try:
            cells = self._decoder(kind, is_nested).decode(tensor.data)
        except msgspec.ValidationError as error:
            what, rest = _placed(str(error))
            raise field_problem(tensor.name, what, f"/inputs/{place}/data{rest}") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Problem("invalid-json", f"expected a JSON document: {error}") from None
        n = len(cells)
        if tensor.shape not in ([[n, 1]] if is_nested else [[n], [n, 1]]):
            detail = f"expected the shape [{n}] or [{n}, 1] for {n:,} values, found {tensor.shape[:8]}"
            raise field_problem(tensor.name, detail, f"/inputs/{place}/shape")
        if is_nested:
            cells = [cell for (cell,) in cells]
        # Rows by name have their numbers as floats too, in the log as well.
        if tensor.datatype in _INTEGERS and tensor.name != self._reader.key:
            return [None if cell is None else float(cell) for cell in cells]
        return list(cells)

    def _list_decoder(self, kind: Any, is_nested: bool) -> msgspec.json.Decoder[Any]:
        item: Any = tuple[kind] if is_nested else kind
        return msgspec.json.Decoder(Annotated[list[item], self._bounds])

    def _wanted(self, sent: Sequence[_Output]) -> tuple[str, ...]:
        for place, one in enumerate(sent):
            if one.name not in self._outputs:
                detail = f"expected the name of an output: {' or '.join(self._outputs)}"
                raise field_problem(one.name, detail, f"/outputs/{place}/name")
        return tuple(dict.fromkeys(one.name for one in sent)) or tuple(self._outputs)

    def write(self, rows: Rows, request_id: str, numbers: bytes, _answers: Sequence[Any]) -> bytes:
        """Return the document of an answer.

        Parameters
        ----------
        rows
            The request's rows; their note says what is wanted.
        request_id
            Id of the first prediction; the other ids follow from it.
        numbers
            JSON list of the answers.
        """
        wanted: Wanted = rows.note
        head = {**self._head, "id": wanted.id} if wanted.id else self._head
        found = [self._output(name, rows.n, request_id, numbers) for name in wanted.outputs]
        return msgspec.json.encode({**head, "outputs": found})

    def _output(self, name: str, n: int, request_id: str, numbers: bytes) -> dict[str, Any]:
        datatype, (_, *more) = self._outputs[name]
        data: Any = msgspec.Raw(b"[%b]" % numbers.translate(None, b"[]"))
        if name == IDS:
            data = [prediction_id(request_id, place) for place in range(n)]
        return {"name": name, "shape": [n, *more], "datatype": datatype, "data": data}


def _types(contract: FeatureContract, name: str) -> dict[str, Any]:
    """Return the types of a column's values by the datatypes of its tensor."""
    noted = contract.notation(name) is not None
    numbers = {**dict.fromkeys(_FLOATS, Number | None), **_integers(-MAX_NUMBER, MAX_NUMBER)}
    if name in contract.numeric:
        return numbers | ({"BYTES": Text | None} if noted else {})
    if name in contract.boolean:
        return {"BOOL": bool | None}
    if name in contract.dates:
        return {"BYTES": Date | None} | (numbers if noted else {})
    return {"BYTES": Text | None} if name in contract.categorical else {"BYTES": Key | None, **_integers(*KEY_NUMBERS)}


def _integers(low: float, high: float) -> Mapping[str, Any]:
    return {
        # msgspec compares integers with bounds of 64 bits and a sign.
        name: Annotated[int, msgspec.Meta(ge=int(max(low, first)), le=int(min(high, last, 2**63 - 1)))] | None
        for name, (first, last) in _INTEGERS.items()
    }


def _placed(message: str) -> tuple[str, str]:
    """Split a message of msgspec, ``what - at `$.inputs[0].shape```, into the reason and a JSON pointer."""
    found = _PLACE.fullmatch(message)
    if found is None:
        return message, ""
    return found[1], re.sub(r"[.\[]+", "/", found[2].replace("]", ""))


def _pointer(place: int | None, row: int | None) -> str:
    if place is None:
        return "/inputs"
    return f"/inputs/{place}/data" if row is None else f"/inputs/{place}/data/{row}"


def example(model: ServedModel) -> dict[str, Any]:
    """Return a request with the model's example row."""
    row, kinds = model.examples[0], datatypes(model.contract)
    return {
        "inputs": [
            {"name": name, "shape": [1], "datatype": kind, "data": [row.get(name)]} for name, kind in kinds.items()
        ]
    }


def metadata(model: ServedModel) -> dict[str, Any]:
    """Return a model's metadata as the protocol describes it; the classes are JSON text in its properties."""
    inputs = [{"name": name, "datatype": kind, "shape": [-1]} for name, kind in datatypes(model.contract).items()]
    found = [{"name": name, "datatype": kind, "shape": shape} for name, (kind, shape) in outputs(model).items()]
    properties = {"variant": model.variant, "data_version": model.manifest.data_version}
    if model.contract.classes:
        properties["classes"] = json.dumps(model.contract.classes)
    return {
        "name": model.name,
        "versions": [str(model.version)],
        "platform": {"onnx": "onnx_onnxv1", "skops": "sklearn_skops"}[model.kind],
        "inputs": inputs,
        "outputs": found,
        "properties": properties,
    }
