"""Look at everything an installation needs, at once, and say what to do about what is wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import click

from config.settings import PlatformSettings, ServingSettings, Settings
from core.errors import PerennialError
from core.findings import Finding
from tasks.doctor_machine import (
    check_alerts,
    check_clock,
    check_disk,
    check_folder,
    check_hooks,
    check_libraries,
    check_models,
    check_ports,
    check_python,
)
from tasks.doctor_services import check_database, check_mlflow, check_prefect, check_relay, check_remote

CHECK_SECONDS = 10.0
"""For one check; each bounds its own questions by less."""

Check = Callable[[], list[Finding]]

COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


def examine(settings: Settings, platform: PlatformSettings, serving: ServingSettings) -> list[Finding]:
    """Run every check, each in a thread of its own, and return what they found in a fixed order."""
    checks: dict[str, Check] = {
        "python": check_python,
        "libraries": lambda: check_libraries(settings),
        "disk": lambda: check_disk(settings),
        "var": lambda: check_folder(settings),
        "clock": lambda: check_clock(settings, platform),
        "models": lambda: check_models(settings),
        "database": lambda: check_database(settings),
        "data remote": lambda: check_remote(settings),
        "ports": lambda: check_ports(settings, platform, serving),
        "prefect": lambda: check_prefect(settings),
        "mlflow": lambda: check_mlflow(settings),
        "relay": lambda: check_relay(settings),
        "webhooks": check_hooks,
        "alerts": check_alerts,
    }
    return run_checks(checks)


def run_checks(checks: dict[str, Check], seconds: float = CHECK_SECONDS) -> list[Finding]:
    """Run checks at once; one that does not end in time, or that fails itself, is a problem like any other."""
    found: dict[str, list[Finding]] = {}
    threads = [
        # A daemon: what hangs in a system call must not keep the command from ending.
        threading.Thread(target=_run, args=(name, check, found), name=name, daemon=True)
        for name, check in checks.items()
    ]
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = f"the check did not end within {seconds:.0f} s"
    advice = "what it looks at hangs; look at that first"
    return [finding for name in checks for finding in found.get(name, [Finding(name, "problem", late, advice)])]


def finding_lines(findings: Sequence[Finding]) -> list[str]:
    """Return one line per finding, what to do below it, and the sum."""
    width = max(len(finding.check) for finding in findings)
    lines = []
    for finding in findings:
        level = click.style(f"{finding.level:<7}", fg=COLOURS[finding.level])
        lines.append(f"{level}  {finding.check:<{width}}  {finding.says}")
        if finding.advice and finding.level != "ok":
            lines.append(click.style(f"{'':<7}  {'':<{width}}  → {finding.advice}", dim=True))
    return [*lines, "", _sum(findings)]


def _sum(findings: Sequence[Finding]) -> str:
    counts = {level: sum(finding.level == level for finding in findings) for level in ("problem", "warning")}
    said = [f"{n} {level}{'s' if n > 1 else ''}" for level, n in counts.items() if n]
    return " and ".join(said) if said else f"all {len(findings)} checks are well"


def _run(name: str, check: Check, found: dict[str, list[Finding]]) -> None:
    try:
        found[name] = check()
    except PerennialError as error:
        found[name] = [Finding(name, "problem", _one_line(error))]
    except Exception as error:  # noqa: BLE001 - the edge of a thread: a check that fails is a finding
        found[name] = [Finding(name, "problem", f"the check failed: {type(error).__name__}: {_one_line(error)}")]


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:500]
