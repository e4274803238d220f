"""Checks of this machine and its configuration."""

from __future__ import annotations

import platform as machine
import shutil
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from importlib.metadata import distributions
from pathlib import Path
from urllib.parse import urlsplit

from config.load import load_model_config, model_names
from config.platform import read_platform
from config.settings import (
    PACKAGES,
    AlertSettings,
    HookSettings,
    PlatformSettings,
    ServingSettings,
    Settings,
    is_loopback_host,
    load_section,
)
from core.errors import ConfigError
from core.operate.findings import Finding, broken_bounds, clock_finding, differing_pins, pinned_versions, plain_name
from store.postgres import is_postgres
from store.probe import probe_database
from tasks.platform.http import ask, prefect_headers
from tasks.platform.ports import holder, is_free
from tasks.runs.local_server import running_server
from tasks.runs.working_folder import NEEDED
from tasks.validation.expectations import read_suite

SUPPORTED = ((3, 11), (3, 14))
"""The first supported version, and the first unsupported version after it."""

MIB, GIB = 1024**2, 1024**3
LOW_DISK, FULL_DISK = 5 * GIB, 1 * GIB
N_SHOWN = 4
SECONDS = 3.0


def check_python() -> list[Finding]:
    """Check the version of Python."""
    says = f"Python {machine.python_version()} ({sys.executable})"
    if SUPPORTED[0] <= sys.version_info[:2] < SUPPORTED[1]:
        return [Finding("python", "ok", says)]
    found = f"expected Python 3.11 to 3.13, found {says}"
    return [Finding("python", "problem", found, "set up again with one of them: make PYTHON=python3.12 setup")]


def check_libraries(settings: Settings) -> list[Finding]:
    """Compare the installed libraries with the versions known to work, and with the lock file."""
    installed = {plain_name(found.metadata["Name"]): found.version for found in distributions()}
    if broken := broken_bounds(installed):
        advice = "install the pinned versions: pip install --require-hashes -r requirements.lock"
        return [Finding("libraries", "problem", f"these versions do not work: {_some(broken)}", advice)]
    lock = next((path for path in _locks(settings) if path.is_file()), None)
    if lock is None:
        return [Finding("libraries", "ok", f"{len(installed)} installed, all within the supported versions")]
    pinned = pinned_versions(lock.read_text(encoding="utf-8"))
    if other := differing_pins(installed, pinned):
        says = f"{len(other)} of {len(pinned)} differ from requirements.lock: {_some(other)}"
        advice = "they may work; to be sure: pip install --require-hashes -r requirements.lock"
        return [Finding("libraries", "warning", says, advice)]
    return [Finding("libraries", "ok", f"all {len(pinned)} installed as pinned in requirements.lock")]


def check_disk(settings: Settings) -> list[Finding]:
    """Check the free space of the disks that runs write to."""
    folders = (settings.var, settings.root / "data", settings.root / ".dvc" / "cache")
    there = [next(path for path in (folder, *folder.parents) if path.exists()) for folder in folders]
    disks: dict[int, Path] = {}
    for folder in there:
        disks.setdefault(folder.stat().st_dev, folder)
    return [_disk_finding(folder) for folder in disks.values()]


