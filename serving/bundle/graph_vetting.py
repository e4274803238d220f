"""Check an ONNX graph before ONNX Runtime loads it: only the content of Perennial's own exports is allowed.

ONNX Runtime loads far more than scikit-learn's models need: tensors from other files, loops, functions, operators of
other libraries, and operators that expand a few bytes into gigabytes. An allow-list of names refuses all of them.
Chains of allowed operators can still grow; :func:`vetted` returns whether the graph alone excludes that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from mmap import mmap

from serving.bundle.onnx_wire import FIXED32, LENGTH, VARINT, Entry, Message, Span, Values, Wire, as_span

MAX_GRAPH_BYTES = 200_000_000

FREE_BYTES = 12_000_000
BYTES_PER_BYTE = 4
MOST_BYTES = 100_000_000
"""Memory for a graph's parts: a fixed allowance and bytes per byte of the file, up to a maximum; trees are exempt."""

FREE_WEIGHTS = 1_000_000
"""Allowed uses of weights in addition to one per byte of the file; an export uses a large weight once or twice."""

MAX_ELEMENTS = 500_000
"""Elements of a value per row, up to which a graph of :data:`PASSING` operators needs no trial."""

MAX_TARGETS = 10_000


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


OPERATORS = {
    # Operators that skl2onnx 1.20 writes for the estimators of scikit-learn 1.9 whose graphs equal the pipelines. Only
    # ConstantOfShape creates elements that its inputs do not have.
    "": _words(
        "Abs Add And ArgMax ArgMin ArrayFeatureExtractor Cast Clip Concat ConstantOfShape CumSum Div Equal Erf Exp "
        "Flatten Gather GatherElements Gemm Greater GreaterOrEqual Identity Less LessOrEqual Log MatMul Max Mean Min "
        "Mul Neg Not Or Pow Reciprocal ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceSum ReduceSumSquare Relu "
        "Reshape Shape Sigmoid Slice Softmax Sqrt Squeeze Sub Sum Tanh TopK Transpose Unsqueeze Where"
    ),
    "ai.onnx.ml": _words(
        "ArrayFeatureExtractor Binarizer Imputer LabelEncoder LinearClassifier LinearRegressor Normalizer "
        "OneHotEncoder SVMClassifier SVMRegressor Scaler TreeEnsembleClassifier TreeEnsembleRegressor"
    ),
}

ATTRIBUTES = _words(
    # None of them creates strings: a long string, repeated, takes gigabytes, which the count of elements does not show.
    "alpha axes axis base_values beta cats_int64s cats_strings class_ids class_nodeids class_treeids class_weights "
    "classlabels_int64s classlabels_ints coefficients default_float default_int64 imputed_value_floats intercepts "
    "keepdims kernel_params kernel_type keys_floats keys_int64s keys_strings largest multi_class n_supports n_targets "
    "nodes_falsenodeids nodes_featureids nodes_hitrates nodes_missing_value_tracks_true nodes_modes nodes_nodeids "
    "nodes_treeids nodes_truenodeids nodes_values norm offset perm post_transform prob_a prob_b replaced_value_float "
    "rho scale sorted support_vectors target_ids target_nodeids target_treeids target_weights threshold to transA "
    "transB value values_floats values_int64s vectors_per_class zeros"
)

PASSING = _words(
    "ArrayFeatureExtractor Cast Concat Flatten Identity Imputer LabelEncoder Reshape TreeEnsembleClassifier "
    "TreeEnsembleRegressor"
)
"""Operators whose output has at most the elements of their inputs and attributes; tree models need no others."""

FLOAT, INT32, INT64, TEXT, BOOL, DOUBLE = 1, 6, 7, 8, 9, 11
NUMBERS = frozenset({FLOAT, INT32, INT64, BOOL, DOUBLE})

