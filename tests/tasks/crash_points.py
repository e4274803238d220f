"""Run by ``test_crash.py``: kill an ingestion at each of its points, run it again, and tell what there is.

Each run is a fork of this process, which has imported everything and started no thread: a fifth of a new one's cost.
Run by hand with a stride of 1 (``python tests/tasks/crash_points.py FOLDER 1``) it tries all points.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)  # not the folder of this script: its rooms have the names of standard modules

from sqlalchemy import Engine, event

from config.settings import Settings
from tasks.versions.versions import data_history, lay_out_snapshot, restore_data, version_data, write_batch
from tests.factories import credit_config, make_project
from tests.tasks.versions.staging import batch_files, credit_rows, stage

CREDIT = credit_config()
RANDOM_KILLS = 3


def main(folder: Path, stride: int) -> None:
    """Kill before every ``stride``-th point until a run gets through, then at random moments."""
    rows = stage(credit_rows(0, 200), folder)
    template = folder / "template"
    template.mkdir()
    make_project(template)

    def ingest(settings: Settings) -> None:
        write_batch(rows, CREDIT, settings)
        version_data(CREDIT, settings)

    import_what(lambda: tell("undisturbed", outcome(folder, "undisturbed", ingest), killed=False))
    point, killed = 1, True
    while killed:
        killed = trial(folder, f"point-{point}", ingest, partial(kill_before, point))
        point += stride
    chance = random.Random(7)  # noqa: S311 - not for secrets
    for number in range(RANDOM_KILLS):
        trial(folder, f"moment-{number}", ingest, partial(kill_after, chance.uniform(0.01, 0.15)))


def tell(name: str, what: dict[str, Any], *, killed: bool) -> None:
    """Say what came of a trial, as one line of JSON."""
    sys.stdout.write(json.dumps({"trial": name, "killed": killed, **what}) + "\n")
    sys.stdout.flush()


def import_what(work: Callable[[], object]) -> None:
    """Do something in a fork, then import here whatever it imported."""
    # A file, not a pipe: thousands of names do not fit into a pipe that nobody reads yet.
    with tempfile.NamedTemporaryFile("r") as names:

        def told() -> None:
            work()
            Path(names.name).write_text("\n".join(sys.modules))

        assert in_fork(told) == 0
        for name in names.read().split():
            with suppress(ImportError, AttributeError):
                importlib.import_module(name)


def trial(folder: Path, name: str, ingest: Callable[[Settings], None], arm: Callable[[], None]) -> bool:
    """Ingest in a project of its own with a death armed, then again without; print what there is."""
    settings = project(folder, name)

    def doomed() -> None:
        arm()
        ingest(settings)

    killed = in_fork(doomed) == signal.SIGKILL
    assert in_fork(lambda: tell(name, outcome(folder, name, ingest), killed=killed)) == 0, f"{name}: no second run"
    return killed


def project(folder: Path, name: str) -> Settings:
    """Return the settings of a project of this name, made from the template where it is not there yet."""
    if not (folder / name).exists():
        shutil.copytree(folder / "template", folder / name)
    return settings_of(folder / name / "project")


def outcome(folder: Path, name: str, ingest: Callable[[Settings], None]) -> dict[str, Any]:
    """Ingest undisturbed and tell what there is."""
    settings = project(folder, name)
    ingest(settings)
    return found(settings)


def found(settings: Settings) -> dict[str, Any]:
    """Tell what a project and a clone of it hold."""
    files = batch_files(settings)
    version = version_data(CREDIT, settings).version
    lay_out_snapshot("credit", version, settings)
    clone = settings.root.parent / "clone"
    shutil.copytree(settings.root, clone, ignore=shutil.ignore_patterns("data", "var", "cache", "tmp"))
    other = settings_of(clone).model_copy(update={"data_remote": str(settings.var / "dvc-remote")})
    restore_data("credit", version, other)
    assert batch_files(other) == files
    ours = [path for folder in ("data", "var/snapshots") for path in (settings.root / folder).rglob(".*.tmp")]
    return {
        "files": len(files),
        "version": version,
        "restored": str(data_history("credit", other).current),
        "history": [entry.version for entry in data_history("credit", settings).versions],
        "leftovers": [str(path) for path in [*ours, *settings.root.glob(".*.tmp")]],
    }


def settings_of(root: Path) -> Settings:
    """Return the settings of a project at a place."""
    return Settings(root=root, var=root / "var", database_url=f"sqlite:///{root / 'var' / 'perennial.db'}")


def kill_before(point: int) -> None:
    """Die before the n-th rename, link, removal, change of mode or commit."""
    tick = deadly_tick(point)
    for name in ("replace", "rename", "link", "unlink", "chmod"):
        setattr(os, name, preceded(tick, getattr(os, name)))
    event.listen(Engine, "commit", tick)


def deadly_tick(point: int) -> Callable[..., None]:
    """Return a function whose n-th call is the end of the process."""
    left = point

    def tick(*_: Any, **__: Any) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return tick


def preceded(tick: Callable[[], None], function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that ticks before it does what it did."""

    def ticking(*arguments: Any, **options: Any) -> Any:
        tick()
        return function(*arguments, **options)

    return ticking


def kill_after(seconds: float) -> None:
    """Die after a time, wherever that is."""
    if os.fork() == 0:
        time.sleep(seconds)
        os.kill(os.getppid(), signal.SIGKILL)
        os._exit(0)


def in_fork(work: Callable[[], object]) -> int:
    """Run in a fork; return the signal it died of, 0 for success."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            if code:
                traceback.print_exc()
            os._exit(code)
    status = os.waitpid(pid, 0)[1]
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