def _disk_finding(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    says = f"{free / GIB:,.1f} GiB free under {folder}"
    if free < FULL_DISK:
        least = f"expected at least {FULL_DISK // GIB} GiB free under {folder}, found {free / MIB:,.0f} MiB"
        advice = f"free disk space; no run starts below {NEEDED // MIB} MiB"
        return Finding("disk", "problem", least, advice)
    if free < LOW_DISK:
        return Finding("disk", "warning", says, "free disk space soon; var contains old snapshots and reports")
    return Finding("disk", "ok", says)


def check_clock(settings: Settings, platform: PlatformSettings) -> list[Finding]:
    """Compare the clock with that of another machine, if one is configured."""
    for url in (platform.clock_url, settings.prefect_api_url, settings.mlflow_uri):
        if url is None or not url.startswith("http"):
            continue
        if url != platform.clock_url and is_loopback_host(urlsplit(url).hostname or ""):
            continue
        begun = datetime.now(UTC)
        answer = ask(url, headers=prefect_headers() if url == settings.prefect_api_url else {}, seconds=SECONDS)
        date = answer.headers.get("date") if answer else None
        if date:
            # The header has whole seconds, and was written between request and response.
            here = begun + (datetime.now(UTC) - begun) / 2 - timedelta(seconds=0.5)
            return [clock_finding(here, parsedate_to_datetime(date), str(urlsplit(url).hostname))]
    if is_postgres(settings.database_url):
        now = probe_database(settings.database_url, SECONDS).now
        if now is not None:
            return [clock_finding(datetime.now(UTC), now, "the database server")]
    says = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC; not compared with another machine (set PERENNIAL_CLOCK_URL)"
    return [Finding("clock", "ok", says)]


def check_models(settings: Settings) -> list[Finding]:
    """Load every model file and its suite."""
    names = model_names(settings.root)
    findings = []
    for name in names:
        try:
            read_suite(load_model_config(settings.root, name), settings)
        except ConfigError as error:
            says = " ".join(str(error).split())
            findings.append(Finding("models", "problem", says, f"correct config/models/{name}.yaml or its suite"))
    if not names:
        advice = "create one with: perennial init --data FILE --target COLUMN"
        return [Finding("models", "warning", "the project has no model file", advice)]
    return findings or [Finding("models", "ok", f"{len(names)} valid model files: {_some(names)}")]


def check_ports(settings: Settings, platform: PlatformSettings, serving: ServingSettings) -> list[Finding]:
    """Check that the platform's ports are free, unless the platform runs."""
    if (state := read_platform(settings.var)) is not None:
        ports = [port for port in (state.prefect_port, state.mlflow_port, state.serving_port) if port is not None]
        return [Finding("ports", "ok", f"the running platform uses {', '.join(map(str, ports))}")]
    own = running_server(settings)
    wanted = {
        platform.prefect_port: ("--prefect-port", "Prefect"),
        platform.mlflow_port: ("--mlflow-port", "MLflow"),
        serving.port: ("--port", "predictions"),
    }
    ours = {own.port} if own is not None else set()
    findings = []
    for port, (option, title) in wanted.items():
        if port == 0 or port in ours or is_free(port):
            continue
        says = f"port {port}, for {title}, is in use by {holder(port) or 'a process of another user'}"
        advice = f"end that process, or choose another port: perennial up {option} PORT"
        findings.append(Finding("ports", "warning", says, advice))
    return findings or [Finding("ports", "ok", _free_ports(wanted, ours))]


def _free_ports(wanted: Iterable[int], ours: set[int]) -> str:
    free = f"{', '.join(str(port) for port in wanted if port not in ours)} are free"
    return f"{free}; the project's local server uses {', '.join(map(str, ours))}" if ours else free


def check_hooks() -> list[Finding]:
    """Report the senders that have webhook keys, without the keys."""
    settings = load_section(HookSettings)
    senders = sorted({f"{key.sender} ({key.convention})" for key in settings.keys})
    if not senders:
        return [Finding("webhooks", "ok", "no keys are set, so webhooks cannot request a retraining")]
    plural = "s" if len(settings.keys) > 1 else ""
    return [Finding("webhooks", "ok", f"{len(settings.keys)} key{plural} set, for {_some(senders)}")]


def check_alerts() -> list[Finding]:
    """Report the number of alert destinations, without their addresses, which are secrets."""
    count = len(load_section(AlertSettings).destinations)
    if count == 0:
        says = "no destination is configured, so failures send no alert"
        return [Finding("alerts", "warning", says, "set PERENNIAL_ALERTS_URLS")]
    return [Finding("alerts", "ok", f"sent to {count} destination{'s' if count > 1 else ''}")]


def _locks(settings: Settings) -> list[Path]:
    return [settings.root / "requirements.lock", PACKAGES / "requirements.lock"]


def _some(words: list[str]) -> str:
    more = f" and {len(words) - N_SHOWN} more" if len(words) > N_SHOWN else ""
    return ", ".join(words[:N_SHOWN]) + more
