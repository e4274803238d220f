"""The command that signs and sends a delivery, against a real service."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

import cli.main
from config.settings import HOOK_CONVENTIONS, HookSettings
from core.errors import ConfigError, StorageError
from store.database import open_database
from store.triggers import triggers
from tasks.serving.test_delivery import hook_key, new_secret, send_delivery
from tests.serving.deliveries import (
    GITHUB_SECRET,
    MLFLOW_SECRET,
    SHARED_SECRET,
    STANDARD_SECRET,
    hook_settings,
    project,
)
from tests.serving.running import Running, running

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Running]:
    """Return a service that takes webhooks; it ends with the test."""
    with running(tmp_path, [], hooks=hook_settings(), root=project(tmp_path)) as service:
        yield service


@pytest.fixture
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the secrets as the service's process has them."""
    monkeypatch.setenv("PERENNIAL_HOOKS_STANDARD", f"ci/credit={STANDARD_SECRET} all={SHARED_SECRET}")
    monkeypatch.setenv("PERENNIAL_HOOKS_GITHUB", f"repo/credit={GITHUB_SECRET}")
    monkeypatch.setenv("PERENNIAL_HOOKS_MLFLOW", f"registry/credit={MLFLOW_SECRET}")


def _run(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(cli.main.main, ["hooks", *arguments])
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.usefixtures("_environment")
@pytest.mark.parametrize("convention", HOOK_CONVENTIONS)
def test_a_delivery_in_each_convention(service: Running, convention: str) -> None:
    """It is kept, and the same id is known when it comes again."""
    options = ["credit", "--url", service.url, "--convention", convention, "--id", "msg_try", "--reason", "a try"]
    first, second = _run("send", *options, "--json"), _run("send", *options)
    assert (first[0], second[0]) == (0, 0)
    answer = json.loads(first[1])
    assert (answer["status_code"], answer["status"]) == (202, "accepted")
    assert second[1].startswith("202 known: the delivery was received before; it starts nothing")
    (kept,) = triggers(open_database(service.database_url))
    assert kept.id == answer["id"]


@pytest.mark.usefixtures("_environment")
def test_every_delivery_is_a_new_one_without_an_id(service: Running) -> None:
    """And is signed by the first sender that fits."""
    for _ in range(2):
        code, text, _ = _run("send", "credit", "--url", f"{service.url}/")
        assert (code, text[:12]) == (0, "202 accepted")
    assert {kept.sender for kept in triggers(open_database(service.database_url))} == {"ci"}


@pytest.mark.usefixtures("_environment")
def test_a_secret_for_all_models_signs_the_models_name(service: Running) -> None:
    """In the id; a secret for the model alone is taken before it."""
    for sender, id_ in (("all", "credit:msg_x"), ("ci", "msg_x")):
        code, text, _ = _run("send", "credit", "--url", service.url, "--sender", sender, "--id", "msg_x", "--json")
        assert (code, json.loads(text)["id"]) == (0, f"standard:{sender}:{id_}")
    keys = hook_settings(standard=f"all={SHARED_SECRET} ci/credit={STANDARD_SECRET}")
    assert hook_key(keys, "credit", sender=None, convention=None).sender == "ci"
    assert hook_key(keys, "bike", sender=None, convention=None).sender == "all"


def test_a_fresh_secret_can_be_used(tmp_path: Path) -> None:
    """In every convention, and no two are alike."""
    code, text, _ = _run("secret")
    assert code == 0
    assert text.strip() != new_secret()
    for convention in HOOK_CONVENTIONS:
        hooks = HookSettings.model_validate({convention: f"ci/credit={text.strip()}"})
        key = hook_key(hooks, "credit", sender=None, convention=None)
        folder = tmp_path / convention
        with running(folder, [], hooks=hooks, root=project(folder)) as service:
            answer = send_delivery(key, "credit", service.url, delivery_id=None, reason="")
            assert answer.status == "accepted"


@pytest.mark.usefixtures("_environment")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("credit", "--sender", "nobody"), "no secret of 'nobody' for 'credit' in PERENNIAL_HOOKS_STANDARD or"),
        (("nothing",), "404: there is no model 'nothing' here"),
        (("credit", "--id", "a.b"), "401: .*no dot.*start it with the same PERENNIAL_HOOKS"),
        (("credit", "--url", NOWHERE), "did not answer.*Does 'perennial serve' run"),
        (("credit", "--url", "nonsense"), "did not answer"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(service: Running, arguments: tuple[str, ...], message: str) -> None:
    """With exit code 2, and no secret in it."""
    given = arguments if "--url" in arguments else (*arguments, "--url", service.url)
    code, _, text = _run("send", *given)
    assert code == 2
    assert re.search(message, text)
    assert STANDARD_SECRET not in text


def test_another_service_is_told_from_ours() -> None:
    """Whatever answers there, or nobody."""
    key = hook_settings().keys[0]
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as other:
        thread = threading.Thread(target=other.handle_request)
        thread.start()
        with pytest.raises(ConfigError, match="answered 501, but not as Perennial's prediction service"):
            send_delivery(key, "credit", f"http://127.0.0.1:{other.server_port}", delivery_id=None, reason="")
        thread.join()
    with pytest.raises(StorageError):
        send_delivery(key, "credit", NOWHERE, delivery_id=None, reason="")


def test_a_key_for_another_model_is_not_taken() -> None:
    """The service would refuse it."""
    with pytest.raises(ConfigError, match="no secret of 'other' for 'credit'"):
        hook_key(hook_settings(), "credit", sender="other", convention=None)
    assert hook_key(hook_settings(), "bike", sender="other", convention=None).sender == "other"
