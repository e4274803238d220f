"""A request's row becomes exactly what the same row was in training, or a problem that names the field."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from core.data.cells import is_damaged
from core.feature_contract import MISSING, FeatureContract
from core.model_inputs import prepare
from core.notations import DateNotation, NumberNotation, to_json
from core.row_limits import MAX_KEY, MAX_NUMBER, MAX_TEXT
from core.text import readable
from serving.model.invalid import MAX_SHOWN
from serving.model.rows import MAX_REMEMBERED, Column, RowReader, Rows
from serving.problems import Problem
from serving.rehearsal.rows import parse_rows

KINDS = FeatureContract(
    task="regression",
    target="price",
    classes=(),
    numeric=("income", "net.worth"),
    categorical=("region",),
    boolean=("owner",),
    dates=("opened", "closed"),
    key="id",
    missing=("NA",),
)
ROW: dict[str, Any] = {
    "income": 1.5,
    "net.worth": -3,
    "region": "north",
    "owner": True,
    "opened": "2024-02-29T23:59:59",
    "closed": None,
}
READER = RowReader(KINDS, 50)

numbers = st.none() | st.floats(-MAX_NUMBER, MAX_NUMBER, allow_nan=False) | st.integers(-(10**38), 10**38)
texts = (
    st.none()
    | st.sampled_from([MISSING, " north\t", "NA ", "3.0", "3"])
    | st.text(st.characters(codec="utf-8"), max_size=20).filter(lambda text: not is_damaged(text))
)
FORMS: list[Callable[[datetime], str]] = [
    datetime.isoformat,
    lambda moment: moment.isoformat(" ", "seconds"),
    lambda moment: moment.isoformat(timespec="milliseconds"),
    lambda moment: moment.isoformat(timespec="minutes"),
    lambda moment: moment.isoformat() + "+02:00",
    lambda moment: moment.isoformat() + "Z",
    lambda moment: moment.isoformat(timespec="microseconds") + "999",
    lambda moment: moment.date().isoformat(),
    lambda moment: f"{moment.year:04}/{moment.month}/{moment.day} ",
]
moments = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 31, 23, 59, 59))
dates = st.none() | st.builds(lambda form, moment: form(moment), st.sampled_from(FORMS), moments)
rows = st.fixed_dictionaries(
    {
        "income": numbers,
        "net.worth": numbers,
        "region": texts,
        "owner": st.none() | st.booleans(),
        "opened": dates,
        "closed": dates,
    }
)


def _body(*rows: Any, **more: Any) -> bytes:
    return json.dumps({"rows": list(rows), **more}).encode()


def _columns(reader: RowReader, body: bytes) -> list[Column]:
    rows = reader.read(body)
    return reader.columns(rows.values, rows.locate)


def _expected(rows: list[dict[str, Any]]) -> list[np.ndarray[Any, Any]]:
    names = list(KINDS.raw_columns)
    table = {"columns": names, "data": [[row[name] for name in names] for row in rows]}
    prepared = prepare(parse_rows(json.dumps(table), KINDS), KINDS)
    return [prepared[name].to_numpy() for name in KINDS.prepared_columns]


def _refusal(body: bytes, reader: RowReader = READER) -> Problem:
    with pytest.raises(Problem) as caught:
        _columns(reader, body)
    document = json.loads(caught.value.document())
    assert caught.value.status in (400, 422)
    assert document["status"] == caught.value.status
    return caught.value


def _place(body: bytes, reader: RowReader = READER) -> tuple[str, str]:
    """Return field and pointer of the one thing that is wrong."""
    (error,) = _refusal(body, reader).errors
    return error.field, error.pointer


@given(st.lists(rows, min_size=1, max_size=8))
@example([{**ROW, "income": 2**63 + 1, "net.worth": -0.0}])
@example([{**ROW, "income": 1e-45, "net.worth": 16777217}])
@example([{**ROW, "region": "a\tb", "opened": "1678-01-01"}])
def test_a_row_is_what_it_was_in_training(rows: list[dict[str, Any]]) -> None:
    """Column for column and bit for bit what the frame of training makes of the same values."""
    found = READER.read(_body(*rows))
    assert found.n == len(rows)
    for column, expected in zip(READER.columns(found.values), _expected(rows), strict=True):
        assert column.shape == (len(rows), 1)
        if expected.dtype == np.float32:
            assert column.dtype == np.float32
            assert column[:, 0].tobytes() == expected.tobytes()
        else:
            assert column[:, 0].tolist() == expected.tolist()


def _columns_body(columns: dict[str, Any]) -> bytes:
    return json.dumps({"columns": columns}).encode()


def _logged(rows: Rows) -> list[dict[str, Any]]:
    """Return the rows by name, as the view ``predictions`` has them."""
    logged = json.loads(rows.content)
    return logged if rows.names is None else [dict(zip(json.loads(rows.names), row, strict=True)) for row in logged]


@given(st.lists(rows, min_size=1, max_size=4))
def test_what_is_logged_reads_as_the_same_rows(rows: list[dict[str, Any]]) -> None:
    """The log keeps the values as they were read, without the rounding that the model does."""
    expected = [
        {**row, **{name: None if (v := row[name]) is None else float(v) for name in KINDS.numeric}} for row in rows
    ]
    assert _logged(READER.read(_body(*rows))) == expected


def test_several_rows_are_logged_without_their_names() -> None:
    """The names are stored once per request: the text is a third as long, and is written in a third of the time."""
    found = READER.read(_body(ROW, ROW))
    assert found.names is not None
    assert sorted(json.loads(found.names)) == sorted(ROW)
    assert b"income" not in found.content
    assert _logged(found) == [ROW, ROW]


@given(st.lists(rows, min_size=1, max_size=4))
def test_columns_are_read_as_the_same_rows(rows: list[dict[str, Any]]) -> None:
    """To the bit, with the same keys, and with the same rows in the log."""
    sent = [{"id": None, **row} for row in rows]
    found = READER.read(_columns_body({name: [row[name] for row in sent] for name in sent[0]}))
    expected = READER.read(_body(*rows))
    for column, other in zip(READER.columns(found.values), READER.columns(expected.values), strict=True):
        assert (column.tolist() if column.dtype == object else column.tobytes()) == (
            other.tolist() if other.dtype == object else other.tobytes()
        )
    assert (found.n, found.keys, _logged(found)) == (expected.n, expected.keys, _logged(expected))


@pytest.mark.parametrize(
    ("changed", "field", "pointer"),
    [
        ({"income": [1.5, "x"]}, "income", "/columns/income/1"),
        ({"income": [1.5, 1e39]}, "income", "/columns/income/1"),
        ({"income": 1.5}, "income", "/columns/income"),
        ({"income": None}, "income", "/columns/income"),
        ({"income": []}, "income", "/columns/income"),
        ({"net.worth": [1.5]}, "net.worth", "/columns/net.worth"),
        ({"owner": [True, True, True]}, "owner", "/columns/owner"),
        ({"income": [1.5] * 51}, "income", "/columns/income"),
        ({"opened": ["2024-01-01", "yesterday"]}, "opened", "/columns/opened/1"),
        ({"id": ["a", "a\0b"]}, "id", "/columns/id/1"),
        ({"id": [1, 1.5]}, "id", "/columns/id/1"),
        ({"id": ["a"]}, "id", "/columns/id"),
        ({"id": None}, "id", "/columns/id"),
        ({"incme": [1.5, 1.5]}, "incme", "/columns/incme"),
    ],
)
def test_a_wrong_column_is_refused_with_its_place(changed: dict[str, Any], field: str, pointer: str) -> None:
    """By the same rules as rows: kinds, bounds, lengths, names, keys; the pointer is of the body that was sent."""
    columns = {name: [value, value] for name, value in ROW.items()}
    with pytest.raises(Problem) as caught:
        _columns(READER, _columns_body({**columns, **changed}))
    assert [(one.field, one.pointer) for one in caught.value.errors] == [(field, pointer)]


@pytest.mark.parametrize("missing", ROW)
def test_no_column_may_be_left_out(missing: str) -> None:
    """As in a row; the key may."""
    columns = {name: [value] for name, value in ROW.items() if name != missing}
    assert _place(_columns_body(columns)) == (missing, f"/columns/{missing}")


@pytest.mark.parametrize("content", ["{}", '{"columns": {}}', '{"columns": []}', '{"columns": null}', '{"columns": 1}'])
def test_what_holds_no_columns_is_refused(content: str) -> None:
    """And so is a body with rows and columns."""
    _refusal(content.encode())
    both = {"rows": [ROW], "columns": {name: [value] for name, value in ROW.items()}}
    with pytest.raises(Problem, match="either 'rows' or 'columns', found both"):
        READER.read(json.dumps(both).encode())


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["rows", "columns", *ROW, "id", "x"]) | st.text(max_size=3), inner, max_size=4
            )
        ),
        max_leaves=20,
    ).map(lambda content: json.dumps(content).encode())
)
def test_whatever_is_no_request_is_a_problem(body: bytes) -> None:
    """Bytes and JSON of any shape end in a problem document, never in another error."""
    _refusal(body)


@given(st.data())
@hypothesis_settings(max_examples=200)
def test_a_spoilt_request_is_read_or_a_problem(data: st.DataObject) -> None:
    """A byte changed, cut out or doubled anywhere."""
    body = bytearray(_body(ROW, {**ROW, "id": "k"}))
    place = data.draw(st.integers(0, len(body) - 1))
    body[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        _columns(READER, bytes(body))
    except Problem as problem:
        problem.document()


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", "1e39", "-1e39", "9" * 400, "9" * 5000])
def test_numbers_beyond_what_models_compute_with_are_refused(value: str) -> None:
    """What Python and others write for them is no JSON, but the field is named all the same."""
    body = _body(ROW, {**ROW, "net.worth": 12345}).replace(b"12345", value.encode())
    field, pointer = _place(body)
    assert (field, pointer) == ("net.worth", "/rows/1/net.worth")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("income", "1"),
        ("income", True),
        ("income", []),
        ("region", 1),
        ("region", False),
        ("region", "x" * (MAX_TEXT + 1)),
        ("owner", 1),
        ("owner", "true"),
        ("opened", 20240101),
        ("opened", "yesterday"),
        ("opened", "2023-02-29"),
        ("opened", "20240101"),
        ("opened", "2024-W01-1"),
        ("opened", "2024-01-01T24:00"),
        ("opened", "0000-01-01"),
        ("opened", "9999-12-31T23:59:59-01:00"),
        ("opened", "2024-01-01" + "0" * 40),
        ("id", ""),
        ("id", "x" * (MAX_KEY + 1)),
        ("id", "a\0b"),
        ("id", 1.5),
        ("id", True),
        ("id", 2**63),
        ("id", 1e19),
        ("id", 10**300),
    ],
)
def test_a_value_of_another_kind_is_refused_by_name(field: str, value: Any) -> None:
    """The problem says which field of which row, in words and as a JSON pointer."""
    problem = _refusal(_body(ROW, {**ROW, field: value}))
    assert problem.kind == "invalid-request"
    assert [(error.field, error.pointer) for error in problem.errors] == [(field, f"/rows/1/{field}")]
    assert field in problem.detail


def test_a_cell_of_a_request_is_read_as_one_of_a_file() -> None:
    """White space, missing texts, a fraction of zero and an offset make no other level, key or moment."""
    sent = {**ROW, "region": " north\t", "opened": "2024-03-01T00:30:00+02:00", "closed": " ", "id": " 7.0 "}
    plain = {**ROW, "region": "north", "opened": "2024-02-29T22:30:00", "closed": None, "id": "7"}
    found, expected = READER.read(_body(sent)), READER.read(_body(plain))
    for column, other in zip(READER.columns(found.values), READER.columns(expected.values), strict=True):
        np.testing.assert_array_equal(column, other)
    assert found.keys == expected.keys == ["7"]
    assert _columns(READER, _body({**ROW, "region": "NA "}))[-1].tolist() == [[MISSING]]
    assert _columns(READER, _body({**ROW, "region": "3.00"}))[-1].tolist() == [["3"]]


@pytest.mark.parametrize("text", ["a\0b", "\x1b[2J", "\x7f", " a\x08"])
def test_a_damaged_text_is_refused_with_its_place(text: str) -> None:
    """In a category and in a key, as by ingestion, batch scoring and labels from files: it is no level."""
    body = _body(ROW, {**ROW, "region": text})
    assert _place(body) == ("region", "/rows/1/region")
    assert repr(readable(text)) in _refusal(body).detail
    assert _place(_columns_body({name: [value, value] for name, value in {**ROW, "region": text}.items()})) == (
        "region",
        "/columns/region/0",
    )
    assert _place(_body(ROW, {**ROW, "id": text})) == ("id", "/rows/1/id")


def _noted() -> FeatureContract:
    return replace(
        KINDS,
        notations={
            "income": to_json(NumberNotation(",", ".", "EUR")),
            "opened": to_json(DateNotation(("%d.%m.%Y",))),
            "closed": to_json(DateNotation(("seconds",))),
        },
    )


def test_texts_in_a_notation_are_the_values_that_they_state() -> None:
    """As in the file that the model has learnt from; numbers and dates in the usual form are taken as they are."""
    noted, plain = RowReader(_noted(), 5), {**ROW, "income": 1234.5, "opened": "2024-02-29", "closed": "1970-01-02"}
    expected = _columns(READER, _body(plain))
    for income, opened, closed in (("1.234,5 EUR", "29.2.2024", 86_400), (1234.5, "2024-02-29", "86400 ")):
        found = _columns(noted, _body({**plain, "income": income, "opened": opened, "closed": closed}))
        for column, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(column, other)
    missing = _columns(noted, _body({**plain, "income": " NA", "opened": " ", "closed": None}))
    assert np.isnan(np.concatenate([missing[0], *missing[3:11]])).all()


@pytest.mark.parametrize(("field", "value"), [("income", "1.5"), ("income", "1e99 EUR"), ("opened", "2.29.2024")])
def test_texts_in_another_notation_are_refused_by_name(field: str, value: str) -> None:
    """They may mean another number or another day."""
    with pytest.raises(Problem, match="1.234,5 EUR" if field == "income" else "%d.%m.%Y") as caught:
        _columns(RowReader(_noted(), 5), _body({**ROW, field: value}))
    assert caught.value.errors[0].pointer == f"/rows/0/{field}"


def test_a_contract_keeps_its_notations() -> None:
    """They are written to the bundle as JSON."""
    again = FeatureContract.from_dict(json.loads(json.dumps(_noted().to_dict())))
    assert again.notation("income") == NumberNotation(",", ".", "EUR")
    assert again.notation("opened") == DateNotation(("%d.%m.%Y",))
    assert again.notation("net.worth") is None


def test_the_levels_of_an_older_bundle_are_the_texts_as_sent() -> None:
    """Its model may have learnt the level "3.0" or one with a space."""
    reader = RowReader(replace(KINDS, missing=None), 5)
    for text in (" north ", "3.0", "NA", ""):
        assert _columns(reader, _body({**ROW, "region": text}))[-1].tolist() == [[text]]


def test_many_texts_are_named_right_beyond_what_is_remembered() -> None:
    """What was forgotten is named again."""
    reader = RowReader(KINDS, 2 * MAX_REMEMBERED)
    rows = [{**ROW, "region": f" level {number} "} for number in range(MAX_REMEMBERED + 10)]
    levels = _columns(reader, _body(*rows, rows[0]))[-1][:, 0].tolist()
    assert levels == [*(f"level {number}" for number in range(len(rows))), "level 0"]


@pytest.mark.parametrize("missing", ROW)
def test_every_column_must_be_there(missing: str) -> None:
    """A value may be null, but whoever leaves a column out may have misspelt it."""
    row = {name: value for name, value in ROW.items() if name != missing}
    assert _place(_body(row)) == (missing, f"/rows/0/{missing}")


def test_no_other_column_may_be_there() -> None:
    """Neither in a row nor beside the rows."""
    assert _place(_body(ROW, {**ROW, "incme": 1})) == ("incme", "/rows/1/incme")
    assert _place(_body(ROW, model="credit"))[0] == "model"
    assert _place(_body({**ROW, "": 1}))[1] == "/rows/0"


def test_a_column_in_another_unicode_form_is_explained() -> None:
    """Both names look the same in an answer; a name that is too long to compare is refused without."""
    reader = RowReader(replace(KINDS, numeric=(*KINDS.numeric, "\u00e2ge")), 50)
    with pytest.raises(Problem) as refused:
        reader.read(_body({**ROW, "a\u0302ge": 1}))
    assert "looks the same, but this is in another Unicode form: NFD instead of NFC" in str(
        refused.value.errors[0].detail
    )
    with pytest.raises(Problem) as refused:
        reader.read(_body({**ROW, "a\u0302ge" + "\u200b" * 10_000: 1}))
    assert "looks the same" not in str(refused.value.errors[0].detail)


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{}",
        "null",
        "1",
        '"rows"',
        '{"rows": null}',
        '{"rows": {}}',
        '{"rows": []}',
        '{"rows": [null]}',
        '{"rows": [[]]}',
    ],
)
def test_what_holds_no_rows_is_refused(content: str) -> None:
    """Whatever else it is."""
    assert _place(content.encode())[0] == "rows"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"rows": [',
        b"\xff",
        b"\xef\xbb\xbf{}",
        b"{'rows': []}",
        b'{"rows": [{"region": "\\ud800"}]}',
        b'{"rows": [{"region": "\xed\xa0\x80"}]}',
        b'{"rows": [{"income": nan}]}',
    ],
)
def test_what_is_no_json_is_refused(content: bytes) -> None:
    """Halves of surrogate pairs are no text, escaped or not."""
    assert _refusal(content).kind == "invalid-json"


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 2_000_000,
        b'{"rows":' + b"[" * 2_000_000,
        b'{"rows":[{"x":' + b'{"a":' * 500_000,
        b'{"rows":[{"income":NaN,"x":' + b"[" * 2_000_000,
    ],
)
def test_deep_nesting_is_a_problem(body: bytes) -> None:
    """Not the end of the stack."""
    _refusal(body)


def test_a_request_holds_no_more_rows_than_it_may() -> None:
    """One more is refused by name of the list."""
    assert READER.read(_body(*50 * [ROW])).n == 50
    problem = _refusal(_body(*51 * [ROW]))
    assert problem.errors[0].field == "rows"
    assert "50" in problem.detail


def test_of_a_name_that_occurs_twice_the_last_value_counts() -> None:
    """For the answer and for the log, so that the two are of the same row."""
    body = _body(ROW).replace(b'"income": 1.5', b'"income": "no number", "income": 2.5')
    assert _place(body)[0] == "income"
    found = READER.read(body.replace(b'"no number"', b"1"))
    assert READER.columns(found.values)[0] == 2.5
    assert json.loads(found.content)[0]["income"] == 2.5


def test_names_that_a_client_makes_up_are_cut_and_escaped() -> None:
    """An answer repeats no megabytes, and nothing that is no text."""
    problem = _refusal(_body({**ROW, "x" * 1_000_000: 1}))
    assert len(problem.document()) < 10 * MAX_SHOWN
    assert _place(b'{"rows": [{"\\ud800": NaN}]}') == ("\\ud800", "/rows/0/\\ud800")


@pytest.mark.parametrize(
    "name",
    [
        "a.b",
        ".",
        "a[0]",
        "rows[1].x",
        "a`b",
        "`",
        "a'b",
        'a"b',
        '"',
        "a\\b",
        "a/b",
        "~",
        "a\tb",
        "a\nb",
        "a\0b",
        "ä",
        "a - at `b",
        "a - at `$",
        "{",
        "key",
        "c0",
        "self",
        "rows",
        "__class__",
    ],
)
def test_columns_may_be_named_anything(name: str) -> None:
    """What is wrong with them is told by their own names, and the log has these too."""
    contract = FeatureContract("regression", "y", (), (name,), ("other",), (), (), f"{name}'s key")
    reader = RowReader(contract, 10)
    pointer = f"/rows/0/{name.replace('~', '~0').replace('/', '~1')}"
    row = {name: 2.0, "other": "x", f"{name}'s key": 7}
    found = reader.read(_body(row))
    assert reader.columns(found.values)[0] == 2.0
    assert found.keys == ["7"]
    assert _logged(found) == [row]
    assert _logged(reader.read(_body(row, row))) == [row, row]
    assert _place(_body({**row, name: "x"}), reader) == (name, pointer)
    assert _place(_body({"other": "x"}), reader) == (name, pointer)
    assert _place(_body(row, {**row, "zz": 1}), reader) == ("zz", "/rows/1/zz")
    assert _place(_body(row).replace(b"2.0", b"NaN"), reader) == (name, pointer)
    columns = {field: [value, value] for field, value in row.items()}
    assert _logged(reader.read(_columns_body(columns))) == [row, row]
    pointer = pointer.replace("/rows/0", "/columns")
    assert _place(_columns_body({**columns, name: [2.0, "x"]}), reader) == (name, f"{pointer}/1")
    assert _place(_columns_body({**columns, name: "x"}), reader) == (name, pointer)
    assert _place(_columns_body(columns).replace(b"2.0", b"NaN"), reader) == (name, f"{pointer}/0")


def test_keys_are_texts() -> None:
    """A whole number is the text of its digits, as a float too; where no row has a key there are none."""
    found = READER.read(_body({**ROW, "id": 7}, {**ROW, "id": "07"}, {**ROW, "id": None}, ROW, {**ROW, "id": -9.0}))
    assert found.keys == ["7", "07", None, None, "-9"]
    assert READER.read(_body(ROW, {**ROW, "id": None})).keys is None


def test_a_model_of_no_numbers_is_read_too() -> None:
    """And one of nothing but numbers."""
    texts = RowReader(FeatureContract("regression", "y", (), (), ("region",), (), ()), 10)
    assert [column.tolist() for column in _columns(texts, _body({"region": "a"}, {"region": None}))] == [
        [["a"], [MISSING]]
    ]
    plain = RowReader(FeatureContract("regression", "y", (), ("x",), (), (), ()), 10)
    assert _columns(plain, _body({"x": 1}, {"x": 2}))[0].tolist() == [[1.0], [2.0]]


def test_a_key_is_asked_for_only_where_the_contract_has_one() -> None:
    """Bundles that are older than keys are served without."""
    reader = RowReader(FeatureContract("regression", "y", (), ("x",), (), (), ()), 10)
    assert reader.read(_body({"x": 1})).keys is None
    assert _place(_body({"x": 1, "id": 1}), reader) == ("id", "/rows/0/id")
