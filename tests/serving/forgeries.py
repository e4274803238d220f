"""Bundles of a forger who can sign: every hash fits, and the files hold code, or what leads to code."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from serving.bundle.reader import GRAPH, PIPELINE
from tests.serving.bundles import rewrite_pipeline

Forge = Callable[[Path], None]
Node = dict[str, Any]

MARKER_VARIABLE = "PERENNIAL_TEST_MARKER"


def node(loader: str, path: str, **more: Any) -> Node:
    """Return a node of a skops schema that names a type by its dotted path."""
    module, _, name = path.rpartition(".")
    return {"__class__": name, "__module__": module, "__loader__": loader, **more}


def plain(value: object) -> Node:
    """Return a node that holds what JSON can."""
    return node("JsonNode", "builtins.str", content=json.dumps(value), is_json=True)


def listed(*items: Node, kind: str = "list") -> Node:
    """Return a list's or a tuple's node."""
    return node("ListNode" if kind == "list" else "TupleNode", f"builtins.{kind}", content=list(items))


def mapping(**items: Node) -> Node:
    """Return a dictionary's node."""
    types = listed(*[node("TypeNode", "builtins.str") for _ in items])
    return node("DictNode", "builtins.dict", content=items, key_types=types)


class Mark:
    """Leaves the marker when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (_touch(),)


def _touch() -> str:
    return f"touch '{os.environ[MARKER_VARIABLE]}'"


def _saved(array: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def as_attribute(value: Callable[[], Node], name: str = "coef_", **entries: Callable[[], bytes]) -> Forge:
    """Forge a pipeline whose estimator has a node as an attribute, in a file with further entries."""

    def forge(folder: Path) -> None:
        def change(schema: Node) -> None:
            estimator_attributes(schema)["content"][name] = value()

        rewrite_pipeline(folder, change, extra={f"{entry}": content() for entry, content in entries.items()})

    return forge


def estimator_attributes(schema: Node) -> Node:
    """Return the node of the attributes of a pipeline's estimator."""
    steps = schema["content"]["content"]["steps"]["content"]
    attributes: Node = steps[-1]["content"][1]["content"]
    return attributes


def as_root(value: Callable[[], Node]) -> Forge:
    """Forge a file that holds a node instead of the pipeline."""

    def forge(folder: Path) -> None:
        def change(schema: Node) -> None:
            kept = {name: schema[name] for name in ("protocol", "_skops_version")}
            schema.clear()
            schema.update(value() | kept)

        rewrite_pipeline(folder, change)

    return forge


def with_protocol(number: int, forge: Forge) -> Forge:
    """Say that a file was written by an older skops, whose nodes are read by other code."""

    def forge_older(folder: Path) -> None:
        forge(folder)
        rewrite_pipeline(folder, lambda schema: schema.update(protocol=number))

    return forge_older


def _call_of_key(folder: Path) -> None:
    def change(schema: Node) -> None:
        expression = f"__import__('os').system({_touch()!r})"
        types = listed(node("TypeNode", "builtins.eval"))
        estimator_attributes(schema)["content"]["coef_"] = node(
            "DictNode", "builtins.dict", content={expression: plain(1)}, key_types=types
        )

    rewrite_pipeline(folder, change)


def _generator(name: str) -> Node:
    seed = mapping(entropy=plain(1), spawn_key=plain([]), pool_size=plain(4))
    content = {"bit_generator": mapping(bit_generator=plain(name)), "seed_seq": seed}
    return node("RandomGeneratorNode", "numpy.random._generator.Generator", content=content)


def _reduced(loader: str, path: str) -> Node:
    arguments = listed(plain(_touch()), kind="tuple")
    return node(loader, path, __reduce__={"args": arguments}, content=mapping())


def _pickled_in_archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("format.npy", _saved(np.array(b"csr")))
        archive.writestr("data.npy", _saved(np.array([Mark()], dtype=object)))
    return buffer.getvalue()


