"""The champion's feature contract, by which labels are read."""

from __future__ import annotations

from config.settings import Settings
from core.feature_contract import FeatureContract
from serving.bundle.reader import load_contract
from tasks.registry.kept import kept_bundle
from tasks.registry.versions import champion_record


def champion_contract(model: str, settings: Settings) -> FeatureContract:
    """Return the feature contract of a model's champion.

    Raises
    ------
    ModelNotFoundError
        The model has no champion.
    BundleError, StorageError
        Its bundle cannot be read.
    """
    champion = champion_record(model, settings)
    with kept_bundle(model, champion.version, champion.manifest, settings) as folder:
        return load_contract(folder)
