"""Bar P1: ``train`` and ``retrain`` killed at random moments, and the same command again.

``python -m benchmarks.killed_runs [train retrain] [--kills N] [--seed S]``. Each trial is a fork: the command, ended by
SIGKILL at a random moment of the time that it takes undisturbed, and the same command again. A trial fails if a broken
file lies under a final name, if the second command ends otherwise than an undisturbed one, if anything is lost, half
done or doubled afterwards (batches, versions, verdicts, tenures), or if MLflow's champion is not that of the database.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.storage_faults import LIBRARY, SCENARIOS, TRAIN, Bench, Scenario, broken_files, with_library

KILLED = {"train": Scenario(TRAIN), "retrain": SCENARIOS["retrain"]}
SPARE = 1.5
"""Attempts per kill: a command may end before its moment comes."""


@dataclass
class Tally:
    """What came of the trials of one command."""

    seconds: float
    kills: int = 0
    ended_first: int = 0
    stages: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)


def main() -> None:
    """Kill, run again, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commands", nargs="*", default=list(KILLED))
    parser.add_argument("--kills", type=int, default=100, help="Kills in all.")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if LIBRARY not in os.environ:
        sys.exit(with_library([sys.executable, "-m", "benchmarks.killed_runs", *sys.argv[1:]]))
    with tempfile.TemporaryDirectory() as folder, Killing(Path(folder).resolve(), serves=True) as bench:
        chance = random.Random(given.seed)  # noqa: S311 - not for secrets
        each = -(-given.kills // len(given.commands))
        found = {name: bench.killed(name, each, chance) for name in given.commands}
    _print(found)
    sys.exit(any(one.failed for one in found.values()))


def _print(found: dict[str, Tally]) -> None:
    print("\n| command | seconds undisturbed | kills | before the data, the version, the champion, the end | failed |")
    print("|---|--:|--:|--:|--:|")
    for name, one in found.items():
        stages = ", ".join(str(one.stages[stage]) for stage in STAGES)
        print(f"| `{name}` | {one.seconds:.1f} | {one.kills} | {stages} | {len(one.failed)} |")


STAGES = ("data", "version", "champion", "end")


class Killing(Bench):
    """The projects and the server of the storage benchmark, with kills instead of faults."""

    def killed(self, name: str, kills: int, chance: random.Random) -> Tally:
        """Kill a command that often; return what came of it."""
        scenario = KILLED[name]
        self._template(scenario)
        before, began = self._made(), time.monotonic()
        undisturbed = self.run(scenario.words, None)
        tally = Tally(time.monotonic() - began)
        expected = undisturbed.code, self._made()
        print(f"## {name}: ends with {undisturbed.code} after {tally.seconds:.1f} s: {expected[1]}", flush=True)
        while tally.kills < kills and tally.kills + tally.ended_first < SPARE * kills:
            self._trial_of(scenario, tally, chance.uniform(0, tally.seconds), before, expected)
        return tally

    def _trial_of(
        self, scenario: Scenario, tally: Tally, seconds: float, before: Any, expected: tuple[int, Any]
    ) -> None:
        self._restore()
        if not self.killed_after(scenario.words, seconds):
            tally.ended_first += 1
            return
        tally.kills += 1
        stage = _stage(before, self._made(), expected[1])
        tally.stages[stage] += 1
        said = self._after(scenario, expected)
        print(f"{tally.kills}: killed after {seconds:.2f} s, before the {stage}{said and ': ' + said}", flush=True)
        if said:
            tally.failed.append(said)

    def killed_after(self, words: Sequence[str], seconds: float) -> bool:
        """Run a command in a fork and kill it after a time; return whether it still ran."""
        with (self.folder / "output").open("w") as stream:
            pid = os.fork()
            if pid == 0:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
                self._commanded(words, None, stream.fileno())
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                if os.waitpid(pid, os.WNOHANG)[0]:
                    return False
                time.sleep(0.005)
            os.kill(pid, signal.SIGKILL)
            return os.WIFSIGNALED(os.waitpid(pid, 0)[1])

    def _after(self, scenario: Scenario, expected: tuple[int, Any]) -> str:
        """Run the command again; return what is wrong."""
        project = self.place / "project"
        if broken := broken_files(project):
            return f"broken files: {broken}"
        done = self._made() == expected[1]
        again = self.run(scenario.words, None)
        if "Traceback" in again.text or (again.code != expected[0] and not done):
            return f"again: exit code {again.code}: {again.text[-1500:]}"
        if self._made() != expected[1]:
            return f"again: made {self._made()}, expected {expected[1]}: {again.text[-500:]}"
        return _unequal(project)


def _stage(before: Any, now: Any, expected: Any) -> str:
    """Return what was not yet done when the command was killed."""
    if now[0] == before[0] != expected[0]:
        return "data"
    if now[1] == before[1] != expected[1]:
        return "version"
    return "end" if now == expected else "champion"


def _unequal(project: Path) -> str:
    """Return how MLflow's champion and the database's differ, or which versions share a run key; empty if neither."""
    with closing(sqlite3.connect(project / "var" / "perennial.db")) as database:
        ((champion,),) = database.execute("SELECT version FROM champions ORDER BY sequence DESC LIMIT 1").fetchall()
    with closing(sqlite3.connect(project / "var" / "mlflow.db")) as registry:
        aliases = dict(registry.execute("SELECT alias, version FROM registered_model_aliases").fetchall())
        keys = registry.execute("SELECT value FROM model_version_tags WHERE key = 'perennial.run_key'").fetchall()
    if int(aliases.get("champion", 0)) != champion:
        return f"aliases {aliases}, but version {champion} is champion"
    return "" if len(set(keys)) == len(keys) else f"a run key has two versions: {keys}"


if __name__ == "__main__":
    main()
