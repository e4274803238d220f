"""The command ``prune``; the flow itself is tested in ``tests/flows/test_prune.py``."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from cli.main import main
from config.settings import Settings
from tests.tasks.prune.files import aged

pytestmark = pytest.mark.e2e


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
