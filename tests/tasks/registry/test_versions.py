"""Reading the registry: what there is, and everything about one version."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient

from config.load import model_path
from config.settings import Settings
from core.errors import ConfigError, ModelNotFoundError
from tasks.registry.versions import find_registered, list_models, serve_mlflow, show_model
from tests.factories import credit_config, make_project
from tests.tasks.registration import FRAME, judged, lineage, logistic_pipeline, predictions, register


def add_model_file(settings: Settings, name: str) -> None:
    """Describe a model that was never trained."""
    (settings.root / "config" / "models" / f"{name}.yaml").write_text(f"model: {name}\n")


def test_an_empty_registry_is_read_without_mlflow(tmp_path: Path) -> None:
    """Before the first training nothing is made and MLflow is not imported."""
    settings = make_project(tmp_path)
    add_model_file(settings, "credit")
    code = (
        "import sys; from pathlib import Path; from config.settings import Settings\n"
        "from tasks.registry import versions as registry\n"
        f"settings = Settings(root={str(settings.root)!r}, var={str(settings.var)!r}, "
        f"mlflow_uri={settings.mlflow_uri!r})\n"
        "assert registry.find_registered('credit', 'a', settings) is None\n"
        "assert [model.n_versions for model in registry.list_models(settings)] == [0]\n"
        "assert not {'mlflow', 'pandas', 'sklearn'} & set(sys.modules), sorted(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert not settings.var.exists()


def test_a_key_is_found_only_under_its_model(registry: Settings) -> None:
    """Another key and another model have no version."""
    judged(registry)
    found = find_registered("credit", "a" * 64, registry)
    assert found is not None
    assert (found.version, found.alias, found.created) == (1, "champion", False)
    assert find_registered("credit", "b" * 64, registry) is None
    assert find_registered("other", "a" * 64, registry) is None


def test_models_are_listed_with_and_without_versions(registry: Settings) -> None:
    """Trained models show their aliases and the champion's metric; model files show zero versions."""
    add_model_file(registry, "bikes")
    for key, passed in (("a", False), ("b", True), ("c", True), ("d", False)):
        judged(registry, key, passed=passed)
    bikes, credit = list_models(registry)
    assert (bikes.model, bikes.n_versions, bikes.newest) == ("bikes", 0, None)
    assert (credit.n_versions, credit.champion, credit.challenger, credit.newest) == (4, 2, 3, 4)
    assert (credit.metric, credit.value) == ("roc_auc", 0.8)
    assert json.dumps(credit.to_dict())


def test_a_model_file_that_cannot_be_loaded_is_named(registry: Settings) -> None:
    """The model is listed with the error of its file, the others are listed without."""
    path = model_path(registry.root, "bikes")
    path.write_text(credit_config(model="bikes").model_dump_json(exclude_none=True))  # JSON is YAML
    path.with_stem("broken").write_text("model: [")
    bikes, broken = list_models(registry)
    assert bikes.problem is None
    assert broken.problem is not None
    assert "broken.yaml, line 1: not valid YAML" in broken.problem


def test_models_of_others_are_not_ours(registry: Settings, client: MlflowClient) -> None:
    """A name that no model file could have is left out, whatever characters it holds."""
    client.create_registered_model("Someone's model")
    client.create_registered_model("empty")
    assert [(model.model, model.n_versions) for model in list_models(registry)] == [("empty", 0)]


@pytest.mark.parametrize(
    ("selector", "version"), [(None, 2), ("champion", 2), ("challenger", 3), ("1", 1), ("3", 3)], ids=str
)
def test_a_version_is_chosen_by_number_or_alias(registry: Settings, selector: str | None, version: int) -> None:
    """Without a selector the champion is shown."""
    for key, passed in (("a", False), ("b", True), ("c", True)):
        judged(registry, key, passed=passed)
    assert show_model("credit", selector, registry).version == version


def test_without_a_champion_the_newest_version_is_shown(registry: Settings) -> None:
    """A model whose versions all missed the floor can still be looked at."""
    for key in "ab":
        judged(registry, key, passed=False)
    detail = show_model("credit", None, registry)
    assert (detail.version, detail.aliases, detail.gate) == (2, (), "refused")


