"""What was built and registered is recorded once and never changed, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, Update, delete, update

from core.errors import BundleError, StorageError
from store.champions import RecordedVerdict, record_verdict
from store.database import open_database, writing
from store.registry.registrations import (
    BuiltBundle,
    RegisteredVersion,
    adopted_champion,
    find_bundle,
    find_version,
    knows_model,
    record_bundle,
    record_versions,
    trusted_manifest,
    versions_of_run,
    versions_of_trigger,
)
from store.tables import BundleRow, RegisteredVersionRow, VerdictRow
from tests.store.stories import Story

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def version(model: str, number: int, **changes: object) -> RegisteredVersion:
    """Return a version whose manifest and run key follow from its number."""
    made = RegisteredVersion(model, number, f"{number:064d}", f"k{number}", "d.dir", "manual", "trained", AT)
    return replace(made, **changes)  # type: ignore[arg-type] # the fields' own types


def verdict(model: str, number: int, manifest: str) -> RecordedVerdict:
    """Return a verdict about a bundle."""
    return RecordedVerdict(model, number, 0, None, "keep", "enabled", 0, "", "", manifest, "{}", AT)


def test_the_first_record_of_a_version_stays(tell: Callable[[Story], None]) -> None:
    """A second record of the same number changes nothing, and its versions are found by run and trigger."""

    def story(engine: Engine, model: str) -> None:
        assert not knows_model(engine, model)
        record_versions(engine, [version(model, 2), version(model, 1, run_key="k2")])
        record_versions(engine, [version(model, 2, manifest="f" * 64), version(model, 3, trigger="hook")])
        assert find_version(engine, model, 2) == version(model, 2)
        assert find_version(engine, model, 4) is None
        assert versions_of_run(engine, model, "k2") == [1, 2]
        assert versions_of_trigger(engine, model, "hook") == [3]
        assert knows_model(engine, model)
        assert adopted_champion(engine, model) is None
        record_versions(engine, [version(model, 5, origin="champion")])
        assert adopted_champion(engine, model) == 5

    tell(story)


def test_a_bundle_is_found_by_all_that_names_it(tell: Callable[[Story], None]) -> None:
    """A hash under another run key, or a run key with another hash, was not built here."""

    def story(engine: Engine, model: str) -> None:
        built = BuiltBundle(model, "k1", "a" * 64, "d.dir", "manual", AT)
        for _ in range(2):
            record_bundle(engine, built)
        assert find_bundle(engine, model, "k1", "a" * 64) == built
        assert find_bundle(engine, model, "k2", "a" * 64) is None
        assert find_bundle(engine, model, "k1", "b" * 64) is None
        assert knows_model(engine, model)

    tell(story)


@pytest.mark.parametrize("table", [BundleRow, RegisteredVersionRow])
def test_nothing_is_changed_or_deleted(
    tell: Callable[[Story], None], table: type[BundleRow | RegisteredVersionRow]
) -> None:
    """Triggers of the database refuse it, whatever the statement."""

    def story(engine: Engine, model: str) -> None:
        record_bundle(engine, BuiltBundle(model, "k1", "a" * 64, "d.dir", "manual", AT))
        record_versions(engine, [version(model, 1)])
        for change in (delete(table), update(table).values(manifest="f" * 64)):
            with pytest.raises(StorageError, match="is append-only"), writing(engine) as connection:
                connection.execute(change)

    tell(story)


def test_the_trusted_hash_is_that_of_the_registration(tmp_path: Path) -> None:
    """Without one, that of the verdict; where both differ, a row was changed and none is trusted."""
    engine = open_database(f"sqlite:///{tmp_path / 'perennial.db'}")
    record_versions(engine, [version("credit", number) for number in (1, 2, 3)])
    record_verdict(engine, verdict("credit", 2, f"{2:064d}"))
    record_verdict(engine, verdict("credit", 3, "f" * 64))
    record_verdict(engine, verdict("credit", 4, "e" * 64))
    known = [trusted_manifest(engine, "credit", number) for number in (1, 2, 4, 5)]
    assert known == [f"{1:064d}", f"{2:064d}", "e" * 64, None]
    for reader in (trusted_manifest, find_version):
        with pytest.raises(BundleError, match="contradicts itself about version 3 of 'credit'"):
            reader(engine, "credit", 3)


def test_a_row_that_was_changed_is_refused(tell: Callable[[Story], None]) -> None:
    """Who drops the triggers and changes a hash in one table is noticed by the other, whichever the database."""

    def story(engine: Engine, model: str) -> None:
        record_versions(engine, [version(model, number) for number in (1, 2, 3)])
        for number in (1, 2, 3):
            record_verdict(engine, verdict(model, number, f"{number:064d}"))
        tables: list[tuple[type[RegisteredVersionRow | VerdictRow], int]] = [(RegisteredVersionRow, 1), (VerdictRow, 2)]
        for table, number in tables:
            _change(engine, table, update(table).where(table.model == model, table.version == number))
            with pytest.raises(BundleError, match=f"contradicts itself about version {number} of '{model}'"):
                trusted_manifest(engine, model, number)
        assert trusted_manifest(engine, model, 3) == f"{3:064d}"

    tell(story)


def _change(engine: Engine, row: type[RegisteredVersionRow | VerdictRow], statement: Update) -> None:
    """Change a hash as who owns the database can."""
    table = row.__tablename__
    with writing(engine) as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql(f"DROP TRIGGER {table}_refuse_update")
            connection.execute(statement.values(manifest="f" * 64))
            return
        connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        connection.execute(statement.values(manifest="f" * 64))
        connection.exec_driver_sql(f"ALTER TABLE {table} ENABLE TRIGGER USER")
