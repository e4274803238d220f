"""Bundles of a forger who can sign that are small, and would take gigabytes or hours to load."""

from __future__ import annotations

import io
import json
import os
import struct
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from serving.bundle.reader import GRAPH, PIPELINE
from serving.model.served import EXAMPLE, PROFILE
from tests.serving.bundles import rewrite_pipeline
from tests.serving.forgeries import (
    Forge,
    Node,
    as_attribute,
    change_graph,
    estimator_attributes,
    graph_with,
    listed,
    mapping,
    node,
    plain,
)

LOGISTIC = "sklearn.linear_model._logistic.LogisticRegression"


def _saved(array: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _array_node(file: str, path: str = "numpy.ndarray") -> Node:
    return node("NdArrayNode", path, type="numpy", file=file)


def _deflated(folder: Path) -> None:
    rewrite_pipeline(folder, extra={"zeros.npy": bytes(500_000_000)}, compression=zipfile.ZIP_DEFLATED)


def _deflated_in_silence(folder: Path) -> None:
    _deflated(folder)
    with zipfile.ZipFile(folder / PIPELINE, "a") as archive:
        archive.writestr("more", b"")
        for entry in archive.filelist:
            entry.file_size = 1


def _deflated_schema(folder: Path) -> None:
    with zipfile.ZipFile(folder / PIPELINE, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", b" " * 500_000_000)


def _named_often(folder: Path) -> None:
    def change(schema: Node) -> None:
        many = [_array_node("zeros") for _ in range(2000)]
        estimator_attributes(schema)["content"]["coef_"] = listed(*many)

    rewrite_pipeline(folder, change, extra={"zeros": bytes(500_000)})


def _overlapping(folder: Path) -> None:
    with zipfile.ZipFile(folder / PIPELINE, "a") as archive:
        archive.writestr("zeros", bytes(500_000))
        archive.filelist.extend([archive.getinfo("zeros")] * 2000)


def _crowded_directory(folder: Path) -> None:
    entry = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    n, start = 200_000, struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 0, 0, 0, 0, 0, 0, 1, 0) + b"a"
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 65_535, 65_535, len(entry) * n, len(start), 0)
    (folder / PIPELINE).write_bytes(start + entry * n + end)


def _crowded_archive_inside(folder: Path) -> None:
    _crowded_directory(folder)
    inside = (folder / PIPELINE).read_bytes()
    (folder / PIPELINE).write_bytes(b"")
    with zipfile.ZipFile(folder / PIPELINE, "w") as archive:
        schema = node("SparseMatrixNode", "scipy.sparse._matrix.spmatrix", type="scipy", file="matrix")
        archive.writestr("schema.json", json.dumps(schema | {"protocol": 2}))
        archive.writestr("matrix", inside)


def _crowd(loader: str, path: str, n: int, **more: Any) -> Forge:
    """Forge a list of very many small nodes."""
    return as_attribute(lambda: listed(*[node(loader, path, **more)] * n))


def _doubled(folder: Path) -> None:
    """Each list holds the one before twice, by its number."""

    def change(schema: Node) -> None:
        value: Node = listed(plain(1)) | {"__id__": 1_000_000}
        for number in range(1_000_001, 1_000_060):
            value = listed(value, {"__id__": number - 1}) | {"__id__": number}
        estimator_attributes(schema)["content"]["coef_"] = value

    rewrite_pipeline(folder, change)


def _multiplied(folder: Path) -> None:
    """Make an array of a list, a thousand times, of a list, a thousand times, of a thousand."""

    def change(schema: Node) -> None:
        inner = plain([0] * 1000) | {"__id__": 1_000_000}
        middle = listed(inner, *[{"__id__": 1_000_000}] * 999) | {"__id__": 1_000_001}
        content = [middle, *[{"__id__": 1_000_001}] * 999]
        estimator_attributes(schema)["content"]["coef_"] = node(
            "NdArrayNode", "numpy.ndarray", type="json", content=content, shape=listed(plain(1), plain(1), kind="tuple")
        )

    rewrite_pipeline(folder, change)


def _matrix_inside() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("format.npy", _saved(np.array(b"csr")))
        for name in ("data", "indices", "indptr"):
            archive.writestr(f"{name}.npy", _saved(np.zeros(20_000_000)))
        archive.writestr("shape.npy", _saved(np.array([1, 1])))
    return buffer.getvalue()


def _claiming_header() -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": (1 << 34,)})
    return buffer.getvalue()


