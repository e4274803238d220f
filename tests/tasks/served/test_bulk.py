"""Labels from files and queries: read as ingestion reads, refused as a whole, recorded in parts."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from config.schema import ModelConfig
from config.settings import Settings
from core.errors import ConfigError, SchemaError, SourceError
from core.feature_contract import FeatureContract
from serving.ids import new_request_id
from store.database import open_database, reading
from store.log.labels import record_labels
from store.predictions import delete_before
from store.tables import NO_EVENT, LabelRow
from tasks.served import bulk
from tasks.served.bulk import BulkLabels, LabelColumns, record_labels_of
from tests.factories import credit_config, credit_rows, make_project
from tests.tasks.served.traffic import log_rows

CONFIG = credit_config()
REGRESSION = credit_config(
    task="regression", positive=None, gate={"metric": "rmse", "floor": 10.0}, source={"decimal": ","}
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return a project."""
    return make_project(tmp_path)


def record(settings: Settings, place: object, config: ModelConfig = CONFIG, **columns: Any) -> BulkLabels:
    """Record the labels of a place; keys in the column ``id``, labels in the column ``default``."""
    contract = FeatureContract.of(config, () if config.task == "regression" else ["0", "1"])
    asked = LabelColumns(str(place), **{"kind": "key", "reference": "id", "label": "default", **columns})
    return record_labels_of(config, contract, asked, settings)


def recorded(settings: Settings) -> dict[tuple[str, datetime], tuple[int, str]]:
    """Return number and value of the newest label of each event."""
    table = LabelRow.__table__
    with reading(open_database(settings.database_url)) as connection:
        rows = connection.execute(table.select().order_by(table.c.number)).mappings()
        return {(row["reference"], row["event_at"]): (row["number"], row["label"]) for row in rows}


def numbers(found: BulkLabels) -> tuple[int, ...]:
    """Return rows, added, unchanged, replaced, repeated and empty."""
    return found.rows, found.added, found.unchanged, found.replaced, found.repeated, found.empty


def test_a_file_is_recorded_once_and_changes_become_new_rows(settings: Settings, tmp_path: Path) -> None:
    """Cells mean what they mean to an ingestion; rows without a label wait; of repeated rows the last counts."""
    path = tmp_path / "outcomes.csv"
    path.write_text("id,default\n a ,1.0\n7.0,0\nb,\nc,1\nc,0\n")
    assert numbers(record(settings, path)) == (5, 3, 0, 0, 1, 1)
    assert recorded(settings) == {(key, NO_EVENT): (1, label) for key, label in (("a", "1"), ("7", "0"), ("c", "0"))}
    assert numbers(record(settings, path)) == (5, 0, 3, 0, 1, 1)
    path.write_text("id;default\na;0\n7;0\n")
    assert numbers(record(settings, path)) == (2, 0, 1, 1, 0, 0)
    assert recorded(settings)["a", NO_EVENT] == (2, "0")


def test_parquet_with_the_time_of_the_event(settings: Settings, tmp_path: Path) -> None:
    """Two events of one key are apart; times are UTC."""
    times = pd.to_datetime(["2026-03-01T01:00:00+02:00", "2026-03-02T00:00:00Z"], utc=True)
    pd.DataFrame({"who": [7, 7], "paid": [True, False], "when": times}).to_parquet(tmp_path / "outcomes.parquet")
    config = credit_config(positive="true")
    contract = FeatureContract.of(config, ["false", "true"])
    asked = LabelColumns(str(tmp_path / "outcomes.parquet"), "key", "who", "paid", "when")
    record_labels_of(config, contract, asked, settings)
    assert recorded(settings) == {
        ("7", datetime(2026, 2, 28, 23, tzinfo=UTC)): (1, "true"),
        ("7", datetime(2026, 3, 2, tzinfo=UTC)): (1, "false"),
    }


