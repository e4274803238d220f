from __future__ import annotations

import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from config.settings import Settings
from core.errors import SourceError, StorageError
from core.references import RowCounts
from tasks.versions.batches import known_batch, write_batch
from tests.factories import credit_config, make_project
from tests.tasks.versions.staging import TYPES, batch_files, credit_rows, rows_of, stage

KEYED = credit_config()
UNKEYED = credit_config(key=None, features={"ignored": ["id"]})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Make an empty project."""
    return make_project(tmp_path)


def batch_path(settings: Settings, name: str) -> Path:
    """Path of a batch in the working copy."""
    return settings.root / "data" / "credit" / f"{name}.parquet"


def test_rows_land_in_an_immutable_file(settings: Settings, tmp_path: Path) -> None:
    """The batch's name orders and recognises it, its footer carries the whole fingerprint and no password."""
    rows = stage(credit_rows(0, 50), tmp_path, source="postgresql://user:secret@host/db")
    batch = write_batch(rows, KEYED, settings)
    path = batch_path(settings, batch.name)
    assert (batch.name, batch.n_rows, batch.is_new) == (f"0001-{rows.fingerprint[:12]}", 50, True)
    assert rows_of(path) == credit_rows(0, 50)
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    footer = pq.read_metadata(path).metadata
    assert footer[b"perennial.fingerprint"] == rows.fingerprint.encode()
    assert footer[b"perennial.source"] == b"postgresql://host/db"
    assert b"secret" not in path.read_bytes()


@pytest.mark.parametrize("config", [KEYED, UNKEYED], ids=["keyed", "unkeyed"])
def test_the_same_rows_make_no_second_batch(settings: Settings, tmp_path: Path, config: object) -> None:
    """Ingesting again changes nothing on disk, with a database that remembers or without."""
    rows = stage(credit_rows(0, 50), tmp_path)
    first = write_batch(rows, config, settings)  # type: ignore[arg-type]
    before = batch_files(settings)
    (settings.var / "perennial.db").unlink()
    again = write_batch(rows, config, settings)  # type: ignore[arg-type]
    assert (again.name, again.is_new) == (first.name, False)
    assert batch_files(settings) == before
    assert known_batch(rows, config, settings) == again  # type: ignore[arg-type]
    assert known_batch(stage(credit_rows(0, 9), tmp_path), config, settings) is None  # type: ignore[arg-type]


def test_the_bytes_depend_on_the_rows_alone(tmp_path: Path) -> None:
    """Two projects that ingest the same rows have the same file, byte for byte."""
    rows = stage(credit_rows(0, 500), tmp_path)
    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        settings = make_project(tmp_path / name)
        write_batch(rows, KEYED, settings)
        found.append(batch_files(settings))
    assert found[0] == found[1]


def test_a_file_that_grew_gives_a_batch_of_new_and_changed_rows(settings: Settings, tmp_path: Path) -> None:
    """With a unique key, rows that are there already with the same content are left out."""
    write_batch(stage(credit_rows(0, 50), tmp_path), KEYED, settings)
    changed = credit_rows(7, 9, income=None)
    grown = [*credit_rows(0, 7), *changed, *credit_rows(9, 60)]
    batch = write_batch(stage(grown, tmp_path), KEYED, settings)
    assert rows_of(batch_path(settings, batch.name)) == [*changed, *credit_rows(50, 60)]
    assert batch.name.startswith("0002-")


def test_a_part_of_known_rows_makes_no_batch(settings: Settings, tmp_path: Path) -> None:
    """Another set of rows with nothing new in it writes nothing, leaves nothing, and names the newest batch."""
    first = write_batch(stage(credit_rows(0, 50), tmp_path), KEYED, settings)
    batch = write_batch(stage(credit_rows(10, 20), tmp_path), KEYED, settings)
    assert (batch.name, batch.is_new) == (first.name, False)
    assert list(batch_files(settings)) == [f"{first.name}.parquet"]


def test_rows_that_change_back_are_written_again(settings: Settings, tmp_path: Path) -> None:
    """After A and B, offering A again restores A's values: its fingerprint is known, its rows are superseded."""
    first, second = stage(credit_rows(0, 50), tmp_path), stage(credit_rows(0, 50, income=1.0), tmp_path)
    write_batch(first, KEYED, settings)
    write_batch(second, KEYED, settings)
    assert known_batch(first, KEYED, settings) is None
    batch = write_batch(first, KEYED, settings)
    assert (batch.is_new, batch.n_rows, batch.name[:5]) == (True, 50, "0003-")


