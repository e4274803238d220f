"""What the operational database records about versions; MLflow's tags and aliases are not trusted with it."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from core.errors import BundleError, StorageError
from store.champions import find_verdict
from store.database import open_database
from store.registry.registrations import (
    BuiltBundle,
    RegisteredVersion,
    adopted_champion,
    find_bundle,
    find_version,
    knows_model,
    record_versions,
)
from tasks.registry.client import is_empty
from tasks.registry.contents import registry_contents

if TYPE_CHECKING:
    from config.settings import Settings
    from tasks.registry.contents import Contents
    from tasks.registry.tables import StoredVersion

logger = logging.getLogger("perennial.registry")

RUN_KEY = "perennial.run_key"
MANIFEST = "perennial.manifest"
DATA_VERSION = "perennial.data_version"
TRIGGER = "perennial.trigger"
CHAMPION = "champion"
PRUNED = "perennial.pruned"
"""Tag of a version whose files retention removed: when, or :data:`REMOVING`."""

REMOVING = "removing"

GATE_WORDS = {"promote": "passed", "keep": "refused", "undecided": "undecided"}
"""The gate's decisions as tags and commands show them."""


def recorded_version(contents: Contents, version: StoredVersion, settings: Settings) -> RegisteredVersion:
    """Return what is recorded about a version of MLflow's registry.

    A version without a record is accepted only if a training here built its bundle and was killed before the record, or
    if nothing of the model was ever recorded, see :func:`adopt_versions`.

    Raises
    ------
    BundleError
        The version was not registered by this project, or the database contradicts itself about it.
    StorageError
        MLflow or the database is unavailable.
    """
    engine, number = open_database(settings.database_url), version.version
    adopt_versions(contents, version.name, settings)
    known = find_version(engine, version.name, number)
    if known is None and (built := built_bundle(engine, version)) is not None:
        known = record_registration(engine, built, number)
    if known is None:
        raise BundleError(
            f"version {number} of {version.name!r} was not registered by Perennial with this operational database, so "
            f"nothing can be checked about its bundle; train one: perennial train {version.name}"
        )
    return known


def built_bundle(engine: Engine, version: StoredVersion) -> BuiltBundle | None:
    """Return the bundle built here that a version's tags name; None if they name no such bundle."""
    return find_bundle(engine, version.name, version.tags.get(RUN_KEY, ""), version.tags.get(MANIFEST, ""))


def record_registration(engine: Engine, built: BuiltBundle, version: int) -> RegisteredVersion:
    """Record under which number a bundle was registered; a repeat changes nothing.

    Raises
    ------
    StorageError
        The number belongs to another bundle, because the registry was replaced.
    """
    record = RegisteredVersion(
        model=built.model,
        version=version,
        manifest=built.manifest,
        run_key=built.run_key,
        data_version=built.data_version,
        trigger=built.trigger,
        origin="trained",
        recorded_at=datetime.now(UTC),
    )
    record_versions(engine, [record])
    stored = find_version(engine, built.model, version)
    if stored is None or stored.manifest != built.manifest:
        raise replaced_registry(built.model, version)
    return stored


def replaced_registry(model: str, version: int) -> StorageError:
    """Return the error that another registry is in the place of the one whose versions are recorded."""
    return StorageError(
        f"version {version} of {model!r} in MLflow is not the bundle that was recorded under this number: "
        "the registry was replaced. Restore it, or move the operational database aside (PERENNIAL_DATABASE_URL)"
    )


def adopt_versions(contents: Contents, model: str, settings: Settings) -> None:
    """Record the versions that a model had before versions were recorded here, and MLflow's alias champion, once.

    Only a model of which nothing was ever recorded is looked at: after a release without these records, or with a new
    database beside an older registry. A version's hash is the one of its verdict; without a verdict it is MLflow's word
    at this moment, and no later word of MLflow changes it. A repeat changes nothing.
    """
    engine = open_database(settings.database_url)
    if knows_model(engine, model):
        return
    found = [version for version in contents.versions(model) if MANIFEST in version.tags]
    champion = contents.aliases(model).get(CHAMPION, 0) if found else 0
    if not found:
        return
    record_versions(engine, [_adopted(engine, version, champion) for version in found])
    logger.warning(
        "recorded the hashes of %d versions of %r that MLflow has and this operational database did not have: they are "
        "trusted from now on",
        len(found),
        model,
    )


def champion_before_history(model: str, settings: Settings) -> int | None:
    """Return the version that MLflow's alias champion named when the model's versions were adopted; None if none."""
    if is_empty(settings):
        return None
    adopt_versions(registry_contents(settings), model, settings)
    return adopted_champion(open_database(settings.database_url), model)


def _adopted(engine: Engine, version: StoredVersion, champion: int) -> RegisteredVersion:
    verdict = find_verdict(engine, version.name, version.version)
    return RegisteredVersion(
        model=version.name,
        version=version.version,
        manifest=verdict.manifest if verdict else version.tags[MANIFEST],
        run_key=version.tags.get(RUN_KEY, ""),
        data_version=version.tags.get(DATA_VERSION, ""),
        trigger=version.tags.get(TRIGGER, ""),
        origin="champion" if version.version == champion else "adopted",
        recorded_at=datetime.now(UTC),
    )
