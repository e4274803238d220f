import ast
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from config.load import load_model_config
from config.prefect_file import Deployment, PrefectFile, load_prefect_file
from config.schema import ModelConfig, Schedule
from core.operate.deployments import (
    HEARTBEAT_SECONDS,
    SILENT,
    ZOMBIE_SECONDS,
    DeployedFlow,
    Site,
    automations,
    deployed_flow,
    rendered,
)
from core.operate.events import NAMES

ROOT = Path(__file__).resolve().parents[3]
PATTERN = load_prefect_file(ROOT / "prefect.yaml")
HERE = Site("pool", None, None, "/code", {"PERENNIAL_ROOT": "/project"})
ELSEWHERE = Site("pool", "https://git.example.org/us.git", "main", "/code", {})
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
FLOWS = sorted(path.stem for path in (ROOT / "flows").glob("*.py") if path.stem != "__init__")
HASHES = dict.fromkeys(FLOWS, "0" * 64)


def _config(name: str = "credit", **schedule: str) -> ModelConfig:
    config = load_model_config(ROOT, "credit")
    return config.model_copy(update={"model": name, "schedule": Schedule(**schedule)})


def _deployments(*configs: ModelConfig, site: Site = HERE, pattern: PrefectFile = PATTERN) -> dict[str, Deployment]:
    file = rendered(pattern, configs, site, HASHES)
    return {deployment.full_name: deployment for deployment in file.deployments}


def _flow_parameters(flow: str) -> set[str]:
    tree = ast.parse((ROOT / "flows" / f"{flow}.py").read_text())
    (function,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == flow)
    return {argument.arg for argument in function.args.args}


def test_every_flow_has_a_deployment() -> None:
    """A flow that is added without one would run by hand only."""
    assert sorted(deployment.flow for deployment in PATTERN.deployments) == FLOWS


def test_every_schedule_of_a_model_file_is_that_of_a_flow() -> None:
    """A key that names no flow would be read and forgotten."""
    assert set(Schedule.model_fields) - {"timezone"} <= set(FLOWS)


def test_flows_take_the_parameters_they_are_given() -> None:
    """The server takes unknown ones, and the run then crashes."""
    for deployment in _deployments(_config(ingest="0 5 * * *", monitor="0 6 * * *", retrain="0 3 * * 1")).values():
        scheduled = [schedule.parameters for schedule in deployment.schedules]
        triggered = [trigger.parameters for trigger in deployment.triggers]
        for parameters in (deployment.parameters, *scheduled, *triggered):
            assert set(parameters) <= _flow_parameters(deployment.flow), deployment.full_name


def test_triggers_wait_for_events_there_are() -> None:
    """An event that nobody sends starts nothing, silently."""
    for deployment in PATTERN.deployments:
        for trigger in deployment.triggers:
            assert set(trigger.expect) <= set(NAMES)


def test_every_model_has_every_deployment() -> None:
    """The file is a pattern: names, parameters, tags and triggers are filled in for each model."""
    found = _deployments(_config("credit"), _config("loans"))
    of_models = {f"{flow}/{model}" for flow in FLOWS for model in ("credit", "loans") if flow != "prune"}
    assert set(found) == {*of_models, "prune/pool"}
    retrain = found["retrain/loans"]
    assert retrain.parameters == {"model": "loans"}
    assert retrain.tags == ("perennial", "model:loans", "retrain")
    assert retrain.work_pool.name == "pool"
    (trigger,) = retrain.triggers
    assert trigger.match == {"prefect.resource.id": "perennial.model.loans", "perennial.retrain": "true"}
    assert trigger.parameters["trigger_id"] == "drift:{{ event.payload.decision_id }}"
    assert "PERENNIAL_MODEL" not in str(rendered(PATTERN, [_config()], HERE, HASHES).to_document())


def test_the_project_is_pruned_once_whatever_its_models() -> None:
    """Each night, by the schedule of the file; without rows to fetch, and of no model that could be left over."""
    prune = _deployments(_config("credit"), _config("loans"))["prune/pool"]
    (schedule,) = prune.schedules
    assert (schedule.cron, schedule.parameters) == ("20 2 * * *", {"trigger": "schedule"})
    assert prune.tags == ("perennial", "prune")
    assert prune.work_pool.job_variables["env"]["PERENNIAL_ROOT"] == "/project"
    cloned = _deployments(_config("credit"), site=ELSEWHERE)["prune/pool"].pull
    assert cloned is not None
    assert [step for one in cloned for step in one] == [
        "prefect.deployments.steps.git_clone",
        "prefect.deployments.steps.run_shell_script",
    ]
    one, other = (_deployments(_config(name))["prune/pool"].version for name in ("credit", "loans"))
    assert one == other


