"""Run by ``test_forget.py``: kill an erasure at each of its points, run it again, and tell what there is.

Run by hand with a stride of 1 (``python tests/tasks/erasure/forget_points.py FOLDER 1``) it tries all points.
"""

from __future__ import annotations

import shutil
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
sys.path[0] = str(ROOT)  # not the folder of this script: its rooms have the names of standard modules

from config.settings import Settings
from store.database import open_database
from store.scored.batches import scored_batches
from tasks.erasure.forget import erasure_records
from tasks.score.staging import output_digest
from tasks.versions.versions import data_history, restore_data
from tests.factories import make_project
from tests.tasks.crash_points import import_what, in_fork, kill_before, settings_of, tell
from tests.tasks.erasure.projects import fill, forgotten, traces


def main(folder: Path, stride: int) -> None:
    """Kill before every ``stride``-th point until an erasure gets through."""
    fill(make_project(folder / "template"))
    import_what(lambda: tell("undisturbed", after(fresh(folder)), killed=False))
    point, killed = 1, True
    while killed:
        killed = trial(folder, point)
        point += stride


def fresh(folder: Path) -> Settings:
    """Return a project like the template, always at the same place: outputs are recorded with their whole paths."""
    place = folder / "template"
    kept = folder / "kept"
    if not kept.exists():
        shutil.copytree(place, kept)
    shutil.rmtree(place)
    shutil.copytree(kept, place)
    return settings_of(place / "project")


def trial(folder: Path, point: int) -> bool:
    """Forget with a death armed, then again without; tell what there is."""
    settings = fresh(folder)

    def doomed() -> None:
        partial(kill_before, point)()
        forgotten(settings)

    killed = in_fork(doomed) == signal.SIGKILL
    assert in_fork(lambda: tell(f"point-{point}", after(settings), killed=killed)) == 0, f"{point}: no second run"
    return killed


def after(settings: Settings) -> dict[str, Any]:
    """Forget undisturbed and tell what there is."""
    begun = len(erasure_records("credit", settings))
    forgotten(settings)
    history = data_history("credit", settings)
    entries = scored_batches(open_database(settings.database_url), "credit")
    found = {
        "rows": [batch.n_rows for batch in history.batches],
        "traces": traces(settings),
        "outputs": all(one.output_sha256 == output_digest(Path(one.output)) and one.n_rows == 2 for one in entries),
        "leftovers": [str(path) for path in settings.root.rglob(".*.tmp") if "md5" not in path.parts],
        "unfinished": sum(one.finished_at is None for one in erasure_records("credit", settings)),
        "begun": begun,
    }
    shutil.rmtree(settings.root / "data")
    restore_data("credit", "latest", settings)
    return {**found, "restored": data_history("credit", settings).n_rows}


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
