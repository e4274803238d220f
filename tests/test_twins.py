"""The tests mirror the code: each module has a twin, or a line here that says why it has none.

The twin of ``core/gate/checks.py`` is ``tests/core/gate/test_checks.py``.
"""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("cli", "config", "core", "flows", "reference", "serving", "store", "tasks")

WITHOUT_TWIN: dict[str, str] = {
    "cli/__main__.py": "tests/cli/test_main.py: the whole command in processes of its own",
    "core/data/rows.py": "A data class without code of its own; mypy checks its uses.",
    "core/drift/monitored_window.py": "A data class without code of its own; mypy checks its uses.",
    "core/errors.py": (
        "tests/reference/test_errors.py: every class of the tree, its exit code and its place on the page"
    ),
    "core/model_inputs.py": "tests/core/test_contract.py: prepared columns and encoded targets",
    "core/references.py": "Data classes without code of their own; mypy checks their uses.",
    "core/row_limits.py": "Constants; tests/serving/model/test_rows.py and tests/core/score/test_cells.py use them.",
    "core/score/outcome.py": "Data classes without code of their own; mypy checks their uses.",
    "core/train/training_run.py": "A data class without code of its own; mypy checks its uses.",
    "reference/__main__.py": (
        "It writes the pages that tests/reference/test_files.py compares with those that are committed."
    ),
    "serving/http/hooks.py": "tests/serving/webhooks/test_inbox.py: deliveries to a service that runs",
    "serving/processes/worker.py": (
        "tests/serving/processes/test_supervisor.py: workers as processes, their end and their restart"
    ),
    "serving/model/flatbuffer.py": (
        "tests/serving/model/test_arrow.py: what pyarrow writes is read, and pyarrow validates what is written"
    ),
    "serving/model/invalid.py": ("tests/serving/model/test_rows.py: the field and the pointer of each refusal"),
    "tasks/release/ended.py": "tests/tasks/release/test_people.py: rollbacks by a person, seen and unseen",
    "tasks/release/observe.py": "tests/tasks/release/test_look.py: requests, failures, labels by id and by key",
    "store/releases/records.py": "tests/store/releases/test_releases.py: states of releases that are moved",
    "store/migrations/": (
        "Alembic runs the scripts; tests/store/test_database.py compares the tables they make with those of the code."
    ),
    "store/log/server.py": (
        "tests/serving/telemetry/test_prediction_log.py: the log on a PostgreSQL server, and its failures"
    ),
    "tasks/platform/worker/server.py": "tests/tasks/platform/worker/test_run.py: runs in its forks",
    "tasks/runs/preload.py": "cli/warm/server.py and its test start the process that imports all of this.",
    "tasks/warm/client.py": "tests/tasks/warm/test_server.py: commands in forks, and without a process that answers",
    "tasks/warm/fork.py": "tests/tasks/warm/test_server.py: what a fork has of its command",
    "tasks/warm/inherited.py": "tests/tasks/warm/test_place.py: each limit and priority has another socket",
    "tasks/warm/leaving.py": "tests/tasks/warm/test_server.py: exit functions and exit codes",
    "tasks/erasure/training.py": (
        "Through batches.py, tests/tasks/erasure/test_forget.py finds trained versions and what they were trained on."
    ),
    "tasks/erasure/work.py": (
        "Through scorings.py, tests/tasks/erasure/test_scorings.py has paths inside and outside of the project."
    ),
    "tasks/gate/compare.py": (
        "tests/tasks/gate/test_judge.py: a comparison by hand answers as the gate does and changes nothing"
    ),
    "tasks/gate/judgement.py": "tests/tasks/gate/test_judge.py: every decision, on versions that were really trained",
    "tasks/gate/settled.py": "tests/tasks/gate/test_judge.py: versions that are settled and versions that are not",
    "tasks/gate/publish.py": "tests/tasks/gate/test_judge.py: what stands in tags, report and card after a judgement",
    "tasks/monitor/recorded.py": "tests/tasks/monitor/test_follow_up.py: decisions by their ids, and their pages",
    "tasks/monitor/reference.py": (
        "tests/tasks/monitor/test_measure.py: a champion's rows, a data version's, and a bundle that was changed"
    ),
    "tasks/monitor/scored.py": (
        "tests/tasks/monitor/test_measure.py: rows of rare classes are scored and weighted, on a registered champion"
    ),
    "tasks/outcomes.py": "tests/flows/test_monitor.py: what the run page shows, which needs Prefect's server",
    "tasks/platform/supervise.py": (
        "It is a process of the platform that tests/tasks/platform/test_up.py starts, kills and stops."
    ),
    "tasks/monitor/contract.py": (
        "tests/tasks/monitor/test_logged.py: the contract of a registered champion, by which labels are read"
    ),
    "tasks/monitor/window_files.py": (
        "tests/tasks/monitor/test_logged.py: windows of the log, measured, recorded and drawn again"
    ),
    "tasks/registry/server.py": "tests/tasks/platform/test_up.py: the platform starts it and asks for its health",
    "tasks/reports/drift_page.py": "tests/tasks/reports/test_drift.py: the page, drawn in a process of its own",
    "tasks/reports/evidently.py": (
        "The step runs in a process of its own; tests/tasks/reports/test_drift.py reads what it writes."
    ),
    "tasks/reports/pages.py": "tests/tasks/reports/test_card.py: escaping and numbers, on the page of a model",
    "tasks/reports/validation.py": (
        "tests/tasks/validation/test_validate.py: the page of a validation, also of hostile data"
    ),
    "tasks/runs/heartbeat.py": "It only names a file; tests/tasks/platform/test_processes.py makes it young and old.",
    "tasks/score/cells.py": ("tests/tasks/score/test_input.py: types that the engine casts, and types that it cannot"),
    "tasks/score/publish.py": "tests/tasks/score/test_plan.py: outputs of each kind, and what is recorded of them",
    "tasks/score/sql_input.py": "Tables of tests/tasks/score/test_input.py are read by it, in the key's order.",
    "tasks/score/staging.py": "tests/tasks/score/test_kills.py: what a kill leaves, and what goes on from it",
    "tasks/score/version.py": "tests/tasks/score/test_plan.py: the champion of the start, and a later one",
    "tasks/source/repetitive_texts.py": (
        "tests/tasks/versions/test_record_batches.py: columns that are read with a dictionary, and columns that are not"
    ),
    "tasks/steps.py": "tests/flows/test_train.py: the steps run in their flows, which needs Prefect's server",
    "tasks/train/bench.py": "tests/tasks/train/test_step_files.py: steps in processes of their own find what they need",
    "tasks/train/fit_run.py": "tests/tasks/train/test_step_files.py: the step, in a process of its own",
    "tasks/train/registration.py": "tests/tasks/gate/test_judge.py: the versions it judges are registered by it",
    "tasks/train/training_run.py": "tests/tasks/gate/test_judge.py: the runs it judges are named by it",
}
"""Module or folder: the test that imports or runs it, and what that test asserts; or why there is nothing to test."""