def test_a_query_is_read_from_its_database(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address stands in the environment; without a name for it, what is missing is said."""
    with closing(sqlite3.connect(tmp_path / "bank.db")) as connection:
        connection.executescript("CREATE TABLE loans (id TEXT, status INTEGER); INSERT INTO loans VALUES ('a', 1)")
    query = 'SELECT id, status AS "default" FROM loans'
    with pytest.raises(ConfigError, match="--uri-env NAME"):
        record(settings, query)
    monkeypatch.setenv("BANK_URL", f"sqlite:///{tmp_path / 'bank.db'}")
    assert record(settings, query, uri_env="BANK_URL").added == 1


def test_numbers_have_the_notation_of_the_target(settings: Settings, tmp_path: Path) -> None:
    """And the text of a label is the one that the service writes."""
    (tmp_path / "values.csv").write_text('id;default\na;"1,5"\nb;-2\n')
    record(settings, tmp_path / "values.csv", REGRESSION)
    assert sorted(label for _, label in recorded(settings).values()) == ["-2.0", "1.5"]


def test_ids_that_are_not_in_the_log_are_told_and_kept(settings: Settings, tmp_path: Path) -> None:
    """The prediction may be written later."""
    rows = credit_rows(3).drop(columns="default")
    ids = log_rows(open_database(settings.database_url), rows, [[0.5, 0.5]] * 3, datetime.now(UTC), per_request=2)
    unknown = [new_request_id(), f"{ids[2][:-4]}0001"]
    pd.DataFrame({"prediction": [*ids, *unknown], "default": 1}).to_csv(tmp_path / "ids.csv", index=False)
    found = record(settings, tmp_path / "ids.csv", kind="id", reference="prediction")
    assert (found.added, found.unmatched, sorted(found.unmatched_ids)) == (5, 2, sorted(unknown))
    delete_before(open_database(settings.database_url), "ffffffff")
    assert record(settings, tmp_path / "ids.csv", kind="id", reference="prediction").unmatched == 5


def test_keys_that_no_prediction_has_are_told_and_kept(settings: Settings, tmp_path: Path) -> None:
    """Once each, in the file's order, whatever other models and shadows answered; rows without a label do not count."""
    rows = credit_rows(4).drop(columns="default").assign(id=["a", "b", "7", "s"])
    engine = open_database(settings.database_url)
    log_rows(engine, rows.iloc[:3], [[0.5, 0.5]] * 3, datetime.now(UTC), key="id", per_request=2)
    log_rows(engine, rows.iloc[3:], [[0.5, 0.5]], datetime.now(UTC), key="id", variant="shadow")
    log_rows(engine, rows.assign(id="x"), [[0.5, 0.5]] * 4, datetime.now(UTC), key="id", model="other")
    path = tmp_path / "outcomes.csv"
    path.write_text("id,default\nx,1\na,1\ns,0\nx,0\n7.0,0\n A ,0\nwaits,\n")
    found = record(settings, path)
    assert (found.added, found.unmatched, found.unmatched_keys, found.unmatched_ids) == (5, 3, ("x", "s", "A"), ())
    assert record(settings, path).unmatched_keys == ("x", "s", "A")
    path.write_text("id,default\n" + "".join(f"n{place},1\n" for place in range(12_000)))
    assert (found := record(settings, path)).unmatched == 12_000
    assert found.unmatched_keys == tuple(f"n{place}" for place in range(10))
    path.write_text("id,default\na,1\nb,0\n")
    assert (record(settings, path).unmatched, record(settings, path).unmatched_keys) == (0, ())


@pytest.mark.parametrize(
    "place", ["{}/csv", "{}/parquet", "{}/A.PARQUET", "memory://labels", "memory://labels/*.parquet"]
)
def test_folders_and_other_places_are_read(settings: Settings, tmp_path: Path, place: str) -> None:
    """A folder of either kind, an ending in capitals, a folder elsewhere."""
    import fsspec

    frame = pd.DataFrame({"id": ["a", "b"], "default": [1, 0]})
    for name in ("csv", "parquet"):
        (tmp_path / name).mkdir()
    frame.to_csv(tmp_path / "csv" / "a.csv", index=False)
    for path in (tmp_path / "parquet" / "a.parquet", tmp_path / "A.PARQUET"):
        frame.to_parquet(path)
    fsspec.filesystem("memory").pipe_file("/labels/a.parquet", (tmp_path / "A.PARQUET").read_bytes())
    assert record(settings, place.format(tmp_path)).added == 2


@pytest.mark.parametrize(
    ("place", "columns", "message"),
    [
        (" ", {}, "--from expects a file"),
        ("SELECT 1", {"uri_env": "bank url"}, "--uri-env expects the name of an environment variable"),
    ],
)
def test_options_that_name_nothing_are_refused(
    settings: Settings, place: str, columns: dict[str, Any], message: str
) -> None:
    """By the option."""
    with pytest.raises(ConfigError, match=message):
        record(settings, place, **columns)


@pytest.mark.parametrize(
    ("content", "columns", "error", "message"),
    [
        ("id,default\na,1\nb,2\n", {}, SchemaError, "expected one of the classes '0'(,| and) '1', found '2' in row 2"),
        ("id,default\na,1\n,0\n", {}, SchemaError, "expected a value in 'id', found none in row 2"),
        (f"id,default\n{'k' * 256},1\n", {}, SchemaError, "a key of at most 255 characters"),
        ("id,default\na,1\n", {"kind": "id"}, SchemaError, "expected the id of a prediction, found 'a' in row 1"),
        ("id,default\na,1\n", {"label": "defalut"}, SchemaError, "expected the column 'defalut'"),
        ("id,default\na,1\n", {"label": "id"}, ConfigError, "a column of its own"),
        ("id,default,at\na,1,soon\n", {"event": "at"}, SchemaError, "expected a date"),
        ("id,default,at\na,1,0001-01-01\n", {"event": "at"}, SchemaError, "expected a later time in 'at'"),
        ("id,default\n\x1b[2J,1\n", {}, SchemaError, "control characters"),
        ("id,default,at\na,1,\n", {"event": "at"}, SchemaError, "expected a time in 'at', found none in row 1"),
        ("", {}, SourceError, "bad"),
    ],
)
def test_bad_input_leaves_nothing_behind(
    settings: Settings, tmp_path: Path, content: str, columns: dict[str, Any], error: type[Exception], message: str
) -> None:
    """The message names what was expected and where; no row is recorded, no file is left."""
    (tmp_path / "bad.csv").write_text(content)
    with pytest.raises(error, match=message):
        record(settings, tmp_path / "bad.csv", **columns)
    assert recorded(settings) == {}
    assert list((settings.var / "work").iterdir()) == []


def test_a_missing_file_is_told(settings: Settings, tmp_path: Path) -> None:
    """By its path."""
    with pytest.raises(SourceError, match=r"absent\.csv"):
        record(settings, tmp_path / "absent.csv")


KILLED = """
import sys
from pathlib import Path
from config.settings import load_settings
from core.feature_contract import FeatureContract
from tasks.served import bulk
from tests.factories import credit_config

bulk.ROWS_PER_WRITE = 200
config = credit_config()
asked = bulk.LabelColumns(sys.argv[1], "key", "id", "default")
bulk.record_labels_of(config, FeatureContract.of(config, ["0", "1"]), asked, load_settings())
"""


@pytest.mark.slow
def test_kills_between_parts_lose_none_and_record_none_twice(settings: Settings, tmp_path: Path) -> None:
    """Three processes record the same file; two are killed on the way; the same command again records the rest."""
    path = tmp_path / "outcomes.csv"
    pd.DataFrame({"id": [f"k{place}" for place in range(4_000)], "default": 1}).to_csv(path, index=False)
    environment = os.environ | {"PERENNIAL_ROOT": str(settings.root), "PERENNIAL_VAR": str(settings.var)}
    words = [sys.executable, "-c", KILLED, str(path)]
    running = [subprocess.Popen(words, env=environment, stderr=subprocess.PIPE) for _ in range(3)]
    for victim in running[:2]:
        while len(recorded(settings)) < 400 and victim.poll() is None:
            time.sleep(0.01)
        victim.send_signal(signal.SIGKILL)
    assert running[2].communicate()[1].decode() == ""
    for victim in running[:2]:
        victim.communicate()
    found = record(settings, path)
    assert found.added + found.unchanged == 4_000
    assert set(recorded(settings).values()) == {(1, "1")}
    assert len(recorded(settings)) == 4_000


def test_parts_are_of_bounded_size(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the number of rows."""
    monkeypatch.setattr(bulk, "ROWS_PER_WRITE", 100)
    pd.DataFrame({"id": [f"k{place}" for place in range(1_050)], "default": 1}).to_csv(tmp_path / "a.csv", index=False)
    sizes = []
    record_part = record_labels

    def watched(engine: Any, model: str, labels: Any, *more: Any) -> Any:
        sizes.append(len(labels))
        return record_part(engine, model, labels, *more)

    monkeypatch.setattr(bulk, "record_labels", watched)
    assert record(settings, tmp_path / "a.csv").added == 1_050
    assert sum(sizes) == 1_050
    assert max(sizes) <= 100
