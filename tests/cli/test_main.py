"""The command as people use it: help, exit codes, errors without traces, JSON."""

import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from cli.main import main
from config.settings import Settings
from tests.factories import add_credit_model, credit_rows

ROOT = Path(__file__).resolve().parents[2]


def _commands(group: click.Group = main, prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, command in group.commands.items():
        path = (*prefix, name)
        found += _commands(command, path) if isinstance(command, click.Group) else [path]
    return found


def _invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.mark.parametrize("command", _commands(), ids=" ".join)
def test_every_command_explains_itself(command: tuple[str, ...]) -> None:
    """Help names each option in words; commands that take arguments show an example."""
    result = _invoke(*command, "--help")
    assert result.exit_code == 0
    if "[OPTIONS] " in result.output or "--data" in result.output:
        group = _invoke(command[0], "--help").output
        assert f"perennial {command[0]}" in result.output + group


def test_help_imports_nothing_but_click() -> None:
    """The first thing people run must be quick."""
    code = (
        "import sys; from click.testing import CliRunner; from cli.main import main;"
        "CliRunner().invoke(main, ['--help']);"
        "print([m for m in ('pydantic', 'numpy', 'pandas', 'prefect', 'duckdb') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("data", "nothing"), "nothing"),
        (("show", "nothing"), "no model 'nothing'"),
        (("show", "credit@7"), "no registered version yet"),
        (("init", "--data", "gone.csv", "--target", "y"), "gone.csv"),
        (("data", "restore", "credit", "abcdef12"), "abcdef12"),
        (("train", "credit", "--set", "novalue"), "PATH=VALUE"),
        (("train",), "Missing argument"),
        (("trian", "credit"), "No such command"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_the_user_can_fix_exits_with_2(project: Settings, arguments: tuple[str, ...], message: str) -> None:
    """One message on standard error, no trace, exit code 2."""
    add_credit_model(project)
    result = _invoke(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_machines_get_errors_as_json(project: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --json standard output is one document, whatever happens."""
    assert project
    monkeypatch.setattr(sys, "argv", ["perennial", "show", "nothing", "--json"])
    result = _invoke("show", "nothing", "--json")
    assert json.loads(result.stdout)["error"]["kind"] == "ModelNotFoundError"


def test_an_unexpected_error_is_ours_and_leaves_its_trace_in_a_file(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 1, one line for people, the trace in the crash log."""

    def fail(_settings: Settings) -> None:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr("tasks.registry.versions.list_models", fail)
    result = _invoke("models")
    assert result.exit_code == 1
    assert "Traceback" not in result.stderr
    assert "ZeroDivisionError: ours" in (project.var / "log" / "crash.log").read_text()


def test_where_the_crash_log_cannot_be_written_one_error_is_told(
    project: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The traceback goes to a private temporary file, not over the first error."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError("ours")

    project.var.write_text("a file in the folder's place")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr("tasks.registry.versions.list_models", fail)
    result = _invoke("models")
    assert (result.exit_code, result.stderr.count("Traceback")) == (1, 0)
    (log,) = tmp_path.glob("perennial-crash-*.log")
    assert str(log) in result.stderr
    assert "ZeroDivisionError: ours" in log.read_text()
    assert log.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_disk_that_takes_nothing_is_a_matter_of_storage(
    project: Settings, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Wherever it occurs: one line with the file and the reason, and exit code 2."""

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number), str(project.var / "x"))

    monkeypatch.setattr("tasks.registry.versions.list_models", fail)
    result = _invoke("models")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {project.var / 'x'}: {os.strerror(number)}")
    assert len(result.stderr.splitlines()) == 1


def test_an_empty_project_says_how_to_begin(project: Settings) -> None:
    """No model is no error."""
    assert project
    assert "perennial init" in _invoke("models").output


@pytest.mark.e2e
class TestWholeCommand:
    """``perennial`` in processes of its own, with the local server it starts."""

    @pytest.fixture(autouse=True)
    def _own_server(self, project: Settings, warm: Path) -> Any:
        self.settings, self.warm = project, warm
        yield
        self._run("server", "stop")

    def _run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.warm / "perennial"), *arguments],
            cwd=self.settings.root,
            env=self._environment() | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def _environment(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        return clean | {"PERENNIAL_ROOT": str(self.settings.root), "PYTHONPATH": str(ROOT)}

    def test_from_a_file_to_a_registered_model(self) -> None:
        """init, train, train again, a refused gate, a spoilt file: each with its exit code and its lines."""
        credit_rows().to_csv(self.settings.root / "loans.csv", index=False)
        init = self._run("init", "--data", "loans.csv", "--target", "default", "--key", "id")
        assert init.returncode == 0, init.stderr

        first = self._run("train", "loans")
        assert first.returncode == 0, first.stderr
        assert "promoted loans version 1: it is now champion" in first.stdout
        assert "registered loans version 1" in first.stderr
        assert "warning" not in first.stderr.lower()
        assert "\x1b" not in first.stdout + first.stderr

        # Nothing has to be done, so no flow run is asked of a server.
        again = json.loads(self._run("train", "loans", "--json", PREFECT_API_URL="http://127.0.0.1:9").stdout)
        assert (again["status"], again["version"]) == ("unchanged", 1)

        worse = ("--set", "training.search.candidates.boosting.params.max_iter=1")
        refused = self._run("train", "loans", *worse, "--set", "gate.floor=0.9999", "--json")
        assert refused.returncode == 3
        assert json.loads(refused.stdout)["stage"] == "gate"

        self._let_people_decide()

        (self.settings.root / "loans.csv").write_text("id,default\n1,0,9\n")
        spoilt = self._run("train", "loans")
        assert spoilt.returncode == 2
        assert "Traceback" not in spoilt.stderr
        assert "loans.csv" in spoilt.stderr

        shown = json.loads(self._run("models", "--json").stdout)
        assert shown[0]["n_versions"] == 2
        assert len(list((self.settings.root / "data" / "loans").iterdir())) == 1

    def _let_people_decide(self) -> None:
        """Compare, approve against the gate, look into the history, roll back until there is nothing below."""
        compared = self._run("compare", "loans@1", "loans@2")
        assert compared.returncode == 0, compared.stderr
        assert "gate's verdict: keep" in compared.stdout
        assert self._run("compare", "loans@1", "loans@7").returncode == 2
        judged = self._run("judge", "loans@2", "--json")
        assert judged.returncode == 3, judged.stderr
        answer = json.loads(judged.stdout)
        assert (answer["decision"], answer["champion"]) == ("keep", 1)
        assert "floor" not in answer["reasons"][0], "the model file's floor is not that of the training before"

        approve = ("approve", "loans@2", "--reason", "the branch asked for it")
        objected = self._run(*approve)
        assert (objected.returncode, "--override" in objected.stderr) == (2, True)
        assert self._run(*approve, "--override").returncode == 0
        held = json.loads(self._run("history", "loans", "--json").stdout)["champions"]
        assert [(entry["version"], entry["kind"]) for entry in held] == [(1, "gate"), (2, "approval")]
        assert "the branch asked for it" in held[1]["reason"]
        assert json.loads(self._run("history", "loans", "--at", "2020-01-01", "--json").stdout)["champions"] == []

        assert self._run("rollback", "loans", "--reason", "complaints").returncode == 0
        assert json.loads(self._run("show", "loans", "--json").stdout)["version"] == 1
        assert self._run("rollback", "loans", "--reason", "complaints").returncode == 2

    def test_two_runs_at_once_and_a_kill(self) -> None:
        """While one run holds the model a second is refused; killed -9, the first leaves nothing in the way.

        Nor does a proxy that does not answer: this machine's servers are reached without it.
        """
        add_credit_model(self.settings)
        first = subprocess.Popen(
            [sys.executable, "-m", "cli", "train", "credit"],
            cwd=self.settings.root,
            env=self._environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        holder = self.settings.var / "locks" / "credit.json"
        deadline = time.monotonic() + 120
        while not holder.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        second = self._run("train", "credit")
        first.kill()
        first.wait()
        assert second.returncode == 2
        assert f"process {first.pid}" in second.stderr
        third = self._run("train", "credit", http_proxy="http://127.0.0.1:9", HTTP_PROXY="http://127.0.0.1:9")
        assert third.returncode == 0, third.stderr


@pytest.fixture
def misspelt(project: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return a project that the command finds, with one misspelt setting."""
    monkeypatch.setenv("PERENNIAL_ROOT", str(project.root))
    monkeypatch.setenv("PERENNIAL_SERVE_MAX_CONCURENT", "s3cret")
    return project


@pytest.mark.usefixtures("misspelt")
def test_a_misspelt_setting_is_reported_once_on_stderr() -> None:
    """The line names the closest setting and no value, and the JSON on stdout stays what it is."""
    result = _invoke("models", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == []
    assert result.stderr == (
        "warning: PERENNIAL_SERVE_MAX_CONCURENT is not a setting and has no effect; "
        "did you mean PERENNIAL_SERVE_MAX_CONCURRENT?\n"
    )


def test_many_are_counted(misspelt: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handful is named, so that the answer is not lost below them."""
    for number in range(8):
        monkeypatch.setenv(f"PERENNIAL_ZZZ{number}", str(misspelt.root))
    lines = _invoke("models").stderr.splitlines()
    assert len(lines) == 6
    assert lines[1].startswith("warning: PERENNIAL_ZZZ0 is not a setting and has no effect; all settings: docs/")
    assert lines[-1] == "warning: and 4 more variables without effect"


def test_a_variable_that_a_model_file_names_is_not_reported(
    misspelt: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address of a database may be in a variable of any name."""
    monkeypatch.delenv("PERENNIAL_SERVE_MAX_CONCURENT")
    monkeypatch.setenv("PERENNIAL_CREDIT_DB", "sqlite:///rows.db")
    assert "PERENNIAL_CREDIT_DB" in _invoke("models").stderr
    model: Path = misspelt.root / "config" / "models" / "credit.yaml"
    model.write_text("source: {kind: sql, uri_env: PERENNIAL_CREDIT_DB, query: SELECT 1}\n")
    assert "PERENNIAL_CREDIT_DB" not in _invoke("models").stderr


def test_ctrl_c_during_the_imports_ends_a_command_at_once(tmp_path: Path) -> None:
    """By the signal, as a shell expects it, and without the trace of a library that was being imported."""
    (tmp_path / "click.py").write_text("import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(5)\n")
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from cli.__main__ import run; run()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "models"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_ctrl_c_during_the_work_ends_a_command_with_one_line() -> None:
    """With the exit code that shells give for the signal, and without a trace."""
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); import cli.main;"
        "cli.main.warn_of_unknown_variables = lambda _: signal.raise_signal(signal.SIGINT);"
        "from cli.__main__ import run; run()"
    )
    done = subprocess.run([sys.executable, "-c", code, "models"], cwd=ROOT, check=False, capture_output=True, text=True)
    says = "interrupted by Ctrl-C; the same command replaces what was left incomplete\n"
    assert (done.returncode, done.stdout, done.stderr) == (130, "", says)
