"""The commands of webhooks and alerts."""

from __future__ import annotations

import base64
import json
from datetime import timedelta

import pytest
from click.testing import CliRunner, Result

from cli.main import main
from config.settings import HookSettings, Settings
from core.operate.alerts import Alert
from store.alerts import put_alert
from store.database import open_database, writing
from tests.store.trigger_samples import AT


@pytest.fixture(autouse=True)
def _nothing_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PERENNIAL_HOOKS_STANDARD", "PERENNIAL_HOOKS_GITHUB", "PERENNIAL_HOOKS_MLFLOW"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("PERENNIAL_ALERTS_URLS", raising=False)


def _invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_a_new_secret_is_one_that_the_service_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alone on standard output, and another one each time."""
    first, second = (_invoke("hooks", "secret").stdout.strip() for _ in range(2))
    assert first != second
    assert len(base64.b64decode(first.removeprefix("whsec_"))) >= 24
    monkeypatch.setenv("PERENNIAL_HOOKS_STANDARD", f"ci/credit={first}")
    (key,) = HookSettings().keys
    assert (key.sender, key.model) == ("ci", "credit")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("hooks", "send", "credit"), "PERENNIAL_HOOKS_STANDARD or PERENNIAL_HOOKS_GITHUB or PERENNIAL_HOOKS_MLFLOW"),
        (("hooks", "send", "credit", "--convention", "github"), "for 'credit' in PERENNIAL_HOOKS_GITHUB;"),
        (("hooks", "send", "credit", "--sender", "ada"), "no secret of 'ada' for 'credit'"),
        (("hooks", "send", "credit", "--convention", "smoke"), "'smoke' is not one of"),
        (("alerts", "test"), "no destination is configured; set PERENNIAL_ALERTS_URLS"),
        (("alerts", "list", "--limit", "0"), "--limit"),
    ],
)
def test_what_is_not_configured_says_how_to(project: Settings, arguments: tuple[str, ...], says: str) -> None:
    """With the variable to set, and exit code 2."""
    assert project
    result = _invoke(*arguments)
    assert result.exit_code == 2
    assert says in result.stderr


def test_alerts_are_listed_newest_first(project: Settings) -> None:
    """As lines and as a document."""
    assert _invoke("alerts", "list").stdout == "no alerts yet\n"
    with writing(open_database(project.database_url)) as connection:
        for number in range(3):
            alert = Alert(f"drift:m{number}", "warning", f"m{number} drifted", "body")
            put_alert(connection, alert, ["slack:1"], timedelta(hours=1), AT + timedelta(seconds=number))
    found = json.loads(_invoke("alerts", "list", "--limit", "2", "--json").stdout)
    assert [one["title"] for one in found] == ["m2 drifted", "m1 drifted"]
    assert len(_invoke("alerts", "list").stdout.splitlines()) == 4