def _partial() -> Node:
    content = {
        "func": node("FunctionNode", "posix.system"),
        "args": listed(plain(_touch()), kind="tuple"),
        "kwds": mapping(),
        "namespace": mapping(),
    }
    return node("PartialNode", "functools.partial", content=content)


def _loaders_own_list(folder: Path) -> None:
    as_root(lambda: node("ObjectNode", "tests.serving.bundle.marker.Marker"))(folder)
    flavor = folder / "MLmodel"
    trusted = "skops_trusted_types:\n    - tests.serving.bundle.marker.Marker"
    flavor.write_text(flavor.read_text().replace("skops_trusted_types:", trusted))


PIPELINES: dict[str, Forge] = {
    "function": as_attribute(lambda: node("FunctionNode", "posix.system")),
    "function of a trusted name's module": as_attribute(lambda: node("FunctionNode", "numpy.load")),
    "import": as_attribute(lambda: node("FunctionNode", "importlib.import_module")),
    "eval as type": as_attribute(lambda: node("TypeNode", "builtins.eval")),
    "eval as key's type": _call_of_key,
    "process": as_attribute(
        lambda: node(
            "ConstructorFromReduceNode",
            "subprocess.Popen",
            content=listed(listed(plain("/bin/sh"), plain("-c"), plain(_touch())), kind="tuple"),
        )
    ),
    "partial": as_attribute(_partial),
    "methodcaller": as_attribute(
        lambda: node("OperatorFuncNode", "operator.methodcaller", attrs=listed(plain("system"), kind="tuple"))
    ),
    "attrgetter": as_attribute(
        lambda: node("OperatorFuncNode", "operator.attrgetter", attrs=listed(plain("__class__"), kind="tuple"))
    ),
    "method": as_attribute(
        lambda: node(
            "MethodNode",
            "sklearn.linear_model._logistic.LogisticRegression",
            content={
                "obj": node("ObjectNode", "sklearn.linear_model._logistic.LogisticRegression"),
                "func": "__reduce_ex__",
            },
        )
    ),
    "method of a builtin": as_attribute(
        lambda: node("MethodNode", "builtins.str", content={"obj": plain(_touch()), "func": "format"})
    ),
    "reduced tree": as_attribute(lambda: _reduced("TreeNode", "posix.system")),
    "reduced loss": as_attribute(lambda: _reduced("LossNode", "posix.system")),
    "reduced object": as_attribute(lambda: _reduced("ObjectNode", "posix.system")),
    "class by import": as_attribute(lambda: node("ObjectNode", "tests.serving.bundle.marker.Marker")),
    "type by import": as_attribute(lambda: node("TypeNode", "tests.serving.bundle.marker.Marker")),
    "function by import": as_attribute(lambda: node("FunctionNode", "tests.serving.bundle.marker.Marker")),
    "list by import": as_attribute(lambda: node("ListNode", "tests.serving.bundle.marker.Marker", content=[])),
    "array by import": as_attribute(
        lambda: node("NdArrayNode", "tests.serving.bundle.marker.Marker", type="numpy", file="one"),
        one=lambda: _saved(np.zeros(1)),
    ),
    "default by import": as_attribute(
        lambda: node(
            "DefaultDictNode",
            "collections.defaultdict",
            content={"main": mapping(), "default_factory": node("TypeNode", "tests.serving.bundle.marker.Marker")},
        )
    ),
    "pickle in an array": as_attribute(
        lambda: node("NdArrayNode", "numpy.ndarray", type="numpy", file="array"),
        array=lambda: _saved(np.array([Mark()], dtype=object)),
    ),
    "pickle for an array": as_attribute(
        lambda: node("NdArrayNode", "numpy.ndarray", type="numpy", file="array"),
        array=lambda: pickle.dumps(Mark()),
    ),
    "pickle in a sparse matrix": as_attribute(
        lambda: node("SparseMatrixNode", "scipy.sparse._matrix.spmatrix", type="scipy", file="matrix"),
        matrix=_pickled_in_archive,
    ),
    "random numbers": as_attribute(lambda: _generator("test")),
    "random numbers of protocol 1": with_protocol(1, as_attribute(lambda: _generator("test"))),
    "function of protocol 0": with_protocol(
        0,
        as_attribute(
            lambda: node("FunctionNode", "scipy.special.expit", content={"module_path": "posix", "function": "system"})
        ),
    ),
    "loader nobody knows": as_attribute(lambda: node("PickleNode", "builtins.str", content="cos\nsystem\n.")),
    "loader of a library": as_attribute(lambda: _reduced("QuantileForestNode", "tests.serving.bundle.marker.Marker")),
    "reads files that rows name": as_attribute(
        lambda: node("ObjectNode", "sklearn.feature_extraction.text.CountVectorizer", content=mapping())
    ),
    "root": as_root(lambda: node("ObjectNode", "tests.serving.bundle.marker.Marker")),
    "its own list of trusted types": _loaders_own_list,
    "transformer that calls": as_attribute(
        lambda: node(
            "ObjectNode",
            "sklearn.preprocessing._function_transformer.FunctionTransformer",
            content=mapping(func=node("FunctionNode", "posix.system")),
        )
    ),
}
"""Of stored pipelines. All must be refused."""


