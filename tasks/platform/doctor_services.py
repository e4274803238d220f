"""Checks of databases, servers and processes."""

from __future__ import annotations

import re
import sqlite3
import tempfile
import time
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from config.load import model_names
from config.platform import read_platform
from config.settings import Settings
from core.operate.deployments import TAG
from core.operate.findings import Finding
from store.data import pushed_trees
from store.database import open_database
from store.postgres import is_postgres
from store.probe import probe_database
from store.schema_version import HEAD
from store.triggers import open_triggers
from tasks.platform.http import Answer, ask, prefect_headers
from tasks.platform.processes import BEAT_SECONDS, relay_beat
from tasks.registry.client import SQLITE, address
from tasks.runs.local_server import running_server
from tasks.versions.dvc_stores import Remote, configured_remote, open_stores

SECONDS = 3.0
SLOW_SECONDS = 0.5
N_PAGE = 200


def check_database(settings: Settings) -> list[Finding]:
    """Connect to the operational database, acquire its write lock briefly, and read its schema version."""
    probe = probe_database(settings.database_url, SECONDS)
    said = f"{probe.address} answers in {probe.seconds * 1000:,.0f} ms"
    if probe.version is None:
        return [Finding("database", "ok", f"{probe.address} has no tables yet; the first command creates them")]
    if not probe.is_at_head:
        if probe.version > HEAD:
            says = f"{said}, but has the schema of a newer release ({probe.version}; this release has {HEAD})"
            return [Finding("database", "problem", says, "upgrade Perennial")]
        return [
            Finding("database", "ok", f"{said}; the next command migrates its schema from {probe.version} to {HEAD}")
        ]
    if probe.seconds > SLOW_SECONDS:
        return [
            Finding("database", "warning", said, "every step of a run waits for it; use a database with lower latency")
        ]
    return [Finding("database", "ok", f"{said}; its schema is current ({HEAD})")]


def check_prefect(settings: Settings) -> list[Finding]:
    """Check the server's readiness and version, and our work pool, worker and deployments."""
    url = settings.prefect_api_url
    if url is None:
        return [_local_server(settings)]
    shown = _shown(url)
    ready = _ask(f"{url}/ready")
    if ready is not None and ready.status == 404:  # Prefect Cloud has only this endpoint
        ready = _ask(f"{url}/health")
    if ready is None or ready.status != 200:
        what = "does not answer" if ready is None else f"answers {ready.status}"
        what = "rejects the API key" if ready is not None and ready.status in (401, 403) else what
        advice = "read its log (var/log/prefect.log), correct PREFECT_API_URL and PREFECT_API_KEY, or unset them"
        return [Finding("prefect", "problem", f"expected a Prefect server, found that {shown} {what}", advice)]
    return [_prefect_version(url, shown), *_prefect_content(url, settings)]


def check_mlflow(settings: Settings) -> list[Finding]:
    """Check MLflow's server, or the database that is used without a server."""
    uri, shown = settings.mlflow_uri, address(settings)
    if is_postgres(uri):
        probe_database(uri, SECONDS)
        return [Finding("mlflow", "ok", f"{shown} answers")]
    if uri.startswith(SQLITE):
        return [_mlflow_file(Path(uri.removeprefix(SQLITE)), settings)]
    answer = _ask(f"{uri.rstrip('/')}/version", prefect=False)
    if answer is None or answer.status != 200:
        what = "does not answer" if answer is None else f"answers {answer.status}"
        advice = "read its log (var/log/mlflow.log), or correct PERENNIAL_MLFLOW_URI"
        return [Finding("mlflow", "problem", f"{shown} {what}", advice)]
    there, here = answer.body.decode(errors="replace").strip(), version("mlflow")
    if there != here:
        return [
            Finding(
                "mlflow",
                "warning",
                f"{shown} runs version {there}, the client is {here}",
                "use the same version on both",
            )
        ]
    return [Finding("mlflow", "ok", f"{shown} answers; version {there}")]


def check_remote(settings: Settings) -> list[Finding]:
    """Write a small file to the data remote and remove it again."""
    remote = configured_remote(settings)
    if remote is None:
        advice = "run dvc remote add --default NAME ADDRESS, or set PERENNIAL_DATA_REMOTE"
        return [Finding("data remote", "problem", ".dvc/config names no data remote", advice)]
    if remote.folder is not None:
        return [_folder_remote(remote, remote.folder, settings)]
    return [_far_remote(remote, settings)]


def check_relay(settings: Settings) -> list[Finding]:
    """Check the relay's heartbeat and the triggers that wait for it."""
    beat = relay_beat(settings)
    age = None if beat is None else time.time() - beat
    if age is not None and age < BEAT_SECONDS:
        return [Finding("relay", "ok", f"last round {max(age, 0):.0f} s ago")]
    waiting = _waiting_triggers(settings)
    said = "it has never run here" if age is None else f"last round {_since(age)} ago"
    if waiting:
        says = f"{said}; {waiting} trigger{'s wait' if waiting > 1 else ' waits'} for it"
        return [Finding("relay", "problem", says, "start it with: perennial up, or perennial relay")]
    if read_platform(settings.var) is not None:
        return [Finding("relay", "problem", f"{said}, although the platform is running", "read var/log/relay.log")]
    return [Finding("relay", "ok", f"{said}; no trigger waits for it")]


def _local_server(settings: Settings) -> Finding:
    own = running_server(settings)
    said = f"the local server runs at {own.url}" if own else "no server is running; the next run starts a local one"
    return Finding("prefect", "ok", f"{said}; for schedules and webhooks, start: perennial up")


