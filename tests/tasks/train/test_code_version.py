"""Hashes of the code and of the pinned libraries."""

import ast
import hashlib
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

import tasks.train.code_version as module
from tasks.train.code_version import DECIDING, INSTALLED, LEFT_OUT, code_version, decides, lock_hash
from tests.factories import credit_config

OWN_ESTIMATOR = credit_config(training={"estimator": "boosters.fast.Booster"})


def test_depends_on_our_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed, renamed or added source of ours is another version; a cache file is not."""
    monkeypatch.setattr(module, "INSTALLED", tmp_path)
    source = tmp_path / "core" / "a.py"
    source.parent.mkdir()
    versions = []
    for change in (
        lambda: source.write_text("a = 1"),
        lambda: source.write_text("a = 2"),
        lambda: source.rename(source.with_name("b.py")),
        lambda: (tmp_path / "core" / "c.py").write_text(""),
    ):
        change()
        versions.append(code_version(tmp_path / "project", credit_config()))
    assert len(set(versions)) == 4
    (tmp_path / "core" / "c.pyc").write_text("")
    assert code_version(tmp_path / "project", credit_config()) == versions[-1]


@pytest.mark.parametrize(
    "name", ["core/new_room/deep/a.py", "tasks/train/fit.py", "tasks/reports/templates/card.md.j2"]
)
def test_a_new_folder_counts(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of a folder that is not listed counts at any depth, and so does a template of the model card."""
    monkeypatch.setattr(module, "INSTALLED", tmp_path)
    before = code_version(tmp_path / "project", credit_config())
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text("a = 1")
    first = code_version(tmp_path / "project", credit_config())
    (tmp_path / name).write_text("a = 2")
    assert len({before, first, code_version(tmp_path / "project", credit_config())}) == 3