WITHOUT_MODULE: dict[str, str] = {
    "tests/cli/test_imports.py": "what each command imports, in processes of its own",
    "tests/flows/test_forget.py": "flows before and after an erasure, which is none itself",
    "tests/config/test_config_hash.py": "one table over all fields of a model file, for both hashes of config/load.py",
    "tests/tasks/test_column_names.py": "names of columns, from the source through the data versions to the monitor",
    "tests/flows/test_ingest_served.py": "flows over served rows: ingest, train, retrain and the choice of a window",
    "tests/core/test_docstrings.py": "one rule over the docstrings of all modules",
    "tests/serving/bundle/test_bombs.py": "bundles that would take too much, through every module that reads one",
    "tests/serving/bundle/test_hostile_bundles.py": "changed bundles, through every module that reads one",
    "tests/serving/http/test_fuzz.py": "requests of a grammar at the socket, through protocol, entry and application",
    "tests/serving/test_faults.py": "faults of the whole service, in processes of its own",
    "tests/serving/test_inbox_kills.py": "the whole service, killed while deliveries come",
    "tests/serving/test_registry_hooks.py": "an MLflow server and the whole service",
    "tests/tasks/source/test_source_bad_input.py": "wrong rows, through every module that reads a source",
    "tests/tasks/source/test_damaged_files.py": "damaged files, through every module that reads a source",
    "tests/tasks/score/test_kills.py": "a scoring, killed at its points",
    "tests/tasks/monitor/test_losses.py": "windows of a regression, from a training to the decision",
    "tests/tasks/test_crash.py": "an ingestion, killed at every point",
    "tests/tasks/gate/test_registry_attack.py": "a registry that others write, through every task that reads it",
    "tests/tasks/test_storage_faults.py": "data versions on a disk that fails at writes drawn from all",
    "tests/tasks/test_gate_kills.py": "registration and judgement, killed at every point",
    "tests/tasks/release/test_faults.py": "challengers that fail, in the whole service",
    "tests/tasks/release/test_live.py": "releases of each kind of model, through the whole service",
    "tests/tasks/release/test_live_kills.py": "a release in the whole service, killed, and without its database",
    "tests/tasks/test_release_kills.py": "every step of a release, killed at every point",
    "tests/tasks/versions/test_s3.py": "versions and doctor against the protocol of S3",
}
"""Test module: why it stands beside the modules' twins."""

