"""The commands of webhooks, alerts and retention."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.main import main
from config.settings import HookSettings, Settings
from core.operate.alerts import Alert
from store.alerts import put_alert
from store.database import open_database, writing
from tests.store.trigger_samples import AT
from tests.tasks.prune.files import aged


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


@pytest.mark.e2e
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_dry_run_then_the_removal(project: Settings, prefect_api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same document, once as a plan; then there is nothing left to remove."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    monkeypatch.setenv("PERENNIAL_RETENTION_SNAPSHOTS", "1")
    snapshots = [
        aged(project.var / "snapshots" / "credit" / f"{number:032x}" / "rows.parquet", 9 - number)
        for number in range(2)
    ]
    plan, done, again = (_document(*options) for options in (("--dry-run",), (), ()))
    assert (plan["dry_run"], done["dry_run"]) == (True, False)
    assert plan["removed"] == done["removed"]
    assert [(one["kind"], one["model"], one["n"]) for one in done["removed"]] == [("snapshots", "credit", 1)]
    assert (again["removed"], again["size_bytes"]) == ([], 0)
    assert [path.exists() for path in snapshots] == [False, True]


@pytest.mark.e2e
def test_a_value_out_of_its_bounds_is_refused(
    project: Settings, prefect_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trigger must be known for longer than any sender repeats it."""
    assert project
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    monkeypatch.setenv("PERENNIAL_RETENTION_TRIGGERS_DAYS", "1")
    result = CliRunner().invoke(main, ["prune"])
    assert result.exit_code == 2
    assert "PERENNIAL_RETENTION_TRIGGERS_DAYS" in result.stderr


def _document(*options: str) -> dict[str, Any]:
    result = CliRunner().invoke(main, ["prune", "--json", *options])
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found
