"""Fields of a message, walked and paid for byte by byte."""

from __future__ import annotations

import pytest

from serving.bundle.onnx_wire import FIXED32, FIXED64, LENGTH, VARINT, Entry, Message, Wire, as_span

KIND = Message(
    {
        1: Entry("number", VARINT),
        2: Entry("text", LENGTH, many=True),
        3: Entry("small", FIXED32),
        4: Entry("large", FIXED64),
        5: Entry("rest", LENGTH, kept=False, many=True),
    }
)
RUNS = Message({7: Entry("floats", FIXED32, many=True), 9: Entry("texts", LENGTH, many=True)}, runs=True)


def _read(content: bytes, kind: Message = KIND, budget: int = 10_000) -> tuple[Wire, dict[str, list[object]]]:
    wire = Wire(content, budget)
    return wire, {name: list(values) for name, values in wire.message((0, len(content)), kind).items()}


def test_numbers_are_returned_and_bytes_are_places() -> None:
    """Of each wire type, in their order; what is not kept is walked over."""
    content = b"\x08\xac\x02" + b"\x12\x02ab" + b"\x12\x00" + b"\x1d1234" + b"\x2112345678" + b"\x2a\x01z"
    wire, found = _read(content)
    assert found == {"number": [300], "text": [(5, 7), (9, 9)], "small": [(10, 14)], "large": [(15, 23)]}
    assert [wire.text(as_span((5, 7))), wire.text((9, 9))] == ["ab", ""]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\x08", "truncated"),
        (b"\x08\x80", "truncated"),
        (b"\x08" + b"\xff" * 10 + b"\x01", "truncated"),
        (b"\x12\x02a", "truncated"),
        (b"\x12\xff\xff\xff\xff\x0fa", "truncated"),
        (b"\x1d123", "truncated"),
        (b"\x211234567", "truncated"),
        (b"\x08\x01\x08\x01", "it contains 'number' twice"),
        (b"\x30\x01", "an unexpected field 6 of wire type 0"),
        (b"\x0a\x00", "an unexpected field 1 of wire type 2"),
        (b"\x00\x00", "an unexpected field 0 of wire type 0"),
        (b"\x0b", "an unexpected field 1 of wire type 3"),
    ],
)
def test_what_protobuf_could_read_otherwise_is_refused(content: bytes, says: str) -> None:
    """Cut fields, unknown ones, wrong types, and a single field that comes again."""
    with pytest.raises(ValueError, match=says):
        _read(content)


def test_a_message_ends_where_its_span_does() -> None:
    """A field that reaches into what follows is truncated, though the bytes are there."""
    with pytest.raises(ValueError, match="truncated"):
        Wire(b"\x12\x04abcd", 10_000).message((0, 4), KIND)


def test_every_field_is_paid_for() -> None:
    """The budget is one for all messages, to the last byte of it, and fields that are not kept cost as well."""
    content = b"\x2a\x00" * 5
    wire = Wire(content, 1_000)
    wire.message((0, len(content)), KIND)
    assert wire.budget == 0
    with pytest.raises(ValueError, match="more parts than a graph of 10 bytes may have"):
        wire.message((0, 2), KIND)


def test_runs_of_numbers_cost_nothing() -> None:
    """Millions of thresholds of a tree are passed over at once; short texts are not."""
    wire, found = _read(b"\x3d1234" * 100_000 + b"\x4a\x04abcd" * 1000, RUNS, budget=0)
    assert (wire.budget, found) == (0, {})
    with pytest.raises(ValueError, match="more parts"):
        _read(b"\x4a\x03abc", RUNS, budget=0)


def test_a_run_does_not_reach_beyond_its_message() -> None:
    """A number that is cut by the end of its message is not part of a run."""
    with pytest.raises(ValueError, match="truncated"):
        Wire(b"\x3d1234\x3d1234", 10_000).message((0, 7), RUNS)


def test_a_name_has_a_bound() -> None:
    """10,000 bytes are a name, one more is none."""
    wire = Wire(b"n" * 10_001, 0)
    assert len(wire.text((0, 10_000))) == 10_000
    with pytest.raises(ValueError, match="a name of at most 10,000 bytes, found 10,001"):
        wire.text((0, 10_001))