_MODEL = Message(
    {
        1: Entry("ir_version", VARINT),
        2: Entry("producer_name", LENGTH),
        3: Entry("producer_version", LENGTH),
        4: Entry("domain", LENGTH),
        5: Entry("model_version", VARINT),
        6: Entry("doc_string", LENGTH),
        7: Entry("graph", LENGTH),
        8: Entry("opset", LENGTH, many=True),
    }
)
_OPSET = Message({1: Entry("domain", LENGTH), 2: Entry("version", VARINT)})
# Costs in bytes of memory, measured with ONNX Runtime 1.32: 2 to 5 kB per node, 2 kB per input.
_GRAPH = Message(
    {
        1: Entry("node", LENGTH, many=True, cost=5000),
        2: Entry("name", LENGTH),
        5: Entry("initializer", LENGTH, many=True, cost=1500),
        10: Entry("doc_string", LENGTH),
        11: Entry("input", LENGTH, many=True, cost=1500),
        12: Entry("output", LENGTH, many=True, cost=1500),
        13: Entry("value_info", LENGTH, many=True, cost=1500),
    }
)
_NODE = Message(
    {
        1: Entry("input", LENGTH, many=True),
        2: Entry("output", LENGTH, many=True),
        3: Entry("name", LENGTH),
        4: Entry("operator", LENGTH),
        5: Entry("attribute", LENGTH, many=True, cost=900),
        6: Entry("doc_string", LENGTH),
        7: Entry("domain", LENGTH),
    }
)
_ATTRIBUTE = Message(
    {
        1: Entry("name", LENGTH),
        2: Entry("float", FIXED32),
        3: Entry("integer", VARINT),
        4: Entry("text", LENGTH),
        5: Entry("tensor", LENGTH),
        7: Entry("floats", FIXED32, many=True, kept=False),
        8: Entry("integers", VARINT, many=True, kept=False),
        9: Entry("texts", LENGTH, many=True, cost=100, kept=False),
        13: Entry("doc_string", LENGTH),
        20: Entry("type", VARINT),
    },
    runs=True,
)
_TENSOR = Message(
    {
        1: Entry("dimension", VARINT, many=True),
        2: Entry("type", VARINT),
        4: Entry("floats", LENGTH),
        5: Entry("int32s", LENGTH),
        7: Entry("int64s", LENGTH),
        8: Entry("name", LENGTH),
        9: Entry("raw", LENGTH),
        10: Entry("doubles", LENGTH),
        12: Entry("doc_string", LENGTH),
    }
)
_VALUE = Message({1: Entry("name", LENGTH), 2: Entry("type", LENGTH), 3: Entry("doc_string", LENGTH)})
_TYPE = Message({1: Entry("tensor", LENGTH)})
_TENSOR_TYPE = Message({1: Entry("element", VARINT), 2: Entry("shape", LENGTH)})
_SHAPE = Message({1: Entry("dimension", LENGTH, many=True)})
_DIMENSION = Message({1: Entry("value", VARINT), 2: Entry("name", LENGTH)})


def vetted(content: bytes | mmap) -> bool:
    """Refuse a graph that Perennial's export would not write.

    Returns
    -------
    bool
        Whether none of its values can be large, for any input; if False, a trial has to show it.

    Raises
    ------
    ValueError
        It contains something that is not allowed, or is too large.
    """
    if len(content) > MAX_GRAPH_BYTES:
        raise ValueError(f"expected at most {MAX_GRAPH_BYTES:,} bytes, found {len(content):,}")
    wire = Wire(content, min(FREE_BYTES + BYTES_PER_BYTE * len(content), MOST_BYTES))
    model = wire.message((0, len(content)), _MODEL)
    for opset in _spans(model, "opset"):
        _refuse_strange_domain(_text(wire, wire.message(opset, _OPSET), "domain"))
    graphs = list(_spans(model, "graph"))
    if not graphs:
        raise ValueError("it contains no graph")
    return _vetted_graph(wire, wire.message(graphs[0], _GRAPH))


def _vetted_graph(wire: Wire, graph: Values) -> bool:
    elements = {_vetted_value(wire, span): 1 for span in _spans(graph, "input")}
    for kind in ("output", "value_info"):
        for span in _spans(graph, kind):
            _vetted_value(wire, span)
    weights = dict(_vetted_tensor(wire, span) for span in _spans(graph, "initializer"))
    elements |= weights
    nodes = [_node(wire, span) for span in _spans(graph, "node")]
    _refuse_overuse(nodes, weights, len(wire.content))
    return all(_is_small(node, elements) for node in nodes)


@dataclass(frozen=True, slots=True)
class _Node:
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    own: int
    """Most elements that its attributes add to those of its inputs."""