def _loader_module(folder: Path) -> None:
    (folder / "code").mkdir()
    (folder / "code" / "loader.py").write_text(f"import os\nos.system({_touch()!r})\n")
    flavor = folder / "MLmodel"
    flavor.write_text(
        f"{flavor.read_text()}\n  python_function:\n    loader_module: loader\n    code: code\n    data: .\n"
    )


def _pickle_beside(folder: Path) -> None:
    (folder / "model.pkl").write_bytes(pickle.dumps(Mark()))
    flavor = folder / "MLmodel"
    flavor.write_text(flavor.read_text().replace("pickled_model:", "pickled_model: model.pkl #"))


def _environment(folder: Path) -> None:
    for name in ("conda.yaml", "python_env.yaml", "requirements.txt"):
        (folder / name).write_text(f"!!python/object/apply:os.system [{_touch()!r}]\n")


def _modules_beside(folder: Path) -> None:
    for name in ("onnxruntime.py", "skops.py", "sitecustomize.py", "conftest.py", "numpy.py"):
        (folder / name).write_text(f"import os\nos.system({_touch()!r})\n")


CALCULATIONS: dict[str, Forge] = {
    "method replaced by an attribute": as_attribute(lambda: node("FunctionNode", "numpy.exp"), name="predict_proba"),
}
"""Load: of NumPy's and SciPy's functions that skops trusts, all calculate and none does anything else."""

HARMLESS: dict[str, Forge] = {
    "MLmodel with a loader and code": _loader_module,
    "pickle beside": _pickle_beside,
    "environment": _environment,
    "modules beside": _modules_beside,
}
"""Load, and cannot do anything: serving reads none of these files, imports nothing from there, and calls no loader."""


def change_graph(folder: Path, change: Callable[[onnx.ModelProto], None]) -> None:
    """Rewrite a bundle's graph."""
    model = onnx.load_model_from_string((folder / GRAPH).read_bytes())
    change(model)
    (folder / GRAPH).write_bytes(model.SerializeToString())


def graph_with(change: Callable[[onnx.ModelProto], None]) -> Forge:
    """Forge a graph."""
    return lambda folder: change_graph(folder, change)


def with_node(operator: str, *, domain: str = "", version: int = 1, **attributes: Any) -> Forge:
    """Forge a graph that has one node more, whose output is an output."""

    def change(model: onnx.ModelProto) -> None:
        first = model.graph.input[0].name
        model.graph.node.append(helper.make_node(operator, [first], ["forged"], domain=domain, **attributes))
        model.graph.output.insert(0, helper.make_tensor_value_info("forged", TensorProto.FLOAT, None))
        if domain not in {opset.domain for opset in model.opset_import}:
            model.opset_import.append(helper.make_opsetid(domain, version))

    return graph_with(change)


