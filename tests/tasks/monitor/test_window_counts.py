from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tasks.monitor.window_counts
from core.data.seen_rows import identities, rows_trained_on, seen_rows
from core.data.split import holdout_split
from core.drift.counts import all_counts, frame_counts
from core.drift.profile import BinnedProfile, LevelProfile, unused_profile
from core.errors import SchemaError, StorageError
from tasks.monitor.window_counts import Window, count_window
from tests.factories import credit_config
from tests.tasks.windows import FIRST, TIMED, TYPES, distinct_rows, loaded, reference_of, timed_table, write_batches

REFERENCE = reference_of(timed_table(600, 0), levels=2)
RARE = ("1",)


def told(window: Window) -> object:
    """Everything a window says, comparable."""
    fields = (getattr(window, name) for name in Window.__dataclass_fields__ if name not in ("sample", "rare"))
    return *fields, window.sample.to_csv(), window.rare.to_csv()


def test_counts_are_those_of_the_loaded_rows(tmp_path: Path) -> None:
    """Straight from Parquet every column is counted as pandas counts the same rows, the target under its own name."""
    table = timed_table(500, 1)
    window = count_window(write_batches(tmp_path, [table]), REFERENCE, TIMED, sample_rows=0, seed=1)
    frame = table.to_pandas(types_mapper={pa.bool_(): pd.BooleanDtype()}.get)
    assert window.columns == frame_counts(REFERENCE.columns, frame)
    (target,) = frame_counts([replace(REFERENCE.target, name="default")], frame)
    assert window.target == replace(target, name="target")
    assert window.n_rows == 500
    region = next(column for column in window.columns if column.name == "region")
    assert isinstance(region, LevelProfile)
    assert region.other > 100
    assert all(column.missing > 20 for column in window.columns)


@pytest.mark.parametrize("cast", [False, True])
def test_columns_that_are_not_features_are_counted(tmp_path: Path, cast: bool) -> None:
    """Levels, numbers in texts and forms of keys, straight from Parquet and through DuckDB; the sample lacks them."""
    config = credit_config(time="at", features={"dates": ["joined"], "ignored": ["fee", "channel", "gone"]})
    table = timed_table(500, 1)
    fees = [None if place % 10 == 0 else str(place % 7) for place in range(500)]
    table = table.append_column("fee", pa.array(fees)).append_column("channel", pa.array(["web"] * 499 + ["app"]))
    frame = table.to_pandas()
    unused = [unused_profile(name, frame[name], identifies=name == "id") for name in ("id", "fee", "channel")]
    reference = replace(REFERENCE, unused=(*unused, replace(unused[0], name="undeclared")))
    if not cast:
        table = table.append_column("gone", pa.nulls(500, pa.string()))
    window = count_window(write_batches(tmp_path, [table]), reference, config, sample_rows=10, seed=1)
    assert [column.name for column in window.unused] == ["id", "fee", "channel"]
    assert [all_counts(column).tolist() for column in window.unused] == [all_counts(one).tolist() for one in unused]
    assert not {"fee", "channel", "id"} & set(window.sample.columns)


def test_the_whole_sample_is_every_row(tmp_path: Path) -> None:
    """A sample as large as the window holds its rows in order, typed as training gets them."""
    tables = [timed_table(300, 1), timed_table(200, 2)]
    paths = write_batches(tmp_path, tables, row_group_size=64)
    window = count_window(paths, REFERENCE, TIMED, sample_rows=500, seed=1, extra_columns=["id"])
    rows = loaded(paths).frame
    labelled = window.sample[window.sample["default"].notna()].reset_index(drop=True)
    pd.testing.assert_frame_equal(labelled, rows)
    assert window.sample.index.equals(pd.RangeIndex(500))
    without = count_window(paths, REFERENCE, TIMED, sample_rows=500, seed=1).sample
    pd.testing.assert_frame_equal(without, window.sample.drop(columns="id"))


def test_all_rows_of_a_rare_class_are_kept_up_to_a_bound(tmp_path: Path) -> None:
    """Beside the sample, and those of the class that the sample has are among them."""
    paths = write_batches(tmp_path, [timed_table(300, 1), timed_table(200, 2)], row_group_size=64)
    (rare,), frame = RARE, loaded(paths).frame.drop(columns="id")
    window = count_window(paths, REFERENCE, TIMED, sample_rows=60, seed=1, rare_classes=[rare], rare_rows=500)
    every = frame[frame["default"] == rare].reset_index(drop=True)
    assert 0 < len(every) < 500
    pd.testing.assert_frame_equal(window.rare, every)
    few = count_window(paths, REFERENCE, TIMED, sample_rows=60, seed=1, rare_classes=[rare], rare_rows=40)
    assert len(few.rare) == 40
    assert len(few.rare.merge(every)) >= 40
    sampled = few.sample[few.sample["default"] == rare]
    assert len(sampled.merge(few.rare)) >= min(len(sampled), 40)
    assert count_window(paths, REFERENCE, TIMED, sample_rows=60, seed=1).rare.empty


