"""Count a window: one pass over its batches returns the counts of every column and a sample of the rows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from config.schema import ModelConfig
from core.data.columns import column_types
from core.data.seen_rows import SeenRows
from core.data.split import Hashes
from core.drift.bottom_k import BottomK, row_keys
from core.drift.counts import WindowCounts
from core.drift.profile import ColumnProfile, LevelProfile, Profile, text_form, text_numbers
from core.drift.times import TimeOrder, TimeRange, joined_order, moment
from tasks.monitor.window_rows import ChosenRows, RowRule
from tasks.versions.record_batches import (
    StoredRecordBatch,
    contract_frame,
    contract_record_batches,
    contract_schema,
    file_groups,
    group_record_batches,
    holds_contract_types,
    plain_text,
    plain_texts,
)

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

MAX_THREADS = 4
"""Concurrent readers; each uses the memory of a few record batches."""


@dataclass(frozen=True, eq=False)
class Window:
    """A window's rows, counted.

    Parameters
    ----------
    columns
        Counts over the reference's bins, in its order.
    target
        Counts of the target, named ``target``: an unknown class is ``other``, a row without a label is missing.
    unused
        Counts of the reference's columns that are not features, in its order; those that the model file no longer
        declares are left out.
    n_rows
        Rows counted.
    n_outside
        Excluded rows whose time is outside the range.
    n_without_time
        Rows without a time; they are excluded if a range is given.
    n_seen
        Excluded rows that the champion was trained on.
    n_out_of_order
        Counted rows whose time is earlier than that of the row before, in the given order of batches.
    first_time, last_time
        Earliest and latest time among the rows counted, UTC without zone; None if no row has one.
    sample
        Random sample of the counted rows, RangeIndex, in the order of the batches; typed as by
        :func:`tasks.versions.rows.load_rows`: the time, the target, the features and the requested extra columns.
    rare
        Counted rows of the requested rare classes, in the same form: all, or as many as allowed, drawn at random.
    """

    columns: tuple[ColumnProfile, ...]
    target: ColumnProfile
    n_rows: int
    n_outside: int
    n_without_time: int
    n_seen: int
    n_out_of_order: int
    first_time: datetime | None
    last_time: datetime | None
    sample: pd.DataFrame
    rare: pd.DataFrame
    unused: tuple[ColumnProfile, ...] = ()


def count_window(
    paths: Sequence[Path],
    reference: Profile,
    config: ModelConfig,
    *,
    sample_rows: int,
    seed: int,
    since: datetime | None = None,
    until: datetime | None = None,
    seen: SeenRows | None = None,
    extra_columns: Sequence[str] = (),
    rare_classes: Sequence[str] = (),
    rare_rows: int = 0,
    numbers: Sequence[str] = (),
) -> Window:
    """Count the rows of some batches against the reference's bins and draw a sample of them, in one pass.

    Memory is bounded by the sample and a few record batches per thread, whatever the number of rows. The result depends
    only on the rows and the seed, not on threads or on the layout of the files.

    Parameters
    ----------
    paths
        Parquet files, in order. A batch older than the contract is cast to it, which is slower.
    config
        Model file with the features that the reference describes.
    since, until
        Rows with ``since <= time < until`` are counted; a moment without a time zone is UTC.
    seen
        Rows that the champion was trained on, which are excluded; None excludes no rows, which is faster.
    extra_columns
        Further declared columns for the sample.
    rare_classes, rare_rows
        Classes whose rows are all wanted, whether they are in the sample or not, and the largest number of them.
    numbers
        Columns of numbers beside the declared ones, for the sample: served predictions.

    Raises
    ------
    SchemaError
        A stored value does not fit the type the model file declares now.
    StorageError
        A file cannot be read.
    ValueError
        A range of time is given and the model file has no time column.
    """
    times = TimeRange(since, until)
    if config.time is None and not times.is_open:
        raise ValueError("a range of time needs a time column, but the model file has none")
    rare = _Rare(tuple(rare_classes), BottomK(rare_rows if rare_classes else 0))
    rule = RowRule(config, times, seen)
    plan = _Plan(reference, rule, seed, BottomK(sample_rows), rare, tuple(extra_columns), tuple(numbers))
    total = _Part(plan.counts())
    with ExitStack() as opened:
        streams = _streams(paths, plan, opened)
        pool = opened.enter_context(ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1), "window"))
        for part in pool.map(partial(_counted, plan), streams):
            total.merge(part)
    return _window(plan, total)


@dataclass(frozen=True, eq=False)
class _Rare:
    """Rows of the rare classes; their keys are those of the sample, so both are uniform."""

    classes: tuple[str, ...]
    sample: BottomK[pa.RecordBatch]

    def places(self, target: pa.Array, keys: Hashes) -> npt.NDArray[np.int64]:
        if not self.classes:
            return np.array([], dtype=np.int64)
        rows = np.flatnonzero(_has_level(target, self.classes))
        places: npt.NDArray[np.int64] = rows[self.sample.places(keys[rows])]
        return places


@dataclass(frozen=True, eq=False)
class _Plan:
    """Inputs shared by all threads."""

    reference: Profile
    rule: RowRule
    seed: int
    sample: BottomK[pa.RecordBatch]
    rare: _Rare
    extra_columns: tuple[str, ...]
    numbers: tuple[str, ...] = ()
    lock: Lock = field(default_factory=Lock)

    @cached_property
    def sample_columns(self) -> tuple[str, ...]:
        config = self.rule.config
        wanted = {config.time, config.target, *config.features.used, *self.extra_columns}
        return tuple(column for column in config.columns if column in wanted)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        wanted = {*self.sample_columns, *(profile.name for profile in self.unused)}
        return tuple(column for column in self.rule.config.columns if column in wanted)

    @cached_property
    def unused(self) -> tuple[ColumnProfile, ...]:
        config = self.rule.config
        texts = {column for column, kind in column_types(config).items() if kind == "VARCHAR"} - {config.target}
        return tuple(profile for profile in self.reference.unused if profile.name in texts)

    @cached_property
    def profiles(self) -> tuple[ColumnProfile, ...]:
        """The reference's columns under their stored names: features, the target, columns that are not features."""
        target = replace(self.reference.target, name=self.rule.config.target)
        return (*self.reference.columns, target, *self.unused)

    @cached_property
    def levels(self) -> dict[str, pa.Array]:
        import pyarrow as pa

        found = (profile for profile in self.profiles if isinstance(profile, LevelProfile))
        return {profile.name: pa.array(profile.levels, pa.string()) for profile in found}

    def counts(self) -> WindowCounts:
        return WindowCounts(self.profiles)


