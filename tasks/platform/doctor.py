"""Check everything an installation needs, concurrently, and advise on each problem."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from config.settings import PlatformSettings, ServingSettings, Settings
from core.errors import PerennialError
from core.operate.findings import Finding
from tasks.platform.doctor_machine import (
    check_alerts,
    check_clock,
    check_disk,
    check_hooks,
    check_libraries,
    check_models,
    check_ports,
    check_python,
)
from tasks.platform.doctor_modes import check_modes
from tasks.platform.doctor_platform import check_platform
from tasks.platform.doctor_services import check_database, check_mlflow, check_prefect, check_relay, check_remote
from tasks.platform.doctor_user import (
    check_caches,
    check_folder,
    check_git,
    check_home,
    check_owners,
    check_proxies,
)

CHECK_SECONDS = 10.0
"""Time limit of a check; its requests have shorter timeouts."""

Check = Callable[[], list[Finding]]


def examine(settings: Settings, platform: PlatformSettings, serving: ServingSettings) -> list[Finding]:
    """Run every check in its own thread, and return the findings in a fixed order."""
    checks: dict[str, Check] = {
        "python": check_python,
        "libraries": lambda: check_libraries(settings),
        "disk": lambda: check_disk(settings),
        "var": lambda: check_folder(settings),
        "owners": lambda: check_owners(settings),
        "modes": lambda: check_modes(settings),
        "home": lambda: check_home(settings),
        "caches": lambda: check_caches(settings),
        "git": lambda: check_git(settings),
        "proxies": lambda: check_proxies(settings),
        "clock": lambda: check_clock(settings, platform),
        "models": lambda: check_models(settings),
        "database": lambda: check_database(settings),
        "data remote": lambda: check_remote(settings),
        "ports": lambda: check_ports(settings, platform, serving),
        "platform": lambda: check_platform(settings),
        "prefect": lambda: check_prefect(settings),
        "mlflow": lambda: check_mlflow(settings),
        "relay": lambda: check_relay(settings),
        "webhooks": check_hooks,
        "alerts": check_alerts,
    }
    return run_checks(checks)


def run_checks(checks: dict[str, Check], seconds: float = CHECK_SECONDS) -> list[Finding]:
    """Run checks concurrently; a check that exceeds the time limit or raises an error is reported as a problem."""
    found: dict[str, list[Finding]] = {}
    threads = [
        # Daemon threads: a check that hangs in a system call must not prevent the command from ending.
        threading.Thread(target=_run, args=(name, check, found), name=name, daemon=True)
        for name, check in checks.items()
    ]
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = f"the check did not end within {seconds:.0f} s"
    advice = "its disk or service does not respond; check that first"
    return [finding for name in checks for finding in found.get(name, [Finding(name, "problem", late, advice)])]


def _run(name: str, check: Check, found: dict[str, list[Finding]]) -> None:
    try:
        found[name] = check()
    except PerennialError as error:
        found[name] = [Finding(name, "problem", _one_line(error))]
    except Exception as error:  # noqa: BLE001 - the edge of a thread: a check that fails is a finding
        found[name] = [Finding(name, "problem", f"the check failed: {type(error).__name__}: {_one_line(error)}")]


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:500]