@pytest.mark.parametrize(
    "name",
    ["core/gate/wording.py", "tasks/platform/doctor.py", "cli/lines/drift.py", "serving/http/app.py", "flows/train.py"],
)
def test_what_decides_no_model_does_not_count(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed line of the gate, the doctor, the terminal or the service trains no model again."""
    monkeypatch.setattr(module, "INSTALLED", tmp_path)
    before = code_version(tmp_path / "project", credit_config())
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text("a = 1")
    assert code_version(tmp_path / "project", credit_config()) == before


def test_every_file_that_is_left_out_exists() -> None:
    """A file that is renamed counts until the list names it again."""
    listed = [name for names in LEFT_OUT.values() for name in names]
    assert len(listed) == len(set(listed))
    assert [name for name in listed if not (INSTALLED / name).exists()] == []


def test_a_name_that_begins_like_a_listed_one_counts() -> None:
    """Only the listed folder is left out, not its neighbour."""
    assert not decides("tasks/gate/judge.py")
    assert decides("tasks/gatekeeper.py")
    assert decides("tasks/gate_keeping/judge.py")


# Modules that do count import these, which do not: importer, imported, and why no model depends on it.
CROSSINGS: dict[tuple[str, str], str] = {
    ("core.drift.moving", "core.drift.counts"): "reduces a window's counts, which no training has",
    ("config.settings", "config.home"): "the project's folder above the working directory",
    ("config.settings", "config.platform"): "addresses of services that 'perennial up' started",
    ("tasks.registry.client", "config.home"): "a name for a user that has none",
    ("tasks.registry.client", "config.private_file"): "the mode of the database",
    ("tasks.registry.bundle", "tasks.registry.bundle_files"): "the SHA-256 of a file",
    ("tasks.registry.register", "config.home"): "the user's name, a tag of the version",
    ("tasks.registry.client", "tasks.registry.mlflow_database"): "makes the database that registers versions",
    ("tasks.registry.register", "tasks.registry.contents"): "looks for a version of the same key",
    ("tasks.registry.records", "tasks.registry.contents"): "records of versions from before, for their champion",
    ("tasks.registry.register", "core.operate.events"): "the event that a version was registered",
    ("tasks.serving.rehearse", "core.gate.decision"): "the type of a rehearsal's answer; training only writes its rows",
    ("tasks.train.registration", "tasks.reports.drift_page"): "a page of the run, which is no file of the bundle",
    ("tasks.train.registration", "tasks.train.drift_report"): "a page of the run, which is no file of the bundle",
    ("tasks.validation.results", "tasks.validation.validate"): "where the results of a validation were kept",
    ("tasks.versions.dvc_stores", "config.home"): "a name for a user that has none",
    ("tasks.versions.batches", "tasks.source.engine"): "writes batches; the data version covers them",
    ("tasks.versions.versions", "tasks.source.stage"): "whether the source's files were read before",
    ("tasks.versions.versions", "tasks.source.engine"): "counts distinct rows for a listing",
}
TRAINING = tuple(f"tasks.train.{name}" for name in ("training_run", "fit_run", "evaluate", "registration"))


def test_what_a_training_reaches_counts_or_is_listed_with_a_reason() -> None:
    """Follow the imports of the training's steps: each module counts, or its importer stands above with a reason."""
    reached, crossings = _followed()
    assert crossings == set(CROSSINGS)
    assert {"core.contract", "config.schema", "tasks.train.search"} <= reached


def test_a_room_that_no_training_reaches_is_left_out() -> None:
    """A change of it would train every model again."""
    modules = [path.relative_to(INSTALLED).with_suffix("").parts for path in _counted() if path.name != "__init__.py"]
    rooms = {tuple(parts[:2]) for parts in modules if len(parts) > 2}
    assert rooms - {tuple(name.split(".")[:2]) for name in _followed()[0]} == set()


@cache
def _followed() -> tuple[set[str], set[tuple[str, str]]]:
    """Return the modules that count and that a training reaches, and the imports that lead to others."""
    crossings, reached, ahead = set(), set(), [*TRAINING]
    while ahead:
        name = ahead.pop()
        if name in reached:
            continue
        reached.add(name)
        for imported in _imports(name):
            if imported.split(".")[0] in DECIDING and decides(_file(imported).relative_to(INSTALLED).as_posix()):
                ahead.append(imported)
            elif not imported.startswith("store."):  # the store records what came out
                crossings.add((name, imported))
    return reached, crossings


def _imports(name: str) -> Iterator[str]:
    """Our own modules that a module imports at any time, but for annotations."""
    ahead: list[ast.AST] = [ast.parse(_file(name).read_text())]
    while ahead:
        node = ahead.pop()
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            continue
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{each}" for each in names] + [f"{node.module}"]
        yield from (each for each in names if _file(each).is_file())
        ahead += ast.iter_child_nodes(node)


def _file(name: str) -> Path:
    return INSTALLED.joinpath(*name.split(".")).with_suffix(".py")


def test_depends_on_the_estimator_inside_the_project(tmp_path: Path) -> None:
    """The user's own estimator and its neighbours count; other files of the project do not."""
    package = tmp_path / "boosters"
    package.mkdir()
    (package / "fast.py").write_text("class Booster: ...")
    first = code_version(tmp_path, OWN_ESTIMATOR)
    (tmp_path / "notes.py").write_text("")
    assert code_version(tmp_path, OWN_ESTIMATOR) == first
    (package / "loss.py").write_text("")
    assert code_version(tmp_path, OWN_ESTIMATOR) != first


def test_depends_on_the_estimator_in_one_module(tmp_path: Path) -> None:
    """An estimator in a module at the project's root counts too."""
    config = credit_config(training={"estimator": "boosters.Booster"})
    without = code_version(tmp_path, config)
    (tmp_path / "boosters.py").write_text("class Booster: ...")
    assert code_version(tmp_path, config) != without


def test_does_not_depend_on_where_the_project_lies(tmp_path: Path) -> None:
    """Two clones of a project have the same code version."""
    for name in ("one", "two"):
        (tmp_path / name / "boosters").mkdir(parents=True)
        (tmp_path / name / "boosters" / "fast.py").write_text("class Booster: ...")
    assert code_version(tmp_path / "one", OWN_ESTIMATOR) == code_version(tmp_path / "two", OWN_ESTIMATOR)


def test_is_cheap(tmp_path: Path) -> None:
    """Every run computes it: it costs about what reading and hashing its files does."""
    counted = _counted()
    ours = _fastest(lambda: code_version(tmp_path, credit_config()))
    plain = _fastest(lambda: [hashlib.sha256(path.read_bytes()).hexdigest() for path in counted])
    assert ours < 4 * plain


def _counted() -> list[Path]:
    every = [path for package in DECIDING for path in (INSTALLED / package).rglob("*")]
    sources = [path for path in every if path.suffix in module.SUFFIXES]
    return sorted(path for path in sources if decides(path.relative_to(INSTALLED).as_posix()))


def _fastest(work: Callable[[], object]) -> float:
    times = []
    for _ in range(5):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def test_every_source_of_ours_that_counts_is_in_it() -> None:
    """The walk that leaves folders out finds what a look at every file finds."""
    assert sorted(path for _, path in module._own_sources()) == _counted()


def test_lock_hash(tmp_path: Path) -> None:
    """The lock's content decides; without a lock there is nothing to tell apart."""
    assert lock_hash(tmp_path) == ""
    (tmp_path / "requirements.lock").write_text("numpy==2.4.6\n")
    assert len(lock_hash(tmp_path)) == 64