def _is_small(node: _Node, elements: dict[str, int]) -> bool:
    """Record the largest number of elements per row of a node's outputs; return whether it is small."""
    if node.operator not in PASSING:
        return False
    counts = [elements.get(name, MAX_ELEMENTS) for name in node.inputs]
    # It selects by a list of indices, which may repeat an index.
    count = math.prod(counts) if node.operator == "ArrayFeatureExtractor" else sum(counts)
    elements |= dict.fromkeys(node.outputs, count + node.own)
    return count + node.own < MAX_ELEMENTS


def _refuse_overuse(nodes: list[_Node], weights: Mapping[str, int], size: int) -> None:
    """Refuse weights that many nodes use: ONNX Runtime makes a packed copy for each node."""
    used = sum(weights.get(name, 0) for node in nodes for name in node.inputs)
    if used > FREE_WEIGHTS + size:
        raise ValueError(f"its weights are used {used:,} times, too often for {size:,} bytes")


def _node(wire: Wire, span: Span) -> _Node:
    found = wire.message(span, _NODE)
    domain, operator = _text(wire, found, "domain"), _text(wire, found, "operator")
    _refuse_strange_domain(domain)
    if operator not in OPERATORS["" if domain == "ai.onnx" else domain]:
        raise ValueError(f"it contains an operator {operator[:60]!r}, which no export writes")
    own = sum(_own_elements(wire, attribute) for attribute in _spans(found, "attribute"))
    inputs, outputs = (tuple(map(wire.text, found.get(kind, ()))) for kind in ("input", "output"))
    return _Node(operator, inputs, outputs, own)


def _own_elements(wire: Wire, span: Span) -> int:
    found = wire.message(span, _ATTRIBUTE)
    name = _text(wire, found, "name")
    if name not in ATTRIBUTES:
        raise ValueError(f"it contains an attribute {name[:60]!r}, which no export writes")
    for tensor in _spans(found, "tensor"):
        _vetted_tensor(wire, tensor)
    number = found.get("integer", [0])[0]
    if name == "to" and number not in NUMBERS:
        raise ValueError(f"it casts numbers to the type {number}, which no export writes")
    if name == "n_targets":
        if not isinstance(number, int) or number > MAX_TARGETS:
            raise ValueError(f"expected at most {MAX_TARGETS:,} targets, found {number:,}")
        return number
    return span[1] - span[0] if name.startswith("classlabels") else 0


def _vetted_tensor(wire: Wire, span: Span) -> tuple[str, int]:
    """Return a tensor's name and its number of elements; refuse one with fewer bytes than elements."""
    found = wire.message(span, _TENSOR)
    if (kind := found.get("type", [0])[0]) not in NUMBERS:
        raise ValueError(f"it contains a tensor of type {kind}, which no export writes")
    size = span[1] - span[0]
    dimensions = [value for value in found.get("dimension", ()) if isinstance(value, int)]
    count = math.prod(dimensions)
    # A number takes at least a byte. Each dimension is checked too: with one dimension of zero the product is zero.
    if max([count, *dimensions]) > size:
        raise ValueError(f"it contains a tensor that claims {count:,} numbers in {size:,} bytes")
    return _text(wire, found, "name"), count


def _vetted_value(wire: Wire, span: Span) -> str:
    found = wire.message(span, _VALUE)
    for kind in _spans(found, "type"):
        for tensor in _spans(wire.message(kind, _TYPE), "tensor"):
            tensor_type = wire.message(tensor, _TENSOR_TYPE)
            if tensor_type.get("element", [0])[0] not in NUMBERS | {TEXT}:
                raise ValueError(
                    f"it contains values of type {tensor_type.get('element', [0])[0]}, which no export writes"
                )
            for shape in _spans(tensor_type, "shape"):
                for dimension in _spans(wire.message(shape, _SHAPE), "dimension"):
                    wire.message(dimension, _DIMENSION)
    return _text(wire, found, "name")


def _refuse_strange_domain(domain: str) -> None:
    if domain not in ("", "ai.onnx", "ai.onnx.ml"):
        raise ValueError(f"it uses operators of the domain {domain[:60]!r}, which no export writes")


def _spans(found: Values, name: str) -> Iterator[Span]:
    return map(as_span, found.get(name, ()))


def _text(wire: Wire, found: Values, name: str) -> str:
    return wire.text(found[name][0]) if name in found else ""
