"""Bar P5: a disk that fails at every write of every command: full, over its quota, read-only, or broken.

``python -m benchmarks.storage_faults [SCENARIO …] [--errors ENOSPC EIO] [--every N] [--most N] [--minutes N]``. A
shared library counts the calls that create, fill, rename, link or remove a file of the project, and lets the n-th fail,
alone or with all that follow. Each trial is a fork: the command with the fault, what it left, and the same command
again. A trial fails if the command ends otherwise than with a storage error (exit code 2) or as it does undisturbed, if
it leaves a broken file under a final name, or if the second command ends otherwise than an undisturbed one.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import json
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

from config.settings import Settings
from store.tables import ChampionRow, DriftWindowRow, VerdictRow
from tests.factories import add_credit_model, credit_rows, make_project
from tests.tasks.crash_points import import_what, in_fork
from tests.warm import use_warm_steps, warmed

ERRORS = ("ENOSPC", "EIO", "EROFS", "EDQUOT")
SOURCE = Path(__file__).with_suffix(".c")
LIBRARY = "PERENNIAL_FAULT_LIBRARY"
STORAGE_ERROR = 2


@dataclass(frozen=True)
class Scenario:
    """A command, and the commands that prepare its project."""

    words: tuple[str, ...]
    before: tuple[tuple[str, ...], ...] = ()
    prepare: Callable[[Path], None] = lambda _root: None


@dataclass(frozen=True)
class Fault:
    """The writes that fail: the first by number, how many (-1: all that follow), and by which error."""

    first: int
    number: int
    error: str


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    text: str


def _new_rows(root: Path) -> None:
    add_rows(root, 2)


def add_rows(root: Path, seed: int) -> None:
    """Replace the source's rows by later ones."""
    credit_rows(600, seed).to_csv(root / "rows.csv", index=False)


def _no_data(root: Path) -> None:
    for folder in ("data", "var/snapshots", ".dvc/cache"):
        shutil.rmtree(root / folder, ignore_errors=True)


STORE, INGEST, TRAIN = ("store",), ("ingest", "credit"), ("train", "credit")
SCENARIOS = {
    "init": Scenario(("init", "--data", "rows.csv", "--target", "default", "--key", "id", "--name", "fresh")),
    "store": Scenario(STORE),
    "ingest": Scenario(INGEST),
    "ingest-more": Scenario(INGEST, (INGEST,), _new_rows),
    "restore": Scenario(("data", "restore", "credit", "latest"), (STORE,), _no_data),
    "train": Scenario(TRAIN, (INGEST,)),
    "monitor": Scenario(("monitor", "credit"), (TRAIN,)),
    "retrain": Scenario(("retrain", "credit", "--force"), (TRAIN,), _new_rows),
    "bundle": Scenario(("bring-bundle",), (TRAIN,)),
}
SERVERLESS = {"store", "restore", "init"}
"""Scenarios that need no server of Prefect's."""