def test_the_result_does_not_depend_on_threads_or_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row groups, dictionaries, compression and the number of readers change nothing, not even the rows sampled."""
    tables = [timed_table(900, 1), timed_table(400, 2)]
    results = []
    ways: list[dict[str, Any]] = [
        {},
        {"row_group_size": 50},
        {"use_dictionary": False, "row_group_size": 300},
        {"compression": "zstd"},
    ]
    for number, options in enumerate(ways):
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.setattr(tasks.monitor.window_counts, "MAX_THREADS", number + 1)
        paths = write_batches(folder, tables, **options)
        rare: dict[str, Any] = {"rare_classes": RARE, "rare_rows": 70}
        results.append(told(count_window(paths, REFERENCE, TIMED, sample_rows=100, seed=5, **rare)))
    assert all(result == results[0] for result in results)


def test_an_older_batch_is_cast_and_counted_the_same(tmp_path: Path) -> None:
    """A batch of another contract (whole numbers, words, text dates, a column less) gives the same rows and sample."""
    table = timed_table(300, 1)
    table = table.set_column(table.schema.get_field_index("age"), "age", pa.nulls(300, pa.float64()))
    old = table.drop_columns(["age"])
    for name, kind in {"default": pa.int32(), "owner": pa.string(), "joined": pa.string()}.items():
        old = old.set_column(old.schema.get_field_index(name), name, old.column(name).cast(kind))
    paths = write_batches(tmp_path, [table, old])
    new_window, old_window = (
        count_window([path], REFERENCE, TIMED, sample_rows=50, seed=3, extra_columns=["id"]) for path in paths
    )
    assert told(old_window) == told(new_window)
    assert old_window.sample.dtypes.equals(new_window.sample.dtypes)


def test_a_value_of_another_type_stops_the_count(tmp_path: Path) -> None:
    """Text where the contract has numbers is named, with the batch and an example, whatever else the window holds."""
    table = timed_table(50, 1)
    place = table.schema.get_field_index("income")
    wrong = table.set_column(place, "income", pa.array(["12.5"] * 49 + ["plenty"]))
    paths = write_batches(tmp_path, [table, wrong])
    with pytest.raises(SchemaError, match=r"'income' is now declared as a number.*0002.*'plenty'"):
        count_window(paths, REFERENCE, TIMED, sample_rows=10, seed=1)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("window")]


@pytest.mark.parametrize("content", [b"", b"PAR1 no parquet at all PAR1", None])
def test_a_broken_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    """A file that is absent, empty or no Parquet is an error that says which."""
    path = tmp_path / "0001-aaaaaaaaaaaa.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StorageError, match=r"0001-aaaaaaaaaaaa\.parquet cannot be read"):
        count_window([path], REFERENCE, TIMED, sample_rows=10, seed=1)


def test_damaged_pages_are_named(tmp_path: Path) -> None:
    """Bytes that changed after the footer was written stop the count in the middle, with the file's name."""
    (path,) = write_batches(tmp_path, [timed_table(2_000, 1)], compression="zstd")
    content = bytearray(path.read_bytes())
    damaged = slice(len(content) // 4, len(content) // 2)
    content[damaged] = bytes(damaged.stop - damaged.start)
    path.write_bytes(content)
    with pytest.raises(StorageError, match="cannot be read"):
        count_window([path], REFERENCE, TIMED, sample_rows=10, seed=1)


@pytest.mark.parametrize("seen", [False, True])
def test_an_empty_window_is_counted(tmp_path: Path, seen: bool) -> None:
    """No batch at all, or one without rows, gives zero counts and a typed sample of no rows."""
    paths = write_batches(tmp_path, [timed_table(0, 1)])
    known = seen_rows(np.array([], dtype=np.uint64), None) if seen else None
    for chosen in ([], paths):
        window = count_window(chosen, REFERENCE, TIMED, sample_rows=10, seed=1, seen=known)
        assert (window.n_rows, window.first_time, window.last_time, len(window.sample)) == (0, None, None, 0)
        assert not any(all_counts(column).any() for column in (*window.columns, window.target))
        assert str(window.sample["region"].dtype) == "str"
        assert str(window.sample["owner"].dtype) == "boolean"


def test_rows_outside_the_range_are_left_out(tmp_path: Path) -> None:
    """Since is included, until is not, rows without a time are told apart, and only rows inside are sampled."""
    table = timed_table(200, 1)
    times = table.column("at").to_pylist()
    times[30] = times[100] = None
    table = table.set_column(1, "at", pa.array(times, pa.timestamp("us")))
    since, until = FIRST + timedelta(hours=20), FIRST + timedelta(hours=120)
    window = count_window(
        write_batches(tmp_path, [table], row_group_size=64),
        REFERENCE,
        TIMED,
        sample_rows=500,
        seed=1,
        since=since.replace(tzinfo=UTC),
        until=until,
    )
    assert (window.n_rows, window.n_outside, window.n_without_time) == (98, 100, 2)
    assert (window.first_time, window.last_time) == (since, until - timedelta(hours=1))
    assert window.sample["at"].tolist() == [time for time in times[20:120] if time is not None]
    whole = count_window(write_batches(tmp_path, [table]), REFERENCE, TIMED, sample_rows=0, seed=1)
    assert (whole.n_rows, whole.n_outside, whole.n_without_time) == (200, 0, 2)


def test_a_range_needs_a_time_column() -> None:
    """Without one no row can be said to lie in it."""
    with pytest.raises(ValueError, match="time column"):
        count_window([], REFERENCE, credit_config(), sample_rows=1, seed=1, since=FIRST)


def test_rows_out_of_order_are_counted(tmp_path: Path) -> None:
    """Each row earlier than the row before counts, at the seams of row groups and batches too."""
    table = timed_table(100, 1)
    order = [*range(50), 10, *range(51, 100)]
    window = count_window(
        write_batches(tmp_path, [table.take(order), table.take([0])], row_group_size=50),
        REFERENCE,
        TIMED,
        sample_rows=0,
        seed=1,
    )
    assert window.n_out_of_order == 2
    assert (window.first_time, window.last_time) == (FIRST, FIRST + timedelta(hours=99))


@pytest.mark.parametrize(
    "changes",
    [{}, {"key": None, "features": {"ignored": ["id"]}}, {"key_is_unique": False}],
    ids=["unique key", "no key", "repeated key"],
)
@pytest.mark.parametrize("by_content", [True, False])
def test_rows_trained_on_are_left_out(tmp_path: Path, changes: dict[str, object], by_content: bool) -> None:
    """Rows are known by what the champion's bundle keeps of its training rows, however they are stored or mixed."""
    config = credit_config(**{"time": "at", "key": "id", **changes})
    old = distinct_rows(400, 1)
    rows = loaded(write_batches(tmp_path, [old]), config)
    split = holdout_split(rows, config)
    seen = rows_trained_on(rows, split, config)
    if not by_content:
        seen = seen_rows(identities(rows, config)[split.train], None)
    assert seen.by_content == by_content
    mixed = pa.concat_tables([timed_table(100, 2), old])
    paths = write_batches(tmp_path, [mixed, timed_table(70, 3)], row_group_size=60)
    window = count_window(paths, reference_of(old, config), config, sample_rows=10**6, seed=1, seen=seen)
    assert window.n_seen == len(split.train)
    assert window.n_rows == len(window.sample) == 570 - len(split.train)
    kept = set(window.sample["income"].dropna()) - set(timed_table(100, 2)["income"].to_pylist())
    assert not kept & set(rows.frame["income"].take(split.train).dropna())


def test_a_copy_under_another_key_was_trained_on(tmp_path: Path) -> None:
    """Features decide where the champion's rows do not repeat by chance."""
    config = credit_config(time="at")
    old = distinct_rows(300, 1)
    rows = loaded(write_batches(tmp_path, [old]), config)
    split = holdout_split(rows, config)
    seen = rows_trained_on(rows, split, config)
    renamed = old.set_column(0, "id", pa.array([f"new {number}" for number in range(300)]))
    paths = write_batches(tmp_path, [renamed])
    window = count_window(paths, reference_of(old, config), config, sample_rows=0, seed=1, seen=seen)
    assert window.n_seen == len(split.train)


def test_hostile_names_and_levels_are_only_names(tmp_path: Path) -> None:
    """Quotes, dots, markup and line breaks in columns and levels are counted like any other, by either way."""
    names = ['a"b', "a.b", "</script>", "x'; drop", "line\nbreak"]
    config = credit_config(key=None, features={"numeric": ["age"], "categorical": names, "boolean": []})
    levels = ["</script><script>", 'q"', "", None, "ä€😀", "null"]
    columns = {"default": ["0", "1"] * 3, "age": [1.0] * 6, **dict.fromkeys(names, levels)}
    types = [("default", pa.string()), ("age", pa.float64()), *((name, pa.string()) for name in names)]
    table = pa.table(columns, schema=pa.schema(types))
    reference = reference_of(table, config)
    old = table.set_column(1, "age", pa.array([1] * 6, pa.int32()))
    for path in write_batches(tmp_path, [table, old]):
        window = count_window([path], reference, config, sample_rows=9, seed=1)
        assert [column.counts for column in window.columns[1:]] == [(1, 1, 1, 1, 1)] * 5
        assert window.sample[names[0]].fillna("-").tolist() == ["-" if level is None else level for level in levels]


def test_texts_that_never_repeat_are_counted(tmp_path: Path) -> None:
    """Free text is counted as another level row by row, though it is not read through a dictionary."""
    table = timed_table(5_000, 1)
    place = table.schema.get_field_index("region")
    texts = pa.array([f"a text of some length, number {number}" for number in range(4_999)] + ["north"])
    (path,) = write_batches(tmp_path, [table.set_column(place, "region", texts)])
    window = count_window([path], REFERENCE, TIMED, sample_rows=0, seed=1)
    region = next(column for column in window.columns if column.name == "region")
    assert isinstance(region, LevelProfile)
    assert (region.other, sum(region.counts), region.missing) == (4_999, 1, 0)


def test_numbers_of_any_size_are_counted(tmp_path: Path) -> None:
    """Infinities, not-a-number, nulls and the largest floats fall where a pass in memory puts them."""
    wild = [np.inf, -np.inf, np.nan, None, 1e308, -1e308, 5e-324, -0.0, 1e6, 42.0]
    columns = {name: [None] * 10 for name in TYPES.names}
    table = pa.table({**columns, "income": wild}, schema=TYPES)
    (path,) = write_batches(tmp_path, [table])
    window = count_window([path], REFERENCE, TIMED, sample_rows=10, seed=1)
    income = window.columns[0]
    assert isinstance(income, BinnedProfile)
    assert income.missing == 2
    assert (income.minimum, income.maximum) == (-1e308, 1e308)
    assert (income.counts[0], income.counts[-1]) == (5, 3)
    assert window.target.missing == 10


def test_an_unknown_class_is_another_level_of_the_target(tmp_path: Path) -> None:
    """Labels the champion has never seen are counted, and so are rows without one."""
    table = timed_table(6, 1)
    labels = pa.array(["0", "1", "2", "2", None, "1"])
    (path,) = write_batches(tmp_path, [table.set_column(2, "default", labels)])
    target = count_window([path], REFERENCE, TIMED, sample_rows=0, seed=1).target
    assert all_counts(target).tolist() == [1, 2, 2, 1]
    assert target.name == "target"


def test_a_feature_may_be_called_target(tmp_path: Path) -> None:
    """The target's profile has that name in a bundle; a column of that name keeps its own counts."""
    config = credit_config(key=None, features={"numeric": ["target"], "categorical": [], "boolean": []})
    table = pa.table({"default": ["0", "1", "1"], "target": [1.0, 2.0, None]})
    (path,) = write_batches(tmp_path, [table])
    reference = reference_of(table, config)
    window = count_window([path], reference, config, sample_rows=0, seed=1)
    assert all_counts(window.columns[0]).tolist() == all_counts(reference.columns[0]).tolist()
    assert all_counts(window.target).tolist() == [1, 2, 0, 0]


def test_a_numeric_target_is_counted_in_its_bins(tmp_path: Path) -> None:
    """A regression's target is binned like a number."""
    regression: dict[str, Any] = {"task": "regression", "positive": None, "gate": {"metric": "rmse", "floor": 1.0}}
    config = credit_config(target="income", features={"numeric": ["age"]}, **regression)
    table = timed_table(300, 1)
    (path,) = write_batches(tmp_path, [table])
    window = count_window([path], reference_of(table, config), config, sample_rows=0, seed=1)
    assert isinstance(window.target, BinnedProfile)
    assert sum(window.target.counts) + window.target.missing == 300
    assert pq.read_metadata(path).num_rows == window.n_rows


@pytest.mark.parametrize("threads", [1, 4])
def test_the_sample_is_fair_to_late_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    """Of two batches of equal size about half of the sample comes from each, whatever the seed."""
    monkeypatch.setattr(tasks.monitor.window_counts, "MAX_THREADS", threads)
    late = timed_table(1_000, 2)
    shifted = [time + timedelta(days=999) for time in late.column("at").to_pylist()]
    late = late.set_column(1, "at", pa.array(shifted, pa.timestamp("us")))
    paths = write_batches(tmp_path, [timed_table(1_000, 1), late], row_group_size=250)
    for seed in range(3):
        sample = count_window(paths, REFERENCE, TIMED, sample_rows=400, seed=seed).sample
        n_late = int((sample["at"] > datetime(2026, 1, 1)).sum())
        # Hypergeometric: 200 expected, standard deviation 8.9.
        assert abs(n_late - 200) < 5 * 8.9
        assert len(sample) == 400
