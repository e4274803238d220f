from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from config.schema import ModelConfig
from core.data.rows import Rows
from core.errors import SchemaError, StorageError
from core.feature_contract import FeatureContract
from core.model_inputs import prepare
from core.references import Snapshot
from tasks.versions.rows import load_rows
from tests.factories import credit_config
from tests.tasks.versions.staging import TYPES, credit_rows

KEYED = credit_config()
UNKEYED = credit_config(key=None, features={"ignored": ["id"]})


def snapshot(folder: Path, *batches: list[dict[str, Any]], schemas: tuple[pa.Schema, ...] = ()) -> Snapshot:
    """Lay batches out as a snapshot has them."""
    for number, rows in enumerate(batches):
        schema = schemas[number] if schemas else TYPES
        name = f"{number + 1:04d}-{number:012x}.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / name)
    return Snapshot("credit", "0" * 32 + ".dir", folder, sum(map(len, batches)), len(batches))


def with_type(column: str, kind: pa.DataType) -> pa.Schema:
    """Make the schema of an older contract: one column of another type."""
    return TYPES.set(TYPES.get_field_index(column), pa.field(column, kind))


def load(folder: Path, *batches: list[dict[str, Any]], config: ModelConfig = KEYED, **options: Any) -> Rows:
    """Load batches as a snapshot has them."""
    return load_rows(snapshot(folder, *batches, **options), config)


def test_rows_have_the_contracts_columns_and_types(tmp_path: Path) -> None:
    """Columns in the model file's order, numbers as floats with NaN, text as pandas text, dates to the microsecond."""
    config = credit_config(features={"dates": ["joined"]})
    schema = TYPES.append(pa.field("joined", pa.timestamp("us")))
    rows = [{**credit_rows(0, 1)[0], "joined": datetime(2024, 5, 6, 7, 8, 9, 123)}]
    rows += credit_rows(1, 3, income=None, region=None, owner=None, joined=None)
    frame = load(tmp_path, rows, config=config, schemas=(schema,)).frame
    assert tuple(frame.columns) == config.columns
    assert frame.index.equals(pd.RangeIndex(3))
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == {
        "id": "str",
        "default": "str",
        "income": "float64",
        "age": "float64",
        "region": "str",
        "owner": "boolean",
        "joined": "datetime64[us]",
    }
    assert frame["joined"][0] == pd.Timestamp("2024-05-06 07:08:09.000123")
    prepared = prepare(frame, FeatureContract.of(config, ["0", "1"]))
    assert prepared["region"].tolist() == ["r0", "(missing)", "(missing)"]
    assert np.isnan(prepared["owner"].tolist()[1:]).all()


def test_batches_come_in_order(tmp_path: Path) -> None:
    """Batch order, then row order; the ten-thousandth batch comes after the 9999th."""
    parts = {"9999-aaaaaaaaaaaa": (10, 20), "10000-aaaaaaaaaaaa": (20, 30), "0001-bbbbbbbbbbbb": (0, 10)}
    for name, span in parts.items():
        pq.write_table(pa.Table.from_pylist(credit_rows(*span), schema=TYPES), tmp_path / f"{name}.parquet")
    rows = load_rows(Snapshot("credit", "v", tmp_path, 30, 3), KEYED)
    assert rows.frame["id"].tolist() == [f"k{number}" for number in range(30)]


def test_the_last_row_of_a_key_counts(tmp_path: Path) -> None:
    """A later batch replaces rows of the same key, even by a row without a label; rows without a key stay."""
    rows = load(
        tmp_path,
        [*credit_rows(0, 5), *credit_rows(0, 2, id=None)],
        [*credit_rows(1, 2, income=7.0), *credit_rows(2, 3, default=None), *credit_rows(0, 1, id=None)],
    )
    assert rows.frame["id"].fillna("-").tolist() == ["k0", "k3", "k4", "-", "-", "k1", "-"]
    assert rows.frame["income"].tolist()[5] == 7.0
    assert (rows.n_superseded, rows.n_unlabelled) == (2, 1)


def test_one_batch_is_taken_as_it_is(tmp_path: Path) -> None:
    """Within a single batch nothing supersedes: validation has looked at it."""
    rows = load(tmp_path, [*credit_rows(0, 3), *credit_rows(0, 1)])
    assert (len(rows.frame), rows.n_superseded) == (4, 0)


@pytest.mark.parametrize("config", [UNKEYED, credit_config(key_is_unique=False)], ids=["no key", "repeated key"])
def test_without_a_unique_key_nothing_is_superseded(tmp_path: Path, config: ModelConfig) -> None:
    """Equal rows may be different observations."""
    rows = load(tmp_path, credit_rows(0, 3), credit_rows(0, 3), config=config)
    assert (len(rows.frame), rows.n_superseded) == (6, 0)
    assert (rows.n_repeated, rows.n_distinct) == (3, 3)