def _pool_of_numbers() -> Node:
    bits = mapping(bit_generator=plain("PCG64"), state=mapping(state=plain(1), inc=plain(1)))
    seed = mapping(entropy=plain(1), spawn_key=plain([]), pool_size=plain(1_000_000))
    content = {"bit_generator": bits, "seed_seq": seed}
    return node("RandomGeneratorNode", "numpy.random._generator.Generator", content=content)


def _deep_schema(folder: Path) -> None:
    with zipfile.ZipFile(folder / PIPELINE, "w") as archive:
        archive.writestr("schema.json", b'{"a":' * 300_000 + b"1" + b"}" * 300_000)


def _deep_nodes(folder: Path) -> None:
    def change(schema: Node) -> None:
        value = plain(1)
        for _ in range(200):
            value = listed(value)
        estimator_attributes(schema)["content"]["coef_"] = value

    rewrite_pipeline(folder, change)


def _schema_of_lists(folder: Path) -> None:
    with zipfile.ZipFile(folder / PIPELINE, "w") as archive:
        archive.writestr("schema.json", b"[" + b"[]," * 1_000_000 + b"1]")


def _wide_text(folder: Path) -> None:
    text = "x" * 8_000_000 + "\U0001f4a3"
    as_attribute(lambda: plain(text))(folder)


PIPELINES: dict[str, Forge] = {
    "deflated": _deflated,
    "deflated, which it does not say": _deflated_in_silence,
    "deflated schema": _deflated_schema,
    "named often": _named_often,
    "overlapping": _overlapping,
    "crowded directory": _crowded_directory,
    "crowded archive in the archive": _crowded_archive_inside,
    "matrix in a deflated archive": as_attribute(
        lambda: node("SparseMatrixNode", "scipy.sparse._matrix.spmatrix", type="scipy", file="matrix"),
        matrix=_matrix_inside,
    ),
    "crowd of estimators": _crowd("ObjectNode", LOGISTIC, 20_000),
    "crowd of functions": _crowd("FunctionNode", "numpy.exp", 20_000),
    "crowd of lists": _crowd("ListNode", "builtins.list", 30_000, content=[]),
    "crowd of values": as_attribute(lambda: plain([[]] * 1_000_000)),
    "doubled": _doubled,
    "multiplied": _multiplied,
    "bytes by number": as_attribute(
        lambda: _array_node("size", "numpy.bytes_"), size=lambda: _saved(np.array(1 << 31))
    ),
    "void by number": as_attribute(lambda: _array_node("size", "numpy.void"), size=lambda: _saved(np.array(1 << 30))),
    "array that claims more": as_attribute(lambda: _array_node("array"), array=_claiming_header),
    "bytes changed one by one": as_attribute(
        lambda: node("BytearrayNode", "builtins.bytearray", file="bytes"), bytes=lambda: bytes(8_000_000)
    ),
    "pool of random numbers": as_attribute(_pool_of_numbers),
    "deep schema": _deep_schema,
    "deep nodes": _deep_nodes,
    "schema of lists": _schema_of_lists,
    "wide text": _wide_text,
}
"""Of stored pipelines."""


def _chain(*nodes: onnx.NodeProto, weights: dict[str, np.ndarray[Any, Any]] | None = None) -> Forge:
    """Forge a graph with further nodes, the last of which gives an output."""

    def change(model: onnx.ModelProto) -> None:
        for name, array in (weights or {}).items():
            model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
        model.graph.node.extend(nodes)
        model.graph.output.insert(0, helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None))

    return graph_with(change)


def _ints(*values: int) -> np.ndarray[Any, Any]:
    return np.array(values, dtype="int64")


def _floats(*values: float) -> np.ndarray[Any, Any]:
    return np.array(values, dtype="float32")


def _scalar(value: float) -> np.ndarray[Any, Any]:
    return np.array(value, dtype="float32")


def _one(operator: str, *inputs: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, list(inputs), ["forged"], **attributes)


def _sums(source: str, n: int = 30, **attributes: Any) -> list[onnx.NodeProto]:
    names = [source, *(f"twice{number}" for number in range(n)), "forged"]
    return [
        helper.make_node("Concat", [before, before], [after], **{"axis": 0, **attributes})
        for before, after in pairwise(names)
    ]


