"""Every kind of trouble made for real, and found."""

import json
import threading

import pytest
from click.testing import CliRunner

from cli.lines.findings import finding_lines
from cli.main import main
from config.settings import PlatformSettings, ServingSettings, Settings
from core.operate.findings import Finding
from tasks.platform.doctor import examine, run_checks
from tasks.platform.ports import free_port
from tests.tasks.platform.examined import changed

OPTIONS = PlatformSettings(prefect_port=0, mlflow_port=0)
SERVING = ServingSettings(port=0)


def test_a_healthy_project_has_no_problem(settings: Settings) -> None:
    """Everything is looked at, nothing is wrong, and nothing is left behind."""
    before = set(settings.root.rglob("*"))
    findings = examine(settings, OPTIONS, SERVING)
    assert [finding for finding in findings if finding.level == "problem"] == []
    assert {finding.check for finding in findings} >= {"python", "libraries", "disk", "clock", "database", "prefect"}
    assert {
        path for path in set(settings.root.rglob("*")) - before if not path.name.startswith("perennial.db-")
    } == set()


def test_no_secret_is_printed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither keys of webhooks nor addresses of alerts nor passwords in addresses."""
    marker = "bWFya2VyLW1hcmtlci1tYXJrZXItbWFya2Vy"
    monkeypatch.setenv("PERENNIAL_HOOKS_STANDARD", f"shop=whsec_{marker}")
    monkeypatch.setenv("PERENNIAL_ALERTS_URLS", f"json://ada:{marker}@127.0.0.1/")
    away = f"http://ada:{marker}@127.0.0.1:{free_port()}"
    named = changed(settings, prefect_api_url=f"{away}/api", mlflow_uri=away)
    text = "\n".join(finding_lines(examine(named, OPTIONS, SERVING)))
    assert marker not in text
    assert "shop (standard)" in text
    assert "1 destination" in text


def test_checks_that_hang_or_fail_are_findings() -> None:
    """A dead disk hangs in the kernel; a mistake of ours is told without a trace. The others are told all the same."""
    never = threading.Event()

    def hangs() -> list[Finding]:
        never.wait(120)
        return []

    def fails() -> list[Finding]:
        raise KeyError("no such thing")

    found = run_checks({"hangs": hangs, "fails": fails, "works": lambda: [Finding("works", "ok", "it does")]}, 0.5)
    never.set()
    assert [finding.level for finding in found] == ["problem", "problem", "ok"]
    assert "did not end" in found[0].says
    assert "KeyError" in found[1].says


def test_the_command_says_no_by_its_exit_code(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Problems are a no, which is 3, for people and for machines."""
    for name in ("PREFECT", "MLFLOW", "SERVE"):
        monkeypatch.setenv(f"PERENNIAL_{name}_PORT", "0")
    assert CliRunner().invoke(main, ["doctor"]).exit_code == 0
    (settings.root / "config" / "models" / "credit.yaml").write_text("model: [")
    result = CliRunner().invoke(main, ["doctor", "--json"])
    assert result.exit_code == 3
    assert [found["check"] for found in json.loads(result.stdout) if found["level"] == "problem"] == ["models"]