def _prefect_version(url: str, shown: str) -> Finding:
    answer, here = _ask(f"{url}/admin/version"), version("prefect")
    there = answer.json() if answer is not None and answer.status == 200 else None
    if isinstance(there, str) and there != here:
        says = f"{shown} runs version {there}, the client is {here}"
        level_is_same = there.split(".")[:2] == here.split(".")[:2]
        return Finding("prefect", "warning" if level_is_same else "problem", says, "use the same version on both")
    return Finding("prefect", "ok", f"{shown} is ready{f'; version {there}' if there else ''}")


def _prefect_content(url: str, settings: Settings) -> list[Finding]:
    pool = settings.work_pool
    found = _ask(f"{url}/work_pools/{pool}")
    if found is None or found.status != 200:
        says = f"the work pool {pool!r} does not exist"
        return [Finding("work pool", "problem", says, "create it and deploy with: perennial deploy")]
    document = found.json() or {}
    paused = Finding("work pool", "problem", f"{pool!r} is paused", f"resume it with: prefect work-pool resume {pool}")
    here = paused if document.get("is_paused") else Finding("work pool", "ok", f"{pool!r} accepts runs")
    return [here, _worker(url, pool), _deployments(url, settings)]


def _worker(url: str, pool: str) -> Finding:
    workers = _post(f"{url}/work_pools/{pool}/workers/filter", {})
    online = [worker["name"] for worker in workers if worker.get("status") == "ONLINE"]
    if online:
        return Finding("worker", "ok", f"{', '.join(online[:4])} {'is' if len(online) == 1 else 'are'} online")
    advice = f"start one with: perennial up, or prefect worker start --pool {pool}"
    return Finding("worker", "problem", f"no worker of the pool {pool!r} is online, so no run starts", advice)


def _deployments(url: str, settings: Settings) -> Finding:
    body = {"deployments": {"tags": {"all_": [TAG]}}, "limit": N_PAGE}
    found = _post(f"{url}/deployments/filter", body)
    there, wanted = {deployment["name"] for deployment in found}, model_names(settings.root)
    missing = [name for name in wanted if name not in there]
    if missing:
        says = f"{len(found)} deployments of this project, none for {', '.join(missing[:4])}"
        return Finding("deployments", "problem", says, "create them with: perennial deploy")
    return Finding("deployments", "ok", f"{len(found)} for {len(wanted)} model{'s' if len(wanted) != 1 else ''}")


def _mlflow_file(path: Path, settings: Settings) -> Finding:
    if not path.exists():
        return Finding("mlflow", "ok", f"{path} does not exist yet; the first training creates it")
    try:
        with closing(sqlite3.connect(path, timeout=SECONDS)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("SELECT count(*) FROM registered_models")
    except sqlite3.Error as error:
        advice = "end the process that locks it, or restore a backup (docs/platform.md)"
        return Finding("mlflow", "problem", f"{address(settings)}: {error}", advice)
    return Finding("mlflow", "ok", f"{address(settings)} is readable and writable; no server is needed")


def _folder_remote(remote: Remote, folder: Path, settings: Settings) -> Finding:
    advice = "mount it again, or set PERENNIAL_DATA_REMOTE to another remote"
    if not folder.is_dir():
        if _was_pushed_to(remote, settings) or not folder.parent.is_dir():
            return Finding("data remote", "problem", f"no folder {folder}", advice)
        return Finding("data remote", "ok", f"{folder} does not exist yet; the first ingestion creates it")
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as file:
            file.write(b"probe")
            file.flush()
    except OSError as error:
        says = f"{folder} cannot be written: {error.strerror or error}"
        return Finding("data remote", "problem", says, "give this user write permission, or free disk space")
    return Finding("data remote", "ok", f"{folder} is writable")


def _far_remote(remote: Remote, settings: Settings) -> Finding:
    if not probe_database(settings.database_url, SECONDS).is_at_head:
        # Opening the stores would migrate the database, but the doctor changes nothing.
        says = f"{remote.address} is checked only after another command has migrated the database"
        return Finding("data remote", "ok", says)
    # Its libraries raise errors of their own classes; the caller reports any of them.
    stores = open_stores(settings, open_database(settings.database_url))
    files = stores.remote_store.fs
    path = files.join(stores.remote_store.path, f".doctor-{uuid4().hex}")
    files.fs.pipe_file(path, b"probe")
    files.fs.rm_file(path)
    return Finding("data remote", "ok", f"{remote.address} is writable")


def _was_pushed_to(remote: Remote, settings: Settings) -> bool:
    probe = probe_database(settings.database_url, SECONDS)
    return probe.is_at_head and bool(pushed_trees(open_database(settings.database_url), remote.address))


def _waiting_triggers(settings: Settings) -> int:
    if not probe_database(settings.database_url, SECONDS).is_at_head:
        return 0
    return len(open_triggers(open_database(settings.database_url)))


def _ask(url: str, *, prefect: bool = True) -> Answer | None:
    return ask(url, headers=prefect_headers() if prefect else {}, seconds=SECONDS)


def _post(url: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    answer = ask(url, body=body, headers=prefect_headers(), seconds=SECONDS)
    found = answer.json() if answer is not None and answer.status == 200 else []
    return found if isinstance(found, list) else []


def _shown(url: str) -> str:
    return re.sub(r"//[^/@\s]*@", "//***@", url) if urlsplit(url).password else url


def _since(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.0f} h"
    )