@dataclass(frozen=True, eq=False)
class _Stream:
    """Record batches of one file, or of a part of it."""

    source: int
    record_batches: Callable[[], Iterator[StoredRecordBatch]]


@dataclass(eq=False)
class _Part:
    """Result of one stream so far."""

    counts: WindowCounts
    n_outside: int = 0
    n_without_time: int = 0
    n_seen: int = 0
    order: TimeOrder | None = None

    def add(self, later: ChosenRows | _Part) -> None:
        self.n_outside += later.n_outside
        self.n_without_time += later.n_without_time
        self.n_seen += later.n_seen
        self.order = joined_order(self.order, later.order)

    def merge(self, later: _Part) -> None:
        self.counts.merge(later.counts)
        self.add(later)


def _streams(paths: Sequence[Path], plan: _Plan, opened: ExitStack) -> Iterator[_Stream]:
    """Return streams in row order: one per row group if no cell needs a cast and no row an id, else one per file."""
    config = plan.rule.config
    engine: duckdb.DuckDBPyConnection | None = None
    for source, path in enumerate(paths):
        if not plan.rule.needs_row_ids and holds_contract_types(path, config, plan.columns, plan.numbers):
            for group in file_groups(path):
                yield _Stream(source, partial(group_record_batches, group, (*plan.columns, *plan.numbers)))
        else:
            engine = engine or _engine(opened)
            cast = partial(contract_record_batches, engine, path, config, plan.columns, numbers=plan.numbers)
            yield _Stream(source, partial(cast, with_row_ids=plan.rule.needs_row_ids))


def _engine(opened: ExitStack) -> duckdb.DuckDBPyConnection:
    import duckdb

    return opened.enter_context(duckdb.connect())


def _counted(plan: _Plan, stream: _Stream) -> _Part:
    part = _Part(plan.counts())
    for record_batch in stream.record_batches():
        chosen = plan.rule.chosen(record_batch)
        part.add(chosen)
        for profile in plan.profiles:
            _add(part.counts, profile, chosen.batch.column(profile.name), plan.levels)
        _draw(plan, stream.source, record_batch, chosen)
    return part


