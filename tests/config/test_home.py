"""A home and a name for a user that has none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.home import give_home, give_user_name, home_folder, own_folder, own_home, project_above, user_name
from config.settings import PACKAGES, Settings
from tests.factories import add_credit_model
from tests.other_user import GID, UID, as_user

NAMES = ("LOGNAME", "USER", "LNAME", "USERNAME")


def test_a_home_that_can_be_written_stays(tmp_path: Path) -> None:
    """The usual case changes nothing."""
    environment = {"HOME": str(tmp_path), "PERENNIAL_ROOT": "/project"}
    give_home(environment)
    assert environment == {"HOME": str(tmp_path), "PERENNIAL_ROOT": "/project"}


@pytest.mark.parametrize("home", ["/nonexistent/home", "", "~"])
def test_a_home_that_is_no_folder_is_replaced(tmp_path: Path, home: str) -> None:
    """By a folder in var, which is not created until something is written there."""
    environment = {"HOME": home, "PERENNIAL_ROOT": str(tmp_path)}
    assert home_folder(environment) is None
    give_home(environment)
    assert environment["HOME"] == str(tmp_path / "var" / "home")
    assert not (tmp_path / "var").exists()


def test_a_home_that_cannot_be_written_stays_and_matplotlib_gets_a_folder(tmp_path: Path) -> None:
    """The credentials of remotes may be in it."""
    home = tmp_path / "home"
    home.mkdir(mode=0o555)
    code = "import os; from config.home import give_home; give_home(os.environ); print(*map(os.getenv, NAMES))"
    names = "NAMES = ('HOME', 'MPLCONFIGDIR')\n"
    environment = {"HOME": str(home), "PERENNIAL_VAR": str(tmp_path / "var"), "PYTHONPATH": str(PACKAGES)}
    told = _output(as_user(sys.executable, "-c", names + code), environment)
    assert told == f"{home} {tmp_path / 'var' / 'home' / 'matplotlib'}"


def test_outside_a_project_nothing_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no place for it."""
    monkeypatch.chdir(tmp_path)
    environment = {"HOME": "/nonexistent"}
    give_home(environment)
    assert environment == {"HOME": "/nonexistent"}


def test_the_folder_is_in_the_project_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found as the settings find it; PERENNIAL_VAR takes precedence."""
    (tmp_path / "config" / "models").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "config" / "models")
    assert project_above(Path.cwd()) == tmp_path
    assert own_home({}) == tmp_path / "var" / "home"
    assert own_home({"PERENNIAL_VAR": "/elsewhere"}) == Path("/elsewhere/home")


def test_a_user_with_a_name_keeps_it() -> None:
    """No variable is added."""
    environment = dict.fromkeys(NAMES, "ada")
    give_user_name(environment)
    assert environment == dict.fromkeys(NAMES, "ada")
    assert user_name()


def test_a_user_without_a_name_is_named_by_the_number() -> None:
    """Also for the libraries that ask for a name."""
    code = (
        "import getpass, os; from config.home import give_user_name; give_user_name(os.environ); "
        "print(getpass.getuser(), os.environ['LOGNAME'], sep='|')"
    )
    told = _output(as_user(sys.executable, "-c", code), {"PYTHONPATH": str(PACKAGES)})
    assert told == f"uid {UID}|uid {UID}"


def test_a_command_works_without_home_and_name(project: Settings) -> None:
    """MLflow, which asks for a home when it is imported, answers that nothing is registered."""
    add_credit_model(project)
    for path in (project.root, *project.root.rglob("*")):
        os.chown(path, UID, GID)
    environment = {"PERENNIAL_ROOT": str(project.root), "PYTHONPATH": str(PACKAGES), "PATH": os.environ["PATH"]}
    command = as_user(sys.executable, "-m", "cli", "show", "credit@7")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=project.root)
    assert (done.returncode, "no registered version yet" in done.stderr) == (2, True), done.stderr


def _output(command: list[str], environment: dict[str, str]) -> str:
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def test_each_user_of_a_shared_project_has_an_own_folder(tmp_path: Path) -> None:
    """The first takes the usual name, and the next one a name with the number."""
    assert own_folder(tmp_path, "prefect") == tmp_path / "prefect"
    (tmp_path / "prefect").mkdir()
    assert own_folder(tmp_path, "prefect") == tmp_path / "prefect"
    code = "import sys; from pathlib import Path; from config.home import own_folder, owner_name; " + (
        "print(own_folder(Path(sys.argv[1]), 'prefect').name, owner_name(Path(sys.argv[1])))"
    )
    told = _output(as_user(sys.executable, "-c", code, str(tmp_path)), {"PYTHONPATH": str(PACKAGES)})
    assert told == f"prefect-{UID} root"