def _doubled_rows(folder: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.node.extend(_sums(model.graph.input[0].name))
        model.graph.output.insert(0, helper.make_tensor_value_info("forged", TensorProto.FLOAT, None))

    change_graph(folder, change)


def _many_constants(n: int) -> list[onnx.NodeProto]:
    """Each takes 11 MiB, and only one lives at a time, unless all are computed ahead."""
    made = [helper.make_node("ConstantOfShape", ["size"], [f"big{number}"]) for number in range(n)]
    sums = [helper.make_node("ReduceSum", [f"big{number}"], [f"sum{number}"]) for number in range(n)]
    pairs = [node for pair in zip(made, sums, strict=True) for node in pair]
    return [*pairs, helper.make_node("Sum", [f"sum{number}" for number in range(n)], ["forged"])]


def _squares(n: int) -> list[onnx.NodeProto]:
    names = ["square", *(f"product{number}" for number in range(n)), "forged"]
    return [helper.make_node("MatMul", [before, before], [after]) for before, after in pairwise(names)]


def _multiplications(n: int) -> list[onnx.NodeProto]:
    names = ["row", *(f"product{number}" for number in range(n)), "forged"]
    return [helper.make_node("MatMul", [before, "square"], [after]) for before, after in pairwise(names)]


def _row_and_square() -> dict[str, np.ndarray[Any, Any]]:
    return {"row": np.ones((1, 500), "float32"), "square": np.eye(500, dtype="float32")}


def _appended(number: int, part: bytes) -> Forge:
    """Forge a graph's serialised form, by a field of the graph."""

    def forge(folder: Path) -> None:
        model = onnx.load_model_from_string((folder / GRAPH).read_bytes())
        graph = model.graph.SerializeToString() + part
        model.ClearField("graph")
        tag = bytes([(number << 3) | 2])
        (folder / GRAPH).write_bytes(model.SerializeToString() + tag + _varint(len(graph)) + graph)

    return forge


def _varint(value: int) -> bytes:
    content = b""
    while value > 127:
        content += bytes([value & 127 | 128])
        value >>= 7
    return content + bytes([value])


def _claiming_weights(model: onnx.ModelProto) -> None:
    model.graph.initializer.add(name="more", data_type=TensorProto.FLOAT, dims=[1 << 20, 1 << 20], raw_data=b"1234")


def _many_targets(model: onnx.ModelProto) -> None:
    trees = [("nodes_treeids", [0]), ("nodes_nodeids", [0]), ("nodes_featureids", [0]), ("nodes_values", [0.0])]
    more = [("target_treeids", [0]), ("target_nodeids", [0]), ("target_ids", [0]), ("target_weights", [1.0])]
    made = helper.make_node(
        "TreeEnsembleRegressor",
        [model.graph.input[0].name],
        ["forged"],
        domain="ai.onnx.ml",
        n_targets=1_000_000_000,
        nodes_modes=["LEAF"],
        nodes_truenodeids=[0],
        nodes_falsenodeids=[0],
        **dict(trees + more),
    )
    model.graph.node.append(made)
    model.graph.output.insert(0, helper.make_tensor_value_info("forged", TensorProto.FLOAT, None))


def _crowd_of_nodes(model: onnx.ModelProto) -> None:
    first = model.graph.input[0].name
    model.graph.node.extend(helper.make_node("Identity", [first], [f"n{number}"]) for number in range(60_000))


def _crowd_of_texts(model: onnx.ModelProto) -> None:
    made = helper.make_node("OneHotEncoder", [model.graph.input[-1].name], ["forged"], domain="ai.onnx.ml")
    made.attribute.append(helper.make_attribute("cats_strings", ["x"] + [""] * 2_000_000))
    model.graph.node.append(made)


def _deep_type(folder: Path) -> None:
    part = b""
    for _ in range(20_000):
        part = b"\x22" + _varint(len(part) + 1 + len(_varint(len(part)))) + b"\x0a" + _varint(len(part)) + part
        if len(part) > 100_000:
            break
    _appended(7, b"\x5a" + _varint(len(part) + 2) + b"\x12" + _varint(len(part)) + part)(folder)


def _sparse_graph(folder: Path) -> None:
    os.truncate(folder / GRAPH, 190_000_000)


def _oversized_graph(folder: Path) -> None:
    os.truncate(folder / GRAPH, 250_000_000)


GRAPHS: dict[str, Forge] = {
    "constant": _chain(_one("ConstantOfShape", "size"), weights={"size": _ints(1 << 20, 1 << 10)}),
    "constants, one after the other": _chain(*_many_constants(200), weights={"size": _ints(2_800_000)}),
    "expanded": _chain(_one("Expand", "seed", "size"), weights={"seed": _floats(1), "size": _ints(1 << 30)}),
    "tiled": _chain(_one("Tile", "seed", "size"), weights={"seed": _floats(1), "size": _ints(1 << 30)}),
    "range": _chain(
        _one("Range", "from", "to", "step"),
        weights={"from": _scalar(0), "to": _scalar(1 << 30), "step": _scalar(1)},
    ),
    "resized": _chain(
        _one("Resize", "seed", "", "scales"),
        weights={"seed": np.ones((1, 1), "float32"), "scales": _floats(1 << 15, 1 << 15)},
    ),
    "unit matrix": _chain(_one("EyeLike", "seed"), weights={"seed": np.zeros((1, 1), "float32")}),
    "random": _chain(helper.make_node("RandomNormal", [], ["forged"], shape=[1 << 30])),
    "padded": _chain(_one("Pad", "seed", "size"), weights={"seed": _floats(1), "size": _ints(0, 1 << 30)}),
    "picked": _chain(
        _one("Gather", "seed", "places"),
        weights={"seed": np.ones((1, 100_000), "float32"), "places": np.zeros(100_000, "int64")},
    ),
    "doubled": _chain(*_sums("seed"), weights={"seed": np.ones(10, "float32")}),
    "doubled rows": _doubled_rows,
    "outer product": _chain(
        _one("MatMul", "column", "row"),
        weights={"column": np.ones((100_000, 1), "float32"), "row": np.ones((1, 100_000), "float32")},
    ),
    "outer sum": _chain(
        _one("Add", "column", "row"),
        weights={"column": np.ones((100_000, 1), "float32"), "row": np.ones((1, 100_000), "float32")},
    ),
    "hours of multiplications": _chain(*_squares(2_000), weights={"square": np.eye(700, dtype="float32")}),
    "weights packed again and again": _chain(*_multiplications(2_000), weights=_row_and_square()),
    "targets": graph_with(_many_targets),
    "weights that claim more": graph_with(_claiming_weights),
    "crowd of empty nodes": _appended(7, b"\x0a\x00" * 1_000_000),
    "crowd of nodes": graph_with(_crowd_of_nodes),
    "crowd of empty values": _appended(7, b"\x6a\x00" * 1_000_000),
    "crowd of empty weights": _appended(7, b"\x2a\x00" * 1_000_000),
    "crowd of empty attributes": _appended(7, b"\x0a" + _varint(2_000_000) + b"\x2a\x00" * 1_000_000),
    "crowd of texts": graph_with(_crowd_of_texts),
    "deep type": _deep_type,
    "hole": _sparse_graph,
    "oversized": _oversized_graph,
}
"""Of graphs."""


def _document(name: str, content: bytes) -> Forge:
    def forge(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return forge


def _changed(name: str, **changes: Any) -> Forge:
    def forge(folder: Path) -> None:
        path = folder / name
        content = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(content | changes))

    return forge


LISTS = b"[" + b"[]," * 3_000_000 + b"1]"
DEEP = b'{"a":' * 1_000_000
NUMBERS = b"[" + b"1," * 5_000_000 + b"1]"
NESTED = b'{"a":' + LISTS + b"}"

DOCUMENTS: dict[str, Forge] = {
    "contract of lists": _document("contract.json", LISTS),
    "contract of numbers": _document("contract.json", NUMBERS),
    "contract that is deep": _document("contract.json", DEEP),
    "contract of many classes": _changed("contract.json", classes=[str(number) for number in range(500_000)]),
    "contract of many columns": _changed("contract.json", numeric=[f"c{number}" for number in range(100_000)]),
    "facts of lists": _document("onnx.json", LISTS),
    "profile of lists": _document(PROFILE, NESTED),
    "profile that is deep": _document(PROFILE, DEEP),
    "profile of many edges": _changed(PROFILE, prediction={"edges": list(range(1_000_000))}),
    "profile of dictionaries": _document(PROFILE, b'{"a":[' + b'{"":0},' * 1_500_000 + b"1]}"),
    "profile of a wide text": _document(PROFILE, b'{"a":"' + b"x" * 15_000_000 + "\U0001f4a3".encode() + b'"}'),
    "profile of an escaped text": _document(PROFILE, b'{"a":"' + b"x" * 15_000_000 + rb"\ud83d\udca3" + b'"}'),
    "profile of a long number": _document(PROFILE, b'{"a":' + b"9" * 10_000_000 + b"}"),
    "example of many rows": _changed(EXAMPLE, data=[[None, None, None, None]] * 1_000_000),
    "example of many columns": _changed(EXAMPLE, columns=["a"] * 1_000_000, data=[]),
    "example of numbers": _document(EXAMPLE, NUMBERS),
}
"""Of documents that are read before or beside the model."""
