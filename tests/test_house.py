"""The plan of the house: who may import whom, and what an import may cost."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from config.load import load_model_config, model_names

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("benchmarks", "cli", "config", "core", "flows", "reference", "serving", "store", "tasks", "tests")
MAY_IMPORT = {
    "config": {"config", "core.errors"},
    "core": {"core", "config"},
    "store": {"store", "core", "config"},
    "serving": {"serving", "store", "core", "config"},
    # What reads a bundle, so that training judges with the code that serves.
    "tasks": {"tasks", "serving.bundle", "serving.model", "store", "core", "config"},
    "flows": {"flows", "tasks", "core", "config"},
    "cli": {"cli", "flows", "tasks", "serving", "store", "core", "config"},
    # Written from the code, for the documentation; nothing imports it.
    "reference": {"reference", "cli", "serving", "store", "core", "config"},
}
SUB_ROOMS: dict[str, list[set[str]]] = {
    "core": [
        {
            "errors",
            "storage_failure",
            "wrong_clock",
            "text",
            "wilson",
            "jsonable",
            "references",
            "outcome",
            "notations",
            "prediction_ids",
            "row_limits",
            "feature_contract",
            "model_inputs",
            "contract",
        },
        {"data"},
        {"init", "metrics", "served"},
        {"train", "performance"},
        {"gate", "drift"},
        {"erasure", "operate", "release", "retention", "score"},
    ],
    "tasks": [
        {"warm"},
        {"source", "init"},
        {"versions"},
        {"reports", "registry", "served"},
        {"validation", "runs", "serving"},
        {"train", "champions", "release", "operate", "platform"},
        {"erasure", "gate", "monitor", "prune", "score"},
        {"outcomes"},
        {"steps"},
    ],
    "serving": [
        {"problems", "ids", "routes", "bundle", "instance"},
        {"model", "access", "rehearsal"},
        {"telemetry", "webhooks", "release"},
        {"http"},
        {"processes"},
    ],
}
"""Sub-rooms and modules of a room: each imports only what stands in a row above its own, or beside and before it."""

MOST_MODULES = 15
"""Modules a folder holds at most, so that a reader sees its contents at one glance."""

ARCHITECTURE = ROOT / "docs" / "architecture.md"

HEAVY = ("prefect", "great_expectations", "evidently", "mlflow", "dvc")


def _imports_of(path: Path) -> set[str]:
    """Modules that a module imports when it runs; what stands there for annotations alone does not count."""
    found = set()
    for node in _walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from _walk(child)


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


def _sub_room(name: str, room: str) -> str | None:
    parts = name.split(".")
    return parts[1] if parts[0] == room and len(parts) > 1 else None


@pytest.mark.parametrize("room", SUB_ROOMS)
def test_sub_rooms_import_in_one_direction(room: str) -> None:
    """Each sub-room imports only those of rows above it, or of its own row without a circle."""
    level = {name: number for number, names in enumerate(SUB_ROOMS[room]) for name in names}
    found: dict[str, set[str]] = {}
    for path in (ROOT / room).rglob("*.py"):
        own = path.relative_to(ROOT / room).with_suffix("").parts[0]
        if own == "__init__":
            continue
        theirs = {_sub_room(name, room) for name in _imports_of(path)} - {own, None}
        above = {name for name in theirs if name and level[name] <= level[own]}
        assert theirs == above, f"{path.relative_to(ROOT)} imports {theirs - above}, which stand below {own}"
        found.setdefault(own, set()).update(above)
    beside = {own: {name for name in names if level[name] == level[own]} for own, names in found.items()}
    assert list(TopologicalSorter(beside).static_order())


def test_every_sub_room_stands_in_the_table() -> None:
    """A new folder gets its place in the order, and a place names a folder or module that is there."""
    for room, rows in SUB_ROOMS.items():
        there = {
            path.stem for path in (ROOT / room).iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
        }
        assert there - {"__init__"} == set.union(*rows)


@pytest.mark.parametrize("room", ["cli", *MAY_IMPORT])
def test_a_folder_is_seen_at_one_glance(room: str) -> None:
    """No folder holds more modules than a reader takes in at once."""
    for folder in {path.parent for path in (ROOT / room).rglob("*.py") if "migrations" not in path.parts}:
        modules = [path.name for path in folder.glob("*.py") if path.stem != "__init__"]
        assert len(modules) <= MOST_MODULES, f"{folder.relative_to(ROOT)} holds {len(modules)} modules"


def _packages() -> list[Path]:
    return sorted(
        path.parent
        for room in ("cli", *MAY_IMPORT)
        for path in (ROOT / room).rglob("__init__.py")
        if "migrations" not in path.parts
    )


def _neighbours(package: Path) -> set[str]:
    """Other rooms, and sub-rooms of its own room with files of their own, that a package's modules import."""
    room, names = package.relative_to(ROOT).parts[0], set()
    for path in package.rglob("*.py") if len(package.relative_to(ROOT).parts) > 1 else ():
        for parts in (name.split(".") for name in _imports_of(path)):
            if parts[0] == room and len(parts) > 1 and (ROOT / room / parts[1]).is_dir():
                names.add(".".join(parts[:2]))
            elif parts[0] in ROOMS and parts[0] != room:
                names.add(parts[0])
    return names - {".".join(package.relative_to(ROOT).parts)}