def test_schedules_come_from_the_model_file() -> None:
    """Each flow has its own, in the file's time zone, and its runs know that a schedule began them."""
    found = _deployments(_config(monitor="0 6 * * *", timezone="Europe/Berlin"))
    (schedule,) = found["monitor/credit"].schedules
    assert (schedule.slug, schedule.cron, schedule.timezone) == ("monitor", "0 6 * * *", "Europe/Berlin")
    assert schedule.parameters == {"trigger": "schedule"}
    assert found["ingest/credit"].schedules == found["train/credit"].schedules == ()


def test_without_a_repository_runs_stay_in_the_folder() -> None:
    """They work on the code and the project that lie there."""
    deployment = _deployments(_config())["ingest/credit"]
    assert deployment.pull == ({"prefect.deployments.steps.set_working_directory": {"directory": "/code"}},)
    environment = deployment.work_pool.job_variables["env"]
    assert environment["PERENNIAL_ROOT"] == "/project"
    assert environment["PREFECT_CLIENT_MAX_RETRIES"] == "7"


def test_with_a_repository_runs_fetch_code_libraries_and_data() -> None:
    """The branch, the locked libraries and the newest data version, in this order."""
    deployment = _deployments(_config(), site=ELSEWHERE)["ingest/credit"]
    assert deployment.pull is not None
    clone, install, data = (next(iter(step.values())) for step in deployment.pull)
    assert (clone["repository"], clone["branch"]) == ("https://git.example.org/us.git", "main")
    assert "--require-hashes" in install["script"]
    assert data["script"] == "python -m cli data restore credit latest --missing-ok --wait 600"
    assert data["directory"] == "{{ clone.directory }}"


@pytest.mark.parametrize(
    "changed",
    [
        {"site": replace(HERE, folder="/elsewhere")},
        {"config": _config(retrain="0 4 * * 1")},
        {"hashes": HASHES | {"retrain": "1" * 64}},
    ],
)
def test_a_version_is_that_of_the_content(changed: dict[str, Any]) -> None:
    """What is deployed differs exactly where the version does; the flow's file belongs to it."""
    given = {"config": _config(), "site": HERE, "hashes": HASHES}

    def version(given: dict[str, Any]) -> str | None:
        file = rendered(PATTERN, [given["config"]], given["site"], given["hashes"])
        return next(deployment.version for deployment in file.deployments if deployment.flow == "retrain")

    assert version(given) == version(dict(given))
    assert version(given) != version(given | changed)


def test_the_next_run_is_in_the_schedules_time_zone() -> None:
    """It is told as people there read clocks."""
    deployment = _deployments(_config(monitor="0 6 * * *", timezone="Europe/Berlin"))["monitor/credit"]
    told = deployed_flow(deployment, "created", NOW)
    assert told == DeployedFlow("monitor/credit", "created", "0 6 * * * (Europe/Berlin)", told.next_run)
    assert told.to_dict()["next_run"] == "2026-07-02T06:00:00+02:00"


def test_silence_of_less_than_three_heartbeats_is_death() -> None:
    """The run is marked within three, though the server looks every five seconds only; one lost is forgiven."""
    assert 2 * HEARTBEAT_SECONDS < ZOMBIE_SECONDS <= 3 * HEARTBEAT_SECONDS - 2 * 5
    trigger = automations()[0]["trigger"]
    assert trigger["within"] == ZOMBIE_SECONDS
    assert "prefect.flow-run.AwaitingRetry" not in trigger["expect"]
    assert automations()[2]["trigger"]["after"] == [f"prefect.flow-run.{SILENT}"]
    assert f"prefect.flow-run.{SILENT}" in trigger["expect"]
    environments = [deployment.work_pool.job_variables["env"] for deployment in PATTERN.deployments]
    assert {env["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] for env in environments} == {str(HEARTBEAT_SECONDS)}
