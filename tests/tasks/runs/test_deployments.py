"""``perennial deploy`` on a real Prefect server."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import pytest

from config.prefect_file import load_prefect_file
from config.settings import Settings
from core.operate.deployments import ZOMBIE_SECONDS
from tasks.runs.deployments import deploy_models
from tests.factories import add_credit_model
from tests.prefect_server import ROOT, PrefectServer, await_that, prefect_server

pytestmark = pytest.mark.e2e

FLOWS = ("ingest", "train", "monitor", "retrain", "release", "score")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """Run a Prefect server for the tests of this file."""
    with prefect_server(tmp_path_factory.mktemp("deploy")) as server:
        yield server


@pytest.fixture
def clean(server: PrefectServer) -> PrefectServer:
    """Return the server without deployments and automations."""
    for kind in ("deployments", "automations"):
        for found in server.request("POST", f"/{kind}/filter", json={}):
            server.request("DELETE", f"/{kind}/{found['id']}")
    return server


def _add_model(settings: Settings, name: str = "credit", **schedule: str) -> None:
    if not (settings.root / "config" / "models" / "credit.yaml").exists():
        add_credit_model(settings)
    content = json.loads((settings.root / "config" / "models" / "credit.yaml").read_text())
    content |= {"model": name, "schedule": schedule}
    (settings.root / "config" / "models" / f"{name}.yaml").write_text(json.dumps(content))


def _command(server: PrefectServer, settings: Settings, *arguments: str, **changed: str) -> Any:
    return subprocess.run(
        [sys.executable, "-m", "cli", "deploy", "--json", *arguments],
        cwd=settings.root,
        env=server.environment | {"PERENNIAL_ROOT": str(settings.root)} | changed,
        capture_output=True,
        text=True,
        check=False,
    )


def _deploy(server: PrefectServer, settings: Settings, *, prune: bool = False) -> dict[str, str]:
    """Deploy in this process: each start of the command would import Prefect for seconds."""
    ours = settings.model_copy(update={"prefect_api_url": server.api_url})
    with patch.dict(os.environ, server.environment | {"PERENNIAL_ROOT": str(settings.root)}, clear=True):
        return {deployed.name: deployed.change for deployed in deploy_models([], ours, prune=prune)}


def _deployed(server: PrefectServer, name: str) -> dict[str, Any]:
    return dict(server.request("GET", f"/deployments/name/{name}"))


def _automations(server: PrefectServer) -> dict[str, dict[str, Any]]:
    found = server.request("POST", "/automations/filter", json={})
    assert len({automation["name"] for automation in found}) == len(found)
    return {automation["name"]: automation for automation in found}


def _scheduled(server: PrefectServer, name: str) -> list[dict[str, Any]]:
    return [run for run in server.runs(_deployed(server, name)["id"]) if run["auto_scheduled"]]


def test_a_repeat_changes_nothing(clean: PrefectServer, project: Settings) -> None:
    """The same deployments and automations stay, under the same ids; the server has what the file says."""
    _add_model(project, monitor="0 6 * * *", timezone="Europe/Berlin")
    names = [*(f"{flow}/credit" for flow in FLOWS), "prune/perennial"]
    done = _command(clean, project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {found["name"]: found["change"] for found in json.loads(done.stdout)} == dict.fromkeys(names, "created")
    first, automations = {flow: _deployed(clean, f"{flow}/credit") for flow in FLOWS}, _automations(clean)
    assert _deploy(clean, project) == dict.fromkeys(names, "unchanged")
    assert {flow: _deployed(clean, f"{flow}/credit")["id"] for flow in FLOWS} == {
        flow: found["id"] for flow, found in first.items()
    }
    assert _automations(clean) == automations
    assert first["train"]["global_concurrency_limit"]["limit"] == 1
    assert {found["concurrency_options"]["collision_strategy"] for found in first.values()} == {"ENQUEUE"}
    assert first["ingest"]["job_variables"]["env"]["PERENNIAL_ROOT"] == str(project.root)
    assert load_prefect_file(project.var / "deploy" / "prefect.yaml").deployments[0].full_name == "ingest/credit"


def test_the_server_schedules_what_the_model_file_says_until_it_does_not(
    clean: PrefectServer, project: Settings
) -> None:
    """A run is there for the next slot; a schedule that left the file is gone with its runs, and nothing else."""
    _add_model(project, monitor="0 6 * * *", ingest="30 5 * * *")
    _deploy(clean, project)
    run = await_that(lambda: _scheduled(clean, "monitor/credit"))[0]
    assert datetime.fromisoformat(run["expected_start_time"]).hour == 6
    assert run["parameters"] == {"model": "credit", "wait_seconds": 3600, "trigger": "schedule"}
    await_that(lambda: _scheduled(clean, "ingest/credit"))
    _add_model(project, ingest="45 5 * * *")
    changes = _deploy(clean, project)
    assert (changes["ingest/credit"], changes["monitor/credit"]) == ("updated", "updated")
    assert _deployed(clean, "monitor/credit")["schedules"] == []
    assert _scheduled(clean, "monitor/credit") == []
    (schedule,) = _deployed(clean, "ingest/credit")["schedules"]
    assert schedule["schedule"]["cron"] == "45 5 * * *"


def test_a_deployment_that_somebody_changed_is_mended(clean: PrefectServer, project: Settings) -> None:
    """A missing automation comes back; a schedule that was paused stays paused."""
    _add_model(project, monitor="0 6 * * *")
    _deploy(clean, project)
    clean.request("DELETE", f"/automations/{_automations(clean)['perennial: drift retrains credit']['id']}")
    monitor = _deployed(clean, "monitor/credit")
    paused = f"/deployments/{monitor['id']}/schedules/{monitor['schedules'][0]['id']}"
    clean.request("PATCH", paused, json={"active": False})
    assert _deploy(clean, project)["retrain/credit"] == "updated"
    assert "perennial: drift retrains credit" in _automations(clean)
    assert [schedule["active"] for schedule in _deployed(clean, "monitor/credit")["schedules"]] == [False]


def test_models_that_are_gone_leave_when_told(clean: PrefectServer, project: Settings) -> None:
    """Their deployments stay until --prune, which takes their automations too; what is not surely ours stays."""
    _add_model(project)
    _add_model(project, "loans")
    _deploy(clean, project)
    clean.request("POST", "/work_pools/", json={"name": "elsewhere", "type": "process"})
    for name, changed in {"train": {"work_pool_name": "elsewhere"}, "monitor": {"tags": ["perennial"]}}.items():
        clean.request("PATCH", f"/deployments/{_deployed(clean, f'{name}/loans')['id']}", json=changed)
    (project.root / "config" / "models" / "loans.yaml").unlink()
    assert _deploy(clean, project)["retrain/loans"] == "left over"
    assert "perennial: drift retrains loans" in _automations(clean)
    changes = _deploy(clean, project, prune=True)
    removed = [name for name, change in changes.items() if change == "removed"]
    assert removed == ["ingest/loans", "release/loans", "retrain/loans", "score/loans"]
    assert "perennial: drift retrains loans" not in _automations(clean)
    assert "perennial: drift retrains credit" in _automations(clean)
    assert _deployed(clean, "train/loans")["id"] != _deployed(clean, "monitor/loans")["id"]


def test_silent_runs_are_found_by_the_servers_automation(clean: PrefectServer, project: Settings) -> None:
    """The server took the definition as it was meant, and a changed one is changed in place."""
    _add_model(project)
    _deploy(clean, project)
    found = _automations(clean)["perennial crashes silent runs"]
    trigger = found["trigger"]
    assert (trigger["posture"], trigger["within"], trigger["for_each"]) == (
        "Proactive",
        ZOMBIE_SECONDS,
        ["prefect.resource.id"],
    )
    assert trigger["match_related"]["prefect.resource.id"] == "prefect.tag.perennial"
    assert trigger["after"] == ["prefect.flow-run.heartbeat"]
    assert "prefect.flow-run.heartbeat" in trigger["expect"]
    assert [(action["type"], action["state"]) for action in found["actions"]] == [("change-flow-run-state", "CRASHED")]
    recalled = _automations(clean)["perennial recalls living runs"]
    assert recalled["trigger"]["after"] == ["prefect.flow-run.CrashedSilently"]
    assert [(action["state"], action["force"]) for action in recalled["actions"]] == [("RUNNING", True)]
    spoilt = {key: found[key] for key in ("name", "description", "enabled", "actions")}
    clean.request("PUT", f"/automations/{found['id']}", json=spoilt | {"trigger": trigger | {"within": 1000.0}})
    _deploy(clean, project)
    mended = _automations(clean)["perennial crashes silent runs"]
    assert (mended["id"], mended["trigger"]["within"]) == (found["id"], ZOMBIE_SECONDS)


def test_drift_that_matters_starts_a_retraining(clean: PrefectServer, project: Settings) -> None:
    """One run, whose parameters name the decision; drift that asks for none and other models' drift start nothing."""
    _add_model(project)
    _deploy(clean, project)
    retrain = _deployed(clean, "retrain/credit")["id"]
    number = 0

    def drift(model: str, matters: str) -> None:
        nonlocal number
        number += 1
        resource = {"prefect.resource.id": f"perennial.model.{model}", "perennial.retrain": matters}
        payload = {"decision_id": f"d{number}", "reasons": ["income drifted", 'AUC fell by 3 %: "much"']}
        event = {
            "id": f"00000000-0000-4000-8000-{number:012d}",
            "event": "perennial.drift.detected",
            "occurred": datetime.now(UTC).isoformat(),
            "resource": resource,
            "payload": payload,
        }
        clean.request("POST", "/events", json=[event])

    def found() -> list[dict[str, Any]]:
        # The server reads automations it was given a moment later.
        if number < 40:
            drift("loans", "true")
            drift("credit", "false")
            drift("credit", "true")
        return clean.runs(retrain)

    run = await_that(found, pause=1)[0]
    decision = run["parameters"]["trigger_id"].removeprefix("drift:d")
    assert int(decision) % 3 == 0
    assert run["parameters"]["trigger"] == "drift"
    assert run["parameters"]["model"] == "credit"
    assert run["parameters"]["reason"] == 'income drifted AUC fell by 3 %: "much"'