@pytest.mark.parametrize("package", _packages(), ids=lambda path: ".".join(path.relative_to(ROOT).parts))
def test_each_package_says_what_lives_there_and_what_it_may_import(package: Path) -> None:
    """Its docstring names every room and sub-room that its modules import."""
    text = " ".join((ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or "").split())
    assert "May import " in text
    allowed = re.findall(r"`([a-z_.]+)`", text.partition("May import ")[2])
    missing = {name for name in _neighbours(package) if not any(f"{one}.".startswith(f"{name}.") for one in allowed)}
    assert not missing, f"{package.relative_to(ROOT)}/__init__.py does not name {missing}"


@pytest.mark.parametrize("room", SUB_ROOMS)
def test_the_architecture_names_every_sub_room(room: str) -> None:
    """A reader finds each sub-room and each single module of a room in the document's tables."""
    rows = [line for line in ARCHITECTURE.read_text().splitlines() if line.startswith("| `")]
    first = " ".join(row.split("|")[1] for row in rows)
    assert [name for row in SUB_ROOMS[room] for name in sorted(row) if f"`{room}.{name}`" not in first] == []


def test_the_architecture_names_functions_that_are_there() -> None:
    """Each ``path.py:function`` of its examples exists."""
    named = re.findall(r"`([a-z_/]+\.py):([A-Za-z_.]+)`", ARCHITECTURE.read_text())
    assert len(named) >= 20
    assert [f"{path}:{name}" for path, name in named if name not in _definitions(ROOT / path)] == []


def _definitions(path: Path) -> set[str]:
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{one.name}" for one in node.body if hasattr(one, "name")}
    return found


def test_the_preparing_step_keeps_its_name() -> None:
    """Registered skops files name it, and the allow-list of the service does."""
    from core.contract import PrepareColumns

    assert (PrepareColumns.__module__, PrepareColumns.__qualname__) == ("core.contract", "PrepareColumns")


def test_inner_rooms_import_nothing_heavy() -> None:
    """Importing all of core, config, store and serving loads no orchestrator, validator, tracker or data versioner."""
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for room in ("core", "config", "store", "serving")
        for path in (ROOT / room).rglob("*.py")
        if "migrations" not in path.parts and path.stem != "__init__"
    ]
    code = f"import {', '.join(modules)}, sys; print([m for m in {HEAVY} if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert answer.stdout.strip() == "[]"


def test_the_prediction_service_imports_only_what_it_uses() -> None:
    """A worker that serves graphs loads neither what trains nor what tabulates: its memory is counted by workers."""
    heavy = (*HEAVY, "pandas", "sklearn", "scipy", "skops", "onnx", "joserfc", "alembic")
    code = f"import serving.processes.worker, sys; print([m for m in {heavy} if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert answer.stdout.strip() == "[]"


def test_importing_plain_tasks_imports_nothing_heavy() -> None:
    """A command pays for the libraries it uses when it uses them."""
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "tasks").rglob("*.py")
        if path.stem not in ("outcomes", "steps", "__init__")
    ]
    code = f"import {', '.join(modules)}, sys; print([m for m in {HEAVY} if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert answer.stdout.strip() == "[]"


def test_no_flow_bears_the_name_of_a_room() -> None:
    """Prefect puts the folder of an entry point first on the path; a flow named config would hide config."""
    names = {path.stem for path in (ROOT / "flows").glob("*.py")}
    assert not names & set(ROOMS)


@pytest.mark.parametrize("model", model_names(ROOT))
def test_every_model_file_loads(model: str) -> None:
    """A model file in the repository is valid."""
    assert load_model_config(ROOT, model).model == model


def test_the_repository_names_no_rows() -> None:
    """The demo's own ``data.dvc`` would name rows that no clone has: each first run would warn about them."""
    command = ["git", "show", ":data.dvc"]
    committed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "nfiles: 0" in committed, "only a project with rows of its own commits them: git checkout HEAD -- data.dvc"