def test_a_version_tells_everything(registry: Settings) -> None:
    """Metrics, parameters, lineage, gate, files, and links that lead to files which exist."""
    judged(registry)
    detail = show_model("credit", None, registry)
    assert detail.aliases == ("champion",)
    assert detail.metrics["roc_auc"] == 0.8
    assert detail.params["C"] == "1.0"
    assert detail.lineage["data_version"] == detail.data_version == lineage().data_version
    assert detail.lineage["git.dirty"] == "true"
    assert (detail.gate, detail.gate_metric, detail.gate_value, detail.gate_floor) == ("passed", "roc_auc", 0.8, 0.6)
    assert detail.reasons == ("first reason", "second reason")
    assert {"MLmodel", "model.skops", "manifest.json", "card.html"} <= set(detail.files)
    assert list(detail.links) == ["model card", "bundle", "reports", "MLflow"]
    card = Path(detail.links["model card"]).read_text()
    assert "<h1>credit</h1>" in card
    assert "first reason" in card
    assert (Path(detail.links["reports"]) / "drift.html").is_file()
    assert json.dumps(detail.to_dict())


def test_a_project_with_odd_characters_in_its_path(tmp_path: Path, empty_database: Path) -> None:
    """Links are paths, not quoted addresses."""
    from tests.tasks.registration import use_database

    settings = use_database(make_project(tmp_path / "größe & 100% #1"), empty_database)
    register(settings)
    detail = show_model("credit", None, settings)
    assert Path(detail.links["model card"]).is_file()


@pytest.mark.parametrize(
    ("model", "selector", "message"),
    [
        ("credit", "7", r"no version or alias '7'; it has versions 1; credit@champion \(version 1\)"),
        ("credit", "latest", "no version or alias 'latest'"),
        ("bikes", None, "train it with 'perennial train bikes'"),
        ("nothing", None, "there is no model 'nothing'; models here: bikes, credit"),
        ("cred'it", "1", "there is no model"),
    ],
)
def test_what_does_not_exist_is_answered_with_what_does(
    registry: Settings, model: str, selector: str | None, message: str
) -> None:
    """The error lists the models, versions and aliases there are."""
    add_model_file(registry, "bikes")
    judged(registry)
    with pytest.raises(ModelNotFoundError, match=message):
        show_model(model, selector, registry)


def test_before_the_first_training_the_command_is_named(tmp_path: Path) -> None:
    """Without a registry a described model is told apart from an unknown one."""
    settings = make_project(tmp_path)
    add_model_file(settings, "credit")
    with pytest.raises(ModelNotFoundError, match="perennial train credit"):
        show_model("credit", None, settings)
    with pytest.raises(ModelNotFoundError, match="models here: credit"):
        show_model("other", None, settings)


def test_a_version_whose_run_is_gone_is_shown(registry: Settings, client: MlflowClient) -> None:
    """What stands on the version is shown even when its run was deleted."""
    client.delete_run(judged(registry).run_id)
    assert show_model("credit", "1", registry).gate == "passed"


def test_a_served_registry_is_not_served_again(registry: Settings) -> None:
    """With a server configured, people are told where it is."""
    served = registry.model_copy(update={"mlflow_uri": "http://u:p@registry.example:5000"})
    with pytest.raises(ConfigError, match=r"open http://\*\*\*@registry\.example:5000"):
        serve_mlflow(served, 5000)


@pytest.mark.e2e
def test_registers_through_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same calls work against a real MLflow server, which keeps the artifacts."""
    settings = make_project(tmp_path)
    with mlflow_server(tmp_path / "server") as address:
        served = settings.model_copy(update={"mlflow_uri": address})
        first, second = (judged(served, key) for key in "ab")
        again = register(served, "a")
        assert (first.version, second.version) == (1, 2)
        assert (again.version, again.alias, again.created) == (1, "champion", False)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        loaded = mlflow.pyfunc.load_model("models:/credit@champion")
        np.testing.assert_array_equal(loaded.predict(FRAME), predictions(*logistic_pipeline()))
        detail = show_model("credit", None, served)
        assert "card.html" in detail.files
        assert detail.links["MLflow"] == f"{address}/#/models/credit/versions/1"
        assert [model.n_versions for model in list_models(served)] == [2]


@contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """Run a real MLflow server."""
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        str(folder / "files"),
    ]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        address = f"http://127.0.0.1:{port}"
        await_health(f"{address}/health")
        yield address
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def await_health(address: str) -> None:
    """Wait until a server answers."""
    for _ in range(240):
        try:
            with urlopen(address, timeout=5):  # noqa: S310 - our own loopback address
                return
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"no answer from {address}")