def _draw(plan: _Plan, source: int, record_batch: StoredRecordBatch, chosen: ChosenRows) -> None:
    keys = row_keys(plan.seed, source, record_batch.first_row, record_batch.batch.num_rows)
    if len(keys) != chosen.batch.num_rows:
        keys = keys[chosen.kept]
    # Another thread may lower the bound in the meantime: then some rows are read in vain, but none is lost.
    target = chosen.batch.column(plan.rule.config.target)
    for sample, places in (
        (plan.sample, plan.sample.places(keys)),
        (plan.rare.sample, plan.rare.places(target, keys)),
    ):
        if len(places):
            wanted = [*plan.sample_columns, *plan.numbers]
            rows = plain_texts(chosen.batch.select(wanted).take(_arrow(places)))
            with plan.lock:
                sample.keep(keys[places], rows, source, record_batch.first_row)


def _add(counts: WindowCounts, profile: ColumnProfile, column: pa.Array, levels: dict[str, pa.Array]) -> None:
    import pyarrow as pa

    name = profile.name
    if isinstance(profile, LevelProfile):
        coded = _coded(column)
        counts.add_counts(name, _level_counts(_forms(coded) if profile.kind == "forms" else coded, levels[name]))
    elif profile.kind == "date":
        moments = column.drop_null().cast(pa.int64()).to_numpy()
        counts.add_dates(name, moments, column.null_count)
    elif not pa.types.is_floating(column.type):
        counts.add_numbers(name, text_numbers(plain_text(column).to_numpy(zero_copy_only=False)))
    else:
        counts.add_numbers(name, column.to_numpy(zero_copy_only=False))


def _forms(column: pa.DictionaryArray) -> pa.DictionaryArray:
    import pyarrow as pa

    forms = pa.array([text_form(text) for text in column.dictionary.to_pylist()], pa.string())
    return pa.DictionaryArray.from_arrays(column.indices, forms)


def _coded(column: pa.Array) -> pa.DictionaryArray:
    import pyarrow as pa

    if pa.types.is_boolean(column.type):
        return pa.DictionaryArray.from_arrays(column.cast(pa.int8()), pa.array(["false", "true"]))
    return column if pa.types.is_dictionary(column.type) else column.dictionary_encode()


def _level_counts(column: pa.DictionaryArray, levels: pa.Array) -> npt.NDArray[np.int64]:
    """Count rows per reference level, with another level, and without a level; the batch's levels stay in Arrow."""
    import pyarrow.compute as pc

    n_codes = len(column.dictionary)
    codes = column.indices.fill_null(n_codes) if column.null_count else column.indices
    rows = np.bincount(codes.to_numpy(), minlength=n_codes + 1)
    places = pc.index_in(column.dictionary, value_set=levels).fill_null(len(levels)).to_numpy()
    found = np.zeros(len(levels) + 2, dtype=np.int64)
    np.add.at(found, places, rows[:-1])
    found[-1] = rows[-1]
    return found


def _has_level(column: pa.Array, levels: Sequence[str]) -> npt.NDArray[np.bool_]:
    import pyarrow as pa
    import pyarrow.compute as pc

    coded = _coded(column)
    known = pc.is_in(coded.dictionary, value_set=pa.array(levels, pa.string())).to_numpy(zero_copy_only=False)
    codes = coded.indices.fill_null(len(known)).to_numpy(zero_copy_only=False)
    found: npt.NDArray[np.bool_] = np.append(known, False)[codes]
    return found


def _arrow(places: npt.NDArray[np.int64]) -> Any:
    import pyarrow as pa

    return pa.array(places)


def _window(plan: _Plan, total: _Part) -> Window:
    found, n_features = total.counts.columns(), len(plan.reference.columns)
    target = found[n_features]
    schema = contract_schema(plan.rule.config, plan.sample_columns, plan.numbers)
    return Window(
        columns=found[:n_features],
        target=replace(target, name=plan.reference.target.name),
        unused=found[n_features + 1 :],
        n_rows=total.counts.n_rows,
        n_outside=total.n_outside,
        n_without_time=total.n_without_time,
        n_seen=total.n_seen,
        n_out_of_order=total.order.n_descents if total.order else 0,
        first_time=moment(total.order.earliest) if total.order else None,
        last_time=moment(total.order.latest) if total.order else None,
        sample=contract_frame(plan.sample.blocks(), schema),
        rare=contract_frame(plan.rare.sample.blocks(), schema),
    )
