"""A training that has nothing to do: the same data, configuration and code gave a version, and it is settled.

A command finds this out by itself, before it imports Prefect and MLflow and starts a server for a flow run.
"""

from __future__ import annotations

from collections.abc import Mapping

from config.load import config_hash, load_model_config
from config.schema import ModelConfig
from config.settings import Settings
from core.errors import StorageError
from core.outcome import TrainOutcome
from core.train.run_key import run_key
from store.database import open_database
from store.registry.registrations import find_version
from tasks.champions.aliases import repair
from tasks.gate.settled import alias_and_champion, is_settled, refusal_on_record
from tasks.registry.bundle_files import looks_whole
from tasks.registry.contents import registry_contents
from tasks.registry.versions import find_registered
from tasks.served.remembered import are_known
from tasks.train.code_version import code_version
from tasks.validation.expectations import read_suite
from tasks.versions.snapshots import laid_out
from tasks.versions.versions import delivered_version


def unchanged_training(
    model: str,
    data_version: str | None,
    overrides: Mapping[str, str] | None,
    settings: Settings,
) -> TrainOutcome | None:
    """Return the outcome of a training that changes nothing; None if a flow run must find the outcome.

    Everything that a run would refuse is refused here too: the model file and the suite are read, the source's files
    are hashed, MLflow's version and aliases are looked at. Where a disk or a database fails, the run is left to try
    again. The caller holds the model.

    Parameters
    ----------
    data_version
        Data version to train on; None for the source's rows.
    overrides
        Dotted paths and values, as for :func:`config.load.load_model_config`.
    settings
        Settings of the project.

    Raises
    ------
    ConfigError, SourceError
        The model file, the suite or the source's files are refused.
    """
    try:
        config = load_model_config(settings.root, model, overrides)
        version = _data_version(config, data_version, settings)
        if version is None:
            return None
        key = run_key(model, version, config_hash(config), code_version(settings.root, config))
        found = known_version(config, key, version, settings)
        if found is None or found.status != "unchanged" or not _is_usable(found, settings):
            return None
    except StorageError:
        return None
    return found


def known_version(config: ModelConfig, key: str, data_version: str, settings: Settings) -> TrainOutcome | None:
    """Return the version that a run key was registered as, and whether it is settled; None if there is none.

    MLflow's aliases are repaired first. A repeat changes nothing.

    Parameters
    ----------
    config
        The model file, whose rules decide whether the version is settled.
    key
        The run key.
    data_version
        The data version that is part of the key.
    settings
        Name the operational database and the registry.
    """
    found = find_registered(config.model, key, settings)
    if found is None:
        return None
    repair(config.model, settings, thorough=True)
    settled = is_settled(config, found.version, found.manifest, settings)
    refusal = refusal_on_record(config.model, found.version, settings) if settled else None
    alias, champion = alias_and_champion(config.model, found.version, settings)
    return TrainOutcome(
        model=config.model,
        status="unchanged" if settled else "registered",
        stage="gate" if refusal else "registry",
        reasons=(
            "data, configuration and code are those of this version",
            *(refusal.reasons if refusal else ()),
        ),
        data_version=data_version,
        version=found.version,
        run_id=found.run_id,
        alias=alias,
        decision=refusal.decision if refusal else None,
        champion=champion,
    )


def _is_usable(found: TrainOutcome, settings: Settings) -> bool:
    """Return whether nothing is seen to be wrong with the files of a champion; if not, a run tells what it is."""
    if found.version is None or found.version != found.champion:
        return True
    version = registry_contents(settings).version(found.model, found.version)
    record = find_version(open_database(settings.database_url), found.model, found.version)
    return version is not None and record is not None and looks_whole(version.source, record.manifest)


def _data_version(config: ModelConfig, named: str | None, settings: Settings) -> str | None:
    if named is not None:
        snapshot = laid_out(config.model, named, settings)
        return None if snapshot is None else snapshot.version
    read_suite(config, settings)
    if config.labels.train and not are_known(config, settings):
        return None
    return delivered_version(config, settings)
