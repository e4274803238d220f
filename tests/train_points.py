"""Run by ``test_kill.py``: kill ``train`` around each stage, each run a fork that has imported everything.

After a stage is before the next one, so only the first is killed before.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # not the folder of this script: its rooms have the names of standard modules

from flows.train import train
from tests.factories import add_credit_model, make_project
from tests.tasks.crash_points import import_what, in_fork
from tests.warm import use_warm_steps

POINTS = (
    "tasks.source.stage.stage_rows",
    "tasks.validation.validate.validate_rows",
    "tasks.versions.versions.write_batch",
    "tasks.versions.versions.version_data",
    "tasks.versions.versions.lay_out_snapshot",
    "tasks.train.fit.fit_model",
    "tasks.registry.bundle.build_bundle",
    "tasks.registry.register._create_version",
    "tasks.gate.judge.start_tenure",
)


def main(folder: Path) -> None:
    """Kill at each point in one project, then train undisturbed; print how each run ended."""
    # In a project of its own; in forks, for threads that this process started would be missing in the later ones.
    warm, project = make_project(folder / "warm"), make_project(folder)
    os.environ["PERENNIAL_ROOT"] = str(warm.root)
    add_credit_model(warm)
    import_what(partial(train, "credit"))
    os.environ["PERENNIAL_ROOT"] = str(project.root)
    add_credit_model(project, training={"cv": 0, "seed": 0})
    say(f"before {POINTS[0]}", in_fork(partial(killed, POINTS[0], "before")))
    for number, point in enumerate(POINTS):
        add_credit_model(project, training={"cv": 0, "seed": number})
        say(f"after {point}", in_fork(partial(killed, point, "after")))
    say("undisturbed", in_fork(partial(train, "credit")))


def say(run: str, ended: int) -> None:
    """Print how a run ended: the signal it died of, 0 for success."""
    sys.stdout.write(json.dumps({"run": run, "ended": ended}) + "\n")
    sys.stdout.flush()


def killed(point: str, when: str) -> None:
    """Train, and die by SIGKILL just before or just after a stage."""
    module, _, name = point.rpartition(".")
    real = getattr(importlib.import_module(module), name)
    fatal = partial(die, real, when)
    # Wherever it was imported to.
    for user in [user for path, user in sys.modules.items() if path.startswith(("tasks.", "flows."))]:
        if getattr(user, name, None) is real:
            setattr(user, name, fatal)
    train("credit")


def die(real: Callable[..., Any], when: str, *arguments: Any, **options: Any) -> None:
    """Do the stage or not, and end at once."""
    if when == "after":
        real(*arguments, **options)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    use_warm_steps(Path(sys.argv[2]))
    main(Path(sys.argv[1]))
