"""Who can write MLflow's database and its artifacts, but not the operational database, decides nothing."""

from __future__ import annotations

import hashlib
import pickle
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import skops.io
from mlflow import MlflowClient

from config.settings import Settings
from core.errors import BundleError, StorageError
from core.train.trust import trusted_types
from serving.bundle.reader import MANIFEST
from store.champions import current_champion
from store.database import open_database
from tasks.gate.judgement import load_contestant
from tasks.monitor.reference import champion_reference
from tasks.registry.fetch import fetched
from tasks.registry.register import register_bundle
from tests.serving.bundles import make_bundle, reseal
from tests.serving.forgeries import HARMLESS, MARKER_VARIABLE, PIPELINES
from tests.serving.mutations import MUTATIONS, Draw, link_bundle, link_file, link_folder
from tests.tasks.judging import add_data, config_of, register_version, settle, train
from tests.tasks.registration import CONFIG, lineage
from tests.tasks.registry.test_fetch import stored

pytestmark = [
    # skl2onnx 1.20 and MLflow 3.17 use names that NumPy 2 and pandas 3 deprecate: their warnings, not ours.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),
]


def degrade(folder: Path) -> str:
    """Turn a linear model's ranking around, and write a manifest that fits; return its hash."""
    pipeline = skops.io.load(folder / "model.skops", trusted=list(trusted_types()))
    pipeline.steps[-1][1].coef_ *= -1
    skops.io.dump(pipeline, folder / "model.skops")
    return reseal(folder)


def write_tag(settings: Settings, version: int, name: str, value: str) -> None:
    """Write a version's tag into MLflow's database, past MLflow."""
    with closing(sqlite3.connect(settings.var / "mlflow.db")) as connection, connection:
        connection.execute(
            "INSERT OR REPLACE INTO model_version_tags (name, version, key, value) VALUES ('credit', ?, ?, ?)",
            (version, name, value),
        )


def test_of_many_spoilt_bundles_no_task_gets_one(registry: Settings, client: MlflowClient, tmp_path: Path) -> None:
    """Each kind is refused, also with its manifest's hash in MLflow's tag; a link to the true bytes is no harm."""
    place, other = _registered(registry, client, tmp_path), make_bundle(tmp_path / "b", graph=False, key="b")
    for number, mutate in enumerate(dict.fromkeys(MUTATIONS)):
        mutate(Draw(np.random.default_rng(number), place, [other]))
        manifest = place / MANIFEST
        if manifest.is_file() and manifest.stat().st_size < 1e6:
            write_tag(registry, 1, "perennial.manifest", hashlib.sha256(manifest.read_bytes()).hexdigest())
        try:
            with fetched("credit", 1, registry):
                assert mutate in HARMLESS_LINKS, mutate.__name__
        except (BundleError, StorageError):
            pass
        _restore(place, tmp_path / "true")
    with fetched("credit", 1, registry):
        pass


HARMLESS_LINKS = (link_file, link_folder, link_bundle)


def _registered(settings: Settings, client: MlflowClient, tmp_path: Path) -> Path:
    """Register a bundle, keep a true copy of it, and return where MLflow keeps its files."""
    register_bundle(make_bundle(tmp_path / "a", graph=False), CONFIG, lineage("a"), {}, {}, settings, {})
    shutil.copytree(stored(client), tmp_path / "true")
    return stored(client)


def _restore(place: Path, true: Path) -> None:
    for path in (place, *place.parent.glob("elsewhere*")):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.is_symlink() or path.exists():
            path.unlink()
    shutil.copytree(true, place)


def test_code_in_an_artifact_does_not_run(
    registry: Settings, client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sealed again and named by MLflow's tag, it is refused before anything of it is read."""
    marker = tmp_path / "marker"
    monkeypatch.setenv(MARKER_VARIABLE, str(marker))
    place = _registered(registry, client, tmp_path)
    for forge in (*PIPELINES.values(), *HARMLESS.values()):
        forge(place)
        write_tag(registry, 1, "perennial.manifest", reseal(place))
        with pytest.raises(BundleError, match="is not the one that was registered"), fetched("credit", 1, registry):
            pass
        assert not marker.exists()
        _restore(place, tmp_path / "true")


def test_no_task_unpickles(registry: Settings) -> None:
    """From the registry to the gate's contestant and the monitor's reference, pickle is asked for no name."""
    run = register_version(registry, config_of(), add_data(registry, config_of()))
    found: list[object] = []
    # A hook cannot be removed; it does nothing once the test is over.
    listening = [True]
    sys.addaudithook(
        lambda event, details: found.append(details) if event == "pickle.find_class" and listening else None
    )
    with fetched("credit", 1, registry) as files:
        load_contestant(files, run.config)
        champion_reference(files.folder, files.manifest_sha256, run.config)
    seen = len(found)
    pickle.loads(pickle.dumps(Path))  # noqa: S301 - our own bytes, to show that the hook counts
    assert (seen, len(found)) == (0, 1)
    listening.clear()


def test_a_degraded_champion_makes_no_challenger_win(registry: Settings, client: MlflowClient) -> None:
    """The champion's files and its hash in MLflow are replaced: the gate stays undecided and the champion stays."""
    data = add_data(registry, config_of())
    train(registry, config_of(), data)
    write_tag(registry, 1, "perennial.manifest", degrade(stored(client)))
    worse = config_of("age", gate={"floor": 0.4})
    verdict = settle(registry, register_version(registry, worse, data))
    assert verdict is not None
    assert verdict.decision == "undecided", verdict.reasons
    assert "not the one that was registered" in " ".join(verdict.reasons)
    champion = current_champion(open_database(registry.database_url), "credit")
    assert champion is not None
    assert champion.version == 1
