"""The version that scores, and its loaded model: one per process, whatever the number of parts."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

from config.settings import Settings
from core.errors import ModelNotFoundError
from core.train.trust import trusted_types
from serving.model.served import ServedModel, load_model
from store.champions import current_champion
from store.database import open_database
from store.registry.registrations import RegisteredVersion, find_version
from tasks.registry.contents import registry_contents
from tasks.registry.fetch import fetched
from tasks.registry.records import champion_before_history, recorded_version
from tasks.registry.versions import registered_in_mlflow

_loaded: dict[tuple[str, str], ServedModel] = {}
_loading = Lock()


def scoring_version(model: str, version: int | None, settings: Settings) -> RegisteredVersion:
    """Return a version's record; None is the present champion.

    Raises
    ------
    ModelNotFoundError
        There is no such version, or the model has no champion.
    """
    engine = open_database(settings.database_url)
    if version is None:
        entry = current_champion(engine, model)
        version = entry.version if entry else champion_before_history(model, settings)
    if version is None:
        raise ModelNotFoundError(f"{model!r} has no champion to score with; train one with: perennial train {model}")
    record = find_version(engine, model, version)
    if record is None:
        contents = registry_contents(settings)
        record = recorded_version(contents, registered_in_mlflow(contents, model, version), settings)
    return record


def loaded_model(model: str, version: int, manifest: str, trusted: Sequence[str], settings: Settings) -> ServedModel:
    """Return a version's model as the service loads it: verified, and tried with its own examples.

    Parameters
    ----------
    model, version, manifest
        The version, and the SHA-256 of its bundle's manifest.
    trusted
        The model file's ``training.trusted_types``.
    settings
        Settings of the project.

    Raises
    ------
    BundleError
        Its files are missing or are not those that were registered, or it does not answer its examples.
    ModelNotFoundError
        The registry has no such version.
    StorageError
        MLflow or the artifact store is unavailable, or the disk is full.
    """
    with _loading:
        found = _loaded.get((model, manifest))
        if found is None:
            with fetched(model, version, settings) as bundle:
                found = load_model(bundle.folder, manifest, trusted_types(trusted), name=model, version=version)
            _loaded.clear()  # one model at a time: a worker that lives for weeks would collect all versions
            _loaded[model, manifest] = found
        return found
