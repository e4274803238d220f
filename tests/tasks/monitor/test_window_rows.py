from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from config.schema import ModelConfig
from core.data.seen_rows import SeenRows, seen_rows
from core.data.split import feature_hashes
from core.drift.times import TimeRange
from tasks.monitor.window_rows import RowRule
from tasks.versions.record_batches import StoredRecordBatch, contract_frame
from tests.factories import credit_config
from tests.tasks.windows import FIRST, TIMED, distinct_rows

UNKEYED = credit_config(time="at", key=None)
NOTHING = np.array([], dtype=np.uint64)


def record_batch(n_rows: int = 10, row_ids: bool = False) -> StoredRecordBatch:
    """Rows an hour apart, none like another."""
    (batch,) = distinct_rows(n_rows, 1).combine_chunks().to_batches()
    return StoredRecordBatch(batch, 0, np.arange(n_rows, dtype=np.uint64) if row_ids else None)


def test_a_rule_without_bounds_keeps_the_piece_as_it_is() -> None:
    """Nothing is copied where nothing is left out."""
    whole = record_batch()
    chosen = RowRule(TIMED).chosen(whole)
    assert chosen.batch is whole.batch
    assert chosen.kept.all()
    assert chosen.order is not None
    assert chosen.order.n_descents == 0


def test_a_row_outside_the_range_is_not_also_seen() -> None:
    """Each row left out is left out for one reason, so that the numbers add up."""
    seen = seen_rows(np.arange(6, dtype=np.uint64), None)
    rule = RowRule(credit_config(key_is_unique=True), seen=seen)
    assert rule.chosen(record_batch(row_ids=True)).n_seen == 6
    timed = RowRule(credit_config(time="at"), TimeRange(FIRST + timedelta(hours=4)), seen)
    chosen = timed.chosen(record_batch(row_ids=True))
    assert (chosen.n_outside, chosen.n_seen, chosen.batch.num_rows) == (4, 2, 4)
    assert chosen.kept.tolist() == [False] * 6 + [True] * 4
    assert chosen.order is not None
    assert chosen.order.n_descents == 0


@pytest.mark.parametrize(
    ("config", "seen", "expected"),
    [
        (TIMED, None, False),
        (TIMED, seen_rows(NOTHING, NOTHING), True),
        (UNKEYED, seen_rows(NOTHING, None), True),
        (UNKEYED, seen_rows(NOTHING, NOTHING), False),
    ],
)
def test_row_ids_are_asked_for_only_where_they_tell_something(
    config: ModelConfig, seen: SeenRows | None, expected: bool
) -> None:
    """Without a key, rows of equal identity have equal features: contents find them."""
    assert RowRule(config, seen=seen).needs_row_ids == expected


def test_contents_are_the_same_through_a_dictionary() -> None:
    """Text coded by a dictionary hashes as the text that training hashed."""
    batch = record_batch(50).batch
    rows = contract_frame([batch], batch.schema)
    seen = seen_rows(NOTHING, feature_hashes(rows.head(20), UNKEYED.features.used))
    place = batch.schema.get_field_index("region")
    coded = batch.set_column(place, "region", batch.column(place).dictionary_encode())
    for one in (batch, coded):
        chosen = RowRule(UNKEYED, seen=seen).chosen(StoredRecordBatch(one, 0))
        assert chosen.kept.tolist() == [False] * 20 + [True] * 30
    assert pa.types.is_dictionary(coded.schema.field("region").type)


def test_a_piece_without_the_ids_a_rule_needs_is_refused() -> None:
    """Training rows must not pass for new ones because nobody asked for ids."""
    rule = RowRule(TIMED, seen=seen_rows(NOTHING, None))
    with pytest.raises(ValueError, match="expected record batches with row ids"):
        rule.chosen(record_batch())
