"""API keys as lines."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from click.testing import CliRunner, Result

from cli.lines.keys import key_lines
from cli.main import main
from config.settings import Settings
from tasks.serving.keys import create_key, list_keys, revoke


def _invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, ("keys", *arguments))


def test_keys_are_listed_in_a_table(project: Settings) -> None:
    """One line a key, in what state it is."""
    assert "perennial keys create" in _invoke("list").output
    create_key("shop", ["predict", "label"], [], project, rate=2.5)
    gone, _ = create_key("old shop", ["predict"], [], project, days=1)
    revoke(gone.id, project)
    shop, old = list_keys(project)
    expired = replace(shop, name="late", expires_at=datetime.now(UTC) - timedelta(days=1), models=("credit",))
    header, *rows = key_lines([shop, old, expired])
    assert header.split()[:5] == ["id", "name", "scopes", "models", "rate"]
    assert [row.split()[-1] for row in rows] == ["active", "revoked", "expired"]
    assert "predict label" in rows[0]
    assert "never" in rows[0]
    assert _invoke("list").stdout.splitlines() == key_lines([shop, old])
