"""The loaded model of the version that scores: one per process for any number of parts."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

from config.settings import Settings
from core.train.trust import trusted_types
from serving.model.served import ServedModel, load_model
from tasks.registry.fetch import fetched

_loaded: dict[tuple[str, str], ServedModel] = {}
_loading = Lock()


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