def main() -> None:
    """Try the scenarios in a process that has the library loaded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenarios", nargs="*", default=list(SCENARIOS))
    parser.add_argument("--errors", nargs="*", default=list(ERRORS))
    parser.add_argument("--every", type=int, default=1, help="Try each n-th kind of write only.")
    parser.add_argument("--most", type=int, default=10_000, help="Kinds of writes to try per scenario, evenly spread.")
    parser.add_argument("--minutes", type=float, default=1e6, help="begin no trial of a scenario after so long")
    given = parser.parse_args()
    if LIBRARY not in os.environ:
        sys.exit(with_library([sys.executable, "-m", "benchmarks.storage_faults", *sys.argv[1:]]))
    serves = not SERVERLESS.issuperset(given.scenarios)
    with tempfile.TemporaryDirectory() as folder, Bench(Path(folder).resolve(), serves=serves) as bench:
        bench.seconds = 60 * given.minutes
        failed = [one for name in given.scenarios for one in bench.tried(name, given.errors, given.every, given.most)]
    print(f"\n{len(failed)} trials failed")
    sys.exit(bool(failed))


def with_library(words: Sequence[str]) -> int:
    """Run a command with the library that counts writes; it is compiled for it."""
    with tempfile.TemporaryDirectory() as folder:
        library = str(Path(folder) / "faults.so")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, str(SOURCE), "-ldl"], check=True)  # noqa: S607 - the compiler of this machine
        environment = os.environ | {"LD_PRELOAD": library, LIBRARY: library, "OMP_NUM_THREADS": "1"}
        # Another process would use up the faults that are meant for the command.
        environment |= {"PERENNIAL_FOLLOW_UP": "later"}
        return subprocess.run(words, env=environment, check=False).returncode


class Bench:
    """A server of Prefect's, if a command needs it, and a project that is made again for each trial."""

    def __init__(self, folder: Path, *, serves: bool) -> None:
        self.folder, self.place, self.kept = folder, folder / "place", folder / "kept"
        self._library = ctypes.CDLL(os.environ[LIBRARY])
        self._library.fault_arm.argtypes = [ctypes.c_char_p, ctypes.c_long, ctypes.c_long, ctypes.c_int, ctypes.c_int]
        self._serves = serves
        self.seconds = float("inf")
        os.environ["TMPDIR"] = str(self.place / "tmp")
        os.environ["PERENNIAL_ROOT"] = str(self.place / "project")
        self._open = ExitStack()
        if serves:
            (folder / "warm").mkdir()
            use_warm_steps(self._open.enter_context(warmed(folder / "warm")))
            in_fork(partial(_start_server, folder))
            os.environ.update(json.loads((folder / "server.json").read_text()))
        self._reset(())
        import_what(partial(self._commanded, TRAIN if serves else STORE, None))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._serves:
            in_fork(partial(_stop_server, self.folder))
        self._open.close()
        _remove(self.place)

    def tried(self, name: str, errors: Sequence[str], every: int, most: int) -> list[str]:
        """Try a scenario's kinds of writes; return the trials that failed."""
        scenario = SCENARIOS[name]
        self._template(scenario)
        undisturbed = self.run(scenario.words, None)
        expected = undisturbed.code, self._made()
        points = kinds_of_writes((self.folder / "trace").read_text().splitlines())
        chosen = points[:: max(every, -(-len(points) // most))]
        print(f"## {name}: ends with {undisturbed.code}, {len(points)} kinds of writes", flush=True)
        # A run that is ended by time has tried writes of every part of the command.
        trials = [(place, lasting) for place in range(len(chosen)) for lasting in (1, -1)]
        random.Random(0).shuffle(trials)  # noqa: S311 - the order of trials is no secret
        failed, n_tried, began = [], 0, time.monotonic()
        for place, lasting in trials:
            if time.monotonic() - began > self.seconds:
                break
            (number, what), error = chosen[place], errors[(place + (lasting < 0)) % len(errors)]
            said, n_tried = self._trial(scenario, Fault(number, lasting, error), expected), n_tried + 1
            if said:
                failed.append(f"{name} {number} {what} {error} {'once' if lasting == 1 else 'on'}: {said}")
                print(failed[-1], flush=True)
        print(f"{name}: {len(failed)} of {n_tried} trials failed, of {len(trials)} planned", flush=True)
        return failed

    def _trial(self, scenario: Scenario, fault: Fault, expected: tuple[int, Any]) -> str:
        """Run with a fault and again without; return what is wrong."""
        self._restore()
        ended = self.run(scenario.words, fault)
        if "Traceback" in ended.text or ended.code not in (expected[0], STORAGE_ERROR):
            return f"exit code {ended.code}: {ended.text[-1500:]}"
        if ended.code == STORAGE_ERROR and '"kind": "StorageError"' not in ended.text:
            return f"another kind of error: {ended.text[-800:]}"
        if broken := broken_files(self.place / "project"):
            return f"broken files: {broken}"
        again = self.run(scenario.words, None) if ended.code != expected[0] else ended
        if again.code != expected[0]:
            return f"[first: {ended.text[-300:]}] again: exit code {again.code}: {again.text[-800:]}"
        if self._made() != expected[1]:
            return f"[first: {ended.text[-300:]}] again: made {self._made()}, expected {expected[1]}"
        return ""

    def run(self, words: Sequence[str], fault: Fault | None) -> Ended:
        """Run a command in a fork; without a fault, its writes are listed."""
        output = self.folder / "output"
        with output.open("w") as stream, (self.folder / "trace").open("w") as trace:
            code = in_fork(partial(self._commanded, words, fault, stream.fileno(), trace.fileno()))
        return Ended(code, output.read_text())

    def _commanded(self, words: Sequence[str], fault: Fault | None, output: int = 2, trace: int = -1) -> None:
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", buffering=1, closefd=False)  # noqa: SIM115 - the streams of this process
        os.chdir(self.place / "project")
        number = getattr(errno, fault.error) if fault else 0
        arguments = (fault.first, fault.number, number, -1) if fault else (0, 0, 0, trace)
        self._library.fault_arm(str(self.place).encode(), *arguments)
        os._exit(_code_of(words))

    def _template(self, scenario: Scenario) -> None:
        self._reset(scenario.before)
        scenario.prepare(self.place / "project")
        shutil.rmtree(self.kept, ignore_errors=True)
        shutil.copytree(self.place, self.kept, symlinks=True)

    def _reset(self, before: Sequence[Sequence[str]]) -> None:
        _remove(self.place)
        (self.place / "tmp").mkdir(parents=True)
        add_credit_model(make_project(self.place), training={"cv": 0})
        for words in before:
            ended = self.run(words, None)
            if ended.code:
                sys.exit(f"{words} failed: {ended.text}")

    def _restore(self) -> None:
        _remove(self.place)
        shutil.copytree(self.kept, self.place, symlinks=True)

    def _made(self) -> Any:
        """Return the names of data files, the versions, and the number of verdicts, which a repeat must not double."""
        project = self.place / "project"
        return [sorted(path.name for path in project.glob("data/*/*")), _registered(project), _rows(project)]


def kinds_of_writes(trace: Sequence[str]) -> list[tuple[int, str]]:
    """Return the first write of each kind: the call, and the path without hashes and numbers."""
    found: dict[str, int] = {}
    for line in trace:
        number, what = line.split(" ", 1)
        found.setdefault(re.sub(r"[0-9a-f]{6,}|[0-9]+|(?<=tmp)\w{6,}|(?<=[.-])\w{8}(?=\b)", "*", what), int(number))
    return [(number, what) for what, number in found.items()]


def broken_files(root: Path) -> list[str]:
    """Return the files under final names that cannot be read to their end."""
    versions = _versions(root)
    final = [path for path in sorted(root.rglob("*")) if _is_final(path, root) and _is_used(path, versions)]
    return [str(path.relative_to(root)) for path in final if _broken(path)]


def _is_final(path: Path, root: Path) -> bool:
    parts = path.relative_to(root).parts
    inside = parts[:2] in {("var", "work"), (".dvc", "tmp"), ("var", "dvc")} or "log" in parts
    temporary = any(re.search(r"^\..*\.tmp|\.part|\.tmp$", part) for part in parts)
    return path.is_file() and not inside and not temporary


def _is_used(path: Path, versions: set[str]) -> bool:
    """Return False for files of a model that MLflow did not register, because the write of another file failed.

    MLflow copies a model's files to their place one by one. Its folder has a new name in each attempt, and nothing
    reads it before a version names it.
    """
    folders = [part for part in path.parts if re.fullmatch("m-[0-9a-f]{32}", part)]
    return all(folder in versions for folder in folders)


def _broken(path: Path) -> str:
    import pyarrow.parquet as pq

    try:
        if path.suffix == ".parquet":
            pq.read_table(path)
        elif path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".html" and not path.read_text().rstrip().endswith("</html>"):
            return "cut"
        elif path.suffix in {".yaml", ".yml", ".md", ".dvc", ".onnx", ".skops"} and path.stat().st_size == 0:
            return "empty"
    except (OSError, ValueError) as error:
        return str(error)
    return ""


def _versions(project: Path) -> set[str]:
    """Return the ids of the models that registered versions consist of."""
    with suppress(sqlite3.OperationalError), closing(_read_only(project / "var" / "mlflow.db")) as found:
        sources = [str(source) for (source,) in found.execute("SELECT source FROM model_versions")]
        ids = [str(one) for (one,) in found.execute("SELECT storage_location FROM model_versions") if one]
        return {one for text in (*sources, *ids) for one in re.findall("m-[0-9a-f]{32}", text)}
    return set()


def _read_only(database: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{database}?mode=ro", uri=True)


def _registered(project: Path) -> int:
    return _count(project / "var" / "mlflow.db", "model_versions")


def _rows(project: Path) -> dict[str, int]:
    database = project / "var" / "perennial.db"
    tables = (row.__tablename__ for row in (ChampionRow, VerdictRow, DriftWindowRow))
    return {table: _count(database, table) for table in tables}


def _count(database: Path, table: str) -> int:
    with suppress(sqlite3.OperationalError), closing(_read_only(database)) as found:
        return int(found.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 - names of our own
    return 0


def _code_of(words: Sequence[str]) -> int:
    """Run a command in this process; return its exit code."""
    from cli.main import main as command

    # What is waited for between attempts is no part of the trial.
    if "tasks.steps" in sys.modules:
        for step in vars(sys.modules["tasks.steps"]).values():
            if hasattr(step, "retry_delay_seconds"):
                step.retry_delay_seconds = [0.0, 0.0]
    sys.argv = ["perennial", *words, "--json"]
    try:
        if words[0] in PLAIN:
            sys.exit(_plain(PLAIN[words[0]]))
        command(standalone_mode=True)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001 - the edge of the process
        traceback.print_exc()
        code = 70
    sys.stdout.flush()
    return code


def _plain(work: Callable[[Settings], object]) -> int:
    """Do what has no command of its own; return the exit code it would have."""
    from config.settings import load_settings
    from core.errors import PerennialError
    from core.storage_failure import storage_errors

    try:
        with storage_errors():
            work(load_settings())
    except PerennialError as error:
        print(json.dumps({"kind": type(error).__name__, "error": str(error)}))
        return error.exit_code
    return 0


def _bring(settings: Settings) -> None:
    """Bring the champion's bundle as the service does."""
    from tasks.serving.bring_bundle import Question, bring_bundle

    bring_bundle(Question("credit", 1, None, settings.var / "serve" / "bundles", ()), settings)


def _store(settings: Settings) -> None:
    """Read, write and version rows as ``flows/ingest.py`` does, without Prefect and without a suite."""
    from config.load import load_model_config
    from tasks.source.stage import stage_rows
    from tasks.versions.versions import version_data, write_batch

    config = load_model_config(settings.root, "credit")
    write_batch(stage_rows(config, settings, settings.var / "work" / "credit"), config, settings)
    version_data(config, settings)


PLAIN = {"bring-bundle": _bring, "store": _store}


def _remove(folder: Path) -> None:
    # A folder of a snapshot is read-only.
    subprocess.run(["chmod", "-R", "u+w", str(folder)], check=False, capture_output=True)  # noqa: S607 - coreutils
    shutil.rmtree(folder, ignore_errors=True)


def _start_server(folder: Path) -> None:
    from tasks.runs.local_server import await_server, prefect_environment, start_server

    (folder / "server").mkdir()
    Path(os.environ["TMPDIR"]).mkdir(parents=True)
    settings = make_project(folder / "server")
    start_server(settings)
    found = prefect_environment(settings) | {"PREFECT_API_URL": await_server(settings).api_url}
    (folder / "server.json").write_text(json.dumps(found))


def _stop_server(folder: Path) -> None:
    from tasks.runs.local_server import stop_server

    root = folder / "server" / "project"
    stop_server(Settings(root=root, var=root / "var"))


if __name__ == "__main__":
    main()