@pytest.mark.parametrize(
    "config", [KEYED, UNKEYED, credit_config(key_is_unique=False)], ids=["key", "no key", "repeated"]
)
def test_rows_that_differ_in_one_column_do_not_repeat(tmp_path: Path, config: ModelConfig) -> None:
    """The target counts as a column."""
    other = [
        *credit_rows(0, 3, default="0"),
        *credit_rows(0, 3, default="1"),
        *credit_rows(0, 3, age=None, default="0"),
    ]
    assert load(tmp_path, other, config=config).n_repeated == 0


def test_ids_are_those_of_the_key(tmp_path: Path) -> None:
    """With a key the id is its MD5's lower half, whatever the other columns hold."""
    first = load(tmp_path, credit_rows(0, 3))
    assert first.row_ids.dtype == np.uint64
    digest = hashlib.md5(b"k0", usedforsecurity=False).digest()
    assert first.row_ids[0] in (int.from_bytes(digest[8:], "little"), int.from_bytes(digest[8:], "big"))
    changed = load(tmp_path, credit_rows(0, 3, income=None))
    assert (first.row_ids == changed.row_ids).all()
    without = load(tmp_path, credit_rows(0, 3, id=None))
    assert len(set(without.row_ids)) == 3


def test_ids_without_a_key_are_those_of_the_content(tmp_path: Path) -> None:
    """The target does not count, nor does the kind a column is declared as."""
    first = load(tmp_path, credit_rows(0, 3), config=UNKEYED)
    assert len(set(first.row_ids)) == 3
    relabelled = load(tmp_path, credit_rows(0, 3, default="1"), config=UNKEYED)
    assert (first.row_ids == relabelled.row_ids).all()
    as_text = credit_config(key=None, features={"numeric": ["income"], "ignored": ["id", "age"]})
    assert (first.row_ids == load(tmp_path, credit_rows(0, 3), config=as_text).row_ids).all()


def test_batches_of_an_older_contract_are_cast(tmp_path: Path) -> None:
    """Text that holds numbers becomes numbers, a column that came later is empty, one that went is left behind."""
    older = with_type("age", pa.string()).remove(TYPES.get_field_index("owner")).append(pa.field("gone", pa.string()))
    rows = load(tmp_path, credit_rows(0, 2, age="41", gone="x"), credit_rows(2, 4), schemas=(older, TYPES))
    assert rows.frame["age"].tolist() == [41.0, 41.0, 22.0, 23.0]
    assert rows.frame["owner"].isna().tolist() == [True, True, False, False]
    assert "gone" not in rows.frame


def test_labels_are_the_same_whatever_held_them(tmp_path: Path) -> None:
    """A target once stored as a number or as true and false has canonical labels."""
    as_number = load(tmp_path, credit_rows(0, 2, default=1.0), schemas=(with_type("default", pa.float64()),))
    assert as_number.frame["default"].tolist() == ["1", "1"]
    as_boolean = load(tmp_path, credit_rows(0, 2, default=True), schemas=(with_type("default", pa.bool_()),))
    assert as_boolean.frame["default"].tolist() == ["true", "true"]


def test_a_value_that_does_not_cast_is_named(tmp_path: Path) -> None:
    """The message names column, batch, count and an example."""
    schema = with_type("age", pa.string())
    with pytest.raises(SchemaError, match=r"'age'.*0001-.*2 other values.*'old'"):
        load(tmp_path, credit_rows(0, 2, age="old"), schemas=(schema,))
    with pytest.raises(SchemaError, match="'age'"):
        load(tmp_path, credit_rows(0, 2, age=datetime(2024, 1, 1)), schemas=(with_type("age", pa.timestamp("us")),))


def test_rows_without_a_label_are_counted_and_left_out(tmp_path: Path) -> None:
    """Only labelled rows train; with none at all that is said."""
    rows = load(tmp_path, [*credit_rows(0, 3), *credit_rows(3, 5, default=None)])
    assert (len(rows.frame), rows.n_unlabelled, len(rows.row_ids)) == (3, 2, 3)
    with pytest.raises(SchemaError, match=r"no row .* has a value in the target"):
        load(tmp_path, credit_rows(0, 2, default=None))


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    """A damaged file of a snapshot is an error that says how to get it back."""
    found = snapshot(tmp_path, credit_rows(0, 2))
    next(tmp_path.glob("*.parquet")).write_bytes(b"PAR1 and no more")
    with pytest.raises(StorageError, match="remove the folder"):
        load_rows(found, KEYED)
