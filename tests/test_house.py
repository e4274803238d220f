"""The plan of the house: who may import whom, and what an import may cost."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from config.load import load_model_config, model_names

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("benchmarks", "config", "core", "flows", "serving", "store", "tasks", "tests")
MAY_IMPORT = {
    "config": {"config", "core.errors"},
    "core": {"core", "config"},
    "store": {"store", "core", "config"},
    "serving": {"serving", "store", "core", "config"},
    # What reads a bundle, so that training judges with the code that serves.
    "tasks": {
        "tasks",
        *(f"serving.{name}" for name in ("bundle", "graph", "model", "predictor")),
        "store",
        "core",
        "config",
    },
    "flows": {"flows", "tasks", "core", "config"},
}
HEAVY = ("prefect", "great_expectations", "evidently", "mlflow", "dvc")


def _imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_point_inward(room: str) -> None:
    """Each room imports only the rooms the plan allows it."""
    for path in (ROOT / room).rglob("*.py"):
        ours = {name for name in _imports_of(path) if name.split(".")[0] in ROOMS}
        strangers = {
            name
            for name in ours
            if not any(name == allowed or name.startswith(f"{allowed}.") for allowed in MAY_IMPORT[room])
        }
        assert not strangers, f"{path.relative_to(ROOT)} imports {strangers}"


def test_inner_rooms_import_nothing_heavy() -> None:
    """Importing all of core, config, store and serving loads no orchestrator, validator, tracker or data versioner."""
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for room in ("core", "config", "store", "serving")
        for path in (ROOT / room).rglob("*.py")
        if "migrations" not in path.parts
    ]
    code = f"import {', '.join(modules)}, sys; print([m for m in {HEAVY} if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert answer.stdout.strip() == "[]"


def test_the_prediction_service_imports_only_what_it_uses() -> None:
    """A worker that serves graphs loads neither what trains nor what tabulates: its memory is counted by workers."""
    heavy = (*HEAVY, "pandas", "sklearn", "scipy", "skops", "onnx", "joserfc", "alembic")
    code = f"import serving.worker, sys; print([m for m in {heavy} if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert answer.stdout.strip() == "[]"


def test_importing_plain_tasks_imports_nothing_heavy() -> None:
    """A command pays for the libraries it uses when it uses them."""
    modules = [
        f"tasks.{path.stem}"
        for path in (ROOT / "tasks").glob("*.py")
        if path.stem not in ("publish", "steps", "__init__")
    ]
    code = f"import {', '.join(modules)}, sys; print([m for m in {HEAVY} if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert answer.stdout.strip() == "[]"


def test_no_flow_bears_the_name_of_a_room() -> None:
    """Prefect puts the folder of an entry point first on the path; a flow named config would hide config."""
    names = {path.stem for path in (ROOT / "flows").glob("*.py")}
    assert not names & (set(ROOMS) | {"cli"})


@pytest.mark.parametrize("model", model_names(ROOT))
def test_every_model_file_loads(model: str) -> None:
    """A model file in the repository is valid."""
    assert load_model_config(ROOT, model).model == model
