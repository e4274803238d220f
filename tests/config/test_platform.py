"""The state file of the platform, and what other commands take from it."""

import os
from pathlib import Path

import psutil
import pytest

from config.platform import PlatformState, forget_platform, last_platform, platform_file, read_platform, write_platform
from config.settings import load_settings
from core.errors import StorageError
from tests.other_user import effective_user, reached_by_all


def _state(**changes: object) -> PlatformState:
    given = {
        "id": "a",
        "pid": os.getpid(),
        "created": psutil.Process().create_time(),
        "ready": True,
        "socket": "s",
        "pool": "perennial",
        "runs_at_once": 2,
        "serving_port": 3,
        "prefect_api_url": "http://127.0.0.1:1/api",
        "mlflow_uri": "http://127.0.0.1:2",
        "mlflow_store": "sqlite:////m.db",
        "database_url": "postgresql://db/x",
    }
    return PlatformState.model_validate({**given, **changes})


@pytest.fixture
def var(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a project that the environment names, and nothing else."""
    for name in ("PERENNIAL_VAR", "PERENNIAL_DATABASE_URL", "PERENNIAL_MLFLOW_URI", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PERENNIAL_ROOT", str(tmp_path))
    (tmp_path / "var").mkdir()
    return tmp_path / "var"


def test_commands_find_the_servers_of_the_platform(var: Path) -> None:
    """Nobody has to set variables in another terminal."""
    write_platform(var, _state())
    settings = load_settings()
    assert settings.prefect_api_url == "http://127.0.0.1:1/api"
    assert settings.mlflow_uri == "http://127.0.0.1:2"
    assert settings.database_url == "postgresql://db/x"


def test_variables_come_first(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who names a server means it."""
    write_platform(var, _state())
    monkeypatch.setenv("PREFECT_API_URL", "http://prefect.internal/api")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.internal")
    monkeypatch.setenv("PERENNIAL_DATABASE_URL", "sqlite:////other.db")
    settings = load_settings()
    assert settings.prefect_api_url == "http://prefect.internal/api"
    assert settings.mlflow_uri == "http://mlflow.internal"
    assert settings.database_url == "sqlite:////other.db"


def test_servers_that_are_not_up_yet_are_not_used(var: Path) -> None:
    """While the platform comes up or goes down, commands that need no server work without."""
    write_platform(var, _state(ready=False))
    settings = load_settings()
    assert settings.prefect_api_url is None
    assert settings.mlflow_uri == f"sqlite:///{var / 'mlflow.db'}"
    assert settings.database_url == "postgresql://db/x"


@pytest.mark.parametrize("change", [{"pid": 0}, {"created": 1.0}, {"pid": 2**22 + 1}])
def test_a_file_of_a_platform_that_was_killed_is_not_believed(var: Path, change: dict[str, object]) -> None:
    """Its process is gone, or another one has its number now."""
    write_platform(var, _state(**change))
    assert read_platform(var) is None
    assert last_platform(var) is not None
    assert load_settings().prefect_api_url is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"id": 1}', "\0"])
def test_a_damaged_file_is_no_platform(var: Path, text: str) -> None:
    """Commands go on as if it were not there."""
    platform_file(var).write_text(text)
    assert last_platform(var) is None
    assert load_settings().prefect_api_url is None


def test_only_the_own_file_is_forgotten(var: Path) -> None:
    """What ends late does not take away what has started since."""
    write_platform(var, _state(id="b"))
    forget_platform(var, _state(id="a"))
    assert read_platform(var) is not None
    forget_platform(var, _state(id="b"))
    assert not platform_file(var).exists()


def test_a_state_that_another_user_keeps_private_is_told(var: Path) -> None:
    """Without it a command would use another database than that user's platform."""
    write_platform(var, _state())
    message = r"platform\.json, found that it is reserved for root"
    with reached_by_all(platform_file(var)), effective_user(), pytest.raises(StorageError, match=message):
        load_settings()


def test_a_folder_of_another_user_is_named_where_there_is_no_platform(tmp_path: Path) -> None:
    """The way out is not to end a platform that never ran."""
    var = tmp_path / "var"
    var.mkdir(mode=0o700)
    message = r"can read .*/var, found that it is reserved for root.*its owner sets PERENNIAL_GROUP"
    with reached_by_all(var), effective_user(), pytest.raises(StorageError, match=message) as raised:
        last_platform(var)
    assert "perennial down" not in str(raised.value)
