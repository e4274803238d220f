"""What the gate judged is what is brought to the service, whoever has written to the registry since."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from config.settings import Settings
from core.errors import BundleError
from serving.bundle.reader import verified
from tasks.registry.records import MANIFEST, RUN_KEY
from tasks.registry.register import Registered, register_bundle
from tasks.serving.bring_bundle import Question, bring_bundle
from tests.serving.bundles import make_bundle
from tests.tasks.registration import CONFIG, lineage
from tests.tasks.registry.test_fetch import stored


def _registered(settings: Settings, key: str) -> Registered:
    built = make_bundle(settings.var / "work" / f"bundle-{key}", graph=True, key=key)
    return register_bundle(built, CONFIG, lineage(key), {}, {}, settings, {})


def _question(settings: Settings, version: int, manifest: str | None, model: str = "credit") -> Question:
    return Question(model, version, manifest, settings.var / "serving" / model, ())


def _in_place_of(client: MlflowClient, older: int, newer: int) -> None:
    """Make the registry say everywhere that a version is another: files, hash of the manifest, and run."""
    shutil.rmtree(stored(client, newer))
    shutil.copytree(stored(client, older), stored(client, newer))
    for tag in (MANIFEST, RUN_KEY):
        value = client.get_model_version("credit", str(older)).tags[tag]
        client.set_model_version_tag("credit", str(newer), tag, value)


def _brought(settings: Settings) -> list[Path]:
    return list((settings.var / "serving").rglob("*"))


def test_what_was_judged_is_brought(registry: Settings) -> None:
    """It lies under its manifest's hash, complete, and a repeat changes nothing."""
    made = _registered(registry, "a")
    for _ in range(2):
        assert bring_bundle(_question(registry, 1, made.manifest), registry) == made.manifest
    assert verified(registry.var / "serving" / "credit" / made.manifest, made.manifest).run_key == "a" * 64


def test_an_older_version_in_its_place_is_refused(registry: Settings, client: MlflowClient) -> None:
    """Its seal is valid and the registry vouches for it, but the gate judged another."""
    _registered(registry, "a")
    newer = _registered(registry, "b")
    _in_place_of(client, 1, 2)
    with pytest.raises(BundleError, match="is not the one that was registered"):
        bring_bundle(_question(registry, 2, newer.manifest), registry)
    assert _brought(registry) == []


def test_a_version_that_was_never_judged_has_its_recorded_hash(registry: Settings, client: MlflowClient) -> None:
    """Without a verdict the hash of the registration counts, not what MLflow's tag says later."""
    made = _registered(registry, "a")
    _registered(registry, "b")
    assert bring_bundle(_question(registry, 1, None), registry) == made.manifest
    _in_place_of(client, 2, 1)
    with pytest.raises(BundleError, match="is not the one that was registered"):
        bring_bundle(_question(registry, 1, None), registry)


def test_another_model_in_its_place_is_refused(registry: Settings, client: MlflowClient) -> None:
    """Even where its hash is MLflow's word alone, because the model is older than the records of the database."""
    _registered(registry, "a")
    source = str(client.get_model_version("credit", "1").source)
    client.create_registered_model("fraud")
    client.create_model_version("fraud", source)
    for tag in (MANIFEST, RUN_KEY):
        value = client.get_model_version("credit", "1").tags[tag]
        client.set_model_version_tag("fraud", "1", tag, value)
    with pytest.raises(BundleError, match="'fraud' version 1 belongs to model 'credit'"):
        bring_bundle(_question(registry, 1, None, "fraud"), registry)
    assert _brought(registry) == []