_TEST = re.compile(r"tests/[\w/]+\.py")
_DOTTED = re.compile(r"\b[a-z]\w*(?:\.\w+)+")


def _modules() -> set[str]:
    found = (path for room in ROOMS for path in (ROOT / room).rglob("*.py") if path.stem != "__init__")
    return {path.relative_to(ROOT).as_posix() for path in found}


def _twin(module: str) -> str:
    path = Path("tests", module)
    return path.with_name(f"test_{path.name}").as_posix()


def _line_of(module: str) -> str | None:
    """Key of the line that a module stands under: its own, or that of a folder it lies in."""
    return next((key for key in WITHOUT_TWIN if module == key or (key.endswith("/") and module.startswith(key))), None)


def _tests_named(reason: str) -> list[str]:
    return _TEST.findall(reason)


@cache
def _names_in(path: Path) -> frozenset[str]:
    """Modules that a file imports anywhere in it, or names in a text, as a program or the command of a process does."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= set(_DOTTED.findall(node.value))
    return frozenset(found)


def _path_of(name: str) -> Path | None:
    path = ROOT.joinpath(*name.split(".")).with_suffix(".py") if re.fullmatch(r"[\w.]+", name) else None
    return path if path is not None and path.is_file() else None


def _used_by(test: str) -> set[Path]:
    """Modules that a test uses, by itself or through the helpers and fixtures of the tests, and the files it reads."""
    waiting = [ROOT / test, *(folder / "conftest.py" for folder in (ROOT / test).parents if ROOT in folder.parents)]
    seen: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path not in seen and path.is_file():
            seen.add(path)
            if "tests" in path.relative_to(ROOT).parts:
                waiting += [found for name in _names_in(path) if (found := _path_of(name)) is not None]
    return seen


def _reaches(test: str, module: str) -> bool:
    """Say whether a test uses a module, or a module whose text imports it."""
    name = module.removesuffix(".py").replace("/", ".")
    used = _used_by(test)
    return ROOT / module in used or any(name in _names_in(path) for path in used)


def test_every_module_has_a_twin_or_a_line() -> None:
    """A new module comes with its twin, or with the reason why it has none."""
    missing = {module for module in _modules() if not (ROOT / _twin(module)).is_file() and _line_of(module) is None}
    assert not missing, "write " + ", ".join(map(_twin, sorted(missing))) + ", or a line in WITHOUT_TWIN"


@pytest.mark.parametrize("line", WITHOUT_TWIN)
def test_a_line_ends_when_its_module_has_a_twin_or_is_gone(line: str) -> None:
    """The list names what is there and has no twin, and nothing else."""
    modules = [module for module in _modules() if _line_of(module) == line]
    assert modules, f"{line} is gone: remove its line"
    twins = [_twin(module) for module in modules if (ROOT / _twin(module)).is_file()]
    assert not twins, f"{line} has a twin now: remove its line"


@pytest.mark.parametrize("line", WITHOUT_TWIN)
def test_a_reason_names_a_test_that_uses_the_module_or_is_a_sentence(line: str) -> None:
    """A test that is named first is there and uses the module; other reasons are whole sentences."""
    reason = WITHOUT_TWIN[line]
    assert [test for test in _tests_named(reason) if not (ROOT / test).is_file()] == []
    if reason.startswith("tests/"):
        test, _, what = reason.partition(": ")
        assert what, f"{line} needs what {test} asserts of it"
        assert _reaches(test, line), f"{test} does not use {line}"
    else:
        assert reason.endswith("."), f"{line} needs the name of a test, or a sentence"
        assert len(reason.split()) > 4, f"{line} needs the name of a test, or a sentence"


def test_every_test_module_has_its_module_or_a_line() -> None:
    """A test module whose module was renamed is found, and so is a line that is no longer needed."""
    tests = {path.relative_to(ROOT).as_posix() for room in ROOMS for path in (ROOT / "tests" / room).rglob("test_*.py")}
    assert tests - set(map(_twin, _modules())) == WITHOUT_MODULE.keys()
