"""Every command of the documents is run, as it stands there."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from config.schema import SimulatedSource
from config.settings import Settings
from core.data.simulate import simulate
from tasks.platform.ports import free_port

ROOT = Path(__file__).resolve().parents[1]

ELSEWHERE = {
    "make demo": "continuous integration would set everything up twice; its recipe is checked below",
    "make test": "this test is part of it",
    ". .venv/bin/activate": "the tests run with the environment already",
    "export PREFECT_API_URL=https://prefect.example.org/api": "needs somebody's server; test_ingest uses a real one",
    "dvc remote add --default --force store s3://bucket/path": "test_s3 uses a real S3 server",
}


FIRST = (
    "perennial train loans --set training.estimator=sklearn.ensemble.HistGradientBoostingClassifier "
    "--set training.search=null"
)
SAYS_NO = {"perennial train loans --set training.search.candidates.linear.params.C=0.0001"}
"""Trainings whose version is not better than the champion: exit code 3 is their answer."""

USUAL_ADDRESS = "127.0.0.1:8470"
"""Where the documents find the service."""

DECIDES = ("perennial train", "perennial judge", "perennial monitor", "perennial retrain", "perennial doctor")
"""Commands whose answer may be no; what they answer is not what the document is about, or is checked beside it."""


def _blocks(document: str) -> list[str]:
    return re.findall(r"```sh\n(.*?)```", (ROOT / document).read_text(), flags=re.DOTALL)


def _commands(document: str) -> list[str]:
    return [line for block in _blocks(document) for line in block.splitlines() if line and not line.startswith("#")]


@pytest.fixture
def shell(project: Settings, warm: Path) -> Iterator["Shell"]:
    """Return a shell in a project that holds the demo model, like a clone of the repository."""
    for room in ("models", "expectations"):
        shutil.copytree(ROOT / "config" / room, project.root / "config" / room, dirs_exist_ok=True)
    shell = Shell(project, warm)
    yield shell
    shell.end_service()
    shell.run("perennial server stop")


class Shell:
    """Runs command lines in a project; ``perennial serve`` goes on beside those that follow.

    The service listens on a free port, and addresses with its usual one are changed: others may run beside it.
    """

    def __init__(self, settings: Settings, warm: Path) -> None:
        self.root = settings.root
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        path = f"{warm}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        self._address = f"127.0.0.1:{free_port()}"
        port = self._address.partition(":")[2]
        self._environment = clean | {"PATH": path, "PERENNIAL_ROOT": str(self.root), "PERENNIAL_SERVE_PORT": port}
        self._service: subprocess.Popen[bytes] | None = None
        self.code, self.errors = 0, ""

    def run(self, command: str, *expected: int) -> str:
        """Run a line; another exit code than an expected one (0 where none is named) shows what it printed."""
        if command == "perennial serve":
            self._serve()
            return ""
        done = subprocess.run(
            ["bash", "-ec", command.replace(USUAL_ADDRESS, self._address)],
            cwd=self.root,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in (expected or (0,)), f"{command}\n{done.stdout}\n{done.stderr}"
        self.code, self.errors = done.returncode, done.stderr
        return done.stdout

    def _serve(self) -> None:
        """Start the service, and wait until it is ready."""
        self.end_service()
        log = self.root / "var" / "serve.log"
        with log.open("wb") as output:
            self._service = subprocess.Popen(
                ["perennial", "serve"], cwd=self.root, env=self._environment, stdout=output, stderr=output
            )
        ready = ["curl", "-sf", f"{self._address}/health/ready"]
        while subprocess.run(ready, check=False, stdout=subprocess.DEVNULL).returncode != 0:
            assert self._service.poll() is None, log.read_text()
            time.sleep(0.1)

    def end_service(self) -> None:
        """End the service where it runs, gracefully."""
        if self._service is not None:
            self._service.terminate()
            assert self._service.wait(60) == 0
            self._service = None


def _loans(columns: dict[str, str]) -> pd.DataFrame:
    source = SimulatedSource(kind="simulated", months=3, rows_per_month=400)
    return pd.concat(simulate(source)).rename(columns=columns)


@pytest.mark.e2e
@pytest.mark.timeout(2700)
def test_the_tutorial_can_be_followed(shell: Shell) -> None:
    """Its commands run one after the other, and the results are those it tells."""
    printed: dict[str, str] = {}
    watched: list[str] = []
    retrained: list[str] = []
    ingested: list[tuple[int, str]] = []
    for command in _commands("docs/tutorial.md"):
        if command == "perennial monitor loans":
            watched.append(shell.run(command, 0, 3))
        elif command == "perennial ingest loans":
            output = shell.run(command, 0, 2, 3)
            ingested.append((shell.code, output + shell.errors))
        elif command == "perennial retrain loans":
            retrained.append(shell.run(command, 0, 3))
        else:
            printed[command] = shell.run(command, 3 * (command in SAYS_NO))
    assert "promoted loans version 1" in printed[FIRST]
    assert "promoted loans version 2" in printed["perennial train loans"]
    assert "version 2 remains champion" in printed[next(iter(SAYS_NO))]
    assert "version 2 against version 1" in printed["perennial compare loans@1 loans@2"]
    assert "first champion" in printed["perennial history loans"]
    assert "6,000" in printed["perennial data loans"]
    assert [output.strip().partition(",")[0] for output in watched] == ["loans: ok", "loans: watch", "loans: drift"]
    assert "3 windows" in printed["perennial drift loans --no-open"]
    assert [output.splitlines()[0] for output in retrained] == ["loans: refused version 4", "loans: refused"]
    assert "cooldown_hours" in retrained[1]
    assert [code for code, _ in ingested] == [0, 0, 0, 0, 0, 3, 2]
    warned, aside, refused, lacking = (output for _, output in ingested[3:])
    assert "1 of 9,000 rows fail, e.g. 700" in warned
    assert "rows with a warning are stored" in warned
    assert "1 in place of an older row of the same key" in warned
    assert "2 of 9,000 rows (0.0222%) set aside: age must be between" in aside
    assert "validation.max_quarantine allows 2%" in refused
    assert "'age'" in lacking
    assert printed["perennial triggers loans"].count("refused") == 2
    assert "(waiting)" in printed["perennial triggers loans"]
    asked = {command: output for command, output in printed.items() if command.startswith("curl")}
    answers = [json.loads(output) for command, output in asked.items() if "/predict" in command]
    assert (answers[0]["version"], answers[0]["variant"]) == (2, "champion")
    assert answers[1]["errors"][0]["field"] == "age"
    assert [json.loads(output)["added"] for command, output in asked.items() if "/labels" in command] == [1]


@pytest.mark.e2e
@pytest.mark.timeout(1800)
def test_the_commands_of_the_other_documents_run(shell: Shell) -> None:
    """The demo model and a user's own file work as written."""
    names = {"application_id": "loan_id", "application_date": "applied_on", "default_next_month": "defaulted"}
    _loans(names).to_csv(shell.root / "loans.csv", index=False)
    _loans({}).to_parquet(shell.root / "applications.parquet", index=False)
    shell.run("perennial train credit --set source.rows_per_month=200")
    version = re.findall(r"\b([0-9a-f]{32})\b", shell.run("perennial data credit"))[0]
    others = ("README.md", *(f"docs/{name}.md" for name in ("commands", "how-to", "serving", "score", "forget")))
    for document in others:
        for command in _commands(document):
            if command not in ELSEWHERE:
                answers = (0, 3) if command.startswith(DECIDES) else (0,)
                shell.run(command.replace("VERSION", version), *answers)