def external(place: Callable[[Path], str]) -> Forge:
    """Forge a graph whose weights lie elsewhere."""

    def forge(folder: Path) -> None:
        def change(model: onnx.ModelProto) -> None:
            tensor = model.graph.initializer.add(name="outside", data_type=TensorProto.FLOAT, dims=[4])
            tensor.data_location = TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value=place(folder))
            model.graph.node.append(helper.make_node("Identity", ["outside"], ["forged"]))
            model.graph.output.insert(0, helper.make_tensor_value_info("forged", TensorProto.FLOAT, None))

        change_graph(folder, change)

    return forge


def _pipe(folder: Path) -> str:
    path = folder.with_name("pipe")
    os.mkfifo(path)
    return str(path)


def _body(name: str = "body") -> onnx.GraphProto:
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
    output = helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, [1])
    return helper.make_graph([helper.make_node("Identity", ["one"], [f"{name}_out"])], name, [], [output], [one])


def _function(model: onnx.ModelProto) -> None:
    made = helper.make_node("Identity", ["x"], ["y"])
    opsets = [helper.make_opsetid("", 15)]
    model.functions.append(helper.make_function("forged", "call", ["x"], ["y"], [made], opsets))


def _metadata(model: onnx.ModelProto) -> None:
    model.metadata_props.add(key="session.load_model_format", value="ORT")


def _ort_format(folder: Path) -> None:
    (folder / GRAPH).write_bytes(b"\x18\0\0\0ORTM" + bytes(2000))


def _sparse_weights(model: onnx.ModelProto) -> None:
    values = helper.make_tensor("sparse", TensorProto.FLOAT, [1], [1.0])
    places = helper.make_tensor("places", TensorProto.INT64, [1], [0])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [1 << 40]))


def _sequence(model: onnx.ModelProto) -> None:
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    model.graph.input.append(helper.make_value_info("sequence", kind))


def _link_as_graph(folder: Path) -> None:
    shutil.move(folder / GRAPH, folder.with_name("outside"))
    (folder / GRAPH).symlink_to(folder.with_name("outside"))


GRAPHS: dict[str, Forge] = {
    "operator of a library": with_node("Run", domain="evil.example"),
    "operator of Microsoft's that reads a file": with_node(
        "EPContext", domain="com.microsoft", embed_mode=0, ep_cache_context="/etc/passwd"
    ),
    "operator that calls Python": with_node("PythonOp", domain="com.microsoft", name="os.system"),
    "operator of training": with_node("Adam", domain="ai.onnx.preview.training"),
    "operator nobody exports": with_node("RandomNormalLike"),
    "texts made": with_node("LabelEncoder", domain="ai.onnx.ml", keys_floats=[0.0], values_strings=["x"]),
    "branch": with_node("If", then_branch=_body("one"), else_branch=_body("two")),
    "loop": with_node("Loop", body=_body()),
    "scan": with_node("Scan", body=_body(), num_scan_inputs=1),
    "branch behind a known operator": with_node("Identity", then_branch=_body()),
    "function": graph_with(_function),
    "training": graph_with(lambda model: model.training_info.add().algorithm.CopyFrom(_body())),
    "metadata": graph_with(_metadata),
    "weights in a file above": external(lambda _: "../../../../../../etc/passwd"),
    "weights at an absolute path": external(lambda _: "/etc/passwd"),
    "weights in a file of the bundle": external(lambda _: PIPELINE),
    "weights without end": external(lambda _: "/dev/zero"),
    "weights from a pipe": external(_pipe),
    "sparse weights": graph_with(_sparse_weights),
    "sequence": graph_with(_sequence),
    "Microsoft's own format": _ort_format,
    "link": _link_as_graph,
}
"""Of graphs. All must be refused."""
