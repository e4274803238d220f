"""Run by ``test_gate_kills.py``: kill a registration and its judgement at each point, then run the next commands.

Each run is a fork of this process, which has imported everything. Run by hand with a stride of 1
(``python tests/tasks/gate_points.py FOLDER 1 20``) it tries every point, and twenty random moments.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)  # not the folder of this script: its rooms have the names of standard modules

from mlflow import MlflowClient
from sqlalchemy import Engine, event

from config.settings import Settings
from store.champions import champion_history, find_verdict
from store.database import open_database
from tasks.champions.aliases import repair_all
from tasks.registry.bundle import Bundle
from tasks.registry.client import mlflow_client
from tasks.registry.register import register_bundle
from tasks.train.training_run import training_run
from tests.factories import make_project
from tests.tasks.crash_points import deadly_tick, import_what, in_fork, kill_after, preceded
from tests.tasks.judging import add_data, bundled, config_of, settle, train

WEAK, STRONG = config_of("age", gate={"floor": 0.4}), config_of()
CALLS = (
    "create_run",
    "create_logged_model",
    "log_model_artifacts",
    "finalize_logged_model",
    "log_batch",
    "log_inputs",
    "log_artifact",
    "create_model_version",
    "set_terminated",
    "set_model_version_tag",
    "delete_model_version_tag",
    "set_registered_model_alias",
    "delete_registered_model_alias",
)
"""What registration, verdict and projection ask of MLflow; a kill comes before and after each."""

RANDOM_SECONDS = 4.0


def main(folder: Path, stride: int, moments: int) -> None:
    """Kill at every ``stride``-th point until a run gets through, then at random moments."""
    settings = make_project(folder)
    # In forks: threads that this process started would be missing in the later ones.
    import_what(lambda: prepare(settings, folder))
    shutil.copytree(settings.var, folder / "kept-var")
    finish = partial(register_and_settle, settings, folder)
    point, killed = 1, True
    while killed:
        killed = trial(folder, settings, f"point {point}", finish, partial(kill_at, point))
        point += stride
    chance = random.Random(11)  # noqa: S311 - not for secrets
    for number in range(moments):
        trial(folder, settings, f"moment {number}", finish, partial(kill_after, chance.uniform(0.0, RANDOM_SECONDS)))


def prepare(settings: Settings, folder: Path) -> None:
    """Make a weak champion, and the bundle of a better model that nobody registered yet."""
    data = add_data(settings, STRONG)
    (folder / "data-version").write_text(data)
    train(settings, WEAK, data)
    bundled(settings, training_run(STRONG, data, "test", settings), folder / "bundle")


def register_and_settle(settings: Settings, folder: Path) -> None:
    """Do what the flow does once a model is fitted."""
    run = training_run(STRONG, (folder / "data-version").read_text(), "test", settings)
    facts = folder / "bundle" / "facts.json"
    kept = json.loads(facts.read_text())
    bundle = Bundle(folder / "bundle" / "files", kept["manifest_sha256"], tuple(kept["files"]))
    register_bundle(bundle, run.config, run.lineage, {"roc_auc": 0.8}, {}, settings, {"drift": facts})
    settle(settings, run)


def trial(folder: Path, settings: Settings, name: str, finish: Callable[[], None], arm: Callable[[], None]) -> bool:
    """Run with a death armed, look as the next command would, run again, and print what there is."""
    shutil.rmtree(settings.var)
    shutil.copytree(folder / "kept-var", settings.var)

    def doomed() -> None:
        arm()
        finish()

    killed = in_fork(doomed) == signal.SIGKILL
    assert in_fork(lambda: tell(settings, name, finish, killed=killed)) == 0, f"{name}: no second run"
    return killed


def tell(settings: Settings, name: str, finish: Callable[[], None], *, killed: bool) -> None:
    """Print the state after any next command, and after the same command again."""
    repair_all(settings)
    after_any = state(settings)
    finish()
    line = {"trial": name, "killed": killed, "after_any": after_any, "after_same": state(settings)}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def state(settings: Settings) -> dict[str, Any]:
    """Tell what the database and MLflow say."""
    engine, client = open_database(settings.database_url), mlflow_client(settings)
    versions = client.search_model_versions("name = 'credit'")
    return {
        "history": [(entry.sequence, entry.version, entry.below) for entry in champion_history(engine, "credit")],
        "aliases": client.get_registered_model("credit").aliases,
        "versions": sorted(int(version.version) for version in versions),
        "keys": len({version.tags["perennial.run_key"] for version in versions}),
        "verdicts": sum(find_verdict(engine, "credit", int(version.version)) is not None for version in versions),
        "tagged": sum("perennial.gate" in version.tags for version in versions),
    }


def kill_at(point: int) -> None:
    """Die at the n-th point: before or after a call of MLflow's, or before a commit of any database."""
    tick = deadly_tick(point)
    for name in CALLS:
        setattr(MlflowClient, name, followed(tick, preceded(tick, getattr(MlflowClient, name))))
    event.listen(Engine, "commit", tick)


def followed(tick: Callable[[], None], function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that ticks after it did what it did."""

    def ticking(*arguments: Any, **options: Any) -> Any:
        result = function(*arguments, **options)
        tick()
        return result

    return ticking


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
