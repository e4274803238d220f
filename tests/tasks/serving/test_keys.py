"""Keys are shown once, kept as hashes, listed and taken back."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.main import main
from config.settings import Settings
from core.errors import ConfigError
from store.api_keys import api_keys
from store.database import open_database
from store.key_text import key_parts, key_state, secret_hash
from tasks.serving.keys import create_key, list_keys
from tests.factories import add_credit_model


def _invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, ("keys", *arguments))


def _created(*arguments: str) -> str:
    result = _invoke("create", "shop", "--scope", "predict", *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def test_a_key_is_printed_once(project: Settings) -> None:
    """Alone on standard output, for a pipe; the words about it go to standard error."""
    result = _invoke("create", "shop", "--scope", "predict", "--scope", "label", "--days", "30", "--rate", "5")
    assert re.fullmatch(r"pk_[0-9a-f]{12}_[A-Za-z0-9_-]{43}\n", result.stdout)
    assert "shown only once" in result.stderr
    (key,) = api_keys(open_database(project.database_url))
    assert (key.name, key.scopes, key.models, key.rate) == ("shop", ("predict", "label"), (), 5.0)
    assert key.expires_at == key.created_at + timedelta(days=30)
    parts = key_parts(result.stdout.strip())
    assert parts == (key.id, parts[1]) if parts else False
    assert key.id in result.stderr


def test_the_secret_is_in_no_file(project: Settings) -> None:
    """Neither in the database nor beside it; its hash is."""
    add_credit_model(project)
    text = _created("--model", "credit")
    parts = key_parts(text)
    assert parts
    contents = [path.read_bytes() for path in project.root.rglob("*") if path.is_file()]
    assert not [content for content in contents if parts[1].encode() in content]
    assert [content for content in contents if secret_hash(parts[1]).encode() in content]


def test_machines_get_the_key_as_json(project: Settings) -> None:
    """With the key once, and without the hash ever."""
    assert project
    created = json.loads(_invoke("create", "shop", "--scope", "operate", "--json").stdout)
    (listed,) = json.loads(_invoke("list", "--json").stdout)
    assert key_parts(created.pop("key"))
    assert created == listed
    assert (listed["state"], listed["scopes"], listed["expires_at"]) == ("active", ["operate"], None)
    assert "sha256" not in str(listed)


def test_a_key_is_taken_back_for_good(project: Settings) -> None:
    """By its id or by the whole key; a repeat keeps the first moment."""
    parts = key_parts(text := _created())
    assert parts
    assert f"revoked {parts[0]} (shop)" in _invoke("revoke", parts[0]).stdout
    (first,) = list_keys(project)
    assert key_state(first, datetime.now(UTC)) == "revoked"
    assert _invoke("revoke", text).exit_code == 0
    assert list_keys(project) == [first]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("revoke", "0123456789ab"), "no API key '0123456789ab'"),
        (("create", "shop"), "Missing option '--scope'"),
        (("create", "shop", "--scope", "admin"), "'admin' is not one of"),
        (("create", "shop", "--scope", "predict", "--model", "gone"), "no model file"),
        (("create", "shop", "--scope", "predict", "--model", "../models/credit"), "not a valid model name"),
        (("create", " ", "--scope", "predict"), "printable characters"),
        (("create", "a\x1b[2Jb", "--scope", "predict"), "printable characters"),
        (("create", "x" * 256, "--scope", "predict"), "1 to 255"),
        (("create", "shop", "--scope", "predict", "--rate", "0"), "--rate"),
        (("create", "shop", "--scope", "predict", "--days", "0"), "--days"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_what_cannot_be_done_exits_with_2(project: Settings, arguments: tuple[str, ...], message: str) -> None:
    """And leaves no key."""
    add_credit_model(project)
    result = _invoke(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert list_keys(project) == []


def test_scopes_are_checked_beneath_the_command_too(project: Settings) -> None:
    """A program that calls the task gets no key without one."""
    with pytest.raises(ConfigError, match="found none"):
        create_key("shop", [], [], project)
    with pytest.raises(ConfigError, match="'admin'"):
        create_key("shop", ["predict", "admin"], [], project)
    assert not Path(project.var / "perennial.db").exists()