def test_the_last_row_of_a_key_decides(settings: Settings, tmp_path: Path) -> None:
    """A file that holds a key twice is compared by its last row of that key, as loading counts it."""
    twice = [*credit_rows(0, 5, income=1.0), *credit_rows(0, 5)]
    first = write_batch(stage(twice, tmp_path), KEYED, settings)
    assert not write_batch(stage([*twice, *credit_rows(1, 2)], tmp_path), KEYED, settings).is_new
    batch = write_batch(stage([*twice, *credit_rows(0, 1, income=2.0)], tmp_path), KEYED, settings)
    assert [row["income"] for row in rows_of(batch_path(settings, batch.name))] == [1.0, 1000.5, 2.0]
    assert first.n_rows == 10


def test_rows_without_a_key_stand_for_themselves(settings: Settings, tmp_path: Path) -> None:
    """A missing key is no key: such a row is new unless an equal one is there."""
    write_batch(stage(credit_rows(0, 4, id=None), tmp_path), KEYED, settings)
    batch = write_batch(stage(credit_rows(0, 6, id=None), tmp_path), KEYED, settings)
    assert batch.n_rows == 2


def test_equal_rows_of_one_delivery_are_kept(settings: Settings, tmp_path: Path) -> None:
    """Without a key, two equal rows of one file may be two observations."""
    twice = credit_rows(0, 50) + credit_rows(0, 50)
    batch = write_batch(stage(twice, tmp_path), UNKEYED, settings)
    assert (batch.n_rows, batch.counts) == (100, RowCounts())


def test_batches_of_an_older_contract_are_compared_as_they_would_be_loaded(settings: Settings, tmp_path: Path) -> None:
    """A column that changed its kind does not make every row new; a column that came does."""
    as_text = TYPES.set(TYPES.get_field_index("age"), TYPES.field("region").with_name("age"))
    old = [{**row, "age": str(row["age"])} for row in credit_rows(0, 20)]
    write_batch(stage(old, tmp_path, schema=as_text), KEYED, settings)
    assert not write_batch(stage(credit_rows(0, 20), tmp_path), KEYED, settings).is_new
    wider = credit_config(features={"ignored": ["note"]})
    with_note = TYPES.append(TYPES.field("region").with_name("note"))
    noted = [{**row, "note": "x"} for row in credit_rows(0, 20)]
    assert write_batch(stage(noted, tmp_path, schema=with_note), wider, settings).n_rows == 20


def test_leftovers_of_a_killed_run_are_removed(settings: Settings, tmp_path: Path) -> None:
    """A temporary file that a killed run left is gone after the next write."""
    folder = settings.root / "data" / "credit"
    folder.mkdir(parents=True)
    (folder / ".0001-abc.parquet.123.tmp").write_bytes(b"half")
    batch = write_batch(stage(credit_rows(0, 5), tmp_path), KEYED, settings)
    assert list(batch_files(settings)) == [f"{batch.name}.parquet"]


@contextmanager
def full_disk(n_bytes: int) -> Iterator[None]:
    """No file may grow beyond a size: the kernel refuses the write as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_said_and_leaves_nothing(settings: Settings, tmp_path: Path) -> None:
    """The message says what to do, no half batch stays, and the next call succeeds."""
    rows = stage(credit_rows(0, 20_000), tmp_path)
    with full_disk(50_000), pytest.raises(StorageError, match="Free space"):
        write_batch(rows, KEYED, settings)
    assert batch_files(settings) == {}
    assert write_batch(rows, KEYED, settings).n_rows == 20_000


def test_a_damaged_batch_is_named(settings: Settings, tmp_path: Path) -> None:
    """A stored file that is no Parquet is an error with advice, not a new batch."""
    rows = stage(credit_rows(0, 5), tmp_path)
    path = batch_path(settings, write_batch(rows, KEYED, settings).name)
    path.chmod(0o644)
    path.write_bytes(b"PAR1")
    with pytest.raises(SourceError, match="perennial data restore"):
        write_batch(rows, KEYED, settings)


def test_hostile_names_are_only_names(settings: Settings, tmp_path: Path) -> None:
    """Column names, paths and sources full of quotes reach no SQL."""
    name = "a\"b'; DROP TABLE stored; --"
    config = credit_config(features={"numeric": ["income", name]})
    schema = TYPES.remove(TYPES.get_field_index("age")).insert(3, TYPES.field("income").with_name(name))
    rows = [{**row, name: 1.0} for row in credit_rows(0, 5)]
    folder = tmp_path / "it's"
    folder.mkdir()
    for last in (4, 5):
        write_batch(stage(rows[:last], folder, source='it\'s "x".csv', schema=schema), config, settings)
    assert [pq.read_metadata(path).num_rows for path in sorted((settings.root / "data/credit").iterdir())] == [4, 1]