@pytest.mark.e2e
@pytest.mark.timeout(900)
def test_a_project_outside_the_clone_is_made_as_described(tmp_path: Path, warm: Path) -> None:
    """One block, run in an empty folder, makes a project with a data version that its own remote has."""
    _loans({}).to_csv(tmp_path / "rows.csv", index=False)
    (block,) = (one for one in _blocks("docs/environments.md") if "dvc init" in one)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "PERENNIAL_"))}
    identity = {f"GIT_{role}_{what}": "a@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    path = f"{warm}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    ask = "perennial data risk --json; git status --porcelain"
    done = subprocess.run(
        ["bash", "-ec", f"({block}) >&2; cd risk; {ask}; perennial server stop >&2"],
        cwd=tmp_path,
        env=clean | identity | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    history, end = json.JSONDecoder().raw_decode(done.stdout)
    assert [version["n_rows"] for version in history["versions"]] == [1_200]
    assert done.stdout[end:].strip() == "", "everything but data and var is committed"
    assert any((tmp_path / "risk-data").rglob("*.dir"))


@pytest.mark.e2e
@pytest.mark.timeout(4500)
def test_the_demo_finds_the_month_in_which_the_world_changed(shell: Shell) -> None:
    """Its recipe, without the set-up: finds drift where it was put, releases a version and rolls a faulty one back."""
    recipe = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "demo"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    lines = recipe[recipe.index(".venv/bin/perennial train credit") :].splitlines()
    # The shell's project has no copy of the benchmarks.
    ours = {".venv/bin/perennial": "perennial", ".venv/bin/python": f"PYTHONPATH={ROOT} python"}
    commands = [re.sub(r"\.venv/bin/\w+", lambda found: ours[found[0]], line) for line in lines]
    printed = [shell.run(command) for command in commands]
    told = [line for output in printed for line in output.splitlines() if line.startswith("credit: ")]
    assert [line.partition(",")[0] for line in told[:4]] == [
        "credit: ok",
        "credit: ok",
        "credit: watch",
        "credit: drift",
    ]
    assert "retraining is recommended" in told[3]
    (release,) = (output for output in printed if "approved by a person against the gate" in output)
    faulty = release.partition("approved by a person against the gate")[2]
    assert "rolled back" in faulty
    assert re.findall(r"(\d+) errors seen by clients", release) == ["0"] * release.count("errors seen by clients")


@pytest.mark.parametrize("document", ["README.md", *(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md"))])
def test_links_lead_somewhere(document: str) -> None:
    """A reader never meets a link to a file that is not there."""
    text = (ROOT / document).read_text()
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    assert [link for link in links if not ((ROOT / document).parent / link).exists()] == []


TERMS = (
    "actor",
    "baseline",
    "buffer",
    "holdout",
    "negative controls",
    "PSI",
    "record batch",
    "rejected cells",
    "tenure",
)
"""Terms of messages and pages that a newcomer meets first."""


def test_the_glossary_is_sorted_and_has_the_terms_of_messages() -> None:
    """A reader finds a term of a message by the alphabet."""
    lines = (ROOT / "docs" / "glossary.md").read_text().splitlines()
    terms = [line.split(" | ")[0].removeprefix("| ") for line in lines if line.startswith("| ")][1:]
    assert terms == sorted(terms, key=str.lower)
    assert set(TERMS) <= set(terms)
