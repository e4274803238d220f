"""Select the rows of a stored batch that belong to a window."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from config.schema import ModelConfig
from core.data.rows import Rows
from core.data.seen_rows import SeenRows, identities
from core.data.split import feature_hashes
from core.drift.times import Moments, TimeOrder, TimeRange
from tasks.versions.record_batches import StoredRecordBatch, contract_frame

if TYPE_CHECKING:
    import pyarrow as pa

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ChosenRows:
    """Rows of a record batch that belong to the window, and the numbers of excluded rows.

    Parameters
    ----------
    batch
        The rows, in order.
    kept
        Mask of these rows in the record batch, shape (n_rows of the record batch,).
    n_outside, n_without_time, n_seen
        As in :class:`tasks.monitor.window_counts.Window`.
    order
        Times of the rows; None if no row has one.
    """

    batch: pa.RecordBatch
    kept: Mask
    n_outside: int = 0
    n_without_time: int = 0
    n_seen: int = 0
    order: TimeOrder | None = None


@dataclass(frozen=True)
class RowRule:
    """Selects rows in a range of time that the champion was not trained on.

    Parameters
    ----------
    config
        Model file with the champion's features.
    times
        Range of time; needs a time column unless it is open at both ends.
    seen
        The champion's training rows, which are excluded; needs record batches with row ids. None excludes no rows.
    """

    config: ModelConfig
    times: TimeRange = field(default_factory=TimeRange)
    seen: SeenRows | None = None

    @property
    def needs_row_ids(self) -> bool:
        """Whether record batches must have row ids.

        Without a key, row ids are hashes of the content, which are slow to compute. They are not needed if content
        hashes of the training rows are known, because rows with equal ids have equal features.
        """
        return self.seen is not None and not (self.seen.by_content and self.config.key is None)

    def chosen(self, record_batch: StoredRecordBatch) -> ChosenRows:
        """Select rows of a record batch."""
        everything = np.ones(record_batch.batch.num_rows, dtype=bool)
        moments, has_time = _moments(record_batch.batch, self.config.time)
        inside = everything if self.times.is_open else has_time & self.times.holds(moments)
        known = self._trained_on(record_batch) & inside
        kept = inside & ~known
        return ChosenRows(
            batch=record_batch.batch if kept.all() else record_batch.batch.filter(_mask(kept)),
            kept=kept,
            n_outside=int(np.count_nonzero(has_time & ~inside)),
            n_without_time=int(np.count_nonzero(~has_time)) if self.config.time else 0,
            n_seen=int(np.count_nonzero(known)),
            order=TimeOrder.of(moments[kept & has_time]),
        )

    def _trained_on(self, record_batch: StoredRecordBatch) -> Mask:
        if self.seen is None:
            return np.zeros(record_batch.batch.num_rows, dtype=bool)
        features, time = self.config.features.used, self.config.time
        columns = dict.fromkeys([*features, *([time] if time else [])])
        batch = record_batch.batch.select([*columns])
        frame = contract_frame([batch], batch.schema)
        contents = feature_hashes(frame, features) if self.seen.by_content else None
        if record_batch.row_ids is not None:
            return self.seen.holds(identities(Rows(frame, record_batch.row_ids, 0, 0), self.config), contents)
        if contents is None or self.needs_row_ids:
            raise ValueError("expected record batches with row ids, found none")
        return self.seen.holds(contents, contents)


def _moments(batch: pa.RecordBatch, time: str | None) -> tuple[Moments, Mask]:
    """Return the times of the rows and which rows have one; the others' are 0."""
    import pyarrow as pa

    if time is None:
        return np.zeros(batch.num_rows, dtype=np.int64), np.zeros(batch.num_rows, dtype=bool)
    column = batch.column(time)
    moments = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    return moments, column.is_valid().to_numpy(zero_copy_only=False)


def _mask(kept: Mask) -> pa.BooleanArray:
    import pyarrow as pa

    return pa.array(kept)
