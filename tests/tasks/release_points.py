"""Run by ``test_release_kills.py``: kill every step of a release at its points, then run the same step again.

Each run is a fork of this process, which has imported everything. A point is before a statement or a commit of any
database, and before or after a call that sets MLflow's aliases. Run by hand with a stride of 1
(``python tests/tasks/release_points.py FOLDER 1``) it tries every point.
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)  # not the folder of this script: its rooms have the names of standard modules

from mlflow import MlflowClient
from sqlalchemy import Engine, event, select

from config.settings import Settings
from store.champions import champion_history
from store.database import open_database, reading
from store.releases.releases import newest_release
from store.tables import EventRow
from tasks.champions.aliases import project, repair_all
from tasks.registry.client import mlflow_client
from tasks.release.look import look
from tasks.release.people import abort, advance, start
from tests.factories import make_project
from tests.tasks.crash_points import deadly_tick, import_what, in_fork, preceded
from tests.tasks.gate_points import followed
from tests.tasks.release.traffic import log, two_versions

MODEL = "credit"
CALLS = ("set_registered_model_alias", "delete_registered_model_alias")

Step = Callable[[Settings], object]


def main(folder: Path, stride: int) -> None:
    """Make a project for each step, and kill the step at every ``stride``-th point until a run gets through."""
    settings = make_project(folder)
    # In forks: threads that this process started would be missing in the later ones.
    import_what(lambda: prepare(settings, folder))
    for name, step in STEPS.items():
        expected = undisturbed(folder, settings, name, step)
        point, killed = 1, True
        while killed:
            killed = trial(folder, settings, f"{name}, point {point}", step, point, expected)
            point += stride


def prepare(settings: Settings, folder: Path) -> None:
    """Make what lies before each step, and keep it beside."""
    two_versions(settings)
    log(settings, 1, "champion", 20)
    keep(settings, folder, "start")
    start(MODEL, "2", "it is better", settings)
    ids = log(settings, 1, "champion", 4000)
    log(settings, 2, "shadow", 4000, seed=1, served=ids)
    keep(settings, folder, "advance")
    keep(settings, folder, "abort")
    for reason in ("the shadow is done", "a tenth is enough"):
        advance(MODEL, reason, settings)
    for seed, version, variant in ((2, 1, "champion"), (3, 2, "challenger")):
        log(settings, version, variant, 4000, seed=seed)  # type: ignore[arg-type]
    keep(settings, folder, "promote")
    looked(settings)
    keep(settings, folder, "abort while it bakes")
    database = (settings.var / "perennial.db").read_bytes()
    log(settings, 2, "champion", 4000, seed=4)
    keep(settings, folder, "complete")
    open_database(settings.database_url).dispose()
    (settings.var / "perennial.db").write_bytes(database)
    log(settings, 2, "champion", 800, failing=0.6)
    keep(settings, folder, "roll back")


def looked(settings: Settings) -> None:
    """Do what the flow does."""
    if look(MODEL, settings).moved_champion:
        project(MODEL, settings)


def started(settings: Settings) -> None:
    """Start the release as a person does."""
    start(MODEL, "2", "it is better", settings)


def aborted(settings: Settings) -> None:
    """End the release as a person does who sees whether it runs."""
    state = newest_release(open_database(settings.database_url), MODEL)
    if state is not None and not state.is_over:
        abort(MODEL, "complaints", settings)


STEPS: Mapping[str, Step] = {
    "start": started,
    "advance": looked,
    "abort": aborted,
    "promote": looked,
    "abort while it bakes": aborted,
    "complete": looked,
    "roll back": looked,
}


def keep(settings: Settings, folder: Path, name: str) -> None:
    """Keep the project's state under the name of a step."""
    open_database(settings.database_url).dispose()
    shutil.copytree(settings.var, folder / "kept" / name)


def bring(settings: Settings, folder: Path, name: str) -> None:
    """Bring back the state before a step."""
    shutil.rmtree(settings.var)
    shutil.copytree(folder / "kept" / name, settings.var)


def undisturbed(folder: Path, settings: Settings, name: str, step: Step) -> dict[str, Any]:
    """Return the state after a step that nothing disturbs."""
    bring(settings, folder, name)
    path = folder / "expected.json"

    def run() -> None:
        step(settings)
        repair_all(settings)
        path.write_text(json.dumps(state(settings)))

    assert in_fork(run) == 0, name
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def trial(folder: Path, settings: Settings, name: str, step: Step, point: int, expected: dict[str, Any]) -> bool:
    """Run with a death armed, look as the relay would, run again, and print what there is."""
    bring(settings, folder, name.partition(",")[0])

    def doomed() -> None:
        kill_at(point)
        step(settings)

    killed = in_fork(doomed) == signal.SIGKILL
    assert in_fork(partial(tell, settings, name, step, expected, killed=killed)) == 0, f"{name}: no second run"
    return killed


def tell(settings: Settings, name: str, step: Step, expected: dict[str, Any], *, killed: bool) -> None:
    """Print the state after any next command, and after the same step again."""
    repair_all(settings)
    after_any = state(settings)
    if after_any != expected:
        step(settings)
        repair_all(settings)
    line = {"trial": name, "killed": killed, "after_any": after_any, "after_same": state(settings)}
    sys.stdout.write(json.dumps(line | {"expected": expected}) + "\n")
    sys.stdout.flush()


def state(settings: Settings) -> dict[str, Any]:
    """Tell what the database and MLflow say."""
    engine = open_database(settings.database_url)
    release = newest_release(engine, MODEL)
    with reading(engine) as connection:
        events = connection.scalars(select(EventRow.name)).all()
    return {
        "steps": [] if release is None else [[step.action, step.stage, step.share] for step in release.steps],
        "champions": [entry.version for entry in champion_history(engine, MODEL)],
        "events": sorted(events),
        "aliases": mlflow_client(settings).get_registered_model(MODEL).aliases,
    }


def kill_at(point: int) -> None:
    """Die at the n-th point."""
    tick = deadly_tick(point)
    for name in CALLS:
        setattr(MlflowClient, name, followed(tick, preceded(tick, getattr(MlflowClient, name))))
    event.listen(Engine, "commit", tick)
    event.listen(Engine, "before_cursor_execute", tick)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
