"""Where Prefect's API is, and what becomes of its failures."""

from __future__ import annotations

import pytest

from config.settings import Settings
from core.errors import StorageError
from tasks.platform.ports import free_port
from tasks.runs.api import api_address, check_answers, known_api, prefect_client, shown_address
from tests.busy_api import busy_api


def test_the_configured_address_comes_first(project: Settings) -> None:
    """Without one and without a local server there is none, and the message says what starts one."""
    named = project.model_copy(update={"prefect_api_url": "http://prefect/api"})
    assert known_api(named) == api_address(named) == "http://prefect/api"
    assert known_api(project) is None
    with pytest.raises(StorageError, match="set PREFECT_API_URL, or start the platform with 'perennial up'"):
        api_address(project)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://ada:secret@prefect/api", "https://***@prefect/api"),
        ("https://prefect/api/a@b", "https://prefect/api/a@b"),
        ("http://127.0.0.1:4200/api", "http://127.0.0.1:4200/api"),
    ],
)
def test_an_address_is_shown_without_its_password(address: str, shown: str) -> None:
    """What stands before its host may be one; an at-sign in its path is none."""
    assert shown_address(address) == shown


def test_an_api_that_is_away_is_a_matter_of_storage(project: Settings) -> None:
    """The command may be run again; its message has no password."""
    away = project.model_copy(update={"prefect_api_url": f"http://ada:secret@127.0.0.1:{free_port()}/api"})
    with (
        pytest.raises(StorageError, match=r"Prefect at http://\*\*\*@127\.0\.0\.1:\d+/api failed: ") as caught,
        prefect_client(away, seconds=2) as client,
    ):
        client.read_work_pools()
    assert "secret" not in str(caught.value)


def test_a_busy_api_is_asked_again_where_the_caller_does_not(project: Settings) -> None:
    """With SQLite, Prefect answers 503 to a request between whose reading and writing another one wrote."""
    with busy_api({}) as (url, asked):
        named = project.model_copy(update={"prefect_api_url": url})
        with prefect_client(named, retries=1) as client:
            assert client.read_flow_runs() == []
        with pytest.raises(StorageError, match="it answers 503"), prefect_client(named) as client:
            client.read_flow_runs()
    assert asked == ["/flow_runs/filter"] * 3


def test_a_server_that_is_away_is_found_before_prefect_is_imported() -> None:
    """The variable is named and the password is not."""
    address = f"http://ada:secret@127.0.0.1:{free_port()}/api"
    with pytest.raises(StorageError, match=r"at http://\*\*\*@127\.0\.0\.1:\d+/api \(PREFECT_API_URL") as caught:
        check_answers(address)
    assert "secret" not in str(caught.value)
    with pytest.raises(StorageError, match="found no answer"):
        check_answers("http://[::1")
