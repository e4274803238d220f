"""A real MLflow server delivers its registry's news to the service."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from cryptography.fernet import Fernet
from mlflow import MlflowClient

from core.operate.trigger import Trigger
from store.database import open_database
from store.triggers import triggers
from tests.serving.deliveries import MLFLOW_SECRET, PATH, hook_settings, project
from tests.serving.running import Running, await_that, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(720)]

EVENTS: list[Any] = ["model_version_alias.created", "model_version.created", "model_version_tag.set"]


@contextmanager
def registry(folder: Path) -> Iterator[str]:
    """Run MLflow's server for the length of a block, one that may deliver to this machine; return its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    given = {
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": Fernet.generate_key().decode(),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    stores = ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--artifacts-destination", str(folder / "a")]
    command = [str(Path(sys.executable).with_name("mlflow")), "server", *stores, "--port", str(port), "--workers", "1"]
    with (folder / "mlflow.log").open("wb") as log:
        server = subprocess.Popen(command, env=os.environ | given, stdout=log, stderr=log, cwd=folder)
    try:
        await_that(lambda: _is_up(port), 120)
        yield f"http://127.0.0.1:{port}"
    finally:
        family = psutil.Process(server.pid).children(recursive=True)
        server.kill()
        for process in family:
            process.kill()
        server.wait(120)


def _is_up(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_the_registry_delivers(tmp_path: Path) -> None:
    """Another model's new version and the alias ask for a retraining, what happens to the model itself does not."""
    folder = project(tmp_path)
    with registry(tmp_path) as address, running(tmp_path, [], hooks=hook_settings(), root=folder) as service:
        client = MlflowClient(address)
        hook = client.create_webhook("retrain", service.url + PATH, events=EVENTS, secret=MLFLOW_SECRET)
        assert client.test_webhook(hook.webhook_id).success
        for name in ("embeddings", "credit"):
            client.create_registered_model(name)
            client.create_model_version(name, source="s3://bucket/model", tags={"gate": "passed"})
        client.set_registered_model_alias("credit", "champion", "1")
        client.set_registered_model_alias("credit", "retrain", "1")
        await_that(lambda: len(_kept(service)) == 2 and _n_ignored(service) >= 3, 30)
        reasons = {json.loads(found.document)["reason"] for found in _kept(service)}
    assert reasons == {
        "version 1 of embeddings: model_version created",
        "the alias 'retrain' was created for version 1 of credit",
    }


def _kept(service: Running) -> list[Trigger]:
    return triggers(open_database(service.database_url))


def _n_ignored(service: Running) -> float:
    labels = (("convention", "mlflow"), ("result", "ignored"))
    return service.samples().get(("perennial_hook_deliveries_total", labels), 0)