def test_prefect_takes_the_file_as_it_stands(clean: PrefectServer, project: Settings) -> None:
    """A few variables and Prefect's own command are enough, for one model."""
    clean.request("POST", "/work_pools/", json={"name": "perennial", "type": "process"}, expected=(201, 409))
    given = {
        "PERENNIAL_MODEL": "credit",
        "PERENNIAL_WORK_POOL": "perennial",
        "PERENNIAL_REPOSITORY": "https://git.example.org/us.git",
        "PERENNIAL_BRANCH": "main",
    }
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    done = subprocess.run(command, cwd=ROOT, env=clean.environment | given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    ingest, retrain = _deployed(clean, "ingest/credit"), _deployed(clean, "retrain/credit")
    assert ingest["pull_steps"][0]["prefect.deployments.steps.git_clone"]["branch"] == "main"
    assert ingest["pull_steps"][1]["prefect.deployments.steps.run_shell_script"]["directory"] == "{{ clone.directory }}"
    assert retrain["tags"] == ["perennial", "model:credit", "retrain"]
    trigger = _automations(clean)["perennial: drift retrains credit"]["trigger"]
    assert trigger["match"]["prefect.resource.id"] == "perennial.model.credit"
    _add_model(project)
    assert set(_deploy(clean, project).values()) == {"updated"}


def test_the_file_of_the_project_comes_first_and_is_checked(clean: PrefectServer, project: Settings) -> None:
    """A typing error is told with its line, before anything is deployed."""
    _add_model(project)
    text = (ROOT / "prefect.yaml").read_text().replace("        expect:", "        expects:")
    (project.root / "prefect.yaml").write_text(text)
    done = _command(clean, project)
    assert done.returncode == 2
    assert "triggers.0.expects: unknown key" in json.loads(done.stdout)["error"]["message"]
    assert clean.request("POST", "/deployments/filter", json={}) == []


def test_without_a_server_the_command_says_what_to_do(server: PrefectServer, project: Settings) -> None:
    """Nothing is named and nothing runs here."""
    _add_model(project)
    done = _command(server, project, PREFECT_API_URL="")
    assert done.returncode == 2
    assert "set PREFECT_API_URL" in json.loads(done.stdout)["error"]["message"]


def test_a_server_that_is_away_is_told(server: PrefectServer, project: Settings) -> None:
    """The message names its address."""
    _add_model(project)
    away = {"PREFECT_API_URL": "http://127.0.0.1:9/api", "PREFECT_CLIENT_MAX_RETRIES": "0"}
    done = _command(server, project, **away)
    assert done.returncode == 2
    assert "http://127.0.0.1:9/api does not answer" in json.loads(done.stdout)["error"]["message"]
