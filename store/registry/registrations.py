"""What this project built and registered: the hash of each version's bundle, which MLflow is not trusted with.

Both tables are append-only. A bundle is recorded before MLflow gets its version, and the version when MLflow has given
it a number: after a kill in between, the version is recognised by the hash of a bundle that was built here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import ColumnElement, Engine, select

from core.errors import BundleError
from store.champions import find_verdict
from store.database import reading, upsert, writing
from store.tables import BundleRow, RegisteredVersionRow

Origin = Literal["trained", "adopted", "champion"]


@dataclass(frozen=True)
class BuiltBundle:
    """A bundle that a training of this project built.

    Parameters
    ----------
    model, run_key
        The model and the key of the training.
    manifest
        SHA-256 of the bundle's manifest.
    data_version, trigger
        What the training was started with and by.
    built_at
        Time with time zone.
    """

    model: str
    run_key: str
    manifest: str
    data_version: str
    trigger: str
    built_at: datetime


@dataclass(frozen=True)
class RegisteredVersion:
    """A version and the bundle it was registered with.

    Parameters
    ----------
    model, version
        Its name in MLflow's registry.
    manifest
        SHA-256 of the bundle's manifest.
    run_key, data_version, trigger
        As in :class:`BuiltBundle`; empty if MLflow did not name them when the version was adopted.
    origin
        ``trained`` by this project; ``adopted``: registered before versions were recorded here, so that the hash is the
        one of its verdict or, without a verdict, the one that MLflow named at that time; ``champion``: adopted, and
        MLflow's alias champion named it.
    recorded_at
        Time with time zone.
    """

    model: str
    version: int
    manifest: str
    run_key: str
    data_version: str
    trigger: str
    origin: Origin
    recorded_at: datetime


def record_bundle(engine: Engine, bundle: BuiltBundle) -> None:
    """Record a bundle before its version is created; a repeat changes nothing."""
    with writing(engine) as connection:
        upsert(connection, BundleRow, [asdict(bundle)], replace=())


def find_bundle(engine: Engine, model: str, run_key: str, manifest: str) -> BuiltBundle | None:
    """Return a bundle that was built here; None if there was none with this hash."""
    chosen = select(BundleRow.__table__).where(
        BundleRow.model == model, BundleRow.run_key == run_key, BundleRow.manifest == manifest
    )
    with reading(engine) as connection:
        row = connection.execute(chosen).mappings().first()
        return None if row is None else BuiltBundle(**row)


def record_versions(engine: Engine, versions: Iterable[RegisteredVersion]) -> None:
    """Record versions in one transaction; a version that is recorded already keeps its record."""
    with writing(engine) as connection:
        upsert(connection, RegisteredVersionRow, [asdict(version) for version in versions], replace=())


def find_version(engine: Engine, model: str, version: int) -> RegisteredVersion | None:
    """Return the record of a version; None if it was not registered by this project.

    Raises
    ------
    BundleError
        A verdict on the version names another bundle: a row of the database was changed.
    """
    chosen = select(RegisteredVersionRow.__table__).where(
        RegisteredVersionRow.model == model, RegisteredVersionRow.version == version
    )
    with reading(engine) as connection:
        row = connection.execute(chosen).mappings().first()
    if row is None:
        return None
    found = RegisteredVersion(**row)
    verdict = find_verdict(engine, model, version)
    if verdict is not None and verdict.manifest != found.manifest:
        raise BundleError(
            f"the operational database contradicts itself about version {version} of {model!r}: it was registered with "
            f"bundle {found.manifest[:12]}…, and the verdict is about bundle {verdict.manifest[:12]}…. A row was "
            "changed: restore the database from a backup"
        )
    return found


def trusted_manifest(engine: Engine, model: str, version: int) -> str | None:
    """Return the hash that a version's bundle must have: of its registration, or else of its verdict; None if unknown.

    Raises
    ------
    BundleError
        Registration and verdict name different bundles.
    """
    found = find_version(engine, model, version)
    if found is not None:
        return found.manifest
    verdict = find_verdict(engine, model, version)  # from before registrations were recorded
    return None if verdict is None else verdict.manifest


def adopted_champion(engine: Engine, model: str) -> int | None:
    """Return the version that had MLflow's alias champion when the model's versions were adopted; None if none had."""
    return next(iter(versions_of(engine, model, RegisteredVersionRow.origin == "champion")), None)


def versions_of_run(engine: Engine, model: str, run_key: str) -> list[int]:
    """Return the versions that were registered under a run key, ascending."""
    return versions_of(engine, model, RegisteredVersionRow.run_key == run_key)


def versions_of_trigger(engine: Engine, model: str, trigger: str) -> list[int]:
    """Return the versions that were registered for a trigger, ascending."""
    return versions_of(engine, model, RegisteredVersionRow.trigger == trigger)


def versions_of(engine: Engine, model: str, *conditions: ColumnElement[bool]) -> list[int]:
    """Return the recorded versions of a model that fulfil all conditions, ascending."""
    chosen = select(RegisteredVersionRow.version).where(RegisteredVersionRow.model == model, *conditions)
    with reading(engine) as connection:
        return sorted(connection.execute(chosen).scalars())


def training_data(engine: Engine, model: str) -> dict[int, str]:
    """Return the data version that each recorded version of a model was trained on; empty where it is not on record."""
    row = RegisteredVersionRow
    chosen = select(row.version, row.data_version).where(row.model == model).order_by(row.version)
    with reading(engine) as connection:
        return {found.version: found.data_version for found in connection.execute(chosen)}


def training_data_of_others(engine: Engine, model: str) -> set[str]:
    """Return the data versions that versions of all other models were trained on."""
    row = RegisteredVersionRow
    with reading(engine) as connection:
        return set(connection.scalars(select(row.data_version).where(row.model != model, row.data_version != "")))


def data_versions_of(engine: Engine, model: str, versions: Iterable[int]) -> set[str]:
    """Return the data versions that recorded versions of a model were trained on."""
    row = RegisteredVersionRow
    chosen = select(row.version, row.data_version).where(row.model == model, row.data_version != "")
    wanted = set(versions)
    with reading(engine) as connection:
        return {data_version for version, data_version in connection.execute(chosen) if version in wanted}


def knows_model(engine: Engine, model: str) -> bool:
    """Return whether a bundle or a version of a model was ever recorded here."""
    with reading(engine) as connection:
        return any(
            connection.execute(select(table.model).where(table.model == model).limit(1)).first() is not None
            for table in (RegisteredVersionRow, BundleRow)
        )
