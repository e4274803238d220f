"""Run by ``test_kills.py``: kill a scoring at its points and at random moments, run it again, tell what there is.

Each run is a fork of this process, which has imported everything and started no thread.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
sys.path[0] = str(ROOT)  # not the folder of this script: its rooms have the names of standard modules

from core.score.outcome import ScoreOutcome
from core.score.plan import ScoringRequest
from tasks.score import plan as planning
from tasks.score.staging import located
from tests.factories import credit_config
from tests.tasks.crash_points import import_what, in_fork, kill_after, kill_before, settings_of
from tests.tasks.judging import LINEAR
from tests.tasks.score.scoring import score_all

CONFIG = credit_config(training=LINEAR)


def main(project: Path, rows: Path, folder: Path, n_random: int, stride: int) -> None:
    """Kill before every ``stride``-th point until a run gets through, then at random moments."""
    vars(planning)["PART_ROWS"] = 200

    def score(output: Path) -> ScoreOutcome:
        settings = settings_of(project).model_copy(update={"mlflow_uri": f"sqlite:///{project / 'var' / 'mlflow.db'}"})
        return score_all(CONFIG, located(ScoringRequest("credit", str(rows), str(output)), settings), settings)

    for kind in ("scores.parquet", "scores", "scores.csv"):
        (folder / "whole").mkdir(parents=True)
        import_what(lambda kind=kind: tell(kind, "undisturbed", score(folder / "whole" / kind), folder / "whole"))  # type: ignore[misc]
        point, killed = 1, True
        while killed:
            killed = trial(kind, f"point-{point}", score, folder, partial(kill_before, point))
            point += stride
        chance = random.Random(7)  # noqa: S311 - not for secrets
        for number in range(n_random):
            trial(kind, f"moment-{number}", score, folder, partial(kill_after, chance.uniform(0.01, 0.6)))
        shutil.rmtree(folder)


def trial(kind: str, name: str, score: Callable[[Path], ScoreOutcome], folder: Path, arm: Callable[[], None]) -> bool:
    """Score with a death armed, look at what is visible, then score again without; print what there is."""
    place = folder / name
    place.mkdir()

    def doomed() -> None:
        arm()
        score(place / kind)

    killed = in_fork(doomed) == signal.SIGKILL
    early = contents(place)
    whole = contents(folder / "whole")
    if kind in early or any(path.startswith(f"{kind}/") for path in early):
        assert early == whole, f"{name}: an output that is not whole"
    assert in_fork(lambda: tell(kind, name, score(place / kind), place, killed=killed)) == 0, f"{name}: no second run"
    return killed


def tell(kind: str, name: str, outcome: ScoreOutcome, place: Path, **facts: Any) -> None:
    """Say what came of a trial, as one line of JSON."""
    left = [path.name for path in place.iterdir() if path.name.startswith(".")]
    counts = outcome.n_rows, outcome.n_scored, outcome.n_set_aside
    found = {"kind": kind, "trial": name, "files": contents(place), "counts": counts, "left": left, **facts}
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


def contents(place: Path) -> dict[str, str]:
    """Return the hashes of all files that are not hidden, by path."""
    files = (path.relative_to(place) for path in place.rglob("*") if path.is_file())
    seen = (path for path in files if not any(part.startswith(".") for part in path.parts))
    return {str(path): hashlib.sha256((place / path).read_bytes()).hexdigest() for path in seen}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
